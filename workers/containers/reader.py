"""A file's raw rows with their lines, whichever container holds them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from api.rows import Container, Problem, ProblemCode
from api.settings import Settings
from workers.containers import sniff, spans, table, values

_BOM = b"\xef\xbb\xbf"
_JSON_COLUMNS = frozenset({"messages", "conversations", "history"})
_KEPT_WHERE_EMPTY = frozenset({"instruction", "output", "messages", "conversations"})


@dataclass(frozen=True, slots=True)
class RawRow:
    """One object as the file holds it. `line` is where it starts, from 1."""

    line: int
    value: object


class Reader:
    """Iterates over a file's RawRows and Problems, once; `container` is known after the first.

    Each row that cannot be read is exactly one Problem.
    """

    def __init__(self, chunks: Iterable[bytes], *, filename: str, limits: Settings) -> None:
        self.container: Container | None = None
        self.empty_lines = 0
        self._chunks = (chunk for chunk in chunks if chunk)
        self._extension = filename.lower().rpartition(".")[2]
        self._limits = limits

    def __iter__(self) -> Iterator[RawRow | Problem]:
        count = 0
        for item in self._open():
            count += 1
            if count > self._limits.rows_max:
                most = f"{self._limits.rows_max:,} rows (rows_max)"
                message = f"The file has more than {most}. Split it."
                code = ProblemCode.TOO_MANY_ROWS
                yield Problem(line=item.line, code=code, message=message, ends=True)
                return
            yield item
        if not count:
            yield sniff.empty()

    def _open(self) -> Iterator[RawRow | Problem]:
        head = self._head()
        bom = len(_BOM) if head.startswith(_BOM) else 0
        head = head[bom:]
        opened = sniff.sniff(head, self._extension)
        if isinstance(opened, Problem):
            yield opened
            return
        self.container = opened
        chunks = chain((head,), self._chunks)
        bytes_max = self._limits.line_bytes_max
        match opened:
            case Container.JSONL:
                yield from self._jsonl(spans.lines(chunks, offset=bom, bytes_max=bytes_max))
            case Container.JSON:
                yield from self._json(spans.elements(chunks, offset=bom, bytes_max=bytes_max))
            case Container.CSV:
                yield from self._csv(spans.lines(chunks, offset=bom, bytes_max=bytes_max))

    def _head(self) -> bytes:
        head = bytearray()
        while len(head) < sniff.HEAD_BYTES and (chunk := next(self._chunks, b"")):
            head += chunk
        return bytes(head)

    def _jsonl(self, lines: Iterator[spans.Span]) -> Iterator[RawRow | Problem]:
        for line in lines:
            if line.data is not None and (not line.data or line.data.isspace()):
                self.empty_lines += 1
            else:
                yield self._row(line)

    def _json(self, elements: Iterator[spans.Span | Problem]) -> Iterator[RawRow | Problem]:
        for element in elements:
            if isinstance(element, Problem):
                yield element
                continue
            row = self._row(element)
            if isinstance(row, Problem) and row.code is ProblemCode.BAD_JSON:
                # Where one element is no JSON, where the next one begins would be a guess.
                says = f"{row.message} Reading stopped here."
                yield row.model_copy(update={"ends": True, "message": says})
                return
            yield row

    def _row(self, span: spans.Span) -> RawRow | Problem:
        if span.data is None:
            return table.too_long(span.line, self._limits.line_bytes_max)
        value = self._value(span.data, span.line, span.offset)
        return value if isinstance(value, Problem) else RawRow(span.line, value)

    def _csv(self, lines: Iterator[spans.Span]) -> Iterator[RawRow | Problem]:
        header: list[str] | None = None
        for record in table.records(lines, bytes_max=self._limits.line_bytes_max):
            if isinstance(record, Problem):
                yield record if header else record.model_copy(update={"ends": True})
                if not header:
                    return
                continue
            line, cells = record
            if not cells:
                self.empty_lines += 1
            elif header:
                yield self._cells(header, cells, line)
            else:
                header = [name.strip() for name in cells]
                if problem := table.bad_header(header, line):
                    yield problem
                    return

    def _cells(self, header: list[str], cells: list[str], line: int) -> RawRow | Problem:
        if len(cells) != len(header):
            says = f"The row has {len(cells)} cells and the header {len(header)} columns."
            message = f"{says} Quote cells that hold commas or line breaks."
            return Problem(line=line, code=ProblemCode.BAD_CSV, message=message)
        row: dict[str, object] = {}
        for name, cell in zip(header, cells, strict=True):
            if not cell and name not in _KEPT_WHERE_EMPTY:
                continue  # an empty cell of an optional column is no value
            row[name] = cell
            if name in _JSON_COLUMNS:
                value = row[name] = self._value(cell.encode(), line, None)
                if isinstance(value, Problem):
                    message = f"Column `{name}`: {value.message}"
                    return value.model_copy(update={"field": name, "message": message})
        return RawRow(line, row)

    def _value(self, data: bytes, line: int, offset: int | None) -> object:
        depth_max = self._limits.json_depth_max
        return values.value(data, line=line, offset=offset, depth_max=depth_max)
