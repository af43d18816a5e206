"""Blocks of rows worked on by all cores, and what comes of each in the order of the rows.

The workers are forked from the reading process and so share what it has loaded; each has one block
at a time. They end with it, whatever ends it, and where one of them ends by itself, so does it.
"""

import ctypes
import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar, cast

PROCESSES_MAX = 8
"""One process cuts the file and puts the results together; it cannot feed many more."""
_AHEAD = 3  # blocks for each worker that may be out, or wait for what comes of an earlier one
_PR_SET_PDEATHSIG = 1

Block = TypeVar("Block")
Result = TypeVar("Result")


class Died(Exception):
    """A worker ended by itself: it was killed, or there was no more memory."""


class WorkerError(RuntimeError):
    """A worker raised: a fault of ours, with its traceback as text."""


@dataclass(frozen=True, slots=True)
class _Fault:
    traceback: str


def cores() -> int:
    """How many processes to share the work; 1 where forking is not safe."""
    if sys.platform != "linux":
        return 1
    return min(PROCESSES_MAX, len(os.sched_getaffinity(0)))


def in_order(
    work: Callable[[Block], Result],
    blocks: Iterable[Block],
    *,
    count: int,
    started: Callable[[list[int]], None],
) -> Iterator[Result]:
    """`work` of each block: in this process where `count` is 1 or there is but one block, else in
    `count` others, whose ids `started` is told."""
    waiting = iter(blocks)
    if count > 1:
        first = list(islice(waiting, 2))
        waiting = chain(first, waiting)
        if len(first) == 2:
            with _workers(work, count, started) as workers:
                yield from _dealt(workers, waiting)
            return
    yield from map(work, waiting)


def _dealt(workers: list[Connection], blocks: Iterator[object]) -> Iterator[Any]:
    """Deals blocks out to whoever is idle. Gives the results in order."""
    idle, busy = list(workers), dict[Connection, int]()
    done: dict[int, bytes] = {}
    sent = given = 0
    packed = _packed(blocks)
    while packed or busy:
        while packed and idle and sent - given < _AHEAD * len(workers):
            worker = idle.pop()
            _send(worker, packed)
            busy[worker] = sent
            sent += 1
            packed = _packed(blocks)  # while they work
        while given in done:
            yield _unpacked(done.pop(given))
            given += 1
        for ready in wait([*busy]) if busy else ():
            worker = cast(Connection, ready)
            done[busy.pop(worker)] = _received(worker)
            idle.append(worker)
    for number in sorted(done):
        yield _unpacked(done[number])


def _packed(blocks: Iterator[object]) -> bytes:
    """The next block; empty where there is none."""
    for block in blocks:
        return pickle.dumps(block, pickle.HIGHEST_PROTOCOL)
    return b""


def _unpacked(data: bytes) -> Any:
    result = pickle.loads(data)  # noqa: S301 - of our own
    if isinstance(result, _Fault):
        raise WorkerError(result.traceback)
    return result


def _send(worker: Connection, packed: bytes) -> None:
    try:
        worker.send_bytes(packed)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Died from error


def _received(worker: Connection) -> bytes:
    try:
        return worker.recv_bytes()
    except (EOFError, ConnectionResetError) as error:
        raise Died from error


@contextmanager
def _workers(
    work: Callable[[Block], Result], count: int, started: Callable[[list[int]], None]
) -> Iterator[list[Connection]]:
    context = get_context("fork")
    ours: list[Connection] = []
    processes = []
    try:
        for _ in range(count):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, theirs, os.getpid()))
            process.start()
            theirs.close()
            ours.append(mine)
            processes.append(process)
        started([process.pid or 0 for process in processes])
        yield ours
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for connection in ours:
            connection.close()  # which ends an idle worker
        for process in processes:
            process.join()
        started([])


def _serve(work: Callable[[Block], Result], asked: Connection, parent: int) -> None:
    """In the worker: work on what is asked until nobody asks any more."""
    _end_with(parent)
    _close_all_but(asked.fileno())
    gc.freeze()  # what is shared stays so
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread: its pool does not survive forks
    while True:
        try:
            packed = asked.recv_bytes()
        except EOFError:
            return
        try:
            result = pickle.dumps(work(pickle.loads(packed)), pickle.HIGHEST_PROTOCOL)  # noqa: S301
        except MemoryError:
            os._exit(137)
        except Exception:
            asked.send_bytes(pickle.dumps(_Fault(traceback.format_exc())))
            raise
        asked.send_bytes(result)


def _end_with(parent: int) -> None:
    """Be killed when the reading process is, also while working."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(137)


def _close_all_but(descriptor: int) -> None:
    """What was open where this was forked, the upload's pipe among it, is not held open here."""
    for path in list(Path("/proc/self/fd").iterdir()):
        if int(path.name) > 2 and int(path.name) != descriptor:
            with suppress(OSError):  # the listing's own
                os.close(int(path.name))
