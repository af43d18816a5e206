"""Reading strangers' bytes in a process of its own, under limits of memory and time.

The child gets the bytes through a pipe and a folder to write to; it has no database and no storage.
It says which row it is at in a shared page, so that a row which ends it is known: it is then run
again without that row, which counts as bad.
"""

import mmap
import multiprocessing
import os
import resource
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from api.settings import settings
from workers.preflight import pool
from workers.preflight.pool import PROCESSES_MAX, Died

CHUNK_BYTES = 1 << 20
POLL_SECONDS = 0.1
CRASHES_MAX = 3
"""A file that ends the process at more rows than this is not read further."""

_PROGRESS = struct.Struct("<qqq")
_WORKERS = struct.Struct(f"<{PROCESSES_MAX}q")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the child is: the row it is at (from 1), and how many were good and bad so far."""

    row: int = 0
    good: int = 0
    bad: int = 0


class Page:
    """Progress in shared memory; the child writes it, the parent reads it also after its death.

    It also has the ids of the child's own workers, whose memory counts as the child's.
    """

    def __init__(self, path: Path) -> None:
        size = _PROGRESS.size + _WORKERS.size
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def write(self, row: int, good: int, bad: int) -> None:
        """Row 0: none in particular, at the start or the end."""
        _PROGRESS.pack_into(self._map, 0, row, good, bad)

    def read(self) -> Progress:
        return Progress(*_PROGRESS.unpack_from(self._map, 0))

    def employ(self, workers: list[int]) -> None:
        idle = [0] * (PROCESSES_MAX - len(workers))
        _WORKERS.pack_into(self._map, _PROGRESS.size, *workers, *idle)

    def workers(self) -> list[int]:
        return [pid for pid in _WORKERS.unpack_from(self._map, _PROGRESS.size) if pid]

    def close(self) -> None:
        self._map.close()


@dataclass(frozen=True, slots=True)
class Crash:
    """A row at which the process ended, and why."""

    row: int
    why: str


@dataclass(frozen=True, slots=True)
class Try:
    """What the child is to do differently from the time before: leave out the rows that ended it.

    Where several rows are worked on at once, the row that ended the process is one of them; so the
    second time, `careful`, they are taken one by one, and by one process.
    """

    crashes: tuple[Crash, ...] = ()
    careful: bool = False
    processes: int = 1
    """To share the work; more than one only in a process that has no threads, as the child is."""


Work = Callable[[Iterable[bytes], Page, Try, Path, dict[str, Any]], None]
"""What the child does: chunks, progress, which try it is, a folder to write to, options."""


class Unreadable(Exception):
    """The file ended the reading process too often, or took too long altogether."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(f"{crash.why} at row {crash.row}")
        self.crash = crash


def run(
    work: Work,
    chunks: Callable[[], Iterable[bytes]],
    *,
    folder: Path,
    options: dict[str, Any],
    beat: Callable[[Progress], None] = lambda _: None,
    processes: int | None = None,
) -> tuple[Crash, ...]:
    """Do `work` in a child; what it wrote lies in `folder`. Returns the rows that were left out.

    `chunks` opens the bytes anew for each attempt; `beat` is called several times a second and may
    raise to stop. The child shares its work with as many `processes` as there are cores, unless
    told. Raises Unreadable, and whatever a well-behaved child raised as ChildError.
    """
    this = Try(processes=pool.cores() if processes is None else processes)
    while True:
        with closing(_Attempt(work, chunks(), folder, options, this)) as attempt:
            crash = attempt.watch(beat)
        if crash is None:
            return this.crashes
        if this.careful:
            known = {earlier.row for earlier in this.crashes}
            if crash.row == 0 or crash.row in known or len(known) >= CRASHES_MAX:
                raise Unreadable(crash)
            this = replace(this, crashes=(*this.crashes, crash))
        this = replace(this, careful=True, processes=1)


class ChildError(RuntimeError):
    """The child raised: a fault of ours, with its traceback as text."""


class _Attempt:
    """The process, the thread that feeds it, and the limits that it is held to."""

    def __init__(
        self,
        work: Work,
        chunks: Iterable[bytes],
        folder: Path,
        options: dict[str, Any],
        this: Try,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["workers.preflight"])
        self._page = Page(folder / "progress")
        self._page.write(0, 0, 0)
        self._page.employ([])
        source, self._pipe = context.Pipe(duplex=False)
        self._errors, errors = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_main, args=(work, this, source, errors, folder, options), name="preflight"
        )
        self._process.start()
        source.close()
        errors.close()
        self._started = time.monotonic()
        self._source_error: BaseException | None = None
        self._feed = threading.Thread(target=self._push, args=(chunks,), daemon=True)
        self._feed.start()

    def watch(self, beat: Callable[[Progress], None]) -> Crash | None:
        """Wait for the end. None where the work is done, else where and why the process ended."""
        at, since = 0, time.monotonic()
        while not wait([self._process.sentinel], timeout=POLL_SECONDS):
            progress = self._page.read()
            beat(progress)
            if progress.row != at:
                at, since = progress.row, time.monotonic()
            # Before the first row and after the last one, no row is to blame for the time.
            seconds = time.monotonic() - since if at else 0.0
            if why := self._over_limit(seconds):
                self._process.kill()
                self._process.join()
                return Crash(self._page.read().row, why)
        self._process.join()
        self._feed.join()
        if self._source_error is not None:
            raise self._source_error  # the child saw a part of the file only
        if self._process.exitcode == 0:
            return None
        if self._errors.poll():
            with suppress(EOFError):
                raise ChildError(self._errors.recv())
        why = f"the reading process ended by itself (exit code {self._process.exitcode})"
        return Crash(self._page.read().row, why)

    def _push(self, chunks: Iterable[bytes]) -> None:
        """Write the bytes into the pipe until the child has them all, or wants no more."""
        try:
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(self._pipe.fileno(), view) :]
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 - storage broke; `watch` raises it
            self._source_error = error
        finally:
            self._pipe.close()

    def _over_limit(self, row_seconds: float) -> str | None:
        limits = settings()
        processes = [self._process.pid or 0, *self._page.workers()]
        if _held_bytes(processes, limits.preflight_memory_max) > limits.preflight_memory_max:
            return f"reading took more than {limits.preflight_memory_max >> 20:,} MiB of memory"
        if row_seconds > limits.preflight_row_seconds_max:
            return f"one row took longer than {limits.preflight_row_seconds_max:g} s"
        if time.monotonic() - self._started > limits.preflight_seconds_max:
            return f"reading took longer than {limits.preflight_seconds_max:g} s"
        return None

    def close(self) -> None:
        self._process.kill()  # the feed's next write then fails, and it ends
        self._process.join()
        self._feed.join()
        self._process.close()
        self._errors.close()
        self._page.close()


def _main(  # noqa: PLR0917 - multiprocessing passes them by position
    work: Work,
    this: Try,
    source: Connection,
    errors: Connection,
    folder: Path,
    options: dict[str, Any],
) -> None:
    """In the child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads do not survive forks
    page = Page(folder / "progress")
    try:
        work(_chunks(source.fileno()), page, this, folder, options)
    except (MemoryError, Died):
        os._exit(137)  # as if the kernel had ended it: the row it is at is to blame
    except Exception:
        errors.send(traceback.format_exc())
        raise


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, CHUNK_BYTES):
        yield chunk


def _held_bytes(processes: Sequence[int], limit: int) -> int:
    """Memory of a process and its workers. What they share is told apart only where that decides,
    since the kernel takes its time for it."""
    resident = sum(map(_resident_bytes, processes))
    if resident <= limit or len(processes) == 1:
        return resident
    return sum(map(_own_bytes, processes))


def _resident_bytes(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text("ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _own_bytes(pid: int) -> int:
    """Resident, with its share only of what several processes have."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
