"""A file's rows in one form, counted: what inspection reports."""

import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice

import numpy as np
import orjson

from api.rows import (
    FILE_CODES,
    Form,
    Problem,
    ProblemCode,
    Report,
    Row,
    detect,
    ignored,
    parse_row,
)
from api.settings import Settings
from workers.containers.reader import RawRow, Reader

FORM_ROWS = 20
IGNORED_NAMES_MAX = 100


class Rows:
    """Iterates over a file's Rows and Problems, once; `report` tells what was seen.

    The form is what most of the first FORM_ROWS raw rows are, the earliest where they tie; where
    none of them has a known form, the next FORM_ROWS decide.
    """

    def __init__(self, chunks: Iterable[bytes], *, filename: str, limits: Settings) -> None:
        self.form: Form | None = None
        self.good = self.bad = 0
        self._reader = Reader(chunks, filename=filename, limits=limits)
        self._limits = limits
        self._started = time.monotonic()
        self._ended = False
        self._complete = True
        self._problems: list[Problem] = []
        self._counts: Counter[ProblemCode] = Counter()
        self._messages = self._characters = 0
        self._hashes = array("Q")
        self._ignored: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Row | Problem]:
        raw = iter(self._reader)
        while block := list(islice(raw, FORM_ROWS)):
            if self.form is None:
                self.form = _majority(block)
            for item in block:
                yield from self._parse(item)
        self._ended = True

    def report(self) -> Report:
        """What was seen so far; whole once the iteration has ended."""
        hashes = np.frombuffer(self._hashes, dtype=np.uint64) if self._hashes else np.empty(0)
        return Report(
            container=self._reader.container,
            form=self.form,
            rows=self.good + self.bad,
            good=self.good,
            bad=self.bad,
            complete=self._ended and self._complete,
            problems=tuple(self._problems),
            problem_counts=dict(self._counts),
            duplicates=len(hashes) - len(np.unique(hashes)),
            messages=self._messages,
            characters=self._characters,
            empty_lines=self._reader.empty_lines,
            ignored=dict(self._ignored),
            seconds=round(time.monotonic() - self._started, 3),
        )

    def _parse(self, item: RawRow | Problem) -> Iterator[Row | Problem]:
        if isinstance(item, Problem):
            # Before a container is known, the file as a whole is meant.
            self.bad += self._reader.container is not None and item.code not in FILE_CODES
            yield self._note(item)
            return
        most = self._limits.messages_per_row_max
        parsed = parse_row(item.value, form=self.form, line=item.line, messages_max=most)
        if isinstance(parsed, Row):
            self._count(parsed)
            self._note_ignored(item.value)
            yield parsed
        else:
            self.bad += 1
            for problem in parsed:
                yield self._note(problem)

    def _note(self, problem: Problem) -> Problem:
        self._counts[problem.code] += 1
        self._complete &= not problem.ends
        if len(self._problems) < self._limits.problems_max:
            self._problems.append(problem)
        return problem

    def _note_ignored(self, value: object) -> None:
        if self.form is None or not isinstance(value, dict):
            return
        for name in ignored(value, self.form):
            known = name in self._ignored or len(self._ignored) < IGNORED_NAMES_MAX
            self._ignored[name if known else "…"] += 1

    def _count(self, row: Row) -> None:
        self.good += 1
        self._messages += len(row.messages)
        self._characters += sum(len(message.content) for message in row.messages)
        whole = orjson.dumps([[m.role, m.content, m.weight] for m in row.messages])
        # 8 bytes a row: at ten million rows, one false duplicate in about 400,000 files.
        self._hashes.append(int.from_bytes(blake2b(whole, digest_size=8).digest(), "big"))


def _majority(block: list[RawRow | Problem]) -> Form | None:
    """The commonest form, the earliest of equals (Counter keeps the order of arrival)."""
    forms = (detect(item.value) for item in block if isinstance(item, RawRow))
    counted = Counter(form for form in forms if form is not None).most_common(1)
    return counted[0][0] if counted else None
