"""Double entry: what is held, charged and given back, alone and in a race."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api import ledger
from api.db import transaction
from api.embedded import Engines
from api.errors import BadRequest, Conflict, InsufficientCredit, NotFound
from api.money import CREDIT, credits_text
from api.tables import new_id
from tests.api.books import cheat, close_turn, expire_now, findings, open_turn, owner
from tests.api.given import Person

START = 100 * CREDIT


def hold(who: Person, amount: int, subject: str, *, reason: str = "test") -> None:
    with transaction(who.tenant_id) as session:
        ledger.hold(
            session,
            who.tenant_id,
            amount,
            subject=f"{who.tenant_id}/{subject}",
            reason=reason,
            actor="test",
        )


def settle(who: Person, amount: int, subject: str) -> int:
    with transaction(who.tenant_id) as session:
        return ledger.settle(
            session, who.tenant_id, amount, subject=f"{who.tenant_id}/{subject}", actor="test"
        )


def balance(who: Person) -> tuple[int, int]:
    with transaction(who.tenant_id) as session:
        found = ledger.balance(session, who.tenant_id)
    return found.available, found.held


def grant(
    who: Person,
    amount: int,
    *,
    grant_id: str = "",
    priority: int | None = None,
    days: float | None = None,
    starts_in_days: float | None = None,
) -> str:
    now = datetime.now(UTC)
    with transaction() as session:
        return ledger.grant(
            session,
            who.tenant_id,
            amount,
            grant_id=grant_id or new_id("grant/"),
            reason="test",
            actor="test",
            priority=priority,
            starts_at=None if starts_in_days is None else now + timedelta(days=starts_in_days),
            expires_at=None if days is None else now + timedelta(days=days),
        )


def expire() -> None:
    with transaction() as session:
        ledger.expire(session)


def count(query: str, **parameters: object) -> int:
    with transaction() as session:
        return int(session.execute(text(query), parameters).scalar_one())


# -- hold, settle, release -------------------------------------------------------------------------


def test_what_is_held_is_no_longer_available(who: Person) -> None:
    hold(who, 30 * CREDIT, "a")
    assert balance(who) == (70 * CREDIT, 30 * CREDIT)


def test_settling_charges_what_was_used_and_returns_the_rest(who: Person) -> None:
    hold(who, 30 * CREDIT, "a")
    assert settle(who, 12 * CREDIT, "a") == 12 * CREDIT
    assert balance(who) == (88 * CREDIT, 0)


def test_nothing_is_charged_beyond_the_hold(who: Person) -> None:
    hold(who, 5 * CREDIT, "a")
    assert settle(who, 9 * CREDIT, "a") == 5 * CREDIT
    assert balance(who) == (95 * CREDIT, 0)


def test_a_hold_over_several_grants_is_charged_in_spending_order(who: Person) -> None:
    first = grant(who, 10 * CREDIT, priority=1)
    hold(who, 30 * CREDIT, "a")
    assert settle(who, 12 * CREDIT, "a") == 12 * CREDIT
    with transaction(who.tenant_id) as session:
        left = {g.id: g.left for g in ledger.grants(session, who.tenant_id)}
    assert left == {first: 0, f"grant/sign-up/{who.tenant_id}": 98 * CREDIT}


def test_a_hold_cannot_exceed_the_balance(who: Person) -> None:
    with pytest.raises(InsufficientCredit, match=r"1\.00 more are needed"):
        hold(who, 101 * CREDIT, "a")
    assert balance(who) == (START, 0)


def test_settling_what_holds_nothing_charges_nothing(who: Person) -> None:
    assert settle(who, 5, "never held") == 0


# -- the same again, and another under the same key ------------------------------------------------


def test_the_same_act_again_returns_its_first_result_and_does_nothing(who: Person) -> None:
    grant_id = grant(who, 10 * CREDIT, grant_id=f"grant/once/{who.tenant_id}")
    for _ in range(2):
        hold(who, 5 * CREDIT, "a")
        assert balance(who) == (105 * CREDIT, 5 * CREDIT)
    for _ in range(2):
        assert settle(who, 2 * CREDIT, "a") == 2 * CREDIT
        assert balance(who) == (108 * CREDIT, 0)
    hold(who, 5 * CREDIT, "a")  # a hold that came late, after its settlement
    assert balance(who) == (108 * CREDIT, 0)
    assert grant(who, 10 * CREDIT, grant_id=grant_id) == grant_id
    assert balance(who) == (108 * CREDIT, 0)


def test_a_key_is_refused_for_another_input(who: Person) -> None:
    grant_id = grant(who, 10 * CREDIT)
    hold(who, 5 * CREDIT, "a")
    settle(who, 2 * CREDIT, "a")
    before = balance(who)
    for act in (
        lambda: hold(who, 6 * CREDIT, "a"),
        lambda: hold(who, 5 * CREDIT, "a", reason="another"),
        lambda: settle(who, 3 * CREDIT, "a"),
        lambda: settle(who, 0, "a"),
        lambda: grant(who, 11 * CREDIT, grant_id=grant_id),
        lambda: grant(who, 10 * CREDIT, grant_id=grant_id, days=3),
    ):
        with pytest.raises(Conflict, match="use a new key") as refused:
            act()
        assert refused.value.code == "idempotency_key_reuse"
    assert balance(who) == before


def test_of_racing_twins_one_acts_and_all_get_its_result(who: Person) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: hold(who, CREDIT, "twin"), range(16)))
        assert balance(who) == (99 * CREDIT, CREDIT)
        assert set(pool.map(lambda _: settle(who, 7, "twin"), range(16))) == {7}
        grants = pool.map(lambda _: grant(who, 5, grant_id=f"grant/twin/{who.tenant_id}"), range(8))
        assert len(set(grants)) == 1
    assert balance(who) == (START - 7 + 5, 0)


# -- grants: order, start, expiry ------------------------------------------------------------------


def test_grants_are_spent_by_priority_then_soonest_expiry_then_age(who: Person) -> None:
    sign_up = f"grant/sign-up/{who.tenant_id}"
    late = grant(who, CREDIT, days=9)
    urgent = grant(who, CREDIT, priority=10)
    paid = grant(who, CREDIT, priority=60, days=1)
    soon = grant(who, CREDIT, days=2)
    young = grant(who, CREDIT)
    expected = [urgent, soon, late, sign_up, young, paid]
    with transaction(who.tenant_id) as session:
        assert [g.id for g in ledger.grants(session, who.tenant_id)] == expected
    hold(who, 104 * CREDIT + 1, "all")
    with transaction(who.tenant_id) as session:
        query = "SELECT debit_id FROM ledger_transfers WHERE kind = 'hold' ORDER BY id"
        assert list(session.execute(text(query)).scalars()) == expected


def test_a_grant_counts_from_its_start_until_its_end(who: Person, engines: Engines) -> None:
    grant(who, 10 * CREDIT, starts_in_days=1)
    gone = grant(who, 10 * CREDIT, days=1)
    assert balance(who) == (110 * CREDIT, 0)
    expire_now(engines, gone)
    assert balance(who) == (START, 0)
    with pytest.raises(InsufficientCredit):
        hold(who, START + 1, "a")
    with pytest.raises(BadRequest, match="expire after it starts"):
        grant(who, CREDIT, days=-1)


def test_what_was_held_of_an_expired_grant_is_honoured_and_the_rest_expires_later(
    who: Person, engines: Engines
) -> None:
    soon = grant(who, 10 * CREDIT, days=1)
    hold(who, 8 * CREDIT, "a")
    expire_now(engines, soon)
    broken = "SELECT coalesce(sum(amount), 0) FROM ledger_transfers WHERE debit_id = :id "
    broken += "AND credit_id = 'house/breakage'"
    for _ in range(2):  # what is free goes at once, and once
        expire()
        assert count(broken, id=soon) == 2 * CREDIT
    assert settle(who, 5 * CREDIT, "a") == 5 * CREDIT
    assert balance(who) == (START, 0)
    with ThreadPoolExecutor(4) as pool:  # what came back goes with the next run, whoever races
        list(pool.map(lambda _: expire(), range(4)))
    assert count(broken, id=soon) == 5 * CREDIT
    with transaction(who.tenant_id) as session:
        found = next(g for g in ledger.grants(session, who.tenant_id) if g.id == soon)
    assert (found.granted, found.left, found.held, found.available) == (10 * CREDIT, 0, 0, 0)


# -- holds that nobody resolves --------------------------------------------------------------------


def test_an_overdue_hold_lapses_unless_its_subject_lives(who: Person) -> None:
    turns: dict[str, str] = {}
    for status in ("waiting", "failed"):
        with transaction(who.tenant_id) as session:
            turns[status] = open_turn(session, who.tenant_id)
            ledger.hold(
                session,
                who.tenant_id,
                10 * CREDIT,
                subject=turns[status],
                reason="test",
                actor="test",
                seconds=-1,
            )
            session.execute(
                text("UPDATE chat_turns SET status = :status WHERE id = :id"),
                {"status": status, "id": turns[status]},
            )
    hold(who, CREDIT, "no such job, but young")
    expire()
    assert balance(who) == (89 * CREDIT, 11 * CREDIT)
    with transaction(who.tenant_id) as session:
        assert ledger.held(session, who.tenant_id, turns["waiting"]) == 10 * CREDIT
        # Whoever comes too late to settle charges nothing.
        assert ledger.settle(session, who.tenant_id, 5, subject=turns["failed"], actor="t") == 0
        assert ledger.settle(session, who.tenant_id, 5, subject=turns["waiting"], actor="t") == 5


# -- refunds and corrections -----------------------------------------------------------------------


def refund(who: Person, amount: int, subject: str, key: str) -> str:
    with transaction() as session:
        return ledger.refund(
            session,
            who.tenant_id,
            amount,
            subject=f"{who.tenant_id}/{subject}",
            key=key,
            reason="sorry",
            actor="operator",
        )


def test_refunds_come_to_no_more_than_was_charged(who: Person) -> None:
    hold(who, 10 * CREDIT, "a")
    settle(who, 6 * CREDIT, "a")
    first = refund(who, 4 * CREDIT, "a", "1")
    assert refund(who, 4 * CREDIT, "a", "1") == first
    with pytest.raises(BadRequest, match="were refunded") as refused:
        refund(who, 2 * CREDIT + 1, "a", "2")
    assert refused.value.code == "refund_exceeds_charge"

    def attempt(number: int) -> bool:
        try:
            refund(who, CREDIT, "a", f"race-{number}")
        except BadRequest:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 2
    assert balance(who) == (START, 0)
    with transaction(who.tenant_id) as session:
        kinds = [g.kind for g in ledger.grants(session, who.tenant_id)]
    assert kinds == ["sign_up", "refund", "refund", "refund"]


def test_a_correction_takes_back_what_is_left_and_names_what_it_corrects(
    who: Person, stranger: Person
) -> None:
    wrong = grant(who, 50 * CREDIT, priority=1)
    hold(who, 20 * CREDIT, "a")

    def correct(amount: int, grant_id: str = wrong, key: str = "1") -> str:
        with transaction() as session:
            return ledger.correct(
                session,
                who.tenant_id,
                amount,
                grant_id=grant_id,
                key=key,
                reason="typed one nought too many",
                actor="operator",
            )

    with pytest.raises(BadRequest, match=r"30\.00 credits are left"):
        correct(45 * CREDIT)
    assert correct(25 * CREDIT) == correct(25 * CREDIT)
    with pytest.raises(Conflict):
        correct(24 * CREDIT)
    with pytest.raises(NotFound):
        correct(1, f"grant/sign-up/{stranger.tenant_id}")
    assert balance(who) == (105 * CREDIT, 20 * CREDIT)
    named = "SELECT count(*) FROM ledger_transfers WHERE corrects_id = :id"
    assert count(named, id=f"post/{wrong}") == 1


# -- who may change the books: nobody --------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfers SET amount = 0",
        "DELETE FROM ledger_transfers",
        "TRUNCATE ledger_transfers",
        "UPDATE voucher_redemptions SET amount = 0",
        "DELETE FROM voucher_redemptions",
        "UPDATE ledger_accounts SET credits_posted = 10",
        "DELETE FROM ledger_accounts",
        "INSERT INTO ledger_accounts (id, kind, credits_posted) VALUES ('x', 'revenue', 9)",
        "INSERT INTO ledger_transfers (id, created_at) VALUES ('x', now())",
        "UPDATE voucher_campaigns SET credits = 0",
        "UPDATE voucher_codes SET redeemed = 0",
        "UPDATE voucher_codes SET max_redemptions = 9",
    ],
)
@pytest.mark.parametrize("system", [True, False])
def test_neither_role_can_edit_the_books(who: Person, statement: str, *, system: bool) -> None:
    with (
        pytest.raises(DBAPIError, match="permission denied"),
        transaction(None if system else who.tenant_id) as session,
    ):
        session.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfers SET amount = 0 WHERE false",
        "DELETE FROM ledger_transfers",
        "TRUNCATE ledger_transfers CASCADE",
        "UPDATE voucher_redemptions SET amount = 0",
        "DELETE FROM voucher_redemptions",
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts CASCADE",
    ],
)
@pytest.mark.parametrize("role", ["owner", "tunery_app", "tunery_system"])
def test_the_trigger_refuses_whoever_has_the_privilege(
    engines: Engines, role: str, statement: str
) -> None:
    if role == "owner":
        with pytest.raises(DBAPIError, match="is append-only"), owner() as connection:
            connection.execute(text(statement))
        return
    with cheat(engines) as connection:
        connection.execute(text("SET session_replication_role = origin"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        with pytest.raises(DBAPIError, match="is append-only"):
            connection.execute(text(statement))


def test_a_tenant_can_make_itself_no_credits(who: Person, stranger: Person) -> None:
    columns = "(id, tenant_id, debit_id, credit_id, amount, kind, input_hash, subject, reason, "
    columns += "actor)"
    mine, theirs = (f"grant/sign-up/{p.tenant_id}" for p in (who, stranger))
    for debit, credit, kind in (
        ("house/promotion", mine, "post"),
        (mine, theirs, "hold"),
        (theirs, "house/revenue", "hold"),
    ):
        with pytest.raises(DBAPIError), transaction(who.tenant_id) as session:
            session.execute(
                text(
                    f"INSERT INTO ledger_transfers {columns} VALUES "
                    "('x', :tenant, :debit, :credit, 5, :kind, '', 's', 'r', 'a')"
                ),
                {"tenant": who.tenant_id, "debit": debit, "credit": credit, "kind": kind},
            )
    for call in (
        "SELECT campaign_gives('campaign-referral', NULL, 'x', NULL, 'k', 5)",
        "INSERT INTO ledger_accounts (id, tenant_id, kind) VALUES ('x', 'y', 'grant')",
    ):
        with (
            pytest.raises(DBAPIError, match="permission denied"),
            transaction(who.tenant_id) as session,
        ):
            session.execute(text(call))


# One row for each law: a transfer that any role could try, and what refuses it.
SOUND: dict[str, object] = {
    "debit_id": "mine", "credit_id": "house/revenue", "amount": 5, "kind": "hold", "hold_id": None,
    "corrects_id": None, "timeout_at": None, "input_hash": b"",
}  # fmt: skip
UNLAWFUL: list[tuple[dict[str, object], str]] = [
    ({"kind": "gift"}, "no such kind"),
    ({"amount": 0}, "moves no credits"),
    ({"amount": -5}, "moves no credits"),
    ({"kind": "settle"}, "names a hold"),
    ({"hold_id": "hold/x"}, "names a hold"),
    ({"kind": "settle", "hold_id": "hold/none"}, "is not a hold"),
    ({"debit_id": "house/promotion"}, "one side must be"),
    ({"kind": "post", "credit_id": "mine"}, "one side must be"),
    ({"credit_id": "house/breakage"}, "goes to revenue"),
    ({"kind": "post", "timeout_at": datetime(2100, 1, 1, tzinfo=UTC)}, "only a hold times out"),
    ({"corrects_id": "post/mine"}, "only a post corrects"),
    ({"input_hash": b"x"}, "input hash"),
    ({"debit_id": "grant/none"}, "neither side is a grant"),
    ({"amount": START + 1}, "never_negative"),
]


@pytest.mark.parametrize(("changed", "refusal"), UNLAWFUL)
def test_a_transfer_that_breaks_a_law_is_refused(
    who: Person, changed: dict[str, object], refusal: str
) -> None:
    mine = f"grant/sign-up/{who.tenant_id}"
    row = {
        column: value.replace("mine", mine) if isinstance(value, str) else value
        for column, value in (SOUND | changed).items()
    }
    columns = ", ".join(row)
    with (
        pytest.raises(DBAPIError, match=refusal) as refused,
        transaction() as session,
    ):
        session.execute(
            text(
                f"INSERT INTO ledger_transfers (id, tenant_id, subject, reason, actor, {columns}) "
                f"VALUES ('x', :tenant, 's', 'r', 'a', {', '.join(f':{c}' for c in row)})"
            ),
            row | {"tenant": who.tenant_id},
        )
    assert getattr(refused.value.orig, "sqlstate", "") == "23514"
    assert balance(who) == (START, 0)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("kind = 'loan'", "no such kind"),
        ("tenant_id = NULL", "is a tenant's"),
        ("id = 'house/' || id", "house/ names"),
        ("grant_kind = NULL", "kind of grant"),
        ("grant_kind = 'gift'", "kind of grant"),
        ("expires_at = starts_at", "ends before it starts"),
        ("debits_posted = -1", "ck_ledger_accounts_sums"),
        ("debits_pending = credits_posted + 1", "never_negative"),
    ],
)
def test_an_account_that_breaks_a_law_is_refused_to_its_owner_too(
    who: Person, change: str, refusal: str
) -> None:
    with pytest.raises(DBAPIError, match=refusal), owner() as connection:
        connection.execute(
            text(f"UPDATE ledger_accounts SET {change} WHERE id = :id"),
            {"id": f"grant/sign-up/{who.tenant_id}"},
        )


def test_another_resolution_than_the_holds_own_is_refused(who: Person) -> None:
    hold(who, 5, "a")
    found = {"hold": f"hold/{who.tenant_id}/a/0000", "grant": f"grant/sign-up/{who.tenant_id}"}
    for kind, amount, subject, refusal in (
        ("settle", 6, "a", "more than the hold"),
        ("release", 1, "a", "a release moves nothing"),
        ("settle", 5, "b", "accounts differ"),
    ):
        with pytest.raises(DBAPIError, match=refusal), transaction() as session:
            session.execute(
                text(
                    "INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, "
                    "kind, hold_id, input_hash, subject, reason, actor) VALUES ('x', :tenant, "
                    ":grant, 'house/revenue', :amount, :kind, :hold, '', :subject, 'r', 'a')"
                ),
                found
                | {
                    "tenant": who.tenant_id,
                    "amount": amount,
                    "kind": kind,
                    "subject": f"{who.tenant_id}/{subject}",
                },
            )
    assert settle(who, 5, "a") == 5


# -- races and deaths ------------------------------------------------------------------------------


def test_of_racing_holds_exactly_those_that_fit_are_made(who: Person) -> None:
    def attempt(number: int) -> bool:
        try:
            hold(who, 10 * CREDIT, f"race-{number}")
        except InsufficientCredit:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        made = sum(pool.map(attempt, range(50)))
    assert made == 10
    assert balance(who) == (0, START)


def test_of_racing_resolutions_one_wins(who: Person) -> None:
    hold(who, 10 * CREDIT, "a")

    def attempt(amount: int) -> int | None:
        try:
            return settle(who, amount * CREDIT, "a")
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        charged = [c for c in pool.map(attempt, range(8)) if c is not None]
    assert len(charged) == 1
    assert balance(who) == (START - charged[0], 0)


DYING = """
import os, signal, sys
from api import ledger
from api.db import transaction
from tests.api.books import open_turn
tenant = sys.argv[1]
with transaction(tenant) as session:
    for number in range(int(sys.argv[2])):
        turn = open_turn(session, tenant)
        ledger.hold(session, tenant, 1000, subject=turn, reason="dying", actor="test")
        if number % 2:
            ledger.settle(session, tenant, 500, subject=turn, actor="test")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("acts", [1, 2, 5])
def test_a_client_killed_in_mid_transaction_leaves_nothing(who: Person, acts: int) -> None:
    before = findings()
    with subprocess.Popen(
        [sys.executable, "-c", DYING, who.tenant_id, str(acts)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdout
        assert client.stdout.readline() == b"held\n"
        os.kill(client.pid, signal.SIGKILL)
    hold(who, START, "all of it")  # waits for the dead one's wallet lock to go
    assert balance(who) == (0, START)
    settle(who, 0, "all of it")
    assert count("SELECT count(*) FROM chat_turns WHERE tenant_id = :t", t=who.tenant_id) == 0
    assert findings() <= before


def test_a_closed_turn_leaves_the_books_right(who: Person) -> None:
    before = findings()
    with transaction(who.tenant_id) as session:
        turn = open_turn(session, who.tenant_id)
        ledger.hold(session, who.tenant_id, 9, subject=turn, reason="chat", actor="t")
    assert findings() <= before
    with transaction(who.tenant_id) as session:
        charged = ledger.settle(session, who.tenant_id, 5, subject=turn, actor="t")
        close_turn(session, turn, charged)
    assert findings() <= before


def test_credits_are_written_exactly() -> None:
    assert credits_text(3_410_000) == "3.41"
    assert credits_text(1_234_567_000_001) == "1,234,567.000001"
    assert credits_text(-500_000) == "-0.50"
    assert credits_text(0) == "0.00"
