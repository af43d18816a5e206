"""Quotes, jobs, what a job leaves behind, and chat turns."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from api.events import JobStatus
from api.tables.base import Base, now, tenant


class QuoteRow(Base):
    """A price that was told, with the encodings it was counted on; good until it expires."""

    __tablename__ = "quotes"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    created_by: Mapped[str]
    request_hash: Mapped[bytes]
    spec: Mapped[dict[str, Any]]
    quote: Mapped[dict[str, Any]]
    encoding_id: Mapped[str] = mapped_column(ForeignKey("encodings.id"), index=True)
    validation_encoding_id: Mapped[str | None] = mapped_column(
        ForeignKey("encodings.id"), index=True
    )
    created_at: Mapped[datetime] = now()
    expires_at: Mapped[datetime]
    __table_args__ = (Index(None, "tenant_id", "created_at"),)


class Job(Base):
    """One fine-tuning run from submit to its end. Status moves only along `api.jobs.moves`."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    created_by: Mapped[str]
    request: Mapped[dict[str, Any]]
    request_key: Mapped[str | None]
    request_hash: Mapped[bytes]
    suffix: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    status: Mapped[str]
    training_file: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    validation_file: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"))
    encoding_id: Mapped[str] = mapped_column(ForeignKey("encodings.id"), index=True)
    validation_encoding_id: Mapped[str | None] = mapped_column(
        ForeignKey("encodings.id"), index=True
    )
    quote_id: Mapped[str | None] = mapped_column(ForeignKey("quotes.id"), index=True)
    spec: Mapped[dict[str, Any] | None]
    quote: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    # What the run has come to; written by the attempt that holds the lease.
    step: Mapped[int] = mapped_column(server_default="0")
    total_steps: Mapped[int] = mapped_column(server_default="0")
    trained_tokens: Mapped[int] = mapped_column(server_default="0")
    progress: Mapped[dict[str, Any] | None]
    last_seq: Mapped[int] = mapped_column(server_default="0")
    charged_credits: Mapped[int | None]
    # The lease: who runs it, under which attempt (the fencing token), until when.
    attempt: Mapped[int] = mapped_column(server_default="0")
    crash_count: Mapped[int] = mapped_column(server_default="0")
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    next_run_at: Mapped[datetime] = now()
    cancel_requested_at: Mapped[datetime | None]
    # Why a paused job waits, and what it needs to go on; see `api.jobs.pausing`.
    pause: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint(
            "status IN (" + ", ".join(f"'{s}'" for s in JobStatus) + ")", name="status"
        ),
        CheckConstraint("(status = 'running') = (lease_owner IS NOT NULL)", name="lease"),
        CheckConstraint("pause IS NULL OR status = 'paused'", name="pause"),
        UniqueConstraint("tenant_id", "request_key"),
        Index(None, "tenant_id", "created_at"),
        Index("ix_jobs_queued", "next_run_at", postgresql_where=text("status = 'queued'")),
        Index("ix_jobs_running", "lease_expires_at", postgresql_where=text("status = 'running'")),
    )


class JobEvent(Base):
    """The life of a job in order; `seq` is also the Redis stream id and the SSE id."""

    __tablename__ = "job_events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    type: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()
    __table_args__ = (Index(None, "tenant_id", "job_id", "seq"),)


class Checkpoint(Base):
    """A checkpoint whose every file is in storage; the row is what makes it one."""

    __tablename__ = "checkpoints"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    step: Mapped[int]
    trained_tokens: Mapped[int]
    prefix: Mapped[str]
    files: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = now()
    __table_args__ = (
        UniqueConstraint("job_id", "attempt", "step"),
        Index(None, "tenant_id", "job_id", "step"),
    )


class Adapter(Base):
    """A tuned model: files in storage and the manifest that says what they are made of."""

    __tablename__ = "adapters"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    base_model: Mapped[str]
    prefix: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    bytes: Mapped[int]
    created_at: Mapped[datetime] = now()
    deleted_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "tenant_id", "created_at"),)


class ChatTurn(Base):
    """One completion asked of a model. `request` is emptied when the turn ends."""

    __tablename__ = "chat_turns"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = tenant()
    base_model: Mapped[str]
    adapter_id: Mapped[str | None] = mapped_column(ForeignKey("adapters.id"))
    request: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(server_default="waiting")
    prompt_tokens: Mapped[int] = mapped_column(server_default="0")
    completion_tokens: Mapped[int] = mapped_column(server_default="0")
    charged_credits: Mapped[int | None]
    created_at: Mapped[datetime] = now()
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'answering', 'done', 'failed')", name="status"),
        Index(None, "tenant_id", "created_at"),
        Index(
            "ix_chat_turns_open",
            "created_at",
            postgresql_where=text("status IN ('waiting', 'answering')"),
        ),
    )
