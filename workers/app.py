"""The Celery app: queues (train, cpu, chat), limits, beat.

Messages are acknowledged before the work: a message is only a nudge to look at the table, and a
job's row, lease and attempt are what survives a worker. So nothing here is ever redelivered.
"""

import logging

from celery import Celery
from celery.signals import setup_logging, worker_process_init, worker_ready

from api import db, dispatch, logs
from api.settings import settings

WARM = {"train": "workers.warm_train", "chat": "workers.warm_chat"}


def make_app() -> Celery:
    app = Celery("tunery", broker=settings().redis_url, include=["workers.tasks"])
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_routes={task: {"queue": queue} for task, queue in dispatch.QUEUES.items()},
        worker_prefetch_multiplier=1,
        # Without it one nudge would be held behind the job that runs, while another worker idles.
        worker_disable_prefetch=True,
        worker_soft_shutdown_timeout=3.0,
        worker_hijack_root_logger=False,
        worker_proc_alive_timeout=60.0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_connect_timeout": 5, "socket_keepalive": True},
        beat_schedule={
            "sweep": {
                "task": dispatch.SWEEP,
                "schedule": settings().sweep_seconds,
                # A sweep that was not taken before the next one is no use to anybody.
                "options": {"queue": "cpu", "expires": settings().sweep_seconds * 2},
            }
        },
        timezone="UTC",
    )
    return app


app = make_app()


@setup_logging.connect
def _configure_logs(**_: object) -> None:
    """One line an event, key=value; libraries only where something is wrong."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("celery.worker").setLevel(logging.INFO)
    logging.getLogger("celery.apps.worker").setLevel(logging.INFO)
    logs.configure()


@worker_process_init.connect
def _start_clean(**_: object) -> None:
    """A forked child must not speak on its parent's database connections."""
    db.dispose()


@worker_ready.connect
def _warm(sender: object, **_: object) -> None:
    """Load the default base before the first job asks for it."""
    queues = sender.task_consumer.queues  # type: ignore[attr-defined]
    for queue in queues:
        name = getattr(queue, "name", queue)
        if name in WARM:
            app.send_task(WARM[name], queue=name, ignore_result=True)
