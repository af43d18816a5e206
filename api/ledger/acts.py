"""What makes an act of the ledger happen once: its key, the hash of its input, a lock."""

import hashlib
from datetime import datetime

import orjson
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from api.errors import BadRequest, Conflict
from api.money import MicroCredits
from api.tables import Transfer

PROMOTION = "house/promotion"
PAYMENT = "house/payment"
REVENUE = "house/revenue"
BREAKAGE = "house/breakage"


def input_hash(*words: str | int | datetime | None) -> bytes:
    """Of what was asked under a key; who asked is left out, so anybody may repeat it."""
    return hashlib.sha256(orjson.dumps(words)).digest()


def refuse_other_input(key: str, first: bytes, asked: bytes) -> None:
    """Raises Conflict where `key` was used for something else before."""
    if first != asked:
        raise Conflict(
            f"{key!r} was done before with another input. Nothing was changed; use a new key.",
            code="idempotency_key_reuse",
        )


def done_before(session: Session, key: str, asked: bytes) -> bool:
    """Whether the transfer of that id is there. Raises Conflict if it was for another input.

    Racing twins wait here for the first to commit.
    """
    _lock(session, f"key:{key}")
    query = select(Transfer.input_hash).where(Transfer.id == key)
    first = session.execute(query).scalar_one_or_none()
    if first is None:
        return False
    refuse_other_input(key, first, asked)
    return True


def lock_wallet(session: Session, tenant_id: str) -> None:
    """One spender a tenant at a time: who chooses grants must see what the one before took."""
    _lock(session, f"wallet:{tenant_id}")


def positive(amount: MicroCredits) -> MicroCredits:
    if amount <= 0:
        raise BadRequest("An amount of credits must be above zero.", param="amount")
    return amount


def _lock(session: Session, name: str) -> None:
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
    )
