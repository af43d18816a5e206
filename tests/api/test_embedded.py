"""The service on this machine: engines that refuse strangers and survive `kill -9`, a supervisor
that restarts what dies and leaves nothing behind. Real engines, stand-ins for the parts.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import psycopg
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.embedded import Engine, Engines, Part, Says, Supervisor
from api.errors import Conflict, Unavailable
from tests.conftest import FreshEngines

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# Ours may lie where only root can go, as under /root.
PROBE = "import psycopg, pydantic_settings; print('yes')"
PYTHONS = (sys.executable, "/usr/bin/python3")

AWAKE = "print('awake', flush=True); import time; time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + AWAKE

# `tunery up` with one stand-in for the parts; its argument is what the stand-in runs.
UP = """
import sys
from api.embedded import Part, Says, up
from api.errors import TuneryError
part = Part("sleeper", (sys.executable, "-c", sys.argv[1]), Says("awake"))
try:
    up(on_ready=lambda: print("all ready", flush=True), parts=lambda settings: (part,))
except TuneryError as error:
    sys.exit(error.message)
"""


class Reached:
    """Clients for what `Engines.start` returned."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.env = engines.start()

    def sql(self, query: str, *, login: str = "DATABASE_OWNER_URL") -> list[tuple[Any, ...]]:
        url = self.env[login].replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.env["REDIS_URL"], decode_responses=True)

    def s3(self, *, access_key: str = "", secret_key: str = "") -> "S3Client":
        return boto3.client(
            "s3",
            endpoint_url=self.env["S3_ENDPOINT"],
            region_name=self.env["S3_REGION"],
            aws_access_key_id=access_key or self.env["S3_ACCESS_KEY"],
            aws_secret_access_key=secret_key or self.env["S3_SECRET_KEY"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


@pytest.fixture(scope="module")
def reached() -> Iterator[Reached]:
    """Engines of this file alone, since its tests kill them."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as path:
        engines = Engines(Path(path) / "data", only=("postgres", "valkey", "seaweedfs"))
        try:
            reached = Reached(engines)
            reached.s3().create_bucket(Bucket="tunery")
            yield reached
        finally:
            engines.stop()


def test_a_row_survives_kill_9(reached: Reached) -> None:
    reached.sql("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('here')")
    _kill_and_start(reached.engines["postgres"])
    assert reached.sql("SELECT word FROM kept") == [("here",)]


def test_a_stream_entry_survives_kill_9(reached: Reached) -> None:
    reached.redis().xadd("kept", {"word": "here"}, id="7-0")
    time.sleep(1.1)  # what appendfsync everysec promises
    _kill_and_start(reached.engines["valkey"])
    assert reached.redis().xrange("kept") == [("7-0", {"word": "here"})]
    assert reached.redis().config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_an_object_survives_kill_9(reached: Reached) -> None:
    reached.s3().put_object(Bucket="tunery", Key="kept", Body=b"here" * 3_000_000)
    _kill_and_start(reached.engines["seaweedfs"])
    body = reached.s3().get_object(Bucket="tunery", Key="kept")["Body"].read()
    assert body == b"here" * 3_000_000


def test_an_object_in_parts_and_a_signed_link_work(reached: Reached) -> None:
    s3 = reached.s3()
    upload = s3.create_multipart_upload(Bucket="tunery", Key="parts")["UploadId"]
    parts: list[CompletedPartTypeDef] = []
    for number, body in enumerate((b"a" * 6_000_000, b"b"), start=1):
        sent = s3.upload_part(
            Bucket="tunery", Key="parts", UploadId=upload, PartNumber=number, Body=body
        )
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3.complete_multipart_upload(
        Bucket="tunery", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    link = s3.generate_presigned_url("get_object", {"Bucket": "tunery", "Key": "parts"})
    assert _get(link)[0] == 200
    assert _get(link.partition("?")[0])[0] == 403


def test_wrong_s3_keys_are_refused(reached: Reached) -> None:
    for stranger in (reached.s3(secret_key="wrong"), reached.s3(access_key="stranger")):
        with pytest.raises(ClientError) as refusal:
            stranger.list_buckets()
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_servers_behind_s3_give_nothing_away(reached: Reached) -> None:
    reached.s3().put_object(Bucket="tunery", Key="secret", Body=b"mine")
    filer = reached.engines.home.port("weed.filer.port")
    assert _get(f"http://127.0.0.1:{filer}/buckets/tunery/secret")[0] == 401
    admin = reached.engines.home.port("weed.admin.port")
    # The admin server is the last to start: later than the S3 that we wait for.
    until = time.monotonic() + 30
    while not _listens(admin) and time.monotonic() < until:
        time.sleep(0.1)
    assert _get(f"http://127.0.0.1:{admin}/")[0] in (401, 403, 404)


def test_wrong_passwords_are_refused(reached: Reached) -> None:
    for login in ("DATABASE_URL", "DATABASE_SYSTEM_URL", "DATABASE_OWNER_URL"):
        head, _, tail = reached.env[login].replace("+psycopg", "").partition("@")
        wrong = head.rpartition(":")[0] + ":wrong@" + tail
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
    port = reached.engines.home.port("valkey")
    for password in (None, "wrong"):
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port, password=password, retry=Retry(NoBackoff(), 0)).ping()


@pytest.mark.parametrize("login", ["DATABASE_URL", "DATABASE_SYSTEM_URL", "DATABASE_OWNER_URL"])
@pytest.mark.parametrize(
    "query",
    [
        "CREATE ROLE mine",
        "ALTER ROLE current_user BYPASSRLS",
        "ALTER ROLE current_user SUPERUSER",
        "SET ROLE postgres",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "CREATE DATABASE mine",
    ],
)
def test_no_login_of_the_service_can_rise(reached: Reached, login: str, query: str) -> None:
    user = reached.env[login].partition("//")[2].partition(":")[0]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reached.sql(query.replace("current_user", user), login=login)


@pytest.mark.parametrize(
    ("login", "role"),
    [
        ("DATABASE_URL", "tunery"),
        ("DATABASE_URL", "tunery_system"),
        ("DATABASE_URL", "tunery_worker"),
        ("DATABASE_SYSTEM_URL", "tunery"),
        ("DATABASE_SYSTEM_URL", "tunery_app"),
    ],
)
def test_no_login_can_become_another(reached: Reached, login: str, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reached.sql(f"SET ROLE {role}", login=login)


def test_each_login_can_become_its_own_group(reached: Reached) -> None:
    reached.sql("SET ROLE tunery_app", login="DATABASE_URL")
    reached.sql("SET ROLE tunery_system", login="DATABASE_SYSTEM_URL")


def test_only_this_machine_can_reach_the_engines(reached: Reached) -> None:
    addresses = {a for engine in reached.engines for a in _listening(engine.pid or 0)}
    assert addresses == {"0100007F"}


def test_no_password_is_in_a_command_line_or_in_a_readable_file(reached: Reached) -> None:
    secrets = {v for k, v in reached.env.items() if "KEY" in k}
    secrets |= {v.rpartition("@")[0].rpartition(":")[2] for k, v in reached.env.items() if "@" in v}
    for engine in reached.engines:
        line = Path(f"/proc/{engine.pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in line]
    home = reached.engines.home.path
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "engines.json").stat().st_mode) == 0o600


def test_a_directory_is_held_by_one_process_at_a_time(reached: Reached) -> None:
    with pytest.raises(Conflict, match=f"process {os.getpid()}"):
        Engines(reached.engines.home.path, only=()).start()


def test_ports_are_kept_and_given_up_when_taken(fresh_engines: FreshEngines) -> None:
    engines = fresh_engines("valkey")
    first = engines.start()
    engines.stop()
    assert engines.start() == first
    engines.stop()
    with socket.create_server(("127.0.0.1", engines.home.port("valkey"))):
        second = engines.start()
    assert second != first
    engines.stop()
    assert engines.start() == second


def test_an_engine_that_cannot_start_says_why(fresh_engines: FreshEngines) -> None:
    engines = fresh_engines("valkey")
    engines.start()
    engines.stop()
    (engines.home.path / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("?")
    with pytest.raises(Unavailable, match="valkey did not start"):
        engines.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="all other tests run as a plain user already")
def test_engines_start_as_a_plain_user(short_dir: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from api.embedded import Engines; "
        "names = ('postgres', 'valkey', 'seaweedfs'); "
        "engines = Engines(Path('data'), only=names); engines.start(); "
        "print(*[engine.name for engine in engines if engine.alive()]); engines.stop()"
    )

    os.chown(short_dir, NOBODY, NOBODY)
    python = next((p for p in PYTHONS if _run_as_nobody(p, PROBE, short_dir) == "yes\n"), None)
    if python is None:
        pytest.skip("a plain user can run neither this Python nor the system's")
    assert _run_as_nobody(python, script, short_dir) == "postgres valkey seaweedfs\n"
    assert _processes_in(short_dir) == []


def test_a_part_that_dies_is_started_again(
    short_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    engines = Engines(short_dir, only=())
    engines.start()
    supervisor = Supervisor(engines, logs=engines.home.logs)
    try:
        supervisor.start([_part(AWAKE)])
        (first,) = _children()
        os.kill(first, signal.SIGKILL)
        _wait_for(lambda: _children() not in ([], [first]))
        (second,) = _children()
        _wait_for(lambda: f"ready  pid {second}" in _heard(capsys, seen))
    finally:
        supervisor.stop()
    assert f"died   pid {first} (SIGKILL)" in _heard(capsys, seen)
    assert _children() == []


def test_a_part_that_never_starts_ends_the_service_with_its_last_words(short_dir: Path) -> None:
    engines = Engines(short_dir, only=())
    engines.start()
    supervisor = Supervisor(engines, logs=engines.home.logs)
    try:
        with pytest.raises(Unavailable, match=r"exit code 1.*no such thing"):
            supervisor.start([_part("raise SystemExit('no such thing')")])
    finally:
        supervisor.stop()


def test_up_restarts_an_engine_refuses_a_second_and_leaves_nothing(service: "Service") -> None:
    service.start(AWAKE)
    service.wait_for("all ready")
    pid = service.pid_of("postgres")
    os.kill(pid, signal.SIGKILL)
    service.wait_for("postgres      died")
    _wait_for(lambda: service.pid_of("postgres") != pid)
    refused = service.run_another()
    assert refused.returncode == 1
    assert f"as process {service.pid}" in refused.stderr
    assert len(_processes_in(service.path)) > 4
    assert service.signal(signal.SIGTERM) == 0
    assert _processes_in(service.path) == []


def test_kill_9_of_up_leaves_nothing_and_the_next_up_works(service: "Service") -> None:
    service.start(AWAKE)
    service.wait_for("all ready")
    service.signal(signal.SIGKILL)
    _wait_for(lambda: _processes_in(service.path) == [])
    service.start(STUBBORN)
    service.wait_for("all ready")
    service.signal(signal.SIGINT, wait=False)
    service.wait_for("stopping")
    began = time.monotonic()
    assert service.signal(signal.SIGINT) == 128 + signal.SIGINT
    assert time.monotonic() - began < 3
    _wait_for(lambda: _processes_in(service.path) == [])


def test_up_names_the_port_that_is_taken(service: "Service") -> None:
    with socket.create_server(("127.0.0.1", service.port)):
        refused = service.run_another()
    assert refused.returncode == 1
    assert f"port {service.port}" in refused.stderr
    assert "PORT=" in refused.stderr


class Service:
    """`tunery up` as a process of its own, with its own directory and port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self, stand_in: str) -> None:
        self.lines = []
        self._process = subprocess.Popen(
            self._argv(stand_in),
            cwd=self.path,
            env=self._env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=[self._process], daemon=True).start()

    def run_another(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._argv(AWAKE),
            cwd=self.path,
            env=self._env(),
            capture_output=True,
            text=True,
            check=False,
        )

    def wait_for(self, words: str) -> None:
        try:
            _wait_for(lambda: any(words in line for line in self.lines), seconds=40)
        except AssertionError:
            pytest.fail(f"never said {words!r}:\n{''.join(self.lines)}")

    def pid_of(self, name: str) -> int:
        """As the last line about it says."""
        ready = [line.split() for line in self.lines if line.startswith(name) and "ready" in line]
        return int(ready[-1][3])

    def signal(self, number: signal.Signals, *, wait: bool = True) -> int:
        assert self._process
        self._process.send_signal(number)
        return self._process.wait(30) if wait else 0

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            _wait_for(lambda: _processes_in(self.path) == [])

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line)

    def _argv(self, stand_in: str) -> list[str]:
        return [sys.executable, "-c", UP, stand_in]

    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "DATA_DIR": "data",
        }


@pytest.fixture
def service(short_dir: Path) -> Iterator[Service]:
    service = Service(short_dir)
    yield service
    service.close()


def _part(code: str) -> Part:
    return Part("sleeper", (sys.executable, "-c", code), Says("awake"))


def _run_as_nobody(python: str, code: str, directory: Path) -> str:
    """What it printed; nothing where this Python is not for everyone."""
    paths = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    try:
        done = subprocess.run(
            [python, "-c", code],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd=directory,
            env={
                "PYTHONPATH": paths,
                "PATH": sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"],
            },
            capture_output=True,
            text=True,
            check=False,
        )
    except PermissionError:
        return ""
    return done.stdout or done.stderr


def _kill_and_start(engine: Engine) -> None:
    before = engine.pid
    assert before
    os.kill(before, signal.SIGKILL)
    _wait_for(lambda: not engine.alive())
    engine.start()
    assert engine.pid != before


def _wait_for(fact: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def _heard(capsys: pytest.CaptureFixture[str], before: list[str]) -> str:
    """All that was printed so far."""
    before.append(capsys.readouterr().out)
    return "".join(before)


def _children() -> list[int]:
    """Our own children that run a stand-in."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and AWAKE in (path / "cmdline").read_text():
                found.append(int(path.name))
        except (OSError, ValueError):
            continue
    return found


def _processes_in(directory: Path) -> list[str]:
    """Every process that works in the directory or below it: engines, their children, the parts."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            where = (path / "cwd").readlink()
            command = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if where.is_relative_to(directory):
            found.append(f"{path.name} {command}")
    return found


def _listening(pid: int) -> set[str]:
    """The addresses, as the kernel writes them, on which a process listens."""
    links = [_link(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _get(url: str) -> tuple[int, bytes]:
    answer = httpx.get(url)
    return answer.status_code, answer.content
