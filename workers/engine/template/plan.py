"""A layout made ready to be filled: ids that are always the same, and the texts to encode between.

Control tokens of the template's own part the text, so each stretch between two of them is encoded
by itself; so is what stands on either side of an answer's start. The loss mask needs no offsets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.engine.template.layout import Edge, Layout
from workers.engine.template.marks import Condition, Mark, Texts
from workers.engine.template.tokens import WHITE, Tokens
from workers.engine.template.words import EncodedRow, TemplateError


@dataclass(frozen=True, slots=True)
class Blank:
    """A stretch to be encoded, as it follows from a conversation's texts. `repeats` where rows
    are likely to have it in common."""

    text: Callable[[Texts], str]
    opening: bool
    repeats: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps of ids and blanks. `learned` and `turn_ends` count steps."""

    steps: list[list[int] | Blank]
    blanks: list[Blank]
    learned: list[tuple[int, int]]
    turn_ends: list[int]
    conditions: list[Condition]
    once: bool

    def suits(self, texts: Texts) -> bool:
        """Whether a conversation of this shape with these texts is rendered so."""
        for condition in self.conditions:
            if bool(condition.formula(texts)) is not condition.answer:
                return False
        return True

    def filled(self, encoded: Sequence[list[int]], at: int) -> EncodedRow:
        """The row, given ids for its blanks from `at` on."""
        ids: list[int] = []
        ends = [0]
        for step in self.steps:
            if isinstance(step, Blank):
                ids += encoded[at]
                at += 1
            else:
                ids += step
            ends.append(len(ids))
        return EncodedRow(
            ids,
            [(ends[start], ends[end]) for start, end in self.learned],
            [ends[end] for end in self.turn_ends],
        )


def planned(
    layout: Layout,
    tokens: Tokens,
    *,
    learned: Callable[[int], bool],
    repeats: Callable[[int], bool],
    last_end: int | None,
) -> Plan:
    """`learned` says of a message whether it is, `repeats` of a text whether rows are likely to
    share it; `last_end` ends a last answer that the template leaves open."""
    planner = _Planner(tokens, repeats)
    starts: dict[int, int] = {}
    plan = Plan(planner.steps, [], [], [], layout.conditions, layout.once)
    for number, item in enumerate(layout.items):
        if not isinstance(item, Edge):
            planner.add(item)
            continue
        planner.flush()
        if item.kind == "start":
            starts[item.message] = planner.boundary()
            continue
        if layout.appends_end and number + 1 == len(layout.items):
            if last_end is None:
                raise TemplateError("nothing ends the last answer, neither template nor tokenizer")
            planner.steps.append([last_end])
        end = planner.boundary()
        plan.turn_ends.append(end)
        if learned(item.message):
            plan.learned.append((starts[item.message], end))
    planner.flush()
    plan.blanks.extend(step for step in planner.steps if isinstance(step, Blank))
    return plan


@dataclass(slots=True)
class _Planner:
    tokens: Tokens
    repeats: Callable[[int], bool]
    steps: list[list[int] | Blank] = field(default_factory=list)
    _waiting: list[str | Mark] = field(default_factory=list)
    _opening: bool = True  # nothing stands before what waits
    _eaten: bool = False  # the control token before eats white space
    _sealed: bool = True  # the last step must not grow

    def add(self, item: str | Mark) -> None:
        if isinstance(item, Mark):
            self._waiting.append(item)
            return
        tokens, at = self.tokens, 0
        for match in tokens.control_pattern.finditer(item):
            spelling = match[match.lastindex or 0]
            if match.start() > at:
                self._waiting.append(item[at : match.start()])
            self.flush(eaten_after=spelling in tokens.eats_left)
            self._ids([tokens.controls[spelling]])
            self._opening = not tokens.first_only
            self._eaten = spelling in tokens.eats_right
            at = match.end()
        if at < len(item):
            self._waiting.append(item[at:])

    def boundary(self) -> int:
        """How many steps there are; the last one is done."""
        self._sealed = True
        return len(self.steps)

    def flush(self, *, eaten_after: bool = False) -> None:
        """What waits becomes a step."""
        before, after = (WHITE if eaten else "" for eaten in (self._eaten, eaten_after))
        if all(isinstance(part, str) for part in self._waiting):
            text = "".join(part for part in self._waiting if isinstance(part, str))
            text = text.lstrip(before).rstrip(after)
            self._waiting = []
            if not text:
                return
            self._ids(self.tokens.encode([text], opening=self._opening)[0])
        else:
            roots = {
                root for part in self._waiting if isinstance(part, Mark) for root in part.roots
            }
            text_of = _stripped(_joined(self._waiting), before, after)
            repeats = all(self.repeats(root) for root in roots)
            self.steps.append(Blank(text_of, self._opening, repeats))
            self._waiting = []
            self._sealed = True
        self._opening = self._eaten = False

    def _ids(self, ids: list[int]) -> None:
        last = self.steps[-1] if self.steps else None
        if self._sealed or not isinstance(last, list):
            self.steps.append(list(ids))
        else:
            last += ids
        self._sealed = False


def _joined(parts: Sequence[str | Mark]) -> Callable[[Texts], str]:
    """One function for the text of all parts."""
    formulas: list[Callable[[Texts], Any]] = [
        part.formula if isinstance(part, Mark) else _always(part) for part in parts
    ]
    if len(parts) == 1:
        return formulas[0]
    first, *rest = parts
    if isinstance(first, str) and len(rest) == 1:
        formula = formulas[1]
        return lambda texts: first + formula(texts)
    return lambda texts: "".join([formula(texts) for formula in formulas])


def _stripped(text: Callable[[Texts], str], before: str, after: str) -> Callable[[Texts], str]:
    if not before and not after:
        return text
    return lambda texts: text(texts).lstrip(before).rstrip(after)


def _always(text: str) -> Callable[[Texts], str]:
    return lambda _: text
