"""Alembic's entry: run the migrations as the owner, under lock and statement timeouts."""

from alembic import context
from sqlalchemy import create_engine, text

from api.settings import settings
from api.tables import Base

# A migration that has to wait for a lock makes every request behind it wait too: give up early and
# be run again, rather than stop the service.
TIMEOUTS = "-c lock_timeout=4s -c statement_timeout=120s -c timezone=UTC"


def run() -> None:
    engine = create_engine(settings().owner_url(), connect_args={"options": TIMEOUTS})
    with engine.connect() as connection:
        # Two replicas that start at once migrate one after the other.
        connection.execute(text("SELECT pg_advisory_lock(7201)"))
        connection.commit()
        context.configure(
            connection=connection, target_metadata=Base.metadata, compare_server_default=False
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Migrations run against a live database: set DATABASE_OWNER_URL.")
run()
