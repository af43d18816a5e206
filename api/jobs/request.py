"""What a caller asks for, in OpenAI's body and ours, and the spec it comes to.

Everything is optional but the model and the file. `"auto"` and absent are the same: we choose, by
the rules in `resolve`, and say so in the quote.
"""

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from api.catalog import BaseModel, base_model
from api.encodings import DEFAULT_HELD_OUT_SHARE, WEIGHT_MAX, default_cutoff
from api.errors import BadRequest
from api.settings import settings
from api.spec import (
    BATCH_SIZE_MAX,
    CUTOFF_LEN_MAX,
    EPOCHS_MAX,
    RANK_MAX,
    Frozen,
    Hyperparameters,
    JobSpec,
    LoraMethod,
    Precision,
    Scheduler,
)


def _none_for_auto(value: Any) -> Any:
    return None if value == "auto" else value


Auto = BeforeValidator(_none_for_auto)
"""OpenAI writes "auto" for what is left to us; here that is None."""

T = TypeVar("T", int, float)
MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]


class WireHyperparameters(Frozen):
    """OpenAI's three, and the absolute values a person who knows may set."""

    n_epochs: Annotated[Annotated[int, Field(ge=1, le=EPOCHS_MAX)] | None, Auto] = Field(
        default=None, description="passes over the rows; auto: by how many rows there are"
    )
    batch_size: Annotated[Annotated[int, Field(ge=1, le=BATCH_SIZE_MAX)] | None, Auto] = Field(
        default=None, description="rows a step; auto: by how many rows there are"
    )
    learning_rate_multiplier: Annotated[Annotated[float, Field(gt=0, le=100)] | None, Auto] = Field(
        default=None, description="times the learning rate that we choose"
    )
    learning_rate: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Auto] = Field(
        default=None, description="at its peak; auto: by the base's size"
    )
    cutoff_len: Annotated[Annotated[int, Field(ge=16, le=CUTOFF_LEN_MAX)] | None, Auto] = Field(
        default=None, description="tokens a row; auto: by what the base reads"
    )
    warmup_ratio: float = Field(
        default=0.03, ge=0, lt=1, description="share of all steps in which the rate rises"
    )
    scheduler: Scheduler = Field(
        default=Scheduler.COSINE, description="the way of the learning rate after warm-up"
    )
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="AdamW's, a step")
    max_grad_norm: float = Field(
        default=1.0, gt=0, le=1_000, description="gradients are clipped to it"
    )
    held_out_share: float = Field(
        default=DEFAULT_HELD_OUT_SHARE, ge=0, le=0.5, description="rows never trained on"
    )
    eval_steps: int = Field(default=0, ge=0, description="steps between evaluations; 0: epoch ends")
    checkpoint_steps: int = Field(
        default=0, ge=0, description="steps between checkpoints; 0: a tenth of the run"
    )

    @model_validator(mode="after")
    def _one_learning_rate(self) -> "WireHyperparameters":
        if self.learning_rate is not None and self.learning_rate_multiplier is not None:
            raise ValueError("give learning_rate or learning_rate_multiplier, not both")
        return self


class Supervised(Frozen):
    hyperparameters: WireHyperparameters | None = None


class WireMethod(Frozen):
    """Clients may fill every branch at once; only the one that `type` names is read."""

    type: str
    supervised: Supervised | None = None
    dpo: Any = None
    reinforcement: Any = None


class MixedFile(Frozen):
    """A file that is trained on beside the training file."""

    file: str
    weight: float = Field(default=1.0, gt=0, le=WEIGHT_MAX)


class Tuning(Frozen):
    """How the base is dressed, what of the rows is learned, and what becomes of the others."""

    method: Literal["lora"] = Field(default="lora", description="low-rank adapters")
    rank: int = Field(
        default=16, ge=1, le=RANK_MAX, description="of the adapters; higher learns and takes more"
    )
    alpha: float | None = Field(
        default=None, gt=0, le=4_096, description="scale, divided by the rank; null: twice the rank"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of the adapters' inputs")
    target_modules: tuple[str, ...] | Literal["all-linear"] = Field(
        default="all-linear",
        description="names of linear modules (`q_proj`, …), or every linear layer but the head",
    )
    precision: Precision = Field(
        default=Precision.BF16, description="of the frozen base; what is trained keeps float32"
    )
    skip_bad_rows: bool = Field(
        default=False, description="train on the good rows and leave the listed ones out"
    )
    over_long: Literal["refuse", "drop", "cut"] = Field(
        default="refuse",
        description="rows longer than cutoff_len: refuse the job, leave them out, or cut them at "
        "the end of an earlier answer (a plain text is split into pieces); all are listed",
    )
    train_on: Literal["all", "last"] = Field(
        default="all", description="every answer with weight 1, or the last of each row only"
    )
    thinking: Annotated[bool | None, Auto] = Field(
        default=None, description="whether answers begin with thoughts; auto: as in the data"
    )
    mix_with: Annotated[tuple[MixedFile, ...], Field(max_length=settings().mixed_files_max)] = (
        Field(default=(), description="files that are trained on beside the training file")
    )
    weight: float = Field(
        default=1.0, gt=0, le=WEIGHT_MAX, description="of the training file among those mixed"
    )
    mixing: Literal["concatenate", "interleave", "interleave_all"] = Field(
        default="concatenate",
        description="weights are how often a file's rows count; or the files' shares, until the "
        "first file is used up, or until all are and smaller ones repeat",
    )


class Submission(Frozen):
    """The body of `POST /v1/fine_tuning/jobs` and of `POST /v1/quotes`."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: Annotated[str, StringConstraints(max_length=64)] | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
    method: WireMethod | None = None
    hyperparameters: WireHyperparameters | None = None
    integrations: list[dict[str, Any]] | None = None
    tuning: Tuning = Tuning()
    quote_id: str | None = Field(
        default=None, description="a quote for this same body: the job costs at most what it says"
    )

    def wire_hyperparameters(self) -> WireHyperparameters:
        """The method's own where it has any, else the old top-level ones."""
        named = self.method.supervised if self.method else None
        return (
            (named.hyperparameters if named else None)
            or self.hyperparameters
            or WireHyperparameters()
        )


def with_seed(submission: Submission) -> Submission:
    """OpenAI's jobs always tell their seed, so one is chosen at submit where none was given."""
    if submission.seed is not None:
        return submission
    return submission.model_copy(update={"seed": secrets.randbelow(2**31)})


def check(submission: Submission) -> BaseModel:
    """The base model, or the first thing asked for that nobody here offers."""
    if submission.method and submission.method.type != "supervised":
        raise BadRequest(
            f'The method {submission.method.type!r} is not offered. Use "supervised".',
            code="unsupported_method",
            param="method.type",
        )
    if submission.integrations:
        raise BadRequest(
            "Integrations are not offered. Leave `integrations` out and read the job's events or "
            "its stream instead.",
            code="unsupported_integration",
            param="integrations",
        )
    base = base_model(submission.model)
    cutoff = submission.wire_hyperparameters().cutoff_len
    if cutoff is not None and cutoff > base.context:
        raise BadRequest(
            f"cutoff_len is {cutoff} and {base.id} reads at most {base.context} tokens. "
            f"Choose {base.context} or less.",
            param="hyperparameters.cutoff_len",
        )
    return base


def cutoff_len(submission: Submission, base: BaseModel) -> int:
    asked = submission.wire_hyperparameters().cutoff_len
    return default_cutoff(base) if asked is None else asked


def held_out_share(submission: Submission) -> float:
    """No row of the training file is held out where the caller brings a validation file."""
    return 0.0 if submission.validation_file else submission.wire_hyperparameters().held_out_share


def resolve(submission: Submission, base: BaseModel, *, train_rows: int) -> JobSpec:
    """The spec, with everything left to us chosen from the base's size and the number of rows.

    Epochs follow OpenAI's published rule (three; up to 25 to reach 100 examples, fewer past
    25,000); a batch is 8 rows, or an eighth of fewer than 64; the learning rate for adapters is
    5e-4 up to a billion parameters and 2e-4 above.
    """
    asked = submission.wire_hyperparameters()
    tuning = submission.tuning
    rate = _or(asked.learning_rate, 5e-4 if base.parameters <= 1_000_000_000 else 2e-4)
    method = LoraMethod(
        rank=tuning.rank,
        alpha=tuning.alpha or 2.0 * tuning.rank,
        dropout=tuning.dropout,
        target_modules=tuning.target_modules,
    )
    return JobSpec(
        base_model=base.id,
        base_revision=base.revision,
        method=method,
        precision=tuning.precision,
        seed=submission.seed or 0,
        hyperparameters=Hyperparameters(
            learning_rate=rate * _or(asked.learning_rate_multiplier, 1.0),
            batch_size=_or(asked.batch_size, 8 if train_rows >= 64 else max(1, train_rows // 8)),
            n_epochs=_or(asked.n_epochs, _auto_epochs(train_rows)),
            cutoff_len=cutoff_len(submission, base),
            held_out_share=held_out_share(submission),
            warmup_ratio=asked.warmup_ratio,
            scheduler=asked.scheduler,
            weight_decay=asked.weight_decay,
            max_grad_norm=asked.max_grad_norm,
            eval_steps=asked.eval_steps,
            checkpoint_steps=asked.checkpoint_steps,
        ),
    )


class Effective(Frozen):
    """One setting as the job will use it. `derived`: chosen from the base and the data."""

    value: Any
    origin: Literal["given", "default", "derived"]


_DERIVED = frozenset({"learning_rate", "batch_size", "n_epochs", "cutoff_len", "alpha", "thinking"})


def effective(
    submission: Submission, spec: JobSpec, *, thinking: bool | None = None
) -> dict[str, Effective]:
    """Every setting's effective value and where it comes from.

    `thinking` is what the encoded rows came to; None leaves what was asked.
    """
    asked, tuning = submission.wire_hyperparameters(), submission.tuning
    values = spec.hyperparameters.model_dump(mode="json")
    values |= spec.method.model_dump(mode="json", exclude={"type"})
    values |= tuning.model_dump(
        mode="json", exclude={"mix_with", "weight", "alpha", "rank"} | {*values}
    )
    values |= {"precision": spec.precision, "seed": spec.seed}
    if thinking is not None:
        values["thinking"] = thinking
    given = {name for name in asked.model_fields_set if getattr(asked, name) is not None}
    given |= {name for name in tuning.model_fields_set if getattr(tuning, name) is not None}
    given |= {"seed"} if submission.seed is not None else set()
    if "learning_rate_multiplier" in given:
        given.add("learning_rate")

    def origin(name: str) -> Literal["given", "default", "derived"]:
        if name in given:
            return "given"
        return "derived" if name in _DERIVED or name == "seed" else "default"

    return {name: Effective(value=value, origin=origin(name)) for name, value in values.items()}


def parse(body: Mapping[str, Any]) -> Submission:
    """A stored request as it was validated when it came."""
    try:
        return Submission.model_validate(body)
    except ValidationError as error:
        raise BadRequest(f"The stored request is no longer valid: {error}") from error


def _auto_epochs(rows: int) -> int:
    target = 3
    if rows * target < 100:
        return min(25, max(1, 100 // max(rows, 1)))
    if rows * target > 25_000:
        return max(1, 25_000 // rows)
    return target


def _or(asked: T | None, chosen: T) -> T:
    return chosen if asked is None else asked
