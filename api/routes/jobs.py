"""Fine-tuning jobs on OpenAI's wire, and quotes beside them."""

import re
from typing import Annotated, assert_never, cast

import orjson
from fastapi import APIRouter, Header, Query, Request, Response

from api import adapters, jobs, storage
from api.errors import NotFound
from api.events import TERMINAL, Eval, JobStatus, Level, Notice, Record, Sample, Saved, Status, Step
from api.jobs.admission import adapter as adapter_of
from api.jobs.metrics import POINTS, POINTS_MAX, curves
from api.jobs.moves import log_after, records_before
from api.pricing import Quote
from api.routes.door import InTenant, Limit, Who, listed, unix
from api.routes.shapes import jobs as shapes
from api.settings import settings
from api.spec import JobSpec
from api.tables import Checkpoint, Encoding, Job

router = APIRouter(tags=["fine-tuning"])

IdempotencyKey = Annotated[str | None, Header(max_length=255)]
After = Annotated[int, Query(ge=0, lt=2**62, description="events behind this `seq` only")]
LOG_EVENTS_MAX = 1_000


@router.post("/quotes")
def quote(body: jobs.Submission, actor: Who, session: InTenant) -> jobs.QuoteAnswer:
    """What a job would cost, to the micro-credit, and what everything left open comes to."""
    return jobs.quote(session, actor.tenant_id, body, actor=actor.name)


@router.post("/fine_tuning/jobs")
def create_job(
    body: jobs.Submission,
    actor: Who,
    session: InTenant,
    idempotency_key: IdempotencyKey = None,
    x_stainless_retry_count: Annotated[int, Header()] = 0,
) -> shapes.Job:
    """Row and hold in one transaction; the same request retried is the same job."""
    job, _ = jobs.submit(
        session,
        actor.tenant_id,
        body,
        actor=actor.name,
        request_key=idempotency_key,
        retried=x_stainless_retry_count > 0,
    )
    session.refresh(job)
    return job_object(session, job)


@router.get("/fine_tuning/jobs")
def list_jobs(
    request: Request,
    actor: Who,
    session: InTenant,
    limit: Limit,
    after: str | None = None,
    status: Annotated[list[JobStatus] | None, Query(description="any of these")] = None,
    model: Annotated[str | None, Query(description="the base model's id")] = None,
    training_file: str | None = None,
    q: Annotated[str | None, Query(max_length=100, description="in the name or the id")] = None,
) -> shapes.JobList:
    """Newest first. `metadata[key]=value` filters too; all filters must hold."""
    pairs = {
        match[1]: value
        for name, value in request.query_params.items()
        if (match := re.fullmatch(r"metadata\[(.{1,64})\]", name))
    }
    wanted = jobs.Filter(
        metadata=pairs,
        statuses=status or (),
        model=model,
        training_file=training_file,
        words=q,
    )
    found = jobs.page(session, actor.tenant_id, after=after, limit=limit, wanted=wanted)
    return listed([job_object(session, job) for job in found], limit)


@router.get("/fine_tuning/jobs/{job_id}")
def retrieve_job(job_id: str, actor: Who, session: InTenant) -> shapes.Job:
    return job_object(session, jobs.find(session, actor.tenant_id, job_id))


@router.post("/fine_tuning/jobs/{job_id}/cancel")
def cancel_job(job_id: str, actor: Who, session: InTenant) -> shapes.Job:
    """At once while nothing runs, else after the step that runs."""
    job = jobs.cancel(session, actor.tenant_id, job_id)
    session.flush()
    session.refresh(job)
    return job_object(session, job)


@router.post("/fine_tuning/jobs/{job_id}/resume")
def resume_job(job_id: str, actor: Who, session: InTenant) -> shapes.Job:
    """Hold what the paused job is short of and queue it again, from its last checkpoint."""
    job = jobs.resume(session, actor.tenant_id, job_id)
    session.flush()
    session.refresh(job)
    return job_object(session, job)


@router.get("/fine_tuning/jobs/{job_id}/events")
def list_events(
    job_id: str, actor: Who, session: InTenant, limit: Limit, after: str | None = None
) -> shapes.JobEventList:
    """Newest first, in OpenAI's words; the stream has every field."""
    job = jobs.find(session, actor.tenant_id, job_id)
    before = _seq_of(after, job_id) if after else None
    found = records_before(session, job.id, before=before, limit=limit + 1)
    return listed([event_object(record) for record in found], limit)


@router.get("/fine_tuning/jobs/{job_id}/log")
def job_log(
    job_id: str,
    actor: Who,
    session: InTenant,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=LOG_EVENTS_MAX)] = LOG_EVENTS_MAX,
) -> shapes.JobLog:
    """Every event but the steps, whole and in order; with `/metrics` it is a job's history."""
    job = jobs.find(session, actor.tenant_id, job_id)
    found = log_after(session, job.id, after, limit=limit + 1)
    shown = found[:limit]
    last = shown[-1].seq if shown else after
    more = len(found) > limit
    return {
        "object": "list",
        "data": shown,
        "last_seq": last if more else max(last, job.last_seq),
        "has_more": more,
    }


@router.get("/fine_tuning/jobs/{job_id}/metrics", response_model=shapes.Metrics)
def job_metrics(
    job_id: str,
    actor: Who,
    session: InTenant,
    after: After = 0,
    points: Annotated[
        int, Query(ge=2, le=POINTS_MAX, description="about so many steps, at even distances")
    ] = POINTS,
) -> Response:
    """The curves so far. The stream goes on `after` the `last_seq` of this answer.

    Behind `after`, a first step that is not above the last one known means that the run went back
    to a checkpoint: forget the points from that step on.
    """
    job = jobs.find(session, actor.tenant_id, job_id)
    last, train, held_out = curves(session, job.id, after=after, points=points)
    body = {
        "object": "metrics",
        "last_seq": last,
        "train": train.columns(),
        "eval": held_out.columns(),
    }
    # Thousands of numbers that were just made need no second look.
    return Response(orjson.dumps(body), media_type="application/json")


@router.get("/fine_tuning/jobs/{job_id}/checkpoints")
def list_checkpoints(
    job_id: str, actor: Who, session: InTenant, limit: Limit, after: str | None = None
) -> shapes.CheckpointList:
    job = jobs.find(session, actor.tenant_id, job_id)
    found = jobs.checkpoints(session, actor.tenant_id, job_id)
    if after:
        place = next((n for n, row in enumerate(found) if row.id == after), len(found))
        found = found[place + 1 :]
    tuned = adapter_of(session, job)
    name = tuned.name if tuned else f"ft:{job.details['model']}:{job.id}"
    return listed([_checkpoint(row, name) for row in found[: limit + 1]], limit)


@router.get("/fine_tuning/jobs/{job_id}/adapter")
def retrieve_adapter(job_id: str, actor: Who, session: InTenant) -> shapes.Adapter:
    """A link to the archive that is good for `presign_seconds`, and what is in it."""
    job = jobs.find(session, actor.tenant_id, job_id)
    found = adapter_of(session, job)
    if found is None:
        raise NotFound(
            f"{job_id} has no adapter: it is {job.status}."
            if job.status != JobStatus.SUCCEEDED
            else f"The adapter of {job_id} was deleted."
        )
    return {
        "object": "adapter",
        "id": found.id,
        "model": found.name,
        "url": adapters.link(found),
        "expires_in": settings().presign_seconds,
        "bytes": found.bytes,
        "manifest": found.manifest,
        "files": [
            {"name": name, "bytes": facts["bytes"], "sha256": facts["sha256"]}
            for name, facts in sorted(found.manifest["files"].items())
        ],
    }


@router.get("/fine_tuning/jobs/{job_id}/held_out")
def list_held_out(job_id: str, actor: Who, session: InTenant, limit: Limit) -> shapes.HeldOutList:
    """Rows that the job never trains on, as messages: what to try the tuned model with."""
    job = jobs.find(session, actor.tenant_id, job_id)
    encoding = session.get(Encoding, job.validation_encoding_id or job.encoding_id)
    if encoding is None or encoding.status != "ready":
        return {"object": "list", "data": []}
    rows = storage.get_json(
        storage.encoding_prefix(actor.tenant_id, encoding.id) + storage.HELD_OUT
    )
    return {"object": "list", "data": rows[:limit]}


def job_object(session: InTenant, job: Job) -> shapes.Job:
    """OpenAI's FineTuningJob, whole, and what we add beside it."""
    tuned = adapter_of(session, job) if job.status == JobStatus.SUCCEEDED else None
    knobs = _hyperparameters(job)
    progress = job.progress or {}
    running = job.status == JobStatus.RUNNING
    eta = progress.get("eta_seconds") if running else None
    done = job.status in TERMINAL
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": unix(job.created_at),
        "error": cast("shapes.JobError | None", job.error),
        "fine_tuned_model": tuned.name if tuned else None,
        "finished_at": unix(job.finished_at),
        "hyperparameters": knobs,
        "model": job.details["model"],
        "organization_id": job.tenant_id,
        "result_files": [],
        "seed": job.details["seed"],
        "status": JobStatus(job.status),
        "trained_tokens": job.trained_tokens if done else None,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "estimated_finish": _estimated_finish(job, eta),
        "integrations": [],
        "metadata": job.details.get("metadata"),
        "method": {"type": "supervised", "supervised": {"hyperparameters": knobs}},
        # Ours.
        "name": job.suffix,
        "step": job.step,
        "total_steps": job.total_steps,
        "loss": progress.get("loss"),
        "tokens_per_second": progress.get("tokens_per_second"),
        "eta_seconds": eta,
        "attempt": job.attempt,
        "pause": cast("shapes.JobPause | None", job.pause),
        "cancel_requested": job.cancel_requested_at is not None,
        "held_credits": 0 if done else (job.quote or {}).get("credits", 0),
        "charged_credits": job.charged_credits,
        "quote": Quote.model_validate(job.quote) if job.quote else None,
        "quote_id": job.quote_id,
        "spec": JobSpec.model_validate(job.spec) if job.spec else None,
        "effective": _effective(job),
    }


def _effective(job: Job) -> dict[str, jobs.Effective] | None:
    """Every setting and where it comes from, once the job is priced."""
    if job.spec is None:
        return None
    asked = jobs.Submission.model_validate(job.request)
    return jobs.effective(asked, JobSpec.model_validate(job.spec))


def event_object(record: Record) -> shapes.JobEvent:
    """An event as OpenAI lists it: a level, a sentence, and numbers in `data`."""
    event = record.event
    level, message, data = Level.INFO, "", event.model_dump(mode="json", exclude={"type"})
    match event:
        case Status():
            message = event.message
            if event.status == JobStatus.FAILED:
                level = Level.ERROR
        case Step():
            message = f"Step {event.step}/{event.total_steps}: training loss={event.loss:.2f}"
            data["train_loss"] = event.loss
        case Notice():
            level, message = event.level, event.message
        case Saved():
            message = f"Checkpoint created at step {event.step}"
        case Eval():
            message = f"Step {event.step}: validation loss={event.loss:.2f}"
            data["valid_loss"] = event.loss
            data["valid_mean_token_accuracy"] = event.token_accuracy
        case Sample():
            message = f"Step {event.step}: sample generated"
        case _:
            assert_never(event)
    return {
        "id": f"ftevent-{record.job_id.removeprefix('ftjob-')}-{record.seq}",
        "object": "fine_tuning.job.event",
        "created_at": unix(record.at),
        "level": level,
        "message": message,
        "type": "metrics" if event.type in ("step", "eval") else "message",
        "data": data,
    }


def _seq_of(cursor: str, job_id: str) -> int:
    """The place an event id names; 0, and so an empty page, for one that is not of this job."""
    match = re.fullmatch(
        rf"ftevent-{re.escape(job_id.removeprefix('ftjob-'))}-(\d{{1,18}})", cursor
    )
    return int(match[1]) if match else 0


def _hyperparameters(job: Job) -> shapes.JobHyperparameters:
    """What was asked until the job is priced, then what it came to."""
    asked = jobs.Submission.model_validate(job.request).wire_hyperparameters()
    knobs = job.spec["hyperparameters"] if job.spec else asked.model_dump(mode="json")
    openais = ("n_epochs", "batch_size", "learning_rate_multiplier")
    named = asked.model_dump() | knobs
    known = knobs | {name: "auto" if named[name] is None else named[name] for name in openais}
    return cast("shapes.JobHyperparameters", known)


def _estimated_finish(job: Job, eta_seconds: float | None) -> int | None:
    if eta_seconds is None or job.lease_expires_at is None:
        return None
    heard = job.lease_expires_at.timestamp() - settings().lease_seconds
    return int(heard + eta_seconds)


def _checkpoint(row: Checkpoint, model: str) -> shapes.Checkpoint:
    names = {
        "train_loss": "train_loss",
        "eval_loss": "full_valid_loss",
        "eval_token_accuracy": "full_valid_mean_token_accuracy",
    }
    metrics = {names[k]: v for k, v in row.metrics.items() if k in names and v is not None}
    return {
        "id": row.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": unix(row.created_at),
        "fine_tuned_model_checkpoint": f"{model}:ckpt-step-{row.step}",
        "fine_tuning_job_id": row.job_id,
        "step_number": row.step,
        "metrics": cast("shapes.CheckpointMetrics", {"step": row.step} | metrics),
        "trained_tokens": row.trained_tokens,
    }
