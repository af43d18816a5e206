"""How long a job will take and how much memory: pure functions, said as ranges.

Time comes from speeds measured on the same base where there are any, else from the work to be done
and what a device is assumed to do. Memory is the sum of what a run holds at its fullest.
"""

from typing import Literal

from pydantic import Field

from api.catalog import BaseModel
from api.spec import Frozen, JobSpec, Precision

START_SECONDS = (1.0, 30.0)
"""From claim to the first step: with the base in memory, and with a base still to be loaded."""

ASSUMED_TFLOPS = (0.2, 200.0)
"""What a worker may be where none has been measured: two CPU cores, or a large GPU."""

_OVERHEAD_BYTES = 600 * 2**20  # the process with its libraries
_PASS_TOKENS = 1_024  # a forward-backward pass is filled up to here; a longer row goes alone
_ATTENDED_TOKENS = 1_024  # attention weights of longer rows are not kept
_LOGIT_ROWS = 256  # logits exist for so many positions at a time


class Duration(Frozen):
    """Seconds from the start of training to its end."""

    low_seconds: float
    high_seconds: float
    basis: Literal["measured", "assumed"] = Field(
        description="measured: from recent runs on this base; assumed: nobody has trained it yet"
    )


class Memory(Frozen):
    """Bytes at the fullest, rather too many than too few (for SmolLM2-135M on a CPU 7 to 65 % over
    what was measured). `fits` is null where no worker says how much it has."""

    total: int
    base: int
    adapter: int = Field(description="weights, gradients and the optimizer's two moments")
    activations: int
    logits: int
    overhead: int
    available: int | None = None
    fits: bool | None = None


def duration(base: BaseModel, *, tokens: int, speeds: tuple[float, ...]) -> Duration:
    """`tokens` are trained over all epochs; `speeds` are tokens a second of recent runs."""
    if speeds:
        slow, fast = min(speeds), max(speeds)
        return Duration(
            low_seconds=round(START_SECONDS[0] + tokens / fast, 1),
            high_seconds=round(START_SECONDS[1] + tokens / slow, 1),
            basis="measured",
        )
    # Forward, and backward through activations only: the base's weights have no gradient.
    work = 4.0 * base.parameters * tokens
    slow, fast = ASSUMED_TFLOPS
    return Duration(
        low_seconds=round(START_SECONDS[0] + work / (fast * 1e12), 1),
        high_seconds=round(START_SECONDS[1] + work / (slow * 1e12), 1),
        basis="assumed",
    )


def memory(spec: JobSpec, base: BaseModel, *, longest_row: int, available: int) -> Memory:
    """What training one run on this base takes, and whether a worker has that much."""
    width = 2 if spec.precision is Precision.BF16 else 4
    shape = base.shape
    rank = spec.method.rank
    key_value = shape.kv_heads * shape.head_dim
    query = shape.heads * shape.head_dim
    sides = {
        "q_proj": shape.hidden + query,
        "k_proj": shape.hidden + key_value,
        "v_proj": shape.hidden + key_value,
        "o_proj": query + shape.hidden,
        "gate_proj": shape.hidden + shape.intermediate,
        "up_proj": shape.hidden + shape.intermediate,
        "down_proj": shape.intermediate + shape.hidden,
    }
    targets = spec.method.target_modules
    named = sides.values() if targets == "all-linear" else [sides.get(t, 0) for t in targets]
    trained = rank * shape.layers * sum(named)
    tokens = max(_PASS_TOKENS, longest_row)
    # Kept for the backward pass, a token and layer: the inputs of norms and products, queries and
    # keys before and after rotation, the gate and its product; and what it attended to how much.
    kept = 4 * shape.hidden + 2 * query + 4 * key_value + 3 * shape.intermediate
    attended = shape.heads * min(longest_row, _ATTENDED_TOKENS)
    parts = {
        "base": base.parameters * width,
        "adapter": trained * (4 * 4 + width),
        "activations": tokens * shape.layers * (kept * width + attended * (4 + width)),
        "logits": 3 * 4 * min(_LOGIT_ROWS, tokens) * shape.vocabulary,
        "overhead": _OVERHEAD_BYTES,
    }
    total = sum(parts.values())
    return Memory(
        total=total,
        **parts,
        available=available or None,
        fits=total <= available if available else None,
    )
