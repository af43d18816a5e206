"""The legal moves of a job, and the one way to write its events.

The database refuses every other move (a trigger of the first migration). An event takes its `seq`
under the job row's lock, is stored in the same transaction as what it tells of, and is published
once that is durable; so what a watcher has seen can never be undone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from api import bus, dispatch
from api.db import after_commit
from api.events import TERMINAL, Event, JobStatus, Record, Status
from api.tables import Job, JobEvent

S = JobStatus
MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    S.VALIDATING_FILES: frozenset({S.QUEUED, S.FAILED, S.CANCELLED}),
    S.QUEUED: frozenset({S.RUNNING, S.PAUSED, S.FAILED, S.CANCELLED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.PAUSED, S.QUEUED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED, S.FAILED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}

_event: TypeAdapter[Event] = TypeAdapter(Event)


def move(
    session: Session,
    job: Job,
    to: JobStatus,
    message: str,
    *,
    error: dict[str, Any] | None = None,
) -> None:
    """Put a locked job into another status and say so in its events."""
    job.status = to
    if to != S.PAUSED:
        job.pause = None
    if to != S.RUNNING:
        job.lease_owner = job.lease_expires_at = None
    if to in TERMINAL:
        job.finished_at = datetime.now(UTC)
        job.error = error
    session.flush()
    write(session, job, [Status(status=to, message=message, attempt=job.attempt)])
    if to == S.QUEUED:
        after_commit(session, dispatch.train)


def write(session: Session, job: Job, events: Sequence[Event]) -> None:
    """Append events to a locked job."""
    first = job.last_seq + 1
    job.last_seq += len(events)
    session.flush()
    store(session, job.id, job.tenant_id, first, events)


def store(
    session: Session, job_id: str, tenant_id: str, first_seq: int, events: Sequence[Event]
) -> None:
    """Insert events whose numbers were taken, and publish them after the commit."""
    now = datetime.now(UTC)
    rows = [
        {
            "job_id": job_id,
            "seq": seq,
            "tenant_id": tenant_id,
            "type": event.type,
            "payload": event.model_dump(mode="json"),
            "created_at": now,
        }
        for seq, event in enumerate(events, first_seq)
    ]
    session.execute(insert(JobEvent), rows)
    entries = [_entry(row["job_id"], row["seq"], now, row["payload"]) for row in rows]  # type: ignore[arg-type]
    after_commit(session, partial(bus.publish, bus.job_stream(job_id), entries))


def events_after(session: Session, job_id: str, seq: int, *, limit: int = 1_000) -> list[bus.Entry]:
    """The job's events behind `seq`, in order, in the bytes that watchers get."""
    query = (
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.seq > seq)
        .order_by(JobEvent.seq)
        .limit(limit)
    )
    return [
        _entry(row.job_id, row.seq, row.created_at, row.payload)
        for row in session.execute(query).scalars()
    ]


def records_before(
    session: Session, job_id: str, *, before: int | None, limit: int
) -> list[Record]:
    """Newest first, for the OpenAI listing."""
    query = select(JobEvent).where(JobEvent.job_id == job_id)
    if before is not None:
        query = query.where(JobEvent.seq < before)
    rows = session.execute(query.order_by(JobEvent.seq.desc()).limit(limit)).scalars()
    return [_record(row) for row in rows]


def log_after(session: Session, job_id: str, seq: int, *, limit: int) -> list[Record]:
    """The events behind `seq` that are no steps, in order."""
    query = select(JobEvent).where(
        JobEvent.job_id == job_id, JobEvent.seq > seq, JobEvent.type != "step"
    )
    rows = session.execute(query.order_by(JobEvent.seq).limit(limit)).scalars()
    return [_record(row) for row in rows]


def _record(row: JobEvent) -> Record:
    return Record(
        job_id=row.job_id,
        seq=row.seq,
        at=row.created_at,
        event=_event.validate_python(row.payload),
    )


def _entry(job_id: str, seq: int, at: datetime, payload: dict[str, Any]) -> bus.Entry:
    body = {"job_id": job_id, "seq": seq, "at": at, "event": payload}
    return bus.Entry(seq=seq, type=payload["type"], data=orjson.dumps(body))
