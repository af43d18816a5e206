"""What nobody uses any more: holds of what no longer lives, and grants past their day.

A hold lapses only when its time is over *and* its subject is no live job or turn. A job that waits
for days keeps its hold however old that is; a subject that has ended never lives again, and its own
settlement, in the transaction that ended it, has resolved the hold. So what lapses was forgotten.
"""

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from api import bus
from api.ledger.acts import BREAKAGE, input_hash, lock_wallet
from api.ledger.holds import lapse
from api.tables import Account, Transfer

# The tenants that hold more than their live work explains, and there the holds that are overdue:
# so the books of tenants in order are not walked through again and again.
_OVERDUE = text("""
WITH live AS (
  SELECT id, tenant_id FROM jobs
  WHERE status IN ('validating_files', 'queued', 'running', 'paused')
  UNION ALL
  SELECT id, tenant_id FROM chat_turns WHERE status IN ('waiting', 'answering')
), explained AS (
  SELECT h.tenant_id, sum(h.amount) AS amount FROM live
  JOIN ledger_transfers h ON h.tenant_id = live.tenant_id AND h.subject = live.id
    AND h.kind = 'hold' GROUP BY h.tenant_id
), suspect AS (
  SELECT a.tenant_id FROM ledger_accounts a LEFT JOIN explained e ON e.tenant_id = a.tenant_id
  WHERE a.debits_pending > 0 GROUP BY a.tenant_id, e.amount
  HAVING sum(a.debits_pending) > coalesce(e.amount, 0)
)
SELECT DISTINCT h.tenant_id, h.subject FROM suspect JOIN ledger_transfers h USING (tenant_id)
WHERE h.kind = 'hold' AND h.timeout_at < now() AND h.subject NOT IN (SELECT id FROM live)
  AND NOT EXISTS (SELECT FROM ledger_transfers r WHERE r.hold_id = h.id)
ORDER BY h.tenant_id, h.subject LIMIT 1000
""")


def expire(session: Session, *, every_seconds: int = 0) -> None:
    """Release overdue holds, then move what is free of expired grants to the house's breakage.

    System transaction, on beat; with `every_seconds`, most of the beats pass it over. What a job
    holds of an expired grant stays its own, and expires by a later call if it comes back.
    """
    if every_seconds and bus.count_up("ledger:expire", window_seconds=every_seconds) > 1:
        return
    for overdue in session.execute(_OVERDUE).all():
        lapse(session, overdue.tenant_id, subject=overdue.subject)
    free = Account.credits_posted - Account.debits_posted - Account.debits_pending
    gone = (Account.kind == "grant") & (Account.expires_at <= func.now()) & (free > 0)
    # One order of wallets everywhere, and the sums read anew behind the lock.
    query = select(Account.tenant_id).where(gone).distinct().order_by(Account.tenant_id)
    for tenant_id in session.execute(query.limit(1_000)).scalars().all():
        lock_wallet(session, tenant_id or "")
        rows = select(Account.id, free, Account.debits_posted).where(
            gone, Account.tenant_id == tenant_id
        )
        for grant_id, amount, posted in session.execute(rows.order_by(Account.id)).all():
            session.add(
                Transfer(
                    # What was posted before grows with every expiry, so the key comes once.
                    id=f"expire/{grant_id}/{posted}",
                    tenant_id=tenant_id,
                    debit_id=grant_id,
                    credit_id=BREAKAGE,
                    amount=amount,
                    kind="post",
                    input_hash=input_hash("expire", grant_id, amount),
                    subject=grant_id,
                    reason="expired",
                    actor="house",
                )
            )
    session.flush()
