"""Out of credit: a job that would cost more than it holds stops, says so, and goes on when paid.

Nothing is settled while it waits: the hold stays, and so do its checkpoints. The job keeps its own
quote until the hold for the new one is there, so that it always holds what it is quoted.
"""

from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from api import ledger, quotas
from api.errors import BadRequest, InsufficientCredit
from api.events import JobStatus, Level, Notice
from api.jobs.lease import UNPAID
from api.jobs.moves import move, write
from api.money import credits_text
from api.pricing import Quote
from api.tables import Job, own

OUT_OF_CREDIT: Final = "out_of_credit"

_HOLD_UP_TO = text("SELECT available, missing FROM ledger_hold_up_to(:tenant, :wanted, :subject)")


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
    if needed := unpaid(job):
        refuse_spending(session, job, needed)
        hold_rest(session, job, needed)
    move(session, job, JobStatus.QUEUED, "Resumed; waiting for a worker")
    return job


# -- on a locked job ------------------------------------------------------------------------------


def unpaid(job: Job) -> Quote | None:
    """What the job was extended to, or found to need, and does not hold yet."""
    waits: dict[str, Any] = job.pause or {}
    found = waits.get("quote") if waits.get("reason") == OUT_OF_CREDIT else job.details.get(UNPAID)
    return Quote.model_validate(found) if found else None


def remember_unpaid(job: Job, needed: Quote | None) -> None:
    """Note on a running job, for its worker to find, what it has to hold before it goes on."""
    kept = {name: value for name, value in job.details.items() if name != UNPAID}
    job.details = kept | ({UNPAID: needed.model_dump(mode="json")} if needed else {})


def pause_for_credit(session: Session, job: Job, needed: Quote) -> None:
    """A job that runs has saved a checkpoint: going on costs `needed` in all."""
    missing = needed.credits - ledger.held(session, job.tenant_id, job.id)
    available = ledger.balance(session, job.tenant_id).available
    message = (
        f"Paused: going on needs {credits_text(missing)} credits more than this job holds, and "
        f"{credits_text(available)} are available. "
    )
    message += (
        "Redeem a voucher or ask your operator for credits, then resume it."
        if available < missing
        else "A spending limit or a budget is in the way: resume it to be told which."
    )
    remember_unpaid(job, None)
    write(session, job, [Notice(level=Level.WARN, code=OUT_OF_CREDIT, message=message)])
    if job.status != JobStatus.PAUSED:
        move(session, job, JobStatus.PAUSED, message)
    job.pause = {"reason": OUT_OF_CREDIT, "quote": needed.model_dump(mode="json")}
    session.flush()


def requeue(session: Session, job: Job, message: str) -> None:
    """Queue a job that ran for another attempt; pause it where it holds too little for that."""
    needed = unpaid(job)
    if needed is not None:
        try:
            refuse_spending(session, job, needed)
            hold_rest(session, job, needed)
        except InsufficientCredit:
            pause_for_credit(session, job, needed)
            return
    move(session, job, JobStatus.QUEUED, message)


def hold_rest(session: Session, job: Job, needed: Quote) -> None:
    """Hold up to `needed`, which is from then on what the job trains and costs.

    Raises InsufficientCredit, naming what is missing; then nothing has changed.
    """
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
    _agree(job, needed)


def refuse_spending(session: Session, job: Job, needed: Quote) -> None:
    """Raises InsufficientCredit where holding up to `needed` would pass a limit or a budget.

    Whoever asks, the hold counts for whoever made the job.
    """
    short = needed.credits - ledger.held(session, job.tenant_id, job.id)
    if short > 0:
        quotas.refuse_spending(session, job.tenant_id, short, actor=job.created_by)


def _agree(job: Job, needed: Quote) -> None:
    """The job holds `needed`: that is its quote now, and its spec trains so many epochs."""
    spec = dict(job.spec or {})
    job.spec = spec | {
        "hyperparameters": spec.get("hyperparameters", {}) | {"n_epochs": needed.n_epochs}
    }
    job.quote = needed.model_dump(mode="json")
    job.total_steps = needed.steps
    # The quote that it was made from says another price.
    job.quote_id = None
    remember_unpaid(job, None)
