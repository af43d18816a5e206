"""The ledger against a plain model of it: random acts, repeats, refusals and crashes must agree.

Two tenants on the real database. After each step the balances and every grant are the model's, and
the checker finds nothing that was not there before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text
from sqlalchemy.orm import Session

from api import bus, ledger, vouchers
from api.db import transaction
from api.embedded import Engines
from api.errors import BadRequest, Conflict, InsufficientCredit
from api.money import CREDIT
from api.tables import new_id
from tests.api import given
from tests.api.books import cheat, close_turn, expire_now, findings, open_turn

EXAMPLES = 30
STEPS = 50

amounts = st.integers(1, 60)
tenants = st.sampled_from([0, 1])
slots = st.integers(0, 50)
crashes = st.sampled_from([False, False, False, True])


class Crash(Exception):
    """The process died here, as far as the database can tell."""


@dataclass
class Grant:
    id: str
    tenant: int
    rank: tuple[int, int]
    granted: int
    left: int
    expired: bool = False


@dataclass
class Hold:
    turn: str
    tenant: int
    amount: int
    parts: list[tuple[Grant, int]]
    charged: int | None = None
    asked: int = 0
    refunded: int = 0


@dataclass
class Code:
    clear: str
    amount: int
    uses: int
    redeemed: set[int] = field(default_factory=set)


class Books(RuleBasedStateMachine):
    engines: Engines

    @initialize()
    def begin(self) -> None:
        self.people = [given.person(), given.person()]
        self.before = findings()
        self.born = 0
        self.grants: list[Grant] = []
        self.holds: list[Hold] = []
        for tenant, person in enumerate(self.people):
            self._new_grant(f"grant/sign-up/{person.tenant_id}", tenant, 100 * CREDIT, 50)
            for amount in (5, 7, 11):  # so that a hold draws on several from the start
                self.grant(tenant, amount, 10, crash=False)
        self.budget = 3
        with transaction() as session:
            campaign = vouchers.create_campaign(
                session,
                name=new_id("model "),
                amount=20 * CREDIT,
                actor="test",
                priority=40,
                redemptions_max=self.budget,
                tenant_max=3,
            )
            made = [
                *vouchers.generate_codes(session, campaign.id, count=3),
                *vouchers.generate_codes(session, campaign.id, count=1, max_redemptions=2),
            ]
        self.codes = [
            Code(c, 20 * CREDIT, uses=2 if n == 3 else 1) for n, (_, c) in enumerate(made)
        ]

    # -- what happens ------------------------------------------------------------------------------

    @rule(
        tenant=tenants,
        amount=st.integers(1, 200),
        priority=st.sampled_from([10, 50, 60]),
        crash=crashes,
    )
    def grant(self, tenant: int, amount: int, priority: int, crash: bool) -> None:
        grant_id = new_id("grant/")
        if self._do(None, crash, lambda s: self._give(s, tenant, amount, grant_id, priority)):
            self._new_grant(grant_id, tenant, amount * CREDIT, priority)

    # Few rules, so that each example takes each of them often.
    @rule(which=st.sampled_from(["grant", "hold", "settle"]), slot=slots, change=st.integers(0, 1))
    def again(self, which: str, slot: int, change: int) -> None:
        """The first result for the same input, refusal for another."""
        {"grant": self._grant_again, "hold": self._hold_again, "settle": self._settle_again}[which](
            slot, change
        )

    @rule(which=st.sampled_from(["day", "expire", "forget"]), tenant=tenants, slot=slots)
    def time_passes(self, which: str, tenant: int, slot: int) -> None:
        if which == "forget":
            self._forget_a_hold(tenant, slot + 1)
        elif which == "day":
            self._a_grants_day_comes(slot)
        self._expire(crash=which == "expire" and slot % 4 == 0)

    @rule(refund=st.booleans(), slot=slots, amount=st.integers(1, 25), crash=crashes)
    def the_operator_undoes(self, refund: bool, slot: int, amount: int, crash: bool) -> None:
        (self._refund if refund else self._correct)(slot, amount, crash)

    def _grant_again(self, slot: int, change: int) -> None:
        known = [
            g for g in self.grants if not g.id.startswith(("grant/sign", "grant/v", "grant/r"))
        ]
        if not known:
            return
        old = known[slot % len(known)]

        def again(session: Session) -> None:
            amount = old.granted // CREDIT + change
            self._give(session, old.tenant, amount, old.id, old.rank[0])

        self._expect(Conflict if change else None, None, again)

    @rule(tenant=tenants, slot=slots, crash=crashes)
    def redeem(self, tenant: int, slot: int, crash: bool) -> None:
        code = self.codes[slot % len(self.codes)]
        who = self.people[tenant]
        bus.forget(vouchers._counter("user", who.actor.user_id))
        found: list[vouchers.Redeemed] = []

        def act(session: Session) -> None:
            found.append(vouchers.redeem(session, who.tenant_id, who.actor.user_id, code.clear))

        if tenant in code.redeemed:
            self._expect(None, who.tenant_id, act)
            assert found[0].again
        elif len(code.redeemed) >= code.uses or self.budget == 0:
            self._expect(BadRequest, who.tenant_id, act)
        elif self._do(who.tenant_id, crash, act):
            self.budget -= 1
            code.redeemed.add(tenant)
            self._new_grant(found[0].grant_id, tenant, code.amount, 40)

    @rule(tenant=tenants, sizes=st.lists(amounts, min_size=1, max_size=3), crash=crashes)
    def hold(self, tenant: int, sizes: list[int], crash: bool) -> None:
        for number, amount in enumerate(sizes):
            self._one_hold(tenant, amount, crash=crash, overdue=bool(number % 2))

    def _one_hold(self, tenant: int, amount: int, *, crash: bool, overdue: bool) -> None:
        turns: list[str] = []
        tenant_id = self.people[tenant].tenant_id

        def act(session: Session) -> None:
            turns.append(open_turn(session, tenant_id))
            self._hold(session, tenant_id, turns[0], amount, seconds=-1 if overdue else 60)

        if amount * CREDIT > self._available(tenant):
            self._expect(InsufficientCredit, tenant_id, act)
        elif self._do(tenant_id, crash, act):
            self.holds.append(self._new_hold(turns[0], tenant, amount * CREDIT))

    def _hold_again(self, slot: int, change: int) -> None:
        if not self.holds:
            return
        old = self.holds[slot % len(self.holds)]
        tenant_id = self.people[old.tenant].tenant_id
        amount = old.amount // CREDIT + change

        def again(session: Session) -> None:
            self._hold(session, tenant_id, old.turn, amount)

        self._expect(Conflict if change else None, tenant_id, again)

    @precondition(lambda self: any(h.charged is None for h in self.holds))
    @rule(
        used=st.lists(st.integers(0, 70), min_size=1, max_size=3),
        slot=slots,
        crash=crashes,
        system=st.booleans(),
    )
    def settle(self, used: list[int], slot: int, crash: bool, system: bool) -> None:
        """0 is a release."""
        for amount in used:
            self._one_settlement(slot, amount, crash=crash, system=system)

    def _one_settlement(self, slot: int, amount: int, *, crash: bool, system: bool) -> None:
        still = [h for h in self.holds if h.charged is None]
        if not still:
            return
        one = still[slot % len(still)]
        tenant_id = self.people[one.tenant].tenant_id

        def act(session: Session) -> None:
            charged = ledger.settle(
                session, tenant_id, amount * CREDIT, subject=one.turn, actor="t"
            )
            assert charged == min(amount * CREDIT, one.amount)
            close_turn(session, one.turn, charged)

        if self._do(None if system else tenant_id, crash, act):
            one.asked = amount * CREDIT
            one.charged = rest = min(amount * CREDIT, one.amount)
            for grant, part in one.parts:
                spent = min(rest, part)
                rest -= spent
                grant.left += part - spent

    def _settle_again(self, slot: int, change: int) -> None:
        done = [h for h in self.holds if h.charged is not None]
        if not done:
            return
        old = done[slot % len(done)]
        tenant_id = self.people[old.tenant].tenant_id

        def again(session: Session) -> None:
            charged = ledger.settle(
                session, tenant_id, old.asked + change, subject=old.turn, actor="t"
            )
            assert charged == old.charged

        self._expect(Conflict if change else None, tenant_id, again)

    def _forget_a_hold(self, tenant: int, amount: int) -> None:
        """A turn that ended without settling, as by a bug: the sweep releases it."""
        tenant_id = self.people[tenant].tenant_id
        if amount * CREDIT > self._available(tenant):
            return
        with transaction(tenant_id) as session:
            turn = open_turn(session, tenant_id)
            self._hold(session, tenant_id, turn, amount, seconds=-1)
            session.execute(
                text("UPDATE chat_turns SET status = 'failed' WHERE id = :id"), {"id": turn}
            )

    def _a_grants_day_comes(self, slot: int) -> None:
        grant = self.grants[slot % len(self.grants)]
        if not grant.expired and slot % 3 == 0:  # or soon nobody could pay for anything
            grant.expired = True
            expire_now(self.engines, grant.id)

    def _expire(self, crash: bool) -> None:
        if self._do(None, crash, ledger.expire):
            for grant in self.grants:
                grant.left = 0 if grant.expired else grant.left

    def _refund(self, slot: int, amount: int, crash: bool) -> None:
        charged = [h for h in self.holds if h.charged]
        if not charged:
            return
        one = charged[slot % len(charged)]
        made: list[str] = []

        def act(session: Session) -> None:
            made.append(
                ledger.refund(
                    session,
                    self.people[one.tenant].tenant_id,
                    amount * CREDIT,
                    subject=one.turn,
                    key=new_id(""),
                    reason="test",
                    actor="test",
                )
            )

        if amount * CREDIT > (one.charged or 0) - one.refunded:
            self._expect(BadRequest, None, act)
        elif self._do(None, crash, act):
            one.refunded += amount * CREDIT
            self._new_grant(made[0], one.tenant, amount * CREDIT, 60)

    def _correct(self, slot: int, amount: int, crash: bool) -> None:
        grant = self.grants[slot % len(self.grants)]

        def act(session: Session) -> None:
            ledger.correct(
                session,
                self.people[grant.tenant].tenant_id,
                amount * CREDIT,
                grant_id=grant.id,
                key=new_id(""),
                reason="test",
                actor="test",
            )

        if amount * CREDIT > grant.left:
            self._expect(BadRequest, None, act)
        elif self._do(None, crash, act):
            grant.left -= amount * CREDIT

    # -- what must be so after each ----------------------------------------------------------------

    @invariant()
    def the_balances_are_the_models(self) -> None:
        if not hasattr(self, "codes"):
            return
        for tenant, person in enumerate(self.people):
            with transaction(person.tenant_id) as session:
                found = ledger.balance(session, person.tenant_id)
                grants = ledger.grants(session, person.tenant_id)
            open_holds = [h for h in self.holds if h.charged is None and h.tenant == tenant]
            assert found.available == self._available(tenant)
            assert found.held == sum(h.amount for h in open_holds)
            mine = [g for g in self.grants if g.tenant == tenant]
            assert {g.id: g.left for g in grants} == {g.id: g.left for g in mine}

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "codes"):
            assert findings() <= self.before

    def teardown(self) -> None:
        """Leave the database as small as it was, or the later examples check the earlier ones."""
        if not hasattr(self, "codes"):
            return
        mine = [person.tenant_id for person in self.people]
        with cheat(self.engines) as connection:
            for table in ("chat_turns", "ledger_transfers", "voucher_redemptions"):
                connection.execute(
                    text(f"DELETE FROM {table} WHERE tenant_id = ANY(:mine)"), {"mine": mine}
                )
            connection.execute(
                text("DELETE FROM ledger_accounts WHERE tenant_id = ANY(:mine)"), {"mine": mine}
            )
            connection.execute(
                text(
                    "UPDATE voucher_codes c SET redeemed = "
                    "(SELECT count(*) FROM voucher_redemptions WHERE code_id = c.id)"
                )
            )
            connection.execute(
                text(
                    "UPDATE voucher_campaigns c SET (redemptions, credits) = "
                    "(SELECT count(*), coalesce(sum(amount), 0) FROM voucher_redemptions "
                    "WHERE campaign_id = c.id)"
                )
            )
            connection.commit()

    # -- the model ---------------------------------------------------------------------------------

    def _available(self, tenant: int) -> int:
        return sum(g.left for g in self.grants if g.tenant == tenant and not g.expired)

    def _new_grant(self, grant_id: str, tenant: int, amount: int, priority: int) -> None:
        self.born += 1
        self.grants.append(Grant(grant_id, tenant, (priority, self.born), amount, amount))

    def _new_hold(self, turn: str, tenant: int, amount: int) -> Hold:
        parts: list[tuple[Grant, int]] = []
        rest = amount
        for grant in sorted(self.grants, key=lambda g: g.rank):
            if grant.tenant == tenant and not grant.expired and rest and grant.left:
                part = min(rest, grant.left)
                grant.left -= part
                rest -= part
                parts.append((grant, part))
        return Hold(turn, tenant, amount, parts)

    # -- the ledger --------------------------------------------------------------------------------

    def _give(
        self, session: Session, tenant: int, amount: int, grant_id: str, priority: int
    ) -> None:
        ledger.grant(
            session,
            self.people[tenant].tenant_id,
            amount * CREDIT,
            grant_id=grant_id,
            reason="test",
            actor="test",
            priority=priority,
        )

    def _hold(
        self, session: Session, tenant_id: str, turn: str, amount: int, seconds: float = 60
    ) -> None:
        ledger.hold(
            session,
            tenant_id,
            amount * CREDIT,
            subject=turn,
            reason="test",
            actor="test",
            seconds=seconds,
        )

    def _do(self, tenant_id: str | None, crash: bool, act: Callable[[Session], None]) -> bool:
        """Whether it was committed: a crash comes when all is written and nothing is durable."""
        try:
            with transaction(tenant_id) as session:
                act(session)
                if crash:
                    raise Crash
        except Crash:
            return False
        return True

    def _expect(
        self,
        error: type[Exception] | None,
        tenant_id: str | None,
        act: Callable[[Session], None],
    ) -> None:
        if error is None:
            self._do(tenant_id, False, act)
            return
        with pytest.raises(error), transaction(tenant_id) as session:
            act(session)


def test_the_ledger_agrees_with_a_plain_model(engines: Engines) -> None:
    Books.engines = engines
    case = Books.TestCase
    case.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
