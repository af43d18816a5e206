"""What inspection counts: of a block of rows where it is read, and of all blocks together."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from api.rows import FILE_CODES, Kind, Message, Parsed, Problem, ProblemCode, Row, Verdict
from workers.preflight.blocks import add_ignored
from workers.preflight.duplicates import Duplicates
from workers.preflight.remarks import Remarks

_VERDICTS = tuple(Verdict)
_GOOD, _WARNED = _VERDICTS.index(Verdict.GOOD), _VERDICTS.index(Verdict.WARNED)


class Tally:
    """Some 50 bytes of memory a row; all else is flat. `common`: see Remarks."""

    def __init__(self, common: frozenset[str] | None = None) -> None:
        self.counts: Counter[Verdict] = Counter()
        self.ignored: Counter[str] = Counter()
        self.turns = array("i")
        self.messages = self.characters = self.tools = 0
        self._lines = array("q")
        self._verdicts = bytearray()
        self._thoughts = [0, 0]  # learned answers without and with thoughts
        self._remarks = Remarks(common)
        self._duplicates = Duplicates()

    @property
    def common(self) -> frozenset[str] | None:
        """The file's frequent words, once they are known."""
        return self._remarks.common

    @property
    def duplicates(self) -> int:
        return self._duplicates.count

    def take(self, rows: Iterable[Parsed], *, in_rows: bool) -> list[Problem]:
        """Count rows. Returns all that is found in them; without `in_rows` it is about the file."""
        found: list[Problem] = []
        for parsed in rows:
            problems, row = parsed.problems, parsed.row
            if row is not None:
                problems += self._remarks.look(row)
                self._count(row)
            found += problems
            if row is None and (not in_rows or problems[0].code in FILE_CODES):
                continue  # it is about the file, not about a row
            verdict = _worst(problems)
            self.counts[verdict] += 1
            self._lines.append(row.line if row is not None else problems[0].line)
            self._verdicts.append(_VERDICTS.index(verdict))
        return found

    def merge(self, other: "Tally") -> None:
        """Add the rows that follow."""
        self.counts.update(other.counts)
        add_ignored(self.ignored, other.ignored)
        self.turns += other.turns
        self.messages += other.messages
        self.characters += other.characters
        self.tools += other.tools
        self._lines += other._lines
        self._verdicts += other._verdicts
        self._thoughts = [
            ours + more for ours, more in zip(self._thoughts, other._thoughts, strict=True)
        ]
        self._remarks.merge(other._remarks)
        self._duplicates.merge(other._duplicates)

    def end(self) -> Iterator[Problem]:
        """What only the whole file can tell."""
        for line, first in self._duplicates.end():
            message = f"The row says the same as line {first}, so it counts twice. Remove one."
            code, verdict = ProblemCode.DUPLICATE, Verdict.WARNED
            self._warn(line)
            yield Problem(line=line, code=code, message=message, verdict=verdict)
        for problem in self._remarks.end():
            self._warn(problem.line)
            yield problem

    def reasoning(self) -> Literal["none", "some", "all"]:
        without, with_ = self._thoughts
        if not with_:
            return "none"
        return "some" if without else "all"

    def _count(self, row: Row) -> None:
        self._duplicates.add(row)
        messages, chosen = row.messages, row.chosen
        self.turns.append(len(messages) + bool(chosen))
        turns = messages + chosen + row.rejected if chosen else messages
        tools = bool(row.tools)
        self.messages += len(turns)
        characters = len(row.text)
        for turn in turns:
            characters += len(turn.content) + len(turn.reasoning)
            if turn.tool_calls:
                tools = True
        self.characters += characters
        self.tools += tools
        for answer in learned(row):
            self._thoughts[bool(answer.reasoning)] += 1

    def _warn(self, line: int) -> None:
        at = bisect_left(self._lines, line)  # lines come in order
        there = at < len(self._lines) and self._lines[at] == line
        if there and self._verdicts[at] == _GOOD:
            self._verdicts[at] = _WARNED
            self.counts[Verdict.GOOD] -= 1
            self.counts[Verdict.WARNED] += 1


def learned(row: Row) -> list[Message]:
    """The answers that the row teaches (or, of a preference pair, compares)."""
    if row.kind is Kind.PREFERENCE:
        answers = (*row.chosen, *row.rejected)
    elif row.kind is Kind.KTO:
        answers = row.messages[-1:]
    else:
        answers = row.messages
    return [m for m in answers if m.role == "assistant" and m.weight]


def _worst(problems: tuple[Problem, ...]) -> Verdict:
    if not problems:
        return Verdict.GOOD
    return max((problem.verdict for problem in problems), key=_VERDICTS.index)
