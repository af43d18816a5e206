"""Checkpoints: a whole folder or none. Written aside, synced, renamed; read only if hashes match.

`MANIFEST.json` is written last and names every other file by size and sha256. A checkpoint holds
the adapter in PEFT form (float32 masters, so resuming is exact to the bit), the optimizer's
moments, the dropout generator and a `state.json`.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.engine.export import BadAdapter, load_adapter, save_adapter
from workers.engine.lora import LoraAdapter
from workers.engine.model import Base

MANIFEST = "MANIFEST.json"
STATE = "state.json"
OPTIMIZER = "optimizer.safetensors"
ADAPTER = "adapter"

_GENERATOR = "generator"


class CorruptCheckpoint(ValueError):
    """The folder is not a whole checkpoint: a file is missing, cut or changed."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands. `step` is also the data cursor: the order of rows follows from it."""

    step: int
    trained_tokens: int
    loss: float | None
    eval_loss: float | None
    eval_token_accuracy: float | None
    spec_sha256: str
    data_sha256: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was verified and read."""

    state: State
    adapter: LoraAdapter
    moments: dict[str, Tensor]


def save(
    folder: Path,
    state: State,
    *,
    base: Base,
    adapter: LoraAdapter,
    moments: dict[str, Tensor],
    base_model: str,
) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    save_adapter(base, adapter, temporary / ADAPTER, base_model=base_model)
    tensors = {name: tensor.cpu() for name, tensor in moments.items()}
    save_file(tensors | {_GENERATOR: adapter.generator.get_state()}, temporary / OPTIMIZER)
    (temporary / STATE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    manifest = json.dumps({"files": _entries(temporary)}, indent=2) + "\n"
    (temporary / MANIFEST).write_text(manifest, encoding="utf-8")
    publish(temporary, folder)


def publish(temporary: Path, folder: Path) -> None:
    """Sync everything below, then rename: a reader sees the old folder, none, or all of this."""
    for path in [*temporary.rglob("*"), temporary]:
        _sync(path)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    _sync(folder.parent)


def load(base: Base, folder: Path) -> Checkpoint:
    verify(folder)
    try:
        state = State(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        tensors = load_file(folder / OPTIMIZER)
        adapter = load_adapter(base, folder / ADAPTER)
        adapter.generator.set_state(tensors.pop(_GENERATOR))
    except (BadAdapter, KeyError, TypeError, OSError) as error:
        raise CorruptCheckpoint(f"{folder.name}: {error}") from error
    return Checkpoint(state=state, adapter=adapter, moments=tensors)


def verify(folder: Path) -> None:
    """Every file the manifest names, and no other, with the bytes that were written."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptCheckpoint(f"{folder.name} has no readable {MANIFEST}") from error
    present = _entries(folder)
    if files != present:
        wrong = sorted(n for n in {*files, *present} if files.get(n) != present.get(n))
        raise CorruptCheckpoint(f"{folder.name}: not as written: {', '.join(wrong)}")


def _entries(folder: Path) -> dict[str, dict[str, int | str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): _entry(path) for path in files}


def _entry(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
