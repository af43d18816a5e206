"""The cache folder: entries that appear whole or not at all, under a lock each, evicted by age.

An entry is a folder, `models/NAME` or `artifacts/NAME`; its mtime is when it was last used.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from api import storage
from api.settings import settings

log = structlog.get_logger()

# Between getting a path and opening it nobody holds anything: what was used this lately stays.
# What is open stays readable for whoever has it open.
GRACE_SECONDS = 600.0
ARTIFACTS, MODELS = "artifacts", "models"


def artifact(key: str, sha256: str | None = None) -> Path:
    """The local copy of one object; with `sha256`, of exactly that content."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", key.rpartition("/")[2]) or "object"
    folder = entry(ARTIFACTS, f"{key}\0{sha256}", label="")

    def fetch(target: Path) -> None:
        storage.get_file(key, target / name, sha256=sha256)

    fetched = False
    with hold(folder):
        if not (folder / name).is_file():
            fill(folder, fetch)
            fetched = True
        touch(folder)
    if fetched:
        evict()
    return folder / name


def entry(kind: str, identity: str, *, label: str) -> Path:
    """Where an entry lives: a readable label and a digest of everything that makes it itself."""
    digest = hashlib.sha256(identity.encode()).hexdigest()
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '-', label)}-{digest[:16]}" if label else digest[:32]
    return _root() / kind / name


@contextmanager
def hold(folder: Path, *, timeout_seconds: float = -1) -> Iterator[None]:
    """One process at a time fetches, touches or evicts an entry; a lock dies with its holder."""
    locks = _root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{folder.parent.name}-{folder.name}.lock", timeout=timeout_seconds):
        yield


def fill(folder: Path, fetch: Callable[[Path], None]) -> None:
    """Fetch into a folder beside, and give it the entry's name once it is whole and on disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(stale, ignore_errors=True)  # of a process that died; we hold the lock
    target = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fetch(target)
        for path in target.iterdir():
            if not path.is_symlink():
                _sync(path)
        _sync(target)
        discard(folder)
        target.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def discard(folder: Path) -> None:
    """Take an entry away at once; whoever reads from it goes on reading."""
    if folder.exists():
        gone = folder.with_name(f".{folder.name}.gone-{os.getpid()}")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def touch(folder: Path) -> None:
    os.utime(folder)


def evict() -> None:
    """While the cache is over cache_bytes_max, delete the entry that was unused the longest."""
    entries = [
        (_used_at(folder), _bytes(folder), folder)
        for kind in (MODELS, ARTIFACTS)
        for folder in (_root() / kind).glob("[!.]*")
    ]
    over = sum(size for _, size, _ in entries) - settings().cache_bytes_max
    for _, size, folder in sorted(entries):
        if over <= 0:
            return
        if _evicted(folder):
            over -= size
            log.info("cache.evicted", entry=folder.name, bytes=size)
    if over > 0:
        log.warning("cache.full", over_bytes=over)


def _evicted(folder: Path) -> bool:
    """True where it is gone; false where somebody is using it."""
    try:
        with hold(folder, timeout_seconds=0):
            if time.time() - _used_at(folder) < GRACE_SECONDS:
                return False
            discard(folder)
    except Timeout:
        return False
    return True


def _root() -> Path:
    return settings().cache_path().absolute()


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes(folder: Path) -> int:
    """On this disk: a linked file belongs to somebody else."""
    try:
        return sum(path.lstat().st_size for path in folder.iterdir())
    except FileNotFoundError:
        return 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
