"""Uploads in parts, invitations, and sessions that end with the membership.

A session's tenant and person are a member's, by foreign key: whoever is removed is out at once,
however the removal and a sign-in race. A key counts as long as its maker is a member.
"""

from contextlib import closing
from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Nobody gets at another tenant's sessions but through the functions below, and they ask for the
# token of a session of the same person.
RIGHTS = """
GRANT UPDATE (role), DELETE ON members TO tunery_app, tunery_system;
GRANT SELECT, INSERT ON invitations TO tunery_app, tunery_system;
GRANT UPDATE (accepted_at, revoked_at) ON invitations TO tunery_app, tunery_system;
GRANT SELECT, INSERT, UPDATE ON uploads TO tunery_app, tunery_system;
GRANT SELECT, INSERT, DELETE ON upload_parts TO tunery_app, tunery_system;
GRANT DELETE ON uploads TO tunery_system;
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['invitations', 'uploads', 'upload_parts'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY system ON %I TO tunery_system USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY tenant ON %I TO tunery_app USING '
                   '(tenant_id = (SELECT current_setting(''app.tenant_id'', true))) WITH CHECK '
                   '(tenant_id = (SELECT current_setting(''app.tenant_id'', true)))', t);
  END LOOP;
  EXECUTE format('CREATE POLICY look_up ON invitations FOR SELECT TO %I USING (true)',
                 current_user);
  EXECUTE format('CREATE POLICY own_sessions ON sessions TO %I USING (true) WITH CHECK (true)',
                 current_user);
  EXECUTE format('CREATE POLICY own_password ON users FOR UPDATE TO %I USING (true) '
                 'WITH CHECK (true)', current_user);
END $$;
"""

LOOK_UPS = """
CREATE OR REPLACE FUNCTION find_api_key(hash bytea)
RETURNS TABLE (key_id text, tenant_id text, user_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT k.id, k.tenant_id, k.created_by FROM api_keys k
  JOIN members m ON m.tenant_id = k.tenant_id AND m.user_id = k.created_by
  WHERE k.key_hash = hash AND k.revoked_at IS NULL
$$;
CREATE OR REPLACE FUNCTION find_user(address text)
RETURNS TABLE (user_id text, password_hash text, tenant_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT u.id, u.password_hash, m.tenant_id FROM users u LEFT JOIN members m ON m.user_id = u.id
  WHERE u.email = address ORDER BY m.created_at, m.tenant_id LIMIT 1
$$;
CREATE FUNCTION find_invitation(hash bytea)
RETURNS TABLE (id text, tenant_id text, tenant_name text, email text, role text,
               expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT i.id, i.tenant_id, t.name, i.email, i.role, i.expires_at
  FROM invitations i JOIN tenants t ON t.id = i.tenant_id
  WHERE i.token_hash = hash AND i.accepted_at IS NULL AND i.revoked_at IS NULL
$$;
-- Of a member of the transaction's tenant, and of nobody else.
CREATE FUNCTION tenants_of(person text)
RETURNS TABLE (id text, name text, slug text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.id, t.name, t.slug, m.role FROM members m JOIN tenants t ON t.id = m.tenant_id
  WHERE m.user_id = person
    AND EXISTS (SELECT FROM members here WHERE here.user_id = person
                AND here.tenant_id = current_setting('app.tenant_id', true))
  ORDER BY m.created_at, t.id
$$;
CREATE FUNCTION sessions_beside(hash bytea)
RETURNS TABLE (token_hash bytea, tenant_id text, user_agent text, created_at timestamptz,
               seen_at timestamptz, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT s.token_hash, s.tenant_id, s.user_agent, s.created_at, s.seen_at, s.expires_at
  FROM sessions mine JOIN sessions s ON s.user_id = mine.user_id
  WHERE mine.token_hash = hash ORDER BY s.seen_at DESC, s.token_hash
$$;
-- One of the person's sessions, or every one but this where `victim` is NULL; how many there were.
CREATE FUNCTION end_sessions_beside(hash bytea, victim bytea) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH ended AS (
    DELETE FROM sessions s USING sessions mine
    WHERE mine.token_hash = hash AND s.user_id = mine.user_id
      AND s.token_hash = coalesce(victim, s.token_hash)
      AND (victim IS NOT NULL OR s.token_hash <> hash)
    RETURNING 1)
  SELECT count(*) FROM ended
$$;
CREATE FUNCTION switch_session(hash bytea, wanted text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH switched AS (
    UPDATE sessions s SET tenant_id = wanted
    WHERE s.token_hash = hash
      AND EXISTS (SELECT FROM members m WHERE m.tenant_id = wanted AND m.user_id = s.user_id)
    RETURNING 1)
  SELECT EXISTS (SELECT FROM switched)
$$;
-- Needs the session's token and the hash that is to be replaced.
CREATE FUNCTION change_password(hash bytea, old text, new text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH changed AS (
    UPDATE users u SET password_hash = new FROM sessions s
    WHERE s.token_hash = hash AND u.id = s.user_id AND u.password_hash = old
    RETURNING 1)
  SELECT EXISTS (SELECT FROM changed)
$$;
REVOKE ALL ON FUNCTION find_invitation(bytea), tenants_of(text), sessions_beside(bytea),
  end_sessions_beside(bytea, bytea), switch_session(bytea, text), change_password(bytea, text, text)
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_invitation(bytea), tenants_of(text), sessions_beside(bytea),
  end_sessions_beside(bytea, bytea), switch_session(bytea, text), change_password(bytea, text, text)
  TO tunery_app, tunery_system;
"""

BACK = """
DROP FUNCTION find_invitation(bytea), tenants_of(text), sessions_beside(bytea),
  end_sessions_beside(bytea, bytea), switch_session(bytea, text),
  change_password(bytea, text, text);
CREATE OR REPLACE FUNCTION find_api_key(hash bytea)
RETURNS TABLE (key_id text, tenant_id text, user_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT id, tenant_id, created_by FROM api_keys WHERE key_hash = hash AND revoked_at IS NULL
$$;
CREATE OR REPLACE FUNCTION find_user(address text)
RETURNS TABLE (user_id text, password_hash text, tenant_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT u.id, u.password_hash, m.tenant_id FROM users u JOIN members m ON m.user_id = u.id
  WHERE u.email = address ORDER BY m.created_at, m.tenant_id LIMIT 1
$$;
DROP POLICY own_sessions ON sessions;
DROP POLICY own_password ON users;
REVOKE UPDATE (role), DELETE ON members FROM tunery_app, tunery_system;
"""


def run(statements: str) -> None:
    # The driver's own cursor: without parameters it takes several statements, and `%` is just %.
    with closing(op.get_bind().connection.cursor()) as cursor:
        cursor.execute(statements)


def moment(name: str, *, default: bool = False, null: bool = False) -> sa.Column[datetime]:
    now = sa.text("now()") if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=null)


def words(name: str, *, default: str | None = None, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), server_default=default, nullable=null)


def number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null)


def link(
    table: str, column: str, to: str, *, ondelete: str | None = None
) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{to}"
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=name, ondelete=ondelete)


def check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    op.add_column("sessions", words("user_agent", default=""))
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_foreign_key(
        "fk_sessions_tenant_id_members",
        "sessions",
        "members",
        ["tenant_id", "user_id"],
        ["tenant_id", "user_id"],
        ondelete="CASCADE",
    )
    _invitations()
    _uploads()
    run(RIGHTS)
    run(LOOK_UPS)


def _invitations() -> None:
    t = "invitations"
    op.create_table(
        t,
        words("id"),
        words("tenant_id"),
        words("email"),
        words("role"),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        words("created_by"),
        moment("created_at", default=True),
        moment("expires_at"),
        moment("accepted_at", null=True),
        moment("revoked_at", null=True),
        check(t, "role", "role IN ('owner', 'member')"),
        check(t, "email_lower", "email = lower(email)"),
        link(t, "tenant_id", "tenants"),
        link(t, "created_by", "users"),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
    )
    op.create_index(
        "uq_invitations_open",
        t,
        ["tenant_id", "email"],
        unique=True,
        postgresql_where=sa.text("accepted_at IS NULL AND revoked_at IS NULL"),
    )


def _uploads() -> None:
    t = "uploads"
    op.create_table(
        t,
        words("id"),
        words("tenant_id"),
        words("created_by"),
        words("filename"),
        words("purpose"),
        words("mime_type"),
        number("bytes"),
        words("status", default="pending"),
        words("dataset_id", null=True),
        words("sealing_id", null=True),
        moment("lease_expires_at", null=True),
        words("completed_hash", null=True),
        moment("created_at", default=True),
        moment("expires_at"),
        moment("cleared_at", null=True),
        check(t, "bytes", "bytes > 0"),
        check(t, "status", "status IN ('pending', 'completed', 'cancelled', 'expired')"),
        check(t, "dataset", "(status = 'completed') = (dataset_id IS NOT NULL)"),
        link(t, "tenant_id", "tenants"),
        link(t, "dataset_id", "datasets"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_dataset_id", t, ["dataset_id"])
    op.create_index("ix_uploads_tenant_id_created_at", t, ["tenant_id", "created_at"])
    op.create_index(
        "ix_uploads_uncleared",
        t,
        ["expires_at"],
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    t = "upload_parts"
    op.create_table(
        t,
        words("id"),
        words("tenant_id"),
        words("upload_id"),
        number("number", null=True),
        number("bytes"),
        words("sha256"),
        moment("created_at", default=True),
        check(t, "sizes", "bytes > 0 AND number > 0"),
        link(t, "tenant_id", "tenants"),
        link(t, "upload_id", "uploads", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_upload_parts"),
        sa.UniqueConstraint("upload_id", "number", name="uq_upload_parts_upload_id_number"),
    )


def downgrade() -> None:
    run(BACK)
    for table in ("upload_parts", "uploads", "invitations"):
        op.drop_table(table)
    op.drop_constraint("fk_sessions_tenant_id_members", "sessions", type_="foreignkey")
    op.drop_index("ix_sessions_user_id", table_name="sessions")
    op.drop_column("sessions", "user_agent")
