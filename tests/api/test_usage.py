"""The statement, usage and receipts say what the ledger says, to the micro-credit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from api import datasets, jobs, ledger, usage
from api.db import transaction
from api.embedded import Engines
from api.errors import NotFound
from api.money import CREDIT
from api.tables import new_id
from api.usage import By, Entry
from tests.api import given, spent
from tests.api.books import expire_now
from tests.api.given import Person


def statement(who: Person, *, newest_first: bool = False) -> list[Entry]:
    with transaction(who.tenant_id) as session:
        return usage.statement(session, who.tenant_id, limit=1_000, newest_first=newest_first)


def balance(who: Person) -> tuple[int, int]:
    with transaction(who.tenant_id) as session:
        found = ledger.balance(session, who.tenant_id)
    return found.available, found.held


def settled(who: Person) -> int:
    query = "SELECT coalesce(sum(amount), 0) FROM ledger_transfers WHERE kind = 'settle'"
    with transaction(who.tenant_id) as session:
        return int(session.execute(text(query)).scalar_one())


def told(who: Person, by: By, **times: datetime) -> list[usage.Usage]:
    with transaction(who.tenant_id) as session:
        return usage.usage(session, who.tenant_id, by=by, **times)


# -- statement ------------------------------------------------------------------------------------


def test_every_kind_of_entry_is_told_with_the_balance_after_it(
    who: Person, engines: Engines
) -> None:
    job_id, _ = spent.trained(who, tokens=20_000)
    with transaction() as session:
        ledger.refund(
            session,
            who.tenant_id,
            50_000,
            subject=job_id,
            key="k",
            reason="the worker was slow",
            actor="op",
        )
        grant_id = ledger.grant(
            session,
            who.tenant_id,
            5 * CREDIT,
            grant_id=new_id("grant/"),
            reason="a gift",
            actor="op",
            priority=90,
        )
        ledger.correct(
            session,
            who.tenant_id,
            CREDIT,
            grant_id=grant_id,
            key="k",
            reason="too much",
            actor="op",
        )
    expire_now(engines, grant_id)
    with transaction() as session:
        ledger.expire(session)
    turn_id = spent.asked(who)
    with transaction(who.tenant_id) as session:
        ledger.release(session, who.tenant_id, subject=turn_id, actor="test")
    told_as = [(entry.type, entry.amount) for entry in statement(who)]
    hold = told_as[-1][1]
    assert told_as == [
        ("grant", 100 * CREDIT),
        ("hold", 270_000),
        ("settle", 200_000),
        ("refund", 50_000),
        ("grant", 5 * CREDIT),
        ("correction", CREDIT),
        ("expiry", 4 * CREDIT),
        ("hold", hold),
        ("release", hold),
    ]
    after = [(entry.available, entry.held) for entry in statement(who)]
    assert after[:3] == [
        (100 * CREDIT, 0),
        (100 * CREDIT - 270_000, 270_000),
        (100 * CREDIT - 200_000, 0),
    ]
    assert statement(who)[2].returned == 70_000
    assert after[-1] == balance(who)


def test_pages_of_the_statement_join_without_a_gap_in_both_orders(who: Person) -> None:
    for _ in range(5):
        spent.chatted(who)
    whole = [entry.id for entry in statement(who)]
    assert len(whole) == 11
    for newest_first in (False, True):
        got: list[Entry] = []
        while True:
            with transaction(who.tenant_id) as session:
                page = usage.statement(
                    session,
                    who.tenant_id,
                    after=got[-1].id if got else None,
                    limit=3,
                    newest_first=newest_first,
                )
            got += page[:3]
            if len(page) <= 3:
                break
        assert [entry.id for entry in got] == (whole[::-1] if newest_first else whole)
        # The balance after an entry is the same on whatever page it stands.
        assert {entry.id: entry.available for entry in got} == {
            entry.id: entry.available for entry in statement(who)
        }


def test_a_statement_never_shows_a_balance_that_was_not_there(who: Person) -> None:
    """Racing spenders take their places in the order in which they held."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: spent.chatted(who), range(24)))
    entries = statement(who)
    assert all(entry.available >= 0 and entry.held >= 0 for entry in entries)
    holds = {e.subject: n for n, e in enumerate(entries) if e.type == "hold"}
    assert all(holds[e.subject] < n for n, e in enumerate(entries) if e.type == "settle")
    assert (entries[-1].available, entries[-1].held) == balance(who)


def test_a_statement_of_some_days_keeps_its_balances(who: Person) -> None:
    spent.chatted(who)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with transaction(who.tenant_id) as session:
        none = usage.statement(session, who.tenant_id, limit=10, since=tomorrow)
        some = usage.statement(session, who.tenant_id, limit=10, until=tomorrow)
    assert none == []
    assert some == statement(who, newest_first=True)


def test_a_strangers_entries_are_not_on_it(who: Person, stranger: Person) -> None:
    spent.chatted(stranger)
    assert [entry.type for entry in statement(who)] == ["grant"]
    with transaction(who.tenant_id) as session:
        theirs = statement(stranger)[0].id
        assert usage.statement(session, who.tenant_id, after=theirs, limit=10) == []


# -- usage ----------------------------------------------------------------------------------------


def test_usage_is_the_same_in_sum_whatever_it_is_told_by(who: Person) -> None:
    key = spent.key_id(who)
    job_id, model = spent.trained(who, tokens=20_000, suffix="mine")
    spent.chatted(who, model, actor=key)
    spent.chatted(who, tokens=50)
    sums = {by: usage.total(told(who, by)) for by in By}
    assert len(set(sums.values())) == 1
    whole = sums[By.DAY]
    assert (whole.jobs, whole.trained_tokens, whole.training_credits) == (1, 20_000, 200_000)
    assert (whole.chat_turns, whole.prompt_tokens, whole.completion_tokens) == (2, 40, 150)
    assert whole.chat_credits == 20 + 200 + 20 + 100
    assert whole.credits == settled(who)

    assert {row.key: row.credits for row in told(who, By.JOB)} == {job_id: 200_220, None: 120}
    assert [row.name for row in told(who, By.JOB)] == ["mine", None]
    assert {row.key: row.credits for row in told(who, By.MODEL)} == {
        given.MODEL: 200_120,
        model: 220,
    }
    assert {row.key: row.credits for row in told(who, By.KEY)} == {key: 220, None: 200_120}
    assert [(row.key, row.name) for row in told(who, By.MEMBER)] == [(who.actor.user_id, who.email)]
    assert [row.key for row in told(who, By.DAY)] == [f"{datetime.now(UTC):%Y-%m-%d}"]


def test_usage_of_another_day_and_of_another_tenant_is_not_told(
    who: Person, stranger: Person
) -> None:
    spent.chatted(stranger)
    assert told(who, By.DAY) == []
    spent.chatted(who)
    assert told(who, By.DAY, since=datetime.now(UTC) + timedelta(days=1)) == []


def test_what_was_refunded_stands_beside_what_it_was_charged_for(who: Person) -> None:
    job_id, _ = spent.trained(who)
    with transaction() as session:
        ledger.refund(
            session, who.tenant_id, 70_000, subject=job_id, key="k", reason="r", actor="op"
        )
    row = told(who, By.JOB)[0]
    assert (row.credits, row.refunded) == (270_000, 70_000)


def test_spending_by_day_cannot_drift_from_the_books(who: Person) -> None:
    spent.trained(who, tokens=20_000)
    spent.chatted(who, actor=spent.key_id(who))
    spent.asked(who)
    with transaction(who.tenant_id) as session:
        held, charged = session.execute(text("SELECT sum(held), sum(charged) FROM spending")).one()
    assert (int(held), int(charged)) == (balance(who)[1], settled(who))


# -- receipt --------------------------------------------------------------------------------------


def receipt(who: Person, job_id: str) -> usage.Receipt:
    with transaction(who.tenant_id) as session:
        return usage.receipt(session, who.tenant_id, job_id)


def test_a_receipt_names_all_that_the_price_is_made_of(who: Person) -> None:
    job_id, model = spent.trained(who, tokens=20_000, seed=7)
    found = receipt(who, job_id)
    assert (found.quoted, found.held, found.charged, found.returned) == (
        270_000,
        270_000,
        200_000,
        70_000,
    )
    train, held_out = found.splits
    assert (train.rows, train.tokens, train.epochs, train.trained_tokens) == (90, 9_000, 3, 20_000)
    assert (held_out.rows, held_out.tokens, held_out.epochs) == (10, 1_000, 0)
    assert found.rate is not None
    assert found.rate * train.trained_tokens == found.charged
    assert (found.seed, found.tuned_model, found.status) == (7, model, "succeeded")
    assert found.code == spent.MANIFEST["code"]
    assert found.encoded_sha256 == spent.MANIFEST["encoded_sha256"]
    assert [data["use"] for data in found.datasets] == ["training_file"]
    assert len(found.datasets[0]["sha256"]) == 64
    assert found.method
    assert (found.method["type"], found.price_version) == ("lora", "2026-11")
    assert found.base_revision
    assert found.finished_at


def test_a_receipt_outlives_its_file(who: Person) -> None:
    job_id, _ = spent.trained(who)
    before = receipt(who, job_id)
    with transaction(who.tenant_id) as session:
        datasets.delete(session, who.tenant_id, before.datasets[0]["id"])
    after = receipt(who, job_id)
    assert (after.datasets, after.charged, after.encoded_sha256) == (
        before.datasets,
        before.charged,
        before.encoded_sha256,
    )
    assert after.splits[0] == before.splits[0]


def test_the_receipt_of_a_job_that_waits_or_was_cancelled(who: Person) -> None:
    job_id = given.queued_job(who)
    assert (receipt(who, job_id).held, receipt(who, job_id).returned) == (270_000, 0)
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)
    found = receipt(who, job_id)
    assert (found.held, found.charged, found.returned) == (270_000, 0, 270_000)
    unread = given.submission(given.dataset(who))
    with transaction(who.tenant_id) as session:
        job, _ = jobs.submit(session, who.tenant_id, unread, actor="t")
    assert (receipt(who, job.id).held, receipt(who, job.id).splits) == (0, [])


def test_a_strangers_receipt_is_not_there(who: Person, stranger: Person) -> None:
    job_id = given.queued_job(stranger)
    with pytest.raises(NotFound):
        receipt(who, job_id)
