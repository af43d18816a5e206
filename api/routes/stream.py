"""A job's events as they happen (SSE): the table's history and the bus's tail, joined by `seq`.

The route holds no database session while it waits. What a watcher missed, by a hole in the stream
or a Redis that is down, is read from the table, where everything was before it was published.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api import bus, jobs
from api.db import transaction
from api.errors import RateLimited
from api.events import TERMINAL
from api.routes import door
from api.routes.door import Who
from api.settings import settings

router = APIRouter(tags=["fine-tuning"])

QUIET_SECONDS = 10.0
"""How long nothing may come before the watcher gets a sign of life and the table a look."""

HISTORY_PAGE = 1_000

_open_streams: Counter[str] = Counter()


@router.get(
    "/fine_tuning/jobs/{job_id}/stream",
    response_class=StreamingResponse,
    responses=door.streams("The data of each event is a Record.", "Record"),
)
async def stream_job(
    job_id: str,
    request: Request,
    actor: Who,
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[int, Query(ge=0)] = 0,
) -> StreamingResponse:
    """Events from the first, or from behind `Last-Event-ID` or `after` (which is how one goes on
    from `/metrics` and `/log`); ends after the job's last."""
    last = int(last_event_id) if last_event_id and last_event_id.isdigit() else after

    def check() -> None:
        with transaction(actor.tenant_id) as session:
            jobs.find(session, actor.tenant_id, job_id)

    await run_in_threadpool(check)
    if _open_streams[actor.tenant_id] >= settings().sse_streams_max:
        raise RateLimited(
            f"{settings().sse_streams_max} streams are open already (sse_streams_max). Close one."
        )
    hub: bus.Hub = request.app.state.hub
    return StreamingResponse(
        _counted(actor.tenant_id, _watch(hub, actor.tenant_id, job_id, last)),
        media_type="text/event-stream",
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
    )


async def _counted(tenant_id: str, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    _open_streams[tenant_id] += 1
    try:
        async for frame in frames:
            yield frame
    finally:
        _open_streams[tenant_id] -= 1


async def _watch(hub: bus.Hub, tenant_id: str, job_id: str, last: int) -> AsyncIterator[bytes]:
    # A proxy that waits for a first byte, and a browser that shows "live", need not wait for news.
    yield b": here\n\n"
    async with hub.follow(bus.job_stream(job_id)) as follower:
        while not follower.cut_off:
            try:
                item = await asyncio.wait_for(follower.queue.get(), QUIET_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"
                item = bus.LOOK
            if isinstance(item, bus.Entry):
                if item.seq <= last:
                    continue
                if item.seq == last + 1:
                    last = item.seq
                    yield item.sse()
                    if _is_end(item):
                        return
                    continue
            async for entry in _history(tenant_id, job_id, last):
                last = entry.seq
                yield entry.sse()
                if _is_end(entry):
                    return


async def _history(tenant_id: str, job_id: str, after: int) -> AsyncIterator[bus.Entry]:
    """What the table holds behind `after`, a page at a time, with no session kept in between."""

    def page(seq: int) -> list[bus.Entry]:
        with transaction(tenant_id) as session:
            return jobs.events_after(session, job_id, seq, limit=HISTORY_PAGE)

    while True:
        entries = await run_in_threadpool(page, after)
        for entry in entries:
            after = entry.seq
            yield entry
        if len(entries) < HISTORY_PAGE:
            return


def _is_end(entry: bus.Entry) -> bool:
    return entry.type == "status" and orjson.loads(entry.data)["event"]["status"] in TERMINAL
