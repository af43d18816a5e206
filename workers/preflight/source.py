"""A file's rows, in blocks: containers open it, and how it is read is seen in its first rows."""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson

from api.rows import (
    Mapping,
    MappingError,
    Parsed,
    Problem,
    ProblemCode,
    Reading,
    detect,
    read_dataset_info,
)
from api.settings import Settings
from workers.containers import RawRow, Reader, spans, values
from workers.containers.raw import too_long
from workers.preflight.blocks import Block
from workers.preflight.process import Crash

FORM_ROWS = 20
BLOCK_ROWS = 1_024
BLOCK_BYTES = 1 << 20


class _Undecoded(NamedTuple):
    """The value of a RawRow of JSON lines: its bytes, and where in the file they start."""

    offset: int
    data: bytes


class _Reader(Reader):
    """Leaves the rows of JSON lines undecoded."""

    def _jsonl(self, lines: Iterator[spans.Span]) -> Iterator[RawRow | Problem]:
        for number, offset, data, _ in lines:
            if data is None:
                yield too_long(number, self._limits.line_bytes_max)
            elif not data or data.isspace():
                self._blank(number)
            else:
                yield RawRow(number, _Undecoded(offset, data))


class Source:
    """Cuts a file into blocks, once, or iterates over its rows, each as Parsed; a finding about
    the file is one, too.

    How it is read is what most of its first FORM_ROWS objects are, or what a person said; where
    none of them has a known form, the next FORM_ROWS decide.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        filename: str,
        mapping: Mapping | None,
        limits: Settings,
        scratch: Path | None = None,
        crashes: tuple[Crash, ...] = (),
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self.reading = Reading(form=None)
        self._mapping = mapping
        self._filename = filename
        self._limits = limits
        self._crashes = {crash.row: crash for crash in crashes}
        self._block_rows = block_rows
        mapped = mapping.columns.values() if mapping else ()
        self.reader = _Reader(
            chunks, filename=filename, limits=limits, columns=frozenset(mapped), scratch=scratch
        )

    def __iter__(self) -> Iterator[Parsed]:
        for block in self.blocks():
            yield from block.read(self._limits, Counter())

    def blocks(self) -> Iterator[Block]:
        block = Block(1, self.reading)
        for stretch in self._stretches():
            if block.reading != self.reading:
                if block.data:
                    yield self._whole(block)
                block = Block(block.end, self.reading)
            for item in stretch:
                self._put(block, item)
                if len(block.data) >= self._block_rows or block.size >= BLOCK_BYTES:
                    yield self._whole(block)
                    block = Block(block.end, self.reading)
        if block.data:
            yield self._whole(block)

    def _whole(self, block: Block) -> Block:
        block.in_rows = self.reader.container is not None
        return block

    def _stretches(self) -> Iterator[Iterable[RawRow | Problem]]:
        """Rows that are read in the same way: FORM_ROWS at a time until that is known."""
        rows = iter(self.reader)
        while self.reading.form is None and (head := list(islice(rows, FORM_ROWS))):
            problem = self._detect(head)
            if problem is not None:
                yield (problem,)
                return
            yield head
        yield rows

    def _detect(self, head: list[RawRow | Problem]) -> Problem | None:
        """Choose how the file is read; a Problem where what was said about it cannot be."""
        try:
            mapping = self._said()
        except MappingError as error:
            message = " ".join(error.problems)
            return Problem(line=1, code=ProblemCode.BAD_MAPPING, message=message, ends=True)
        depth_max = self._limits.json_depth_max
        objects = [item.value for item in head if isinstance(item, RawRow)]
        objects = [
            values.value(one.data, 1, None, depth_max) if isinstance(one, _Undecoded) else one
            for one in objects
        ]
        self.reading = detect(objects, mapping)
        return None

    def _said(self) -> Mapping:
        """A person's mapping, else that of a `dataset_info.json` in the same archive, else none."""
        if self._mapping is not None:
            return self._mapping
        if self.reader.extra is None:
            return Mapping()
        try:
            described = orjson.loads(self.reader.extra)
        except orjson.JSONDecodeError as error:
            raise MappingError(f"dataset_info.json is not JSON: {error}.") from error
        return read_dataset_info(described, filename=self._filename)

    def _put(self, block: Block, item: RawRow | Problem) -> None:
        if self._crashes and (crash := self._crashes.get(block.end)):
            block.add(item.line, crashed(crash, item.line))
        elif isinstance(item, Problem):
            block.add(item.line, item)
        elif isinstance(item.value, _Undecoded):
            block.add(item.line, item.value.data, offset=item.value.offset)
        else:
            if item.remarks:
                block.remarks[len(block.data)] = item.remarks
            block.add(item.line, pickle.dumps(item.value, pickle.HIGHEST_PROTOCOL))


def crashed(crash: Crash, line: int) -> Problem:
    message = f"Reading stopped at this row: {crash.why}. Shorten the row or remove it."
    return Problem(line=line, code=ProblemCode.READER_CRASHED, message=message)
