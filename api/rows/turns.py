"""Turns of a conversation, in OpenAI's words or in sharegpt's, to Messages with their places."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from api.rows import made
from api.rows.findings import Findings, names_of, sound
from api.rows.tools import read_call, read_call_text, read_calls
from api.rows.words import Form, Message, Role, Tags, ToolCall, Verdict, json_kind
from api.rows.words import ProblemCode as Code

Turn = tuple[str, Message]
"""Where a turn stands in the row (`messages[2]`), and what it says."""

_Speaker = Role | Literal["call"]  # sharegpt has a role for turns that are nothing but calls

_OPENAI: dict[str, _Speaker] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",  # before there were tools
}
_SHAREGPT: dict[str, _Speaker] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
    "ipython": "tool",
    "function_call": "call",
    "tool_call": "call",
    "function": "call",
}
_REASONING = ("reasoning_content", "reasoning", "thinking")
_WEIGHTS: dict[object, Literal[0, 1]] = {
    0: 0,
    1: 1,
    "0": 0,
    "1": 1,
    "false": 0,
    "true": 1,
}  # False and True are 0 and 1 here, as in all of Python
_NOT_IN_TURN = {
    "images": "images",
    "videos": "videos",
    "audio": "sounds",
    "audios": "sounds",
    "tools": "tool definitions of one turn",
    "functions": "function definitions of one turn",
}
READ_IN_TURN = frozenset(
    {
        *_REASONING,
        *_NOT_IN_TURN,
        "weight",
        "name",
        "tool_calls",
        "function_call",
        "tool_call_id",
        "refusal",
    }
)
"""What is read of a turn besides its role and content."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file's turns say who speaks and what."""

    role: str
    content: str
    roles: dict[str, _Speaker]


@lru_cache(maxsize=256)
def dialect(form: Form, tags: Tags | None) -> Dialect:
    if tags is None:
        if form is Form.SHAREGPT:
            return Dialect("from", "value", _SHAREGPT)
        return Dialect("role", "content", _OPENAI)
    given: dict[str | None, _Speaker] = {
        tags.user: "user",
        tags.assistant: "assistant",
        tags.observation: "tool",
        tags.function: "call",
        tags.system: "system",
    }
    theirs = {word: speaker for word, speaker in given.items() if word is not None}
    return Dialect(tags.role, tags.content, _SHAREGPT | theirs)


class Turns:
    """Reads the turns of one row."""

    __slots__ = ("_content", "_found", "_most", "_role", "_roles")

    def __init__(self, found: Findings, spoken: Dialect, messages_max: int) -> None:
        self._found = found
        self._role, self._content, self._roles = spoken.role, spoken.content, spoken.roles
        self._most = messages_max

    def read(self, value: object, field: str) -> list[Turn] | None:
        """A list of turns; None, and a finding, where not all of them can be read."""
        found = self._found
        if not isinstance(value, list):
            found.wrong_type(field, value, "Make it a list of turns.")
            return None
        if not value:
            found.about(Code.NO_MESSAGES, field, "is empty. Add turns, or remove the row.")
            return None
        if self.too_many(len(value), field):
            return None
        turns = []
        for index, turn in enumerate(value):
            place = f"{field}[{index}]"
            message = self._plain(turn) or self._turn(turn, place)
            if message is not None:
                turns.append((place, message))
        return turns if len(turns) == len(value) else None

    def question(self, value: object, field: str) -> list[Turn] | None:
        """Text that a user says, or turns."""
        if isinstance(value, dict | list):
            return self._turns(value, field)
        text = self._found.text(value, field)
        return None if text is None else [(field, self.user(text, field))]

    def answer(self, value: object, field: str) -> list[Turn] | None:
        """Text that the assistant says, or turns."""
        if isinstance(value, dict | list):
            return self._turns(value, field)
        text = self._found.text(value, field)
        return None if text is None else [(field, self.assistant(text, field))]

    def user(self, text: str, field: str) -> Message:
        self._check_question(text, field)
        return made.message("user", text)

    def assistant(self, text: str, field: str) -> Message:
        reasoning, content = _split_thoughts(text)
        self._check_answer(content, field)
        return made.message("assistant", content, reasoning=reasoning)

    def too_many(self, count: int, field: str) -> bool:
        if count <= self._most:
            return False
        most = f"the most is {self._most:,} (messages_per_row_max)"
        self._found.about(
            Code.TOO_MANY_MESSAGES, field, f"makes {count:,} turns; {most}. Split it."
        )
        return True

    def _turns(self, value: dict[str, Any] | list[Any], field: str) -> list[Turn] | None:
        if isinstance(value, list):
            return self.read(value, field)
        message = self._turn(value, field)
        return None if message is None else [(field, message)]

    def _plain(self, turn: object) -> Message | None:
        """A turn as most are: a role and a text, and nothing to find. None: look at it closely."""
        if not isinstance(turn, dict) or len(turn) != 2:
            return None
        said, content = turn.get(self._role), turn.get(self._content)
        if not isinstance(said, str) or not isinstance(content, str) or not sound(content):
            return None
        role = self._roles.get(said)
        if role is None or role == "call" or not content or content.isspace():
            return None
        if role == "assistant" and content.startswith("<think>"):
            return None
        return made.message(role, content)

    def _turn(self, turn: object, field: str) -> Message | None:
        found = self._found
        if not isinstance(turn, dict):
            found.wrong_type(field, turn, "Make each turn an object.")
            return None
        speaker = self._speaker(turn, field)
        role: Role | None = "assistant" if speaker == "call" else speaker
        # Most turns have a role and a content and nothing else.
        plain = len(turn) == 2 and self._content in turn
        extras = {} if plain else self._extras(turn, role, field)
        place = f"{field}.{self._content}"
        if speaker == "call":
            extras |= self._called(turn, place)
            content: str | None = ""
        else:
            content = self._said(turn, place, role)
        if role is None or content is None:
            return None
        if role == "user":
            self._check_question(content, place)
        elif role == "assistant":
            if "reasoning" not in extras:
                # As templates do: thoughts that have their own field are not looked for in text.
                extras["reasoning"], content = _split_thoughts(content)
            if "tool_calls" not in extras and extras.get("weight") != 0:
                self._check_answer(content, place)
        return made.message(role, content, **extras)

    def _speaker(self, turn: dict[str, Any], field: str) -> _Speaker | None:
        key = self._role
        value = turn.get(key)
        if isinstance(value, str) and value in self._roles:
            return self._roles[value]
        field = f"{field}.{key}"
        if key not in turn:
            self._found.missing(field, f"The turn has {names_of(turn)}. Add who speaks.")
        elif not isinstance(value, str):
            self._found.wrong_type(field, value, "Write a role's name there.")
        else:
            says = f"is {value[:40]!r}. Use one of: {', '.join(self._roles)}."
            self._found.about(Code.UNKNOWN_ROLE, field, says)
        return None

    def _said(self, turn: dict[str, Any], field: str, role: Role | None) -> str | None:
        """A turn's content. A refusal is what is said where nothing else is; a turn that calls
        tools need not say anything.
        """
        value = turn.get(self._content)
        refusal = turn.get("refusal")
        if refusal and role == "assistant":
            field_of_refusal = f"{field.removesuffix(self._content)}refusal"
            if value in (None, ""):
                return self._found.text(refusal, field_of_refusal)
            says = "stands beside a content. Keep one of them, as the content."
            self._found.about(Code.NOT_SUPPORTED, field_of_refusal, says)
        if isinstance(value, list):
            return self._parts(value, field, role)
        if value is None and (turn.get("tool_calls") or turn.get("function_call")):
            return ""
        if self._content not in turn:
            self._found.missing(field, f"The turn has {names_of(turn)}. Add what is said.")
            return None
        return self._found.text(value, field)

    def _called(self, turn: dict[str, Any], field: str) -> dict[str, Any]:
        """The calls, and the thoughts before them, of a turn that is nothing else."""
        value = turn.get(self._content)
        if value is None:
            self._found.missing(field, "Write the call there, as JSON.")
            return {}
        if not isinstance(value, str):
            return {"tool_calls": read_call_text(self._found, value, field)}
        text = self._found.text(value, field)
        if text is None:
            return {}
        reasoning, calls = _split_thoughts(text)
        return {"reasoning": reasoning, "tool_calls": read_call_text(self._found, calls, field)}

    def _parts(self, parts: list[Any], field: str, role: Role | None) -> str | None:
        """A list of text parts, which are joined with nothing between them."""
        texts = [self._part(part, f"{field}[{i}]", role) for i, part in enumerate(parts)]
        whole = [text for text in texts if text is not None]
        return "".join(whole) if len(whole) == len(texts) else None

    def _part(self, part: object, field: str, role: Role | None) -> str | None:
        if not isinstance(part, dict) or "type" not in part:
            says = 'is no content part. Write {"type": "text", "text": …}, or plain text.'
            self._found.about(Code.WRONG_TYPE, field, says)
            return None
        key = "text"
        if part["type"] == "refusal" and role == "assistant":
            key = "refusal"
        elif part["type"] != "text":
            says = "is not text: images, audio and files are not supported. Remove the row."
            self._found.about(Code.NOT_SUPPORTED, f"{field}.type", says)
            return None
        if key not in part:
            self._found.missing(f"{field}.{key}")
            return None
        return self._found.text(part[key], f"{field}.{key}")

    def _extras(self, turn: dict[str, Any], role: Role | None, field: str) -> dict[str, Any]:
        """What a turn has besides its role and content, as Message names it."""
        found = self._found
        found.refuse(turn, _NOT_IN_TURN, f"{field}.")
        extras: dict[str, Any] = {}
        weight = self._weight(turn.get("weight"), role, f"{field}.weight")
        if weight is not None:
            extras["weight"] = weight
        for key in ("name", "tool_call_id"):
            if key != self._role and (text := found.optional_text(turn, key, f"{field}.{key}")):
                extras[key] = text
        if calls := self._calls(turn, role, field):
            extras["tool_calls"] = calls
        if reasoning := self._reasoning(turn, role, field):
            extras["reasoning"] = reasoning
        return extras

    def _weight(self, weight: object, role: Role | None, field: str) -> Literal[0, 1] | None:
        """None: not given, or bad. Only answers are learned, so only they keep one."""
        if weight is None:
            return None
        value = _WEIGHTS.get(weight) if isinstance(weight, bool | str | int | float) else None
        if value is None:
            says = "must be 1 (learn this answer) or 0 (context only)."
            self._found.about(Code.BAD_WEIGHT, field, says)
        elif value == 1 and role not in {"assistant", None}:
            says = f"is 1 on a {role} turn, and only answers are learned. Remove it."
            self._found.about(Code.BAD_WEIGHT, field, says)
        else:
            if isinstance(weight, bool | str):
                says = f"is {json_kind(weight)}. The repair makes it the number {value}."
                self._found.repair(Code.WEIGHT_AS_TEXT, field, says)
            return value if role == "assistant" else None
        return None

    def _calls(self, turn: dict[str, Any], role: Role | None, field: str) -> tuple[ToolCall, ...]:
        key = "tool_calls" if turn.get("tool_calls") else "function_call"
        value = turn.get(key)
        if not value:
            return ()
        place = f"{field}.{key}"
        if role not in {"assistant", None}:
            says = f"stands on a {role} turn, and only the assistant calls tools. Remove it."
            self._found.about(Code.BAD_TOOLS, place, says)
            return ()
        if key == "tool_calls":
            return read_calls(self._found, value, place)
        call = read_call(self._found, value, place)
        return () if call is None else (call,)

    def _reasoning(self, turn: dict[str, Any], role: Role | None, field: str) -> str:
        texts: dict[str, str] = {}
        for key in _REASONING:
            if text := self._found.optional_text(turn, key, f"{field}.{key}"):
                texts.setdefault(text, key)
        if not texts:
            return ""
        place = f"{field}.{list(texts.values())[-1]}"
        if role not in {"assistant", None}:
            says = f"holds thoughts on a {role} turn, and only the assistant's are learned."
            self._found.about(Code.NOT_SUPPORTED, place, f"{says} Remove it.")
        elif len(texts) > 1:
            says = "says something else than the turn's other thoughts. Keep one of them."
            self._found.about(Code.NOT_SUPPORTED, place, says)
        return next(iter(texts))

    def _check_question(self, text: str, field: str) -> None:
        if not text or text.isspace():
            says = "is empty. Write what the user says, or remove the turn."
            self._found.about(Code.EMPTY_QUESTION, field, says)

    def _check_answer(self, text: str, field: str) -> None:
        if not text or text.isspace():
            says = "is empty, so saying nothing is learned. Write the answer, or remove the row."
            self._found.about(Code.EMPTY_ANSWER, field, says, Verdict.WARNED)


def _split_thoughts(text: str) -> tuple[str, str]:
    """(thoughts, answer): what stands in think tags at the start, without the line breaks that
    templates put around it. An unclosed tag is text like any other.
    """
    if not text.startswith("<think>"):
        return "", text
    thoughts, closed, answer = text.removeprefix("<think>").partition("</think>")
    if not closed:
        return "", text
    thoughts = thoughts.removeprefix("\n").removesuffix("\n")
    return thoughts, answer.removeprefix("\n").removeprefix("\n")
