"""PostgreSQL: two engines, one transaction a request or task, and what happens after its commit.

Every connection runs as one of two roles that row-level security binds: `tunery_app` sees the one
tenant whose id the transaction was opened with; `tunery_system` (workers, sweeps) sees all. Neither
owns a table. Only the edge (a route's dependency, a task) opens a transaction, so only it commits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import structlog
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from api.errors import Unavailable
from api.settings import settings

log = structlog.get_logger()

_AFTER_COMMIT = "after_commit"


@contextmanager
def transaction(tenant_id: str | None = None) -> Iterator[Session]:
    """One transaction in one tenant's sight, or in the system's where `tenant_id` is None.

    Commits when the block ends, then runs what `after_commit` collected; any error rolls back and
    forgets it. A database that cannot be reached is `Unavailable`.
    """
    engine = _engine("tunery_app") if tenant_id else _engine("tunery_system")
    with Session(engine, expire_on_commit=False) as session:
        try:
            if tenant_id:
                session.execute(
                    text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": tenant_id}
                )
            yield session
            session.commit()
        except DBAPIError as error:
            session.rollback()
            raise _in_our_words(error) from error
        except BaseException:
            session.rollback()
            raise
        callbacks: list[Callable[[], None]] = session.info.get(_AFTER_COMMIT, [])
    for callback in callbacks:
        callback()


@contextmanager
def anonymous_transaction() -> Iterator[Session]:
    """In no tenant's sight: sees no tenant's row, may call the few functions that look one up."""
    with transaction("-") as session:
        yield session


def enter_tenant(session: Session, tenant_id: str) -> None:
    """Give an anonymous transaction its tenant, once it is known who asks."""
    session.execute(
        text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": tenant_id}
    )


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run `callback` once the transaction is durable, and never if it is not.

    For messages that tell others to look: they must not arrive before what they speak of.
    """
    session.info.setdefault(_AFTER_COMMIT, []).append(callback)


@lru_cache
def _engine(role: str) -> Engine:
    url = settings().database_url if role == "tunery_app" else settings().system_url()
    return create_engine(
        url,
        pool_size=10,
        max_overflow=20,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": role,
            "options": (
                f"-c role={role} -c timezone=UTC -c lock_timeout=3s -c statement_timeout=10s "
                "-c idle_in_transaction_session_timeout=30s"
            ),
        },
    )


def dispose() -> None:
    """Close every pooled connection; a forked worker process starts with none of its parent's."""
    for role in ("tunery_app", "tunery_system"):
        _engine(role).dispose(close=False)
    _engine.cache_clear()


def _in_our_words(error: DBAPIError) -> Exception:
    if isinstance(error, OperationalError) or error.connection_invalidated:
        log.warning("database.unavailable", error=str(error.orig).splitlines()[:1])
        return Unavailable("The database cannot be reached or is too busy; try again shortly.")
    return error
