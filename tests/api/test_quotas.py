"""Limits of a tenant and budgets of its keys: where each refuses, and what the refusal says."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api import alerts, bus, jobs, ledger, quotas
from api.app import create_app
from api.db import transaction
from api.errors import BadRequest, InsufficientCredit, RateLimited
from api.money import CREDIT
from api.pricing import Quote
from api.settings import settings
from api.tables import new_id
from tests.api import given, spent
from tests.api.books import findings
from tests.api.given import Person


def limit(who: Person, **changes: int | None) -> None:
    with transaction() as session:
        quotas.override(session, who.tenant_id, quotas.Overrides.model_validate(changes))


def budget(who: Person, **budgets: int) -> str:
    key_id = spent.key_id(who)
    with transaction(who.tenant_id) as session:
        for name, value in budgets.items():
            session.execute(text(f"UPDATE api_keys SET {name} = {value}"))
    return key_id


def balance(who: Person) -> tuple[int, int]:
    with transaction(who.tenant_id) as session:
        found = ledger.balance(session, who.tenant_id)
    return found.available, found.held


def give(who: Person, amount: int) -> None:
    with transaction() as session:
        ledger.grant(
            session,
            who.tenant_id,
            amount,
            grant_id=new_id("grant/"),
            reason="test",
            actor="test",
        )


def job(job_id: str) -> Any:
    with transaction() as session:
        return given.job(session, job_id)


# -- overrides ------------------------------------------------------------------------------------


def test_an_override_holds_for_one_tenant_until_it_is_taken_back(
    who: Person, stranger: Person
) -> None:
    def most(person: Person) -> int:
        with transaction(person.tenant_id) as session:
            return quotas.limits(session, person.tenant_id).running_jobs_max

    limit(who, running_jobs_max=9, queued_jobs_max=3)
    assert (most(who), most(stranger)) == (9, settings().running_jobs_max)
    limit(who, running_jobs_max=None)
    assert most(who) == settings().running_jobs_max
    with transaction(who.tenant_id) as session:
        assert quotas.overrides(session, who.tenant_id) == {"queued_jobs_max": 3}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants SET limits = '{\"credits_per_day_max\": 0}'",
        "INSERT INTO tenants (id, name, slug, limits) VALUES ('ten-x', 'x', 'x', '{}')",
        "UPDATE users SET operator = true",
        "INSERT INTO users (id, email, password_hash, operator) VALUES ('u', 'u', 'x', true)",
        "UPDATE spending SET charged = 0",
    ],
)
def test_no_tenants_transaction_can_write_what_is_the_operators(
    who: Person, statement: str
) -> None:
    with (
        pytest.raises(DBAPIError, match="permission denied"),
        transaction(who.tenant_id) as session,
    ):
        session.execute(text(statement))


# -- jobs -----------------------------------------------------------------------------------------


def test_a_tenants_own_queue_limit_refuses_and_says_how_to_raise_it(who: Person) -> None:
    limit(who, queued_jobs_max=1)
    given.queued_job(who)
    with pytest.raises(RateLimited, match=r"1 is the most \(queued_jobs_max\).*operator") as raised:
        given.queued_job(who)
    assert raised.value.code == "queued_jobs_max"


def test_a_claim_keeps_to_the_tenants_own_running_limit(who: Person, stranger: Person) -> None:
    spent.empty_queue()
    limit(who, running_jobs_max=1)
    limit(stranger, running_jobs_max=6)
    for n in range(6):
        given.queued_job(who, suffix=str(n))
        given.queued_job(stranger, suffix=str(n))
    running = [spent.claim().tenant_id for _ in range(7)]
    assert running.count(who.tenant_id) == 1
    with transaction() as session:
        assert jobs.claim(session, worker="w") is None
    spent.empty_queue()


# -- storage --------------------------------------------------------------------------------------


def upload(client: TestClient, size: int) -> Any:
    return client.post(
        "/v1/files",
        files={"file": ("a.jsonl", b"x" * size)},
        data={"purpose": "user_data"},
    )


def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(
    client: TestClient, who: Person
) -> None:
    limit(who, storage_bytes_max=1_000)
    assert upload(client, 600).status_code == 200
    refused = upload(client, 600)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (413, "storage_bytes_max")
    assert "600 bytes are stored" in error["message"]
    assert "1,000 is the most (storage_bytes_max)" in error["message"]
    assert "operator" in error["message"]
    assert len(client.get("/v1/files").json()["data"]) == 1
    file_id = client.get("/v1/files").json()["data"][0]["id"]
    client.delete(f"/v1/files/{file_id}")
    assert upload(client, 600).status_code == 200


def test_tuned_models_count_for_storage_too(who: Person) -> None:
    with transaction(who.tenant_id) as session:
        before = quotas.storage_bytes(session, who.tenant_id)
    spent.trained(who)
    with transaction(who.tenant_id) as session:
        assert quotas.storage_bytes(session, who.tenant_id) == before + 100 + 1_000


# -- requests -------------------------------------------------------------------------------------


def test_too_many_requests_a_minute_are_told_when_to_come_back(
    client: TestClient, who: Person, stranger: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.quotas.time.time", lambda: 1_700_000_025.0)
    bus.forget(f"requests:{who.tenant_id}:{1_700_000_025 // 60}")
    limit(who, requests_per_minute_max=2)
    assert [client.get("/v1/me").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/v1/me")
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "requests_per_minute_max")
    assert refused.headers["retry-after"] == str(60 - 1_700_000_025 % 60)
    assert client.get("/v1/me", headers=stranger.headers).status_code == 200


def test_without_redis_every_request_passes(
    client: TestClient, who: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(who, requests_per_minute_max=0)
    assert client.get("/v1/me").status_code == 429
    calls: list[str] = []

    def down(key: str, *, window_seconds: int) -> int:
        calls.append(key)
        return 0

    monkeypatch.setattr(bus, "count_up", down)
    monkeypatch.setattr(quotas, "_quiet_until", 0.0)
    assert [client.get("/v1/me").status_code for _ in range(3)] == [200, 200, 200]
    assert len(calls) == 1, "nobody waits for a Redis that was just found down"


# -- spending -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["credits_per_day_max", "credits_per_month_max"])
def test_a_job_over_the_spend_limit_is_refused_before_anything_is_held(
    who: Person, name: str
) -> None:
    limit(who, **{name: 500_000})
    given.queued_job(who)
    with pytest.raises(InsufficientCredit, match=rf"0\.27 are held or spent .* of 0\.50 \({name}"):
        given.queued_job(who)
    assert balance(who)[1] == 270_000
    limit(who, **{name: 0})
    given.queued_job(who)


def test_what_comes_back_from_a_hold_can_be_spent_again(who: Person) -> None:
    limit(who, credits_per_day_max=500_000)
    spent.trained(who, tokens=1_000)
    spent.trained(who, tokens=1_000)
    spent.trained(who, tokens=1_000)


def test_yesterdays_spending_does_not_count_for_today(who: Person) -> None:
    limit(who, credits_per_day_max=270_000)
    spent.trained(who)
    with pytest.raises(InsufficientCredit):
        given.queued_job(who)
    with transaction() as session, pytest.raises(DBAPIError, match="permission denied"):
        session.execute(text("UPDATE spending SET day = day - 1"))
    limit(who, credits_per_day_max=None)
    given.queued_job(who)


def test_a_job_that_waits_for_its_file_is_checked_when_it_is_priced(who: Person) -> None:
    limit(who, credits_per_day_max=1)
    body = given.submission(given.dataset(who))
    with transaction(who.tenant_id) as session:
        made, _ = jobs.submit(session, who.tenant_id, body, actor="t")
    given.encode(body)
    with transaction() as session:
        jobs.admit_waiting(session)
    assert (job(made.id).status, job(made.id).error["code"]) == ("failed", "credits_per_day_max")


def test_a_refused_chat_says_which_limit_and_that_a_retry_is_no_use(
    client: TestClient, who: Person
) -> None:
    limit(who, credits_per_month_max=100)
    body = {"model": given.MODEL, "messages": [{"role": "user", "content": "hi"}]}
    refused = client.post("/v1/chat/completions", json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"]) == (429, "insufficient_quota")
    assert error["code"] == "credits_per_month_max"
    assert refused.headers["x-should-retry"] == "false"


def test_a_key_spends_no_more_than_its_budget_and_others_go_on(who: Person) -> None:
    key = budget(who, budget_credits=2_300)
    spent.chatted(who, actor=key)
    spent.asked(who, actor=key)
    with pytest.raises(InsufficientCredit, match="by this API key of") as raised:
        spent.asked(who, actor=key)
    assert raised.value.code == "key_budget_credits"
    assert f"/v1/api_keys/{key}" in raised.value.message
    spent.asked(who)
    with transaction(who.tenant_id) as session:
        assert quotas.key_use(session, who.tenant_id, key).credits <= 2_300


def test_a_keys_jobs_count_for_its_budget(who: Person) -> None:
    key = budget(who, budget_credits=300_000)
    body = given.submission(given.dataset(who))
    given.encode(body)
    with transaction(who.tenant_id) as session:
        jobs.submit(session, who.tenant_id, body, actor=key)
    with (
        pytest.raises(
            InsufficientCredit, match=r"0\.27 are held or spent by this API key of 0\.30"
        ),
        transaction(who.tenant_id) as session,
    ):
        jobs.submit(session, who.tenant_id, body, actor=key)


def test_a_keys_month_has_a_budget_of_its_own(who: Person) -> None:
    key = budget(who, month_budget_credits=0)
    with pytest.raises(InsufficientCredit) as raised:
        spent.asked(who, actor=key)
    assert raised.value.code == "key_month_budget_credits"


def test_racing_turns_do_not_pass_a_budget_together(who: Person) -> None:
    turn = spent.asked(who)
    with transaction(who.tenant_id) as session:
        one = ledger.held(session, who.tenant_id, turn)
    key = budget(who, budget_credits=3 * one)

    def ask(_: int) -> bool:
        try:
            spent.asked(who, actor=key)
        except InsufficientCredit:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(ask, range(12))) == 3


# -- low balance ----------------------------------------------------------------------------------


def alerted(who: Person) -> list[tuple[int, bool]]:
    with transaction(who.tenant_id) as session:
        query = "SELECT threshold, recovered_at IS NOT NULL FROM credit_alerts ORDER BY created_at"
        return [(row[0], row[1]) for row in session.execute(text(query))]


def test_one_alert_stands_from_a_settlement_until_the_balance_has_recovered(who: Person) -> None:
    with transaction(who.tenant_id) as session:
        alerts.set_threshold(session, who.tenant_id, 100 * CREDIT - 50)
    assert alerted(who) == []
    spent.chatted(who)
    spent.chatted(who)
    assert alerted(who) == [(100 * CREDIT - 50, False)]
    give(who, 5 * CREDIT)
    spent.chatted(who)
    assert alerted(who) == [(100 * CREDIT - 50, True)]
    spent.trained(who)
    assert len(alerted(who)) == 1
    with transaction(who.tenant_id) as session:
        alerts.set_threshold(session, who.tenant_id, 200 * CREDIT)
    assert alerted(who)[1:] == [(200 * CREDIT, False)]
    with transaction(who.tenant_id) as session:
        alerts.set_threshold(session, who.tenant_id, 0)
        assert alerts.standing(session, who.tenant_id) is None


# -- out of credit --------------------------------------------------------------------------------


def longer(job_id: str, price: int) -> Quote:
    agreed = Quote.model_validate(job(job_id).quote)
    return agreed.model_copy(
        update={"credits": price, "n_epochs": 6, "trained_tokens": price // 10, "steps": 72}
    )


def out_of_credit(who: Person, *, price: int) -> tuple[str, jobs.Claim]:
    spent.empty_queue()
    job_id = given.queued_job(who)
    claimed = spent.claim()
    spent.save(claimed, 20_000)
    with transaction() as session:
        jobs.pause_for_credit(session, given.job(session, job_id), longer(job_id, price))
    return job_id, claimed


def test_a_job_out_of_credit_pauses_with_its_checkpoint_and_its_hold(who: Person) -> None:
    job_id, claimed = out_of_credit(who, price=540_000)
    paused = job(job_id)
    assert (paused.status, paused.pause["reason"]) == ("paused", "out_of_credit")
    assert (paused.charged_credits, paused.lease_owner) == (None, None)
    assert balance(who) == (100 * CREDIT - 270_000, 270_000)
    with transaction() as session:
        last = jobs.events_after(session, job_id, 0)[-1]
    assert b"0.27 credits more" in last.data
    with pytest.raises(jobs.Fenced), transaction() as session:
        jobs.record(session, claimed, [spent.step(21_000)])
    assert not [f for f in findings() if job_id in f.row]


def test_one_call_after_topping_up_lets_it_go_on_to_its_end(who: Person) -> None:
    job_id, _ = out_of_credit(who, price=150 * CREDIT)
    with (
        pytest.raises(InsufficientCredit, match=r"150\.00|49\.73 .*50\.00 more"),
        transaction(who.tenant_id) as session,
    ):
        jobs.resume(session, who.tenant_id, job_id)
    assert job(job_id).status == "paused"
    give(who, 60 * CREDIT)
    for _ in range(2):  # asked twice, held once
        with transaction(who.tenant_id) as session:
            assert jobs.resume(session, who.tenant_id, job_id).status == "queued"
    assert balance(who) == (10 * CREDIT, 150 * CREDIT)
    assert job(job_id).pause is None
    claimed = spent.claim()
    assert [saved.step for saved in claimed.checkpoints] == [1]
    assert not [f for f in findings() if job_id in f.row]
    with transaction() as session:
        jobs.record(session, claimed, [spent.step(15_000_000)])
        jobs.finish(
            session,
            claimed,
            adapter_id=f"adp-{job_id}",
            prefix="p/",
            manifest={"files": {}},
            size=1,
        )
    assert job(job_id).charged_credits == 150 * CREDIT
    assert balance(who) == (10 * CREDIT, 0)
    assert not [f for f in findings() if job_id in f.row]


def test_resuming_keeps_to_the_spend_limit(who: Person) -> None:
    job_id, _ = out_of_credit(who, price=540_000)
    limit(who, credits_per_day_max=300_000)
    with (
        pytest.raises(InsufficientCredit, match="credits_per_day_max"),
        transaction(who.tenant_id) as session,
    ):
        jobs.resume(session, who.tenant_id, job_id)
    assert (job(job_id).status, balance(who)[1]) == ("paused", 270_000)


def test_a_paused_job_can_be_cancelled_and_pays_for_its_checkpoint(who: Person) -> None:
    job_id, _ = out_of_credit(who, price=540_000)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    assert (job(job_id).status, job(job_id).pause) == ("cancelled", None)
    assert balance(who) == (100 * CREDIT - 200_000, 0)
    with (
        pytest.raises(BadRequest, match="only a job that is paused"),
        transaction(who.tenant_id) as session,
    ):
        jobs.resume(session, who.tenant_id, job_id)


def test_resume_over_http(who: Person) -> None:
    job_id, _ = out_of_credit(who, price=540_000)
    with TestClient(create_app()) as client:
        told = client.get(f"/v1/fine_tuning/jobs/{job_id}", headers=who.headers).json()
        assert told["pause"]["reason"] == "out_of_credit"
        path = f"/v1/fine_tuning/jobs/{job_id}/resume"
        resumed = client.post(path, headers=who.headers).json()
        assert (resumed["status"], resumed["held_credits"]) == ("queued", 540_000)
    spent.empty_queue()
