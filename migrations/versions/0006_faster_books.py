"""The same laws of the books for less work.

PostgreSQL parses a table's CHECKs anew for every statement that writes to it, which was a third of
its time for an act. What is fixed once a row is there (the form of a transfer, the form of an
account) is now a trigger's to refuse; it asks `transfer_fault` and `account_fault`, and so does
`tunery ledger check` of every row that is there. The sums, which do change, keep their CHECKs.

A subject's transfers have an index of their tenant's and theirs, and no plan made before there were
statistics walks through all that a tenant ever did: a busy tenant's acts got slower with each.
"""

from contextlib import closing

from alembic import context, op

revision = "0006"
down_revision = "0005"

TRANSFERS, ACCOUNTS = "ledger_transfers", "ledger_accounts"
HOUSE = "('house/promotion', 'house/payment', 'house/revenue', 'house/breakage')"
FORMS = {
    TRANSFERS: {
        "kind": "kind IN ('post', 'hold', 'settle', 'release')",
        "amount": "amount >= 0 AND (amount > 0 OR kind = 'release')",
        "two_sides": "debit_id <> credit_id",
        "resolves": "(kind IN ('settle', 'release')) = (hold_id IS NOT NULL)",
        "house": f"(debit_id IN {HOUSE}) <> (credit_id IN {HOUSE})",
        "earns": "kind = 'post' OR credit_id = 'house/revenue'",
        "timeout": "timeout_at IS NULL OR kind = 'hold'",
        "corrects": "corrects_id IS NULL OR kind = 'post'",
        "input_hash": "length(input_hash) IN (0, 32)",
    },
    ACCOUNTS: {
        "kind": "kind IN ('grant', 'promotion', 'payment', 'revenue', 'breakage')",
        "owner": "(kind = 'grant') = (tenant_id IS NOT NULL)",
        "house": "(kind = 'grant') = (id NOT LIKE 'house/%')",
        "grant_kind": "(kind = 'grant') = (grant_kind IS NOT NULL) AND grant_kind IN "
        "('voucher', 'purchase', 'admin', 'refund', 'sign_up', 'referral')",
        "period": "expires_at > starts_at",
    },
}
"""The CHECKs that become a trigger's."""

# A house account has no sums at all: what holds of grants may be asked of every row.
SUMS = """
ALTER TABLE ledger_accounts
  DROP CONSTRAINT ck_ledger_accounts_never_negative, DROP CONSTRAINT ck_ledger_accounts_sums,
  ADD CONSTRAINT ck_ledger_accounts_never_negative
    CHECK (debits_pending + debits_posted <= credits_posted),
  ADD CONSTRAINT ck_ledger_accounts_sums CHECK (debits_pending >= 0 AND debits_posted >= 0);
"""
SUMS_BEFORE = """
ALTER TABLE ledger_accounts
  DROP CONSTRAINT ck_ledger_accounts_never_negative, DROP CONSTRAINT ck_ledger_accounts_sums,
  ADD CONSTRAINT ck_ledger_accounts_never_negative
    CHECK (kind <> 'grant' OR debits_pending + debits_posted <= credits_posted),
  ADD CONSTRAINT ck_ledger_accounts_sums
    CHECK (debits_pending >= 0 AND debits_posted >= 0 AND credits_posted >= 0);
"""

# NULL where nothing is wrong. One side is the house's and the other is not, so they are two sides.
FAULTS = """
CREATE FUNCTION transfer_fault(t ledger_transfers) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE
    WHEN t.kind NOT IN ('post', 'hold', 'settle', 'release') THEN 'there is no such kind'
    WHEN t.amount < 0 OR (t.amount = 0 AND t.kind <> 'release') THEN 'it moves no credits'
    WHEN (t.kind IN ('settle', 'release')) <> (t.hold_id IS NOT NULL)
      THEN 'to settle or release names a hold, and nothing else does'
    WHEN (t.debit_id IN ('house/promotion', 'house/payment', 'house/revenue', 'house/breakage'))
      = (t.credit_id IN ('house/promotion', 'house/payment', 'house/revenue', 'house/breakage'))
      THEN 'one side must be an account of the house, the other must not'
    WHEN t.kind <> 'post' AND t.credit_id <> 'house/revenue' THEN 'what is held goes to revenue'
    WHEN t.timeout_at IS NOT NULL AND t.kind <> 'hold' THEN 'only a hold times out'
    WHEN t.corrects_id IS NOT NULL AND t.kind <> 'post' THEN 'only a post corrects'
    WHEN length(t.input_hash) NOT IN (0, 32) THEN 'the input hash is none'
  END;
END $$;

CREATE FUNCTION account_fault(a ledger_accounts) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE
    WHEN a.kind NOT IN ('grant', 'promotion', 'payment', 'revenue', 'breakage')
      THEN 'there is no such kind'
    WHEN (a.kind = 'grant') <> (a.tenant_id IS NOT NULL)
      THEN 'a grant, and only that, is a tenant''s'
    WHEN (a.kind = 'grant') = (a.id LIKE 'house/%') THEN 'house/ names the house''s accounts'
    WHEN (a.kind = 'grant') <> (a.grant_kind IS NOT NULL) OR a.grant_kind NOT IN
      ('voucher', 'purchase', 'admin', 'refund', 'sign_up', 'referral')
      THEN 'a grant, and only that, has a kind of grant'
    WHEN a.expires_at <= a.starts_at THEN 'it ends before it starts'
  END;
END $$;
"""

CHECK_ACCOUNT = """
CREATE FUNCTION check_account() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE fault text := account_fault(NEW);
BEGIN
  IF fault IS NOT NULL THEN
    RAISE EXCEPTION 'account %: %', NEW.id, fault USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER form
  BEFORE INSERT OR UPDATE OF id, tenant_id, kind, grant_kind, starts_at, expires_at
  ON ledger_accounts FOR EACH ROW EXECUTE FUNCTION check_account();
"""

# One trigger in place of two: what a transfer must be, the grant's sums, and what was spent by day.
# The grant is found by its id alone and then asked whose it is, for the reason given at SPEND.
APPLY = """
DROP TRIGGER spend ON ledger_transfers;
DROP FUNCTION keep_spending();
CREATE OR REPLACE FUNCTION apply_transfer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE fault text := transfer_fault(NEW); held record; owner text;
BEGIN
  IF fault IS NOT NULL THEN
    RAISE EXCEPTION 'transfer %: %', NEW.id, fault USING ERRCODE = '23514';
  END IF;
  IF NEW.kind = 'hold' THEN
    UPDATE ledger_accounts SET debits_pending = debits_pending + NEW.amount
    WHERE id = NEW.debit_id RETURNING tenant_id INTO owner;
  ELSIF NEW.hold_id IS NOT NULL THEN
    SELECT kind, debit_id, credit_id, tenant_id, subject, amount, actor, created_at
    INTO held FROM ledger_transfers WHERE id = NEW.hold_id;
    IF held.kind IS DISTINCT FROM 'hold' THEN
      RAISE EXCEPTION '% is not a hold', NEW.hold_id USING ERRCODE = '23514';
    END IF;
    IF held.debit_id <> NEW.debit_id OR held.credit_id <> NEW.credit_id
       OR held.tenant_id <> NEW.tenant_id OR held.subject <> NEW.subject THEN
      RAISE EXCEPTION 'accounts differ from the hold %', NEW.hold_id USING ERRCODE = '23514';
    END IF;
    IF NEW.amount > held.amount THEN
      RAISE EXCEPTION 'more than the hold % of %', NEW.hold_id, held.amount
        USING ERRCODE = '23514';
    END IF;
    IF NEW.kind = 'release' AND NEW.amount <> 0 THEN
      RAISE EXCEPTION 'a release moves nothing' USING ERRCODE = '23514';
    END IF;
    UPDATE ledger_accounts SET debits_pending = debits_pending - held.amount,
                               debits_posted = debits_posted + NEW.amount
    WHERE id = NEW.debit_id RETURNING tenant_id INTO owner;
  ELSIF NEW.debit_id LIKE 'house/%' THEN
    UPDATE ledger_accounts SET credits_posted = credits_posted + NEW.amount
    WHERE id = NEW.credit_id RETURNING tenant_id INTO owner;
  ELSE
    UPDATE ledger_accounts SET debits_posted = debits_posted + NEW.amount
    WHERE id = NEW.debit_id RETURNING tenant_id INTO owner;
  END IF;
  IF owner IS DISTINCT FROM NEW.tenant_id THEN
    RAISE EXCEPTION 'neither side is a grant of %', NEW.tenant_id USING ERRCODE = '23514';
  END IF;
  -- A hold counts on the day it is made, by who made it, until what is charged takes its place.
  IF NEW.kind = 'hold' THEN
    INSERT INTO spending AS s (tenant_id, actor, day, held)
    VALUES (NEW.tenant_id, NEW.actor, (NEW.created_at AT TIME ZONE 'UTC')::date, NEW.amount)
    ON CONFLICT (tenant_id, actor, day) DO UPDATE SET held = s.held + NEW.amount;
  ELSIF NEW.hold_id IS NOT NULL THEN
    UPDATE spending AS s SET held = s.held - held.amount, charged = s.charged + NEW.amount
    WHERE s.tenant_id = held.tenant_id AND s.actor = held.actor
      AND s.day = (held.created_at AT TIME ZONE 'UTC')::date;
  END IF;
  RETURN NULL;
END $$;
"""

# Each reads what it needs in one query, and names tenant and subject, which any index that fits
# finds few rows by. A plan made when a table was empty takes one of them at random and lives as long
# as its connection: such plans walked through all resolutions there are, or all of a tenant's acts.
SPEND = """
CREATE OR REPLACE FUNCTION ledger_hold(
  tenant text, wanted bigint, about text, why text, who text, input bytea, seconds float8,
  OUT available bigint, OUT first_input bytea)
LANGUAGE plpgsql AS $$
DECLARE grants text[]; free bigint[]; part bigint; missing bigint := wanted; place int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('wallet:' || tenant, 0));
  SELECT coalesce(sum(g.amount), 0), array_agg(g.id), array_agg(g.amount),
         (SELECT input_hash FROM ledger_transfers
          WHERE tenant_id = tenant AND subject = about AND id = 'hold/' || about || '/0000')
  INTO available, grants, free, first_input FROM (
    SELECT id, credits_posted - debits_posted - debits_pending AS amount FROM ledger_accounts
    WHERE tenant_id = tenant AND starts_at <= now() AND (expires_at IS NULL OR expires_at > now())
      AND credits_posted - debits_posted > debits_pending
    ORDER BY priority, expires_at NULLS LAST, created_at, id) AS g;
  IF first_input IS NOT NULL OR available < wanted THEN RETURN; END IF;
  WHILE missing > 0 LOOP
    part := least(free[place + 1], missing);
    INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, subject, reason,
                                  actor, input_hash, timeout_at)
    VALUES ('hold/' || about || '/' || lpad(place::text, 4, '0'), tenant, grants[place + 1],
            'house/revenue', part, 'hold', about, why, who, input,
            now() + make_interval(secs => seconds));
    missing := missing - part;
    place := place + 1;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION ledger_settle(
  tenant text, used bigint, about text, who text, input bytea,
  OUT charged bigint, OUT first_input bytea)
LANGUAGE plpgsql AS $$
DECLARE holds ledger_transfers[]; held ledger_transfers; part bigint; verb text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('wallet:' || tenant, 0));
  SELECT (array_agg(t.input_hash) FILTER (WHERE t.hold_id IS NOT NULL))[1],
         sum(t.amount) FILTER (WHERE t.hold_id IS NOT NULL),
         array_agg(t ORDER BY t.id) FILTER (WHERE t.kind = 'hold')
  INTO first_input, charged, holds FROM ledger_transfers t
  WHERE t.tenant_id = tenant AND t.subject = about;
  IF first_input IS NOT NULL THEN RETURN; END IF;
  charged := 0;
  FOREACH held IN ARRAY coalesce(holds, '{}') LOOP
    part := least(held.amount, used - charged);
    verb := CASE WHEN part > 0 THEN 'settle' ELSE 'release' END;
    INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, hold_id, subject,
                                  reason, actor, input_hash)
    VALUES (verb || '/' || held.id, tenant, held.debit_id, held.credit_id, part, verb, held.id,
            about, held.reason, who, input);
    charged := charged + part;
  END LOOP;
END $$;
"""

AWAY = """
DROP TRIGGER form ON ledger_accounts;
DROP FUNCTION check_account();
DROP FUNCTION ledger_hold(text, bigint, text, text, text, bytea, float8),
  ledger_settle(text, bigint, text, text, bytea);
"""


def run(statements: str) -> None:
    # The driver's own cursor: without parameters it takes several statements, and `%` is just %.
    with closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(statements)


def upgrade() -> None:
    # Aside of the transaction: the books stay open while a large table is read for its index.
    with op.get_context().autocommit_block():
        index = op.f("ix_ledger_transfers_tenant_id_subject")
        # What a try that was cut short left behind is there by name and of no use.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
        op.create_index(index, TRANSFERS, ["tenant_id", "subject"], postgresql_concurrently=True)
    op.drop_index(op.f("ix_ledger_transfers_subject"), TRANSFERS)
    # A statement is read by `seq`; nothing asks for a tenant's transfers by their time alone.
    op.drop_index(op.f("ix_ledger_transfers_tenant_id_created_at"), TRANSFERS)
    for statements in (FAULTS, CHECK_ACCOUNT, APPLY, SPEND, SUMS):
        run(statements)
    for table, forms in FORMS.items():
        for name in forms:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table)


def downgrade() -> None:
    """As 0003 and 0004 left it: their functions, from there."""
    for table, forms in FORMS.items():
        for name, rule in forms.items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    third, fourth = (context.script.get_revision(number).module for number in ("0003", "0004"))
    spending: str = fourth.SPENDING
    keep_spending = spending[spending.index("CREATE FUNCTION keep_spending") :]
    for statements in (SUMS_BEFORE, AWAY, third.APPLY, third.SPEND, keep_spending):
        run(statements)
    run("DROP FUNCTION transfer_fault(ledger_transfers), account_fault(ledger_accounts)")
    op.create_index(op.f("ix_ledger_transfers_subject"), TRANSFERS, ["subject"])
    op.create_index(
        op.f("ix_ledger_transfers_tenant_id_created_at"), TRANSFERS, ["tenant_id", "created_at"]
    )
    op.drop_index(op.f("ix_ledger_transfers_tenant_id_subject"), TRANSFERS)
