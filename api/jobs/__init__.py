"""A job's life, verb by verb: quote, submit, claim, record, checkpoint, finish, cancel, sweep.

`request` turns what was asked into a spec, `preparing` finds what it is counted on, `admission`
quotes it and takes it into the queue, `moves` holds the legal moves and writes events, `lease` is
what a worker does with it, `pausing` stops it and lets it go on, `settle` ends it.
"""

from api.jobs.admission import (
    QuoteAnswer,
    admit_waiting,
    checkpoints,
    find,
    forget_quotes,
    page,
    quote,
    submit,
)
from api.jobs.lease import Beat, Claim, Fenced, beat, checkpoint, claim, record
from api.jobs.moves import MOVES, events_after
from api.jobs.pausing import OUT_OF_CREDIT, pause_for_credit, resume
from api.jobs.request import Submission
from api.jobs.settle import cancel, cancelled, fail, finish, hand_back, sweep

__all__ = [
    "MOVES",
    "OUT_OF_CREDIT",
    "Beat",
    "Claim",
    "Fenced",
    "QuoteAnswer",
    "Submission",
    "admit_waiting",
    "beat",
    "cancel",
    "cancelled",
    "checkpoint",
    "checkpoints",
    "claim",
    "events_after",
    "fail",
    "find",
    "finish",
    "forget_quotes",
    "hand_back",
    "page",
    "pause_for_credit",
    "quote",
    "record",
    "resume",
    "submit",
    "sweep",
]
