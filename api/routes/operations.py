"""What whoever runs the service watches: the queue, the workers, the catalog and its prices."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from api import dispatch, estimates, operators, pricing
from api.catalog import BaseModel, catalog
from api.db import transaction
from api.routes.door import InSystem, Operator, unix
from api.routes.shapes import operations as shapes
from api.settings import settings
from api.spec import JobSpec

router = APIRouter(prefix="/admin", tags=["admin"])


@router.get("/queue")
def show_queue(
    session: InSystem, limit: Annotated[int, Query(ge=1, le=1_000)] = 200
) -> shapes.Queue:
    """Every tenant's jobs that run or wait."""
    counts = operators.queue_counts(session)
    return {
        "object": "queue",
        "running": counts.running,
        "queued": counts.queued,
        "validating_files": counts.validating_files,
        "data": [_job(each) for each in operators.queue(session, limit=limit)],
    }


@router.get("/workers")
def list_workers(_actor: Operator) -> shapes.WorkerList:
    """Who works now, from the leases and from Celery, which is given a second to answer."""
    with transaction() as session:
        running = [each for each in operators.queue(session) if each.worker is not None]
        leases = operators.leases(session)
    nodes = dispatch.nodes()  # no transaction: it waits
    return {
        "object": "list",
        "celery": nodes is not None,
        "leased_files": leases.files,
        "leased_encodings": leases.encodings,
        "data": _workers(nodes or (), running),
    }


@router.get("/catalog")
def show_catalog(_actor: Operator) -> shapes.Catalog:
    """Every base model, what it needs and what it costs."""
    return {
        "object": "catalog",
        "default_model": settings().default_base_model,
        "price_version": pricing.PRICE_VERSION,
        "minimum_charge": pricing.MINIMUM_CHARGE,
        "rates": {name: _rates(rate) for name, rate in pricing.RATES.items()},
        "method_factors": pricing.METHOD_FACTORS,
        "data": [_model(base) for base in catalog().values()],
    }


def _job(each: operators.QueuedJob) -> shapes.QueuedJob:
    return {
        "id": each.id,
        "object": "queued_job",
        "tenant_id": each.tenant_id,
        "tenant_name": each.tenant_name,
        "model": each.model,
        "status": each.status,
        "attempt": each.attempt,
        "crashes": each.crashes,
        "step": each.step,
        "total_steps": each.total_steps,
        "created_at": unix(each.created_at),
        "since": unix(each.since),
        "not_before": unix(each.not_before),
        "lease_expires_at": unix(each.lease_expires_at),
        "worker": each.worker,
    }


def _workers(
    nodes: Iterable[dispatch.Node], running: Sequence[operators.QueuedJob]
) -> list[shapes.Worker]:
    """Nodes with the jobs that their processes hold, then holders that no node owns up to."""
    found: list[shapes.Worker] = []
    claimed: set[str] = set()
    for node in nodes:
        holders = {f"{node.host}:{pid}" for pid in node.pids}
        jobs = [each for each in running if each.worker in holders]
        claimed |= {each.id for each in jobs}
        found.append(
            {
                "id": node.name,
                "object": "worker",
                "known_by": ["celery", "lease"] if jobs else ["celery"],
                "host": node.host,
                "pids": list(node.pids),
                "queues": list(node.queues),
                "tasks": list(node.tasks),
                "uptime_seconds": node.uptime_seconds,
                "jobs": [_worker_job(each) for each in jobs],
            }
        )
    for holder in sorted({str(each.worker) for each in running if each.id not in claimed}):
        host, _, pid = holder.rpartition(":")
        found.append(
            {
                "id": holder,
                "object": "worker",
                "known_by": ["lease"],
                "host": host,
                "pids": [int(pid)] if pid.isdigit() else [],
                "queues": [],
                "tasks": [],
                "uptime_seconds": None,
                "jobs": [_worker_job(each) for each in running if each.worker == holder],
            }
        )
    return found


def _worker_job(each: operators.QueuedJob) -> shapes.WorkerJob:
    return {
        "id": each.id,
        "tenant_id": each.tenant_id,
        "model": each.model,
        "attempt": each.attempt,
        "step": each.step,
        "total_steps": each.total_steps,
        "lease_expires_at": unix(each.lease_expires_at),
    }


def _model(base: BaseModel) -> shapes.CatalogModel:
    spec = JobSpec(base_model=base.id, base_revision=base.revision)
    longest = min(base.context, spec.hyperparameters.cutoff_len)
    return {
        "id": base.id,
        "object": "catalog_model",
        "name": base.name,
        "source": base.source,
        "revision": base.revision,
        "licence": base.licence,
        "parameters": base.parameters,
        "shape": base.shape,
        "context": base.context,
        "created": base.created,
        "price_class": base.price_class,
        "rates": _rates(pricing.RATES[base.price_class]),
        "memory": estimates.memory(
            spec, base, longest_row=longest, available=settings().train_memory_bytes
        ),
    }


def _rates(rate: pricing.Rate) -> shapes.Rates:
    return {
        "train": rate.train,
        "chat_prompt": rate.chat_prompt,
        "chat_completion": rate.chat_completion,
    }
