"""Into the queue: what a job would cost, and the row and the hold that make it one.

A file that is still being read cannot be priced, so a job may be born `validating_files`, without a
hold; `admit_waiting` prices it when the encoding is there. Row and hold are one transaction, then
as at submit.
"""

import hashlib
from typing import Any, Literal

import orjson
from pydantic import Field
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, aliased

from api import datasets, ledger, pricing
from api.catalog import BaseModel, base_model
from api.errors import BadRequest, InsufficientCredit, RateLimited, TuneryError
from api.events import JobStatus, Status
from api.jobs.moves import move, write
from api.jobs.request import (
    Submission,
    check,
    cutoff_len,
    held_out_share,
    origins,
    parse,
    resolve,
    with_seed,
)
from api.money import MicroCredits
from api.settings import settings
from api.spec import Frozen, JobSpec
from api.tables import Adapter, Checkpoint, Dataset, Encoding, Job, new_id, own

RETRY_WINDOW_SECONDS = 600
"""A client that retries by itself, without a key, means its first request if that is this young."""


class QuoteAnswer(Frozen):
    """What a job would be. `preparing`: ask again shortly; `refused`: `error` says why."""

    object: Literal["quote"] = "quote"
    status: Literal["preparing", "ready", "refused"]
    quote: pricing.Quote | None = None
    spec: JobSpec | None = None
    origins: dict[str, str] = Field(default_factory=dict)
    rows_left_out: int = 0
    available_credits: MicroCredits = 0
    error: dict[str, Any] | None = None


def quote(session: Session, tenant_id: str, submission: Submission) -> QuoteAnswer:
    """The exact price and the resolved spec, without making anything but the encoding it needs."""
    base, encoding, validation = _encodings(session, tenant_id, with_seed(submission))
    if _waiting(encoding, validation):
        return QuoteAnswer(status="preparing")
    try:
        spec, price = _priced(submission, base, encoding, validation)
    except TuneryError as error:
        return QuoteAnswer(status="refused", error=error.body()["error"])
    return QuoteAnswer(
        status="ready",
        quote=price,
        spec=spec,
        origins=origins(submission),
        rows_left_out=_left_out(encoding),
        available_credits=ledger.balance(session, tenant_id).available,
    )


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
    made = _same_request(
        session,
        tenant_id,
        actor,
        request_hash=request_hash,
        request_key=request_key,
        retried=retried,
    )
    if made:
        return made, False
    _refuse_flood(session, tenant_id)
    submission = with_seed(submission)
    base, encoding, validation = _encodings(session, tenant_id, submission)
    if _waiting(encoding, validation) and ledger.balance(session, tenant_id).available <= 0:
        raise InsufficientCredit(
            "There are no credits left. Redeem a voucher or ask your operator for credits."
        )
    job = Job(
        id=new_id("ftjob-"),
        tenant_id=tenant_id,
        created_by=actor,
        request=submission.model_dump(mode="json", exclude_unset=True),
        request_key=request_key,
        request_hash=request_hash,
        suffix=submission.suffix,
        details={"model": base.id, "metadata": submission.metadata, "seed": submission.seed},
        status=JobStatus.VALIDATING_FILES,
        training_file=submission.training_file,
        validation_file=submission.validation_file,
        encoding_id=encoding.id,
        validation_encoding_id=validation.id if validation else None,
        last_seq=0,
        attempt=0,
    )
    if _waiting(encoding, validation):
        session.add(job)
        session.flush()
        _announce(session, job)
        return job, True
    # Priced before the row is made, so that a refusal leaves nothing behind.
    spec, price = _priced(submission, base, encoding, validation)
    _hold(session, job, price)
    session.add(job)
    session.flush()
    _announce(session, job)
    _enqueue(session, job, spec, price)
    return job, True


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
        .order_by(Job.created_at)
        .with_for_update(of=Job, skip_locked=True)
        .limit(100)
    ).scalars()
    for job in list(jobs):
        _admit(session, job)


def find(session: Session, tenant_id: str, job_id: str) -> Job:
    return own(session, Job, job_id, tenant_id=tenant_id)


def page(
    session: Session,
    tenant_id: str,
    *,
    after: str | None,
    limit: int,
    metadata: dict[str, str] | None = None,
) -> list[Job]:
    """Newest first, up to `limit` + 1 so that the caller knows whether there are more."""
    query = select(Job).where(Job.tenant_id == tenant_id)
    for key, value in (metadata or {}).items():
        query = query.where(Job.details["metadata"][key].astext == value)
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


def _encodings(
    session: Session, tenant_id: str, submission: Submission
) -> tuple[BaseModel, Encoding, Encoding | None]:
    base = check(submission)
    cutoff = cutoff_len(submission, base)
    training = _trainable(session, tenant_id, submission.training_file, param="training_file")
    encoding = datasets.want_encoding(
        session,
        training,
        base=base,
        cutoff_len=cutoff,
        held_out_share=held_out_share(submission),
    )
    if submission.validation_file is None:
        return base, encoding, None
    held_out = _trainable(session, tenant_id, submission.validation_file, param="validation_file")
    validation = datasets.want_encoding(
        session, held_out, base=base, cutoff_len=cutoff, held_out_share=0.0
    )
    return base, encoding, validation


def _trainable(session: Session, tenant_id: str, dataset_id: str, *, param: str) -> Dataset:
    dataset = own(session, Dataset, dataset_id, tenant_id=tenant_id, param=param)
    if dataset.purpose != "fine-tune":
        raise BadRequest(
            f"{dataset_id} was uploaded for {dataset.purpose!r}. Upload it again with the purpose "
            '"fine-tune".',
            code="invalid_file_purpose",
            param=param,
        )
    return dataset


def _waiting(encoding: Encoding, validation: Encoding | None) -> bool:
    return "pending" in (encoding.status, validation.status if validation else "ready")


def _left_out(encoding: Encoding) -> int:
    report = encoding.report or {}
    return int(report.get("bad_rows", 0)) + int(report.get("too_long_rows", 0))


def _priced(
    submission: Submission, base: BaseModel, encoding: Encoding, validation: Encoding | None
) -> tuple[JobSpec, pricing.Quote]:
    """Spec and price, or BadRequest with everything that is wrong with the files."""
    for found, param in ((encoding, "training_file"), (validation, "validation_file")):
        if found is not None:
            _refuse_bad_rows(found, param=param, accepted=submission.tuning.skip_bad_rows)
    report = encoding.report or {}
    counts = pricing.TokenCounts(
        train_rows=report["train_rows"],
        train_tokens=report["train_tokens"],
        held_out_rows=report["held_out_rows"],
        held_out_tokens=report["held_out_tokens"],
    )
    spec = resolve(submission, base, train_rows=counts.train_rows)
    return spec, pricing.quote(spec, counts, base)


def _refuse_bad_rows(encoding: Encoding, *, param: str, accepted: bool) -> None:
    report = encoding.report or {}
    if encoding.status == "failed":
        raise BadRequest(
            report.get("fault", "The file cannot be encoded."),
            code="invalid_training_file",
            param=param,
        )
    left_out = _left_out(encoding)
    if left_out and not accepted:
        lines = "; ".join(f"line {p['line']}: {p['message']}" for p in report["problems"][:10])
        raise BadRequest(
            f"{left_out} rows of {encoding.dataset_id} cannot be trained on. {lines}"
            f"{' …' if left_out > 10 else ''} All are listed at "
            f"/v1/files/{encoding.dataset_id}/report. Mend them, or send "
            '"tuning": {"skip_bad_rows": true} to leave them out.',
            code="invalid_training_file",
            param=param,
        )


def _admit(session: Session, job: Job) -> None:
    submission = parse(job.request)
    encoding = session.execute(select(Encoding).where(Encoding.id == job.encoding_id)).scalar_one()
    validation = session.get(Encoding, job.validation_encoding_id or "")
    try:
        spec, price = _priced(submission, base_model(submission.model), encoding, validation)
        _hold(session, job, price)
    except TuneryError as error:
        body = {"code": error.code, "message": error.message, "param": error.param}
        move(session, job, JobStatus.FAILED, error.message, error=body)
    else:
        _enqueue(session, job, spec, price)


def _hold(session: Session, job: Job, price: pricing.Quote) -> None:
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


def _refuse_flood(session: Session, tenant_id: str) -> None:
    waiting = session.execute(
        select(func.count())
        .select_from(Job)
        .where(
            Job.tenant_id == tenant_id,
            Job.status.in_([JobStatus.VALIDATING_FILES, JobStatus.QUEUED]),
        )
    ).scalar_one()
    if waiting >= settings().queued_jobs_max:
        raise RateLimited(
            f"{waiting} of your jobs wait already, and {settings().queued_jobs_max} is the most "
            "(queued_jobs_max). Wait for one to start, or cancel one.",
            code="queued_jobs_max",
        )


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
