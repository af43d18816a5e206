"""What tests of the ledger share: the superuser who can cheat, and subjects that may hold."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import Session

from api import ledger
from api.db import transaction
from api.embedded import Engines
from api.settings import settings
from api.tables import ChatTurn, new_id


@contextmanager
def cheat(engines: Engines) -> Iterator[Connection]:
    """A superuser's transaction that no trigger and no foreign key binds. Commit it yourself."""
    if "postgres" not in {engine.name for engine in engines}:
        pytest.skip("the superuser of a PostgreSQL from outside is not ours")
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            host="127.0.0.1",
            port=engines.home.port("postgres"),
            user="postgres",
            password=engines.home.secret("postgres"),
            dbname="tunery",
        ),
    )
    try:
        with engine.connect() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


@contextmanager
def owner() -> Iterator[Connection]:
    """A transaction of whoever owns the tables; rolled back."""
    engine = create_engine(settings().owner_url())
    try:
        with engine.connect() as connection:
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def expire_now(engines: Engines, grant_id: str) -> None:
    """Let a grant's last day have been yesterday."""
    with cheat(engines) as connection:
        connection.execute(
            text(
                "UPDATE ledger_accounts SET expires_at = now() - interval '1 s', "
                "starts_at = now() - interval '2 s' WHERE id = :id"
            ),
            {"id": grant_id},
        )
        connection.commit()


def open_turn(session: Session, tenant_id: str) -> str:
    """A chat turn that waits, in the transaction that holds for it."""
    turn = ChatTurn(id=new_id("chatcmpl-"), tenant_id=tenant_id, base_model="none")
    session.add(turn)
    session.flush()
    return turn.id


def close_turn(session: Session, turn_id: str, charged: int) -> None:
    turn = session.get_one(ChatTurn, turn_id)
    turn.status, turn.charged_credits = "done", charged
    session.flush()


def findings() -> set[ledger.Finding]:
    """What the checker says now, of the whole database."""
    with transaction() as session:
        return set(ledger.check(session))
