"""Workers give what they made in order, what ends one of them is found by its row, and none of them
outlives the process that started it."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.settings import settings
from workers.preflight import pool, process
from workers.preflight.process import ChildError, Page, Progress, Try, run


def read(block: list[bytes]) -> list[int]:
    """What a worker does here; bytes that are no number end it."""
    for line in block:
        if line == b"dies":
            os.kill(os.getpid(), 9)
        if line == b"eats":
            held = bytearray()
            while True:
                held += b"x" * (32 << 20)
        if line == b"hangs":
            time.sleep(600)
        if line == b"raises":
            raise KeyError("a fault of ours")
    return [int(line) for line in block]


def numbers(chunks: Iterable[bytes], page: Page, this: Try, folder: Path, options: Any) -> None:
    """Rows of numbers, two in a block."""
    known = {crash.row for crash in this.crashes}
    lines = b"".join(chunks).splitlines()
    size = 1 if this.careful else 2

    def blocks() -> Iterator[list[bytes]]:
        for at in range(0, len(lines), size):
            page.write(at + 1, 0, 0)
            block = lines[at : at + size]
            yield [b"0"] if at + 1 in known else block

    count = 1 if this.careful else 3
    found = [
        n for each in pool.in_order(read, blocks(), count=count, started=page.employ) for n in each
    ]
    (folder / "kept").write_text(json.dumps(found), "utf-8")


@pytest.mark.parametrize("way", ["dies", "eats", "hangs"])
def test_a_row_that_ends_a_worker_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    limits = settings().model_copy(
        update={"preflight_memory_max": 600 << 20, "preflight_row_seconds_max": 3.0}
    )
    monkeypatch.setattr(process, "settings", lambda: limits)
    data = "".join(f"{way if n == 31 else n}\n" for n in range(1, 101)).encode()
    crashes = run(numbers, lambda: [data], folder=tmp_path, options={})
    assert [crash.row for crash in crashes] == [31]
    kept = json.loads((tmp_path / "kept").read_bytes())
    assert kept == [0 if n == 31 else n for n in range(1, 101)]


def test_a_fault_of_ours_in_a_worker_is_raised_with_its_traceback(tmp_path: Path) -> None:
    data = b"1\n2\n3\n4\nraises\n"
    with pytest.raises(ChildError, match="a fault of ours"):
        run(numbers, lambda: [data], folder=tmp_path, options={})


def test_no_worker_outlives_the_reading_process(tmp_path: Path) -> None:
    data = b"1\n2\n3\n4\nhangs\nhangs\nhangs\nhangs\n"
    workers: list[int] = []

    def beat(_: Progress) -> None:
        workers[:] = Page(tmp_path / "progress").workers()
        if len(workers) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(numbers, lambda: [data], folder=tmp_path, options={}, beat=beat)
    until = time.monotonic() + 10
    while any(map(_runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_runs, workers))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("slow", [0, 1, 50])
def test_blocks_are_asked_for_as_their_turn_comes(slow: int) -> None:
    asked = 0

    def blocks() -> Iterator[list[bytes]]:
        nonlocal asked
        for n in range(100):
            asked += 1
            yield [str(n).encode()]

    def work(block: list[bytes]) -> list[int]:
        if block == [str(slow).encode()]:
            time.sleep(0.2)
        return read(block)

    given = pool.in_order(work, blocks(), count=2, started=lambda _: None)
    assert next(given) == [0]
    assert asked < 10
    assert [n for each in given for n in each] == list(range(1, 100))
