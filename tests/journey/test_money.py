"""The books after the API was killed again and again in the middle of five hundred acts."""

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from api.money import CREDIT
from tests.journey.conftest import MODEL, Service, teaching_rows

GRANTS, SUBMITS = 440, 60
KILLS = 5


def until_answered(service: Service, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Ask until there is an answer, always by the same key."""
    end = time.monotonic() + 150
    while time.monotonic() < end:
        try:
            answer = service.http.post(path, json=body, headers={"idempotency-key": key})
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code < 500:
            assert answer.status_code in (200, 201), answer.text
            found: dict[str, Any] = answer.json()
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} was never answered")


def test_acts_retried_through_kills_of_the_api_happen_once(service: Service) -> None:
    tenant_id = service.http.get("/admin/tenants").json()["data"][0]["id"]
    limits = f"/admin/tenants/{tenant_id}/limits"
    raised = {"queued_jobs_max": 1_000, "requests_per_minute_max": 1_000_000}
    assert service.http.post(limits, json=raised).status_code == 200
    file_id = service.upload(teaching_rows())
    job: dict[str, Any] = {
        "model": MODEL,
        "training_file": file_id,
        "hyperparameters": {"n_epochs": 1},
    }
    while service.http.post("/quotes", json=job).json()["status"] == "preparing":
        time.sleep(0.1)
    grant: dict[str, Any] = {"amount": CREDIT, "reason": "kept through a kill"}
    before = service.http.get("/credits").json()
    acts = [(f"/admin/tenants/{tenant_id}/grants", grant, f"grant-{n}") for n in range(GRANTS)]
    acts += [("/fine_tuning/jobs", job, f"job-{n}") for n in range(SUBMITS)]
    chance = random.Random(11)
    chance.shuffle(acts)
    done = threading.Event()
    killed: list[int] = []

    def kill_now_and_then() -> None:
        while not done.wait(chance.uniform(1.0, 3.0)) and len(killed) < KILLS:
            for pid in service.pids("uvicorn"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda act: until_answered(service, *act), acts))
    finally:
        done.set()
        killer.join()
    assert killed
    jobs = {answer["id"] for answer in answers if answer["object"] == "fine_tuning.job"}
    assert len(jobs) == SUBMITS
    for job_id in jobs:
        service.http.post(f"/fine_tuning/jobs/{job_id}/cancel")
    end = time.monotonic() + 60
    while service.http.get("/credits").json()["held"] != before["held"]:
        assert time.monotonic() < end, "a hold was left"
        time.sleep(0.5)
    charged = sum(service.job(job_id)["charged_credits"] or 0 for job_id in jobs)
    after = service.http.get("/credits").json()
    assert after["available"] == before["available"] + GRANTS * CREDIT - charged
    checked = service.http.get("/admin/ledger/check").json()
    assert checked["right"], checked["findings"]
