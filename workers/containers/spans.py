"""Cutting a stream of bytes into lines, or into the elements of a JSON array, in bounded memory."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from api.rows.words import Problem, ProblemCode
from workers.containers.raw import Broken, too_long

_BLANK = b" \t\r\n"
# What no cut can be in: plain bytes, whole strings, and inside of a row whole brackets; up to a
# bracket, and in the outermost array a comma. What the chunk does not end stops at its start.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'[^"{}\[\]]++|' + _STRING
_FLAT = rb"[\[{](?:" + _PLAIN + rb")*+[\]}]"
_NESTED = rb"[\[{](?:" + _PLAIN + rb"|" + _FLAT + rb")*+[\]}]"
_SKIPPED = re.compile(rb'(?:[^"{}\[\],]++|' + _STRING + rb")*+", re.DOTALL)
_SKIPPED_DEEP = re.compile(rb"(?:" + _PLAIN + rb"|" + _NESTED + rb")*+", re.DOTALL)
_SKIPPED_DEEPEST = re.compile(rb"(?:" + _PLAIN + rb")*+", re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Span(NamedTuple):
    """A line or an element: where it starts, from line 1 and byte 0. No `data`: over the limit."""

    line: int
    offset: int
    data: bytes | None
    quotes: int = 0


def lines(chunks: Iterable[bytes], *, offset: int, bytes_max: int) -> Iterator[Span]:
    """Each line without its end. `quotes` is counted where the data is gone."""
    line = _Line(bytes_max)
    number = 1
    try:
        for chunk in chunks:
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                if line.size or end - start > bytes_max:
                    line.add(chunk[start:end])
                    yield Span(number, offset, line.data(), line.quotes)
                    offset += line.size + 1
                    line = _Line(bytes_max)
                else:
                    yield Span(number, offset, chunk[start:end])
                    offset += end - start + 1
                number += 1
                start = end + 1
            line.add(chunk[start:])
    except Broken as error:
        error.line = number
        raise
    if line.size:
        yield Span(number, offset, line.data(), line.quotes)


class _Line:
    """Grows until it is over the limit; from there on it only counts."""

    __slots__ = ("_bytes_max", "_pieces", "quotes", "size")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._pieces: list[bytes] = []
        self.size = 0
        self.quotes = 0

    def add(self, piece: bytes) -> None:
        fitted = self.size <= self._bytes_max
        self.size += len(piece)
        if self.size <= self._bytes_max:
            self._pieces.append(piece)
            return
        if fitted:
            self.quotes = sum(kept.count(b'"') for kept in self._pieces)
            self._pieces.clear()
        self.quotes += piece.count(b'"')

    def data(self) -> bytes | None:
        return b"".join(self._pieces) if self.size <= self._bytes_max else None


def _in_string(chunk: bytes, at: int) -> int:
    """Where the string ends that `at` is inside of, or the chunk does."""
    quote = chunk.find(b'"', at)
    end = quote if quote >= 0 else len(chunk)
    escape = chunk.find(b"\\", at, end)
    if escape < 0:
        return end
    matched = _IN_STRING.match(chunk, escape)
    return matched.end() if matched else escape


def elements(chunks: Iterable[bytes], *, offset: int, bytes_max: int) -> Iterator[Span | Problem]:
    """Each element of an array, undecoded. A Problem is the last thing it yields."""
    cutter = _Cutter(offset, bytes_max)
    try:
        for chunk in chunks:
            yield from cutter.feed(chunk)
            if cutter.failed:
                return
    except Broken as error:
        error.line = cutter.line()
        raise
    if not cutter.closed:
        yield cutter.fail("The file ends inside the array. Was it cut off? Write the closing `]`.")


class _Cutter:
    """Follows strings and brackets, and cuts at the commas of the outermost array.

    It decodes nothing, so whatever stands between two commas, JSON or not, comes out as one span;
    brackets and quotes are ASCII, which no other byte of UTF-8 can be.
    """

    def __init__(self, offset: int, bytes_max: int) -> None:
        self.closed = self.failed = False
        self._bytes_max = bytes_max
        self._offset, self._line = offset, 1  # of the next byte that belongs to no element yet
        self._start, self._start_line = offset, 1
        self._pieces: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._in_string = self._escaped = self._after_comma = False

    def feed(self, chunk: bytes) -> Iterator[Span | Problem]:
        kept = 0  # up to where the chunk's bytes are kept
        at = 0
        while not self.failed and (at := self._next(chunk, at)) < len(chunk):
            byte = chunk[at : at + 1]
            at += 1
            if byte == b'"':
                self._in_string = True
            elif self._cuts(byte):
                self._keep(chunk[kept : at - 1])
                kept = at
                yield from self._cut(byte)
            elif self._depth > self._bytes_max:
                yield self._endless()
        if not self.failed:
            self._keep(chunk[kept:])
            if self.closed and self._size:
                yield self.fail("There is more after the array's closing `]`. Remove it.")

    def _next(self, chunk: bytes, at: int) -> int:
        """Where the next byte is that could mean something; past the end: not in this chunk."""
        if self._escaped:
            self._escaped, at = False, at + 1
        if self._in_string:
            at = _in_string(chunk, at)
            if at == len(chunk):
                return at
            if chunk[at : at + 1] == b"\\":  # the chunk's last byte
                self._escaped = True
                return len(chunk)
            self._in_string = False
            at += 1
        skip = _SKIPPED_DEEP if self._depth < self._bytes_max - 2 else _SKIPPED_DEEPEST
        skipped = (skip if self._depth > 1 else _SKIPPED).match(chunk, at)
        return skipped.end() if skipped else len(chunk)

    def fail(self, message: str) -> Problem:
        self.failed = True
        line, offset = (self._start_line, self._start) if self._size else (self._line, self._offset)
        where = f"(line {line}, byte {offset})"
        return Problem(
            line=line, code=ProblemCode.BAD_JSON, message=f"{message} {where}", ends=True
        )

    def _endless(self) -> Problem:
        self.failed = True
        return too_long(self.line(), self._bytes_max, ends=True, inside="bracket")

    def line(self) -> int:
        """Where the element that is being read starts."""
        return self._start_line if self._size else self._line

    def _cuts(self, byte: bytes) -> bool:
        """Follow a bracket; true where it, or a comma, ends an element or opens the array."""
        if byte == b",":
            return self._depth <= 1
        if byte in b"[{":
            self._depth += 1
            return self._depth == 1
        self._depth -= 1
        return self._depth <= 0

    def _cut(self, byte: bytes) -> Iterator[Span | Problem]:
        if self.closed:
            self._size = self._size or 1
            yield self.fail("There is more after the array's closing `]`. Remove it.")
            return
        if byte in b"[{":  # the array opens
            self._take()
            return
        span = self._take()
        if span is not None:
            yield span
        elif byte == b"," or self._after_comma:
            yield self.fail("A comma has no row before it or after it. Remove it.")
            return
        self._after_comma = byte == b","
        if byte == b"}":
            yield self.fail("The array is closed by `}`. Close it with `]`.")
        self.closed = byte == b"]"

    def _keep(self, piece: bytes) -> None:
        if not self._size:
            bare = piece.lstrip(_BLANK)
            blank = piece[: len(piece) - len(bare)]
            self._line += blank.count(b"\n")
            self._offset += len(blank)
            self._start, self._start_line = self._offset, self._line
            piece = bare
        self._size += len(piece)
        self._offset += len(piece)
        self._line += piece.count(b"\n")
        if self._size <= self._bytes_max:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def _take(self) -> Span | None:
        """The element that ends here, the byte that ended it behind us; None: there is none."""
        size, data = self._size, b"".join(self._pieces).rstrip(_BLANK)
        self._pieces.clear()
        self._size = 0
        self._offset += 1
        if not size:
            return None
        return Span(self._start_line, self._start, data if size <= self._bytes_max else None)
