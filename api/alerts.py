"""Low balance: one alert when a tenant's available credits fall below its threshold.

It stands until they have recovered; whoever tells people of it (webhooks, e-mail) reads the row.
"""

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from api.money import MicroCredits
from api.settings import settings
from api.tables import CreditAlert, Tenant, new_id

# One round trip, since it follows every settlement. Who settles, redeems or grants to a tenant
# comes here one after the other where it matters: the unique index lets one alert be open.
_WATCH = text("""
WITH now_is AS (
  SELECT coalesce((SELECT low_balance_credits FROM tenants WHERE id = :tenant), :fallback)
           AS threshold,
         (SELECT coalesce(sum(credits_posted - debits_posted - debits_pending), 0)::bigint
          FROM ledger_accounts WHERE tenant_id = :tenant AND starts_at <= now()
            AND (expires_at IS NULL OR expires_at > now())) AS available
), recovered AS (
  UPDATE credit_alerts SET recovered_at = now() FROM now_is
  WHERE tenant_id = :tenant AND recovered_at IS NULL AND now_is.available >= now_is.threshold
)
INSERT INTO credit_alerts (id, tenant_id, threshold, available)
SELECT :id, :tenant, threshold, available FROM now_is WHERE available < threshold
ON CONFLICT (tenant_id) WHERE recovered_at IS NULL DO NOTHING
""")


def watch(session: Session, tenant_id: str) -> None:
    """Open the tenant's alert where its balance is low, close it where that is over."""
    session.execute(
        _WATCH,
        {
            "tenant": tenant_id,
            "fallback": settings().low_balance_credits,
            "id": new_id("alert-"),
        },
    )


def threshold(session: Session, tenant_id: str) -> MicroCredits:
    """What the tenant chose, else the service's."""
    query = select(Tenant.low_balance_credits).where(Tenant.id == tenant_id)
    chosen = session.execute(query).scalar_one()
    return settings().low_balance_credits if chosen is None else chosen


def set_threshold(session: Session, tenant_id: str, amount: MicroCredits | None) -> None:
    """`None`: the service's own; 0: never alert."""
    session.execute(update(Tenant).where(Tenant.id == tenant_id).values(low_balance_credits=amount))
    watch(session, tenant_id)


def standing(session: Session, tenant_id: str) -> CreditAlert | None:
    """The alert that is open."""
    query = select(CreditAlert).where(
        CreditAlert.tenant_id == tenant_id, CreditAlert.recovered_at.is_(None)
    )
    return session.execute(query).scalar_one_or_none()
