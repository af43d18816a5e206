"""Running inspection and encoding on bytes: in this process, or in one that shares the work."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.engine.conftest import smollm2_folder
from workers import preflight
from workers.preflight.process import Page, Try, Work

__all__ = ["smollm2_folder"]

Json = dict[str, Any]


class Made:
    """What inspection or encoding left in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report: Json = json.loads((folder / preflight.REPORT).read_bytes())

    @property
    def findings(self) -> list[tuple[int, str, str]]:
        """(line, verdict, code) of each."""
        return [(int(line), verdict, code) for line, verdict, code, _, _ in self.csv()]

    def csv(self) -> list[list[str]]:
        text = (self.folder / preflight.FINDINGS).read_text("utf-8-sig")
        return list(csv.reader(text.splitlines()))[1:]


ONCE = Try()
Inspect = Callable[..., Made]
Encode = Callable[..., Made]


@pytest.fixture
def inspect(tmp_path: Path) -> Inspect:
    def run(
        data: bytes | str,
        *,
        filename: str = "shop.jsonl",
        this: Try = ONCE,
        processes: int | None = None,
        **options: Any,
    ) -> Made:
        folder = tmp_path / f"inspect-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        chunks = [data.encode() if isinstance(data, str) else data]
        wanted = {"filename": filename, **options}
        _run(preflight.inspect, chunks, this, folder, wanted, processes=processes)
        return Made(folder)

    return run


@pytest.fixture
def encode(tmp_path: Path, smollm2_folder: Path) -> Encode:
    def run(
        data: bytes | str,
        *,
        filename: str = "shop.jsonl",
        this: Try = ONCE,
        processes: int | None = None,
        **options: Any,
    ) -> Made:
        folder = tmp_path / f"encode-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        chunks = [data.encode() if isinstance(data, str) else data]
        wanted: Json = {
            "filename": filename,
            "base_folder": str(smollm2_folder),
            "context": 8_192,
            "cutoff_len": 512,
            "held_out_share": 0.0,
        }
        wanted |= options
        _run(preflight.encode, chunks, this, folder, wanted, processes=processes)
        return Made(folder)

    return run


def _run(
    work: Work,
    chunks: list[bytes],
    this: Try,
    folder: Path,
    options: Json,
    *,
    processes: int | None,
) -> None:
    if processes is None:
        work(chunks, Page(folder / "progress"), this, folder, options)
    else:
        preflight.run(work, lambda: chunks, folder=folder, options=options, processes=processes)


def rows(*objects: Any) -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects)


def turns(*contents: str, system: str | None = None) -> Json:
    """An OpenAI row: user and assistant in turn."""
    messages = [
        {"role": "assistant" if number % 2 else "user", "content": content}
        for number, content in enumerate(contents)
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages}
