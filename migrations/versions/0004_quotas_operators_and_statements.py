"""Operators, limits of a tenant's own, budgets of keys, low balance, and an order for statements.

Every transfer gets its place in one sequence. A wallet's acts take theirs under its lock, so a
tenant's statement reads in the order in which the acts were done. What is promised and charged is
counted by day and by who asked (`spending`), by a trigger, so that a limit costs no walk through
the books and cannot drift from them.
"""

from contextlib import closing

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

# A hold counts on the day it is made, by who made it, until what is charged of it takes its place.
SPENDING = """
INSERT INTO spending (tenant_id, actor, day, held, charged)
SELECT h.tenant_id, h.actor, (h.created_at AT TIME ZONE 'UTC')::date,
       coalesce(sum(h.amount) FILTER (WHERE r.id IS NULL), 0), coalesce(sum(r.amount), 0)
FROM ledger_transfers h LEFT JOIN ledger_transfers r ON r.hold_id = h.id
WHERE h.kind = 'hold' GROUP BY 1, 2, 3;

CREATE FUNCTION keep_spending() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE held public.ledger_transfers;
BEGIN
  IF NEW.kind = 'hold' THEN
    INSERT INTO public.spending AS s (tenant_id, actor, day, held)
    VALUES (NEW.tenant_id, NEW.actor, (NEW.created_at AT TIME ZONE 'UTC')::date, NEW.amount)
    ON CONFLICT (tenant_id, actor, day) DO UPDATE SET held = s.held + NEW.amount;
  ELSE
    SELECT * INTO held FROM public.ledger_transfers WHERE id = NEW.hold_id;
    UPDATE public.spending AS s
    SET held = s.held - held.amount, charged = s.charged + NEW.amount
    WHERE s.tenant_id = held.tenant_id AND s.actor = held.actor
      AND s.day = (held.created_at AT TIME ZONE 'UTC')::date;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER spend AFTER INSERT ON ledger_transfers
  FOR EACH ROW WHEN (NEW.kind <> 'post') EXECUTE FUNCTION keep_spending();
"""

# More for a subject that holds already: further parts of its one hold, numbered on from the last,
# under the input of the first. Wanted is the sum that it then holds, so to ask twice holds once.
HOLD_UP_TO = """
CREATE FUNCTION ledger_hold_up_to(tenant text, wanted bigint, about text,
  OUT available bigint, OUT missing bigint)
LANGUAGE plpgsql AS $$
DECLARE first ledger_transfers; free record; part bigint; place int; rest bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('wallet:' || tenant, 0));
  SELECT * INTO first FROM ledger_transfers
  WHERE id = 'hold/' || about || '/0000' AND tenant_id = tenant;
  IF NOT FOUND THEN
    RAISE EXCEPTION '% holds nothing', about USING ERRCODE = '23514';
  END IF;
  SELECT wanted - coalesce(sum(amount) FILTER (WHERE NOT EXISTS (
           SELECT FROM ledger_transfers r WHERE r.hold_id = h.id)), 0), count(*)
  INTO missing, place FROM ledger_transfers h
  WHERE subject = about AND tenant_id = tenant AND kind = 'hold';
  missing := greatest(missing, 0);
  rest := missing;
  SELECT coalesce(sum(credits_posted - debits_posted - debits_pending), 0) INTO available
  FROM ledger_accounts
  WHERE tenant_id = tenant AND starts_at <= now() AND (expires_at IS NULL OR expires_at > now());
  IF available < missing OR missing = 0 THEN RETURN; END IF;
  FOR free IN
    SELECT id, credits_posted - debits_posted - debits_pending AS amount FROM ledger_accounts
    WHERE tenant_id = tenant AND starts_at <= now() AND (expires_at IS NULL OR expires_at > now())
      AND credits_posted - debits_posted > debits_pending
    ORDER BY priority, expires_at NULLS LAST, created_at, id
  LOOP
    part := least(free.amount, rest);
    INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, subject, reason,
                                  actor, input_hash, timeout_at)
    VALUES ('hold/' || about || '/' || lpad(place::text, 4, '0'), tenant, free.id, 'house/revenue',
            part, 'hold', about, first.reason, first.actor, first.input_hash,
            now() + (first.timeout_at - first.created_at));
    rest := rest - part;
    place := place + 1;
    EXIT WHEN rest = 0;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION ledger_hold_up_to(text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_hold_up_to(text, bigint, text) TO tunery_app, tunery_system;
"""

# Nobody makes himself an operator or raises his own limits: the application's role can write
# neither column, not even at sign-up. The alert is the tenant's own.
RIGHTS = """
REVOKE INSERT ON tenants, users FROM tunery_app, tunery_system;
GRANT INSERT (id, name, slug) ON tenants TO tunery_app, tunery_system;
GRANT INSERT (id, email, password_hash) ON users TO tunery_app, tunery_system;
GRANT UPDATE (operator) ON users TO tunery_system;
GRANT UPDATE (limits) ON tenants TO tunery_system;
GRANT UPDATE (low_balance_credits) ON tenants TO tunery_app, tunery_system;
GRANT SELECT ON spending TO tunery_app, tunery_system;
GRANT SELECT, INSERT ON credit_alerts TO tunery_app, tunery_system;
GRANT UPDATE (recovered_at) ON credit_alerts TO tunery_app, tunery_system;
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['spending', 'credit_alerts'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY system ON %I TO tunery_system USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY tenant ON %I TO tunery_app USING '
                   '(tenant_id = (SELECT current_setting(''app.tenant_id'', true))) WITH CHECK '
                   '(tenant_id = (SELECT current_setting(''app.tenant_id'', true)))', t);
  END LOOP;
  EXECUTE format('CREATE POLICY keep_sums ON spending TO %I USING (true) WITH CHECK (true)',
                 current_user);
END $$;
"""

BACK = """
DROP TRIGGER spend ON ledger_transfers;
DROP FUNCTION keep_spending();
DROP FUNCTION ledger_hold_up_to(text, bigint, text);
GRANT INSERT ON tenants, users TO tunery_app, tunery_system;
"""


def run(statements: str) -> None:
    # The driver's own cursor: without parameters it takes several statements, and `%` is just %.
    with closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(statements)


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column("operator", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "tenants",
        sa.Column(
            "limits",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="overrides; only the operator writes them",
        ),
    )
    op.add_column("tenants", sa.Column("low_balance_credits", sa.BigInteger()))
    op.add_column("api_keys", sa.Column("budget_credits", sa.BigInteger()))
    op.add_column("api_keys", sa.Column("month_budget_credits", sa.BigInteger()))
    op.create_check_constraint(
        op.f("ck_api_keys_budgets"), "api_keys", "budget_credits >= 0 AND month_budget_credits >= 0"
    )
    op.add_column("jobs", sa.Column("pause", postgresql.JSONB(none_as_null=True)))
    op.create_check_constraint(op.f("ck_jobs_pause"), "jobs", "pause IS NULL OR status = 'paused'")

    # Rows that are there are numbered as they lie, which is as they were written.
    op.add_column(
        "ledger_transfers",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
    )
    op.create_index(
        op.f("ix_ledger_transfers_tenant_id_seq"), "ledger_transfers", ["tenant_id", "seq"]
    )
    op.create_table(
        "spending",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("charged", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "actor", "day", name="pk_spending"),
    )
    op.create_index("ix_spending_tenant_id_day", "spending", ["tenant_id", "day"])
    op.create_table(
        "credit_alerts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("recovered_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_credit_alerts_tenant_id_tenants"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_credit_alerts"),
    )
    op.create_index(
        "ix_credit_alerts_tenant_id_created_at", "credit_alerts", ["tenant_id", "created_at"]
    )
    op.create_index(
        "uq_credit_alerts_open",
        "credit_alerts",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("recovered_at IS NULL"),
    )
    for statements in (SPENDING, HOLD_UP_TO, RIGHTS):
        run(statements)


def downgrade() -> None:
    run(BACK)
    op.drop_table("credit_alerts")
    op.drop_table("spending")
    op.drop_index(op.f("ix_ledger_transfers_tenant_id_seq"), table_name="ledger_transfers")
    op.drop_column("ledger_transfers", "seq")
    op.drop_constraint(op.f("ck_jobs_pause"), "jobs")
    op.drop_column("jobs", "pause")
    op.drop_constraint(op.f("ck_api_keys_budgets"), "api_keys")
    for table, column in (
        ("api_keys", "budget_credits"),
        ("api_keys", "month_budget_credits"),
        ("tenants", "low_balance_credits"),
        ("tenants", "limits"),
        ("users", "operator"),
    ):
        op.drop_column(table, column)
