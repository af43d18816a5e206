"""More epochs for a job: priced exactly, held at once or waited for, and never a lost run."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import jobs, ledger
from api.db import transaction
from api.embedded import Engines
from api.errors import BadRequest, Forbidden, InsufficientCredit, NotFound
from api.events import Saved
from api.money import CREDIT
from api.tables import Job
from tests.api import given, spent
from tests.api.books import cheat, findings
from tests.api.given import Person
from tests.api.test_credits_routes import Command, tunery
from tests.api.test_quotas import balance, budget, give, limit

__all__ = ["tunery"]  # a fixture

EPOCH = 90_000  # 9,000 tokens at 10 micro-credits; a job of `given` trains three
STEPS = 12  # an epoch


def job(job_id: str) -> Job:
    with transaction() as session:
        return given.job(session, job_id)


def extend(who: Person, job_id: str, n_epochs: int, *, actor: str = "") -> Job:
    with transaction(who.tenant_id) as session:
        actor = actor or who.actor.name
        return jobs.extend(session, who.tenant_id, job_id, n_epochs, actor=actor)


def resume(who: Person, job_id: str) -> Job:
    with transaction(who.tenant_id) as session:
        return jobs.resume(session, who.tenant_id, job_id)


def leave(who: Person, amount: int) -> None:
    """Let so much of the sign-up's 100 credits be available."""
    with transaction(who.tenant_id) as session:
        free = ledger.balance(session, who.tenant_id).available
    with transaction() as session:
        grant = ledger.grants(session, who.tenant_id)[0].id
        ledger.correct(
            session,
            who.tenant_id,
            free - amount,
            grant_id=grant,
            key="less",
            reason="test",
            actor="test",
        )


def codes(job_id: str) -> list[str]:
    with transaction() as session:
        query = text(
            "SELECT coalesce(payload->>'code', payload->>'status') FROM job_events "
            "WHERE job_id = :id ORDER BY seq"
        )
        return [row[0] for row in session.execute(query, {"id": job_id})]


def queued(who: Person) -> str:
    spent.empty_queue()
    return given.queued_job(who)


def running(who: Person) -> tuple[str, jobs.Claim]:
    job_id = queued(who)
    return job_id, spent.claim()


def beat(claimed: jobs.Claim) -> jobs.Beat:
    with transaction() as session:
        return jobs.beat(session, claimed)


def train(claimed: jobs.Claim, step: int) -> jobs.Beat:
    """Come to a step, save there, and learn what a worker learns."""
    with transaction() as session:
        told = spent.step(step * 750).model_copy(update={"step": step})
        heard = jobs.record(session, claimed, [told])
        saved = Saved(step=step, trained_tokens=step * 750, folder="x")
        jobs.checkpoint(session, claimed, saved, prefix="p/", files={"a": "0" * 64})
    return heard


def step_aside(claimed: jobs.Claim) -> None:
    with transaction() as session:
        jobs.step_aside(session, claimed)


def finish(claimed: jobs.Claim) -> None:
    with transaction() as session:
        jobs.finish(
            session,
            claimed,
            adapter_id=f"adp-{claimed.job_id}",
            prefix="p/",
            manifest=spent.MANIFEST,
            size=1,
        )


def in_order(job_id: str) -> bool:
    return not [found for found in findings() if job_id in found.row]


# -- paid -----------------------------------------------------------------------------------------


def test_a_queued_job_is_made_longer_and_holds_what_it_costs(who: Person) -> None:
    job_id = queued(who)
    extended = extend(who, job_id, 5)
    assert extended.spec is not None
    assert extended.quote is not None
    assert extended.spec["hyperparameters"]["n_epochs"] == 5
    assert extended.quote["credits"] == 5 * EPOCH
    assert (extended.status, extended.total_steps) == ("queued", 5 * STEPS)
    assert balance(who) == (100 * CREDIT - 5 * EPOCH, 5 * EPOCH)
    assert codes(job_id)[-1] == "extended"
    assert in_order(job_id)
    fresh = given.queued_job(who, hyperparameters={"n_epochs": 5})
    assert job(fresh).quote == extended.quote, "priced as if submitted so"
    assert spent.claim().spec.hyperparameters.n_epochs == 5


def test_the_same_number_again_changes_nothing(who: Person) -> None:
    job_id = queued(who)
    extend(who, job_id, 3)
    assert codes(job_id).count("extended") == 0
    for _ in range(2):
        extend(who, job_id, 5)
    assert codes(job_id).count("extended") == 1
    assert balance(who)[1] == 5 * EPOCH


def test_a_worker_learns_of_it_saves_and_the_next_attempt_trains_the_rest(who: Person) -> None:
    job_id, claimed = running(who)
    assert not train(claimed, 4).extended
    extend(who, job_id, 4)
    assert beat(claimed) == jobs.Beat(cancel=False, extended=True)
    assert train(claimed, 5).extended
    assert job(job_id).total_steps == 4 * STEPS, "not what the old attempt still says"
    step_aside(claimed)
    assert (job(job_id).status, job(job_id).crash_count) == ("queued", 0)
    with pytest.raises(jobs.Fenced):
        beat(claimed)
    again = spent.claim()
    assert again.attempt == 2
    assert again.spec.hyperparameters.n_epochs == 4
    assert again.checkpoints[0].step == 5
    assert not beat(again).extended
    train(again, 4 * STEPS)
    finish(again)
    assert job(job_id).charged_credits == 4 * EPOCH
    assert balance(who) == (100 * CREDIT - 4 * EPOCH, 0)
    assert in_order(job_id)


def test_extending_twice_at_two_times_holds_the_sum_once(who: Person) -> None:
    job_id, claimed = running(who)
    extend(who, job_id, 4)
    extend(who, job_id, 6)
    train(claimed, 1)
    step_aside(claimed)
    again = spent.claim()
    extend(who, job_id, 7)
    assert beat(again).extended
    assert balance(who)[1] == 7 * EPOCH
    assert in_order(job_id)


def test_extensions_at_once_come_one_after_the_other(who: Person) -> None:
    job_id, claimed = running(who)

    def one(n_epochs: int) -> bool:
        try:
            extend(who, job_id, n_epochs)
        except BadRequest:  # a larger one came first
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(one, [4, 5, 6, 7, 4, 5, 6, 7]))
    assert done[3]
    assert balance(who)[1] == 7 * EPOCH
    assert job(job_id).total_steps == 7 * STEPS
    assert in_order(job_id)
    train(claimed, 1)
    step_aside(claimed)


def test_a_run_that_ended_before_it_knew_is_not_finished_short(who: Person) -> None:
    job_id, claimed = running(who)
    train(claimed, 3 * STEPS)
    extend(who, job_id, 4)
    with pytest.raises(jobs.Extended):
        finish(claimed)
    step_aside(claimed)
    again = spent.claim()
    assert again.checkpoints[0].step == 3 * STEPS
    train(again, 4 * STEPS)
    finish(again)
    assert job(job_id).charged_credits == 4 * EPOCH


def test_an_extension_outlives_the_worker_that_never_heard_of_it(who: Person) -> None:
    job_id, claimed = running(who)
    train(claimed, 4)
    extend(who, job_id, 4)
    with transaction() as session:
        jobs.hand_back(session, claimed, why="The worker broke")
    again = spent.claim()
    assert (again.attempt, again.spec.hyperparameters.n_epochs) == (2, 4)
    assert again.checkpoints[0].step == 4
    assert job(job_id).crash_count == 1, "a crash is one, extended or not"
    extend(who, job_id, 5)
    train(again, 6)
    step_aside(again)
    assert in_order(job_id)


# -- not paid -------------------------------------------------------------------------------------


def test_without_credit_a_running_job_saves_pauses_and_goes_on_when_paid(who: Person) -> None:
    job_id, claimed = running(who)
    leave(who, EPOCH // 2)
    train(claimed, 4)
    extended = extend(who, job_id, 5)
    assert (extended.status, extended.total_steps) == ("running", 3 * STEPS)
    assert codes(job_id)[-1] == "extension_unpaid"
    assert balance(who) == (EPOCH // 2, 3 * EPOCH)
    assert train(claimed, 5).extended
    step_aside(claimed)
    paused = job(job_id)
    assert paused.pause is not None
    assert (paused.status, paused.crash_count) == ("paused", 0)
    assert paused.pause["quote"]["credits"] == 5 * EPOCH
    with transaction() as session:
        told = jobs.events_after(session, job_id, 0)[-1].data
    assert b"0.18 credits more than this job holds, and 0.045 are available" in told
    with pytest.raises(InsufficientCredit, match=r"0\.135 more are needed"):
        resume(who, job_id)
    extend(who, job_id, 5)
    assert job(job_id).status == "paused", "the same again changes nothing"
    assert in_order(job_id)
    give(who, 2 * EPOCH)
    assert resume(who, job_id).status == "queued"
    again = spent.claim()
    assert again.checkpoints[0].step == 5
    assert again.spec.hyperparameters.n_epochs == 5
    train(again, 5 * STEPS)
    finish(again)
    assert job(job_id).charged_credits == 5 * EPOCH
    assert balance(who) == (EPOCH // 2, 0)
    assert in_order(job_id)


def test_credit_that_comes_before_the_worker_stops_spares_the_pause(who: Person) -> None:
    job_id, claimed = running(who)
    leave(who, 0)
    extend(who, job_id, 5)
    give(who, 2 * EPOCH)
    train(claimed, 1)
    step_aside(claimed)
    assert (job(job_id).status, job(job_id).total_steps) == ("queued", 5 * STEPS)
    assert balance(who) == (0, 5 * EPOCH)


def test_a_limit_set_meanwhile_pauses_too_and_the_message_does_not_ask_for_credit(
    who: Person,
) -> None:
    job_id, claimed = running(who)
    leave(who, 0)
    extend(who, job_id, 5)
    give(who, 2 * EPOCH)
    limit(who, credits_per_day_max=4 * EPOCH)
    train(claimed, 1)
    step_aside(claimed)
    assert job(job_id).status == "paused"
    with transaction() as session:
        assert b"limit or a budget is in the way" in jobs.events_after(session, job_id, 0)[-1].data
    with pytest.raises(InsufficientCredit, match="credits_per_day_max"):
        resume(who, job_id)


def test_a_worker_lost_before_it_could_pause_leaves_the_job_paused(who: Person) -> None:
    job_id, claimed = running(who)
    leave(who, 0)
    train(claimed, 4)
    extend(who, job_id, 5)
    with transaction() as session:
        session.execute(
            text("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id"),
            {"id": job_id},
        )
        jobs.sweep(session)
    assert job(job_id).status == "paused"
    give(who, 2 * EPOCH)
    assert resume(who, job_id).total_steps == 5 * STEPS


def test_without_credit_a_queued_job_pauses_at_once_and_can_settle_for_less(who: Person) -> None:
    job_id = queued(who)
    leave(who, EPOCH)
    assert extend(who, job_id, 6).status == "paused"
    assert extend(who, job_id, 5).status == "paused"
    pause = job(job_id).pause
    assert pause is not None
    assert pause["quote"]["n_epochs"] == 5
    assert extend(who, job_id, 4).status == "queued", "there is credit for that"
    assert balance(who) == (0, 4 * EPOCH)
    assert extend(who, job_id, 9).status == "paused"
    assert extend(who, job_id, 4).status == "queued", "taken back"
    assert job(job_id).total_steps == 4 * STEPS
    assert in_order(job_id)


def test_cancelled_while_it_waits_for_credit_it_pays_for_its_checkpoint(who: Person) -> None:
    job_id, claimed = running(who)
    leave(who, 0)
    train(claimed, 4)
    extend(who, job_id, 5)
    step_aside(claimed)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    assert (job(job_id).status, job(job_id).charged_credits) == ("cancelled", 4 * 7_500)
    assert balance(who) == (3 * EPOCH - 4 * 7_500, 0)
    assert in_order(job_id)


def test_a_cancel_wins_over_an_extension_that_the_worker_learns_of_with_it(who: Person) -> None:
    job_id, claimed = running(who)
    train(claimed, 4)
    extend(who, job_id, 5)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    assert beat(claimed) == jobs.Beat(cancel=True, extended=True)
    with pytest.raises(BadRequest, match="being cancelled"):
        extend(who, job_id, 6)
    step_aside(claimed)
    assert (job(job_id).status, job(job_id).charged_credits) == ("cancelled", 4 * 7_500)


# -- refused --------------------------------------------------------------------------------------


def test_a_spend_limit_and_a_budget_refuse_and_change_nothing(who: Person) -> None:
    job_id = queued(who)
    limit(who, credits_per_day_max=4 * EPOCH)
    with pytest.raises(InsufficientCredit, match="credits_per_day_max"):
        extend(who, job_id, 5)
    limit(who, credits_per_day_max=0)
    key = budget(who, budget_credits=EPOCH)
    with pytest.raises(Forbidden, match="has a budget"):
        extend(who, job_id, 4, actor=key)
    assert (job(job_id).status, balance(who)[1]) == ("queued", 3 * EPOCH)
    assert codes(job_id)[-1] == "queued"
    with transaction() as session:
        body = {"created_by": key, "id": job_id}
        session.execute(text("UPDATE jobs SET created_by = :created_by WHERE id = :id"), body)
    with pytest.raises(InsufficientCredit, match="key_budget_credits"):
        extend(who, job_id, 5, actor=key)


def test_what_has_ended_or_is_still_read_says_what_to_do(who: Person, stranger: Person) -> None:
    done, _ = spent.trained(who)
    with pytest.raises(BadRequest, match=r"succeeded.*Start a new job .*n_epochs 5") as raised:
        extend(who, done, 5)
    assert raised.value.code == "job_has_ended"
    with transaction(who.tenant_id) as session:
        body = given.submission(given.dataset(who))
        early, _ = jobs.submit(session, who.tenant_id, body, actor=who.actor.name)
    with pytest.raises(BadRequest, match="still being read"):
        extend(who, early.id, 5)
    job_id = queued(who)
    with pytest.raises(BadRequest, match=r"trains 3 epochs already.*4 or more"):
        extend(who, job_id, 2)
    with pytest.raises(NotFound):
        extend(stranger, job_id, 5)


# -- the books ------------------------------------------------------------------------------------


def test_the_check_of_the_books_counts_every_part_of_an_extended_hold(
    who: Person, engines: Engines
) -> None:
    job_id = queued(who)
    extend(who, job_id, 5)
    with transaction() as session:
        session.execute(
            text("UPDATE jobs SET created_at = created_at - interval '9 days' WHERE id = :id"),
            {"id": job_id},
        )
        ledger.expire(session)
    assert in_order(job_id)
    with cheat(engines) as connection:
        connection.execute(
            text("DELETE FROM ledger_transfers WHERE id = :id"), {"id": f"hold/{job_id}/0001"}
        )
        connection.commit()
    broken = {found.invariant[:2]: found for found in findings() if found.row == job_id}
    assert f"holds {3 * EPOCH} of {5 * EPOCH}" in broken["I6"].what


# -- over HTTP ------------------------------------------------------------------------------------


def test_the_price_before_the_act_and_the_act(client: TestClient, who: Person) -> None:
    job_id = queued(who)
    leave(who, EPOCH)
    path = f"/v1/fine_tuning/jobs/{job_id}/extend"
    price = client.get(path, params={"n_epochs": 5}).json()
    assert price["extra_credits"] == 2 * EPOCH
    assert (price["missing_credits"], price["available_credits"]) == (EPOCH, EPOCH)
    assert (price["quote"]["credits"], price["held_credits"]) == (5 * EPOCH, 3 * EPOCH)
    assert codes(job_id)[-1] == "queued", "asking changes nothing"
    give(who, EPOCH)
    answer = client.post(path, json={"n_epochs": 5}).json()
    assert (answer["object"], answer["total_steps"]) == ("fine_tuning.job", 5 * STEPS)
    assert (answer["held_credits"], answer["quote"]) == (5 * EPOCH, price["quote"])
    assert answer["hyperparameters"]["n_epochs"] == 5


@pytest.mark.parametrize("body", [{}, {"n_epochs": 0}, {"n_epochs": 101}, {"n_epochs": "many"}])
def test_an_impossible_number_is_refused(client: TestClient, who: Person, body: Any) -> None:
    path = f"/v1/fine_tuning/jobs/{queued(who)}/extend"
    assert client.post(path, json=body).status_code == 400


def test_another_tenants_job_is_not_there(client: TestClient, stranger: Person) -> None:
    path = f"/v1/fine_tuning/jobs/{queued(stranger)}/extend"
    assert client.post(path, json={"n_epochs": 5}).status_code == 404
    assert client.get(path, params={"n_epochs": 5}).status_code == 404


def test_the_command_shows_the_price_and_what_is_missing(tunery: Command, who: Person) -> None:
    job_id = queued(who)
    leave(who, EPOCH)
    told = tunery("extend", job_id, "--epochs", "4")
    assert "0.09 credits more, 48 steps in all; 0.09 credits available" in told
    assert f"{job_id} queued" in told
    told = tunery("extend", job_id, "--epochs", "6")
    assert "0.18 credits are missing" in told
    assert f"tunery resume {job_id}" in told
    assert f"{job_id} paused" in told
    give(who, 2 * EPOCH)
    assert f"{job_id} queued" in tunery("resume", job_id)
