"""The reading process: what ends it is known by its row and left out, and limits hold."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.settings import settings
from workers.preflight import process
from workers.preflight.process import ChildError, Page, Progress, Try, Unreadable, run

ROWS = b"good\ngood\nbad\ngood\nbad\ngood\n"


def lines(chunks: Iterable[bytes], page: Page, this: Try, folder: Path, options: Any) -> None:
    """A reader of lines to which `bad` is fatal in the way that `options` says."""
    known = {crash.row for crash in this.crashes}
    kept: list[bytes] = []
    for number, line in enumerate(b"".join(chunks).splitlines(), start=1):
        page.write(number, len(kept), 0)
        if number in known:
            continue
        if line == b"bad":
            _end(options["way"])
        kept.append(line)
    (folder / "kept").write_bytes(b"\n".join(kept))


def _end(way: str) -> None:
    match way:
        case "dies":
            os.kill(os.getpid(), 9)
        case "hangs":
            time.sleep(600)
        case "eats":
            held = bytearray()
            while True:
                held += b"x" * (32 << 20)
        case "memory error":
            raise MemoryError
        case "raises":
            raise KeyError("a fault of ours")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = settings().model_copy(
        update={"preflight_memory_max": 600 << 20, "preflight_row_seconds_max": 3.0}
    )
    monkeypatch.setattr(process, "settings", lambda: limits)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("way", ["dies", "hangs", "eats", "memory error"])
def test_rows_that_end_the_process_are_left_out_and_the_others_read(
    tmp_path: Path, way: str
) -> None:
    crashes = run(lines, lambda: [ROWS], folder=tmp_path, options={"way": way})
    assert [crash.row for crash in crashes] == [3, 5]
    assert (tmp_path / "kept").read_bytes() == b"good\ngood\ngood\ngood"
    words = {"hangs": "longer than 3 s", "eats": "600 MiB"}.get(way, "ended by itself")
    assert words in crashes[0].why


def test_a_file_full_of_such_rows_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="row 4"):
        run(lines, lambda: [b"bad\n" * 9], folder=tmp_path, options={"way": "dies"})


def test_a_fault_of_ours_is_raised_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="a fault of ours"):
        run(lines, lambda: [ROWS], folder=tmp_path, options={"way": "raises"})


def test_storage_that_breaks_off_is_an_error_and_no_short_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"good\n"
        raise ConnectionError("storage went away")

    with pytest.raises(ConnectionError, match="storage went away"):
        run(lines, broken, folder=tmp_path, options={"way": "dies"})


def test_the_caller_can_stop_it_at_any_time_and_sees_how_far_it_is(tmp_path: Path) -> None:
    seen: list[Progress] = []

    def beat(progress: Progress) -> None:
        seen.append(progress)
        if progress.row == 3:
            raise InterruptedError

    started = time.monotonic()
    with pytest.raises(InterruptedError):
        run(lines, lambda: [ROWS], folder=tmp_path, options={"way": "hangs"}, beat=beat)
    assert seen[-1] == Progress(row=3, good=2, bad=0)
    assert time.monotonic() - started < 20


def test_more_than_a_pipe_holds_goes_through(tmp_path: Path) -> None:
    run(lines, lambda: [b"good\n"] * 300_000, folder=tmp_path, options={"way": "dies"})
    assert (tmp_path / "kept").read_bytes().count(b"good") == 300_000
