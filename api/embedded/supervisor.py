"""Keeps the engines and the parts of the service alive, and ends them in order.

A thread a process: start it, watch it, start it again when it dies. The main thread waits for a
signal; the first ends everything in order, the second at once.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

from api import storage
from api.embedded.engines import Engines
from api.embedded.migration import migrate, use
from api.embedded.parts import LOOPBACK, Part, is_ready, service_parts
from api.embedded.processes import Command, Process
from api.errors import Conflict, TuneryError, Unavailable
from api.settings import Settings, settings

_FIRST_PAUSE_SECONDS = 0.5
_LAST_PAUSE_SECONDS = 10.0
# One that lived this long had started well: its next death is a new story.
_WELL_SECONDS = 30.0
# Before it was ever ready, this many deaths mean that it will never be.
_STARTS_MAX = 3
_READY_SECONDS_MAX = 180.0
# A little more than a worker takes to put its task down (`worker_soft_shutdown_timeout`).
_PART_GRACE_SECONDS = 12.0


class Interrupted(KeyboardInterrupt):
    """Somebody asked us to stop."""


class Kept(Protocol):
    """What can be kept alive: an engine or a part."""

    name: str
    ready_seconds: float

    @property
    def pid(self) -> int | None: ...
    @property
    def exit_code(self) -> int | None: ...
    def alive(self) -> bool: ...
    def start(self) -> None:
        """Return when it is ready; `Unavailable` where it will not be."""

    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Running:
    """A part as a process."""

    def __init__(self, part: Part, logs: Path) -> None:
        self.name = part.name
        self.ready_seconds = 0.0
        self._part = part
        self._process = Process(part.name, logs / f"{part.name.replace(' ', '-')}.log")

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    def alive(self) -> bool:
        return self._process.alive()

    def start(self) -> None:
        # The owner's login is for migrations; no part that serves people needs it.
        ours = {"PYTHONUNBUFFERED": "1", "DATABASE_OWNER_URL": ""}
        env = {**os.environ, **ours, **self._part.env}
        began = time.monotonic()
        self._process.spawn(
            Command(
                argv=self._part.argv, cwd=Path.cwd(), env=env, grace_seconds=_PART_GRACE_SECONDS
            )
        )
        while not is_ready(self._part.ready, self._process):
            if not self.alive():
                raise Unavailable(
                    f"did not start ({_cause(self.exit_code)}): {self._process.last_words(1)} "
                    f"(more in {self._process.log})"
                )
            if time.monotonic() > began + _READY_SECONDS_MAX:
                self.kill()
                raise Unavailable(f"was not ready after {_READY_SECONDS_MAX:.0f} s")
            time.sleep(0.05)
        self.ready_seconds = time.monotonic() - began

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()


class Supervisor:
    """Keeps engines and parts alive between `start` and `stop`."""

    def __init__(self, engines: Engines, *, logs: Path) -> None:
        self._engines = engines
        self._logs = logs
        self._parts: list[Running] = []
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._ready: set[str] = set()
        self._lost: Unavailable | None = None
        self._threads: list[threading.Thread] = []

    def start(self, parts: Iterable[Part]) -> None:
        """Start every part; return when all have been ready once."""
        self._parts = [Running(part, self._logs) for part in parts]
        everything: list[Kept] = [*self._engines, *self._parts]
        for kept in everything:
            thread = threading.Thread(target=self._keep, args=[kept], name=kept.name, daemon=True)
            self._threads.append(thread)
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._lost or len(self._ready) == len(everything))
        self._raise_if_lost()

    def wait(self) -> NoReturn:
        """Until a signal's exception ends it."""
        while True:
            self._stopping.wait(3600)

    def stop(self) -> None:
        """Parts first, since they need the engines to put their work down."""
        self._stopping.set()
        if self._parts:
            with ThreadPoolExecutor(max_workers=len(self._parts)) as pool:
                list(pool.map(Running.stop, self._parts))
        for thread in self._threads:
            thread.join()
        self._engines.stop()

    def kill(self) -> None:
        for part in self._parts:
            part.kill()
        self._engines.kill()

    def _keep(self, kept: Kept) -> None:
        pause = _FIRST_PAUSE_SECONDS
        starts = 0
        while not self._stopping.is_set():
            starts += 1
            began = time.monotonic()
            what = self._live(kept)
            if self._stopping.is_set():
                return
            if kept.name not in self._ready and starts >= _STARTS_MAX:
                self._give_up(Unavailable(f"{kept.name} {what}"))
                return
            if time.monotonic() - began > _WELL_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            _say(f"{kept.name:<13} {what}")
            _say(f"{kept.name:<13} starts again in {pause:.1f} s")
            self._stopping.wait(pause)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    def _live(self, kept: Kept) -> str:
        """One life, from start to death. Returns what happened, in words."""
        try:
            if not kept.alive():
                kept.start()
        except TuneryError as error:
            return error.message
        pid = kept.pid
        _say(f"{kept.name:<13} ready  pid {pid:<8} {kept.ready_seconds:5.1f} s")
        with self._changed:
            self._ready.add(kept.name)
            self._changed.notify_all()
        while kept.alive() and not self._stopping.wait(0.1):
            pass
        return f"died   pid {pid} ({_cause(kept.exit_code)})"

    def _give_up(self, error: Unavailable) -> None:
        with self._changed:
            self._lost = error
            self._changed.notify_all()

    def _raise_if_lost(self) -> None:
        if self._lost:
            raise self._lost


class Signals:
    """The first SIGINT, SIGTERM or SIGHUP raises `Interrupted`; the next one kills and leaves."""

    def __init__(self, kill: Callable[[], None]) -> None:
        self._kill = kill
        self._before = {
            number: signal.signal(number, self._hear)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        self.heard = False

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if not self.heard:
            self.heard = True
            raise Interrupted
        self._kill()
        os._exit(128 + number)


def up(
    *,
    on_ready: Callable[[], None] | None = None,
    parts: Callable[[Settings], tuple[Part, ...]] = service_parts,
) -> None:
    """Run the whole service until a signal, or until `on_ready` raises. Call in the main thread.

    `on_ready` is called once when all parts are ready; what it raises is raised again when
    everything has been stopped.
    """
    engines = Engines(settings().data_dir)
    engines.home.hold()
    use({"DATA_DIR": str(engines.home.path), "PUBLIC_URL": _public_url(settings())})
    supervisor = Supervisor(engines, logs=engines.home.logs)
    signals = Signals(supervisor.kill)
    try:
        _refuse_taken_port(settings().host, settings().port)
        use(engines.start())
        migrate()
        storage.ensure_bucket()
        supervisor.start(parts(settings()))
        if on_ready:
            on_ready()
        supervisor.wait()
    except Interrupted:
        _say("stopping; once more to stop at once")
    finally:
        signals.heard = True
        supervisor.stop()
        signals.restore()
        _say("stopped")


def _public_url(settings: Settings) -> str:
    """As it was set; else where we really listen, which `PORT` may have changed."""
    if "public_url" in settings.model_fields_set:
        return settings.public_url
    host = LOOPBACK.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"The API cannot listen on {host} port {port} ({error.strerror}): stop what does, "
                "or choose another port with PORT=8001 or the like."
            ) from error


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
