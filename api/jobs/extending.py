"""More epochs for a job that has not ended.

The price is that of the rows that were counted, at the job's own rate, so a quote still equals the
charge. Where the credits are there, they are held and the job is changed in one transaction; where
they are not, it pauses with a checkpoint until it is resumed. A worker that runs it learns of
either with its next beat, saves, and steps aside.
"""

from typing import Literal

from sqlalchemy.orm import Session

from api import ledger, pricing
from api.errors import BadRequest, Forbidden, InsufficientCredit
from api.events import TERMINAL, JobStatus, Level, Notice
from api.jobs.moves import move, write
from api.jobs.pausing import (
    hold_rest,
    pause_for_credit,
    refuse_spending,
    remember_unpaid,
    unpaid,
)
from api.money import MicroCredits, credits_text
from api.pricing import Quote
from api.spec import Frozen
from api.tables import ApiKey, Job, own


class ExtensionQuote(Frozen):
    """What training to `n_epochs` would cost, over what the job holds already.

    Where `missing_credits` is not 0, extending pauses the job until it is topped up and resumed.
    """

    object: Literal["extension_quote"] = "extension_quote"
    job_id: str
    n_epochs: int
    quote: Quote
    held_credits: MicroCredits
    extra_credits: MicroCredits
    available_credits: MicroCredits
    missing_credits: MicroCredits


def quote_extension(session: Session, tenant_id: str, job_id: str, n_epochs: int) -> ExtensionQuote:
    """Changes nothing. Raises BadRequest and NotFound, as `extend` would."""
    job = own(session, Job, job_id, tenant_id=tenant_id)
    needed = _extended(job, n_epochs)
    held = ledger.held(session, tenant_id, job.id)
    available = ledger.balance(session, tenant_id).available
    extra = max(0, needed.credits - held)
    return ExtensionQuote(
        job_id=job.id,
        n_epochs=n_epochs,
        quote=needed,
        held_credits=held,
        extra_credits=extra,
        available_credits=available,
        missing_credits=max(0, extra - available),
    )


def extend(session: Session, tenant_id: str, job_id: str, n_epochs: int, *, actor: str) -> Job:
    """Let the job train to `n_epochs` in all. The same number again changes nothing.

    An extension that could not be paid may be made smaller; the epochs that the job is paid for
    take it back. Raises BadRequest, NotFound, Forbidden, and InsufficientCredit over a limit or a
    budget.
    """
    job = own(session, Job, job_id, tenant_id=tenant_id, lock=True)
    _refuse_budgeted(session, job, actor)
    needed = _extended(job, n_epochs)
    waiting = unpaid(job)
    if n_epochs == (waiting or _agreed(job)).n_epochs:
        return job
    before = _agreed(job)
    refuse_spending(session, job, needed)
    try:
        hold_rest(session, job, needed)
    except InsufficientCredit:
        _wait_for_credit(session, job, needed)
        return job
    message = (
        f"Trains {needed.n_epochs} epochs now, {needed.steps} steps, for "
        f"{credits_text(needed.credits)} credits in all"
        if needed != before
        else f"The extension was taken back: trains {needed.n_epochs} epochs, as is paid"
    )
    data = {"n_epochs": needed.n_epochs, "total_steps": needed.steps, "credits": needed.credits}
    write(session, job, [Notice(code="extended", message=message, data=data)])
    if job.status == JobStatus.PAUSED and waiting is not None:
        # It waited for credits, and holds all that it needs.
        move(session, job, JobStatus.QUEUED, "Waiting for a worker again")
    return job


def _refuse_budgeted(session: Session, job: Job, actor: str) -> None:
    """What is added counts for whoever made the job, so a key would get round its own budget."""
    key = session.get(ApiKey, actor) if actor != job.created_by else None
    if key and (key.budget_credits, key.month_budget_credits) != (None, None):
        raise Forbidden(
            f"This API key has a budget, and {job.id} was started by another. Sign in, or use the "
            "key that started it or one without a budget.",
            code="key_has_budget",
        )


def _wait_for_credit(session: Session, job: Job, needed: Quote) -> None:
    if job.status != JobStatus.RUNNING:
        pause_for_credit(session, job, needed)
        return
    remember_unpaid(job, needed)
    short = needed.credits - ledger.held(session, job.tenant_id, job.id)
    missing = short - ledger.balance(session, job.tenant_id).available
    message = (
        f"Extending to {needed.n_epochs} epochs needs {credits_text(missing)} credits more than "
        "are available: the job saves a checkpoint after this step and pauses. Redeem a voucher "
        "or ask your operator for credits, then resume it."
    )
    data = {"n_epochs": needed.n_epochs, "missing_credits": missing}
    notice = Notice(level=Level.WARN, code="extension_unpaid", message=message, data=data)
    write(session, job, [notice])


def _extended(job: Job, n_epochs: int) -> Quote:
    """The price of so many epochs. Raises BadRequest where the job cannot train them."""
    if job.status in TERMINAL:
        raise BadRequest(
            f"{job.id} is {job.status} and trains no more. Start a new job with its files and "
            f"settings, and n_epochs {n_epochs}.",
            code="job_has_ended",
        )
    if job.cancel_requested_at is not None:
        raise BadRequest(
            f"{job.id} is being cancelled. Start a new job with its files and settings, and "
            f"n_epochs {n_epochs}.",
            code="job_has_ended",
        )
    if job.quote is None or job.spec is None:
        raise BadRequest(
            f"The files of {job.id} are still being read. Extend it once it is queued, or cancel "
            f"it and start one with n_epochs {n_epochs}.",
            code="job_not_priced",
        )
    agreed = _agreed(job)
    if n_epochs < agreed.n_epochs:
        raise BadRequest(
            f"{job.id} trains {agreed.n_epochs} epochs already: n_epochs is how many it trains in "
            f"all, {agreed.n_epochs + 1} or more.",
            param="n_epochs",
        )
    return agreed if n_epochs == agreed.n_epochs else pricing.extended(agreed, n_epochs)


def _agreed(job: Job) -> Quote:
    return Quote.model_validate(job.quote)
