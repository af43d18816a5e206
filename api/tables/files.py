"""Uploaded files and what is made of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.tables.base import Base, now, tenant


class Dataset(Base):
    """An uploaded file. `report` is what inspection says of it, `progress` how far it is while it
    reads; `mapping` is a person's correction of how it is read, `repairs` the codes accepted."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    filename: Mapped[str]
    purpose: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="uploaded")
    report: Mapped[dict[str, Any] | None]
    progress: Mapped[dict[str, Any] | None]
    mapping: Mapped[dict[str, Any] | None]
    repairs: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    attempt: Mapped[int] = mapped_column(server_default="0")
    lease_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = now()
    deleted_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("status IN ('uploaded', 'processed', 'error')", name="status"),
        Index(None, "tenant_id", "created_at"),
        Index(None, "tenant_id", "sha256"),
        Index("ix_datasets_waiting", "created_at", postgresql_where=text("status = 'uploaded'")),
    )


class Encoding(Base):
    """What is made of files for one base model, once, and then previewed, priced and trained on.

    `recipe` says of what and how (`api.encodings.Recipe`), `key` is its hash: the same recipe on
    the same content is the same row within a tenant. `report` holds counts, the object's hash and
    the lines that were left out. `dataset_id` is the file (of a mixture, the first)."""

    __tablename__ = "encodings"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    key: Mapped[str]
    recipe: Mapped[dict[str, Any]]
    parts: Mapped[list[str]] = mapped_column(
        JSONB, server_default=text("'[]'::jsonb"), comment="ids of the encodings it is made of"
    )
    status: Mapped[str] = mapped_column(server_default="pending")
    report: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(server_default="0")
    lease_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = now()
    used_at: Mapped[datetime] = now()
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'ready', 'failed')", name="status"),
        UniqueConstraint("tenant_id", "key"),
        Index(None, "tenant_id", "dataset_id"),
        Index("ix_encodings_used_at", "used_at"),
        Index("ix_encodings_waiting", "created_at", postgresql_where=text("status = 'pending'")),
    )
