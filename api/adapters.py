"""A tuned model's life: register, find by name, link, delete."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import storage
from api.db import after_commit
from api.errors import NotFound
from api.tables import Adapter, Job, Tenant, new_id

ARCHIVE = "adapter.zip"
"""All files of an adapter in one object, beside the single files."""


def new_adapter_id() -> str:
    """Named before its files are stored, since they are stored under it."""
    return new_id("adp-")


def register(
    session: Session,
    job: Job,
    *,
    adapter_id: str,
    prefix: str,
    manifest: dict[str, Any],
    size: int,
) -> str:
    """Its files are in storage: the tuned model exists. Returns its name on the wire."""
    slug = session.execute(select(Tenant.slug).where(Tenant.id == job.tenant_id)).scalar_one()
    base = job.details["model"]
    name = f"ft:{base}:{slug}:{job.suffix or ''}:{adapter_id[-8:]}"
    session.add(
        Adapter(
            id=adapter_id,
            tenant_id=job.tenant_id,
            job_id=job.id,
            name=name,
            base_model=base,
            prefix=prefix,
            manifest=manifest,
            bytes=size,
        )
    )
    session.flush()
    return name


def by_name(session: Session, tenant_id: str, name: str) -> Adapter:
    found = session.execute(
        select(Adapter).where(
            Adapter.tenant_id == tenant_id, Adapter.name == name, Adapter.deleted_at.is_(None)
        )
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(
            f"The model {name!r} does not exist, or you have no access to it.",
            code="model_not_found",
            param="model",
        )
    return found


def page(session: Session, tenant_id: str) -> list[Adapter]:
    query = select(Adapter).where(Adapter.tenant_id == tenant_id, Adapter.deleted_at.is_(None))
    return list(session.execute(query.order_by(Adapter.created_at.desc())).scalars())


def jobs_of(session: Session, rows: Sequence[Adapter]) -> dict[str, Job]:
    """The jobs that made these, by id."""
    query = select(Job).where(Job.id.in_({row.job_id for row in rows}))
    return {job.id: job for job in session.execute(query).scalars()}


def link(adapter: Adapter) -> str:
    """A presigned link to the archive."""
    return storage.presign_get(
        adapter.prefix + ARCHIVE, filename=f"{adapter.name.replace(':', '-')}.zip"
    )


def delete(session: Session, tenant_id: str, name: str) -> None:
    adapter = by_name(session, tenant_id, name)
    adapter.deleted_at = datetime.now(UTC)
    after_commit(session, partial(storage.delete_prefix, adapter.prefix))
