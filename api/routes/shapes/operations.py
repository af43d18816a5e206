"""What an operator sees of the running service. Credits are micro-credits."""

from typing import Literal

from api.catalog import PriceClass
from api.catalog import Shape as ModelShape
from api.estimates import Memory
from api.events import JobStatus
from api.routes.shapes import Shape


class QueuedJob(Shape):
    """A job that waits or runs. `since`: when it came to this status; `not_before`: a queued one
    that was handed back is not claimed earlier; `worker` is host and process id."""

    id: str
    object: Literal["queued_job"]
    tenant_id: str
    tenant_name: str
    model: str
    status: JobStatus
    attempt: int
    crashes: int
    step: int
    total_steps: int
    created_at: int
    since: int
    not_before: int
    lease_expires_at: int | None
    worker: str | None


class Queue(Shape):
    """Running first, then the rest, oldest first; the counts are of all, `data` up to `limit`."""

    object: Literal["queue"]
    running: int
    queued: int
    validating_files: int
    data: list[QueuedJob]


class WorkerJob(Shape):
    id: str
    tenant_id: str
    model: str
    attempt: int
    step: int
    total_steps: int
    lease_expires_at: int | None


class Worker(Shape):
    """`known_by` says where from: `celery`, it answered just now; `lease`, a running job is its.
    What only Celery tells is null or empty where it did not answer."""

    id: str
    object: Literal["worker"]
    known_by: list[Literal["celery", "lease"]]
    host: str
    pids: list[int]
    queues: list[str]
    tasks: list[str]
    uptime_seconds: int | None
    jobs: list[WorkerJob]


class WorkerList(Shape):
    """`celery`: whether the workers could be asked at all. Files are read and encoded under leases
    that do not say whose they are: so many are held now."""

    object: Literal["list"]
    celery: bool
    leased_files: int
    leased_encodings: int
    data: list[Worker]


class Rates(Shape):
    """Micro-credits a token."""

    train: int
    chat_prompt: int
    chat_completion: int


class CatalogModel(Shape):
    """A base model with where it comes from and what it costs; `memory` is what training it with
    the defaults takes at its fullest."""

    id: str
    object: Literal["catalog_model"]
    name: str
    source: str
    revision: str
    licence: str
    parameters: int
    shape: ModelShape
    context: int
    created: int
    price_class: PriceClass
    rates: Rates
    memory: Memory


class Catalog(Shape):
    """Every base on offer, and the price list."""

    object: Literal["catalog"]
    default_model: str
    price_version: str
    minimum_charge: int
    rates: dict[PriceClass, Rates]
    method_factors: dict[str, int]
    data: list[CatalogModel]
