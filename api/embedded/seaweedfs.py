"""The embedded SeaweedFS: an S3 that checks its signatures.

`weed mini` is six servers in one process. Only the S3 one is for us; the HTTP side of the others
is shut with keys that nobody else has, their gRPC side is open to this machine's own users.
"""

import http.client
import json
from pathlib import Path

from api.embedded.home import Home, write_private
from api.embedded.processes import Command
from api.embedded.wheels import engine_environment, script_file

_SERVERS = ("master", "volume", "filer", "s3", "admin")


class SeaweedFS:
    name = "seaweedfs"
    setting = "s3_endpoint"
    port_names: tuple[str, ...] = tuple(
        f"weed.{s}.port{kind}" for s in _SERVERS for kind in ("", ".grpc")
    )

    def __init__(self, home: Home) -> None:
        self._home = home
        self._dir = home.path / "seaweedfs"

    def prepare(self) -> None:
        (self._dir / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._dir / "options", self._options())
        write_private(self._dir / "s3.json", self._identities())
        write_private(self._dir / "security.toml", self._keys())
        self.sweep()

    def command(self) -> Command:
        binary = script_file("weed", setting="S3_ENDPOINT")
        return Command(
            argv=(binary, "-logtostderr=true", "-config_dir=.", "mini", "-options=options"),
            cwd=self._dir,
            env=engine_environment(self._dir),
            # Its own farewell takes up to four seconds and saves nothing that a kill would lose.
            grace_seconds=1.0,
        )

    def answers(self) -> bool:
        """S3 refuses the nameless, and the master knows of a volume server with room."""
        try:
            status, _ = self._get("weed.s3.port", "/")
            _, body = self._get("weed.master.port", "/dir/status")
            room = json.loads(body)["Topology"]["Max"]
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            return False
        return status == 403 and room > 0

    def furnish(self) -> None:
        """The bucket is made by `api.storage`, as on a hosted S3."""

    def sweep(self) -> None:
        """It leaves sockets in /tmp, named by port."""
        for name in self.port_names:
            if name.endswith(".grpc"):
                server, port = name.split(".")[1], self._home.port(name)
                Path(f"/tmp/seaweedfs-{server}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108

    def environment(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT": f"http://127.0.0.1:{self._home.port('weed.s3.port')}",
            "S3_BUCKET": "tunery",
            "S3_REGION": "us-east-1",
            "S3_ACCESS_KEY": self._home.secret("s3_access"),
            "S3_SECRET_KEY": self._home.secret("s3_secret"),
        }

    def _options(self) -> str:
        """By file, for the password's sake and for short command lines."""
        ports = {n.removeprefix("weed."): str(self._home.port(n)) for n in self.port_names}
        options = {
            "dir": "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "volume.preStopSeconds": "0",
            "filer.localSocket": "filer.sock",
            "s3.localSocket": "s3.sock",
            "s3.config": "s3.json",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "webdav": "false",
            "admin.ui": "false",
            "admin.password": self._home.secret("weed_admin"),
            **ports,
        }
        return "".join(f"{name}={value}\n" for name, value in options.items())

    def _identities(self) -> str:
        environment = self.environment()
        keys = {
            "accessKey": environment["S3_ACCESS_KEY"],
            "secretKey": environment["S3_SECRET_KEY"],
        }
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        tunery = {"name": "tunery", "credentials": [keys], "actions": actions}
        return json.dumps({"identities": [tunery]})

    def _keys(self) -> str:
        sections = (
            "jwt.signing",
            "jwt.signing.read",
            "jwt.filer_signing",
            "jwt.filer_signing.read",
        )
        return "".join(f'[{s}]\nkey = "{self._home.secret("weed." + s)}"\n' for s in sections)

    def _get(self, port_name: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._home.port(port_name), timeout=2)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
