"""Out of credit: a job that would cost more than it holds stops, says so, and goes on when paid.

Nothing is settled while it waits: the hold stays, and so do its checkpoints. The job keeps its own
quote until the hold for the new one is there, so that it always holds what it is quoted.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from api import ledger, quotas
from api.errors import BadRequest, InsufficientCredit
from api.events import JobStatus, Level, Notice
from api.jobs.lease import Claim, locked
from api.jobs.moves import move, write
from api.money import credits_text
from api.pricing import Quote
from api.tables import Job, own

OUT_OF_CREDIT = "out_of_credit"

_HOLD_UP_TO = text("SELECT available, missing FROM ledger_hold_up_to(:tenant, :wanted, :subject)")


def pause_for_credit(session: Session, claimed: Claim, *, needed: Quote) -> None:
    """The worker has saved a checkpoint and stops: going on costs `needed` in all.

    Raises Fenced where the job is no longer the caller's.
    """
    job = locked(session, claimed)
    missing = needed.credits - ledger.held(session, job.tenant_id, job.id)
    message = (
        f"Paused: going on needs {credits_text(missing)} credits more than this job holds. Redeem "
        f"a voucher or ask your operator for credits, then resume it."
    )
    pause = {"reason": OUT_OF_CREDIT, "quote": needed.model_dump(mode="json")}
    write(session, job, [Notice(level=Level.WARN, code=OUT_OF_CREDIT, message=message)])
    move(session, job, JobStatus.PAUSED, message)
    job.pause = pause
    session.flush()


def resume(session: Session, tenant_id: str, job_id: str) -> Job:
    """Hold what a paused job is short of, and queue it again; it goes on from its checkpoint.

    Raises InsufficientCredit, naming what is missing; then it stays paused. A job that waits in the
    queue or runs already is returned as it is.
    """
    job = own(session, Job, job_id, tenant_id=tenant_id, lock=True)
    if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        return job
    if job.status != JobStatus.PAUSED:
        raise BadRequest(
            f"{job_id} is {job.status}: only a job that is paused can be resumed.",
            code="job_not_paused",
        )
    if job.pause and job.pause["reason"] == OUT_OF_CREDIT:
        _hold_rest(session, job, Quote.model_validate(job.pause["quote"]))
    move(session, job, JobStatus.QUEUED, "Resumed; waiting for a worker")
    return job


def _hold_rest(session: Session, job: Job, needed: Quote) -> None:
    short = needed.credits - ledger.held(session, job.tenant_id, job.id)
    if short > 0:
        quotas.refuse_spending(session, job.tenant_id, short, actor=job.created_by)
    found = session.execute(
        _HOLD_UP_TO, {"tenant": job.tenant_id, "wanted": needed.credits, "subject": job.id}
    ).one()
    if found.available < found.missing:
        raise InsufficientCredit(
            f"{job.id} needs {credits_text(found.missing)} credits to go on and "
            f"{credits_text(found.available)} are available: "
            f"{credits_text(found.missing - found.available)} more are needed. Redeem a voucher or "
            "ask your operator for credits, then resume it."
        )
    job.quote = needed.model_dump(mode="json")
    job.total_steps = needed.steps
    # The quote that it was made from says another price.
    job.quote_id = None
