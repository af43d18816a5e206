"""Into the queue: what a job would cost, and the row and the hold that make it one.

A file that is still being read cannot be priced, so a job may be born `validating_files`, without a
hold; `admit_waiting` prices it when the encoding is there. Row and hold are one transaction, then
as at submit.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import Field
from sqlalchemy import ColumnElement, delete, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from api import estimates, ledger, pricing, quotas
from api.errors import BadRequest, ErrorDetail, InsufficientCredit, TuneryError
from api.events import JobStatus, Status
from api.jobs.moves import move, write
from api.jobs.preparing import Prepared, prepare, prepared, priced
from api.jobs.request import Effective, Submission, effective, parse, with_seed
from api.money import MicroCredits
from api.settings import settings
from api.spec import Frozen, JobSpec
from api.tables import Adapter, Checkpoint, Encoding, Job, QuoteRow, new_id, own

RETRY_WINDOW_SECONDS = 600
"""A client that retries by itself, without a key, means its first request if that is this young."""


class Leakage(Frozen):
    """Training rows that a validation row says too; `file` numbers the training files from 0."""

    exact: int = 0
    near: int = 0
    lines: list[dict[str, int]] = Field(default_factory=list)


class QueuePlace(Frozen):
    """Where the job would stand now: jobs before it, and jobs that run."""

    ahead: int
    running: int


class QuoteAnswer(Frozen):
    """What a job would be. `preparing`: ask again shortly; `refused`: `error` says why.

    A `ready` quote has an `id`: a job submitted with it before `expires_at` (Unix seconds) trains
    exactly the encoded rows that were counted, and costs at most `quote.credits`.
    """

    object: Literal["quote"] = "quote"
    id: str | None = None
    status: Literal["preparing", "ready", "refused"]
    expires_at: int | None = None
    quote: pricing.Quote | None = None
    spec: JobSpec | None = None
    effective: dict[str, Effective] = Field(default_factory=dict)
    duration: estimates.Duration | None = None
    memory: estimates.Memory | None = None
    queue: QueuePlace | None = None
    leakage: Leakage | None = None
    rows_left_out: int = 0
    rows_cut: int = 0
    encoding_id: str | None = None
    proposed_cutoff_len: int | None = None
    available_credits: MicroCredits = 0
    error: ErrorDetail | None = None


def quote(
    session: Session, tenant_id: str, submission: Submission, *, actor: str = ""
) -> QuoteAnswer:
    """The exact price, the resolved spec, and what else one wants to know before the start."""
    request_hash = _hash(_priced_part(submission))
    asked = submission
    submission = with_seed(submission)
    made = prepare(session, tenant_id, submission)
    if made.waiting:
        return QuoteAnswer(status="preparing")
    try:
        spec, price = priced(submission, made)
    except TuneryError as error:
        return QuoteAnswer(status="refused", error=error.body()["error"])
    report = made.training.report or {}
    row = QuoteRow(
        id=new_id("quote-"),
        tenant_id=tenant_id,
        created_by=actor,
        request_hash=request_hash,
        spec=spec.model_dump(mode="json"),
        quote=price.model_dump(mode="json"),
        encoding_id=made.training.id,
        validation_encoding_id=made.validation.id if made.validation else None,
        expires_at=func.now() + text(f"interval '{settings().quote_minutes} min'"),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return QuoteAnswer(
        id=row.id,
        status="ready",
        expires_at=int(row.expires_at.timestamp()),
        quote=price,
        spec=spec,
        effective=effective(asked, spec, thinking=bool(report.get("thinking"))),
        duration=estimates.duration(
            made.base, tokens=price.trained_tokens, speeds=_speeds(session, spec)
        ),
        memory=estimates.memory(
            spec,
            made.base,
            longest_row=min(report.get("longest_row", 0), spec.hyperparameters.cutoff_len),
            available=settings().train_memory_bytes,
        ),
        queue=queue_place(session, tenant_id),
        leakage=_leakage(made),
        rows_left_out=made.left_out(),
        rows_cut=sum(int((file.report or {}).get("cut_rows", 0)) for file in made.files),
        encoding_id=made.training.id,
        proposed_cutoff_len=report.get("proposed_cutoff_len"),
        available_credits=ledger.balance(session, tenant_id).available,
    )


def queue_place(session: Session, tenant_id: str) -> QueuePlace:
    """What would be claimed before a job that the tenant submits now, over all tenants."""
    found = session.execute(
        text("SELECT ahead, running FROM queue_place(:tenant)"), {"tenant": tenant_id}
    ).one()
    return QueuePlace(ahead=found.ahead, running=found.running)


def _speeds(session: Session, spec: JobSpec) -> tuple[float, ...]:
    """Tokens a second of the latest runs on the same base and precision, over all tenants."""
    found = session.execute(
        text("SELECT speed FROM measured_speeds(:base, :precision)"),
        {"base": spec.base_model, "precision": spec.precision.value},
    )
    return tuple(float(row.speed) for row in found)


def _leakage(made: Prepared) -> Leakage | None:
    if made.leakage is None:
        return None
    return Leakage.model_validate((made.leakage.report or {}).get("leakage", {}))


def submit(
    session: Session,
    tenant_id: str,
    submission: Submission,
    *,
    actor: str,
    request_key: str | None = None,
    retried: bool = False,
) -> tuple[Job, bool]:
    """The job and whether it is new. The same request, repeated or retried, is the same job.

    Raises BadRequest, NotFound, InsufficientCredit, RateLimited; then nothing was made or held.
    """
    request_hash = _hash(submission)
    earlier = _same_request(
        session,
        tenant_id,
        actor,
        request_hash=request_hash,
        request_key=request_key,
        retried=retried,
    )
    if earlier:
        return earlier, False
    quotas.refuse_queue(session, tenant_id)
    agreed = _agreed(session, tenant_id, submission)
    if agreed is not None:
        submission = submission.model_copy(update={"seed": agreed.spec["seed"]})
    submission = with_seed(submission)
    # Priced before the row is made, so that a refusal leaves nothing behind.
    entry = agreed or _counted(session, tenant_id, submission)
    job = Job(
        id=new_id("ftjob-"),
        tenant_id=tenant_id,
        created_by=actor,
        request=submission.model_dump(mode="json", exclude_unset=True),
        request_key=request_key,
        request_hash=request_hash,
        suffix=submission.suffix,
        details={
            "model": submission.model,
            "metadata": submission.metadata,
            "seed": submission.seed,
        },
        status=JobStatus.VALIDATING_FILES,
        training_file=submission.training_file,
        validation_file=submission.validation_file,
        encoding_id=entry.encoding_id,
        validation_encoding_id=entry.validation_encoding_id,
        quote_id=agreed.id if agreed else None,
        last_seq=0,
        attempt=0,
    )
    price = pricing.Quote.model_validate(entry.quote) if entry.quote else None
    if price is not None:
        _hold(session, job, price)
    session.add(job)
    session.flush()
    _announce(session, job)
    if price is not None:
        _enqueue(session, job, JobSpec.model_validate(entry.spec), price)
    return job, True


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a new job begins with, as a quote would hold it; no price while files are read."""

    encoding_id: str
    validation_encoding_id: str | None
    spec: dict[str, Any] | None = None
    quote: dict[str, Any] | None = None


def _counted(session: Session, tenant_id: str, submission: Submission) -> _Counted:
    made = prepare(session, tenant_id, submission)
    validation_id = made.validation.id if made.validation else None
    if not made.waiting:
        spec, price = priced(submission, made)
        return _Counted(
            made.training.id,
            validation_id,
            spec.model_dump(mode="json"),
            price.model_dump(mode="json"),
        )
    if ledger.balance(session, tenant_id).available <= 0:
        raise InsufficientCredit(
            "There are no credits left. Redeem a voucher or ask your operator for credits."
        )
    return _Counted(made.training.id, validation_id)


def _agreed(session: Session, tenant_id: str, submission: Submission) -> QuoteRow | None:
    """The quote that the caller accepts, if it still stands and was made for this request."""
    if submission.quote_id is None:
        return None
    row = own(session, QuoteRow, submission.quote_id, tenant_id=tenant_id, param="quote_id")
    if row.request_hash != _hash(_priced_part(submission)):
        raise BadRequest(
            f"{row.id} was made for another request. Send the body it was made for, or ask for a "
            "new quote.",
            code="quote_mismatch",
            param="quote_id",
        )
    now = session.execute(select(func.now())).scalar_one()
    encodings = [row.encoding_id, row.validation_encoding_id]
    made = session.execute(
        select(Encoding.status).where(Encoding.id.in_([e for e in encodings if e]))
    ).scalars()
    if row.expires_at <= now or any(status != "ready" for status in made):
        raise BadRequest(
            f"{row.id} is no longer good: quotes hold for {settings().quote_minutes} minutes, and "
            "as long as their files are there. Ask for a new one.",
            code="quote_expired",
            param="quote_id",
        )
    return row


def admit_waiting(session: Session) -> None:
    """Price and queue every job whose encodings have come, or fail it with what is wrong.

    System transaction. Jobs that another worker is admitting are passed over.
    """
    validation = aliased(Encoding)
    jobs = session.execute(
        select(Job)
        .join(Encoding, Encoding.id == Job.encoding_id)
        .outerjoin(validation, validation.id == Job.validation_encoding_id)
        .where(
            Job.status == JobStatus.VALIDATING_FILES,
            Encoding.status != "pending",
            func.coalesce(validation.status, "none") != "pending",
        )
        .order_by(Job.tenant_id, Job.created_at)  # wallets are locked in one order everywhere
        .with_for_update(of=Job, skip_locked=True)
        .limit(100)
    ).scalars()
    for job in list(jobs):
        _admit(session, job)


def forget_quotes(session: Session) -> None:
    """Quotes that ran out and that no job was made from. System transaction."""
    used = select(Job.quote_id).where(Job.quote_id.is_not(None))
    session.execute(
        delete(QuoteRow).where(
            QuoteRow.expires_at < func.now() - text("interval '1 day'"), QuoteRow.id.not_in(used)
        )
    )


def find(session: Session, tenant_id: str, job_id: str) -> Job:
    return own(session, Job, job_id, tenant_id=tenant_id)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are wanted; all that is given must hold. `words` stand in the name or the id."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    statuses: Sequence[JobStatus] = ()
    model: str | None = None
    training_file: str | None = None
    words: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        for key, value in self.metadata.items():
            yield Job.details["metadata"][key].astext == value
        if self.statuses:
            yield Job.status.in_(self.statuses)
        if self.model:
            yield Job.details["model"].astext == self.model
        if self.training_file:
            yield Job.training_file == self.training_file
        if self.words:
            yield or_(
                Job.suffix.icontains(self.words, autoescape=True),
                Job.id.icontains(self.words, autoescape=True),
            )


def page(
    session: Session,
    tenant_id: str,
    *,
    after: str | None,
    limit: int,
    wanted: Filter = Filter(),
) -> list[Job]:
    """Newest first, up to `limit` + 1 so that the caller knows whether there are more."""
    query = select(Job).where(Job.tenant_id == tenant_id, *wanted.conditions())
    if after:
        place = select(Job.created_at, Job.id).where(Job.id == after, Job.tenant_id == tenant_id)
        found = session.execute(place).one_or_none()
        if found is None:
            return []
        query = query.where(func.row(Job.created_at, Job.id) < func.row(found[0], found[1]))
    query = query.order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
    return list(session.execute(query).scalars())


def checkpoints(session: Session, tenant_id: str, job_id: str) -> list[Checkpoint]:
    """Newest first."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.tenant_id == tenant_id)
    order = (Checkpoint.step.desc(), Checkpoint.attempt.desc())
    return list(session.execute(query.order_by(*order)).scalars())


def adapter(session: Session, job: Job) -> Adapter | None:
    query = select(Adapter).where(Adapter.job_id == job.id, Adapter.deleted_at.is_(None))
    return session.execute(query).scalar_one_or_none()


# -- below the verbs ------------------------------------------------------------------------------


def _admit(session: Session, job: Job) -> None:
    submission = parse(job.request)
    try:
        spec, price = priced(submission, prepared(session, job, submission))
        _hold(session, job, price)
    except TuneryError as error:
        body = {"code": error.code, "message": error.message, "param": error.param}
        move(session, job, JobStatus.FAILED, error.message, error=body)
    else:
        _enqueue(session, job, spec, price)


def _hold(session: Session, job: Job, price: pricing.Quote) -> None:
    quotas.refuse_spending(session, job.tenant_id, price.credits, actor=job.created_by)
    ledger.hold(
        session,
        job.tenant_id,
        price.credits,
        subject=job.id,
        reason="fine-tuning",
        actor=job.created_by,
    )


def _enqueue(session: Session, job: Job, spec: JobSpec, price: pricing.Quote) -> None:
    job.spec = spec.model_dump(mode="json")
    job.quote = price.model_dump(mode="json")
    job.total_steps = price.steps
    move(session, job, JobStatus.QUEUED, "Files validated, moving job to queued state")


def _announce(session: Session, job: Job) -> None:
    write(
        session,
        job,
        [
            Status(
                status=JobStatus.VALIDATING_FILES,
                message=f"Created fine-tuning job: {job.id}",
            )
        ],
    )


def _priced_part(submission: Submission) -> Submission:
    """What a quote depends on: all but the names a job may be given."""
    names = {"suffix", "metadata", "quote_id", "seed"}
    return Submission.model_validate(submission.model_dump(exclude_unset=True, exclude=names))


def _hash(submission: Submission) -> bytes:
    body = submission.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def _same_request(
    session: Session,
    tenant_id: str,
    actor: str,
    *,
    request_hash: bytes,
    request_key: str | None,
    retried: bool,
) -> Job | None:
    """The job that this request made before. Racing twins wait here for the first to commit."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('submit:' || :tenant, 0))"),
        {"tenant": tenant_id},
    )
    query = select(Job).where(Job.tenant_id == tenant_id)
    if request_key is not None:
        job = session.execute(query.where(Job.request_key == request_key)).scalar_one_or_none()
        if job and job.request_hash != request_hash:
            raise BadRequest(
                "This Idempotency-Key was used for another request. Use a new key.",
                code="idempotency_key_reuse",
                param="Idempotency-Key",
            )
        return job
    if not retried:
        return None
    young = func.now() - text(f"interval '{RETRY_WINDOW_SECONDS} s'")
    return session.execute(
        query.where(
            Job.created_by == actor, Job.request_hash == request_hash, Job.created_at > young
        )
        .order_by(Job.created_at.desc())
        .limit(1)
    ).scalar_one_or_none()
