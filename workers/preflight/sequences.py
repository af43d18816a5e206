"""Rows to sequences of tokens, a block at a time, and what a block comes to."""

import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import Field

from api.rows import Kind, Mapping, Message, Parsed, Problem, ProblemCode, Row, Verdict
from api.settings import settings
from api.spec import Frozen
from workers.engine.template import Conversation, EncodedRow, Template, TemplateError
from workers.preflight.blocks import Block
from workers.preflight.duplicates import Sketches, content_hash
from workers.preflight.findings import Found

HELD_OUT_ROWS_KEPT = 32


class EncodeOptions(Frozen):
    """Everything but the bytes that decides what an encoded dataset holds."""

    filename: str
    mapping: Mapping | None = None
    repairs: frozenset[ProblemCode] = frozenset()
    base_folder: Path
    context: int = Field(description="tokens that the base model reads at most")
    cutoff_len: int
    held_out_share: float
    over_long: Literal["drop", "cut"] = "drop"
    train_on: Literal["all", "last"] = "all"
    thinking: bool = False
    metadata: dict[str, str] = Field(default_factory=dict)


@dataclass(slots=True)
class Encodings:
    """What a block comes to. Of each sequence: `tokens` (as bytes) and `mask`, all joined, `sizes`
    and so on. Of each row that could be encoded: `lengths`, and of those that are kept `shares`."""

    tokens: bytes = b""
    mask: bytearray = field(default_factory=bytearray)
    sizes: "array[int]" = field(default_factory=lambda: array("i"))
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    hashes: "array[int]" = field(default_factory=lambda: array("Q"))
    labels: bytearray = field(default_factory=bytearray)
    lengths: "array[int]" = field(default_factory=lambda: array("i"))
    shares: "array[float]" = field(default_factory=lambda: array("f"))
    sketches: Sketches = field(default_factory=Sketches)
    smallest: list["Shown"] = field(default_factory=list)
    found: Found | None = None
    bad: int = 0
    unrepaired: int = 0
    too_long: int = 0
    cut: int = 0


Shown = tuple[int, int, bytes]
"""A row that may be held out: -hash, -line, and its messages as JSON."""


class Smallest:
    """The rows with the smallest hashes, of which those that are held out are the first."""

    def __init__(self) -> None:
        self._heap: list[Shown] = []

    def wants(self, key: int) -> bool:
        return len(self._heap) < HELD_OUT_ROWS_KEPT or -key >= self._heap[0][0]

    def add(self, row: Shown) -> None:
        if len(self._heap) < HELD_OUT_ROWS_KEPT:
            heappush(self._heap, row)
        else:
            heappushpop(self._heap, row)

    def shown(self) -> list[dict[str, Any]]:
        kept = sorted(self._heap, reverse=True)
        return [{"line": -line, "messages": orjson.loads(said)} for _, line, said in kept]


@dataclass(frozen=True, slots=True)
class _Sequences:
    """What one row comes to: one sequence, the two sides of a pair, or the pieces of a text."""

    rows: tuple[EncodedRow, ...]
    labels: tuple[int, ...]

    @property
    def tokens(self) -> int:
        if len(self.rows) == 1:
            return len(self.rows[0].ids)
        return max(len(row.ids) for row in self.rows)


class Encoder:
    """Encodes blocks of rows, one after another."""

    def __init__(self, wanted: EncodeOptions, template: Template) -> None:
        self._wanted = wanted
        self._template = template
        self._smallest = Smallest()  # of the rows that were seen here
        self._made = Encodings()
        self._ids: list[int] = []  # of its sequences
        self._found: list[tuple[int, Problem]] = []  # with the number of the row in its block

    def __call__(self, block: Block) -> Encodings:
        made, found = self._made, self._found = Encodings(), []
        ids = self._ids = []
        limits = settings()
        numbers: list[int] = []
        rows: list[Row] = []
        for number, parsed in enumerate(block.read(limits, Counter())):
            if (row := self._usable(parsed, number)) is not None:
                numbers.append(number)
                rows.append(row)
        for number, row, encoded in zip(numbers, rows, self._encoded(rows), strict=True):
            if isinstance(encoded, TemplateError):
                made.bad += 1
                message = f"{str(encoded).capitalize()}."
                found.append((number, _problem(row, ProblemCode.TEMPLATE_REFUSED, message)))
            elif kept := self._kept(row, encoded, number):
                self._put(row, kept)
        made.tokens = struct.pack(f"{len(ids)}i", *ids)  # thrice as fast as an array is made
        if found:
            found.sort(key=lambda one: one[0])
            problems = [problem for _, problem in found]
            made.found = Found.of(problems, kept_max=limits.problems_max)
        return made

    def _usable(self, parsed: Parsed, number: int) -> Row | None:
        """The row, unless something about it is bad or waits for a repair to be accepted."""
        if parsed.row is not None and not parsed.problems:
            return parsed.row
        waiting = [
            problem
            for problem in parsed.problems
            if problem.verdict is Verdict.REPAIRABLE and problem.code not in self._wanted.repairs
        ]
        if parsed.row is not None and not waiting:
            return parsed.row
        if parsed.row is None:
            self._made.bad += 1
            waiting = [p for p in parsed.problems if p.verdict is Verdict.BAD]
        else:
            self._made.unrepaired += 1
        self._found += [(number, problem) for problem in waiting]
        return None

    def _encoded(self, rows: Sequence[Row]) -> Iterator[_Sequences | TemplateError]:
        if not rows:
            return iter(())
        match rows[0].kind:
            case Kind.TEXT:
                return self._texts(rows)
            case Kind.PREFERENCE:
                return self._pairs(rows)
            case Kind.KTO | Kind.CONVERSATION:
                return self._conversations(rows)

    def _texts(self, rows: Sequence[Row]) -> Iterator[_Sequences | TemplateError]:
        for encoded in self._tried([row.text for row in rows]):
            yield encoded if isinstance(encoded, TemplateError) else _Sequences((encoded,), (1,))

    def _tried(self, texts: list[str]) -> Iterable[EncodedRow | TemplateError]:
        """A text that is refused is so by itself."""
        try:
            return self._template.encode_texts(texts)
        except TemplateError as error:
            if len(texts) == 1:
                return [error]
        return [one for text in texts for one in self._tried([text])]

    def _pairs(self, rows: Sequence[Row]) -> Iterator[_Sequences | TemplateError]:
        sides = [side for row in rows for side in (row.chosen, row.rejected)]
        prompts = [row for row in rows for _ in range(2)]
        encoded = self._template.encode_batch(
            [
                self._conversation(row, (*_unlearned(row.messages), *side))
                for row, side in zip(prompts, sides, strict=True)
            ]
        )
        for chosen, rejected in zip(encoded[0::2], encoded[1::2], strict=True):
            if isinstance(chosen, TemplateError):
                yield chosen
            elif isinstance(rejected, TemplateError):
                yield rejected
            else:
                yield _Sequences((chosen, rejected), (1, 0))

    def _conversations(self, rows: Sequence[Row]) -> Iterator[_Sequences | TemplateError]:
        encoded = self._template.encode_batch(
            [self._conversation(row, self._weighted(row)) for row in rows]
        )
        for row, one in zip(rows, encoded, strict=True):
            if isinstance(one, TemplateError):
                yield one
            else:
                yield _Sequences((one,), (int(row.label is not False),))

    def _conversation(self, row: Row, messages: Sequence[Message]) -> Conversation:
        return Conversation(messages, tools=row.tools, thinking=self._wanted.thinking)

    def _weighted(self, row: Row) -> Sequence[Message]:
        """The messages with the weights that count: of a praised or blamed answer only that one."""
        if row.kind is Kind.KTO or self._wanted.train_on == "last":
            return (*_unlearned(row.messages[:-1]), *row.messages[-1:])
        return row.messages

    def _kept(self, row: Row, encoded: _Sequences, number: int) -> _Sequences | None:
        """All of it, or what is left where it is to be cut; None where it is to be left out."""
        cutoff, tokens = self._wanted.cutoff_len, encoded.tokens
        self._made.lengths.append(tokens)
        if tokens <= cutoff:
            return encoded
        has = f"The row has {tokens:,} tokens and cutoff_len is {cutoff:,}."
        if self._wanted.over_long == "cut":
            if row.kind is Kind.TEXT:
                self._made.cut += 1
                return _pieces(encoded.rows[0], cutoff)
            cut = encoded.rows[0].cut_at_turn(cutoff) if len(encoded.rows) == 1 else None
            if cut is not None and row.kind is Kind.CONVERSATION:
                self._made.cut += 1
                says = f"{has} Kept are the turns up to token {len(cut.ids):,}."
                self._found.append((number, _problem(row, ProblemCode.CUT, says, Verdict.WARNED)))
                return _Sequences((cut,), encoded.labels)
            has += " It has no earlier turn to be cut at."
        self._made.too_long += 1
        says = f"{has} Shorten it, raise cutoff_len, or leave it out."
        self._found.append((number, _problem(row, ProblemCode.TOO_LONG, says)))
        return None

    def _put(self, row: Row, encoded: _Sequences) -> None:
        made = self._made
        key = content_hash(row)
        learned = all_tokens = 0
        for one, label in zip(encoded.rows, encoded.labels, strict=True):
            size = len(one.ids)
            first = len(made.mask)
            self._ids += one.ids
            all_tokens += size
            made.mask += bytes(size)
            for begin, end in one.learned:
                made.mask[first + begin : first + end] = b"\x01" * (end - begin)
                learned += end - begin
            made.sizes.append(size)
            made.lines.append(row.line)
            made.hashes.append(key)
            made.labels.append(label)
        made.shares.append(learned / all_tokens)
        made.sketches.add(row, key=key, copies=len(encoded.rows))
        if self._smallest.wants(key):
            turns = [m.model_dump(mode="json", exclude_defaults=True) for m in _shown(row)]
            shown = (-key, -row.line, orjson.dumps(turns))
            self._smallest.add(shown)
            made.smallest.append(shown)


def _problem(row: Row, code: ProblemCode, message: str, verdict: Verdict = Verdict.BAD) -> Problem:
    return Problem(line=row.line, code=code, message=message, verdict=verdict)


def _pieces(text: EncodedRow, cutoff_len: int) -> _Sequences:
    """A long document in pieces, in which nothing is lost."""
    ids = text.ids
    pieces = [ids[at : at + cutoff_len] for at in range(0, len(ids), cutoff_len)]
    rows = tuple(EncodedRow(piece, [(0, len(piece))], [len(piece)]) for piece in pieces)
    return _Sequences(rows, (1,) * len(rows))


def _unlearned(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(
        m.model_copy(update={"weight": 0}) if m.role == "assistant" and m.weight else m
        for m in messages
    )


def _shown(row: Row) -> tuple[Message, ...]:
    """What a person may try a held-out row with: its turns, of a pair with the chosen answer."""
    if row.kind is Kind.TEXT:
        return (Message(role="user", content=row.text),)
    return (*row.messages, *row.chosen)
