"""The columns of a table: what a header may be, and how a row's cells become an object."""

import re
from collections.abc import Sequence

from api.rows.words import Problem, ProblemCode, Verdict
from api.settings import Settings
from workers.containers import values
from workers.containers.raw import Broken, RawRow

# Cells of these are JSON, whatever they begin with.
_JSON = frozenset({"messages", "conversations", "history"})
# Cells of these are JSON where they are a list or an object, else text.
_LISTS = frozenset({"tools", "functions", "preferred_output", "non_preferred_output"})
# Cells of these are usually text, which may well look like a list (`[3, 5]` is a fine question), so
# they are JSON only where they hold messages.
_TURNS = frozenset({"chosen", "rejected", "input", "prompt", "completion"})
_TURN_KEYS = frozenset({"messages", "role", "content", "from", "value"})
_KEPT_WHERE_EMPTY = _JSON - {"history"} | {
    "instruction",
    "output",
    "prompt",
    "completion",
    "text",
    "chosen",
    "rejected",
}
_FORMULA = re.compile(r"=[-+@]?[A-Za-z($]")


class Columns:
    """A header that can be right. Raises Broken where it cannot."""

    def __init__(
        self, header: Sequence[str], *, line: int, limits: Settings, mapped: frozenset[str]
    ) -> None:
        self.width = len(header)
        most = limits.columns_max
        if len(header) > most:
            says = f"The table has {len(header):,} columns, and may have {most:,} (columns_max)."
            do = "Keep those that are trained on."
            raise Broken(ProblemCode.TOO_MANY_COLUMNS, f"{says} {do}", line=line)
        cells = [name.strip() for name in header]
        self.names = tuple(name for name in cells if name)
        if not self.names:
            says = "The first row names no columns. Write their names there."
            raise Broken(ProblemCode.BAD_HEADER, says, line=line)
        if twice := next((name for name in self.names if self.names.count(name) > 1), None):
            says = f"The header names a column twice: {twice[:40]!r}. Rename one of them."
            raise Broken(ProblemCode.BAD_HEADER, says, line=line)
        self._columns = tuple((at, name) for at, name in enumerate(cells) if name)
        self._json = {name for name in self.names if name in _JSON | _LISTS | _TURNS | mapped}
        self._kept = _KEPT_WHERE_EMPTY | mapped
        self._depth_max = limits.json_depth_max
        self._remarks: tuple[Problem, ...] = ()
        if unnamed := [str(at) for at, name in enumerate(cells, 1) if not name]:
            says = f"Columns without a name are not read: {', '.join(unnamed[:10])}."
            self.remark(_warned(line, f"{says} Name them if they are meant to be."))

    def remark(self, problem: Problem) -> None:
        """The next row will carry it."""
        self._remarks += (problem,)

    def row(self, cells: Sequence[object], line: int, *, drop: bool = True) -> RawRow | Problem:
        """The row as an object; `drop` leaves empty cells of optional columns out, as no value."""
        row: dict[str, object] = {}
        remarks = self._remarks
        for at, name in self._columns:
            value = cells[at]
            if drop and (value is None or value == ""):
                if name not in self._kept:
                    continue
                value = ""
            if isinstance(value, str):
                if name in self._json:
                    value = self._parsed(name, value, line)
                    if isinstance(value, Problem):
                        says = f"Column `{name}`: {value.message}"
                        return value.model_copy(update={"field": name, "message": says})
                elif value.startswith("=") and _FORMULA.match(value):
                    says = f"Column `{name}` holds a formula's text, not its value."
                    remarks += (_formula(line, name, f"{says} Paste values before saving."),)
            row[name] = value
        if remarks:
            self._remarks = ()
            remarks = tuple(remark.model_copy(update={"line": line}) for remark in remarks)
        return RawRow(line, row, remarks)

    def _parsed(self, name: str, text: str, line: int) -> object:
        must = name in _JSON
        if not must and not text.lstrip().startswith(("[", "{")):
            return text
        value = values.value(text.encode("utf-8", "surrogatepass"), line, None, self._depth_max)
        if must or (isinstance(value, list | dict) and (name in _LISTS or _turns(value))):
            return value
        return text


def _turns(value: list[object] | dict[str, object]) -> bool:
    if isinstance(value, dict):
        return bool(value.keys() & _TURN_KEYS)
    return bool(value) and all(isinstance(item, dict) for item in value)


def _warned(line: int, message: str) -> Problem:
    return Problem(line=line, code=ProblemCode.BAD_CELL, message=message, verdict=Verdict.WARNED)


def other_sheets(line: int, read: str, others: list[str]) -> Problem:
    """A remark: only one sheet is read."""
    names = ", ".join(repr(name[:40]) for name in others[:10])
    says = f"Only the sheet {read[:40]!r} is read; these hold rows too: {names}."
    return _warned(line, f"{says} Upload each as its own file and mix them in the job.")


def _formula(line: int, name: str, message: str) -> Problem:
    code = ProblemCode.FORMULA_CELL
    return Problem(line=line, field=name, code=code, message=message, verdict=Verdict.WARNED)
