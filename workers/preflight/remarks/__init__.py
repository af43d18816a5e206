"""What is trained on but worth a look: of a row by itself, and of a row among all others.

Each row is looked at once, cheaply: a few scans that C does decide whether a pattern is tried at
all. What only the whole file can tell needs some 14 bytes a row. No remark repeats what it found.
"""

from array import array
from collections.abc import Iterator

import numpy as np

from api.rows.words import Problem, Row, Verdict
from api.rows.words import ProblemCode as Code
from workers.preflight.remarks.languages import LATIN, Languages, other_scripts, scripts
from workers.preflight.remarks.patterns import CHECKS

ROWS_MIN = 20
"""In a smaller file nothing is usual enough for something to be unusual."""
LONG_MIN = 2_000
LONG_SHARE_MAX = 0.01

_TURN_CHARACTERS = 80  # of the last turns and of a text, to see the script and the language
_TEXT_CHARACTERS = 160


class Remarks:
    """Looks at each row once, and at the whole at the end. `common` are the file's frequent words,
    where they are known; see Languages."""

    def __init__(self, common: frozenset[str] | None = None) -> None:
        self._lines = array("Q")
        self._characters = array("I")
        self._scripts = array("H")
        self._languages = Languages(common)
        self._field = "messages"

    @property
    def common(self) -> frozenset[str] | None:
        return self._languages.common

    def look(self, row: Row) -> tuple[Problem, ...]:
        """What can be said of the row at once: at most one remark of each kind."""
        text = _whole(row)
        said = _said(row)
        written = scripts(said)
        self._lines.append(row.line)
        self._characters.append(min(len(text), 0xFFFFFFFF))
        self._scripts.append(written)
        if written == LATIN:
            self._languages.add(row.line, said)
        if row.text:
            self._field = "text"
        data = text.encode("utf-8", "surrogatepass")
        found: tuple[Problem, ...] = ()
        for check in CHECKS:
            if check.suspect(text, data) and (problem := check.remark(row)):
                found += (problem,)
        return found

    def merge(self, other: "Remarks") -> None:
        """Add the rows that follow."""
        self._lines += other._lines
        self._characters += other._characters
        self._scripts += other._scripts
        self._languages.merge(other._languages)
        if other._field != "messages":
            self._field = other._field

    def end(self) -> Iterator[Problem]:
        """What only the whole file can tell, by line."""
        if len(self._lines) < ROWS_MIN:
            return
        other, main = other_scripts(self._scripts)
        found = [(self._lines[at], Code.FAR_LONGER, message) for at, message in self._longer()]
        found += [(self._lines[at], Code.OTHER_LANGUAGE, message) for at, message in other]
        if main == LATIN:
            found += [(line, Code.OTHER_LANGUAGE, text) for line, text in self._languages.end()]
        for line, code, message in sorted(found):
            yield Problem(
                line=line, field=self._field, code=code, message=message, verdict=Verdict.WARNED
            )

    def _longer(self) -> Iterator[tuple[int, str]]:
        """Rows beyond anything the others would lead one to expect.

        Where more than a hundredth are, length just varies in this file.
        """
        lengths = np.array(self._characters)
        low, median, high = np.percentile(lengths, (25, 50, 75))
        limit = max(high + 8 * (high - low), 10 * median, LONG_MIN)
        longer = np.flatnonzero(lengths > limit)
        if len(longer) > max(1, LONG_SHARE_MAX * len(lengths)):
            return
        for at in longer.tolist():
            message = (
                f"The row has {lengths[at]:,} characters, and half of all rows have no more than "
                f"{median:,.0f}. Check that nothing was pasted in or run together."
            )
            yield at, message


def _whole(row: Row) -> str:
    """Everything a row says, for the first scan."""
    turns = row.messages + row.chosen + row.rejected if row.chosen else row.messages
    parts = [turn.content for turn in turns]
    parts += [turn.reasoning for turn in turns if turn.reasoning]
    for turn in turns:
        if turn.tool_calls:
            parts += [call.arguments for call in turn.tool_calls]
    if row.text:
        parts.append(row.text)
    if row.tools:
        parts.append(row.tools)
    return "\n".join(parts)


def _said(row: Row) -> str:
    """Enough of the question and the answer to see what they are written in."""
    if row.text:
        return row.text[:_TEXT_CHARACTERS]
    turns = row.messages[-2:] + row.chosen[:1]
    spoken = [turn.content[:_TURN_CHARACTERS] for turn in turns if turn.role in _SPEAKERS]
    return " ".join(spoken)


_SPEAKERS = ("user", "assistant")
