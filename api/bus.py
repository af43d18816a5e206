"""Redis Streams: publish, follow. What is published is already in PostgreSQL.

So losing Redis loses nothing: a follower that finds a hole, or finds Redis gone, is told to look at
the table. `seq` is the stream id (`seq-0`), so Redis itself refuses doubles and latecomers.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import redis
import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from api.settings import settings

log = structlog.get_logger()

STREAM_EVENTS_MAX = 10_000
STREAM_SECONDS = 86_400
FOLLOWER_EVENTS_MAX = 1_000
RETRY_SECONDS = 1.0
FOLLOW_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One published event, encoded once for everybody: `data` is JSON."""

    seq: int
    type: str
    data: bytes

    def sse(self) -> bytes:
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.seq, self.type.encode(), self.data)


class Look:
    """Told to a follower in place of an entry: entries may have passed unseen; read the table."""


LOOK = Look()


def publish(stream: str, entries: Iterable[Entry]) -> None:
    """Append to a stream. A bus that is down is logged and passed over: the table has it all."""
    try:
        pipe = _client().pipeline(transaction=False)
        for entry in entries:
            pipe.xadd(
                stream,
                {b"t": entry.type.encode(), b"d": entry.data},
                id=f"{entry.seq}-0",
                maxlen=STREAM_EVENTS_MAX,
                approximate=True,
            )
        pipe.expire(stream, STREAM_SECONDS)
        for answer in pipe.execute(raise_on_error=False):
            # A latecomer (two writers committed in one order and published in the other) is refused
            # by Redis; followers see the hole and read the table.
            if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
                raise answer
    except RedisError as error:
        log.warning("bus.publish_failed", stream=stream, error=type(error).__name__)


def ping() -> bool:
    try:
        return bool(_client().ping())
    except RedisError:
        return False


def count_up(key: str, *, window_seconds: int) -> int:
    """How often this was called for `key` within its window; 0 when Redis cannot say."""
    try:
        pipe = _client().pipeline()
        pipe.incr(key)
        pipe.expire(key, window_seconds, nx=True)
        return int(pipe.execute()[0])
    except RedisError as error:
        log.warning("bus.count_failed", error=type(error).__name__)
        return 0


def forget(key: str) -> None:
    """Start counting anew."""
    try:
        _client().delete(key)
    except RedisError as error:
        log.warning("bus.forget_failed", error=type(error).__name__)


class Follower:
    """One watcher's bounded queue. A watcher too slow for it is cut off and resumes by its id."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Entry | Look] = asyncio.Queue(FOLLOWER_EVENTS_MAX)
        self.cut_off = False

    def offer(self, item: Entry | Look) -> None:
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            self.cut_off = True


class Hub:
    """Every follower of this process, with one reader a stream however many watch it."""

    def __init__(self) -> None:
        self._followers: dict[str, set[Follower]] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._redis = redis.asyncio.from_url(
            settings().redis_url,
            max_connections=1_000,
            socket_connect_timeout=2,
            socket_timeout=_timeout(FOLLOW_SECONDS),
            protocol=2,
        )

    @asynccontextmanager
    async def follow(self, stream: str) -> AsyncIterator[Follower]:
        """A follower whose first item is LOOK: from then on nothing published goes unseen."""
        follower = Follower()
        # No await between "is there a reader?" and "create one", or two would be made.
        followers = self._followers.setdefault(stream, set())
        followers.add(follower)
        if stream not in self._readers:
            self._readers[stream] = asyncio.create_task(self._read(stream))
        else:
            follower.offer(LOOK)
        try:
            yield follower
        finally:
            followers.discard(follower)
            if not followers:
                self._followers.pop(stream, None)
                if reader := self._readers.pop(stream, None):
                    reader.cancel()

    async def close(self) -> None:
        for reader in self._readers.values():
            reader.cancel()
        await self._redis.aclose()

    def _tell(self, stream: str, item: Entry | Look) -> None:
        for follower in self._followers.get(stream, ()):
            follower.offer(item)

    async def _read(self, stream: str) -> None:
        """Tell the stream's entries for ever; where Redis fails, LOOK once a second instead."""
        while True:
            try:
                last: Any = await self._redis.xrevrange(stream, count=1)
                position: bytes = last[0][0] if last else b"0-0"
                self._tell(stream, LOOK)
                while True:
                    for entry_id, entry in await _xread(
                        self._redis, stream, position, FOLLOW_SECONDS * 1_000
                    ):
                        position = entry_id
                        self._tell(stream, entry)
            except RedisError as error:
                log.warning("bus.read_failed", stream=stream, error=type(error).__name__)
                self._tell(stream, LOOK)
                await asyncio.sleep(RETRY_SECONDS)


async def read_all(stream: str, *, timeout_seconds: float) -> AsyncIterator[Entry]:
    """A short-lived stream from its beginning, for one reader; ends when nothing comes in time."""
    client = redis.asyncio.from_url(
        settings().redis_url,
        socket_connect_timeout=2,
        socket_timeout=_timeout(timeout_seconds),
        protocol=2,
    )
    position = b"0-0"
    try:
        while found := await _xread(client, stream, position, int(timeout_seconds * 1000)):
            for entry_id, entry in found:
                position = entry_id
                yield entry
    finally:
        await client.aclose()


def job_stream(job_id: str) -> str:
    return f"events:{job_id}"


def chat_stream(turn_id: str) -> str:
    return f"chat:{turn_id}"


def _timeout(block_seconds: float) -> float:
    """The driver gives up on a silent socket after 5 s unless told otherwise; a read that waits for
    news is silent for as long as it blocks."""
    return block_seconds + 5


async def _xread(
    client: redis.asyncio.Redis, stream: str, position: bytes, block_ms: int
) -> list[tuple[bytes, Entry]]:
    """What came after `position`, or nothing within `block_ms`."""
    answer: Any = await client.xread({stream: position}, count=500, block=block_ms)
    return (
        [(entry_id, _entry(entry_id, fields)) for entry_id, fields in answer[0][1]]
        if answer
        else []
    )


def _entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    return Entry(seq=int(entry_id.split(b"-")[0]), type=fields[b"t"].decode(), data=fields[b"d"])


@lru_cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings().redis_url,
        socket_timeout=5,
        socket_connect_timeout=2,
        max_connections=50,
        protocol=2,
    )
