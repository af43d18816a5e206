"""A job's life in the database: submit, claim, record, checkpoint, end; each with its money."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api import jobs, ledger
from api.db import transaction
from api.errors import BadRequest, InsufficientCredit, NotFound, RateLimited
from api.events import JobStatus, Saved, Step
from api.jobs.moves import MOVES
from api.settings import settings
from tests.api import given
from tests.api.given import Person


@pytest.fixture(autouse=True)
def an_empty_queue(engines: Any) -> None:
    """Claiming looks at every tenant's jobs, so each test starts with none that wait."""
    with transaction() as session:
        session.execute(
            text(
                "UPDATE jobs SET status = 'cancelled', lease_owner = NULL "
                "WHERE status IN ('queued', 'running', 'validating_files')"
            )
        )


def status(job_id: str) -> str:
    with transaction() as session:
        return given.job(session, job_id).status


def balance(who: Person) -> tuple[int, int]:
    with transaction(who.tenant_id) as session:
        found = ledger.balance(session, who.tenant_id)
    return found.available, found.held


def claim() -> jobs.Claim:
    with transaction() as session:
        claimed = jobs.claim(session, worker="w")
    assert claimed is not None
    return claimed


def step(number: int, tokens: int) -> Step:
    return Step(
        step=number,
        total_steps=36,
        epoch=number / 12,
        loss=2.0,
        learning_rate=1e-4,
        grad_norm=1.0,
        trained_tokens=tokens,
        tokens_per_second=100.0,
        eta_seconds=1.0,
    )


def record(claimed: jobs.Claim, *events: Step) -> jobs.Beat:
    with transaction() as session:
        return jobs.record(session, claimed, events)


def save(claimed: jobs.Claim, number: int, tokens: int) -> None:
    saved = Saved(step=number, trained_tokens=tokens, folder="x")
    with transaction() as session:
        jobs.checkpoint(session, claimed, saved, prefix="p/", files={"a": "0" * 64})


def finish(claimed: jobs.Claim) -> str:
    with transaction() as session:
        return jobs.finish(
            session,
            claimed,
            adapter_id=f"adp-{claimed.job_id}",
            prefix="p/",
            manifest={"files": {}},
            size=1,
        )


def lose_lease(job_id: str) -> None:
    with transaction() as session:
        given.job(session, job_id).lease_expires_at = session.execute(
            text("SELECT now() - interval '1 s'")
        ).scalar_one()
    with transaction() as session:
        jobs.sweep(session)


# -- submit ---------------------------------------------------------------------------------------


def test_a_job_and_its_hold_are_made_together(who: Person) -> None:
    job_id = given.queued_job(who)
    assert status(job_id) == "queued"
    # 9,000 tokens an epoch, 3 epochs by OpenAI's rule at 90 rows, 10 micro-credits a token.
    assert balance(who) == (100_000_000 - 270_000, 270_000)


def test_auto_and_absent_are_the_same_and_what_was_given_is_kept(who: Person) -> None:
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    given_body = given.submission(given.dataset(who), hyperparameters={"n_epochs": 2})
    auto_body = given.submission(given_body.training_file, hyperparameters=auto)
    given.encode(auto_body)
    with transaction(who.tenant_id) as session:
        chosen = jobs.quote(session, who.tenant_id, auto_body)
        fixed = jobs.quote(session, who.tenant_id, given_body)
    assert chosen.spec
    assert fixed.spec
    assert (chosen.spec.hyperparameters.n_epochs, chosen.effective["n_epochs"].origin) == (
        3,
        "derived",
    )
    assert (fixed.spec.hyperparameters.n_epochs, fixed.effective["n_epochs"].origin) == (2, "given")
    assert chosen.effective["weight_decay"].origin == "default"
    assert chosen.spec.hyperparameters.batch_size == 8


def test_a_job_that_cannot_be_paid_is_not_made(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body, train_tokens=4_000_000)
    with pytest.raises(InsufficientCredit), transaction(who.tenant_id) as session:
        jobs.submit(session, who.tenant_id, body, actor="t")
    with transaction(who.tenant_id) as session:
        assert jobs.page(session, who.tenant_id, after=None, limit=5) == []
    assert balance(who) == (100_000_000, 0)


def test_a_quote_is_what_is_held_and_what_is_charged(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body)
    with transaction(who.tenant_id) as session:
        answer = jobs.quote(session, who.tenant_id, body)
        job, _ = jobs.submit(session, who.tenant_id, body, actor="t")
    assert answer.quote
    assert balance(who)[1] == answer.quote.credits
    claimed = claim()
    assert claimed.job_id == job.id
    record(claimed, step(36, answer.quote.trained_tokens))
    finish(claimed)
    assert balance(who) == (100_000_000 - answer.quote.credits, 0)


def test_a_job_on_an_unread_file_waits_and_is_priced_when_it_is_read(who: Person) -> None:
    body = given.submission(given.dataset(who))
    with transaction(who.tenant_id) as session:
        job, _ = jobs.submit(session, who.tenant_id, body, actor="t")
    assert status(job.id) == "validating_files"
    assert balance(who) == (100_000_000, 0)
    given.encode(body)
    with transaction() as session:
        jobs.admit_waiting(session)
    assert status(job.id) == "queued"
    assert balance(who)[1] == 270_000


def test_a_waiting_job_fails_with_the_lines_that_are_wrong(who: Person) -> None:
    body = given.submission(given.dataset(who))
    with transaction(who.tenant_id) as session:
        job, _ = jobs.submit(session, who.tenant_id, body, actor="t")
    problem = {"line": 7, "field": None, "code": "no_answer", "message": "There is no answer."}
    given.encode(body, bad_rows=1, problems=[problem])
    with transaction() as session:
        jobs.admit_waiting(session)
        found = given.job(session, job.id)
        assert found.status == "failed"
        assert found.error
        assert found.error["code"] == "invalid_training_file"
        assert "line 7: There is no answer." in found.error["message"]


def test_bad_rows_are_left_out_only_when_the_caller_says_so(who: Person) -> None:
    problem = {"line": 7, "field": None, "code": "no_answer", "message": "There is no answer."}
    body = given.submission(given.dataset(who))
    given.encode(body, bad_rows=1, problems=[problem])
    with pytest.raises(BadRequest, match="line 7"), transaction(who.tenant_id) as session:
        jobs.submit(session, who.tenant_id, body, actor="t")
    accepted = body.model_copy(
        update={"tuning": body.tuning.model_copy(update={"skip_bad_rows": True})}
    )
    with transaction(who.tenant_id) as session:
        job, _ = jobs.submit(session, who.tenant_id, accepted, actor="t")
        assert job.status == "queued"


def test_the_same_key_is_the_same_job_and_another_body_is_refused(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body)
    made = []
    for _ in range(3):
        with transaction(who.tenant_id) as session:
            job, new = jobs.submit(session, who.tenant_id, body, actor="t", request_key="k")
            made.append((job.id, new))
    assert len({job_id for job_id, _ in made}) == 1
    assert [new for _, new in made] == [True, False, False]
    assert balance(who)[1] == 270_000
    other = body.model_copy(update={"suffix": "else"})
    with (
        pytest.raises(BadRequest, match="another request"),
        transaction(who.tenant_id) as session,
    ):
        jobs.submit(session, who.tenant_id, other, actor="t", request_key="k")


def test_a_client_that_retries_by_itself_makes_one_job_even_in_a_race(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body)

    def send(retried: bool) -> str:
        with transaction(who.tenant_id) as session:
            return jobs.submit(session, who.tenant_id, body, actor="t", retried=retried)[0].id

    first = send(False)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, [True] * 16)) == {first}
    assert send(False) != first


def test_of_racing_submits_exactly_those_are_made_that_can_be_paid(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body, train_tokens=475_000)  # 14.25 credits each, 100 there: seven fit

    def send(number: int) -> bool:
        named = body.model_copy(update={"suffix": str(number)})
        try:
            with transaction(who.tenant_id) as session:
                jobs.submit(session, who.tenant_id, named, actor="t")
        except InsufficientCredit:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(50))) == 7


def test_a_tenant_cannot_flood_the_queue(who: Person) -> None:
    body = given.submission(given.dataset(who))
    given.encode(body)
    for _ in range(settings().queued_jobs_max):
        with transaction(who.tenant_id) as session:
            jobs.submit(session, who.tenant_id, body, actor="t")
    with (
        pytest.raises(RateLimited, match="queued_jobs_max"),
        transaction(who.tenant_id) as session,
    ):
        jobs.submit(session, who.tenant_id, body, actor="t")


def test_a_strangers_file_is_not_there(who: Person, stranger: Person) -> None:
    body = given.submission(given.dataset(stranger))
    with pytest.raises(NotFound), transaction(who.tenant_id) as session:
        jobs.submit(session, who.tenant_id, body, actor="t")


# -- claim, record, checkpoint --------------------------------------------------------------------


def test_a_job_is_claimed_by_one_of_many_workers(who: Person) -> None:
    job_id = given.queued_job(who)

    def attempt(number: int) -> str | None:
        with transaction() as session:
            claimed = jobs.claim(session, worker=f"w{number}")
            return claimed.job_id if claimed else None

    with ThreadPoolExecutor(8) as pool:
        got = [found for found in pool.map(attempt, range(16)) if found]
    assert got == [job_id]


def test_the_tenant_with_less_running_goes_first(who: Person, stranger: Person) -> None:
    flood = [given.queued_job(who, suffix=str(n)) for n in range(6)]
    late = given.queued_job(stranger)
    order = [claim().job_id for _ in range(5)]
    assert order[:2] == [flood[0], late]
    # Four may run at once for a tenant; the fifth waits though workers are free.
    with transaction() as session:
        assert jobs.claim(session, worker="w") is None


def test_events_are_numbered_without_a_gap(who: Person) -> None:
    job_id = given.queued_job(who)
    claimed = claim()
    record(claimed, step(1, 100), step(2, 200))
    record(claimed, step(3, 300))
    with transaction() as session:
        entries = jobs.events_after(session, job_id, 0)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.type for entry in entries] == ["status"] * 3 + ["step"] * 3
        found = given.job(session, job_id)
        assert (found.step, found.trained_tokens) == (3, 300)


def test_a_zombie_writes_nothing(who: Person) -> None:
    job_id = given.queued_job(who)
    zombie = claim()
    lose_lease(job_id)
    successor = claim()
    assert successor.attempt == 2
    before = len(events(job_id))
    for act in (
        lambda: record(zombie, step(9, 900)),
        lambda: save(zombie, 9, 900),
        lambda: finish(zombie),
    ):
        with pytest.raises(jobs.Fenced):
            act()
    with pytest.raises(jobs.Fenced), transaction() as session:
        jobs.fail(session, zombie, code="run_refused", message="x")
    assert len(events(job_id)) == before
    assert status(job_id) == "running"


def events(job_id: str) -> list[Any]:
    with transaction() as session:
        return jobs.events_after(session, job_id, 0)


def test_the_next_attempt_finds_the_newest_checkpoint_first(who: Person) -> None:
    job_id = given.queued_job(who)
    claimed = claim()
    save(claimed, 5, 500)
    save(claimed, 10, 1_000)
    lose_lease(job_id)
    assert [saved.step for saved in claim().checkpoints] == [10, 5]


# -- the end --------------------------------------------------------------------------------------


def test_a_job_lost_three_times_fails_and_costs_nothing(who: Person) -> None:
    job_id = given.queued_job(who)
    for _ in range(3):
        claim()
        lose_lease(job_id)
    assert status(job_id) == "failed"
    assert balance(who) == (100_000_000, 0)


def test_a_job_that_breaks_on_our_side_is_tried_again_and_says_why(who: Person) -> None:
    job_id = given.queued_job(who)
    for attempt in range(3):
        with transaction() as session:
            assert given.job(session, job_id).status == "queued", attempt
        claimed = claim()
        with transaction() as session:
            jobs.hand_back(session, claimed, why="The worker's disk is full")
    with transaction() as session:
        error = given.job(session, job_id).error
    assert error
    assert error["message"].startswith("The worker's disk is full, 3 times")
    assert balance(who) == (100_000_000, 0)


def test_a_checkpoint_resets_the_count_of_lost_workers(who: Person) -> None:
    job_id = given.queued_job(who)
    for n in range(4):
        save(claim(), n + 1, (n + 1) * 100)
        lose_lease(job_id)
    assert status(job_id) == "queued"


def test_cancelling_a_queued_job_gives_everything_back(who: Person) -> None:
    job_id = given.queued_job(who)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    assert status(job_id) == "cancelled"
    assert balance(who) == (100_000_000, 0)
    with (
        pytest.raises(BadRequest, match="Job has already completed"),
        transaction(who.tenant_id) as session,
    ):
        jobs.cancel(session, who.tenant_id, job_id)


def test_cancelling_a_running_job_charges_up_to_its_last_checkpoint(who: Person) -> None:
    job_id = given.queued_job(who)
    claimed = claim()
    record(claimed, step(10, 7_000))
    save(claimed, 10, 7_000)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    assert status(job_id) == "running"
    assert record(claimed, step(11, 7_700)).cancel
    with transaction() as session:
        jobs.cancelled(session, claimed)
    assert status(job_id) == "cancelled"
    assert balance(who) == (100_000_000 - 70_000, 0)


def test_a_failure_of_ours_is_free_and_one_of_the_users_costs_the_checkpoint(who: Person) -> None:
    for user_fault, cost in ((False, 0), (True, 70_000)):
        given.queued_job(who)
        claimed = claim()
        save(claimed, 10, 7_000)
        before = sum(balance(who))
        with transaction() as session:
            jobs.fail(session, claimed, code="run_refused", message="x", user_fault=user_fault)
        assert before - sum(balance(who)) == cost


@pytest.mark.parametrize(("old", "new"), list(product(JobStatus, JobStatus)))
def test_the_database_allows_exactly_the_moves_of_the_table(
    who: Person, old: JobStatus, new: JobStatus
) -> None:
    if old == new:
        return
    job_id = given.queued_job(who)
    owner = {True: "'w'", False: "NULL"}
    move = "UPDATE jobs SET status = '{}', lease_owner = {} WHERE id = '{}'"
    path = {
        JobStatus.VALIDATING_FILES: None,
        JobStatus.QUEUED: [],
        JobStatus.RUNNING: [JobStatus.RUNNING],
        JobStatus.PAUSED: [JobStatus.PAUSED],
        JobStatus.SUCCEEDED: [JobStatus.RUNNING, JobStatus.SUCCEEDED],
        JobStatus.FAILED: [JobStatus.FAILED],
        JobStatus.CANCELLED: [JobStatus.CANCELLED],
    }[old]
    if path is None:
        body = given.submission(given.dataset(who))
        with transaction(who.tenant_id) as session:
            job_id = jobs.submit(session, who.tenant_id, body, actor="t")[0].id
    with transaction() as session:
        for place in path or []:
            session.execute(text(move.format(place, owner[place == "running"], job_id)))
    statement = text(move.format(new, owner[new == "running"], job_id))
    if new in MOVES[old]:
        with transaction() as session:
            session.execute(statement)
    else:
        with pytest.raises(DBAPIError, match="cannot move"), transaction() as session:
            session.execute(statement)
