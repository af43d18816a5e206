"""What a worker does with a job: claim it, beat, record what happens, commit checkpoints.

The attempt number is the fencing token: every write says under which attempt it is made, and one
that is no longer the job's changes nothing and raises Fenced. All times are the database's.
System transactions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from api.events import EngineEvent, JobStatus, Saved, Step
from api.jobs.moves import move, store
from api.settings import settings
from api.spec import JobSpec
from api.tables import Checkpoint, Encoding, Job, new_id

UNPAID = "unpaid_extension"
"""Under this name of `Job.details`: the quote that a running job was extended to and lacks the
credits for. Its worker pauses it."""


class Fenced(Exception):
    """The lease is gone: somebody else may be running this job. Stop, and touch nothing."""


class Extended(Exception):
    """The job trains more epochs than were claimed. Save a checkpoint, and step aside."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker learns when it says that it is alive. `extended`: as the exception says."""

    cancel: bool
    extended: bool


@dataclass(frozen=True, slots=True)
class Artifact:
    """An encoded dataset in storage."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    step: int
    prefix: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is the caller's until its lease runs out. `checkpoints` are newest first."""

    job_id: str
    tenant_id: str
    attempt: int
    name: str | None
    spec: JobSpec
    data: Artifact
    validation: Artifact | None
    checkpoints: tuple[SavedCheckpoint, ...]
    dataset_sha256: str


# Fair share: the tenant with the fewest running jobs first, then age. The lock makes the order and
# the per-tenant cap exact under racing claims; a claim is rare and takes a millisecond.
_NEXT = text("""
    SELECT j.id FROM jobs j
    LEFT JOIN (SELECT tenant_id, count(*) AS n FROM jobs WHERE status = 'running' GROUP BY 1) r
      ON r.tenant_id = j.tenant_id
    JOIN tenants t ON t.id = j.tenant_id
    WHERE j.status = 'queued' AND j.next_run_at <= now()
      AND coalesce(r.n, 0) < coalesce((t.limits->>'running_jobs_max')::bigint, :running_jobs_max)
    ORDER BY coalesce(r.n, 0), j.created_at
    FOR UPDATE OF j SKIP LOCKED LIMIT 1
""")


def claim(session: Session, *, worker: str) -> Claim | None:
    """The next job under a fresh attempt, or None where nothing waits."""
    session.execute(text("SELECT pg_advisory_xact_lock(4201)"))
    job_id = session.execute(
        _NEXT, {"running_jobs_max": settings().running_jobs_max}
    ).scalar_one_or_none()
    if job_id is None:
        return None
    job = session.execute(select(Job).where(Job.id == job_id)).scalar_one()
    now, lease_end = session.execute(select(func.now(), _lease_end())).one()
    job.attempt += 1
    job.lease_owner = worker
    job.lease_expires_at = lease_end
    job.started_at = job.started_at or now
    again = f" (attempt {job.attempt})" if job.attempt > 1 else ""
    move(session, job, JobStatus.RUNNING, f"Fine-tuning job started{again}")
    encoding = session.execute(select(Encoding).where(Encoding.id == job.encoding_id)).scalar_one()
    validation = session.get(Encoding, job.validation_encoding_id or "")
    return Claim(
        job_id=job.id,
        tenant_id=job.tenant_id,
        attempt=job.attempt,
        name=job.suffix,
        spec=JobSpec.model_validate(job.spec),
        data=_artifact(encoding),
        validation=_artifact(validation) if validation else None,
        checkpoints=_checkpoints(session, job.id),
        dataset_sha256=(encoding.report or {})["dataset_sha256"],
    )


def beat(session: Session, claimed: Claim) -> Beat:
    """Renew the lease. Raises Fenced where it is no longer the caller's."""
    row = session.execute(
        update(Job)
        .where(*_mine(claimed))
        .values(lease_expires_at=_lease_end())
        .returning(Job.cancel_requested_at, *_LENGTH)
    ).one_or_none()
    if row is None:
        raise Fenced
    cancel, *length = row
    return Beat(cancel=cancel is not None, extended=_extended(claimed, *length))


def record(session: Session, claimed: Claim, events: Sequence[EngineEvent]) -> Beat:
    """Store what the engine yielded and keep the job row's progress. Renews the lease too."""
    values: dict[str, Any] = {
        "last_seq": Job.last_seq + len(events),
        "lease_expires_at": _lease_end(),
    }
    steps = [event for event in events if isinstance(event, Step)]
    if steps:
        last = steps[-1]
        values |= {
            "step": last.step,
            "trained_tokens": last.trained_tokens,
            "progress": last.model_dump(mode="json"),
        }
    row = session.execute(
        update(Job)
        .where(*_mine(claimed))
        .values(**values)
        .returning(Job.last_seq, Job.cancel_requested_at, *_LENGTH)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        raise Fenced
    last_seq, cancel, *length = row
    store(session, claimed.job_id, claimed.tenant_id, last_seq - len(events) + 1, events)
    return Beat(cancel=cancel is not None, extended=_extended(claimed, *length))


def checkpoint(
    session: Session, claimed: Claim, saved: Saved, *, prefix: str, files: dict[str, str]
) -> None:
    """Its files are in storage: from here on the job resumes from it, and is charged up to it."""
    job = locked(session, claimed)
    job.crash_count = 0
    metrics = saved.model_dump(mode="json", exclude={"type", "folder"})
    session.add(
        Checkpoint(
            id=new_id("ftckpt-"),
            tenant_id=claimed.tenant_id,
            job_id=claimed.job_id,
            attempt=claimed.attempt,
            step=saved.step,
            trained_tokens=saved.trained_tokens,
            prefix=prefix,
            files=files,
            metrics=metrics,
        )
    )
    session.flush()


def locked(session: Session, claimed: Claim) -> Job:
    """The job's row, locked, if it is still the caller's."""
    job = session.execute(select(Job).where(*_mine(claimed)).with_for_update()).scalar_one_or_none()
    if job is None:
        raise Fenced
    return job


def refuse_extended(job: Job, claimed: Claim) -> None:
    """Raises Extended where the locked job is no longer as long as the one that was claimed."""
    now = JobSpec.model_validate(job.spec)
    if _extended(claimed, now.hyperparameters.n_epochs, job.details.get(UNPAID)):
        raise Extended


_LENGTH = (Job.spec["hyperparameters"]["n_epochs"].as_integer(), Job.details[UNPAID])


def _extended(claimed: Claim, n_epochs: int, unpaid: dict[str, Any] | None) -> bool:
    return unpaid is not None or n_epochs != claimed.spec.hyperparameters.n_epochs


def _mine(claimed: Claim) -> tuple[Any, ...]:
    return (
        Job.id == claimed.job_id,
        Job.attempt == claimed.attempt,
        Job.status == JobStatus.RUNNING,
    )


def _lease_end() -> Any:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, settings().lease_seconds)


def _artifact(encoding: Encoding) -> Artifact:
    report = encoding.report or {}
    return Artifact(key=report["key"], sha256=report["sha256"])


def _checkpoints(session: Session, job_id: str) -> tuple[SavedCheckpoint, ...]:
    rows = session.execute(
        select(Checkpoint)
        .where(Checkpoint.job_id == job_id)
        .order_by(Checkpoint.step.desc(), Checkpoint.attempt.desc())
    ).scalars()
    return tuple(SavedCheckpoint(row.step, row.prefix, dict(row.files)) for row in rows)
