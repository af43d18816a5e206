"""Marks that stand for texts while a template is rendered, and what the template saw of them.

A mark is a word that nobody can guess. Each has a formula: how the text it stands for follows from
the conversation's own texts. Whenever the template looks at one, it sees the real text, and the
question and its answer are kept as a condition: another conversation of the same shape for which
all conditions hold is rendered alike, with its own texts in the marks' places.
"""

import json
import re
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.engine.template.words import TemplateError

Texts = Sequence[str]
Formula = Callable[[Texts], Any]

REWRITES = "the chat template changes what messages say, so the answers cannot be masked exactly"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a mark stands for: `roots` are the conversation's texts it is made of; `whole` is false
    where it may say something else than they do."""

    formula: Formula
    roots: frozenset[int]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """A question about the conversation's texts, and the answer that led here."""

    formula: Formula
    answer: bool


class Speller:
    """Writes and finds marks."""

    def __init__(self) -> None:
        nonce = secrets.token_hex(12)
        self._spelling = f"x{nonce}n%dx"
        self.pattern = re.compile(rf"x{nonce}n([0-9]+)x")

    def mark(self, number: int) -> str:
        return self._spelling % number


class Marks:
    """The marks of one rendering: the first stand for the conversation's texts, in order."""

    def __init__(self, speller: Speller, texts: Texts, controls: re.Pattern[str]):
        self._speller = speller
        self._pattern = speller.pattern
        self._controls = controls
        self._texts = texts
        self._marks = [Mark(_itself(number), frozenset({number})) for number in range(len(texts))]
        self.conditions: list[Condition] = []
        self._answers: dict[Any, Any] = {}  # what was asked before
        self.once = False  # true where the conditions do not tell what else would render alike

    def holds(self, value: Any) -> bool:
        """Whether a mark is anywhere in this value."""
        if isinstance(value, str):
            return self._pattern.search(value) is not None
        if isinstance(value, Mapping):
            return any(self.holds(key) or self.holds(item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return any(self.holds(item) for item in value)
        return False

    def real(self, value: Any) -> Any:
        """The value with the real texts in it."""
        return self._formula(value)(self._texts)

    def parts(self, text: str) -> Iterator[str | Mark]:
        """A text as what the template wrote and the marks in between."""
        for number, piece in enumerate(self._pattern.split(text)):
            if number % 2:
                yield self._marks[int(piece)]
            elif piece:
                yield piece

    def apply(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A function of real texts: its result, as a new mark where that is a text."""
        if not self.holds(args) and not self.holds(kwargs):
            return function(*args, **kwargs)
        asked = (function, args) if all(isinstance(item, Hashable) for item in args) else None
        if asked not in self._answers:
            answer = self._answer(function, *args, **kwargs)
            if asked is None or kwargs:
                return answer
            self._answers[asked] = answer
        return self._answers[asked]

    def _answer(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given, named = self._formula(args), self._formula(kwargs)

        def formula(texts: Texts) -> Any:
            return function(*given(texts), **named(texts))

        result = formula(self._texts)
        if isinstance(result, bool):
            self.conditions.append(Condition(formula, result))
            return result
        # What is made of users' text is users' text; a control token of the template's own would
        # be lost in it.
        if isinstance(result, str):
            self._refuse_controls(function(*args, **kwargs))
            return self._new(formula, self._roots([args, kwargs]), whole=False)
        self.once = True
        if result is None or isinstance(result, int | float):
            return result
        if isinstance(result, list | tuple) and all(isinstance(item, str) for item in result):
            self._refuse_controls(function(*args, **kwargs))
            roots = self._roots([args, kwargs])
            return [
                self._new(_item_of(formula, number), roots, whole=False)
                for number in range(len(result))
            ]
        raise TemplateError(REWRITES)

    def strip(self, text: str, method: str, chars: str | None = None) -> str:
        """`strip` and its kin, on a text with marks in it."""
        parts: list[str | Mark] = list(self.parts(text))
        if method != "rstrip":
            parts = self._stripped(parts, "lstrip", chars)
        if method != "lstrip":
            parts = self._stripped(parts[::-1], "rstrip", chars)[::-1]
        return "".join(part if isinstance(part, str) else self._written(part) for part in parts)

    def spares(self, text: str, cut: slice) -> bool:
        """Whether a cut takes off nothing but what the template wrote at either end."""
        if cut.step is not None or not self.holds(text):
            return False
        pieces = self._pattern.split(text)
        start, stop = cut.start or 0, cut.stop or 0
        return bool(0 <= start <= len(pieces[0]) and -len(pieces[-1]) <= stop <= 0)

    def escaped(self, text: str, *, ensure_ascii: bool) -> str:
        """JSON with marks in it: each stands for its text as JSON writes it."""

        def escape(match: re.Match[str]) -> str:
            mark = self._marks[int(match[1])]

            def formula(texts: Texts) -> str:
                return json.dumps(mark.formula(texts), ensure_ascii=ensure_ascii)[1:-1]

            return self._new(formula, mark.roots, whole=mark.whole)

        return self._pattern.sub(escape, text)

    def _stripped(
        self, parts: list[str | Mark], method: str, chars: str | None
    ) -> list[str | Mark]:
        """Parts with white space taken off the first of them, until one has something left."""
        for number, part in enumerate(parts):
            if isinstance(part, str):
                left = getattr(part, method)(chars)
                if left:
                    return [*parts[:number], left, *parts[number + 1 :]]
                parts[number] = ""
                continue
            mark = Mark(_stripping(part.formula, method, chars), part.roots, part.whole)
            parts[number] = mark
            last = number + 1 == len(parts)
            # Whether the next part is reached is a matter of this one's text.
            if not last and self._true(mark):
                return parts
        return parts

    def _true(self, mark: Mark) -> bool:
        condition = Condition(mark.formula, bool(mark.formula(self._texts)))
        self.conditions.append(condition)
        return condition.answer

    def _written(self, mark: Mark) -> str:
        return self._new(mark.formula, mark.roots, whole=mark.whole)

    def _new(self, formula: Formula, roots: frozenset[int], *, whole: bool) -> str:
        self._marks.append(Mark(formula, roots, whole))
        return self._speller.mark(len(self._marks) - 1)

    def _refuse_controls(self, made: Any) -> None:
        texts = [made] if isinstance(made, str) else made
        if any(self._controls.search(text) for text in texts if isinstance(text, str)):
            raise TemplateError(REWRITES)

    def _roots(self, value: Any) -> frozenset[int]:
        if isinstance(value, str):
            marks = (part for part in self.parts(value) if isinstance(part, Mark))
            return frozenset[int]().union(*(mark.roots for mark in marks))
        if isinstance(value, Mapping):
            return self._roots([*value.keys(), *value.values()])
        if isinstance(value, list | tuple):
            return frozenset[int]().union(*(self._roots(item) for item in value))
        return frozenset()

    def _formula(self, value: Any) -> Formula:
        """How this value follows from the conversation's texts."""
        if isinstance(value, str) and self.holds(value):
            parts = list(self.parts(value))
            if len(parts) == 1 and isinstance(parts[0], Mark):
                return parts[0].formula
            formulas = [_always(part) if isinstance(part, str) else part.formula for part in parts]
            return lambda texts: "".join(formula(texts) for formula in formulas)
        if isinstance(value, Mapping):
            entries = [(self._formula(key), self._formula(item)) for key, item in value.items()]
            return lambda texts: {key(texts): item(texts) for key, item in entries}
        if isinstance(value, list | tuple):
            items = [self._formula(item) for item in value]
            kind = tuple if isinstance(value, tuple) else list
            return lambda texts: kind(item(texts) for item in items)
        return _always(value)


def _itself(number: int) -> Formula:
    return lambda texts: texts[number]


def _always(value: Any) -> Formula:
    return lambda _: value


def _item_of(formula: Formula, number: int) -> Formula:
    return lambda texts: formula(texts)[number]


def _stripping(formula: Formula, method: str, chars: str | None) -> Formula:
    return lambda texts: getattr(formula(texts), method)(chars)
