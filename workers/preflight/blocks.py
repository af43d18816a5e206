"""Rows that follow one another in a file, on their way from where it is cut to where it is read.

A row of JSON lines is decoded only there; what another container decodes goes there as a pickle.
"""

import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from api.rows import Ignored, Parsed, Problem, Reading, parse_row
from api.settings import Settings
from workers.containers import values

IGNORED_NAMES_MAX = 100


@dataclass(slots=True)
class Block:
    """`first` is the number of its first row. `data` has of each row its JSON (with where it starts
    in the file among `offsets`), its pickled value, or why it has none."""

    first: int
    reading: Reading
    in_rows: bool = False  # whether the file turned out to be one with rows
    size: int = 0  # bytes
    lines: list[int] = field(default_factory=list)
    offsets: list[int | None] = field(default_factory=list)
    data: list[bytes | Problem] = field(default_factory=list)
    remarks: dict[int, tuple[Problem, ...]] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The number of the row that follows it."""
        return self.first + len(self.data)

    def add(self, line: int, data: bytes | Problem, *, offset: int | None = None) -> None:
        self.lines.append(line)
        self.offsets.append(offset)
        self.data.append(data)
        self.size += 0 if isinstance(data, Problem) else len(data)

    def read(self, limits: Settings, unread: Counter[str]) -> Iterator[Parsed]:
        """Each row as Parsed. Counts the names of fields that are not read in `unread`."""
        reading = self.reading
        ignored = Ignored(reading)
        messages_max, depth_max = limits.messages_per_row_max, limits.json_depth_max
        for number, data in enumerate(self.data):
            if isinstance(data, Problem):
                yield Parsed(row=None, problems=(data,))
                continue
            line, offset = self.lines[number], self.offsets[number]
            if offset is None:
                value = pickle.loads(data)  # noqa: S301 - of our own
            else:
                value = values.value(data, line, offset, depth_max)
                if isinstance(value, Problem):
                    yield Parsed(row=None, problems=(value,))
                    continue
            parsed = parse_row(value, reading=reading, line=line, messages_max=messages_max)
            if parsed.row is not None:
                for name in ignored.names(value):
                    unread[name] += 1
            if remarks := self.remarks.get(number):
                parsed = Parsed(row=parsed.row, problems=(*remarks, *parsed.problems))
            yield parsed


def add_ignored(counts: Counter[str], more: Counter[str]) -> None:
    """Add up names of fields, of which there may be any number."""
    for name, count in more.items():
        known = name in counts or len(counts) < IGNORED_NAMES_MAX
        counts[name if known else "…"] += count
