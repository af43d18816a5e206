"""Every finding of a file, as a CSV that a spreadsheet opens safely; the first ones as words."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from api.rows import Problem, ProblemCode

COLUMNS = ("line", "verdict", "code", "field", "message")
KEPT_PER_CODE = 10
"""Of each kind of finding at least so many are among the first that are kept in words."""

_AT_ONCE = 1_024


@dataclass(frozen=True, slots=True)
class Found:
    """Findings in a row: as lines of the CSV, and those that may be kept."""

    counts: Counter[ProblemCode]
    ended: bool
    csv: str
    first: list[tuple[int, Problem]]
    """With each its number among those of its kind here, from 1."""

    @classmethod
    def of(cls, problems: Sequence[Problem], *, kept_max: int) -> Self:
        counts: Counter[ProblemCode] = Counter()
        first: list[tuple[int, Problem]] = []
        lines = io.StringIO(newline="")
        writer = csv.writer(lines)
        for at, problem in enumerate(problems):
            counts[problem.code] += 1
            if counts[problem.code] <= KEPT_PER_CODE or at < kept_max:
                first.append((counts[problem.code], problem))
            writer.writerow(
                (
                    problem.line,
                    problem.verdict.value,
                    problem.code.value,
                    _cell(problem.field or ""),
                    _cell(problem.message),
                )
            )
        ended = any(problem.ends for problem in problems)
        return cls(counts, ended, lines.getvalue(), first)


class Findings:
    """Writes findings as they come; memory holds the counts and the first few."""

    def __init__(self, path: Path, *, kept_max: int) -> None:
        self.counts: Counter[ProblemCode] = Counter()
        self.kept: list[Problem] = []
        self.kept_max = kept_max
        self.ended = False
        self._file = path.open("w", encoding="utf-8-sig", newline="")
        csv.writer(self._file).writerow(COLUMNS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add_all(self, problems: Iterable[Problem]) -> None:
        waiting = iter(problems)
        while some := list(islice(waiting, _AT_ONCE)):
            self.add(Found.of(some, kept_max=self.kept_max))

    def add(self, found: Found) -> None:
        """What was found in the rows that follow."""
        for number, problem in found.first:
            of_its_kind = self.counts[problem.code] + number <= KEPT_PER_CODE
            if of_its_kind or len(self.kept) < self.kept_max:
                self.kept.append(problem)
        self.counts.update(found.counts)
        self.ended |= found.ended
        self._file.write(found.csv)


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
