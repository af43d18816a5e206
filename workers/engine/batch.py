"""Which rows a step takes, and how they are packed into forward-backward passes.

The order is a pure function of (seed, epoch), so one integer, the steps done, is the whole cursor.
Shapes: T tokens of a pass, N predicted positions.
"""

# ruff: noqa: N815 - shapes are suffixes of names, as the docstring lists them

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from api.spec import steps_per_epoch
from workers.engine.encoded import Encoded, Rows
from workers.engine.model import Base


@dataclass(frozen=True, slots=True)
class Pass:
    """Rows one after another without padding, and the positions whose next token is learned."""

    rows: tuple[int, ...]
    row_lengths: tuple[int, ...]
    tokens_T: Tensor
    positions_T: Tensor
    predicted_N: Tensor
    targets_N: Tensor

    @property
    def tokens(self) -> int:
        return sum(self.row_lengths)


def epoch_order(rows: Rows, *, seed: int, epoch: int) -> Rows:
    return np.random.default_rng((seed, epoch)).permutation(rows)


def step_rows(rows: Rows, *, batch_size: int, seed: int, step: int) -> Rows:
    """The rows of one step, counted from 0 over all epochs."""
    epoch, batch = divmod(step, steps_per_epoch(len(rows), batch_size))
    order = epoch_order(rows, seed=seed, epoch=epoch)
    return order[batch * batch_size : (batch + 1) * batch_size]


def passes(base: Base, data: Encoded, rows: Rows) -> Iterator[Pass]:
    """Rows in as few passes as the base's `pass_tokens` allow; a longer row goes alone."""
    for together in _fill(data, rows, base.pass_tokens if base.packs else 0):
        yield _pack(data, together, base.device)


def _fill(data: Encoded, rows: Rows, tokens_max: int) -> list[list[int]]:
    """First fit, longest first: rows of like length meet, and their masks are reused."""
    lengths = data.lengths
    bins: list[list[int]] = []
    room: list[int] = []
    for row in sorted(rows.tolist(), key=lambda row: (-lengths[row], row)):
        length = int(lengths[row])
        fitting = next((n for n, left in enumerate(room) if left >= length), None)
        if fitting is None:
            bins.append([row])
            room.append(tokens_max - length)
        else:
            bins[fitting].append(row)
            room[fitting] -= length
    return bins


def _pack(data: Encoded, rows: Sequence[int], device: torch.device) -> Pass:
    lengths = [int(data.lengths[row]) for row in rows]
    tokens = np.concatenate([data.ids(row) for row in rows]).astype(np.int64)
    learned = np.concatenate([data.supervised(row) for row in rows])
    learned[np.cumsum([0, *lengths[:-1]])] = 0  # nothing stands before a row's first token
    targets = np.flatnonzero(learned)
    positions = np.concatenate([np.arange(length) for length in lengths])
    return Pass(
        rows=tuple(rows),
        row_lengths=tuple(lengths),
        tokens_T=torch.from_numpy(tokens).to(device),
        positions_T=torch.from_numpy(positions).to(device),
        predicted_N=torch.from_numpy(targets - 1).to(device),
        targets_N=torch.from_numpy(tokens[targets]).to(device),
    )
