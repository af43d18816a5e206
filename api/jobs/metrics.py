"""A job's curves out of its events, by column; thinned where nobody can see so many points.

An attempt that goes on from a checkpoint repeats steps; of what it repeats only the later counts.
"""

from bisect import bisect
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

TRAIN = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "trained_tokens")
EVAL = ("loss", "token_accuracy")
POINTS = 2_000
POINTS_MAX = 20_000


@dataclass(slots=True)
class Curve:
    """Points by step, and the values of each at the same places."""

    names: tuple[str, ...]
    step: list[int] = field(default_factory=list)
    values: list[list[float | None]] = field(default_factory=list)

    def back_to(self, step: int) -> None:
        """Forget the points from `step` on: they are about to be repeated."""
        while self.step and self.step[-1] >= step:
            self.step.pop()
            self.values.pop()

    def add(self, row: RowMapping) -> None:
        self.back_to(row["step"])
        self.step.append(row["step"])
        self.values.append([_short(row[name]) for name in self.names])

    def columns(self) -> dict[str, list[Any]]:
        by_name = zip(*self.values, strict=True) if self.values else [()] * len(self.names)
        return {"step": self.step} | {
            name: list(column) for name, column in zip(self.names, by_name, strict=True)
        }


def curves(
    session: Session, job_id: str, *, after: int = 0, points: int = POINTS
) -> tuple[int, Curve, Curve]:
    """The last `seq` that was looked at, the training curve and that of the held-out rows.

    About `points` steps at even distances, the first of each attempt and the last among them, and
    every evaluation. Behind `after`: where the first step is not above those known, those are old.
    """
    # Which events there are is asked first, by their numbers alone: most payloads stay unread.
    there = session.execute(_NUMBERS, {"job": job_id, "after": after}).one()
    steps = sorted(there.steps or ())
    firsts = (bisect(steps, seq) for seq in there.starts or ())
    chosen = {
        *steps[:: -(-len(steps) // points) or 1],
        *steps[-1:],
        *(steps[place] for place in firsts if place < len(steps)),
        *(there.evals or ()),
    }
    train, held_out = Curve(TRAIN), Curve(EVAL)
    for row in session.execute(_POINTS, {"job": job_id, "chosen": sorted(chosen)}).mappings():
        if row["type"] == "step":
            train.add(row)
            held_out.back_to(row["step"])
        else:
            held_out.add(row)
    return there.last or after, train, held_out


_NUMBERS = text("""
SELECT max(seq) AS last,
  array_agg(seq) FILTER (WHERE type = 'step') AS steps,
  array_agg(seq) FILTER (WHERE type = 'eval') AS evals,
  array_agg(seq) FILTER (WHERE type = 'status' AND payload->>'status' = 'running') AS starts
FROM job_events WHERE job_id = :job AND seq > :after
""")

_NAMES = dict.fromkeys(TRAIN + EVAL)
_KINDS = {"trained_tokens": "bigint"}

_POINTS = text(f"""
SELECT type, (payload->>'step')::bigint AS step,
  {", ".join(f"(payload->>'{n}')::{_KINDS.get(n, 'float8')} AS {n}" for n in _NAMES)}
FROM job_events WHERE job_id = :job AND seq = ANY(:chosen) ORDER BY seq
""")  # noqa: S608 - the names stand above


def _short(value: float | None) -> float | None:
    """Six digits are more than a chart shows. Counts stay whole."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
