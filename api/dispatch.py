"""Celery's sending side: task names and ids, and who is there. The row is the truth; this rings.

A message that cannot be sent is logged and forgotten: the sweep rings again for whatever waits.
Call these through `db.after_commit`, so that a worker never looks before the row is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from api.settings import settings

log = structlog.get_logger()

TRAIN = "workers.train"
INSPECT = "workers.inspect"
ENCODE = "workers.encode"
CHAT = "workers.chat"
SWEEP = "workers.sweep"

QUEUES = {TRAIN: "train", INSPECT: "cpu", ENCODE: "cpu", SWEEP: "cpu", CHAT: "chat"}


NUDGE_SECONDS = 60
"""A message nobody took in this time is no use: the sweep has rung again since."""


def train() -> None:
    """Some job is queued: whoever trains, look at the table."""
    _send(TRAIN)


def inspect(dataset_id: str) -> None:
    _send(INSPECT, dataset_id)


def encode(encoding_id: str) -> None:
    _send(ENCODE, encoding_id)


def chat(turn_id: str) -> None:
    _send(CHAT, turn_id)


@dataclass(frozen=True, slots=True)
class Node:
    """A worker that answered: its processes, the queues it takes from, the tasks it is at."""

    name: str
    host: str
    pids: tuple[int, ...]
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    uptime_seconds: int


def nodes(*, timeout_seconds: float = 1.0) -> tuple[Node, ...] | None:
    """Every worker that answers in time, by name; None where nobody could be asked."""
    inspect = partial(_app().control.inspect, timeout=timeout_seconds)
    try:
        with _app().connection_for_write() as connection:
            # Asked for once: Celery itself would try again and again.
            connection.ensure_connection(max_retries=1, timeout=1)
            stats: Mapping[str, Any] = inspect(connection=connection).stats() or {}
            if not stats:
                return ()
            # All are known now, so that nobody waits longer than the slowest of them.
            ask = inspect(list(stats), limit=len(stats), connection=connection)
            queues: Mapping[str, Sequence[Any]] = ask.active_queues() or {}
            tasks: Mapping[str, Sequence[Any]] = ask.active() or {}
    except (OperationalError, RedisError, OSError) as error:
        log.warning("dispatch.inspect_failed", error=type(error).__name__)
        return None
    return tuple(
        Node(
            name=name,
            host=name.partition("@")[2],
            pids=_pids(stats[name]),
            queues=tuple(sorted(str(queue["name"]) for queue in queues.get(name, []))),
            tasks=tuple(str(task["name"]) for task in tasks.get(name, [])),
            uptime_seconds=int(stats[name]["uptime"]),
        )
        for name in sorted(stats)
    )


def _pids(stats: Mapping[str, Any]) -> tuple[int, ...]:
    """The main process, and its children where the pool has some."""
    children = (stats.get("pool") or {}).get("processes") or ()
    return (int(stats["pid"]), *(int(pid) for pid in children))


def _send(task: str, *args: str) -> None:
    try:
        _app().send_task(
            task,
            args=args,
            queue=QUEUES[task],
            expires=NUDGE_SECONDS,
            ignore_result=True,
            retry=False,
        )
    except (OperationalError, RedisError, OSError) as error:
        log.warning("dispatch.failed", task=task, error=type(error).__name__)


@lru_cache
def _app() -> Celery:
    app = Celery(broker=settings().redis_url)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2},
    )
    return app
