"""What is found in one row, as it is found, and the checks that every text goes through."""

import json
from typing import Any

from api.rows.words import Problem, Verdict, json_kind
from api.rows.words import ProblemCode as Code


def shown(name: str) -> str:
    """A user's name for a field, safe to show and to store: no control characters, not long."""
    return repr(name[:40])[1:-1]


def names_of(obj: dict[str, Any]) -> str:
    """The names that an object has, to say what is there instead of what is not."""
    return ", ".join(f"`{shown(name)}`" for name in list(obj)[:10]) or "nothing"


def sound(text: str) -> bool:
    """Whether there is nothing to find about the characters of a text."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return text[0] != "\ufeff"


class Findings:
    """The problems of one row. Fields are given in our names and reported in the file's."""

    __slots__ = ("_columns", "line", "problems")

    def __init__(self, line: int, columns: dict[str, str]) -> None:
        self.line = line
        self.problems: list[Problem] = []
        self._columns = columns

    def add(
        self, code: Code, field: str | None, message: str, verdict: Verdict = Verdict.BAD
    ) -> None:
        """A whole message, about the row or about `field`."""
        problem = Problem(line=self.line, field=field, code=code, message=message, verdict=verdict)
        self.problems.append(problem)

    def about(self, code: Code, field: str, says: str, verdict: Verdict = Verdict.BAD) -> None:
        """A sentence whose subject is the field."""
        field = self.theirs(field)
        self.add(code, field, f"`{field}` {says}", verdict)

    def repair(self, code: Code, field: str, says: str) -> None:
        """What is wrong, and what accepting the repair does about it."""
        self.about(code, field, says, Verdict.REPAIRABLE)

    def missing(self, field: str, hint: str = "Add it.") -> None:
        self.about(Code.MISSING_FIELD, field, f"is missing. {hint}")

    def wrong_type(self, field: str, value: object, do: str) -> None:
        self.about(Code.WRONG_TYPE, field, f"is {json_kind(value)}. {do}")

    def is_bad(self) -> bool:
        return any(problem.verdict is Verdict.BAD for problem in self.problems)

    def theirs(self, field: str) -> str:
        """The field under the name that the file has for its column."""
        if not self._columns:
            return field
        end = min((at for at in (field.find("["), field.find(".")) if at >= 0), default=len(field))
        # `kto_tag` is what a mapped `label` is called here (see `shape.renamed`).
        ours = "label" if field[:end] == "kto_tag" else field[:end]
        return shown(self._columns[ours]) + field[end:] if ours in self._columns else field

    def text(self, value: object, field: str) -> str | None:
        """The value where it is text that every later stage can carry, or can be made into it."""
        if not isinstance(value, str):
            if not isinstance(value, int | float):
                self.wrong_type(field, value, "Write text there.")
                return None
            text = json.dumps(value)
            says = f"is {json_kind(value)}. The repair makes it the text `{text[:40]}`."
            self.repair(Code.NUMBER_AS_TEXT, field, says)
            return text
        if "\0" in value:
            self.about(Code.NUL_CHARACTER, field, "holds a NUL character (U+0000). Remove it.")
            return None
        if not value.isascii():
            return self._unicode(value, field)
        return value

    def _unicode(self, value: str, field: str) -> str | None:
        try:
            value.encode()
        except UnicodeEncodeError:
            says = "holds half a character (a lone surrogate). Write the whole one, or remove it."
            self.about(Code.LONE_SURROGATE, field, says)
            return None
        if value[0] == "\ufeff":
            says = "starts with a byte order mark (U+FEFF). The repair removes it."
            self.repair(Code.BYTE_ORDER_MARK, field, says)
            return value.lstrip("\ufeff")
        return value

    def optional_text(self, obj: dict[str, Any], key: str, field: str | None = None) -> str:
        """A field that may be absent, null or empty: all three mean that there is none."""
        value = obj.get(key)
        return "" if value is None else self.text(value, field or key) or ""

    def refuse(self, obj: dict[str, Any], names: dict[str, str], prefix: str = "") -> None:
        """Fields that hold something and that we would have to leave out."""
        for key, what in names.items():
            if obj.get(key) not in (None, "", [], {}):
                says = f"holds {what}, which are not supported. Remove the field or the row."
                self.about(Code.NOT_SUPPORTED, f"{prefix}{key}", says)
