"""The parts that make up the service beside its engines, and how each shows that it is ready."""

import http.client
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from api.embedded.processes import Process
from api.settings import Settings

# Where to find what listens everywhere.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound


@dataclass(frozen=True, slots=True)
class Answers:
    """Ready when a GET is answered with 200."""

    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Says:
    """Ready when its log holds these words."""

    words: str


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the service; `env` goes on top of ours."""

    name: str
    argv: tuple[str, ...]
    ready: Answers | Says
    env: Mapping[str, str] = field(default_factory=dict)


def is_ready(ready: Answers | Says, process: Process) -> bool:
    match ready:
        case Answers():
            return _answers(ready)
        case Says():
            return ready.words in process.output()
        case _:
            assert_never(ready)


def service_parts(settings: Settings) -> tuple[Part, ...]:
    """The API, a worker for each queue, and the clock."""
    cores = str(os.cpu_count() or 1)
    beat_file = str(settings.data_dir.absolute() / "beat-schedule")
    return (
        Part(
            "api",
            _python(
                "uvicorn", "api.app:create_app", "--factory", "--host", settings.host,
                "--port", str(settings.port), "--timeout-graceful-shutdown", "5",
                "--no-access-log",
            ),
            Answers(LOOPBACK.get(settings.host, settings.host), settings.port, "/healthz"),
            env=_threads("1"),
        ),
        _worker("train", threads=cores),
        # Files are read in processes of their own, which a pool of processes may not have.
        _worker("cpu", "--concurrency", "2", "--pool", "threads", threads="1"),
        _worker("chat", threads=cores),
        Part("beat", _celery("beat", "-s", beat_file), Says("is starting"), env=_threads("1")),
    )  # fmt: skip


def _worker(queue: str, *options: str, threads: str) -> Part:
    argv = _celery(
        "worker", "-Q", queue, "-n", f"{queue}@%h", *(options or ("--concurrency", "1")),
        # Workers have nothing to tell each other: claims are settled in the database.
        "--without-gossip", "--without-mingle",
    )  # fmt: skip
    # Without the remapping Celery waits for the running task however long it takes.
    env = {"REMAP_SIGTERM": "SIGQUIT", **_threads(threads)}
    return Part(f"worker {queue}", argv, Says("ready."), env=env)


def _celery(command: str, *options: str) -> tuple[str, ...]:
    return _python("celery", "-A", "workers.app", command, *options)


def _python(module: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *options)


def _threads(count: str) -> dict[str, str]:
    """As many threads for numbers as the part can use: more than cores makes all of them slow."""
    # Threads that spin while they wait take the cores from the other parts of this machine.
    return {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}


def _answers(ready: Answers) -> bool:
    connection = http.client.HTTPConnection(ready.host, ready.port, timeout=2)
    try:
        connection.request("GET", ready.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
