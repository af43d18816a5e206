"""How well the adapter does on rows it never trains on: loss, token accuracy, fixed samples."""

# ruff: noqa: N806 - shapes are suffixes of names, as the docstring lists them

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from api.rows import Message
from workers.engine.batch import passes
from workers.engine.encoded import Encoded, Rows
from workers.engine.generate import generate
from workers.engine.lora import LoraAdapter
from workers.engine.model import Base

_CHUNK_TOKENS = 256
SAMPLE_TOKENS_MAX = 32


@dataclass(frozen=True, slots=True)
class Score:
    """Averages over the supervised tokens of all rows together."""

    loss: float
    token_accuracy: float
    rows: int


@torch.no_grad()
def evaluate(base: Base, adapter: LoraAdapter | None, data: Encoded, rows: Rows) -> Score:
    """Cross-entropy from float32 logits: rounding them to bf16 reads 0.015 too high."""
    loss, right, tokens = 0.0, 0, 0
    with base.lend(adapter):
        for batch in passes(base, data, rows):
            hidden_TD = base.hidden(batch.tokens_T, batch.positions_T, batch.row_lengths)
            for at in range(0, len(batch.targets_N), _CHUNK_TOKENS):
                predicted = batch.predicted_N[at : at + _CHUNK_TOKENS]
                targets = batch.targets_N[at : at + _CHUNK_TOKENS]
                logits_CV = base.head.exact(hidden_TD[predicted])
                loss += float(functional.cross_entropy(logits_CV, targets, reduction="sum"))
                right += int((logits_CV.argmax(-1) == targets).sum())
                tokens += len(targets)
    return Score(loss=loss / tokens, token_accuracy=right / tokens, rows=len(rows))


def sample(base: Base, adapter: LoraAdapter | None, messages: Sequence[Message]) -> str:
    """The likeliest answer to a fixed prompt, cut short: for watching, not for scoring."""
    template = base.template
    answer = generate(
        base,
        adapter,
        template.prompt(messages),
        max_tokens=SAMPLE_TOKENS_MAX,
        stop_ids=template.end_ids,
    )
    return template.decode(list(answer))
