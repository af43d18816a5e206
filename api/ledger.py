"""Double-entry credits: grant, hold, settle, release, balance.

A transfer is one append-only row with one debit and one credit. Each grant is an account of its
own; a hold reserves on the grants it names and resolves exactly once (a unique index decides who
races). Never below zero is a CHECK of the table, so no caller can get it wrong.
Lock order everywhere: wallet, then grants by spending order.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.orm import Session

from api.errors import InsufficientCredit
from api.money import MicroCredits, credits_text
from api.tables import Account, Transfer

REVENUE = "house/revenue"
PROMOTION = "house/promotion"


@dataclass(frozen=True, slots=True)
class Balance:
    """What a tenant has. `available` can be spent now; `held` is promised to what runs."""

    available: MicroCredits
    held: MicroCredits

    @property
    def posted(self) -> MicroCredits:
        return self.available + self.held


def grant(
    session: Session,
    tenant_id: str,
    amount: MicroCredits,
    *,
    grant_id: str,
    reason: str,
    actor: str,
    source: str = PROMOTION,
    expires_at: datetime | None = None,
) -> None:
    """Give credits out of a house account; `grant_id` names the effect, and comes once."""
    session.add(Account(id=grant_id, tenant_id=tenant_id, kind="grant", expires_at=expires_at))
    session.flush()
    session.add(
        Transfer(
            id=f"post/{grant_id}",
            tenant_id=tenant_id,
            debit_id=source,
            credit_id=grant_id,
            amount=amount,
            kind="post",
            subject=grant_id,
            reason=reason,
            actor=actor,
        )
    )
    session.flush()


def hold(
    session: Session, tenant_id: str, amount: MicroCredits, *, subject: str, reason: str, actor: str
) -> None:
    """Reserve `amount` for `subject` over the tenant's grants, soonest to expire first.

    Raises InsufficientCredit, naming what is missing, and then reserves nothing.
    """
    _lock_wallet(session, tenant_id)
    rest = amount
    parts: list[Transfer] = []
    for account in _spendable(session, tenant_id):
        if rest <= 0:
            break
        part = min(rest, _free(account))
        rest -= part
        parts.append(
            Transfer(
                id=f"hold/{subject}/{len(parts):04d}",
                tenant_id=tenant_id,
                debit_id=account.id,
                credit_id=REVENUE,
                amount=part,
                kind="hold",
                subject=subject,
                reason=reason,
                actor=actor,
            )
        )
    if rest > 0:
        raise InsufficientCredit(
            f"This needs {credits_text(amount)} credits and {credits_text(amount - rest)} are "
            f"available: {credits_text(rest)} more are needed. Redeem a voucher or ask your "
            "operator for credits."
        )
    session.add_all(parts)
    session.flush()


def settle(
    session: Session, tenant_id: str, amount: MicroCredits, *, subject: str, actor: str
) -> MicroCredits:
    """Charge up to `amount` of what `subject` holds and give the rest back.

    Returns what was charged: never more than was held, and 0 where nothing is held any more.
    """
    rest = amount
    for held in _open_holds(session, tenant_id, subject):
        part = min(rest, held.amount)
        rest -= part
        kind = "settle" if part else "release"
        session.add(
            Transfer(
                id=f"{kind}/{held.id}",
                tenant_id=tenant_id,
                debit_id=held.debit_id,
                credit_id=held.credit_id,
                amount=part,
                kind=kind,
                hold_id=held.id,
                subject=subject,
                reason=held.reason,
                actor=actor,
            )
        )
    session.flush()
    return amount - rest


def release(session: Session, tenant_id: str, *, subject: str, actor: str) -> None:
    """Give back all that `subject` holds."""
    settle(session, tenant_id, 0, subject=subject, actor=actor)


def held(session: Session, tenant_id: str, subject: str) -> MicroCredits:
    """What `subject` still holds, in micro-credits."""
    return sum(transfer.amount for transfer in _open_holds(session, tenant_id, subject))


def balance(session: Session, tenant_id: str) -> Balance:
    grants = (Account.tenant_id == tenant_id) & (Account.kind == "grant")
    row = session.execute(
        select(
            func.coalesce(
                func.sum(Account.credits_posted - Account.debits_posted - Account.debits_pending)
                .filter(_not_expired()), 0),
            func.coalesce(func.sum(Account.debits_pending), 0),
        ).where(grants)
    ).one()  # fmt: skip
    return Balance(available=int(row[0]), held=int(row[1]))


def _lock_wallet(session: Session, tenant_id: str) -> None:
    """One spender a tenant at a time: who chooses grants must see what the one before took."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('wallet:' || :tenant, 0))"),
        {"tenant": tenant_id},
    )


def _not_expired() -> ColumnElement[bool]:
    return or_(Account.expires_at.is_(None), Account.expires_at > func.now())


def _spendable(session: Session, tenant_id: str) -> list[Account]:
    free = Account.credits_posted - Account.debits_posted - Account.debits_pending
    query = (
        select(Account)
        .where(Account.tenant_id == tenant_id, Account.kind == "grant", _not_expired(), free > 0)
        .order_by(
            Account.priority, Account.expires_at.asc().nulls_last(), Account.created_at, Account.id
        )
        .execution_options(populate_existing=True)
    )
    return list(session.execute(query).scalars())


def _free(account: Account) -> MicroCredits:
    return account.credits_posted - account.debits_posted - account.debits_pending


def _open_holds(session: Session, tenant_id: str, subject: str) -> list[Transfer]:
    resolved = select(Transfer.hold_id).where(
        Transfer.subject == subject, Transfer.hold_id.is_not(None)
    )
    query = (
        select(Transfer)
        .where(
            Transfer.tenant_id == tenant_id,
            Transfer.subject == subject,
            Transfer.kind == "hold",
            Transfer.id.not_in(resolved),
        )
        .order_by(Transfer.id)
    )
    return list(session.execute(query).scalars())
