"""Credits are promised and spent: a hold before the work, one settlement after it.

The two acts are a PL/pgSQL function each (migration 0006), so that a wallet is locked for one round
trip and the commit.
"""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, aliased

from api.errors import InsufficientCredit
from api.ledger.acts import input_hash, positive, refuse_other_input
from api.money import MicroCredits, credits_text
from api.settings import settings
from api.tables import Transfer

LAPSED = "the hold timed out"

_HOLD = text(
    "SELECT available, first_input "
    "FROM ledger_hold(:tenant, :amount, :subject, :reason, :actor, :input, :seconds)"
)
_SETTLE = text(
    "SELECT charged, first_input FROM ledger_settle(:tenant, :amount, :subject, :actor, :input)"
)


def hold(
    session: Session,
    tenant_id: str,
    amount: MicroCredits,
    *,
    subject: str,
    reason: str,
    actor: str,
    seconds: float | None = None,
) -> None:
    """Reserve `amount` for `subject` over the tenant's grants in spending order.

    Lowest priority number first, then soonest to expire, then oldest. What is held stays good when
    its grant expires. After `seconds` (`hold_hours`) it lapses if `subject` is no live job or turn.
    Raises InsufficientCredit, naming what is missing, and Conflict where `subject` held before
    another amount or for another reason; then nothing is reserved.
    """
    if amount == 0:
        return
    asked = input_hash("hold", tenant_id, positive(amount), subject, reason)
    lasts = settings().hold_hours * 3_600.0 if seconds is None else seconds
    found = session.execute(
        _HOLD,
        {
            "tenant": tenant_id,
            "amount": amount,
            "subject": subject,
            "reason": reason,
            "actor": actor,
            "input": asked,
            "seconds": lasts,
        },
    ).one()
    if found.first_input is not None:
        refuse_other_input(f"hold/{subject}", found.first_input, asked)
    elif found.available < amount:
        raise InsufficientCredit(
            f"This needs {credits_text(amount)} credits and {credits_text(found.available)} are "
            f"available: {credits_text(amount - found.available)} more are needed. Redeem a "
            "voucher or ask your operator for credits."
        )


def settle(
    session: Session, tenant_id: str, amount: MicroCredits, *, subject: str, actor: str
) -> MicroCredits:
    """Charge up to `amount` of what `subject` holds and give the rest back.

    Returns what was charged: never more than was held, and 0 where nothing was or the hold has
    lapsed. The same again returns the first answer; raises Conflict for another amount.
    """
    return _settle(session, tenant_id, amount, subject=subject, actor=actor)


def release(session: Session, tenant_id: str, *, subject: str, actor: str) -> None:
    """Give back all that `subject` holds."""
    _settle(session, tenant_id, 0, subject=subject, actor=actor)


def lapse(session: Session, tenant_id: str, *, subject: str) -> None:
    """Release a hold that timed out; a settlement that comes after it charges nothing."""
    parameters = {"tenant": tenant_id, "amount": 0, "subject": subject, "actor": LAPSED}
    session.execute(_SETTLE, parameters | {"input": _lapsed(subject)})


def held(session: Session, tenant_id: str, subject: str) -> MicroCredits:
    """What `subject` still holds, in micro-credits."""
    answer = aliased(Transfer)
    query = select(func.coalesce(func.sum(Transfer.amount), 0)).where(
        Transfer.tenant_id == tenant_id,
        Transfer.subject == subject,
        Transfer.kind == "hold",
        ~select(answer.id).where(answer.hold_id == Transfer.id).exists(),
    )
    return int(session.execute(query).scalar_one())


def _settle(
    session: Session, tenant_id: str, amount: MicroCredits, *, subject: str, actor: str
) -> MicroCredits:
    asked = input_hash("settle", tenant_id, amount, subject)
    found = session.execute(
        _SETTLE,
        {
            "tenant": tenant_id,
            "amount": amount,
            "subject": subject,
            "actor": actor,
            "input": asked,
        },
    ).one()
    if found.first_input is not None and found.first_input != _lapsed(subject):
        refuse_other_input(f"settle/{subject}", found.first_input, asked)
    return int(found.charged or 0)


def _lapsed(subject: str) -> bytes:
    return input_hash("lapse", subject)
