"""The data directory: who holds it, and the ports and passwords that its engines were given.

Both are chosen once and kept in `engines.json` (mode 0600), so a restart finds its engines where it
left them.
"""

import fcntl
import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from api.errors import Conflict, Unavailable

# Below the kernel's usual range for outgoing connections, so that none of those takes a port that
# an engine wants back.
_PORTS = range(20_000, 32_000)


class Home:
    """One data directory, held by at most one process."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self._lock_file: IO[str] | None = None
        self._guard = threading.Lock()
        self._ports: dict[str, int] = {}
        self._secrets: dict[str, str] = {}

    def hold(self) -> None:
        """Take the directory for this process; the kernel lets go of it however we end."""
        if self._lock_file is not None:
            return
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            file = (self.path / "lock").open("a+")
        except OSError as error:
            raise Unavailable(
                f"The data directory {self.path} cannot be used ({error.strerror}); "
                "choose another with DATA_DIR."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            file.close()
            raise Conflict(
                f"Tunery already runs on {self.path} as process {pid}: stop that one first, "
                "or choose another directory with DATA_DIR."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock_file = file
        self._read()

    def release(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def port(self, name: str) -> int:
        return self._ports[name]

    def secret(self, name: str) -> str:
        """The password of that name, made at the first call."""
        with self._guard:
            if name not in self._secrets:
                self._secrets[name] = secrets.token_hex(20)
                self._write()
            return self._secrets[name]

    def claim_ports(self, names: Iterable[str], *, patience_seconds: float = 2.0) -> None:
        """Keep the remembered ports where they are free, and choose others where not.

        After a `kill -9` the engines of before may still be letting go of theirs: hence the wait.
        """
        wanted = list(names)
        deadline = time.monotonic() + patience_seconds
        while not all(_is_free(self._ports[n]) for n in wanted if n in self._ports):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        taken = set(self._ports.values())
        for name in wanted:
            if name not in self._ports or not _is_free(self._ports[name]):
                self._ports[name] = _choose_port(taken)
                taken.add(self._ports[name])
        with self._guard:
            self._write()

    def _read(self) -> None:
        try:
            kept = json.loads((self.path / "engines.json").read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"{self.path / 'engines.json'} cannot be read; it holds the engines' passwords: "
                "put it back from a backup, or start afresh in another DATA_DIR."
            ) from error
        self._ports = kept["ports"]
        self._secrets = kept["secrets"]

    def _write(self) -> None:
        """Whole or not at all: a crash half-way must not lose the passwords."""
        kept = json.dumps({"ports": self._ports, "secrets": self._secrets}, indent=2)
        write_private(self.path / "engines.json", kept)


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _choose_port(taken: set[int]) -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        if port not in taken and _is_free(port):
            return port
    raise Unavailable(f"No port from {_PORTS.start} to {_PORTS.stop} is free on 127.0.0.1.")
