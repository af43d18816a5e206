"""What a job's page and the list of jobs ask for: curves, the log, filters."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

from api.db import transaction
from api.events import Eval, Event, JobStatus, Notice, Status, Step
from api.jobs.moves import write
from api.tables import JobEvent
from tests.api import given
from tests.api.given import Person


def step(number: int, loss: float = 1.0) -> Step:
    return Step(
        step=number,
        total_steps=100,
        epoch=number / 100,
        loss=loss,
        learning_rate=2e-4,
        grad_norm=1 / 3,
        trained_tokens=number * 10,
        tokens_per_second=1_234.56789,
        eta_seconds=1.0,
    )


def evaluation(number: int, loss: float) -> Eval:
    return Eval(step=number, epoch=1.0, loss=loss, token_accuracy=0.5, rows=10)


def running(attempt: int) -> Status:
    return Status(status=JobStatus.RUNNING, message="started", attempt=attempt)


def tell(job_id: str, *events: Event) -> None:
    with transaction() as session:
        write(session, given.job(session, job_id), events)


def metrics(client: TestClient, job_id: str, **query: int) -> dict[str, Any]:
    answer = client.get(f"/v1/fine_tuning/jobs/{job_id}/metrics", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# -- curves ---------------------------------------------------------------------------------------


def test_a_job_that_has_not_begun_has_empty_curves(client: TestClient, who: Person) -> None:
    found = metrics(client, given.queued_job(who))
    assert found["last_seq"] == 2  # created, queued
    assert set(found["train"]) == {
        "step", "loss", "learning_rate", "grad_norm", "tokens_per_second", "trained_tokens"
    }  # fmt: skip
    assert found["eval"] == {"step": [], "loss": [], "token_accuracy": []}


def test_curves_come_by_column_with_six_digits(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    tell(job_id, running(1), step(1, 2.123456789), step(2, 1.5), evaluation(2, 1.75))
    found = metrics(client, job_id)
    assert found["train"] == {
        "step": [1, 2],
        "loss": [2.12346, 1.5],
        "learning_rate": [0.0002, 0.0002],
        "grad_norm": [0.333333, 0.333333],
        "tokens_per_second": [1234.57, 1234.57],
        "trained_tokens": [10, 20],
    }
    assert found["eval"] == {"step": [2], "loss": [1.75], "token_accuracy": [0.5]}


def test_what_an_attempt_repeats_counts_once(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    first = [step(n, 10 + n) for n in range(1, 9)]
    tell(job_id, running(1), *first[:4], evaluation(4, 1.0), *first[4:], evaluation(8, 2.0))
    # It was lost after step 8 and goes on from its checkpoint at 4.
    again = [step(n, 20 + n) for n in range(5, 8)]
    tell(job_id, running(2), *again)
    found = metrics(client, job_id)
    assert found["train"]["step"] == [1, 2, 3, 4, 5, 6, 7]
    assert found["train"]["loss"] == [11, 12, 13, 14, 25, 26, 27]
    assert found["eval"]["step"] == [4]
    # And once more, from the beginning.
    tell(job_id, running(3), step(1, 31), step(2, 32))
    found = metrics(client, job_id)
    assert found["train"]["loss"] == [31, 32]
    assert found["eval"]["step"] == []


@pytest.mark.parametrize("points", [2, 5, 7, 100])
def test_a_thinned_curve_steps_back_in_the_same_place(
    client: TestClient, who: Person, points: int
) -> None:
    job_id = given.queued_job(who)
    tell(job_id, running(1), *(step(n, 1) for n in range(1, 41)))
    tell(job_id, running(2), *(step(n, 2) for n in range(23, 51)))
    train = metrics(client, job_id, points=points)["train"]
    assert train["step"] == sorted(set(train["step"]))
    assert {23, 50} <= set(train["step"])
    assert train["loss"] == [1 if n < 23 else 2 for n in train["step"]]
    assert len(train["step"]) <= points + 4


def test_evaluations_between_all_steps_hide_none(client: TestClient, who: Person) -> None:
    """Steps are thinned by their own count, whatever stands between them."""
    job_id = given.queued_job(who)
    pairs: list[Event] = [e for n in range(1, 41) for e in (step(n), evaluation(n, 1.0))]
    tell(job_id, running(1), *pairs)
    found = metrics(client, job_id, points=10)
    assert found["train"]["step"] == [*range(1, 41, 4), 40]
    assert found["eval"]["step"] == list(range(1, 41))


def test_curves_go_on_behind_what_is_known(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    tell(job_id, running(1), step(1), step(2))
    known = metrics(client, job_id)["last_seq"]
    assert metrics(client, job_id, after=known)["last_seq"] == known
    tell(job_id, step(3))
    more = metrics(client, job_id, after=known)
    assert more["train"]["step"] == [3]
    assert more["last_seq"] == known + 1


def test_a_hundred_thousand_steps_are_told_quickly(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    row = step(1).model_dump(mode="json")
    with transaction() as session:
        for start in range(1, 100_001, 10_000):
            session.execute(
                insert(JobEvent),
                [
                    {
                        "job_id": job_id,
                        "seq": 10 + n,
                        "tenant_id": who.tenant_id,
                        "type": "step",
                        "payload": row | {"step": n, "loss": 1 / n},
                    }
                    for n in range(start, start + 10_000)
                ],
            )
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        found = metrics(client, job_id)
        seconds.append(time.monotonic() - started)
    assert 2_000 <= len(found["train"]["step"]) <= 2_002
    assert found["train"]["step"][-1] == 100_000
    # It takes about 0.08 s of processor time; the bound leaves room for a machine that is busy.
    assert min(seconds) < 0.5, seconds


# -- the log --------------------------------------------------------------------------------------


def log(client: TestClient, job_id: str, **query: int) -> dict[str, Any]:
    answer = client.get(f"/v1/fine_tuning/jobs/{job_id}/log", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_log_has_every_event_but_steps_in_order(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    notice = Notice(code="rows_skipped", message="two rows", data={"rows": 2})
    tell(job_id, running(1), step(1), notice, step(2), evaluation(2, 1.0), step(3))
    found = log(client, job_id)
    assert [each["event"]["type"] for each in found["data"]] == [
        "status", "status", "status", "notice", "eval"
    ]  # fmt: skip
    assert [each["seq"] for each in found["data"]] == [1, 2, 3, 5, 7]
    assert found["data"][3]["event"] == notice.model_dump(mode="json")
    # The stream goes on behind the steps too.
    assert (found["last_seq"], found["has_more"]) == (8, False)


def test_the_log_comes_in_pages(client: TestClient, who: Person) -> None:
    job_id = given.queued_job(who)
    tell(job_id, *(Notice(code="resumed", message=str(n)) for n in range(7)))
    seen: list[int] = []
    after, more = 0, True
    while more:
        page = log(client, job_id, after=after, limit=4)
        seen += [each["seq"] for each in page["data"]]
        after, more = page["last_seq"], page["has_more"]
    assert seen == list(range(1, 10))


# -- the list -------------------------------------------------------------------------------------


@pytest.fixture
def three(who: Person) -> Sequence[str]:
    """Two that wait, of which one has a name, and one that was cancelled."""
    jobs = [given.queued_job(who), given.queued_job(who, suffix="Shop 100%")]
    return [*jobs, given.queued_job(who)]


def test_jobs_are_found_by_status_model_file_and_words(
    client: TestClient, who: Person, stranger: Person, three: Sequence[str]
) -> None:
    plain, named, ended = three
    given.queued_job(stranger, suffix="Shop 100%")
    client.post(f"/v1/fine_tuning/jobs/{ended}/cancel")
    file_id = client.get(f"/v1/fine_tuning/jobs/{plain}").json()["training_file"]
    for query, wanted in (
        ({}, {plain, named, ended}),
        ({"status": "queued"}, {plain, named}),
        ({"status": ["cancelled", "queued"]}, {plain, named, ended}),
        ({"status": ["failed"]}, set()),
        ({"model": given.MODEL}, {plain, named, ended}),
        ({"model": "another"}, set()),
        ({"training_file": file_id}, {plain}),
        ({"q": "shop"}, {named}),
        ({"q": "100%"}, {named}),
        ({"q": "1%0"}, set()),
        ({"q": ended[-10:].upper()}, {ended}),
        ({"q": "shop", "status": "cancelled"}, set()),
    ):
        answer = client.get("/v1/fine_tuning/jobs", params=query)
        assert {job["id"] for job in answer.json()["data"]} == wanted, query


def test_filters_hold_over_pages(client: TestClient, three: Sequence[str]) -> None:
    client.post(f"/v1/fine_tuning/jobs/{three[1]}/cancel")
    query = {"status": "queued", "limit": "1"}
    first = client.get("/v1/fine_tuning/jobs", params=query).json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == ([three[2]], True)
    query["after"] = first["last_id"]
    second = client.get("/v1/fine_tuning/jobs", params=query).json()
    assert ([job["id"] for job in second["data"]], second["has_more"]) == ([three[0]], False)


def test_an_unknown_status_is_refused(client: TestClient) -> None:
    answer = client.get("/v1/fine_tuning/jobs", params={"status": "done"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_base_model_says_what_a_card_shows(client: TestClient) -> None:
    card = client.get(f"/v1/models/{given.MODEL}").json()
    assert card["owned_by"] == "tunery"
    assert card["source"] == "wheel"
    prices = [card[f"credits_per_million_{what}_tokens"] for what in ("trained", "prompt")]
    assert all(price > 0 for price in prices)
