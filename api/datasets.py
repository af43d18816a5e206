"""An uploaded file's life: seal, inspect, read as, delete. The bytes are in storage; here are rows.

Inspection is claimed like a job, by a lease and an attempt number: a worker that is killed is
replaced, and one that comes back too late writes nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from api import dispatch, encodings, storage
from api.catalog import base_model
from api.db import after_commit
from api.encodings import free, lease_end
from api.errors import BadRequest
from api.events import TERMINAL
from api.rows import Mapping, ProblemCode
from api.settings import settings
from api.tables import Dataset, Encoding, Job, new_id, own


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


def read_as(
    session: Session,
    tenant_id: str,
    dataset_id: str,
    *,
    mapping: Mapping | None,
    repairs: Sequence[ProblemCode] | None,
) -> Dataset:
    """Correct how a file is read, and accept repairs. It is inspected again where the reading
    changed; what was made of it before stays as it was for the jobs that use it."""
    dataset = own(session, Dataset, dataset_id, tenant_id=tenant_id, lock=True)
    if repairs is not None:
        dataset.repairs = sorted({code.value for code in repairs})
    said = mapping.model_dump(mode="json") if mapping is not None else dataset.mapping
    if said != dataset.mapping:
        dataset.mapping = said
        dataset.status, dataset.attempt, dataset.lease_expires_at = "uploaded", 0, None
        dataset.report = dataset.progress = None
        after_commit(session, partial(dispatch.inspect, dataset_id))
    elif dataset.status == "processed" and dataset.purpose == "fine-tune":
        _want_default_encoding(session, dataset)
    session.flush()
    return dataset


def delete(session: Session, tenant_id: str, dataset_id: str) -> None:
    """The file and all that was made of it go; refused while a job still needs it.

    What the tenant's other uploads of the same bytes use too goes over to one of them.
    """
    dataset = own(session, Dataset, dataset_id, tenant_id=tenant_id, lock=True)
    made = encodings.made_of(session, dataset)
    twin = encodings.twin_of(session, dataset)
    needs = [Job.training_file == dataset_id, Job.validation_file == dataset_id]
    if twin is None:
        needs.append(Job.encoding_id.in_([encoding.id for encoding in made]))
    using = session.execute(
        select(Job.id).where(or_(*needs), Job.status.not_in(TERMINAL))
    ).scalars()
    if names := list(using):
        raise BadRequest(
            f"{dataset_id} is in use by {', '.join(names)}. Cancel or wait, then delete.",
            code="file_in_use",
        )
    dataset.deleted_at = datetime.now(UTC)
    if twin is not None:
        for encoding in made:
            if encoding.dataset_id == dataset_id:
                encoding.dataset_id = twin
    else:
        encodings.forget(session, made, why="The file was deleted.")
    prefix = storage.dataset_prefix(tenant_id, dataset_id)
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
            free(Dataset.lease_expires_at),
        )
        .values(attempt=Dataset.attempt + 1, lease_expires_at=lease_end())
        .returning(Dataset)
    ).scalar_one_or_none()


def tell(session: Session, dataset: Dataset, progress: dict[str, Any]) -> bool:
    """Renew the lease and say how far reading is. Whether the caller still holds it."""
    done = session.execute(
        update(Dataset)
        .where(Dataset.id == dataset.id, Dataset.attempt == dataset.attempt)
        .values(lease_expires_at=lease_end(), progress=progress)
        .returning(Dataset.id)
    )
    return done.scalar_one_or_none() is not None


def report(session: Session, dataset: Dataset, *, report: dict[str, Any], usable: bool) -> None:
    """What inspection found. Encodings that wait for it are rung for, and the usual one is made
    before anybody asks, so that the first quote is there at once."""
    written = session.execute(
        update(Dataset)
        .where(
            Dataset.id == dataset.id,
            Dataset.attempt == dataset.attempt,
            Dataset.status == "uploaded",
        )
        .values(
            status="processed" if usable else "error",
            report=report,
            progress=None,
            lease_expires_at=None,
        )
        .returning(Dataset)
    ).scalar_one_or_none()
    if written is None:
        return
    waiting = select(Encoding.id).where(
        Encoding.dataset_id == dataset.id, Encoding.status == "pending"
    )
    # One that waits for others of its parts is not to be had yet, and is rung for again.
    for encoding_id in session.execute(waiting).scalars():
        after_commit(session, partial(dispatch.encode, encoding_id))
    if usable and dataset.purpose == "fine-tune":
        _want_default_encoding(session, written)


def _want_default_encoding(session: Session, dataset: Dataset) -> None:
    base = base_model(settings().default_base_model)
    encodings.want(session, dataset, encodings.file_recipe(dataset, base))


def let_go(session: Session, dataset: Dataset) -> None:
    """This attempt broke; the sweep rings for the next one."""
    session.execute(
        update(Dataset)
        .where(Dataset.id == dataset.id, Dataset.attempt == dataset.attempt)
        .values(lease_expires_at=func.now())
    )


def sweep(session: Session) -> None:
    """Ring again for files that wait and nobody holds; give up on what was tried too often."""
    tries = encodings.ATTEMPTS_MAX
    gave_up = {"fault": f"Reading this file failed {tries} times. Ask your operator."}
    session.execute(
        update(Dataset)
        .where(
            Dataset.status == "uploaded",
            Dataset.attempt >= tries,
            Dataset.lease_expires_at < func.now(),
        )
        .values(status="error", report=gave_up, lease_expires_at=None)
    )
    waiting = select(Dataset.id).where(
        Dataset.status == "uploaded",
        Dataset.deleted_at.is_(None),
        Dataset.created_at < func.now() - text("interval '5 s'"),
        free(Dataset.lease_expires_at),
    )
    for dataset_id in session.execute(waiting.limit(100)).scalars():
        after_commit(session, partial(dispatch.inspect, dataset_id))
