"""Every table, and `own()`: the one way to look up something that belongs to a tenant.

Ids are text with a prefix that says what they are (`ftjob-…`), random, never guessable. Money is
bigint micro-credits. What row-level security, triggers and grants add stands in the migrations.
"""

import secrets
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from api.errors import NotFound
from api.events import JobStatus

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


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


def _tenant() -> Mapped[str]:
    return mapped_column(ForeignKey("tenants.id"))


class Tenant(Base):
    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = _now()


class User(Base):
    """A person; what they may see hangs on their memberships."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = _now()
    __table_args__ = (CheckConstraint("email = lower(email)", name="email_lower"),)


class Member(Base):
    __tablename__ = "members"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = _now()
    __table_args__ = (CheckConstraint("role IN ('owner', 'member')", name="role"),)


class SignInSession(Base):
    """A browser that is signed in. Only the hash of its token is kept."""

    __tablename__ = "sessions"
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = _now()
    seen_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    __table_args__ = (Index(None, "tenant_id", "user_id"),)


class ApiKey(Base):
    """Shown once; only its hash is kept, with the ends that let a person recognise it."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    created_by: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    prefix: Mapped[str]
    last4: Mapped[str]
    created_at: Mapped[datetime] = _now()
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "tenant_id", "created_at"),)


class Dataset(Base):
    """An uploaded file. `report` is what inspection says of it, `progress` how far it is while it
    reads; `mapping` is a person's correction of how it is read, `repairs` the codes accepted."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
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
    created_at: Mapped[datetime] = _now()
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
    tenant_id: Mapped[str] = _tenant()
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
    created_at: Mapped[datetime] = _now()
    used_at: Mapped[datetime] = _now()
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'ready', 'failed')", name="status"),
        UniqueConstraint("tenant_id", "key"),
        Index(None, "tenant_id", "dataset_id"),
        Index("ix_encodings_used_at", "used_at"),
        Index("ix_encodings_waiting", "created_at", postgresql_where=text("status = 'pending'")),
    )


class QuoteRow(Base):
    """A price that was told, with the encodings it was counted on; good until it expires."""

    __tablename__ = "quotes"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    created_by: Mapped[str]
    request_hash: Mapped[bytes]
    spec: Mapped[dict[str, Any]]
    quote: Mapped[dict[str, Any]]
    encoding_id: Mapped[str] = mapped_column(ForeignKey("encodings.id"), index=True)
    validation_encoding_id: Mapped[str | None] = mapped_column(
        ForeignKey("encodings.id"), index=True
    )
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime]
    __table_args__ = (Index(None, "tenant_id", "created_at"),)


class Job(Base):
    """One fine-tuning run from submit to its end. Status moves only along `api.jobs.moves`."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
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
    next_run_at: Mapped[datetime] = _now()
    cancel_requested_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint(
            "status IN (" + ", ".join(f"'{s}'" for s in JobStatus) + ")", name="status"
        ),
        CheckConstraint("(status = 'running') = (lease_owner IS NOT NULL)", name="lease"),
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
    tenant_id: Mapped[str] = _tenant()
    type: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()
    __table_args__ = (Index(None, "tenant_id", "job_id", "seq"),)


class Checkpoint(Base):
    """A checkpoint whose every file is in storage; the row is what makes it one."""

    __tablename__ = "checkpoints"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    step: Mapped[int]
    trained_tokens: Mapped[int]
    prefix: Mapped[str]
    files: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()
    __table_args__ = (
        UniqueConstraint("job_id", "attempt", "step"),
        Index(None, "tenant_id", "job_id", "step"),
    )


class Adapter(Base):
    """A tuned model: files in storage and the manifest that says what they are made of."""

    __tablename__ = "adapters"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    base_model: Mapped[str]
    prefix: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    bytes: Mapped[int]
    created_at: Mapped[datetime] = _now()
    deleted_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "tenant_id", "created_at"),)


class ChatTurn(Base):
    """One completion asked of a model. `request` is emptied when the turn ends."""

    __tablename__ = "chat_turns"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    base_model: Mapped[str]
    adapter_id: Mapped[str | None] = mapped_column(ForeignKey("adapters.id"))
    request: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(server_default="waiting")
    prompt_tokens: Mapped[int] = mapped_column(server_default="0")
    completion_tokens: Mapped[int] = mapped_column(server_default="0")
    charged_credits: Mapped[int | None]
    created_at: Mapped[datetime] = _now()
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


class Account(Base):
    """A side of the ledger: a tenant's grant, or one of the house's own.

    Only grants keep running sums (the CHECK that they never go below zero needs them); a house
    account's balance is the sum of its transfers, or every tenant would queue for its row.
    """

    __tablename__ = "ledger_accounts"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str | None] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default="50")
    expires_at: Mapped[datetime | None]
    debits_pending: Mapped[int] = mapped_column(server_default="0")
    debits_posted: Mapped[int] = mapped_column(server_default="0")
    credits_posted: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = _now()
    __table_args__ = (
        CheckConstraint("kind IN ('grant', 'promotion', 'payment', 'revenue')", name="kind"),
        CheckConstraint("(kind = 'grant') = (tenant_id IS NOT NULL)", name="owner"),
        CheckConstraint(
            "debits_pending >= 0 AND debits_posted >= 0 AND credits_posted >= 0", name="sums"
        ),
        CheckConstraint(
            "kind <> 'grant' OR debits_pending + debits_posted <= credits_posted",
            name="never_negative",
        ),
        Index(None, "tenant_id", "priority", "expires_at", "created_at"),
    )


class Transfer(Base):
    """One debit and one credit, append-only. A hold is a transfer of kind `hold`; it moves nothing
    until the one `settle` or `release` that names it in `hold_id`."""

    __tablename__ = "ledger_transfers"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = _tenant()
    debit_id: Mapped[str] = mapped_column(ForeignKey("ledger_accounts.id"))
    credit_id: Mapped[str] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount: Mapped[int]
    kind: Mapped[str]
    hold_id: Mapped[str | None] = mapped_column(ForeignKey("ledger_transfers.id"))
    subject: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str]
    actor: Mapped[str]
    created_at: Mapped[datetime] = _now()
    __table_args__ = (
        CheckConstraint("kind IN ('post', 'hold', 'settle', 'release')", name="kind"),
        CheckConstraint("amount >= 0 AND (amount > 0 OR kind = 'release')", name="amount"),
        CheckConstraint("debit_id <> credit_id", name="two_sides"),
        CheckConstraint("(kind IN ('settle', 'release')) = (hold_id IS NOT NULL)", name="resolves"),
        Index(
            "uq_ledger_transfers_one_resolution",
            "hold_id",
            unique=True,
            postgresql_where=text("hold_id IS NOT NULL"),
        ),
        Index(None, "tenant_id", "created_at"),
    )


T = TypeVar("T", Dataset, Encoding, QuoteRow, Job, Adapter, ApiKey, ChatTurn, Checkpoint)


def own(
    session: Session,
    table: type[T],
    row_id: str,
    *,
    tenant_id: str,
    param: str | None = None,
    lock: bool = False,
) -> T:
    """The tenant's row of that id, or NotFound: the same answer for none and for another's."""
    query = select(table).where(table.id == row_id, table.tenant_id == tenant_id)
    if lock:
        query = query.with_for_update()
    found = session.execute(query).scalar_one_or_none()
    if found is None or getattr(found, "deleted_at", None) is not None:
        raise NotFound(f"There is no {_NOUNS[table]} {row_id!r}.", param=param)
    return found


_NOUNS: dict[type[Base], str] = {
    Dataset: "file",
    Encoding: "encoding",
    QuoteRow: "quote",
    Job: "fine-tuning job",
    Adapter: "tuned model",
    ApiKey: "API key",
    ChatTurn: "chat turn",
    Checkpoint: "checkpoint",
}
