"""PostgreSQL, Valkey and SeaweedFS as one thing to start: only those that no setting replaces."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Protocol

from api.embedded.home import Home
from api.embedded.postgres import Postgres
from api.embedded.processes import Command, Process
from api.embedded.seaweedfs import SeaweedFS
from api.embedded.valkey import Valkey
from api.errors import Unavailable
from api.settings import settings

# A killed PostgreSQL leaves locks for up to two seconds, so one death at birth means little.
_BIRTHS_MAX = 12
_PAUSE_SECONDS = 0.25


class Server(Protocol):
    """What an engine must tell about itself."""

    name: str
    setting: str
    port_names: tuple[str, ...]

    def __init__(self, home: Home) -> None: ...
    def prepare(self) -> None:
        """Lay its files, each time anew."""

    def command(self) -> Command: ...
    def answers(self) -> bool: ...
    def furnish(self) -> None:
        """Make what can only be made while it runs."""

    def sweep(self) -> None:
        """Remove what it leaves outside the data directory."""

    def environment(self) -> dict[str, str]: ...


SERVERS: tuple[type[Server], ...] = (Postgres, Valkey, SeaweedFS)


class Engine:
    """One embedded server: start it, stop it, kill it, start it again on the same port."""

    def __init__(self, server: Server, *, log: Path) -> None:
        self.name = server.name
        self.ready_seconds = 0.0
        self._server = server
        self._process = Process(server.name, log)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    def alive(self) -> bool:
        return self._process.alive()

    def start(self, *, patience_seconds: float = 30.0) -> None:
        """Return once it answers; where it runs already, just ask it."""
        self._process.open()
        began = time.monotonic()
        if not self.alive():
            self._server.prepare()
        births = 0
        while not (self._server.answers() and self.alive()):
            if time.monotonic() > began + patience_seconds or births > _BIRTHS_MAX:
                raise Unavailable(
                    f"{self.name} did not start; {self._process.log} ends with:\n"
                    f"{self._process.last_words()}"
                )
            if not self.alive():
                time.sleep(_PAUSE_SECONDS if births else 0)
                self._process.spawn(self._server.command())
                births += 1
            time.sleep(0.02)
        self._server.furnish()
        self.ready_seconds = time.monotonic() - began

    def stop(self) -> None:
        self._process.stop()
        self._server.sweep()

    def kill(self) -> None:
        """As `kill -9` would."""
        self._process.kill()


class Engines:
    """The engines of one data directory.

    `only` names them; else they are those whose setting is empty. A server that is configured from
    outside is used as it is, and its variables are not in what `start` returns.
    """

    def __init__(self, data_dir: Path, *, only: Iterable[str] | None = None) -> None:
        self.home = Home(data_dir)
        self._only = None if only is None else frozenset(only)
        self._engines: dict[str, Engine] = {}

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    def __getitem__(self, name: str) -> Engine:
        return self._engines[name]

    def __enter__(self) -> "Engines":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> dict[str, str]:
        """Start what is wanted, side by side, and return where it is reached."""
        self.home.hold()
        servers = [kind(self.home) for kind in SERVERS if self._wanted(kind)]
        if not self._engines:
            self.home.claim_ports(name for server in servers for name in server.port_names)
            self._engines = {
                s.name: Engine(s, log=self.home.logs / f"{s.name}.log") for s in servers
            }
        try:
            with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
                list(pool.map(Engine.start, self))
        except BaseException:
            self.stop()
            raise
        return {name: value for s in servers for name, value in s.environment().items()}

    def stop(self) -> None:
        """Stop all, side by side, and let go of the directory."""
        with ThreadPoolExecutor(max_workers=len(SERVERS)) as pool:
            list(pool.map(Engine.stop, self))
        self._engines = {}
        self.home.release()

    def kill(self) -> None:
        """At once, without goodbye."""
        for engine in self:
            engine.kill()

    def _wanted(self, kind: type[Server]) -> bool:
        if self._only is not None:
            return kind.name in self._only
        return not getattr(settings(), kind.setting)
