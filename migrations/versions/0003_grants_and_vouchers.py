"""Grants of several kinds, vouchers and referrals; holds and settlements in one call each.

Transfers made before have an empty `input_hash`; sign-up credits given before get the redemption
that the built-in campaign would have made.
"""

from contextlib import closing
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

GRANT_KIND = (
    "(kind = 'grant') = (grant_kind IS NOT NULL) AND grant_kind IN "
    "('voucher', 'purchase', 'admin', 'refund', 'sign_up', 'referral')"
)
ACCOUNT_CHECKS = {
    "kind": "kind IN ('grant', 'promotion', 'payment', 'revenue', 'breakage')",
    "house": "(kind = 'grant') = (id NOT LIKE 'house/%')",
    "grant_kind": GRANT_KIND,
    "period": "expires_at > starts_at",
}
HOUSE = "('house/promotion', 'house/payment', 'house/revenue', 'house/breakage')"
TRANSFER_CHECKS = {
    "house": f"(debit_id IN {HOUSE}) <> (credit_id IN {HOUSE})",
    "earns": "kind = 'post' OR credit_id = 'house/revenue'",
    "timeout": "timeout_at IS NULL OR kind = 'hold'",
    "corrects": "corrects_id IS NULL OR kind = 'post'",
    "input_hash": "length(input_hash) IN (0, 32)",
}
FOREIGN_KEYS = {
    "fk_ledger_transfers_debit_id_ledger_accounts": ("ledger_accounts", "debit_id"),
    "fk_ledger_transfers_credit_id_ledger_accounts": ("ledger_accounts", "credit_id"),
    "fk_ledger_transfers_hold_id_ledger_transfers": ("ledger_transfers", "hold_id"),
    "fk_ledger_transfers_tenant_id_tenants": ("tenants", "tenant_id"),
}

# One side of a transfer is a grant of its tenant (a CHECK says so of the other side), and only that
# side keeps sums; a house account's row is never written.
APPLY = """
CREATE OR REPLACE FUNCTION apply_transfer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE held ledger_transfers;
BEGIN
  IF NEW.hold_id IS NOT NULL THEN
    SELECT * INTO held FROM ledger_transfers WHERE id = NEW.hold_id;
    IF held.id IS NULL OR held.kind <> 'hold' THEN
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
  END IF;
  IF NEW.debit_id LIKE 'house/%' THEN
    UPDATE ledger_accounts SET credits_posted = credits_posted + NEW.amount
    WHERE id = NEW.credit_id AND tenant_id = NEW.tenant_id;
  ELSE
    UPDATE ledger_accounts SET
      debits_pending = debits_pending + CASE WHEN NEW.kind = 'hold' THEN NEW.amount
                                             WHEN held.id IS NOT NULL THEN -held.amount ELSE 0 END,
      debits_posted = debits_posted + CASE WHEN NEW.kind = 'hold' THEN 0 ELSE NEW.amount END
    WHERE id = NEW.debit_id AND tenant_id = NEW.tenant_id;
  END IF;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'neither side is a grant of %', NEW.tenant_id USING ERRCODE = '23514';
  END IF;
  RETURN NULL;
END $$;
"""

# Refused as a statement, so that even one that finds no row says so; for everybody, the owner too.
# (The sums of a grant may be updated by the owner, whom apply_transfer() is; nobody else can.)
APPEND_ONLY = """
DROP TRIGGER no_change ON ledger_transfers;
DROP TRIGGER no_truncate ON ledger_transfers;
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher_redemptions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_removal BEFORE DELETE OR TRUNCATE ON ledger_accounts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

# One round trip each, as whoever calls: row-level security and privileges bind them. The wallet's
# lock comes first, so two spenders of a tenant see each other; a key that was used returns the hash
# of what was asked under it then, and does nothing.
SPEND = """
CREATE FUNCTION ledger_hold(
  tenant text, wanted bigint, about text, why text, who text, input bytea, seconds float8,
  OUT available bigint, OUT first_input bytea)
LANGUAGE plpgsql AS $$
DECLARE free record; part bigint; missing bigint := wanted; place int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('wallet:' || tenant, 0));
  SELECT input_hash INTO first_input FROM ledger_transfers
  WHERE id = 'hold/' || about || '/0000' AND tenant_id = tenant;
  IF FOUND THEN RETURN; END IF;
  SELECT coalesce(sum(credits_posted - debits_posted - debits_pending), 0) INTO available
  FROM ledger_accounts
  WHERE tenant_id = tenant AND starts_at <= now() AND (expires_at IS NULL OR expires_at > now());
  IF available < wanted THEN RETURN; END IF;
  FOR free IN
    SELECT id, credits_posted - debits_posted - debits_pending AS amount FROM ledger_accounts
    WHERE tenant_id = tenant AND starts_at <= now() AND (expires_at IS NULL OR expires_at > now())
      AND credits_posted - debits_posted > debits_pending
    ORDER BY priority, expires_at NULLS LAST, created_at, id
  LOOP
    part := least(free.amount, missing);
    INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, subject, reason,
                                  actor, input_hash, timeout_at)
    VALUES ('hold/' || about || '/' || lpad(place::text, 4, '0'), tenant, free.id, 'house/revenue',
            part, 'hold', about, why, who, input, now() + make_interval(secs => seconds));
    missing := missing - part;
    place := place + 1;
    EXIT WHEN missing = 0;
  END LOOP;
END $$;

CREATE FUNCTION ledger_settle(
  tenant text, used bigint, about text, who text, input bytea,
  OUT charged bigint, OUT first_input bytea)
LANGUAGE plpgsql AS $$
DECLARE held ledger_transfers; part bigint; verb text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('wallet:' || tenant, 0));
  SELECT (array_agg(input_hash))[1], sum(amount) INTO first_input, charged FROM ledger_transfers
  WHERE subject = about AND tenant_id = tenant AND hold_id IS NOT NULL;
  IF first_input IS NOT NULL THEN RETURN; END IF;
  charged := 0;
  FOR held IN
    SELECT * FROM ledger_transfers
    WHERE subject = about AND tenant_id = tenant AND kind = 'hold' ORDER BY id
  LOOP
    part := least(held.amount, used - charged);
    verb := CASE WHEN part > 0 THEN 'settle' ELSE 'release' END;
    INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, hold_id, subject,
                                  reason, actor, input_hash)
    VALUES (verb || '/' || held.id, tenant, held.debit_id, held.credit_id, part, verb, held.id,
            about, held.reason, who, input);
    charged := charged + part;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION ledger_hold(text, bigint, text, text, text, bytea, float8),
  ledger_settle(text, bigint, text, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_hold(text, bigint, text, text, text, bytea, float8),
  ledger_settle(text, bigint, text, text, bytea) TO tunery_app, tunery_system;
"""

# The one way by which the application's role can make credits: what a campaign allows, counted
# under the campaign's lock. NULL is every refusal alike. The tenant is the transaction's own.
REDEEM = """
CREATE FUNCTION campaign_gives(
  campaign text, code text, tenant text, person text, key text, fallback bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE c voucher_campaigns; given bigint;
BEGIN
  SELECT * INTO c FROM voucher_campaigns WHERE id = campaign FOR UPDATE;
  given := CASE WHEN c.amount > 0 THEN c.amount ELSE fallback END;
  IF c.id IS NULL OR given <= 0 OR c.revoked_at IS NOT NULL
     OR c.starts_at > now() OR c.ends_at <= now()
     OR c.redemptions >= c.redemptions_max OR c.credits + given > c.credits_max
     OR c.tenant_max <= (SELECT count(*) FROM voucher_redemptions
                         WHERE campaign_id = c.id AND tenant_id = tenant)
     OR c.user_max <= (SELECT count(*) FROM voucher_redemptions
                       WHERE campaign_id = c.id AND user_id = person)
     OR (c.first_only AND EXISTS (SELECT FROM voucher_redemptions
                                  WHERE tenant_id = tenant AND code_id IS NOT NULL))
     OR (c.email_domains <> '[]' AND NOT c.email_domains ? coalesce(
           (SELECT split_part(email, '@', 2) FROM users WHERE id = person), ''))
  THEN RETURN NULL; END IF;
  INSERT INTO ledger_accounts (id, tenant_id, kind, grant_kind, priority, expires_at)
  VALUES ('grant/' || key, tenant, 'grant', c.kind, c.priority,
          now() + make_interval(days => c.days::int));
  INSERT INTO ledger_transfers (id, tenant_id, debit_id, credit_id, amount, kind, subject, reason,
                                actor, input_hash)
  VALUES ('post/grant/' || key, tenant, 'house/promotion', 'grant/' || key, given, 'post',
          'grant/' || key, c.name, coalesce(person, 'house'),
          sha256(convert_to(c.id || '/' || key || '/' || given, 'UTF8')));
  INSERT INTO voucher_redemptions (id, tenant_id, campaign_id, code_id, user_id, grant_id, amount)
  VALUES (key, tenant, c.id, code, person, 'grant/' || key, given);
  UPDATE voucher_campaigns SET redemptions = redemptions + 1, credits = credits + given
  WHERE id = c.id;
  RETURN key;
END $$;

CREATE FUNCTION redeem_voucher(hash bytea, person text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE tenant text := current_setting('app.tenant_id'); code voucher_codes; key text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('wallet:' || tenant, 0));
  SELECT r.id INTO key FROM voucher_redemptions r JOIN voucher_codes v ON v.id = r.code_id
  WHERE v.code_hash = hash AND r.tenant_id = tenant;
  IF FOUND THEN RETURN key; END IF;
  -- Who waits here for another redeemer sees what that one left.
  SELECT * INTO code FROM voucher_codes
  WHERE code_hash = hash AND revoked_at IS NULL AND redeemed < max_redemptions FOR UPDATE;
  key := campaign_gives(code.campaign_id, code.id, tenant, person,
                        'voucher/' || code.id || '/' || tenant, 0);
  IF key IS NOT NULL THEN
    UPDATE voucher_codes SET redeemed = redeemed + 1 WHERE id = code.id;
  END IF;
  RETURN key;
END $$;

CREATE FUNCTION welcome(person text, amount bigint, referrer text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE mine text := current_setting('app.tenant_id');
BEGIN
  PERFORM campaign_gives('campaign-sign-up', NULL, mine, person, 'sign-up/' || mine, amount);
  INSERT INTO referrals (tenant_id, referrer_id)
  SELECT mine, id FROM tenants WHERE slug = referrer AND id <> mine;
END $$;
REVOKE ALL ON FUNCTION campaign_gives(text, text, text, text, text, bigint),
  redeem_voucher(bytea, text), welcome(text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redeem_voucher(bytea, text), welcome(text, bigint, text) TO tunery_app;
GRANT EXECUTE ON FUNCTION campaign_gives(text, text, text, text, text, bigint) TO tunery_system;
"""

# A tenant's own transaction can hold and settle, and can post nothing: grants, refunds, expiry and
# corrections are the system's, or the functions' above. No one can back-date a row or seed a sum.
RIGHTS = """
REVOKE INSERT ON ledger_transfers FROM tunery_app, tunery_system;
GRANT INSERT (id, tenant_id, debit_id, credit_id, amount, kind, hold_id, corrects_id, timeout_at,
              input_hash, subject, reason, actor) ON ledger_transfers TO tunery_app, tunery_system;
REVOKE INSERT (id, tenant_id, kind, priority, expires_at) ON ledger_accounts FROM tunery_app;
GRANT INSERT (grant_kind, starts_at) ON ledger_accounts TO tunery_system;
ALTER POLICY tenant ON ledger_transfers
  WITH CHECK (tenant_id = (SELECT current_setting('app.tenant_id', true)) AND kind <> 'post');

GRANT SELECT ON voucher_redemptions, referrals TO tunery_app, tunery_system;
GRANT SELECT, INSERT ON voucher_campaigns, voucher_codes TO tunery_system;
GRANT UPDATE (revoked_at) ON voucher_campaigns, voucher_codes TO tunery_system;
GRANT UPDATE (rewarded_at) ON referrals TO tunery_system;
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['voucher_campaigns', 'voucher_codes', 'voucher_redemptions',
                           'referrals'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY system ON %I TO tunery_system USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY redeem ON %I TO %I USING (true)', t, current_user);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['voucher_redemptions', 'referrals'] LOOP
    EXECUTE format('CREATE POLICY tenant ON %I TO tunery_app USING '
                   '(tenant_id = (SELECT current_setting(''app.tenant_id'', true)))', t);
  END LOOP;
  EXECUTE format('CREATE POLICY redeem ON ledger_transfers FOR INSERT TO %I WITH CHECK (true)',
                 current_user);
  EXECUTE format('CREATE POLICY look_up ON tenants FOR SELECT TO %I USING (true)', current_user);
END $$;
"""

BUILT_IN = """
-- A downgrade leaves it, since transfers name it.
INSERT INTO ledger_accounts (id, kind) VALUES ('house/breakage', 'breakage')
ON CONFLICT DO NOTHING;
INSERT INTO voucher_campaigns (id, name, kind, amount, tenant_max, created_by) VALUES
  ('campaign-sign-up', 'sign-up credits', 'sign_up', 0, 1, 'house'),
  ('campaign-referral', 'referral credits', 'referral', 0, 10, 'house');
INSERT INTO voucher_redemptions (id, tenant_id, campaign_id, user_id, grant_id, amount)
SELECT substr(g.id, 7), g.tenant_id, 'campaign-sign-up', u.id, g.id, g.credits_posted
FROM ledger_accounts g JOIN ledger_transfers p ON p.id = 'post/' || g.id
LEFT JOIN users u ON u.id = p.actor WHERE g.grant_kind = 'sign_up';
UPDATE voucher_campaigns SET
  (redemptions, credits) = (SELECT count(*), coalesce(sum(amount), 0) FROM voucher_redemptions)
WHERE id = 'campaign-sign-up';
"""

BACK = """
DROP FUNCTION ledger_hold(text, bigint, text, text, text, bytea, float8),
  ledger_settle(text, bigint, text, text, bytea), redeem_voucher(bytea, text),
  welcome(text, bigint, text), campaign_gives(text, text, text, text, text, bigint);
DROP TRIGGER no_removal ON ledger_accounts;
DROP TRIGGER no_change ON ledger_transfers;
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON ledger_transfers
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_transfers
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DROP POLICY redeem ON ledger_transfers;
DROP POLICY look_up ON tenants;
ALTER POLICY tenant ON ledger_transfers
  WITH CHECK (tenant_id = (SELECT current_setting('app.tenant_id', true)));
GRANT INSERT ON ledger_transfers TO tunery_app, tunery_system;
GRANT INSERT (id, tenant_id, kind, priority, expires_at) ON ledger_accounts TO tunery_app;
"""


def run(statements: str) -> None:
    # The driver's own cursor: without parameters it takes several statements, and `%` is just %.
    with closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(statements)


def moment(name: str, *, needed: bool = False) -> sa.Column[Any]:
    now = sa.text("now()") if needed else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=not needed)


def count(name: str, default: str | None = None, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default=default, nullable=null)


def words(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=null)


def link(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=f"fk_{table}_{column}_{to}")


def check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    op.add_column("ledger_accounts", words("grant_kind", null=True))
    op.add_column("ledger_accounts", moment("starts_at", needed=True))
    op.execute(
        "UPDATE ledger_accounts SET starts_at = created_at, grant_kind = CASE WHEN kind = 'grant' "
        "THEN CASE WHEN id LIKE 'grant/sign-up/%' THEN 'sign_up' ELSE 'admin' END END"
    )
    # A grant that was born expired (no verb makes them now) starts before it ends.
    op.execute(
        "UPDATE ledger_accounts SET starts_at = expires_at - interval '1 second' "
        "WHERE expires_at <= starts_at"
    )
    op.drop_constraint(op.f("ck_ledger_accounts_kind"), "ledger_accounts")
    for name, rule in ACCOUNT_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_ledger_accounts_{name}"), "ledger_accounts", rule)

    op.add_column("ledger_transfers", words("corrects_id", null=True))
    op.create_foreign_key(
        op.f("fk_ledger_transfers_corrects_id_ledger_transfers"),
        "ledger_transfers",
        "ledger_transfers",
        ["corrects_id"],
        ["id"],
    )
    op.add_column("ledger_transfers", moment("timeout_at"))
    empty = sa.text("''::bytea")
    op.add_column(
        "ledger_transfers",
        sa.Column("input_hash", sa.LargeBinary(), server_default=empty, nullable=False),
    )
    op.alter_column("ledger_transfers", "input_hash", server_default=None)
    # They would lock three rows for every transfer, the house's one row among them; the CHECK knows
    # the house's accounts by name, and apply_transfer() finds the grant and the hold.
    for name in FOREIGN_KEYS:
        op.drop_constraint(name, "ledger_transfers")
    for name, rule in TRANSFER_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_ledger_transfers_{name}"), "ledger_transfers", rule)

    _voucher_tables()
    for statements in (APPLY, RIGHTS, BUILT_IN, APPEND_ONLY, SPEND, REDEEM):
        run(statements)


def _voucher_tables() -> None:
    t = "voucher_campaigns"
    op.create_table(
        t,
        words("id"),
        words("name"),
        sa.Column("kind", sa.String(), server_default="voucher", nullable=False),
        count("amount"),
        count("priority", "50"),
        sa.Column("days", sa.BigInteger(), comment="until what was granted expires"),
        moment("starts_at", needed=True),
        moment("ends_at"),
        sa.Column("credits_max", sa.BigInteger(), comment="the budget, in micro-credits"),
        count("redemptions_max", null=True),
        sa.Column(
            "tenant_max",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="redemptions a tenant",
        ),
        sa.Column("user_max", sa.BigInteger(), comment="redemptions a person"),
        sa.Column("first_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "email_domains",
            postgresql.JSONB(),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "credits", sa.BigInteger(), server_default="0", nullable=False, comment="given so far"
        ),
        count("redemptions", "0"),
        words("created_by"),
        moment("created_at", needed=True),
        moment("revoked_at"),
        check(t, "kind", "kind IN ('voucher', 'sign_up', 'referral')"),
        check(t, "amount", "amount > 0 OR (amount = 0 AND kind <> 'voucher')"),
        check(t, "limits", "days > 0 AND tenant_max > 0 AND user_max > 0"),
        check(t, "period", "ends_at > starts_at"),
        check(t, "credits_max", "credits >= 0 AND credits <= credits_max"),
        check(t, "redemptions_max", "redemptions >= 0 AND redemptions <= redemptions_max"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{t}"),
        sa.UniqueConstraint("name", name=f"uq_{t}_name"),
    )
    t = "voucher_codes"
    op.create_table(
        t,
        words("id"),
        words("campaign_id"),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        count("max_redemptions", "1"),
        count("redeemed", "0"),
        moment("created_at", needed=True),
        moment("revoked_at"),
        check(t, "redeemed", "redeemed >= 0 AND redeemed <= max_redemptions"),
        link(t, "campaign_id", "voucher_campaigns"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{t}"),
        sa.UniqueConstraint("code_hash", name=f"uq_{t}_code_hash"),
    )
    op.create_index(f"ix_{t}_campaign_id", t, ["campaign_id"])
    t = "voucher_redemptions"
    op.create_table(
        t,
        words("id"),
        words("tenant_id"),
        words("campaign_id"),
        words("code_id", null=True),
        words("user_id", null=True),
        words("grant_id"),
        count("amount"),
        moment("created_at", needed=True),
        link(t, "tenant_id", "tenants"),
        link(t, "campaign_id", "voucher_campaigns"),
        link(t, "code_id", "voucher_codes"),
        link(t, "user_id", "users"),
        link(t, "grant_id", "ledger_accounts"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{t}"),
        sa.UniqueConstraint("grant_id", name=f"uq_{t}_grant_id"),
        sa.UniqueConstraint("code_id", "tenant_id", name=f"uq_{t}_code_id_tenant_id"),
    )
    for columns in (["tenant_id", "created_at"], ["campaign_id", "tenant_id"],
                    ["campaign_id", "user_id"]):  # fmt: skip
        op.create_index(f"ix_{t}_{'_'.join(columns)}", t, columns)
    t = "referrals"
    op.create_table(
        t,
        words("tenant_id"),
        words("referrer_id"),
        moment("created_at", needed=True),
        moment("rewarded_at"),
        check(t, "two", "tenant_id <> referrer_id"),
        link(t, "tenant_id", "tenants"),
        link(t, "referrer_id", "tenants"),
        sa.PrimaryKeyConstraint("tenant_id", name=f"pk_{t}"),
    )
    op.create_index(f"ix_{t}_referrer_id", t, ["referrer_id"])
    waiting = sa.text("rewarded_at IS NULL")
    op.create_index("ix_referrals_waiting", t, ["created_at"], postgresql_where=waiting)


def downgrade() -> None:
    """The sums stay right; what was granted by kind, expired or corrected reads as posts."""
    run(BACK)
    for table in ("referrals", "voucher_redemptions", "voucher_codes", "voucher_campaigns"):
        op.drop_table(table)
    for name in TRANSFER_CHECKS:
        op.drop_constraint(op.f(f"ck_ledger_transfers_{name}"), "ledger_transfers")
    for name, (table, column) in FOREIGN_KEYS.items():
        op.create_foreign_key(name, "ledger_transfers", table, [column], ["id"])
    for name in ("corrects_id", "timeout_at", "input_hash"):
        op.drop_column("ledger_transfers", name)
    for name in ("house", "grant_kind", "period"):
        op.drop_constraint(op.f(f"ck_ledger_accounts_{name}"), "ledger_accounts")
    for name in ("grant_kind", "starts_at"):
        op.drop_column("ledger_accounts", name)
