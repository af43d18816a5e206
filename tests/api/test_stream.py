"""A watcher sees every event once and in order, whatever happens to Redis or to the connection."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import redis
import uvicorn

from api import bus, jobs
from api.app import create_app
from api.db import transaction
from api.events import Notice
from api.jobs.moves import write
from api.settings import settings
from tests.api import given
from tests.api.given import Person


@pytest.fixture
def server(engines: object) -> Iterator[str]:
    """A real server: the in-process client cannot read a stream while it is written."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(
        uvicorn.Config(create_app(), port=port, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        threading.Event().wait(0.02)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join()


def say(job_id: str, *texts: str) -> None:
    with transaction() as session:
        job = given.job(session, job_id)
        write(session, job, [Notice(code="resumed", message=text) for text in texts])


def cancel(who: Person, job_id: str) -> None:
    with transaction(who.tenant_id) as session:
        jobs.cancel(session, who.tenant_id, job_id)


@asynccontextmanager
async def watching(
    server: str, who: Person, job_id: str, after: int = 0
) -> AsyncIterator[AsyncIterator[tuple[int, dict[str, object]]]]:
    url = f"{server}/v1/fine_tuning/jobs/{job_id}/stream"
    headers = who.headers | {"last-event-id": str(after)}
    async with (
        httpx.AsyncClient(timeout=20) as http,
        http.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200
        yield _frames(response)


async def _frames(response: httpx.Response) -> AsyncIterator[tuple[int, dict[str, object]]]:
    seq = 0
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            seq = int(line[4:])
        elif line.startswith("data: "):
            yield seq, json.loads(line[6:])["event"]


async def all_of(server: str, who: Person, job_id: str, after: int = 0) -> list[int]:
    async with watching(server, who, job_id, after) as frames:
        return [seq async for seq, _ in frames]


def test_history_and_tail_are_joined_without_gap_or_double(server: str, who: Person) -> None:
    job_id = given.queued_job(who)
    say(job_id, *"abc")

    async def watch() -> list[int]:
        async with watching(server, who, job_id) as frames:
            seen = [(await anext(frames))[0] for _ in range(5)]
            for text in "defg":
                await asyncio.to_thread(say, job_id, text)
            await asyncio.to_thread(cancel, who, job_id)
            return seen + [seq async for seq, _ in frames]

    assert asyncio.run(watch()) == list(range(1, 11))


def test_a_watcher_that_comes_back_gets_what_it_missed(server: str, who: Person) -> None:
    job_id = given.queued_job(who)
    say(job_id, *"abcdef")
    cancel(who, job_id)
    assert asyncio.run(all_of(server, who, job_id, after=4)) == [5, 6, 7, 8, 9]


def test_a_stream_ends_with_the_job_for_late_watchers_too(server: str, who: Person) -> None:
    job_id = given.queued_job(who)
    cancel(who, job_id)
    assert asyncio.run(all_of(server, who, job_id)) == [1, 2, 3]


def test_many_watchers_share_one_reader_and_all_see_everything(server: str, who: Person) -> None:
    job_id = given.queued_job(who)

    async def watch() -> list[list[int]]:
        tasks = [asyncio.create_task(all_of(server, who, job_id)) for _ in range(10)]
        await asyncio.sleep(0.5)
        for number in range(30):
            await asyncio.to_thread(say, job_id, str(number))
        await asyncio.to_thread(cancel, who, job_id)
        return await asyncio.gather(*tasks)

    assert asyncio.run(watch()) == [list(range(1, 34))] * 10


def test_a_hole_in_the_stream_is_filled_from_the_table(server: str, who: Person) -> None:
    """Somebody's publication was lost, or came too late: Redis misses it, the watcher does not."""
    job_id = given.queued_job(who)
    client = redis.Redis.from_url(settings().redis_url)

    async def watch() -> list[int]:
        async with watching(server, who, job_id) as frames:
            seen = [(await anext(frames))[0] for _ in range(2)]
            stream = bus.job_stream(job_id)
            with transaction() as session:
                job = given.job(session, job_id)
                write(session, job, [Notice(code="resumed", message="unheard")])
                session.info.clear()  # forget to publish
            assert client.xlen(stream) == 2
            await asyncio.to_thread(say, job_id, "heard")
            seen += [(await anext(frames))[0] for _ in range(2)]
            client.delete(stream)
            await asyncio.to_thread(say, job_id, "after the flush")
            seen.append((await anext(frames))[0])
            return seen

    assert asyncio.run(watch()) == [1, 2, 3, 4, 5]


def test_too_many_streams_of_a_tenant_are_refused(server: str, who: Person) -> None:
    job_id = given.queued_job(who)
    url = f"{server}/v1/fine_tuning/jobs/{job_id}/stream"

    async def open_one(http: httpx.AsyncClient) -> int:
        request = http.build_request("GET", url, headers=who.headers)
        return (await http.send(request, stream=True)).status_code

    async def watch() -> list[int]:
        async with httpx.AsyncClient(timeout=20) as http:
            return [await open_one(http) for _ in range(settings().sse_streams_max + 1)]

    statuses = asyncio.run(watch())
    assert statuses == [200] * settings().sse_streams_max + [429]


def test_an_answer_that_lets_wait_for_it_is_heard(engines: object) -> None:
    """The driver's own patience with a silent socket ends after five seconds."""
    stream = bus.chat_stream("turn-late")

    async def listen() -> list[bus.Entry]:
        heard = bus.read_all(stream, timeout_seconds=20)
        asyncio.get_running_loop().call_later(6, bus.publish, stream, [late])
        return [await anext(heard)]

    late = bus.Entry(seq=1, type="delta", data=b"{}")
    assert asyncio.run(listen()) == [late]
