"""What every table stands on: ids, common types, and the columns that most have."""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """`ftjob-` and 24 random characters of base 36 (124 bits)."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(24))


class Base(DeclarativeBase):
    """Common types: `datetime` is timestamptz, `dict` is jsonb, `int` is bigint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        int: BigInteger,
        bytes: LargeBinary,
    }


def now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


def tenant() -> Mapped[str]:
    return mapped_column(ForeignKey("tenants.id"))
