"""One object of a file, in whichever form, to a `Row` and everything that is found about it.

Text stays as it was written, to the byte, unless a finding says otherwise; only thoughts in
`<think>` tags move to a field of their own. What is not read is a finding where leaving it out
would change the meaning, and named by `ignored` where not. No I/O.
"""

from typing import Any

from api.rows import made, repair, shape
from api.rows.findings import Findings, names_of
from api.rows.suggest import suggestion, unknown_form
from api.rows.tools import check_calls, read_tools
from api.rows.turns import Turn, Turns, dialect
from api.rows.words import Form, Kind, Message, Parsed, Reading, Row, json_kind
from api.rows.words import ProblemCode as Code

MESSAGES_PER_ROW_MAX = 1_000

_KINDS = {
    Kind.CONVERSATION: "a conversation",
    Kind.TEXT: "plain text",
    Kind.PREFERENCE: "a preference pair",
    Kind.KTO: "a labelled answer (KTO)",
}


def parse_row(
    obj: object, *, reading: Reading, line: int, messages_max: int = MESSAGES_PER_ROW_MAX
) -> Parsed:
    """The row, unless something about it is bad, and all findings. `reading` is the file's."""
    found = Findings(line, reading.mapping.columns)
    row: Row | None = None
    if not isinstance(obj, dict):
        says = f"The row is {json_kind(obj)}. Make it a JSON object."
        found.add(Code.NOT_AN_OBJECT, None, says)
    else:
        ours = shape.renamed(obj, reading.mapping.columns)
        if reading.form is not None and _fits(found, ours, obj, reading):
            row = _Reader(found, obj, ours, reading=reading, messages_max=messages_max).row()
        elif not found.problems:
            found.add(Code.UNKNOWN_FORM, None, unknown_form(obj))
    problems = tuple(found.problems)
    return made.parsed(None if problems and found.is_bad() else row, problems)


def _fits(found: Findings, row: dict[str, Any], obj: dict[str, Any], reading: Reading) -> bool:
    """Whether the row is what the file is. What a person has said is not asked again."""
    form, kind, mapping = reading.form, reading.kind, reading.mapping
    assert form is not None
    if shape.by_names(tuple(row)) == (form, kind):
        return True
    if mapping.form is None:
        actual = shape.form_of(row)
        if actual is None and shape.COLUMNS[form].isdisjoint(row):
            found.add(Code.UNKNOWN_FORM, None, unknown_form(obj))
            return False
        if actual is not None and actual is not form:
            what = f"The row is in {actual} form, the file's first rows in {form} form."
            found.add(Code.OTHER_FORM, None, f"{what} Keep one form in a file.")
            return False
    if mapping.kind is None:
        is_kind = shape.kind_of(row, form)
        if is_kind is not kind and not _reads_as(row, is_kind, kind):
            what = f"The row is {_KINDS[is_kind]}, and the file's first rows are not: each of them"
            says = f"{what} is {_KINDS[kind]}. Keep one kind in a file."
            found.add(Code.OTHER_FORM, None, says)
            return False
    return True


def _reads_as(row: dict[str, Any], actual: Kind, kind: Kind) -> bool:
    """A `label` may be a thumb or anything else: the file's first rows say which."""
    if kind is Kind.KTO:
        return actual is Kind.CONVERSATION and row.get("label") is not None
    if kind is Kind.CONVERSATION and actual is Kind.KTO:
        return row.get("kto_tag") is None and not isinstance(row.get("label"), bool)
    return False


class _Reader:
    """Reads one row that is of the file's form and kind."""

    __slots__ = ("_form", "_found", "_kind", "_obj", "_row", "_turns")

    def __init__(
        self,
        found: Findings,
        obj: dict[str, Any],
        row: dict[str, Any],
        *,
        reading: Reading,
        messages_max: int,
    ) -> None:
        form = reading.form
        assert form is not None
        self._found, self._obj, self._row = found, obj, row
        self._form, self._kind = form, reading.kind
        self._turns = Turns(found, dialect(form, reading.mapping.tags), messages_max)

    def row(self) -> Row | None:
        found, row = self._found, self._row
        if self._form is Form.TEXT:
            return self._text()
        if len(row) > 1:
            found.refuse(row, shape.NOT_SUPPORTED_IN_ROW)
        if self._kind is Kind.PREFERENCE:
            return self._preference()
        turns, field = self._conversation()
        tools = read_tools(found, row)
        label = self._label() if self._kind is Kind.KTO else None
        if turns is None:
            return None
        turns = repair.conversation(found, turns, field)
        if tools:
            check_calls(found, turns, tools)
        if self._kind is Kind.KTO and not turns[-1][1].weight and not found.is_bad():
            says = "has weight 0, and it is what the label is about. Give it weight 1."
            found.about(Code.NOTHING_SUPERVISED, turns[-1][0], says)
        return made.row(found.line, self._kind, messages=_said(turns), tools=tools, label=label)

    def _text(self) -> Row | None:
        found = self._found
        if self._lacks("text"):
            return None
        text = found.text(self._row["text"], "text")
        if text is not None and not text.strip():
            says = "is empty, so there is nothing to learn. Remove the row."
            found.about(Code.NOTHING_SUPERVISED, "text", says)
        return None if text is None else made.row(found.line, Kind.TEXT, text=text)

    def _lacks(self, name: str) -> bool:
        if name in self._row:
            return False
        hint = suggestion(self._obj)
        says = f"The row has {names_of(self._obj)}. {hint or 'Add it.'}"
        self._found.missing(name, says)
        return True

    # Conversations: the turns, and the field that what they lack together is about.

    def _conversation(self) -> tuple[list[Turn] | None, str]:
        if self._form is Form.ALPACA:
            return _joined(self._alpaca(), self._answer("output")), "output"
        if self._form is Form.PROMPT_COMPLETION:
            asked = self._prompt()
            context = None if asked is None else [_context(turn) for turn in asked]
            return _joined(context, self._answer("completion")), "completion"
        field = "messages" if self._form is Form.MESSAGES else "conversations"
        return self._listed(field), field

    def _listed(self, field: str) -> list[Turn] | None:
        """A column of turns, after the system prompt that may have a column of its own."""
        system = self._system()
        if self._lacks(field):
            return None
        turns = self._turns.read(self._row[field], field)
        return self._after_system(system, turns, field)

    def _system(self) -> list[Turn]:
        system = self._found.optional_text(self._row, "system") if "system" in self._row else ""
        return [("system", made.message("system", system))] if system else []

    def _after_system(
        self, system: list[Turn], turns: list[Turn] | None, field: str
    ) -> list[Turn] | None:
        if not system or not turns:
            return turns
        if turns[0][1].role == "system":
            says = (
                f"stands beside a system turn in `{self._found.theirs(field)}`. Keep one of them."
            )
            self._found.about(Code.NOT_SUPPORTED, "system", says)
        return system + turns

    def _alpaca(self) -> list[Turn] | None:
        """`instruction` and `input` are joined by a line break, as LLaMA-Factory does."""
        found, row = self._found, self._row
        system = self._system()
        history = self._history(row.get("history"))
        if "instruction" not in row and "input" not in row:
            self._lacks("instruction")
            return None
        given = [name for name in ("instruction", "input") if row.get(name) is not None]
        parts = [found.text(row[name], name) for name in given]
        if history is None or None in parts:
            return None
        question = "\n".join(part for part in parts if part)
        asked = self._turns.user(question, "instruction")
        return [*system, *history, ("instruction", asked)]

    def _history(self, history: object) -> list[Turn] | None:
        """Earlier turns, whose answers are learned too."""
        found, turns = self._found, self._turns
        if history is None:
            return []
        if not isinstance(history, list):
            found.wrong_type("history", history, "Make it a list of [question, answer] pairs.")
            return None
        if turns.too_many(2 * len(history) + 2, "history"):
            return None
        read: list[Turn] = []
        for i, pair in enumerate(history):
            field = f"history[{i}]"
            if not isinstance(pair, list) or len(pair) != 2:
                found.about(Code.WRONG_TYPE, field, "is no [question, answer] pair. Make it one.")
                continue
            question = found.text(pair[0], f"{field}[0]")
            answer = found.text(pair[1], f"{field}[1]")
            if question is not None and answer is not None:
                read.append((f"{field}[0]", turns.user(question, f"{field}[0]")))
                read.append((f"{field}[1]", turns.assistant(answer, f"{field}[1]")))
        return read if len(read) == 2 * len(history) else None

    def _prompt(self) -> list[Turn] | None:
        """A question, or the turns before the answer."""
        system = self._system()
        if self._lacks("prompt"):
            return None
        turns = self._turns.question(self._row["prompt"], "prompt")
        return self._after_system(system, turns, "prompt")

    def _answer(self, name: str) -> list[Turn] | None:
        """An answer, or the turns that are one. LLaMA-Factory's alpaca knows only texts."""
        if self._lacks(name):
            return None
        value = self._row[name]
        if self._form is Form.ALPACA and isinstance(value, dict | list):
            self._found.wrong_type(name, value, "Write text there.")
            return None
        return self._turns.answer(value, name)

    def _label(self) -> bool | None:
        found, row = self._found, self._row
        name = "kto_tag" if row.get("kto_tag") is not None else "label"
        value = row.get(name)
        if value is None:
            found.missing("label", "Add true for a good answer, false for a bad one.")
        elif isinstance(value, bool | int | float) and value in (0, 1):
            return bool(value)
        elif isinstance(value, str) and value.strip().lower() in shape.LABELS:
            label = shape.LABELS[value.strip().lower()]
            says = f"is the text {value[:40]!r}. The repair makes it {str(label).lower()}."
            found.repair(Code.LABEL_AS_TEXT, name, says)
            return label
        else:
            what = repr(value[:40]) if isinstance(value, str) else json_kind(value)
            says = f"is {what}. Write true for a good answer, false for a bad one."
            found.about(Code.BAD_LABEL, name, says)
        return None

    # Preferences.

    def _preference(self) -> Row | None:
        found, row = self._found, self._row
        openai = self._form is Form.MESSAGES and row.keys().isdisjoint(("chosen", "rejected"))
        names = ("preferred_output", "non_preferred_output") if openai else ("chosen", "rejected")
        chosen, rejected = self._answer(names[0]), self._answer(names[1])
        tools = read_tools(found, row)
        shared: list[Turn] = []
        if self._form is Form.PROMPT_COMPLETION and chosen and rejected:
            shared = _shared(chosen, rejected)
        if shared:
            asked, field = self._implicit(shared), names[0]
        elif openai and "input" in row:
            asked, tools = self._input(row["input"])
            field = "input.messages"
        else:
            asked, field = self._asked()
        if not chosen or not rejected:
            return None
        chosen = repair.side(found, chosen[len(shared) :], names[0])
        rejected = repair.side(found, rejected[len(shared) :], names[1])
        if _said(chosen) == _said(rejected):
            says = f"says the same as `{found.theirs(names[0])}`. Change one, or remove the row."
            found.about(Code.SAME_ANSWERS, names[1], says)
        if asked is None:
            return None
        asked = repair.prompt(found, asked, field)
        if tools:
            check_calls(found, [*asked, *chosen, *rejected], tools)
        return made.row(
            found.line,
            Kind.PREFERENCE,
            messages=_said(asked),
            tools=tools,
            chosen=_said(chosen),
            rejected=_said(rejected),
        )

    def _asked(self) -> tuple[list[Turn] | None, str]:
        """The prompt that the form has a column for, and that column."""
        if self._form is Form.ALPACA:
            return self._alpaca(), "instruction"
        if self._form is Form.PROMPT_COMPLETION:
            return self._prompt(), "prompt"
        field = "messages" if self._form is Form.MESSAGES else "conversations"
        return self._listed(field), field

    def _input(self, value: object) -> tuple[list[Turn] | None, str]:
        """OpenAI's prompt of a preference: the turns, and the tools."""
        found = self._found
        if not isinstance(value, dict):
            found.wrong_type("input", value, 'Write {"messages": [ … ]} there.')
            return None, ""
        tools = read_tools(found, value, "input.")
        if "messages" not in value:
            found.missing("input.messages")
            return None, tools
        system = self._system()
        turns = self._turns.read(value["messages"], "input.messages")
        return self._after_system(system, turns, "input.messages"), tools

    def _implicit(self, shared: list[Turn]) -> list[Turn] | None:
        """TRL's implicit prompt: what both conversations start with. A `prompt` beside it may only
        repeat some of it.
        """
        found, given = self._found, self._row.get("prompt")
        repeated = self._turns.question(given, "prompt") if given else []
        if repeated is None:
            return None
        known = _said(shared)
        if not all(message in known for message in _said(repeated)):
            says = "is not what both answers start with. Remove it from the row, or from them."
            found.about(Code.WRONG_TYPE, "prompt", says)
        return self._after_system(self._system(), shared, "chosen")


def _joined(asked: list[Turn] | None, answer: list[Turn] | None) -> list[Turn] | None:
    return None if asked is None or answer is None else asked + answer


def _context(turn: Turn) -> Turn:
    """As TRL does: of a prompt and its completion, only the completion is learned."""
    place, message = turn
    if message.role != "assistant":
        return turn
    return place, message.model_copy(update={"weight": 0})


def _said(turns: list[Turn]) -> tuple[Message, ...]:
    return tuple([message for _, message in turns])


def _shared(chosen: list[Turn], rejected: list[Turn]) -> list[Turn]:
    """What two whole conversations start with before each gives its answer; empty where the sides
    of a pair are answers alone, or share no question.
    """
    shared = 0
    if "assistant" in {chosen[0][1].role, rejected[0][1].role}:
        return []
    for i, ((_, ours), (_, theirs)) in enumerate(zip(chosen, rejected, strict=False)):
        if ours.role == theirs.role == "assistant":
            shared = i
        if ours != theirs:
            break
    return chosen[:shared]
