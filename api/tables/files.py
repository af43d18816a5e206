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


class Upload(Base):
    """A file that comes in parts. Its bytes count as stored from the beginning.

    While one request puts the parts together, it has the lease, and `sealing_id` names the file it
    makes; `completed_hash` is of what was asked then. `cleared_at`: no part is in storage any more.
    """

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    created_by: Mapped[str]
    filename: Mapped[str]
    purpose: Mapped[str]
    mime_type: Mapped[str]
    bytes: Mapped[int]
    status: Mapped[str] = mapped_column(server_default="pending")
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    sealing_id: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    completed_hash: Mapped[str | None]
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime]
    cleared_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("bytes > 0", name="bytes"),
        CheckConstraint(
            "status IN ('pending', 'completed', 'cancelled', 'expired')", name="status"
        ),
        CheckConstraint("(status = 'completed') = (dataset_id IS NOT NULL)", name="dataset"),
        Index(None, "tenant_id", "created_at"),
        Index("ix_uploads_uncleared", "expires_at", postgresql_where=text("cleared_at IS NULL")),
    )


class UploadPart(Base):
    """Bytes of an upload that are in storage. `number`: which they are, where the client said."""

    __tablename__ = "upload_parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"))
    number: Mapped[int | None]
    bytes: Mapped[int]
    sha256: Mapped[str]
    created_at: Mapped[datetime] = now()
    __table_args__ = (
        CheckConstraint("bytes > 0 AND number > 0", name="sizes"),
        UniqueConstraint("upload_id", "number"),
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
