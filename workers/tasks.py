"""Every task, a few lines each: a name, a transaction's edge, a verb."""

from functools import partial

from api import chat as chat_verbs
from api import datasets, dispatch, encodings, jobs, ledger, uploads, vouchers
from api.db import transaction
from api.settings import settings
from workers import chat, inspection, run
from workers.app import WARM, app

SWEEPS = (
    datasets.sweep,
    encodings.sweep,
    jobs.admit_waiting,
    jobs.forget_quotes,
    jobs.sweep,
    chat_verbs.sweep,
    vouchers.reward_referrals,
    partial(ledger.expire, every_seconds=settings().expire_seconds),
    uploads.sweep,
)


@app.task(name=dispatch.TRAIN)
def train() -> None:
    """Some job is queued: take jobs until none is left."""
    run.drain()


@app.task(name=dispatch.INSPECT)
def inspect(dataset_id: str) -> None:
    inspection.inspect(dataset_id)


@app.task(name=dispatch.ENCODE)
def encode(encoding_id: str) -> None:
    inspection.encode(encoding_id)


@app.task(name=dispatch.CHAT)
def answer(turn_id: str) -> None:
    chat.answer(turn_id)


@app.task(name=dispatch.SWEEP)
def sweep() -> None:
    """What beat rings for: everything that was not nudged, lost or left behind."""
    for verb in SWEEPS:
        with transaction() as session:
            verb(session)


@app.task(name=WARM["train"])
def warm_train() -> None:
    run.warm()


@app.task(name=WARM["chat"])
def warm_chat() -> None:
    chat.warm()
