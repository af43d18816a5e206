"""`tunery ledger check`: every invariant of the books, one query each, and the rows that break it.

Run it in one REPEATABLE READ transaction of the system's, so that all queries see one moment. The
numbers are those of the reliability notes; I11 (the outbox) has no table here: what follows a
commit is rung for again by the sweeps.
"""

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that breaks an invariant, and how."""

    invariant: str
    row: str
    what: str


def check(session: Session) -> list[Finding]:
    """Every finding of every invariant; none means that the books are right."""
    session.execute(text("SET LOCAL statement_timeout = 0"))
    return [
        Finding(invariant, str(found.row_id), found.what)
        for invariant, query in _queries().items()
        for found in session.execute(query).all()
    ]


@lru_cache
def _queries() -> dict[str, TextClause]:
    return {invariant: text(_NAMES + query) for invariant, query in INVARIANTS.items()}


# What every query may name: holds that nothing resolved yet, and what may hold credits at all.
_NAMES = """
WITH open_holds AS (
  SELECT h.* FROM ledger_transfers h WHERE h.kind = 'hold'
    AND NOT EXISTS (SELECT FROM ledger_transfers r WHERE r.hold_id = h.id)
), subjects AS (
  SELECT id, tenant_id, charged_credits AS charged, (quote->>'credits')::bigint AS quoted,
         status IN ('queued', 'running', 'paused') AS live
  FROM jobs
  UNION ALL
  SELECT id, tenant_id, charged_credits, NULL, status IN ('waiting', 'answering') FROM chat_turns
)"""

# What a sweep should have done an hour ago is a finding too.
INVARIANTS: dict[str, str] = {
    "I1 what grants hold is what came in less what went out": """
, grants AS (SELECT sum(credits_posted - debits_posted) AS total FROM ledger_accounts
                WHERE kind = 'grant'),
house AS (SELECT sum(CASE WHEN debit_id LIKE 'house/%' THEN amount ELSE -amount END) AS total
          FROM ledger_transfers WHERE kind IN ('post', 'settle'))
SELECT 'all grants' AS row_id, format('%s on the grants, %s by the transfers', g.total, h.total)
  AS what
FROM grants g, house h WHERE g.total IS DISTINCT FROM h.total""",
    "I2 no grant is below zero": """
SELECT id AS row_id, format('%s held and %s spent of %s', debits_pending, debits_posted,
                            credits_posted) AS what
FROM ledger_accounts
WHERE kind = 'grant' AND (debits_pending + debits_posted > credits_posted
      OR least(debits_pending, debits_posted, credits_posted) < 0)""",
    "I3 a grant's sums are those of its transfers": """
, sums AS (
  SELECT debit_id AS id, sum(amount) AS debits, 0 AS credits, 0 AS pending
  FROM ledger_transfers WHERE kind IN ('post', 'settle') GROUP BY debit_id
  UNION ALL SELECT credit_id, 0, sum(amount), 0
  FROM ledger_transfers WHERE kind IN ('post', 'settle') GROUP BY credit_id
  UNION ALL SELECT debit_id, 0, 0, sum(amount) FROM open_holds GROUP BY debit_id
), journal AS (
  SELECT id, sum(debits) AS debits, sum(credits) AS credits, sum(pending) AS pending
  FROM sums GROUP BY id
)
SELECT a.id AS row_id, format('%s/%s/%s kept, %s/%s/%s by the transfers (in, out, held)',
  a.credits_posted, a.debits_posted, a.debits_pending,
  coalesce(j.credits, 0), coalesce(j.debits, 0), coalesce(j.pending, 0)) AS what
FROM ledger_accounts a LEFT JOIN journal j ON j.id = a.id
WHERE CASE WHEN a.kind = 'grant'
  THEN (a.credits_posted, a.debits_posted, a.debits_pending)
       <> (coalesce(j.credits, 0), coalesce(j.debits, 0), coalesce(j.pending, 0))
  ELSE (a.credits_posted, a.debits_posted, a.debits_pending) <> (0, 0, 0) END""",
    "I4 a hold resolves once, for no more than was held": """
SELECT h.id AS row_id, format('resolved %s times for %s of %s', count(*), sum(r.amount), h.amount)
  AS what
FROM ledger_transfers r JOIN ledger_transfers h ON h.id = r.hold_id
GROUP BY h.id, h.amount, h.kind
HAVING count(*) > 1 OR sum(r.amount) > h.amount OR h.kind <> 'hold'
  OR bool_or((r.debit_id, r.credit_id, r.tenant_id, r.subject)
             <> (h.debit_id, h.credit_id, h.tenant_id, h.subject))""",
    "I4 no hold is long overdue": """
SELECT h.id AS row_id, format('timed out at %s', h.timeout_at) AS what
FROM open_holds h LEFT JOIN subjects s ON s.id = h.subject
WHERE h.timeout_at < now() - interval '1 hour' AND s.live IS NOT TRUE""",
    "I5 a code's uses are its redemptions, within its limit": """
SELECT c.id AS row_id, format('%s counted, %s redemptions, %s allowed', c.redeemed, count(r.id),
                              c.max_redemptions) AS what
FROM voucher_codes c LEFT JOIN voucher_redemptions r ON r.code_id = c.id GROUP BY c.id
HAVING c.redeemed <> count(r.id) OR c.redeemed > c.max_redemptions
  OR bool_or(r.campaign_id <> c.campaign_id)""",
    "I5 a campaign's counts are its redemptions, within its budget": """
SELECT c.id AS row_id, format('%s for %s counted, %s for %s redeemed', c.redemptions, c.credits,
                              count(r.id), coalesce(sum(r.amount), 0)) AS what
FROM voucher_campaigns c LEFT JOIN voucher_redemptions r ON r.campaign_id = c.id GROUP BY c.id
HAVING c.redemptions <> count(r.id) OR c.credits <> coalesce(sum(r.amount), 0)
  OR c.redemptions > c.redemptions_max OR c.credits > c.credits_max""",
    "I5 a tenant redeems no more often than its campaign allows": """
SELECT r.tenant_id || ' ' || c.id AS row_id, format('%s times of %s', count(*), c.tenant_max)
  AS what
FROM voucher_redemptions r JOIN voucher_campaigns c ON c.id = r.campaign_id
GROUP BY r.tenant_id, c.id HAVING count(*) > c.tenant_max
UNION ALL
SELECT r.user_id || ' ' || c.id, format('%s times of %s', count(*), c.user_max)
FROM voucher_redemptions r JOIN voucher_campaigns c ON c.id = r.campaign_id
GROUP BY r.user_id, c.id HAVING r.user_id IS NOT NULL AND count(*) > c.user_max""",
    "I5 a redemption is one grant, and a campaign's grant one redemption": """
SELECT coalesce(r.id, g.id) AS row_id, format('redeemed %s, granted %s', r.amount, p.amount) AS what
FROM voucher_redemptions r
FULL JOIN (SELECT * FROM ledger_accounts WHERE grant_kind IN ('voucher', 'sign_up', 'referral')) g
  ON g.id = r.grant_id
LEFT JOIN ledger_transfers p ON p.id = 'post/' || g.id
WHERE r.id IS NULL OR g.id IS NULL OR p.id IS NULL OR r.amount <> p.amount
  OR g.tenant_id <> r.tenant_id OR p.credit_id <> g.id""",
    "I6 what lives holds its quote, and what has ended holds nothing": """
, held AS (
  SELECT subject, sum(amount) AS amount FROM open_holds GROUP BY subject
)
SELECT s.id AS row_id, format('live %s, holds %s of %s', s.live, coalesce(h.amount, 0), s.quoted)
  AS what
FROM subjects s LEFT JOIN held h ON h.subject = s.id
WHERE CASE WHEN s.live THEN coalesce(h.amount, 0) <> coalesce(s.quoted, h.amount, 0)
           ELSE h.amount IS NOT NULL END""",
    "I6 a hold is of a job or turn of its tenant": """
SELECT h.id AS row_id, 'no such job or turn: ' || h.subject AS what
FROM open_holds h LEFT JOIN subjects s ON s.id = h.subject AND s.tenant_id = h.tenant_id
WHERE s.id IS NULL""",
    "I6 what was charged is what was settled": """
, settled AS (
  SELECT subject, sum(amount) AS amount FROM ledger_transfers WHERE kind = 'settle'
  GROUP BY subject
)
SELECT s.id AS row_id, format('charged %s, settled %s', s.charged, coalesce(t.amount, 0)) AS what
FROM subjects s LEFT JOIN settled t ON t.subject = s.id
WHERE coalesce(s.charged, 0) <> coalesce(t.amount, 0)""",
    "I6 refunds come to no more than was charged": """
SELECT subject AS row_id, format('%s refunded of %s',
  sum(amount) FILTER (WHERE debit_id = 'house/revenue'),
  coalesce(sum(amount) FILTER (WHERE kind = 'settle'), 0)) AS what
FROM ledger_transfers GROUP BY subject
HAVING sum(amount) FILTER (WHERE debit_id = 'house/revenue')
       > coalesce(sum(amount) FILTER (WHERE kind = 'settle'), 0)""",
    "I7 every act has one input": """
SELECT subject AS row_id, format('%s inputs of %s', count(DISTINCT input_hash), kind) AS what
FROM (SELECT subject, input_hash,
             CASE WHEN hold_id IS NULL THEN 'hold' ELSE 'settlement' END AS kind
      FROM ledger_transfers WHERE kind <> 'post') AS acts
GROUP BY subject, kind HAVING count(DISTINCT input_hash) > 1""",
    "I8 nobody can change what is written": """
SELECT t.name || ' on ' || t.place AS row_id, 'the trigger is missing or disabled' AS what
FROM (VALUES ('no_change', 'ledger_transfers'), ('apply', 'ledger_transfers'),
             ('no_removal', 'ledger_accounts'), ('form', 'ledger_accounts'),
             ('no_change', 'voucher_redemptions')) AS t(name, place)
WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.place::regclass AND tgname = t.name
                  AND tgenabled IN ('O', 'A'))
UNION ALL
SELECT format('%s on %s', p.verb, t.name), r.rolname || ' has the privilege'
FROM pg_roles r, (VALUES ('ledger_transfers'), ('ledger_accounts'), ('voucher_redemptions'))
  AS t(name), (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS p(verb)
WHERE r.rolname IN ('tunery_app', 'tunery_system')
  AND has_table_privilege(r.rolname, t.name, p.verb)
UNION ALL
SELECT 'uq_ledger_transfers_one_resolution', 'the unique index is missing or not valid'
WHERE NOT EXISTS (SELECT FROM pg_index WHERE indisunique AND indisvalid
                  AND indexrelid = to_regclass('uq_ledger_transfers_one_resolution'))
UNION ALL
SELECT 'ck_ledger_accounts_never_negative', 'the CHECK is missing or not valid'
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE convalidated
                  AND conname = 'ck_ledger_accounts_never_negative')""",
    "I8 every row is what its kind must be": """
SELECT id AS row_id, transfer_fault(t) AS what FROM ledger_transfers t
WHERE transfer_fault(t) IS NOT NULL
UNION ALL
SELECT id, account_fault(a) FROM ledger_accounts a WHERE account_fault(a) IS NOT NULL""",
    "I9 money is whole micro-credits": """
SELECT table_name || '.' || column_name AS row_id, 'is ' || data_type AS what
FROM information_schema.columns
WHERE (table_name, column_name) IN (
  ('ledger_accounts', 'debits_pending'), ('ledger_accounts', 'debits_posted'),
  ('ledger_accounts', 'credits_posted'), ('ledger_transfers', 'amount'),
  ('voucher_campaigns', 'amount'), ('voucher_campaigns', 'credits'),
  ('voucher_redemptions', 'amount'), ('jobs', 'charged_credits'),
  ('chat_turns', 'charged_credits')) AND data_type <> 'bigint'""",
    "I10 a job is charged by its own quote, and no more than it": """
SELECT j.id AS row_id, format('charged %s for %s tokens, quoted %s at %s a token',
  j.charged_credits, j.trained_tokens, j.quote->>'credits', j.quote->>'rate') AS what
FROM jobs j LEFT JOIN quotes q ON q.id = j.quote_id
WHERE j.charged_credits > coalesce((j.quote->>'credits')::bigint, 0)
   OR j.charged_credits > 0 AND j.charged_credits
      > greatest((j.quote->>'rate')::bigint * j.trained_tokens, 10000)
   OR q.quote->>'credits' <> j.quote->>'credits'
   OR q.quote->>'price_version' <> j.quote->>'price_version'""",
    "I12 what was granted is left, held, spent, expired or corrected": """
, gone AS (
  SELECT debit_id AS id, sum(amount) AS amount FROM ledger_transfers
  WHERE kind = 'settle' OR credit_id = 'house/breakage' OR corrects_id IS NOT NULL GROUP BY debit_id
), held AS (SELECT debit_id AS id, sum(amount) AS amount FROM open_holds GROUP BY debit_id)
SELECT a.id AS row_id, format('granted %s, left %s, held %s, gone %s', p.amount,
  a.credits_posted - a.debits_posted - a.debits_pending, coalesce(h.amount, 0),
  coalesce(g.amount, 0)) AS what
FROM ledger_accounts a LEFT JOIN ledger_transfers p ON p.id = 'post/' || a.id
LEFT JOIN gone g ON g.id = a.id LEFT JOIN held h ON h.id = a.id
WHERE a.kind = 'grant' AND p.amount IS DISTINCT FROM
  (a.credits_posted - a.debits_posted - a.debits_pending)
  + coalesce(h.amount, 0) + coalesce(g.amount, 0)""",
    "I12 nothing is left on a grant long expired": """
SELECT id AS row_id, format('%s left, expired at %s',
  credits_posted - debits_posted - debits_pending, expires_at) AS what
FROM ledger_accounts
WHERE kind = 'grant' AND expires_at < now() - interval '1 hour'
  AND debits_posted + debits_pending < credits_posted""",
    "a transfer stays within its tenant": """
SELECT t.id AS row_id, format('of %s on a grant of %s', t.tenant_id, a.tenant_id) AS what
FROM ledger_transfers t JOIN ledger_accounts a
  ON a.id = CASE WHEN t.debit_id LIKE 'house/%' THEN t.credit_id ELSE t.debit_id END
WHERE a.tenant_id IS DISTINCT FROM t.tenant_id
   OR (t.debit_id LIKE 'house/%') = (t.credit_id LIKE 'house/%')""",
    "every account that a transfer names is there": """
SELECT t.id AS row_id, 'no account ' || t.side AS what
FROM (SELECT id, debit_id AS side FROM ledger_transfers
      UNION ALL SELECT id, credit_id FROM ledger_transfers) AS t
WHERE NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.id = t.side)""",
}
