"""Celery's sending side: task names and ids, nothing else. The row is the truth; this is the bell.

A message that cannot be sent is logged and forgotten: the sweep rings again for whatever waits.
Call these through `db.after_commit`, so that a worker never looks before the row is there.
"""

from functools import lru_cache

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
