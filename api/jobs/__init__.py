"""A job's life, verb by verb: quote, submit, claim, record, checkpoint, extend, finish, cancel, …

`request` turns what was asked into a spec, `preparing` finds what it is counted on, `admission`
quotes it and takes it into the queue, `moves` holds the legal moves and writes events, `lease` is
what a worker does with it, `pausing` stops it and lets it go on, `extending` makes it longer,
`settle` ends it. `metrics` makes curves of its events.
"""

from api.jobs.admission import (
    Filter,
    QuoteAnswer,
    admit_waiting,
    checkpoints,
    find,
    forget_quotes,
    page,
    quote,
    submit,
)
from api.jobs.extending import ExtensionQuote, extend, quote_extension
from api.jobs.lease import Beat, Claim, Extended, Fenced, beat, checkpoint, claim, record
from api.jobs.moves import MOVES, events_after
from api.jobs.pausing import OUT_OF_CREDIT, pause_for_credit, resume
from api.jobs.request import Effective, Submission, effective
from api.jobs.settle import cancel, cancelled, fail, finish, hand_back, step_aside, sweep

__all__ = [
    "MOVES",
    "OUT_OF_CREDIT",
    "Beat",
    "Claim",
    "Effective",
    "Extended",
    "ExtensionQuote",
    "Fenced",
    "Filter",
    "QuoteAnswer",
    "Submission",
    "admit_waiting",
    "beat",
    "cancel",
    "cancelled",
    "checkpoint",
    "checkpoints",
    "claim",
    "effective",
    "events_after",
    "extend",
    "fail",
    "find",
    "finish",
    "forget_quotes",
    "hand_back",
    "page",
    "pause_for_credit",
    "quote",
    "quote_extension",
    "record",
    "resume",
    "step_aside",
    "submit",
    "sweep",
]
