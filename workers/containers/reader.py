"""A file's raw rows with their lines, whichever container holds them and whatever packs it."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from api.rows.words import Container, Packing, Problem, ProblemCode
from api.settings import Settings
from workers.containers import packed, parquet, sniff, spans, table, values, xlsx
from workers.containers.columns import Columns
from workers.containers.raw import Broken, RawRow, too_long

_BOM = b"\xef\xbb\xbf"


class Reader:
    """Iterates over a file's RawRows and Problems, once; `container` is known after the first.

    Each row that cannot be read is exactly one Problem.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        filename: str,
        limits: Settings,
        columns: frozenset[str] = frozenset(),
        scratch: Path | None = None,
    ) -> None:
        self.container: Container | None = None
        self.packing: Packing | None = None
        self.empty_lines = 0
        self.columns: tuple[str, ...] = ()
        self.extra: bytes | None = None
        self._chunks = chunks
        self._filename = filename
        self._limits = limits
        self._mapped = columns
        self._scratch = scratch

    def __iter__(self) -> Iterator[RawRow | Problem]:
        count = 0
        try:
            for item in self._open(self._chunks, self._filename.lower()):
                count += 1
                if count > self._limits.rows_max:
                    most = f"{self._limits.rows_max:,} rows (rows_max)"
                    message = f"The file has more than {most}. Split it."
                    raise Broken(ProblemCode.TOO_MANY_ROWS, message, line=item.line)
                yield item
        except Broken as error:
            yield error.problem()
        else:
            if not count:
                yield sniff.empty()

    def _open(self, chunks: Iterable[bytes], name: str) -> Iterator[RawRow | Problem]:
        source: Iterator[bytes] = (chunk for chunk in chunks if chunk)
        pieces: list[bytes] = []
        size = 0
        try:
            while size < sniff.HEAD_BYTES and (chunk := next(source, b"")):
                pieces.append(chunk)
                size += len(chunk)
        except Broken as error:  # what came before is read first
            source = packed.broken(error)
        head = b"".join(pieces)
        whole = chain((head,), source)
        match sniff.binary(head):
            case "gzip":
                self._unpack(Packing.GZIP)
                inner = name.removesuffix(".gz").removesuffix(".gzip")
                yield from self._open(packed.gunzip(whole, self._limits), inner)
            case "zip":
                with packed.spool(whole, self._scratch) as file:
                    yield from self._zip(file)
            case "parquet":
                self.container = Container.PARQUET
                with packed.spool(whole, self._scratch) as file:
                    yield from self._parquet(file)
            case _:
                yield from self._text(whole, head[: sniff.HEAD_BYTES], name.rpartition(".")[2])

    def _unpack(self, packing: Packing) -> None:
        if self.packing is not None:
            says = "The archive holds another archive. Upload the file itself, packed once at most."
            raise Broken(ProblemCode.BAD_ARCHIVE, says)
        self.packing = packing

    def _zip(self, file: IO[bytes]) -> Iterator[RawRow | Problem]:
        archive = packed.opened(file)
        if xlsx.is_workbook(archive):
            self.container = Container.XLSX
            sheet = xlsx.Sheets(archive, self._limits, self._mapped)
            for item in sheet:
                self.columns, self.empty_lines = sheet.names, sheet.empty
                yield item
            self.columns, self.empty_lines = sheet.names, sheet.empty
            return
        self._unpack(Packing.ZIP)
        member, extra = packed.chosen(archive)
        if extra is not None:
            self.extra = packed.small(file, extra, self._limits)
        pieces = packed.member(file, member, self._limits)
        yield from self._open(pieces, member.filename.lower())

    def _parquet(self, file: IO[bytes]) -> Iterator[RawRow | Problem]:
        opened = parquet.Table(file, self._limits, self._mapped)
        self.columns = opened.names
        yield from opened

    def _text(
        self, chunks: Iterable[bytes], head: bytes, extension: str
    ) -> Iterator[RawRow | Problem]:
        bom = len(_BOM) if head.startswith(_BOM) else 0
        start = head[bom:]
        opened = sniff.text(start, extension, self._mapped)
        if isinstance(opened, Problem):
            yield opened
            return
        self.container = opened
        rest = iter(chunks)
        unmarked = chain((next(rest, b"")[bom:],), rest)
        bytes_max = self._limits.line_bytes_max
        match opened:
            case Container.JSON:
                yield from self._json(spans.elements(unmarked, offset=bom, bytes_max=bytes_max))
            case Container.CSV | Container.TSV:
                lines = spans.lines(unmarked, offset=bom, bytes_max=bytes_max)
                yield from self._table(lines, sniff.delimiter(start, extension))
            case _:
                yield from self._jsonl(spans.lines(unmarked, offset=bom, bytes_max=bytes_max))

    def _jsonl(self, lines: Iterator[spans.Span]) -> Iterator[RawRow | Problem]:
        depth_max = self._limits.json_depth_max
        for number, offset, data, _ in lines:
            if data is None:
                yield too_long(number, self._limits.line_bytes_max)
            elif not data or data.isspace():
                self._blank(number)
            else:
                value = values.value(data, number, offset, depth_max)
                yield value if isinstance(value, Problem) else RawRow(number, value)

    def _blank(self, line: int) -> None:
        self.empty_lines += 1
        if self.empty_lines > self._limits.rows_max:
            most = f"{self._limits.rows_max:,} empty lines (rows_max)"
            says = f"The file has more than {most}. Remove them."
            raise Broken(ProblemCode.TOO_MANY_ROWS, says, line=line)

    def _json(self, elements: Iterator[spans.Span | Problem]) -> Iterator[RawRow | Problem]:
        for element in elements:
            if isinstance(element, Problem):
                yield element
                continue
            number, offset, data, _ = element
            if data is None:
                yield too_long(number, self._limits.line_bytes_max)
                continue
            value = values.value(data, number, offset, self._limits.json_depth_max)
            if isinstance(value, Problem) and value.code is ProblemCode.BAD_JSON:
                # Where one element is no JSON, where the next one begins would be a guess.
                says = f"{value.message} Reading stopped here."
                yield value.model_copy(update={"ends": True, "message": says})
                return
            yield value if isinstance(value, Problem) else RawRow(number, value)

    def _table(self, lines: Iterator[spans.Span], delimiter: str) -> Iterator[RawRow | Problem]:
        columns: Columns | None = None
        bytes_max = self._limits.line_bytes_max
        for record in table.records(lines, delimiter=delimiter, bytes_max=bytes_max):
            if isinstance(record, Problem):
                yield record if columns else record.model_copy(update={"ends": True})
                if not columns:
                    return
                continue
            line, cells = record
            if not cells:
                self._blank(line)
            elif columns is None:
                columns = Columns(cells, line=line, limits=self._limits, mapped=self._mapped)
                self.columns = columns.names
            elif len(cells) != columns.width:
                yield table.bad_width(len(cells), columns.width, line)
            else:
                yield columns.row(cells, line)
