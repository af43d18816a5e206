"""What a job and its watcher live through: kill -9 of a worker, of Redis, a cancel in mid-run."""

import os
import signal
import time
from typing import Any

import httpx

from api.pricing import MINIMUM_CHARGE
from tests.journey.conftest import MODEL, Service, teaching_rows


def long_job(service: Service) -> str:
    """Some twenty seconds of training, with a checkpoint every three steps."""
    return service.submit(
        {
            "model": MODEL,
            "training_file": service.upload(teaching_rows()),
            "seed": 3,
            "hyperparameters": {"n_epochs": 6, "batch_size": 4, "checkpoint_steps": 3},
        }
    )


def watch_through(service: Service, job_id: str, *, at_step: int, disturb: Any) -> list[Any]:
    """Every (seq, event), reconnecting as a browser does; `disturb` is called at a step."""
    seen: list[tuple[int, dict[str, Any]]] = []
    disturbed = False
    until = time.monotonic() + 240
    while time.monotonic() < until:
        try:
            for seq, event in service.events(job_id, after=seen[-1][0] if seen else 0):
                seen.append((seq, event))
                if not disturbed and event["type"] == "step" and event["step"] >= at_step:
                    disturbed = True
                    disturb()
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if seen and seen[-1][1].get("status") in ("succeeded", "failed", "cancelled"):
            return seen
    raise AssertionError(f"the job never ended: {seen[-3:]}")


def test_a_killed_worker_loses_nothing_and_charges_once(service: Service) -> None:
    before = service.http.get("/credits").json()["available"]

    def kill() -> None:
        for pid in service.pids("-Q train"):
            os.kill(pid, signal.SIGKILL)

    job_id = long_job(service)
    seen = watch_through(service, job_id, at_step=7, disturb=kill)
    job = service.job(job_id)
    assert job["status"] == "succeeded"
    assert job["attempt"] == 2
    assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))
    messages = [event["message"] for _, event in seen if "message" in event]
    assert any("worker was lost" in message for message in messages)
    steps = [event["step"] for _, event in seen if event["type"] == "step"]
    resumed = next(n for n, step in enumerate(steps[1:], 1) if step <= steps[n - 1])
    # It went on from a checkpoint, not from the start, and each step was trained at most twice.
    assert steps[resumed] in (4, 7)
    assert steps[-1] == job["total_steps"]
    after = service.http.get("/credits").json()
    assert before - after["available"] == job["charged_credits"] == job["quote"]["credits"]
    assert after["held"] == 0


def test_a_watcher_loses_no_event_when_redis_is_killed(service: Service) -> None:
    def kill() -> None:
        for pid in service.pids("valkey-server"):
            os.kill(pid, signal.SIGKILL)

    job_id = long_job(service)
    seen = watch_through(service, job_id, at_step=5, disturb=kill)
    job = service.job(job_id)
    assert job["status"] == "succeeded"
    assert job["attempt"] == 1
    assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))
    steps = [event["step"] for _, event in seen if event["type"] == "step"]
    assert steps == list(range(1, job["total_steps"] + 1))


def test_a_running_job_is_cancelled_within_a_step_and_charged_to_its_checkpoint(
    service: Service,
) -> None:
    before = service.http.get("/credits").json()["available"]
    job_id = long_job(service)

    def cancel() -> None:
        service.http.post(f"/fine_tuning/jobs/{job_id}/cancel")

    seen = watch_through(service, job_id, at_step=5, disturb=cancel)
    job = service.job(job_id)
    assert job["status"] == "cancelled"
    assert max(event["step"] for _, event in seen if event["type"] == "step") < 12
    saved = [event for _, event in seen if event["type"] == "saved"]
    assert job["trained_tokens"] == saved[-1]["trained_tokens"]
    price = job["quote"]["rate"] * saved[-1]["trained_tokens"]
    assert job["charged_credits"] == max(price, MINIMUM_CHARGE) < job["quote"]["credits"]
    after = service.http.get("/credits").json()
    assert before - after["available"] == job["charged_credits"]
