"""An uploaded file's life: seal, inspect, encode, delete. The bytes are in storage; here are rows.

Inspection and encoding are claimed like jobs, by a lease and an attempt number: a worker that is
killed is replaced, and one that comes back too late writes nothing.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from api import dispatch, storage
from api.catalog import BaseModel, base_model
from api.db import after_commit
from api.errors import BadRequest
from api.events import TERMINAL
from api.settings import settings
from api.tables import Dataset, Encoding, Job, new_id, own

LEASE_SECONDS = 60
ATTEMPTS_MAX = 3
ENCODING_VERSION = 1
"""Raised when the same row would be encoded differently, so that no stale encoding is used."""

DEFAULT_HELD_OUT_SHARE = 0.1
CUTOFF_LEN_MAX = 4_096


def new_dataset_id() -> str:
    """Named before its bytes arrive, since they are stored under it."""
    return new_id("file-")


def seal(
    session: Session,
    *,
    dataset_id: str,
    tenant_id: str,
    filename: str,
    purpose: str,
    size: int,
    sha256: str,
) -> Dataset:
    """The upload is complete: from here on the file exists, and a worker is told to read it."""
    session.execute(
        insert(Dataset).values(
            id=dataset_id,
            tenant_id=tenant_id,
            filename=filename,
            purpose=purpose,
            bytes=size,
            sha256=sha256,
        )
    )
    after_commit(session, partial(dispatch.inspect, dataset_id))
    return own(session, Dataset, dataset_id, tenant_id=tenant_id)


def page(
    session: Session,
    tenant_id: str,
    *,
    after: str | None,
    limit: int,
    newest_first: bool = True,
    purpose: str | None = None,
) -> list[Dataset]:
    """Up to `limit` + 1 files, so that the caller knows whether there are more."""
    query = select(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.deleted_at.is_(None))
    if purpose:
        query = query.where(Dataset.purpose == purpose)
    place = (Dataset.created_at, Dataset.id)
    if after:
        cursor = select(*place).where(Dataset.id == after, Dataset.tenant_id == tenant_id)
        found = session.execute(cursor).one_or_none()
        if found is None:
            return []
        here = func.row(*place)
        there = func.row(found[0], found[1])
        query = query.where(here < there if newest_first else here > there)
    order = [column.desc() if newest_first else column.asc() for column in place]
    return list(session.execute(query.order_by(*order).limit(limit + 1)).scalars())


def delete(session: Session, tenant_id: str, dataset_id: str) -> None:
    """The file and all that was made of it go; refused while a job still needs it."""
    dataset = own(session, Dataset, dataset_id, tenant_id=tenant_id, lock=True)
    using = session.execute(
        select(Job.id).where(
            or_(Job.training_file == dataset_id, Job.validation_file == dataset_id),
            Job.status.not_in(TERMINAL),
        )
    ).scalars()
    if names := list(using):
        raise BadRequest(
            f"{dataset_id} is in use by {', '.join(names)}. Cancel or wait, then delete.",
            code="file_in_use",
        )
    dataset.deleted_at = datetime.now(UTC)
    made = session.execute(select(Encoding.id).where(Encoding.dataset_id == dataset_id)).scalars()
    prefixes = [storage.encoding_prefix(tenant_id, encoding_id) for encoding_id in made]
    for prefix in [storage.dataset_key(tenant_id, dataset_id), *prefixes]:
        after_commit(session, partial(storage.delete_prefix, prefix))


# -- inspection (system transaction) --------------------------------------------------------------


def claim_inspection(session: Session, dataset_id: str) -> Dataset | None:
    """The dataset, leased to the caller under a new attempt; None where it is not to be had."""
    return session.execute(
        update(Dataset)
        .where(
            Dataset.id == dataset_id,
            Dataset.status == "uploaded",
            Dataset.deleted_at.is_(None),
            _free(Dataset.lease_expires_at),
        )
        .values(attempt=Dataset.attempt + 1, lease_expires_at=_lease_end())
        .returning(Dataset)
    ).scalar_one_or_none()


def renew_inspection(session: Session, dataset: Dataset) -> bool:
    """Whether the caller still holds it."""
    done = session.execute(
        update(Dataset)
        .where(Dataset.id == dataset.id, Dataset.attempt == dataset.attempt)
        .values(lease_expires_at=_lease_end())
        .returning(Dataset.id)
    )
    return done.scalar_one_or_none() is not None


def report(session: Session, dataset: Dataset, *, report: dict[str, Any], usable: bool) -> None:
    """What inspection found. Encodings that wait for it are rung for."""
    written = session.execute(
        update(Dataset)
        .where(
            Dataset.id == dataset.id,
            Dataset.attempt == dataset.attempt,
            Dataset.status == "uploaded",
        )
        .values(status="processed" if usable else "error", report=report, lease_expires_at=None)
        .returning(Dataset.id)
    ).scalar_one_or_none()
    if written is None:
        return
    waiting = select(Encoding.id).where(
        Encoding.dataset_id == dataset.id, Encoding.status == "pending"
    )
    for encoding_id in session.execute(waiting).scalars():
        after_commit(session, partial(dispatch.encode, encoding_id))


# -- encoding -------------------------------------------------------------------------------------


def default_cutoff(base: BaseModel) -> int:
    return min(base.context, CUTOFF_LEN_MAX)


def want_encoding(
    session: Session,
    dataset: Dataset,
    *,
    base: BaseModel,
    cutoff_len: int,
    held_out_share: float,
) -> Encoding:
    """The dataset as this base reads it under these options: found, or asked for."""
    options = (
        f"{base.id}@{base.revision}/v{ENCODING_VERSION}/cutoff={cutoff_len}"
        f"/held_out={held_out_share}"
    )
    created = session.execute(
        upsert(Encoding)
        .values(
            id=new_id("enc-"),
            tenant_id=dataset.tenant_id,
            dataset_id=dataset.id,
            base_model=base.id,
            cutoff_len=cutoff_len,
            held_out_share=held_out_share,
            options=options,
        )
        .on_conflict_do_nothing(index_elements=["dataset_id", "options"])
        .returning(Encoding.id)
    ).scalar_one_or_none()
    encoding = session.execute(
        select(Encoding).where(Encoding.dataset_id == dataset.id, Encoding.options == options)
    ).scalar_one()
    if created and dataset.status != "uploaded":
        after_commit(session, partial(dispatch.encode, encoding.id))
    return encoding


def want_default_encoding(session: Session, dataset: Dataset) -> None:
    """Encode for the default base before anybody asks, so that the first quote is there at once."""
    base = base_model(settings().default_base_model)
    want_encoding(
        session,
        dataset,
        base=base,
        cutoff_len=default_cutoff(base),
        held_out_share=DEFAULT_HELD_OUT_SHARE,
    )


def claim_encoding(session: Session, encoding_id: str) -> tuple[Encoding, Dataset] | None:
    """The encoding, leased to the caller, with its inspected dataset; None where not to be had."""
    encoding = session.execute(
        update(Encoding)
        .where(
            Encoding.id == encoding_id,
            Encoding.status == "pending",
            _free(Encoding.lease_expires_at),
            Encoding.dataset_id.in_(select(Dataset.id).where(Dataset.status != "uploaded")),
        )
        .values(attempt=Encoding.attempt + 1, lease_expires_at=_lease_end())
        .returning(Encoding)
    ).scalar_one_or_none()
    if encoding is None:
        return None
    return encoding, session.execute(
        select(Dataset).where(Dataset.id == encoding.dataset_id)
    ).scalar_one()


def renew_encoding(session: Session, encoding: Encoding) -> bool:
    done = session.execute(
        update(Encoding)
        .where(Encoding.id == encoding.id, Encoding.attempt == encoding.attempt)
        .values(lease_expires_at=_lease_end())
        .returning(Encoding.id)
    )
    return done.scalar_one_or_none() is not None


def encoded(session: Session, encoding: Encoding, *, report: dict[str, Any], usable: bool) -> bool:
    """The artifact is in storage (or cannot be made). False where another attempt took over."""
    written = session.execute(
        update(Encoding)
        .where(
            Encoding.id == encoding.id,
            Encoding.attempt == encoding.attempt,
            Encoding.status == "pending",
        )
        .values(status="ready" if usable else "failed", report=report, lease_expires_at=None)
        .returning(Encoding.id)
    )
    return written.scalar_one_or_none() is not None


def let_go(session: Session, row: Dataset | Encoding) -> None:
    """This attempt broke; the sweep rings for the next one."""
    table = type(row)
    session.execute(
        update(table)
        .where(table.id == row.id, table.attempt == row.attempt)
        .values(lease_expires_at=func.now())
    )


def sweep(session: Session) -> None:
    """Ring again for what waits and nobody holds; give up on what was tried too often."""
    gave_up = {"fault": f"Reading this file failed {ATTEMPTS_MAX} times. Ask your operator."}
    session.execute(
        update(Dataset)
        .where(Dataset.status == "uploaded", Dataset.attempt >= ATTEMPTS_MAX, _expired(Dataset))
        .values(status="error", report=gave_up, lease_expires_at=None)
    )
    session.execute(
        update(Encoding)
        .where(Encoding.status == "pending", Encoding.attempt >= ATTEMPTS_MAX, _expired(Encoding))
        .values(status="failed", report=gave_up, lease_expires_at=None)
    )
    old = text("now() - interval '5 s'")
    for dataset_id in session.execute(
        select(Dataset.id)
        .where(
            Dataset.status == "uploaded",
            Dataset.deleted_at.is_(None),
            Dataset.created_at < old,
            _free(Dataset.lease_expires_at),
        )
        .limit(100)
    ).scalars():
        after_commit(session, partial(dispatch.inspect, dataset_id))
    for encoding_id in session.execute(
        select(Encoding.id)
        .join(Dataset, Dataset.id == Encoding.dataset_id)
        .where(
            Encoding.status == "pending",
            Encoding.created_at < old,
            Dataset.status != "uploaded",
            _free(Encoding.lease_expires_at),
        )
        .limit(100)
    ).scalars():
        after_commit(session, partial(dispatch.encode, encoding_id))


def _lease_end() -> ColumnElement[datetime]:
    return func.now() + text(f"interval '{LEASE_SECONDS} s'")


def _free(lease: Any) -> ColumnElement[bool]:
    return or_(lease.is_(None), lease < func.now())


def _expired(table: type[Dataset | Encoding]) -> ColumnElement[bool]:
    return table.lease_expires_at < func.now()
