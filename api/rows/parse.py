"""One object of a file, in whichever form, to a `Row` or to everything that is wrong with it.

Text stays as it was written, to the byte. What is not read is a problem where leaving it out would
change the meaning, and named by `ignored` where not. No I/O.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

from api.rows.words import Form, Message, Problem, Role, Row
from api.rows.words import ProblemCode as Code

MESSAGES_PER_ROW_MAX = 1_000

# What each form reads, and what it would be wrong to leave out in silence.
_READ: dict[Form, frozenset[str]] = {
    Form.MESSAGES: frozenset({"messages"}),
    Form.ALPACA: frozenset({"instruction", "input", "output", "system", "history"}),
    Form.SHAREGPT: frozenset({"conversations", "system"}),
}
_NOT_SUPPORTED_IN_ROW = {
    "tools": "tool definitions",
    "functions": "function definitions",
    "images": "images",
    "videos": "videos",
    "audios": "sounds",
    "chosen": "preference pairs",
    "rejected": "preference pairs",
    "preferred_output": "preference pairs",
    "non_preferred_output": "preference pairs",
    "kto_tag": "preference labels",
}
_NOT_SUPPORTED_IN_MESSAGE = {
    "tool_calls": "tool calls",
    "function_call": "function calls",
    "tool_call_id": "tool call ids",
    "tools": "tool definitions",
    "functions": "function definitions",
    "name": "participants' names",
    "refusal": "refusals beside the content",
    "audio": "sounds",
    "images": "images",
    "reasoning_content": "thoughts beside the content",
    "reasoning": "thoughts beside the content",
    "thinking": "thoughts beside the content",
}
_OTHER_SHAPES = (
    ({"prompt", "completion"}, "prompt/completion pairs"),
    ({"chosen", "rejected"}, "preference pairs"),
    ({"preferred_output"}, "preference pairs"),
    ({"text"}, "plain text"),
)
_ROLES: dict[Form, dict[str, Role]] = {
    Form.MESSAGES: {
        "system": "system",
        "developer": "system",
        "user": "user",
        "assistant": "assistant",
        "tool": "tool",
    },
    Form.SHAREGPT: {
        "system": "system",
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "assistant": "assistant",
        "chatgpt": "assistant",
        "model": "assistant",
        "observation": "tool",
        "tool": "tool",
    },
}
_TOOL_ROLES = frozenset({"function", "function_call", "tool_call"})
_KEYS = {Form.MESSAGES: ("role", "content"), Form.SHAREGPT: ("from", "value")}
_LIST_FIELD = {Form.MESSAGES: "messages", Form.ALPACA: "output", Form.SHAREGPT: "conversations"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def detect(obj: object) -> Form | None:
    """The form of one object, by its keys alone; None where it is none that we know."""
    if not isinstance(obj, dict):
        return None
    if "messages" in obj:
        return Form.MESSAGES
    if "conversations" in obj:
        return Form.SHAREGPT
    return Form.ALPACA if "instruction" in obj or {"input", "output"} <= obj.keys() else None


def parse_row(
    obj: object, *, form: Form | None, line: int, messages_max: int = MESSAGES_PER_ROW_MAX
) -> Row | tuple[Problem, ...]:
    """The row, or everything that is wrong with it. `form` is the file's; None: no known one."""
    found = _Findings(line)
    if not isinstance(obj, dict):
        found.add(Code.NOT_AN_OBJECT, None, f"The row is {_kind(obj)}. Make it a JSON object.")
        return tuple(found.problems)
    actual = detect(obj)
    if actual is None or form is None:
        found.add(Code.UNKNOWN_FORM, None, _unknown_form(obj))
    elif actual is not form:
        what = f"The row is in {actual} form, the file's first rows in {form} form."
        found.add(Code.OTHER_FORM, None, f"{what} Keep one form in a file.")
    else:
        _refuse(found, obj, _NOT_SUPPORTED_IN_ROW, "")
        messages = _READERS[form](found, obj, messages_max)
        _check_conversation(found, messages, _LIST_FIELD[form])
        if not found.problems:
            return Row(line=line, messages=tuple(messages))
    return tuple(found.problems)


def ignored(obj: dict[str, Any], form: Form) -> Iterator[str]:
    """Names of what the row has and its form does not read: `id`, `messages[].created`."""
    yield from (shown(key) for key in obj if key not in _READ[form])
    if form is Form.ALPACA:
        return
    name = _LIST_FIELD[form]
    turns = obj.get(name)
    seen: set[str] = set()
    for turn in turns if isinstance(turns, list) else ():
        seen.update(turn.keys() - {"weight", *_KEYS[form]} if isinstance(turn, dict) else ())
    yield from (f"{name}[].{shown(key)}" for key in sorted(seen))


def shown(name: str) -> str:
    """A user's name for a field, safe to show and to store: no control characters, not long."""
    return repr(name[:40])[1:-1]


class _Findings:
    """The problems of one row as they are found."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.problems: list[Problem] = []

    def add(self, code: Code, field: str | None, message: str) -> None:
        self.problems.append(Problem(line=self.line, field=field, code=code, message=message))

    def about(self, code: Code, field: str, says: str) -> None:
        """A sentence whose subject is the field."""
        self.add(code, field, f"`{field}` {says}")

    def missing(self, field: str) -> None:
        self.about(Code.MISSING_FIELD, field, "is missing. Add it.")

    def wrong_type(self, field: str, value: object, do: str) -> None:
        self.about(Code.WRONG_TYPE, field, f"is {_kind(value)}. {do}")

    def text(self, value: object, field: str) -> str | None:
        """The value where it is text that every later stage can carry."""
        if not isinstance(value, str):
            self.wrong_type(field, value, "Write text there.")
        elif "\0" in value:
            self.about(Code.NUL_CHARACTER, field, "holds a NUL character (U+0000). Remove it.")
        elif not value.isascii() and _SURROGATE.search(value):
            self.about(Code.LONE_SURROGATE, field, "holds half a character (a lone surrogate).")
        else:
            return value
        return None

    def optional_text(self, obj: dict[str, Any], key: str) -> str:
        """A field that may be absent, null or empty: all three mean that there is none."""
        return "" if obj.get(key) is None else self.text(obj[key], key) or ""


# One reader a form: finds every problem, and returns what could be read.


def _read_messages(found: _Findings, obj: dict[str, Any], messages_max: int) -> list[Message]:
    if obj.get("system"):
        says = "stands beside `messages`. Make it the first message, with role `system`."
        found.about(Code.NOT_SUPPORTED, "system", says)
    return _read_turns(found, obj["messages"], Form.MESSAGES, messages_max)


def _read_sharegpt(found: _Findings, obj: dict[str, Any], messages_max: int) -> list[Message]:
    system = found.optional_text(obj, "system")
    turns = _read_turns(found, obj["conversations"], Form.SHAREGPT, messages_max)
    if not system:
        return turns
    if turns and turns[0].role == "system":
        says = "stands beside a system turn in `conversations`. Keep one of them."
        found.about(Code.NOT_SUPPORTED, "system", says)
    return [Message(role="system", content=system), *turns]


def _read_alpaca(found: _Findings, obj: dict[str, Any], messages_max: int) -> list[Message]:
    """`instruction` and `input` are joined by a newline, as LLaMA-Factory does."""
    messages: list[Message] = []
    if system := found.optional_text(obj, "system"):
        messages.append(Message(role="system", content=system))
    messages += _read_history(found, obj.get("history"), messages_max)
    before = len(found.problems)
    parts = [found.optional_text(obj, key) for key in ("instruction", "input")]
    question = "\n".join(part for part in parts if part)
    if len(found.problems) == before:
        _check_question(found, question, "instruction")
    messages.append(Message(role="user", content=question))
    if "output" not in obj:
        found.missing("output")
    elif (output := found.text(obj["output"], "output")) is not None:
        _check_answer(found, output, "output")
        messages.append(Message(role="assistant", content=output))
    return messages


def _read_history(found: _Findings, history: object, messages_max: int) -> list[Message]:
    """Earlier turns, whose answers are learned too."""
    if history is None:
        return []
    if not isinstance(history, list):
        found.wrong_type("history", history, "Make it a list of [question, answer] pairs.")
        return []
    if _too_many(found, 2 * len(history) + 2, "history", messages_max):
        return []
    messages: list[Message] = []
    for index, pair in enumerate(history):
        field = f"history[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            found.about(Code.WRONG_TYPE, field, "is no [question, answer] pair. Make it one.")
            continue
        question = found.text(pair[0], f"{field}[0]")
        answer = found.text(pair[1], f"{field}[1]")
        if question is not None and answer is not None:
            _check_question(found, question, f"{field}[0]")
            _check_answer(found, answer, f"{field}[1]")
            messages.append(Message(role="user", content=question))
            messages.append(Message(role="assistant", content=answer))
    return messages


def _read_turns(found: _Findings, turns: object, form: Form, messages_max: int) -> list[Message]:
    name = _LIST_FIELD[form]
    if not isinstance(turns, list):
        found.wrong_type(name, turns, "Make it a list of turns.")
        return []
    if not turns:
        found.about(Code.NO_MESSAGES, name, "is empty. Add turns, or remove the row.")
        return []
    if _too_many(found, len(turns), name, messages_max):
        return []
    read = (_read_turn(found, turn, form, f"{name}[{i}]") for i, turn in enumerate(turns))
    return [message for message in read if message is not None]


def _read_turn(found: _Findings, turn: object, form: Form, field: str) -> Message | None:
    if not isinstance(turn, dict):
        found.wrong_type(field, turn, "Make each turn an object.")
        return None
    role_key, text_key = _KEYS[form]
    refused = _refuse(found, turn, _NOT_SUPPORTED_IN_MESSAGE, f"{field}.")
    role = _read_role(found, turn, form, f"{field}.{role_key}")
    text = None
    if turn.get(text_key) is not None or not refused:
        # A turn of tool calls alone has null content: one problem says it all.
        text = _read_content(found, turn, f"{field}.{text_key}", text_key)
    weight = _read_weight(found, turn.get("weight"), role, f"{field}.weight")
    if role is None or text is None or weight is None:
        return None
    if role == "user":
        _check_question(found, text, f"{field}.{text_key}")
    if role == "assistant" and weight == 1:
        _check_answer(found, text, f"{field}.{text_key}")
    return Message(role=role, content=text, weight=weight)


def _read_role(found: _Findings, turn: dict[str, Any], form: Form, field: str) -> Role | None:
    key, roles = _KEYS[form][0], _ROLES[form]
    value = turn.get(key)
    if key not in turn:
        found.missing(field)
    elif not isinstance(value, str):
        found.wrong_type(field, value, "Write a role's name there.")
    elif value in _TOOL_ROLES:
        says = f"is {value!r}: calling tools is not supported yet. Remove the row."
        found.about(Code.NOT_SUPPORTED, field, says)
    elif value not in roles:
        says = f"is {value[:40]!r}. Use one of: {', '.join(roles)}."
        found.about(Code.UNKNOWN_ROLE, field, says)
    else:
        return roles[value]
    return None


def _read_content(found: _Findings, turn: dict[str, Any], field: str, key: str) -> str | None:
    """Text, or a list of text parts, which are joined with nothing between them."""
    if key not in turn:
        found.missing(field)
        return None
    value = turn[key]
    if not isinstance(value, list):
        return found.text(value, field)
    texts = [_read_part(found, part, f"{field}[{i}]") for i, part in enumerate(value)]
    whole = [text for text in texts if text is not None]
    return "".join(whole) if len(whole) == len(texts) else None


def _read_part(found: _Findings, part: object, field: str) -> str | None:
    if not isinstance(part, dict) or "type" not in part:
        says = 'is no content part. Write {"type": "text", "text": …}, or plain text.'
        found.about(Code.WRONG_TYPE, field, says)
    elif part["type"] != "text":
        says = "is not text: images, audio and files are not supported yet."
        found.about(Code.NOT_SUPPORTED, f"{field}.type", says)
    elif "text" not in part:
        found.missing(f"{field}.text")
    else:
        return found.text(part["text"], f"{field}.text")
    return None


def _read_weight(
    found: _Findings, weight: object, role: Role | None, field: str
) -> Literal[0, 1] | None:
    if weight is None:
        return 1
    if isinstance(weight, bool) or weight not in (0, 1):
        found.about(Code.BAD_WEIGHT, field, "must be 1 (learn this answer) or 0 (context only).")
        return None
    if weight == 1 and role not in ("assistant", None):
        says = f"is 1 on a {role} turn, and only answers are learned. Remove it."
        found.about(Code.BAD_WEIGHT, field, says)
        return None
    return 1 if weight == 1 else 0


def _check_conversation(found: _Findings, messages: list[Message], field: str) -> None:
    """What only the turns together can lack; asked only of a row that could be read whole."""
    if found.problems:
        return
    answers = [message for message in messages if message.role == "assistant"]
    if not answers:
        says = "has no assistant turn, so there is nothing to learn. Add the answer."
        found.about(Code.NO_ANSWER, field, says)
    elif not any(message.weight for message in answers):
        says = "has weight 0 on every answer, so there is nothing to learn. Give one weight 1."
        found.about(Code.NOTHING_SUPERVISED, field, says)
    elif messages[-1].role != "assistant":
        says = f"ends with a {messages[-1].role} turn. Add the answer to it, or remove the turn."
        found.about(Code.LAST_TURN_NOT_ASSISTANT, field, says)


def _check_question(found: _Findings, text: str, field: str) -> None:
    if not text.strip():
        says = "is empty. Write what the user says, or remove the turn."
        found.about(Code.EMPTY_QUESTION, field, says)


def _check_answer(found: _Findings, text: str, field: str) -> None:
    if not text.strip():
        says = "is empty. Write the answer to learn, or remove the turn."
        found.about(Code.EMPTY_ANSWER, field, says)


def _too_many(found: _Findings, count: int, field: str, messages_max: int) -> bool:
    if count <= messages_max:
        return False
    says = f"makes {count:,} turns; the most is {messages_max:,} (messages_per_row_max). Split it."
    found.about(Code.TOO_MANY_MESSAGES, field, says)
    return True


def _refuse(found: _Findings, obj: dict[str, Any], names: dict[str, str], prefix: str) -> bool:
    """A field that holds something and that we would have to leave out. True where there is one."""
    refused = [key for key in obj if key in names and obj[key] not in (None, "", [], {})]
    for key in refused:
        says = f"holds {names[key]}, which are not supported yet. Remove the field or the row."
        found.about(Code.NOT_SUPPORTED, f"{prefix}{key}", says)
    return bool(refused)


def _unknown_form(obj: dict[str, Any]) -> str:
    known = (
        "Use `messages` (OpenAI), `instruction`/`input`/`output` (alpaca) or `conversations` "
        "(sharegpt)."
    )
    for keys, name in _OTHER_SHAPES:
        if keys <= obj.keys():
            return f"The row looks like {name}, not supported yet. {known}"
    if len(obj) == 1 and isinstance(next(iter(obj.values())), list):
        return (
            "The row is one object around a list. Upload the list itself as a JSON array, or one "
            "object a line."
        )
    names = ", ".join(f"`{shown(key)}`" for key in list(obj)[:10]) or "nothing"
    return f"The row has {names}: no form that we know. {known}"


def _kind(value: object) -> str:
    """A JSON value's type in words."""
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list"}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value), "an object")


_READERS = {
    Form.MESSAGES: _read_messages,
    Form.ALPACA: _read_alpaca,
    Form.SHAREGPT: _read_sharegpt,
}
