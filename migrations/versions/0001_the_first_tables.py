"""The first tables, with row-level security, the ledger's and the jobs' own laws.

Must work with the code that runs now: add first, remove one release later. Locks are waited for
4 s at most (migrations/env.py); build indexes on large tables concurrently.
"""

from contextlib import closing

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


TENANT_TABLES = (
    "members", "sessions", "api_keys", "datasets", "encodings", "jobs", "job_events", "checkpoints",
    "adapters", "chat_turns", "ledger_accounts", "ledger_transfers",
)  # fmt: skip

# Who may do what at all. The application can neither edit nor remove a transfer, a balance or an
# event, whatever its code says.
GRANTS = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tunery_app') THEN
    CREATE ROLE tunery_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tunery_system') THEN
    CREATE ROLE tunery_system NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tunery_app, tunery_system;
GRANT SELECT, INSERT ON tenants, users, members TO tunery_app, tunery_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO tunery_app, tunery_system;
GRANT SELECT, INSERT, UPDATE ON api_keys, datasets, encodings, jobs, adapters, chat_turns
  TO tunery_app, tunery_system;
GRANT DELETE ON encodings TO tunery_app, tunery_system;
GRANT SELECT, INSERT ON job_events, checkpoints, ledger_transfers TO tunery_app, tunery_system;
GRANT SELECT ON ledger_accounts TO tunery_app, tunery_system;
GRANT INSERT (id, tenant_id, kind, priority, expires_at) ON ledger_accounts
  TO tunery_app, tunery_system;
"""

# The second wall behind own(): a row of another tenant is not there. FORCE binds the owner too,
# who therefore gets the few policies that the functions below need.
ROW_SECURITY = (
    "".join(
        f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO tunery_app
  USING (tenant_id = (SELECT current_setting('app.tenant_id', true)))
  WITH CHECK (tenant_id = (SELECT current_setting('app.tenant_id', true)));
CREATE POLICY system ON {table} TO tunery_system USING (true) WITH CHECK (true);
"""
        for table in TENANT_TABLES
    )
    + """
CREATE POLICY house ON ledger_accounts FOR SELECT TO tunery_app USING (tenant_id IS NULL);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants TO tunery_app
  USING (id = (SELECT current_setting('app.tenant_id', true)))
  WITH CHECK (id = (SELECT current_setting('app.tenant_id', true)));
CREATE POLICY system ON tenants TO tunery_system USING (true) WITH CHECK (true);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY fellow_members ON users FOR SELECT TO tunery_app USING (
  id IN (SELECT user_id FROM members
         WHERE tenant_id = (SELECT current_setting('app.tenant_id', true))));
CREATE POLICY sign_up ON users FOR INSERT TO tunery_app WITH CHECK (true);
CREATE POLICY system ON users TO tunery_system USING (true) WITH CHECK (true);
DO $$ BEGIN
  EXECUTE format('CREATE POLICY look_up ON users FOR SELECT TO %I USING (true)', current_user);
  EXECUTE format('CREATE POLICY look_up ON members FOR SELECT TO %I USING (true)', current_user);
  EXECUTE format('CREATE POLICY look_up ON sessions FOR SELECT TO %I USING (true)', current_user);
  EXECUTE format('CREATE POLICY look_up ON api_keys FOR SELECT TO %I USING (true)', current_user);
  EXECUTE format('CREATE POLICY keep_sums ON ledger_accounts TO %I USING (true)', current_user);
  EXECUTE format('CREATE POLICY look_up ON ledger_transfers FOR SELECT TO %I USING (true)',
                 current_user);
END $$;
"""
)

# The only doors through the wall: who is asking, before the tenant is known. Each needs a secret or
# an address to be named in full, and gives back one person's row.
LOOK_UPS = """
CREATE FUNCTION find_api_key(hash bytea)
RETURNS TABLE (key_id text, tenant_id text, user_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT id, tenant_id, created_by FROM api_keys WHERE key_hash = hash AND revoked_at IS NULL
$$;
CREATE FUNCTION find_session(hash bytea)
RETURNS TABLE (tenant_id text, user_id text, seen_at timestamptz, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT tenant_id, user_id, seen_at, expires_at FROM sessions WHERE token_hash = hash
$$;
CREATE FUNCTION find_user(address text)
RETURNS TABLE (user_id text, password_hash text, tenant_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT u.id, u.password_hash, m.tenant_id FROM users u JOIN members m ON m.user_id = u.id
  WHERE u.email = address ORDER BY m.created_at, m.tenant_id LIMIT 1
$$;
REVOKE ALL ON FUNCTION find_api_key(bytea), find_session(bytea), find_user(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(bytea), find_session(bytea), find_user(text)
  TO tunery_app, tunery_system;
"""

LEDGER = """
CREATE FUNCTION apply_transfer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE held ledger_transfers;
BEGIN
  IF NEW.hold_id IS NOT NULL THEN
    SELECT * INTO held FROM ledger_transfers WHERE id = NEW.hold_id;
    IF held.id IS NULL OR held.kind <> 'hold' THEN
      RAISE EXCEPTION '% is not a hold', NEW.hold_id USING ERRCODE = '23514';
    END IF;
    IF held.debit_id <> NEW.debit_id OR held.credit_id <> NEW.credit_id
       OR held.tenant_id <> NEW.tenant_id THEN
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
  UPDATE ledger_accounts SET
    debits_pending = debits_pending + CASE WHEN NEW.kind = 'hold' THEN NEW.amount
                                           WHEN held.id IS NOT NULL THEN -held.amount ELSE 0 END,
    debits_posted = debits_posted
      + CASE WHEN NEW.kind IN ('post', 'settle') THEN NEW.amount ELSE 0 END
  WHERE id = NEW.debit_id AND kind = 'grant';
  UPDATE ledger_accounts SET
    credits_posted = credits_posted
      + CASE WHEN NEW.kind IN ('post', 'settle') THEN NEW.amount ELSE 0 END
  WHERE id = NEW.credit_id AND kind = 'grant';
  RETURN NULL;
END $$;
CREATE TRIGGER apply AFTER INSERT ON ledger_transfers
  FOR EACH ROW EXECUTE FUNCTION apply_transfer();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '55000';
END $$;
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON ledger_transfers
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_transfers
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
INSERT INTO ledger_accounts (id, kind) VALUES
  ('house/promotion', 'promotion'), ('house/payment', 'payment'), ('house/revenue', 'revenue');
"""

# The same table of moves stands in api/jobs/moves.py, where the code asks; here it is the law.
MOVES = """
CREATE FUNCTION check_job_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status <> OLD.status AND NOT (OLD.status || '>' || NEW.status = ANY (ARRAY[
    'validating_files>queued', 'validating_files>failed', 'validating_files>cancelled',
    'queued>running', 'queued>paused', 'queued>failed', 'queued>cancelled',
    'running>succeeded', 'running>failed', 'running>cancelled', 'running>paused',
    'running>queued', 'paused>queued', 'paused>cancelled', 'paused>failed'
  ])) THEN
    RAISE EXCEPTION 'a job cannot move from % to %', OLD.status, NEW.status
      USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER legal_move BEFORE UPDATE OF status ON jobs
  FOR EACH ROW EXECUTE FUNCTION check_job_move();
"""


def guard() -> None:
    for statements in (GRANTS, LEDGER, ROW_SECURITY, LOOK_UPS, MOVES):
        # The driver's own cursor: without parameters it takes several statements, and `%` is just %.
        with closing(op.get_bind().connection.cursor()) as cursor:
            cursor.execute(statements)


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("slug", name=op.f("uq_tenants_slug")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("last4", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_api_keys_created_by_users")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index(
        op.f("ix_api_keys_tenant_id_created_at"),
        "api_keys",
        ["tenant_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("status", sa.String(), server_default="uploaded", nullable=False),
        sa.Column(
            "report", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('uploaded', 'processed', 'error')", name=op.f("ck_datasets_status")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_datasets_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    op.create_index(
        op.f("ix_datasets_tenant_id_created_at"),
        "datasets",
        ["tenant_id", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_datasets_waiting",
        "datasets",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'uploaded'"),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.BigInteger(), server_default="50", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("debits_pending", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("debits_posted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("credits_posted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(kind = 'grant') = (tenant_id IS NOT NULL)", name=op.f("ck_ledger_accounts_owner")
        ),
        sa.CheckConstraint(
            "kind <> 'grant' OR debits_pending + debits_posted <= credits_posted",
            name=op.f("ck_ledger_accounts_never_negative"),
        ),
        sa.CheckConstraint(
            "kind IN ('grant', 'promotion', 'payment', 'revenue')",
            name=op.f("ck_ledger_accounts_kind"),
        ),
        sa.CheckConstraint(
            "debits_pending >= 0 AND debits_posted >= 0 AND credits_posted >= 0",
            name=op.f("ck_ledger_accounts_sums"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_ledger_accounts_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
    )
    op.create_index(
        op.f("ix_ledger_accounts_tenant_id_priority_expires_at_created_at"),
        "ledger_accounts",
        ["tenant_id", "priority", "expires_at", "created_at"],
        unique=False,
    )
    op.create_table(
        "members",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('owner', 'member')", name=op.f("ck_members_role")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_members_tenant_id_tenants")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id_users")),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_user_id"), "members", ["user_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_sessions_tenant_id_tenants")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index(
        op.f("ix_sessions_tenant_id_user_id"), "sessions", ["tenant_id", "user_id"], unique=False
    )
    op.create_table(
        "encodings",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("cutoff_len", sa.BigInteger(), nullable=False),
        sa.Column("held_out_share", sa.Double(), nullable=False),
        sa.Column("options", sa.String(), nullable=False),
        sa.Column("status", sa.String(), server_default="pending", nullable=False),
        sa.Column(
            "report", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'ready', 'failed')", name=op.f("ck_encodings_status")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_encodings_dataset_id_datasets")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_encodings_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_encodings")),
        sa.UniqueConstraint("dataset_id", "options", name=op.f("uq_encodings_dataset_id_options")),
    )
    op.create_index(
        op.f("ix_encodings_tenant_id_dataset_id"),
        "encodings",
        ["tenant_id", "dataset_id"],
        unique=False,
    )
    op.create_index(
        "ix_encodings_waiting",
        "encodings",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "ledger_transfers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("debit_id", sa.String(), nullable=False),
        sa.Column("credit_id", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("hold_id", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(kind IN ('settle', 'release')) = (hold_id IS NOT NULL)",
            name=op.f("ck_ledger_transfers_resolves"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND (amount > 0 OR kind = 'release')",
            name=op.f("ck_ledger_transfers_amount"),
        ),
        sa.CheckConstraint(
            "kind IN ('post', 'hold', 'settle', 'release')", name=op.f("ck_ledger_transfers_kind")
        ),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_ledger_transfers_two_sides")),
        sa.ForeignKeyConstraint(
            ["credit_id"],
            ["ledger_accounts.id"],
            name=op.f("fk_ledger_transfers_credit_id_ledger_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["debit_id"],
            ["ledger_accounts.id"],
            name=op.f("fk_ledger_transfers_debit_id_ledger_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["hold_id"],
            ["ledger_transfers.id"],
            name=op.f("fk_ledger_transfers_hold_id_ledger_transfers"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_ledger_transfers_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transfers")),
    )
    op.create_index(
        op.f("ix_ledger_transfers_subject"), "ledger_transfers", ["subject"], unique=False
    )
    op.create_index(
        op.f("ix_ledger_transfers_tenant_id_created_at"),
        "ledger_transfers",
        ["tenant_id", "created_at"],
        unique=False,
    )
    op.create_index(
        "uq_ledger_transfers_one_resolution",
        "ledger_transfers",
        ["hold_id"],
        unique=True,
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column(
            "request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("request_key", sa.String(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("suffix", sa.String(), nullable=True),
        sa.Column(
            "details",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("training_file", sa.String(), nullable=False),
        sa.Column("validation_file", sa.String(), nullable=True),
        sa.Column("encoding_id", sa.String(), nullable=False),
        sa.Column("validation_encoding_id", sa.String(), nullable=True),
        sa.Column(
            "spec", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "quote", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("step", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total_steps", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trained_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "progress", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("charged_credits", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("crash_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_run_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'running') = (lease_owner IS NOT NULL)", name=op.f("ck_jobs_lease")
        ),
        sa.CheckConstraint(
            "status IN ('validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["encoding_id"], ["encodings.id"], name=op.f("fk_jobs_encoding_id_encodings")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_jobs_tenant_id_tenants")
        ),
        sa.ForeignKeyConstraint(
            ["training_file"], ["datasets.id"], name=op.f("fk_jobs_training_file_datasets")
        ),
        sa.ForeignKeyConstraint(
            ["validation_encoding_id"],
            ["encodings.id"],
            name=op.f("fk_jobs_validation_encoding_id_encodings"),
        ),
        sa.ForeignKeyConstraint(
            ["validation_file"], ["datasets.id"], name=op.f("fk_jobs_validation_file_datasets")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("tenant_id", "request_key", name=op.f("uq_jobs_tenant_id_request_key")),
    )
    op.create_index(op.f("ix_jobs_encoding_id"), "jobs", ["encoding_id"], unique=False)
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["next_run_at"],
        unique=False,
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        op.f("ix_jobs_tenant_id_created_at"), "jobs", ["tenant_id", "created_at"], unique=False
    )
    op.create_index(
        op.f("ix_jobs_validation_encoding_id"), "jobs", ["validation_encoding_id"], unique=False
    )
    op.create_table(
        "adapters",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column(
            "manifest", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_adapters_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_adapters_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adapters")),
        sa.UniqueConstraint("job_id", name=op.f("uq_adapters_job_id")),
        sa.UniqueConstraint("name", name=op.f("uq_adapters_name")),
    )
    op.create_index(
        op.f("ix_adapters_tenant_id_created_at"),
        "adapters",
        ["tenant_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("trained_tokens", sa.BigInteger(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column(
            "files", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "metrics", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_checkpoints_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_checkpoints_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint(
            "job_id", "attempt", "step", name=op.f("uq_checkpoints_job_id_attempt_step")
        ),
    )
    op.create_index(
        op.f("ix_checkpoints_tenant_id_job_id_step"),
        "checkpoints",
        ["tenant_id", "job_id", "step"],
        unique=False,
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column(
            "payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_events_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_job_events_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_job_events")),
    )
    op.create_index(
        op.f("ix_job_events_tenant_id_job_id_seq"),
        "job_events",
        ["tenant_id", "job_id", "seq"],
        unique=False,
    )
    op.create_table(
        "chat_turns",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("adapter_id", sa.String(), nullable=True),
        sa.Column(
            "request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("status", sa.String(), server_default="waiting", nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("charged_credits", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('waiting', 'answering', 'done', 'failed')",
            name=op.f("ck_chat_turns_status"),
        ),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapters.id"], name=op.f("fk_chat_turns_adapter_id_adapters")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_chat_turns_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_turns")),
    )
    op.create_index(
        "ix_chat_turns_open",
        "chat_turns",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('waiting', 'answering')"),
    )
    op.create_index(
        op.f("ix_chat_turns_tenant_id_created_at"),
        "chat_turns",
        ["tenant_id", "created_at"],
        unique=False,
    )
    guard()


def downgrade() -> None:
    op.execute("DROP POLICY fellow_members ON users")
    op.drop_index(op.f("ix_chat_turns_tenant_id_created_at"), table_name="chat_turns")
    op.drop_index(
        "ix_chat_turns_open",
        table_name="chat_turns",
        postgresql_where=sa.text("status IN ('waiting', 'answering')"),
    )
    op.drop_table("chat_turns")
    op.drop_index(op.f("ix_job_events_tenant_id_job_id_seq"), table_name="job_events")
    op.drop_table("job_events")
    op.drop_index(op.f("ix_checkpoints_tenant_id_job_id_step"), table_name="checkpoints")
    op.drop_table("checkpoints")
    op.drop_index(op.f("ix_adapters_tenant_id_created_at"), table_name="adapters")
    op.drop_table("adapters")
    op.drop_index(op.f("ix_jobs_validation_encoding_id"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_tenant_id_created_at"), table_name="jobs")
    op.drop_index(
        "ix_jobs_running", table_name="jobs", postgresql_where=sa.text("status = 'running'")
    )
    op.drop_index(
        "ix_jobs_queued", table_name="jobs", postgresql_where=sa.text("status = 'queued'")
    )
    op.drop_index(op.f("ix_jobs_encoding_id"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_index(
        "uq_ledger_transfers_one_resolution",
        table_name="ledger_transfers",
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_ledger_transfers_tenant_id_created_at"), table_name="ledger_transfers")
    op.drop_index(op.f("ix_ledger_transfers_subject"), table_name="ledger_transfers")
    op.drop_table("ledger_transfers")
    op.drop_index(
        "ix_encodings_waiting",
        table_name="encodings",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index(op.f("ix_encodings_tenant_id_dataset_id"), table_name="encodings")
    op.drop_table("encodings")
    op.drop_index(op.f("ix_sessions_tenant_id_user_id"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_members_user_id"), table_name="members")
    op.drop_table("members")
    op.drop_index(
        op.f("ix_ledger_accounts_tenant_id_priority_expires_at_created_at"),
        table_name="ledger_accounts",
    )
    op.drop_table("ledger_accounts")
    op.drop_index(
        "ix_datasets_waiting",
        table_name="datasets",
        postgresql_where=sa.text("status = 'uploaded'"),
    )
    op.drop_index(op.f("ix_datasets_tenant_id_created_at"), table_name="datasets")
    op.drop_table("datasets")
    op.drop_index(op.f("ix_api_keys_tenant_id_created_at"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_table("tenants")
    op.execute(
        "DROP FUNCTION find_api_key, find_session, find_user, apply_transfer, refuse_change, "
        "check_job_move"
    )
