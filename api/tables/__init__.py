"""Every table, and `own()`: the one way to look up something that belongs to a tenant.

Ids are text with a prefix that says what they are (`ftjob-…`), random, never guessable. Money is
bigint micro-credits. What row-level security, triggers and grants add stands in the migrations.
"""

from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import NotFound
from api.tables.base import Base, new_id
from api.tables.files import Dataset, Encoding, Upload, UploadPart
from api.tables.jobs import Adapter, ChatTurn, Checkpoint, Job, JobEvent, QuoteRow
from api.tables.money import (
    Account,
    Campaign,
    CreditAlert,
    Redemption,
    Referral,
    Spending,
    Transfer,
    VoucherCode,
)
from api.tables.people import ApiKey, Invitation, Member, SignInSession, Tenant, User

T = TypeVar(
    "T",
    Dataset,
    Upload,
    Encoding,
    QuoteRow,
    Job,
    Adapter,
    ApiKey,
    ChatTurn,
    Checkpoint,
    Member,
    Invitation,
)


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
        # What this session read before the lock may have changed since.
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.execute(query).scalar_one_or_none()
    if found is None or getattr(found, "deleted_at", None) is not None:
        raise NotFound(f"There is no {_NOUNS[table]} {row_id!r}.", param=param)
    return found


_NOUNS: dict[type[Base], str] = {
    Dataset: "file",
    Upload: "upload",
    Encoding: "encoding",
    QuoteRow: "quote",
    Job: "fine-tuning job",
    Adapter: "tuned model",
    ApiKey: "API key",
    ChatTurn: "chat turn",
    Checkpoint: "checkpoint",
    Member: "member",
    Invitation: "invitation",
}

__all__ = [
    "Account",
    "Adapter",
    "ApiKey",
    "Base",
    "Campaign",
    "ChatTurn",
    "Checkpoint",
    "CreditAlert",
    "Dataset",
    "Encoding",
    "Invitation",
    "Job",
    "JobEvent",
    "Member",
    "QuoteRow",
    "Redemption",
    "Referral",
    "SignInSession",
    "Spending",
    "Tenant",
    "Transfer",
    "Upload",
    "UploadPart",
    "User",
    "VoucherCode",
    "new_id",
    "own",
]
