"""What an operator watches: the queue of all tenants, the workers, the catalog and its prices."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import dispatch, jobs, pricing
from api.catalog import catalog
from api.db import transaction
from api.settings import settings
from tests.api import given, spent
from tests.api.given import Person

ROOT = Path(__file__).parents[2]


@pytest.fixture
def admin(client: TestClient, who: Person) -> TestClient:
    """Requests with an operator's key."""
    spent.make_operator(who)
    spent.empty_queue()
    return client


def test_the_queue_shows_every_tenants_jobs(
    admin: TestClient, who: Person, stranger: Person
) -> None:
    running, waiting = given.queued_job(stranger), given.queued_job(who)
    claimed = spent.claim()
    assert claimed.job_id == running
    with transaction() as session:
        jobs.record(session, claimed, [spent.step(500)])
    seen = admin.get("/v1/admin/queue").json()
    assert (seen["running"], seen["queued"], seen["validating_files"]) == (1, 1, 0)
    first, second = seen["data"]
    assert (first["id"], first["tenant_id"], first["status"]) == (
        running,
        stranger.tenant_id,
        "running",
    )
    assert (first["tenant_name"], first["model"], first["attempt"]) == ("Some Shop", given.MODEL, 1)
    assert (first["step"], first["worker"]) == (1, "w")
    assert first["lease_expires_at"] > first["since"] >= first["created_at"]
    assert (second["id"], second["worker"], second["lease_expires_at"]) == (waiting, None, None)
    only = admin.get("/v1/admin/queue", params={"limit": 1}).json()
    assert [each["id"] for each in only["data"]] == [running]
    assert only["queued"] == 1
    with transaction(stranger.tenant_id) as session:
        jobs.cancel(session, stranger.tenant_id, running)
    spent.empty_queue()
    assert admin.get("/v1/admin/queue").json()["data"] == []


def test_a_worker_that_celery_does_not_know_of_is_seen_by_its_lease(
    admin: TestClient, stranger: Person
) -> None:
    job_id = given.queued_job(stranger)
    with transaction() as session:
        assert jobs.claim(session, worker="gpu-7:4242")
    seen = admin.get("/v1/admin/workers").json()
    found = next(each for each in seen["data"] if each["id"] == "gpu-7:4242")
    assert (found["known_by"], found["host"], found["pids"]) == (["lease"], "gpu-7", [4242])
    assert [job["id"] for job in found["jobs"]] == [job_id]
    assert found["uptime_seconds"] is None


@pytest.fixture
def worker(engines: Any, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A real Celery worker on the real broker."""
    argv = (
        sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "idle",
        "-n", "idle@%h", "--concurrency", "1", "--without-gossip", "--without-mingle",
    )  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ, stdout=log, stderr=log, text=True
        )
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_a_worker_is_seen_with_its_queues_and_its_job(
    admin: TestClient, worker: subprocess.Popen[str], stranger: Person
) -> None:
    found = _answered(admin)
    assert (found["known_by"], found["queues"], found["jobs"]) == (["celery"], ["idle"], [])
    assert worker.pid in found["pids"]
    assert found["uptime_seconds"] >= 0
    child = next(pid for pid in found["pids"] if pid != worker.pid)
    job_id = given.queued_job(stranger)
    with transaction() as session:
        assert jobs.claim(session, worker=f"{found['host']}:{child}")
    found = _answered(admin)
    assert found["known_by"] == ["celery", "lease"]
    assert [job["id"] for job in found["jobs"]] == [job_id]


def test_a_broker_that_is_away_is_said_and_not_waited_for(
    admin: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        settings.cache_clear()
        dispatch._app.cache_clear()
        began = time.monotonic()
        seen = admin.get("/v1/admin/workers").json()
        assert time.monotonic() - began < 5
    settings.cache_clear()
    dispatch._app.cache_clear()
    assert (seen["celery"], seen["data"]) == (False, [])


def test_the_catalog_says_what_each_base_is_and_costs(admin: TestClient) -> None:
    seen = admin.get("/v1/admin/catalog").json()
    assert [each["id"] for each in seen["data"]] == list(catalog())
    assert seen["default_model"] == settings().default_base_model
    base = next(each for each in seen["data"] if each["id"] == given.MODEL)
    entry = catalog()[given.MODEL]
    assert (base["source"], base["revision"]) == (entry.source, entry.revision)
    rate = pricing.RATES[entry.price_class]
    assert base["rates"] == seen["rates"][base["price_class"]]
    assert base["rates"]["train"] == rate.train
    assert base["memory"]["total"] > entry.parameters * 2
    assert (seen["price_version"], seen["minimum_charge"]) == (
        pricing.PRICE_VERSION,
        pricing.MINIMUM_CHARGE,
    )
    assert seen["method_factors"] == pricing.METHOD_FACTORS


def _answered(admin: TestClient) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for each in admin.get("/v1/admin/workers").json()["data"]:
            if each["id"].startswith("idle@") and each["uptime_seconds"] is not None:
                found: dict[str, Any] = each
                return found
    raise AssertionError("the worker never answered")
