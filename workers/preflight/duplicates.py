"""Rows that an earlier row equals, and training rows that a held-out row nearly equals.

Equality is a hash of all that is trained. Nearness is the Jaccard similarity of the sets of three
consecutive words, estimated from sketches: of each row the few smallest hashes of its threes
(Broder's MinHash in its bottom-k form). Two rows whose sets overlap by J share about J of the
smallest hashes of both together. No text is kept.
"""

from array import array
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar
from unicodedata import category

import numpy as np
import numpy.typing as npt

from api.rows.words import Message, Row

SIMILARITY = 0.8
SKETCH_SIZE = 16
CHARACTERS_MAX = 32_768
"""A sketch is of so many characters of a row; equality is of all."""

T = TypeVar("T", bound=np.generic)
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
Index: TypeAlias = npt.NDArray[np.int64]

_NONE = np.uint32(0xFFFFFFFF)  # fills up the sketch of a row with few threes
_BATCH_CHARACTERS = 131_072
_THREES_MIN = 3  # what five words have; fewer tell nothing
_LOOKED_UP = 4  # of 16 smallest hashes at most 3 differ at 0.8, so one of the first 4 is shared
_CANDIDATES_MAX = 8  # held-out rows looked at for one hash: of a cluster of twins any will do
_TRAIN_BATCH = 16_384
_BOILERPLATE_SHARE, _BOILERPLATE_ROWS = 0.05, 20
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, the usual multiplier


_HEADS = {role: (f"{role} 0 0", f"{role} 1 0") for role in ("system", "user", "assistant", "tool")}


def _head(turn: Message) -> str:
    return f"{turn.role} {turn.weight} {len(turn.tool_calls)}"


def content_hash(row: Row) -> int:
    """64 bits of all that is trained: roles, weights, texts, thoughts, calls, tools and label.

    Not the line, nor the ids of calls, which no two rows share. The same in every process.
    """
    messages, chosen = row.messages, row.chosen
    parts = [f"{row.kind} {row.label} {len(messages)} {len(chosen)}", row.tools, row.text]
    for turn in messages + chosen + row.rejected if chosen else messages:
        calls = turn.tool_calls
        head = (
            f"{turn.role} {turn.weight} {len(calls)}" if calls else _HEADS[turn.role][turn.weight]
        )
        parts += (head, turn.content, turn.reasoning, turn.name or "")
        for call in calls:
            parts += (call.name, call.arguments)
    # With the lengths in front no two rows' parts run together to the same text.
    data = f"{[*map(len, parts)]}{''.join(parts)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


class Duplicates:
    """Which rows have the content of an earlier one; 16 bytes of memory a row."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._lines = array("Q")

    def add(self, row: Row) -> None:
        self._hashes.append(content_hash(row))
        self._lines.append(row.line)

    def merge(self, other: "Duplicates") -> None:
        """Add the rows that follow."""
        self._hashes += other._hashes
        self._lines += other._lines

    @property
    def count(self) -> int:
        return len(self._hashes) - len(np.unique(_whole(self._hashes)))

    def end(self) -> Iterator[tuple[int, int]]:
        """(line, first line with the same content), in the order of the rows."""
        hashes, lines = _whole(self._hashes), self._lines
        _, firsts, group = np.unique(hashes, return_index=True, return_inverse=True)
        first = firsts[group]
        for at in np.flatnonzero(first != np.arange(len(hashes))).tolist():
            yield lines[at], lines[int(first[at])]


def _whole(values: "array[int]") -> U64:
    return np.frombuffer(values, dtype=np.uint64)


class Sketches:
    """A sketch of each row: its line, its content_hash, and the smallest hashes of its threes.

    80 bytes of memory a row. Rows wait until there are enough for one sweep of numpy.
    """

    def __init__(self) -> None:
        self._lines: list[U64] = []
        self._keys: list[U64] = []
        self._values: list[U32] = []
        self._waiting: list[tuple[int, int, str, int]] = []
        self._characters = 0

    def add(self, row: Row, *, key: int | None = None, copies: int = 1) -> None:
        """Sketch a row. `key` is its content_hash, where that is known already; `copies` says how
        many encoded sequences come of it: each has an entry."""
        text = _said(row)[:CHARACTERS_MAX]
        self._waiting.append((row.line, content_hash(row) if key is None else key, text, copies))
        self._characters += len(text)
        if self._characters >= _BATCH_CHARACTERS:
            self._sweep()

    def merge(self, other: "Sketches") -> None:
        """Add the rows that follow."""
        other._sweep()
        self._lines += other._lines
        self._keys += other._keys
        self._values += other._values

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def lines(self) -> U64:
        return self._joined(self._lines, np.empty(0, np.uint64))

    @property
    def keys(self) -> U64:
        return self._joined(self._keys, np.empty(0, np.uint64))

    @property
    def values(self) -> U32:
        """Ascending along each row, filled up with 0xFFFFFFFF."""
        return self._joined(self._values, np.empty((0, SKETCH_SIZE), np.uint32))

    def of(self, rows: npt.ArrayLike) -> Self:
        """Those of some rows, by their numbers in the order of adding."""
        chosen = np.asarray(rows, dtype=np.int64)
        return self._made(self.lines[chosen], self.keys[chosen], self.values[chosen])

    def save(self, path: Path) -> None:
        np.savez(path, lines=self.lines, keys=self.keys, values=self.values)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as held:
            return cls._made(held["lines"], held["keys"], held["values"])

    @classmethod
    def _made(cls, lines: U64, keys: U64, values: U32) -> Self:
        made = cls()
        made._lines, made._keys, made._values = [lines], [keys], [values]
        return made

    def __getstate__(self) -> dict[str, Any]:
        self._sweep()
        return self.__dict__

    def _joined(self, blocks: list[npt.NDArray[T]], none: npt.NDArray[T]) -> npt.NDArray[T]:
        self._sweep()
        if len(blocks) > 1:
            blocks[:] = [np.concatenate(blocks)]
        return blocks[0] if blocks else none

    def _sweep(self) -> None:
        if not self._waiting:
            return
        lines, keys, texts, copies = zip(*self._waiting, strict=True)
        self._waiting, self._characters = [], 0
        self._lines.append(np.repeat(np.array(lines, np.uint64), copies))
        self._keys.append(np.repeat(np.array(keys, np.uint64), copies))
        self._values.append(np.repeat(_sketched(texts), copies, axis=0))


def sketch(row: Row) -> tuple[int, ...]:
    """One row's sketch; many go faster through `Sketches`."""
    values = _sketched((_said(row)[:CHARACTERS_MAX],))[0]
    return tuple(int(value) for value in values if value != _NONE)


def _said(row: Row) -> str:
    """The text whose nearness counts: not the system's, which most rows of a file share."""
    turns: tuple[Message, ...] = row.messages
    if row.chosen:
        turns += row.chosen + row.rejected
    return "\n".join([turn.content for turn in turns if turn.role != "system"]) or row.text


@cache
def _alphabet() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """For each code point below 65,536: itself in lower case, and its kind: 0 between words, 1 in
    a word, 2 a word by itself, for scripts that put no spaces between words."""
    folded, kinds = np.arange(65_536, dtype=np.uint16), np.zeros(65_536, np.uint8)
    for code in range(65_536):
        character = chr(code)
        lower = character.lower()
        if len(lower) == 1:
            folded[code] = ord(lower)
        kinds[code] = category(character)[0] in "LMN"
    # Thai to Myanmar, Khmer, kana, Han, Han again; the last stands for all beyond, as emoji.
    for first, last in (
        (0x0E00, 0x109F),
        (0x1780, 0x17FF),
        (0x3040, 0x30FF),
        (0x3400, 0x9FFF),
        (0xF900, 0xFAFF),
        (0xFFFF, 0xFFFF),
    ):
        kinds[first : last + 1] *= 2
    kinds[0xFFFF] = 2
    return folded, kinds


@cache
def _powers() -> tuple[U64, U64]:
    """_ODD to the power of 0, 1, 2, … and of 0, -1, -2, …, modulo 2**64, where odd numbers have
    inverses: with them any stretch of a text is hashed from two running sums."""
    size = _BATCH_CHARACTERS + CHARACTERS_MAX + 2 * _BATCH_CHARACTERS
    inverse = np.uint64(pow(int(_ODD), -1, 2**64))
    both = np.full((2, size), 1, np.uint64)
    both[0, 1:], both[1, 1:] = _ODD, inverse
    up, down = np.multiply.accumulate(both, axis=1)
    return up, down


def _mixed(hashes: U64) -> U64:
    """Hashes whose every bit depends on all: the low bits of the sums depend on little."""
    hashes = (hashes ^ (hashes >> np.uint64(32))) * _ODD
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _ODD
    return hashes ^ (hashes >> np.uint64(32))


def _sketched(texts: tuple[str, ...]) -> U32:
    """The sketches of texts, one a row; texts too short for one get none."""
    out = np.full((len(texts), SKETCH_SIZE), _NONE, np.uint32)
    joined = "".join([f"{text}\n" for text in texts])
    folded, kinds = _alphabet()
    places: npt.NDArray[np.uint8] | U32
    if joined.isascii():
        places = np.frombuffer(joined.encode(), np.uint8)
    else:
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        places = np.minimum(codes, 0xFFFF)
    kind = kinds.take(places)
    lone, word = kind == 2, kind == 1
    starts = lone.copy()
    starts[0] |= word[0]
    starts[1:] |= word[1:] & ~word[:-1]
    ends = lone.copy()
    ends[:-1] |= word[:-1] & ~word[1:]  # the last is a line's end
    up, down = _powers()
    sums = np.zeros(len(places) + 1, np.uint64)
    np.cumsum(folded.take(places) * up[: len(places)], out=sums[1:])
    at = np.flatnonzero(starts)
    words = _mixed((sums[np.flatnonzero(ends) + 1] - sums[at]) * down[at])

    line_ends = np.cumsum([len(text) + 1 for text in texts])
    row = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(at, line_ends), prepend=0))
    # A character by itself is less than a word: ten of them make five.
    size = np.bincount(row, weights=2 - lone[at], minlength=len(texts))
    whole = (row[2:] == row[:-2]) & (size[row[:-2]] >= 10) if len(row) > 2 else row[:0] > 0
    threes = words[:-2] + words[1:-1] * np.uint64(3) + words[2:] * np.uint64(5)
    threes = _mixed(threes[whole]) >> np.uint64(32)
    threes = np.minimum(threes, np.uint64(_NONE - 1))
    keys = np.sort(row[:-2][whole].astype(np.uint64) << np.uint64(32) | threes)
    keys = keys[np.diff(keys, prepend=np.uint64(2**64 - 1)) != 0]
    owner = (keys >> np.uint64(32)).astype(np.int64)
    counts = np.bincount(owner, minlength=len(texts))
    rank = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank < SKETCH_SIZE
    out[owner[kept], rank[kept]] = keys[kept].astype(np.uint32)
    return out


def near(train: Sketches, held_out: Sketches) -> Iterator[tuple[int, int]]:
    """(training line, held-out line) of rows that are equal or share most threes of words.

    In the order of the training rows, each line once, with the held-out row that is nearest.
    """
    if not len(train) or not len(held_out):
        return
    twins = _equal(train.keys, held_out.keys)
    values, ceilings = _comparable(train, held_out)
    (a, b), (a_ceiling, b_ceiling) = (
        np.split(values, [len(train)]),
        np.split(ceilings, [len(train)]),
    )
    index = _lookup(b)
    open_rows = np.flatnonzero(twins < 0)
    for start in range(0, len(open_rows), _TRAIN_BATCH):
        rows = open_rows[start : start + _TRAIN_BATCH]
        left, right = _candidates(a, rows, index)
        ceiling = np.minimum(a_ceiling[left], b_ceiling[right])
        similar = _similarity(a[left], b[right], ceiling)
        good = similar >= SIMILARITY
        left, right, similar = left[good], right[good], similar[good]
        order = np.lexsort((right, -similar, left))
        found, first = np.unique(left[order], return_index=True)
        twins[found] = right[order][first]
    last = None
    for at in np.flatnonzero(twins >= 0).tolist():
        line = int(train.lines[at])
        if line != last:
            yield line, int(held_out.lines[twins[at]])
        last = line


def _equal(ours: U64, theirs: U64) -> Index:
    """For each of ours the first of theirs that equals it, or -1."""
    values, first = np.unique(theirs, return_index=True)
    at = np.minimum(np.searchsorted(values, ours), len(values) - 1)
    return np.where(values[at] == ours, first[at], -1).astype(np.int64)


def _comparable(train: Sketches, held_out: Sketches) -> tuple[U32, U32]:
    """All sketches without what a good part of all rows has, and up to which hash each is whole.

    A prompt that all rows repeat would make all of them alike.
    """
    values = np.concatenate([train.values, held_out.values])
    ceilings = values[:, -1].copy()
    limit = max(_BOILERPLATE_ROWS, int(_BOILERPLATE_SHARE * len(values)))
    hashes = np.sort(values, axis=None)
    boilerplate = np.unique(hashes[limit:][hashes[limit:] == hashes[:-limit]])
    if len(boilerplate) > (_NONE in boilerplate):
        values[np.isin(values, boilerplate)] = _NONE
        values.sort(axis=1)
    return values, ceilings


def _lookup(held_out: U32) -> tuple[U32, Index]:
    """The first hashes of each held-out row, ascending, and whose they are."""
    first = held_out[:, :_LOOKED_UP]
    keys, rows = first.ravel(), np.repeat(np.arange(len(first)), first.shape[1])
    rows, keys = rows[keys != _NONE], keys[keys != _NONE]
    order = np.argsort(keys, kind="stable")
    return keys[order], rows[order]


def _candidates(train: U32, rows: Index, index: tuple[U32, Index]) -> tuple[Index, Index]:
    """Pairs (training row, held-out row) that share one of their first hashes."""
    keys, owners = index
    wanted = train[rows, :_LOOKED_UP].ravel()
    asking = np.repeat(rows, _LOOKED_UP)
    asking, wanted = asking[wanted != _NONE], wanted[wanted != _NONE]
    low = np.searchsorted(keys, wanted, side="left")
    count = np.minimum(np.searchsorted(keys, wanted, side="right") - low, _CANDIDATES_MAX)
    left = np.repeat(asking, count)
    step = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
    right = owners[np.repeat(low, count) + step]
    pairs = np.unique(left << 32 | right)
    return pairs >> 32, pairs & 0xFFFFFFFF


def _similarity(a: U32, b: U32, ceiling: U32) -> npt.NDArray[np.float64]:
    """Estimated Jaccard similarity of pairs of sketches; 0 where they tell too little."""
    both = np.sort(np.concatenate([a, b], axis=1), axis=1)
    known = (both <= ceiling[:, None]) & (both != _NONE)
    shared = (known[:, 1:] & (both[:, 1:] == both[:, :-1])).sum(axis=1)
    distinct = known.sum(axis=1) - shared
    return np.where(distinct >= _THREES_MIN, shared / np.maximum(distinct, 1), 0.0)
