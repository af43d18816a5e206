"""The end of a job, and of a lease: finish, fail, cancel, sweep. Money moves here, once.

Status, adapter and charge are one transaction under the job row's lock, fenced by the attempt.
What is charged is what was usefully trained: all of it at success, up to the last checkpoint at
cancel or where the user's own numbers ran away, nothing where the fault is ours.
"""

from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api import adapters, alerts, dispatch, ledger
from api.db import after_commit
from api.errors import BadRequest, ErrorCode
from api.events import TERMINAL, JobStatus, Level, Notice
from api.jobs.lease import Claim, locked, refuse_extended
from api.jobs.moves import move, write
from api.jobs.pausing import requeue
from api.pricing import Quote, charge
from api.settings import settings
from api.tables import Checkpoint, Job, own


def finish(
    session: Session,
    claimed: Claim,
    *,
    adapter_id: str,
    prefix: str,
    manifest: dict[str, Any],
    size: int,
) -> str:
    """The adapter exists and the job succeeded. Returns the tuned model's name.

    Raises Extended where there are epochs left that this attempt did not know of.
    """
    job = locked(session, claimed)
    refuse_extended(job, claimed)
    name = adapters.register(
        session, job, adapter_id=adapter_id, prefix=prefix, manifest=manifest, size=size
    )
    _settle(session, job, job.trained_tokens)
    write(
        session,
        job,
        [Notice(code="model_created", message=f"New fine-tuned model created: {name}")],
    )
    move(session, job, JobStatus.SUCCEEDED, "The job has successfully completed")
    return name


def fail(
    session: Session, claimed: Claim, *, code: ErrorCode, message: str, user_fault: bool = False
) -> None:
    """The run cannot go on, and another attempt would end the same way."""
    job = locked(session, claimed)
    tokens = _checkpointed_tokens(session, job) if user_fault else 0
    _settle(session, job, tokens)
    error = {"code": code, "message": message, "param": None}
    move(session, job, JobStatus.FAILED, message, error=error)


def cancel(session: Session, tenant_id: str, job_id: str) -> Job:
    """Stop a job: at once where nothing runs, else at the worker's next step."""
    job = own(session, Job, job_id, tenant_id=tenant_id, lock=True)
    if job.status in TERMINAL:
        raise BadRequest(f"Job has already completed: {job_id} is {job.status}.")
    if job.status == JobStatus.RUNNING:
        if job.cancel_requested_at is None:
            job.cancel_requested_at = session.execute(select(func.now())).scalar_one()
            write(
                session,
                job,
                [Notice(code="cancel_requested", message="Cancelling after this step")],
            )
        return job
    _cancel(session, job)
    return job


def cancelled(session: Session, claimed: Claim) -> None:
    """The worker has stopped pulling, as the tenant asked."""
    _cancel(session, locked(session, claimed))


def step_aside(session: Session, claimed: Claim) -> None:
    """The worker has saved a checkpoint and stops, for the job was extended under it.

    The next attempt goes on with all epochs; it waits for credits first where it must. No crash.
    """
    job = locked(session, claimed)
    if job.cancel_requested_at is not None:
        _cancel(session, job)
    else:
        requeue(session, job, "Going on from its last checkpoint with the epochs added")


def hand_back(session: Session, claimed: Claim, *, why: str) -> None:
    """The worker cannot go on by a fault of ours: the same as being lost, only sooner."""
    _take_back(session, locked(session, claimed), code="attempt_failed", why=why)


def sweep(session: Session) -> None:
    """Take back every lease that ran out, and ring for what waits. System transaction, on beat."""
    lost = session.execute(
        select(Job)
        .where(Job.status == JobStatus.RUNNING, Job.lease_expires_at < func.now())
        .order_by(Job.tenant_id, Job.id)  # wallets are locked in one order everywhere
        .with_for_update(skip_locked=True)
        .limit(100)
    ).scalars()
    for job in list(lost):
        _take_back(session, job, code="worker_lost", why="The worker was lost")
    queued = select(func.count()).select_from(Job).where(Job.status == JobStatus.QUEUED)
    if session.execute(queued).scalar_one():
        after_commit(session, dispatch.train)


def _take_back(
    session: Session, job: Job, *, code: Literal["attempt_failed", "worker_lost"], why: str
) -> None:
    """Queue the job again, or end it after `crashes_max` attempts that came no further."""
    job.crash_count += 1
    if job.cancel_requested_at is not None:
        _cancel(session, job)
    elif job.crash_count >= settings().crashes_max:
        message = (
            f"{why}, {job.crash_count} times without getting further. Nothing is charged. "
            "Submit the job again, or ask your operator."
        )
        _settle(session, job, 0)
        error = {"code": code, "message": message, "param": None}
        move(session, job, JobStatus.FAILED, message, error=error)
    else:
        going_on = f"{why}; the job goes on from its last checkpoint"
        write(session, job, [Notice(level=Level.WARN, code=code, message=going_on)])
        requeue(session, job, "Waiting for a worker again")


def _cancel(session: Session, job: Job) -> None:
    _settle(session, job, _checkpointed_tokens(session, job))
    move(session, job, JobStatus.CANCELLED, "Fine-tuning job cancelled")


def _settle(session: Session, job: Job, tokens: int) -> None:
    amount = charge(Quote.model_validate(job.quote), tokens) if job.quote else 0
    job.trained_tokens = tokens
    job.charged_credits = ledger.settle(
        session, job.tenant_id, amount, subject=job.id, actor=f"attempt {job.attempt}"
    )
    alerts.watch(session, job.tenant_id)


def _checkpointed_tokens(session: Session, job: Job) -> int:
    """Tokens trained up to the last durable checkpoint."""
    most = select(func.max(Checkpoint.trained_tokens)).where(Checkpoint.job_id == job.id)
    return int(session.execute(most).scalar_one() or 0)
