"""CSV and TSV: lines to records with the line each starts on."""

import csv
from collections.abc import Iterator

from api.rows.words import Problem, ProblemCode
from workers.containers.raw import too_long
from workers.containers.spans import Span
from workers.containers.values import not_utf8, nul


def records(
    spans: Iterator[Span], *, delimiter: str, bytes_max: int
) -> Iterator[tuple[int, list[str]] | Problem]:
    """Each record with its first line, or the one Problem that makes it unreadable."""
    # The module's own limit is one for the whole process and smaller; ours is kept by the feed.
    csv.field_size_limit(max(csv.field_size_limit(), bytes_max))
    feed = _Feed(spans, bytes_max)
    reader = csv.reader(feed, strict=True, delimiter=delimiter)
    while True:
        feed.begin()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _bad_csv(feed.start, error)
        except _TooLongError:
            yield too_long(feed.start, bytes_max, ends=feed.inside)
            if feed.inside:
                return
        else:
            yield feed.problem or (feed.start, record)


def bad_width(cells: int, columns: int, line: int) -> Problem:
    says = f"The row has {cells} cells and the header {columns} columns."
    message = f"{says} Quote cells that hold the delimiter or line breaks."
    return Problem(line=line, code=ProblemCode.BAD_CSV, message=message)


class _TooLongError(Exception):
    """A record is over the limit."""


class _Feed:
    """Hands csv.reader its lines, and remembers what is wrong with the record they belong to."""

    def __init__(self, spans: Iterator[Span], bytes_max: int) -> None:
        self._spans = spans
        self._bytes_max = bytes_max
        self.begin()

    def begin(self) -> None:
        """The next line starts a record."""
        self.start = 1
        self.problem: Problem | None = None
        self.inside = False  # a quoted cell goes on where the feed stopped
        self._lines = self._bytes = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        span = next(self._spans)
        self._lines += 1
        if self._lines == 1:
            self.start = span.line
        if span.data is None:
            self.inside = self._lines > 1 or span.quotes % 2 == 1
            raise _TooLongError
        self._bytes += len(span.data)
        if self._bytes > self._bytes_max:
            self.inside = True
            raise _TooLongError
        if self.problem is None:
            self.problem = not_utf8(span.data, line=span.line, offset=span.offset)
        if self.problem is None and b"\0" in span.data:
            self.problem = nul(span.line)
        return span.data.decode("utf-8", "replace") + "\n"


def _bad_csv(line: int, error: csv.Error) -> Problem:
    says, ends = f"The row is not CSV: {error}. Double each quote inside a quoted cell.", False
    if "end of data" in str(error):
        says, ends = "A quoted cell that starts in this row is never closed. Close it.", True
    return Problem(line=line, code=ProblemCode.BAD_CSV, message=says, ends=ends)
