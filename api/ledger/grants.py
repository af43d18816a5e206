"""Credits come in and are counted: grants of several kinds, refunds, corrections, the balance.

To grant, refund and correct are the operator's, in a system transaction; what a tenant may bring
about itself goes through a campaign (`api.vouchers`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from api.errors import BadRequest, NotFound
from api.ledger.acts import (
    PAYMENT,
    PROMOTION,
    REVENUE,
    done_before,
    input_hash,
    lock_wallet,
    positive,
)
from api.money import MicroCredits, credits_text
from api.tables import Account, Transfer

SOURCES = {"admin": PROMOTION, "purchase": PAYMENT, "refund": REVENUE}
PRIORITIES = {"admin": 50, "purchase": 60, "refund": 60}
"""What was given is spent before what was paid for, unless the caller says otherwise."""

_FREE = Account.credits_posted - Account.debits_posted - Account.debits_pending


@dataclass(frozen=True, slots=True)
class Balance:
    """What a tenant has. `available` can be spent now; `held` is promised to what runs."""

    available: MicroCredits
    held: MicroCredits

    @property
    def posted(self) -> MicroCredits:
        return self.available + self.held


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits that came together. Granted = available + held + spent + expired + corrected;
    `available` counts only while it can be spent, from `starts_at` until `expires_at`."""

    id: str
    kind: str
    reason: str
    priority: int
    starts_at: datetime
    expires_at: datetime | None
    created_at: datetime
    granted: MicroCredits
    left: MicroCredits
    held: MicroCredits
    usable: bool

    @property
    def available(self) -> MicroCredits:
        return self.left if self.usable else 0


def grant(
    session: Session,
    tenant_id: str,
    amount: MicroCredits,
    *,
    grant_id: str,
    reason: str,
    actor: str,
    kind: str = "admin",
    priority: int | None = None,
    starts_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Give credits out of the house account of that kind; `grant_id` is the key, and comes once.

    Returns the grant's id. Raises Conflict where that id was given with another input.
    """
    return _grant(
        session,
        tenant_id,
        positive(amount),
        grant_id=grant_id,
        subject=grant_id,
        reason=reason,
        actor=actor,
        kind=kind,
        priority=priority,
        starts_at=starts_at,
        expires_at=expires_at,
    )


def refund(
    session: Session,
    tenant_id: str,
    amount: MicroCredits,
    *,
    subject: str,
    key: str,
    reason: str,
    actor: str,
    expires_at: datetime | None = None,
) -> str:
    """Give back what a job or turn was charged, as a grant of its own; returns the grant's id.

    Raises BadRequest where all refunds of `subject` would come to more than it was charged.
    """
    lock_wallet(session, tenant_id)
    grant_id = f"grant/refund/{subject}/{key}"
    query = select(
        func.coalesce(func.sum(Transfer.amount).filter(Transfer.kind == "settle"), 0),
        func.coalesce(
            func.sum(Transfer.amount).filter(
                Transfer.debit_id == REVENUE, Transfer.credit_id != grant_id
            ),
            0,
        ),
    ).where(Transfer.tenant_id == tenant_id, Transfer.subject == subject)
    charged, refunded = session.execute(query).one()
    if positive(amount) > charged - refunded:
        raise BadRequest(
            f"{subject} was charged {credits_text(int(charged))} credits, and "
            f"{credits_text(int(refunded))} of them were refunded: {credits_text(amount)} are too "
            "many.",
            code="refund_exceeds_charge",
            param="amount",
        )
    return _grant(
        session,
        tenant_id,
        amount,
        grant_id=grant_id,
        subject=subject,
        reason=reason,
        actor=actor,
        kind="refund",
        expires_at=expires_at,
    )


def correct(
    session: Session,
    tenant_id: str,
    amount: MicroCredits,
    *,
    grant_id: str,
    key: str,
    reason: str,
    actor: str,
) -> str:
    """Take back from a grant what should not have been given, up to what is left of it.

    A transfer of its own that names the one it corrects; returns its id. (A charge is corrected by
    `refund`, an expiry by another `grant`.)
    """
    lock_wallet(session, tenant_id)
    transfer_id = f"correct/{grant_id}/{key}"
    asked = input_hash("correct", tenant_id, positive(amount), grant_id, reason)
    if done_before(session, transfer_id, asked):
        return transfer_id
    first = session.get(Transfer, f"post/{grant_id}")
    left = session.execute(
        select(_FREE).where(Account.id == grant_id, Account.tenant_id == tenant_id)
    ).scalar_one_or_none()
    if first is None or left is None:
        raise NotFound(f"{tenant_id} has no grant {grant_id!r}.", param="grant_id")
    if amount > left:
        raise BadRequest(
            f"{credits_text(int(left))} credits are left of this grant; {credits_text(amount)} "
            "cannot be taken back. Take back less, or cancel what holds them.",
            code="correction_exceeds_grant",
            param="amount",
        )
    session.add(
        Transfer(
            id=transfer_id,
            tenant_id=tenant_id,
            debit_id=grant_id,
            credit_id=first.debit_id,
            amount=amount,
            kind="post",
            corrects_id=first.id,
            input_hash=asked,
            subject=grant_id,
            reason=reason,
            actor=actor,
        )
    )
    session.flush()
    return transfer_id


def balance(session: Session, tenant_id: str) -> Balance:
    mine = (Account.tenant_id == tenant_id) & (Account.kind == "grant")
    row = session.execute(
        select(
            func.coalesce(func.sum(_FREE).filter(_usable()), 0),
            func.coalesce(func.sum(Account.debits_pending), 0),
        ).where(mine)
    ).one()
    return Balance(available=int(row[0]), held=int(row[1]))


def grants(session: Session, tenant_id: str) -> list[Grant]:
    """Every grant of a tenant, in the order in which they are spent."""
    query = (
        select(Account, Transfer.amount, Transfer.reason, _usable())
        .join(Transfer, Transfer.id == "post/" + Account.id)
        .where(Account.tenant_id == tenant_id, Account.kind == "grant")
        .order_by(
            Account.priority, Account.expires_at.asc().nulls_last(), Account.created_at, Account.id
        )
        .execution_options(populate_existing=True)
    )
    return [_as_grant(*row) for row in session.execute(query).all()]


def _as_grant(account: Account, granted: int, reason: str, usable: bool) -> Grant:
    return Grant(
        id=account.id,
        kind=account.grant_kind or "",
        reason=reason,
        priority=account.priority,
        starts_at=account.starts_at,
        expires_at=account.expires_at,
        created_at=account.created_at,
        granted=granted,
        left=account.credits_posted - account.debits_posted - account.debits_pending,
        held=account.debits_pending,
        usable=usable,
    )


def _grant(
    session: Session,
    tenant_id: str,
    amount: MicroCredits,
    *,
    grant_id: str,
    subject: str,
    reason: str,
    actor: str,
    kind: str,
    priority: int | None = None,
    starts_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> str:
    if kind not in SOURCES:
        raise BadRequest(f"{kind!r} is not one of {', '.join(SOURCES)}.", param="kind")
    rank = PRIORITIES[kind] if priority is None else priority
    key = f"post/{grant_id}"
    asked = input_hash(
        "grant", tenant_id, amount, grant_id, subject, reason, kind, rank, starts_at, expires_at
    )
    if done_before(session, key, asked):
        return grant_id
    if expires_at and expires_at <= (starts_at or datetime.now(UTC)):
        raise BadRequest("A grant must expire after it starts.", param="expires_at")
    account = Account(
        id=grant_id,
        tenant_id=tenant_id,
        kind="grant",
        grant_kind=kind,
        priority=rank,
        expires_at=expires_at,
    )
    if starts_at:
        account.starts_at = starts_at
    session.add(account)
    session.flush()
    session.add(
        Transfer(
            id=key,
            tenant_id=tenant_id,
            debit_id=SOURCES[kind],
            credit_id=grant_id,
            amount=amount,
            kind="post",
            input_hash=asked,
            subject=subject,
            reason=reason,
            actor=actor,
        )
    )
    session.flush()
    session.expire(account)  # the insert's trigger has put the amount on it
    return grant_id


def _usable() -> ColumnElement[bool]:
    return and_(
        Account.starts_at <= func.now(),
        or_(Account.expires_at.is_(None), Account.expires_at > func.now()),
    )
