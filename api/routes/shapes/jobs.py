"""Jobs and what is theirs: events, metrics, checkpoints, the adapter, rows to try."""

from typing import Any, Literal, NotRequired

from api.errors import ErrorCode
from api.events import JobStatus, Level, Record
from api.jobs import Effective
from api.pricing import Quote
from api.routes.shapes import Paged, Shape
from api.rows.words import Role
from api.spec import JobSpec, Scheduler


class JobHyperparameters(Shape):
    """What was asked until the job is priced, then what it came to."""

    n_epochs: int | Literal["auto"]
    batch_size: int | Literal["auto"]
    learning_rate_multiplier: float | Literal["auto"]
    learning_rate: float | None
    cutoff_len: int | None
    warmup_ratio: float
    scheduler: Scheduler
    weight_decay: float
    max_grad_norm: float
    held_out_share: float
    eval_steps: int
    checkpoint_steps: int


class SupervisedMethod(Shape):
    hyperparameters: JobHyperparameters


class JobMethod(Shape):
    type: Literal["supervised"]
    supervised: SupervisedMethod


class JobError(Shape):
    """Why a job failed."""

    code: ErrorCode
    message: str
    param: str | None


class JobPause(Shape):
    """Why a paused job waits, and the price at which it goes on."""

    reason: Literal["out_of_credit"]
    quote: Quote


class Job(Shape):
    """OpenAI's FineTuningJob, and ours beside it. Moments are Unix seconds, credits are
    micro-credits."""

    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    error: JobError | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: JobHyperparameters
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: JobStatus
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    estimated_finish: int | None
    integrations: list[dict[str, Any]]
    metadata: dict[str, str] | None
    method: JobMethod
    name: str | None
    step: int
    total_steps: int
    loss: float | None
    tokens_per_second: float | None
    eta_seconds: float | None
    attempt: int
    pause: JobPause | None
    cancel_requested: bool
    held_credits: int
    charged_credits: int | None
    quote: Quote | None
    quote_id: str | None
    spec: JobSpec | None
    effective: dict[str, Effective] | None


class JobList(Paged):
    data: list[Job]


class JobEvent(Shape):
    """An event as OpenAI lists it: a level, a sentence, and numbers in `data`."""

    id: str
    object: Literal["fine_tuning.job.event"]
    created_at: int
    level: Level
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class JobEventList(Paged):
    data: list[JobEvent]


class JobLog(Shape):
    """Events as they are streamed, the oldest first. `last_seq` is the number of the last one that
    was looked at, shown or not: the next page, and the stream, go on behind it."""

    object: Literal["list"]
    data: list[Record]
    last_seq: int
    has_more: bool


class TrainMetrics(Shape):
    step: list[int]
    loss: list[float]
    learning_rate: list[float]
    grad_norm: list[float]
    tokens_per_second: list[float]
    trained_tokens: list[int]


class EvalMetrics(Shape):
    step: list[int]
    loss: list[float]
    token_accuracy: list[float]


class Metrics(Shape):
    """A job's curves by column, six digits each. Where an attempt stepped back to its checkpoint,
    what it repeated is not there twice."""

    object: Literal["metrics"]
    last_seq: int
    train: TrainMetrics
    eval: EvalMetrics


class CheckpointMetrics(Shape):
    step: int
    train_loss: NotRequired[float]
    full_valid_loss: NotRequired[float]
    full_valid_mean_token_accuracy: NotRequired[float]


class Checkpoint(Shape):
    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics
    trained_tokens: int


class CheckpointList(Paged):
    data: list[Checkpoint]


class AdapterFile(Shape):
    name: str
    bytes: int
    sha256: str


class Adapter(Shape):
    """A link to a tuned model's archive, and what is in it."""

    object: Literal["adapter"]
    id: str
    model: str
    url: str
    expires_in: int
    bytes: int
    manifest: dict[str, Any]
    files: list[AdapterFile]


class HeldOutCall(Shape):
    name: str
    arguments: str
    id: NotRequired[str]


class HeldOutMessage(Shape):
    role: Role
    content: str
    weight: NotRequired[Literal[0]]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[HeldOutCall]]
    name: NotRequired[str]
    tool_call_id: NotRequired[str]


class HeldOutRow(Shape):
    """A row that the job never trains on; `line` is the file's."""

    line: int
    messages: list[HeldOutMessage]


class HeldOutList(Shape):
    object: Literal["list"]
    data: list[HeldOutRow]
