"""What comes up from a run. The engine yields these; the shell numbers, stores and publishes them.

`Record` is an event with its place in the job's life: `seq` is at once the table key, the Redis
stream id and the SSE id.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api.spec import Frozen


class JobStatus(StrEnum):
    """OpenAI's words and no others: users map them with a plain dict."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


class Level(StrEnum):
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Status(Frozen):
    """The job moved to another status. The engine never yields this; verbs write it."""

    type: Literal["status"] = "status"
    status: JobStatus
    message: str
    attempt: int = 0


class Step(Frozen):
    """One optimizer step. `loss` is the mean over the supervised tokens of the whole step."""

    type: Literal["step"] = "step"
    step: int = Field(description="steps done, from 1")
    total_steps: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float = Field(description="before clipping")
    trained_tokens: int = Field(description="real tokens since the start of the job")
    tokens_per_second: float
    eta_seconds: float


class Eval(Frozen):
    """Loss and next-token accuracy on the held-out rows, averaged over supervised tokens."""

    type: Literal["eval"] = "eval"
    step: int
    epoch: float
    loss: float
    token_accuracy: float
    rows: int


class Sample(Frozen):
    """What the model says at this step to a fixed held-out prompt."""

    type: Literal["sample"] = "sample"
    step: int
    prompt: str
    text: str


class Saved(Frozen):
    """A checkpoint is complete in `folder`, relative to the run's output folder."""

    type: Literal["saved"] = "saved"
    step: int
    trained_tokens: int
    folder: str
    train_loss: float | None = None
    eval_loss: float | None = None
    eval_token_accuracy: float | None = None


NoticeCode = TypeAliasType(
    "NoticeCode",
    Literal[
        "base_loaded",
        "rows_skipped",
        "resumed",
        "checkpoint_damaged",
        "attempt_failed",
        "worker_lost",
        "cancel_requested",
        "out_of_credit",
        "extended",
        "extension_unpaid",
        "model_created",
    ],
)
"""Every code that a notice may carry. They are stable: clients compare them."""


class Notice(Frozen):
    """Something a person may want to know; numbers travel in `data`."""

    type: Literal["notice"] = "notice"
    level: Level = Level.INFO
    code: NoticeCode
    message: str
    data: Mapping[str, int | float | str] = Field(default_factory=dict)


EngineEvent = Step | Eval | Sample | Saved | Notice
Event = Annotated[Status | Step | Eval | Sample | Saved | Notice, Field(discriminator="type")]


class Record(Frozen):
    """An event as it is stored, published and streamed."""

    job_id: str
    seq: int
    at: datetime
    event: Event
