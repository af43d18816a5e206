"""What goes down to the engine: one frozen value that can be written down, hashed and replayed.

No I/O and no defaults that depend on anything outside; what the user left to us ("auto") is
resolved before a JobSpec exists.
"""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

CUTOFF_LEN_MAX = 131_072
RANK_MAX = 256
EPOCHS_MAX = 100
BATCH_SIZE_MAX = 1_024


class Frozen(BaseModel):
    """A value: immutable, and strict about names it does not know."""

    # What we answer with has every field, so clients need not ask whether a default is there.
    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_serialization_defaults_required=True
    )


class Objective(StrEnum):
    """What the loss rewards."""

    SFT = "sft"


class Scheduler(StrEnum):
    """How the learning rate moves after warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    CONSTANT = "constant"


class Precision(StrEnum):
    """The compute dtype of the frozen base; what is trained keeps float32 master weights."""

    BF16 = "bf16"
    FP32 = "fp32"


class LoraMethod(Frozen):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): W + (alpha / rank) · B A."""

    type: Literal["lora"] = "lora"
    rank: int = Field(default=16, ge=1, le=RANK_MAX, description="columns of A and rows of B")
    alpha: float = Field(default=32.0, gt=0, le=4_096, description="scale, divided by the rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of the adapters' inputs")
    target_modules: tuple[str, ...] | Literal["all-linear"] = Field(
        default="all-linear",
        description="names of linear modules (`q_proj`, …), or every linear layer but the head",
    )

    @field_validator("target_modules")
    @classmethod
    def _names_something(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if not value or any(not name.strip() for name in value):
            raise ValueError('name at least one module, or say "all-linear"')
        return value


class Hyperparameters(Frozen):
    """Every knob of the loop, resolved to a number."""

    learning_rate: float = Field(default=2e-4, gt=0, le=1, description="at its peak")
    batch_size: int = Field(default=8, ge=1, le=BATCH_SIZE_MAX, description="rows a step")
    n_epochs: int = Field(default=3, ge=1, le=EPOCHS_MAX, description="passes over the rows")
    cutoff_len: int = Field(default=1_024, ge=16, le=CUTOFF_LEN_MAX, description="tokens a row")
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1, description="share of all steps")
    scheduler: Scheduler = Field(
        default=Scheduler.COSINE, description="the way of the learning rate after warm-up"
    )
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="AdamW's, a step")
    max_grad_norm: float = Field(default=1.0, gt=0, description="gradients are clipped to it")
    held_out_share: float = Field(default=0.1, ge=0, le=0.5, description="rows never trained on")
    eval_steps: int = Field(default=0, ge=0, description="steps between evaluations; 0: epoch ends")
    checkpoint_steps: int = Field(
        default=0, ge=0, description="steps between checkpoints; 0: a tenth of the run"
    )


class JobSpec(Frozen):
    """One training run, whole: the same spec on the same encoded dataset gives the same adapter."""

    base_model: str
    base_revision: str
    objective: Objective = Objective.SFT
    method: LoraMethod = LoraMethod()
    hyperparameters: Hyperparameters = Hyperparameters()
    precision: Precision = Precision.BF16
    seed: int = Field(default=42, ge=0, lt=2**31)


def steps_per_epoch(train_rows: int, batch_size: int) -> int:
    """Optimizer steps an epoch: the last, smaller batch of an epoch counts as a step."""
    return -(-train_rows // batch_size)


def total_steps(train_rows: int, hyperparameters: Hyperparameters) -> int:
    return hyperparameters.n_epochs * steps_per_epoch(train_rows, hyperparameters.batch_size)
