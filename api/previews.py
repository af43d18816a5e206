"""One row as the model sees it: the exact tokens of the encoded dataset, the learned ones marked.

Read from the artifact that is trained on, by ranges, so a row of a file of any size costs a few
small reads. What bytes a token id stands for is a table that the encoding worker leaves once for
each tokenizer.
"""

import codecs
import struct
from array import array
from bisect import bisect_left
from functools import lru_cache
from typing import Any

import orjson
from pydantic import Field

from api import storage
from api.errors import NotFound
from api.spec import Frozen

_HEADER_BYTES = 64 * 1024
_LINES_AT_ONCE = 4_096


class Token(Frozen):
    """`text` is what the token adds to the text before it: a character whose bytes are not all
    there yet comes with the token that brings the last of them."""

    id: int
    text: str
    supervised: bool


class Sequence(Frozen):
    """One sequence of tokens. `spans` are the learned stretches of `text`, by characters."""

    label: str | None = Field(description="`chosen`, `rejected`, `good`, `bad`; null: plain")
    text: str
    tokens: list[Token]
    spans: list[tuple[int, int]]
    supervised_tokens: int


class Preview(Frozen):
    """A row of a file by its line; `sequences` are two for a preference pair. The lines of the
    rows before and after it in the encoded dataset are null at its ends."""

    object: str = "file.preview"
    line: int
    previous_line: int | None
    next_line: int | None
    kind: str
    held_out: bool
    sequences: list[Sequence]


def preview(report: dict[str, Any], line: int | None, *, source: int = 0) -> Preview:
    """The row that starts on `line`, of a ready encoding with this report; without a line the
    first there is. Raises NotFound."""
    artifact = _Artifact(report["key"])
    if line is None:
        line = artifact.line_at(artifact.rows_of(0, source).start, source) or 1
    rows = artifact.rows_of(line, source)
    if not rows:
        raise NotFound(
            f"Line {line} is not in the encoded dataset: it was left out, or no row starts there. "
            "The report's findings say why.",
            param="line",
        )
    pieces = _pieces(artifact.metadata["template"])
    kind = artifact.metadata["kind"]
    return Preview(
        line=line,
        previous_line=artifact.line_at(rows.start - 1, source),
        next_line=artifact.line_at(rows.stop, source),
        kind=kind,
        held_out=any(artifact.numbers("held_out", row, row + 1)[0] for row in rows),
        sequences=[artifact.sequence(row, pieces, kind) for row in rows],
    )


class _Artifact:
    """An encoded dataset in storage, read by ranges. Its layout is `workers.engine.encoded`'s."""

    def __init__(self, key: str) -> None:
        self._key = key
        head = storage.get_range(key, 0, _HEADER_BYTES)
        (length,) = struct.unpack("<Q", head[:8])
        if len(head) < 8 + length:
            head = storage.get_range(key, 0, 8 + length)
        self._header = orjson.loads(head[8 : 8 + length])
        self.metadata: dict[str, str] = self._header["__metadata__"]
        self._body = 8 + length

    def numbers(self, name: str, first: int, end: int) -> "array[int]":
        """Elements [first, end) of a tensor."""
        kind = {"I64": "q", "U64": "Q", "I32": "i", "U8": "B"}[self._header[name]["dtype"]]
        values = array(kind)
        start = self._body + self._header[name]["data_offsets"][0]
        width = values.itemsize
        values.frombytes(storage.get_range(self._key, start + first * width, start + end * width))
        return values

    def rows_of(self, line: int, source: int) -> range:
        """The rows that come from a line: lines rise within a source, and sources follow."""
        count = self._header["lines"]["shape"][0]
        low, high = 0, count
        while high - low > _LINES_AT_ONCE:
            middle = (low + high) // 2
            here = (
                self.numbers("source", middle, middle + 1)[0],
                self.numbers("lines", middle, middle + 1)[0],
            )
            # Twins of a row stand beside it, so the first of them is looked for.
            low, high = (middle, high) if here < (source, line) else (low, middle + 1)
        end = min(count, high + _LINES_AT_ONCE)
        places = list(
            zip(self.numbers("source", low, end), self.numbers("lines", low, end), strict=True)
        )
        first = bisect_left(places, (source, line))
        last = first
        while last < len(places) and places[last] == (source, line):
            last += 1
        return range(low + first, low + last)

    def line_at(self, row: int, source: int) -> int | None:
        """Where a row starts in its file; None where the source has no such row."""
        if not 0 <= row < self._header["lines"]["shape"][0]:
            return None
        if self.numbers("source", row, row + 1)[0] != source:
            return None
        return self.numbers("lines", row, row + 1)[0]

    def sequence(self, row: int, pieces: list[bytes], kind: str) -> Sequence:
        start, end = self.numbers("offsets", row, row + 2)
        ids = self.numbers("tokens", start, end)
        learned = self.numbers("supervised", start, end)
        label = self.numbers("label", row, row + 1)[0]
        names = {"preference": ("rejected", "chosen"), "kto": ("bad", "good")}
        texts = _texts([pieces[token] for token in ids])
        tokens = [
            Token(id=token, text=text, supervised=bool(mask))
            for token, text, mask in zip(ids, texts, learned, strict=True)
        ]
        return Sequence(
            label=names[kind][label] if kind in names else None,
            text="".join(texts),
            tokens=tokens,
            spans=_spans(tokens),
            supervised_tokens=sum(learned),
        )


def _texts(pieces: list[bytes]) -> list[str]:
    """What each token adds: bytes wait until they are whole characters."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    last = len(pieces) - 1
    return [decoder.decode(piece, final=n == last) for n, piece in enumerate(pieces)]


def _spans(tokens: list[Token]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    at = 0
    for token in tokens:
        end = at + len(token.text)
        if token.supervised and end > at:
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((at, end))
        at = end
    return spans


@lru_cache(maxsize=8)
def _pieces(template: str) -> list[bytes]:
    """Latin-1 text stands for the bytes in the JSON table."""
    table = storage.get_json(storage.pieces_key(template))
    return [piece.encode("latin-1") for piece in table]
