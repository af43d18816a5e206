"""Files that can be read otherwise, encodings by recipe, quotes with an id; speeds and the queue.

Encodings made before are dropped with their jobs' way to them kept: they carry no recipe, and are
made again from the same bytes in seconds.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

QUOTES = """
GRANT SELECT, INSERT ON quotes TO tunery_app, tunery_system;
GRANT DELETE ON quotes TO tunery_system;
ALTER TABLE quotes ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON quotes TO tunery_app
  USING (tenant_id = (SELECT current_setting('app.tenant_id', true)))
  WITH CHECK (tenant_id = (SELECT current_setting('app.tenant_id', true)));
CREATE POLICY system ON quotes TO tunery_system USING (true) WITH CHECK (true);
"""

# Two figures over all tenants that a quote needs, as numbers only: who they are of is not told.
FIGURES = """
DO $$ BEGIN
  EXECUTE format('CREATE POLICY look_up ON jobs FOR SELECT TO %I USING (true)', current_user);
END $$;
CREATE FUNCTION measured_speeds(base text, wanted text) RETURNS TABLE (speed double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT (progress->>'tokens_per_second')::double precision FROM jobs
  WHERE details->>'model' = base AND spec->>'precision' = wanted AND step >= 5
    AND progress->>'tokens_per_second' IS NOT NULL
  ORDER BY created_at DESC LIMIT 20
$$;
CREATE FUNCTION queue_place(mine text) RETURNS TABLE (ahead bigint, running bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  WITH r AS (SELECT tenant_id, count(*) AS n FROM jobs WHERE status = 'running' GROUP BY 1)
  SELECT
    (SELECT count(*) FROM jobs j LEFT JOIN r ON r.tenant_id = j.tenant_id
     WHERE j.status = 'queued'
       AND coalesce(r.n, 0) <= coalesce((SELECT n FROM r WHERE tenant_id = mine), 0)),
    (SELECT count(*) FROM jobs WHERE status = 'running')
$$;
REVOKE ALL ON FUNCTION measured_speeds(text, text), queue_place(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION measured_speeds(text, text), queue_place(text)
  TO tunery_app, tunery_system;
"""


OLD_COLUMNS: dict[str, Any] = {
    "base_model": sa.String(),
    "cutoff_len": sa.BigInteger(),
    "held_out_share": sa.Float(),
    "options": sa.String(),
}


def upgrade() -> None:
    op.add_column("datasets", sa.Column("progress", postgresql.JSONB(none_as_null=True)))
    op.add_column("datasets", sa.Column("mapping", postgresql.JSONB(none_as_null=True)))
    empty_list = sa.text("'[]'::jsonb")
    op.add_column(
        "datasets",
        sa.Column("repairs", postgresql.JSONB(), server_default=empty_list, nullable=False),
    )
    op.create_index(op.f("ix_datasets_tenant_id_sha256"), "datasets", ["tenant_id", "sha256"])

    op.drop_constraint(op.f("uq_encodings_dataset_id_options"), "encodings", type_="unique")
    for name in OLD_COLUMNS:
        op.drop_column("encodings", name)
    op.add_column("encodings", sa.Column("key", sa.String()))
    op.add_column("encodings", sa.Column("recipe", postgresql.JSONB(none_as_null=True)))
    op.execute("UPDATE encodings SET key = 'forgotten:' || id, recipe = '{}'::jsonb")
    op.alter_column("encodings", "key", nullable=False)
    op.alter_column("encodings", "recipe", nullable=False)
    op.add_column(
        "encodings",
        sa.Column(
            "parts",
            postgresql.JSONB(),
            server_default=empty_list,
            nullable=False,
            comment="ids of the encodings it is made of",
        ),
    )
    op.add_column(
        "encodings",
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.create_unique_constraint(
        op.f("uq_encodings_tenant_id_key"), "encodings", ["tenant_id", "key"]
    )
    op.create_index("ix_encodings_used_at", "encodings", ["used_at"])

    op.create_table(
        "quotes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("spec", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("quote", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("encoding_id", sa.String(), nullable=False),
        sa.Column("validation_encoding_id", sa.String()),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_quotes_tenant_id_tenants"),
        sa.ForeignKeyConstraint(
            ["encoding_id"], ["encodings.id"], name="fk_quotes_encoding_id_encodings"
        ),
        sa.ForeignKeyConstraint(
            ["validation_encoding_id"],
            ["encodings.id"],
            name="fk_quotes_validation_encoding_id_encodings",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_quotes"),
    )
    op.create_index("ix_quotes_encoding_id", "quotes", ["encoding_id"])
    op.create_index("ix_quotes_validation_encoding_id", "quotes", ["validation_encoding_id"])
    op.create_index("ix_quotes_tenant_id_created_at", "quotes", ["tenant_id", "created_at"])
    op.execute(QUOTES)

    op.add_column("jobs", sa.Column("quote_id", sa.String()))
    op.create_foreign_key("fk_jobs_quote_id_quotes", "jobs", "quotes", ["quote_id"], ["id"])
    op.create_index("ix_jobs_quote_id", "jobs", ["quote_id"])
    op.execute(FIGURES)


def downgrade() -> None:
    op.execute("DROP FUNCTION measured_speeds(text, text)")
    op.execute("DROP FUNCTION queue_place(text)")
    op.execute("DROP POLICY look_up ON jobs")
    op.drop_column("jobs", "quote_id")
    op.drop_table("quotes")
    op.drop_index("ix_encodings_used_at", table_name="encodings")
    op.drop_constraint(op.f("uq_encodings_tenant_id_key"), "encodings", type_="unique")
    for name in ("key", "recipe", "parts", "used_at"):
        op.drop_column("encodings", name)
    for name, type_ in OLD_COLUMNS.items():
        op.add_column("encodings", sa.Column(name, type_))
    op.execute(
        "UPDATE encodings SET base_model = '', cutoff_len = 0, held_out_share = 0, options = id"
    )
    for name in OLD_COLUMNS:
        op.alter_column("encodings", name, nullable=False)
    op.create_unique_constraint(
        op.f("uq_encodings_dataset_id_options"), "encodings", ["dataset_id", "options"]
    )
    op.drop_index(op.f("ix_datasets_tenant_id_sha256"), table_name="datasets")
    for name in ("progress", "mapping", "repairs"):
        op.drop_column("datasets", name)
