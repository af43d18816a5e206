"""The books after the API was killed again and again in the middle of five hundred acts."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

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


@pytest.fixture
def customer(service: Service) -> Iterator[Service]:
    """The same service, asked by a tenant of its own with the credits of its sign-up."""
    person = {"email": "extends@example.org", "password": "correct horse battery"}
    with httpx.Client(base_url=f"{service.url}/v1", timeout=60) as http:
        assert http.post("/auth/sign-up", json=person | {"tenant": "Extends"}).status_code == 201
        asked = replace(service, key=http.post("/api_keys", json={}).json()["key"])
    yield asked
    asked.http.close()


def test_a_run_extended_with_credit_and_without_ends_whole_and_is_charged_its_quote(
    service: Service, customer: Service
) -> None:
    tenant = f"/admin/tenants/{customer.http.get('/me').json()['tenant']['id']}"
    before = customer.http.get("/credits").json()
    job_id = customer.submit(
        {
            "model": MODEL,
            "training_file": customer.upload(teaching_rows(copies=4)),
            "hyperparameters": {"n_epochs": 1, "batch_size": 2, "checkpoint_steps": 100},
        }
    )
    path = f"/fine_tuning/jobs/{job_id}"
    seen: list[dict[str, Any]] = []
    attempt = taken = 0
    extended: list[int] = []
    for _, event in customer.events(job_id):
        seen.append(event)
        if event["type"] == "status":
            attempt = event["attempt"]
        if event["type"] == "step" and not extended:
            answer = customer.http.post(f"{path}/extend", json={"n_epochs": 2})
            assert answer.status_code == 200, answer.text
            assert answer.json()["held_credits"] == answer.json()["quote"]["credits"]
            extended.append(attempt)
        if event["type"] == "step" and attempt == 2 and len(extended) == 1:
            price = customer.http.get(f"{path}/extend", params={"n_epochs": 3}).json()
            taken = price["available_credits"] - price["extra_credits"] + 1
            correction = {
                "grant_id": before["grants"][0]["id"],
                "amount": taken,
                "reason": "one micro-credit too little is left",
            }
            answer = service.http.post(f"{tenant}/corrections", json=correction)
            assert answer.status_code == 201, answer.text
            assert customer.http.post(f"{path}/extend", json={"n_epochs": 3}).status_code == 200
            extended.append(attempt)
        if event.get("status") == "paused":
            break
    paused = customer.job(job_id)
    assert (paused["status"], paused["pause"]["reason"]) == ("paused", "out_of_credit")
    last = max(event["step"] for event in seen if event["type"] == "step")
    assert customer.http.get(f"{path}/checkpoints").json()["data"][0]["step_number"] == last
    assert customer.http.post(f"{path}/resume").status_code == 429
    grant = {"amount": 1, "reason": "the one that was missing"}
    assert service.http.post(f"{tenant}/grants", json=grant).status_code == 201
    assert customer.http.post(f"{path}/resume").json()["status"] == "queued"
    steps = [e["step"] for _, e in customer.events(job_id) if e["type"] == "step"]
    job = customer.job(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert steps == list(range(1, job["total_steps"] + 1)), "none twice, and none left out"
    assert job["attempt"] == 3
    assert job["quote"]["n_epochs"] == 3
    assert job["trained_tokens"] == job["quote"]["trained_tokens"]
    assert job["charged_credits"] == job["quote"]["credits"]
    after = customer.http.get("/credits").json()
    assert after["held"] == 0
    assert before["available"] - taken + 1 - after["available"] == job["charged_credits"]
    checked = service.http.get("/admin/ledger/check").json()
    assert checked["right"], checked["findings"]
