"""Double entry: what is held, charged and given back, alone and in a race."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api import ledger
from api.db import transaction
from api.errors import InsufficientCredit
from api.money import CREDIT, credits_text
from api.tables import new_id
from tests.api.given import Person, person

START = 100 * CREDIT


def hold(who: Person, amount: int, subject: str) -> None:
    with transaction(who.tenant_id) as session:
        ledger.hold(
            session,
            who.tenant_id,
            amount,
            subject=f"{who.tenant_id}/{subject}",
            reason="test",
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


def test_a_hold_resolves_once(who: Person) -> None:
    hold(who, 5 * CREDIT, "a")
    assert settle(who, 2 * CREDIT, "a") == 2 * CREDIT
    assert settle(who, 2 * CREDIT, "a") == 0
    assert balance(who) == (98 * CREDIT, 0)


def test_a_hold_cannot_exceed_the_balance(who: Person) -> None:
    with pytest.raises(InsufficientCredit, match=r"1\.00 more are needed"):
        hold(who, 101 * CREDIT, "a")
    assert balance(who) == (START, 0)


def test_the_soonest_to_expire_is_spent_first(who: Person) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    with transaction() as session:
        ledger.grant(
            session,
            who.tenant_id,
            10 * CREDIT,
            grant_id=new_id("grant/"),
            reason="soon",
            actor="test",
            expires_at=soon,
        )
    hold(who, 15 * CREDIT, "a")
    with transaction(who.tenant_id) as session:
        parts = session.execute(
            text("SELECT amount FROM ledger_transfers WHERE kind = 'hold' ORDER BY id")
        ).scalars()
        assert list(parts) == [10 * CREDIT, 5 * CREDIT]


def test_an_expired_grant_is_not_available(who: Person) -> None:
    with transaction() as session:
        ledger.grant(
            session,
            who.tenant_id,
            10 * CREDIT,
            grant_id=new_id("grant/"),
            reason="gone",
            actor="test",
            expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )
    assert balance(who) == (START, 0)


def test_of_racing_holds_exactly_those_that_fit_are_made(who: Person) -> None:
    def attempt(number: int) -> bool:
        try:
            hold(who, 10 * CREDIT, f"race-{number}")
        except InsufficientCredit:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = sum(pool.map(attempt, range(30)))
    assert made == 10
    assert balance(who) == (0, START)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfers SET amount = 0",
        "DELETE FROM ledger_transfers",
        "TRUNCATE ledger_transfers",
        "UPDATE ledger_accounts SET credits_posted = 10",
        "INSERT INTO ledger_accounts (id, kind, credits_posted) VALUES ('x', 'revenue', 9)",
    ],
)
@pytest.mark.parametrize("system", [True, False])
def test_neither_role_can_edit_the_books(who: Person, statement: str, *, system: bool) -> None:
    with (
        pytest.raises(DBAPIError, match="permission denied"),
        transaction(None if system else who.tenant_id) as session,
    ):
        session.execute(text(statement))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["hold", "settle", "release"]),
            st.integers(0, 4),
            st.integers(1, 60 * CREDIT),
        ),
        max_size=15,
    )
)
def test_the_ledger_agrees_with_a_plain_model(
    engines: object, steps: list[tuple[str, int, int]]
) -> None:
    who = person()
    available, held = START, dict[str, int]()
    for number, (verb, slot, amount) in enumerate(steps):
        if verb == "hold":
            try:
                hold(who, amount, f"subject-{number}")
            except InsufficientCredit:
                assert amount > available
            else:
                assert amount <= available
                available -= amount
                held[f"subject-{number}"] = amount
        elif held:
            subject = sorted(held)[slot % len(held)]
            charged = settle(who, amount if verb == "settle" else 0, subject)
            assert charged == (min(amount, held[subject]) if verb == "settle" else 0)
            available += held.pop(subject) - charged
        assert balance(who) == (available, sum(held.values()))


def test_credits_are_written_exactly() -> None:
    assert credits_text(3_410_000) == "3.41"
    assert credits_text(1_234_567_000_001) == "1,234,567.000001"
    assert credits_text(-500_000) == "-0.50"
    assert credits_text(0) == "0.00"
