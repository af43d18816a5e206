"""A conversation as a chat template sees it: its texts, and the shape they stand in.

Two conversations of one shape differ only in their texts. A shape is what renderings are kept by.
"""

import json
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from api.rows.words import Message, ToolCall
from workers.engine.template.words import Conversation, TemplateError

# Mappings in whose place a schema has names of the user's own; elsewhere keys are JSON Schema's.
_NAMED_BY_USERS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_WORD = re.compile(r"[$A-Za-z]+")
_VALUES = frozenset({"default", "const", "enum", "example", "examples"})


class _Mapping(dict[Any, Any]):
    """A mapping that a template reads or writes as JSON, never as Python would."""

    def __repr__(self) -> str:
        raise TypeError("it writes a mapping as it is")


class _List(list[Any]):
    """A list, likewise."""

    def __repr__(self) -> str:
        raise TypeError("it writes a list as it is")


@dataclass(frozen=True, slots=True)
class Habits:
    """How this template wants to be given what not every template knows."""

    arguments: Literal["mapping", "text"] | None = "mapping"  # of tool calls; None: unknown to it
    thoughts: Literal["field", "content"] | None = "field"  # None: it drops them


@dataclass(frozen=True, slots=True)
class Text:
    """Where one text of a conversation comes from; message -1 is the list of tools."""

    message: int
    part: Literal["content", "reasoning", "tool", "argument", "other"]


@dataclass(slots=True)
class Shaped:
    """A conversation with a mark in place of each text."""

    turns: list[dict[str, Any]]
    tools: list[Any] | None
    thinking: bool
    texts: list[str] = field(default_factory=list)
    origins: list[Text] = field(default_factory=list)
    ends_at: list[int] = field(default_factory=list)  # for each message, how many texts up to it

    def before(self, message: int) -> "Shaped":
        """What was said before this message."""
        return replace(self, turns=_List(self.turns[:message]))


def shape_of(conversation: Conversation) -> tuple[Hashable, list[str]] | None:
    """The key and the texts, at once, of a conversation without tools; None for others."""
    if conversation.tools:
        return None
    key: list[Hashable] = [conversation.thinking]
    texts = []
    for message in conversation.messages:
        role, reasoning = message.role, message.reasoning
        if message.tool_calls or role == "tool" or message.name is not None:
            return None
        key.append((role, message.weight, not reasoning))
        if reasoning and role == "assistant":
            texts.append(reasoning)
        texts.append(message.content)
    return tuple(key), texts


def shaped(
    conversation: Conversation,
    habits: Habits,
    mark: Callable[[int], str],
    *,
    say_no_thoughts: bool = False,
) -> Shaped:
    """Marks for texts. `say_no_thoughts`: answers without thoughts are given as such, so that the
    template does not look for thoughts in what they say."""
    tools = _json(conversation.tools, "tools") if conversation.tools else None
    if tools is not None and not isinstance(tools, list):
        raise TemplateError("tools is not a list")
    made = Shaped(_List(), None, conversation.thinking)
    known: dict[str, str] = {}  # one mark for what is equal: a name among `required` is a key

    def text(value: str, message: int, part: Any = "other") -> str:
        made.texts.append(value)
        made.origins.append(Text(message, part))
        return mark(len(made.texts) - 1)

    def of_tools(value: str) -> str:
        if value not in known:
            known[value] = text(value, -1, "tool" if value in names else "other")
        return known[value]

    if tools:
        names = {_tool_name(tool) for tool in tools}
        made.tools = _List(_schema(tool, of_tools) for tool in tools)
    for number, message in enumerate(conversation.messages):
        turn = _turn(message, number, habits, text)
        if say_no_thoughts and message.role == "assistant" and not message.reasoning:
            turn["reasoning_content"] = turn["thinking"] = ""
        made.turns.append(turn)
        made.ends_at.append(len(made.texts))
    return made


def _turn(
    message: Message, number: int, habits: Habits, text: Callable[..., str]
) -> dict[str, Any]:
    turn = _Mapping(role=message.role, content="")
    if message.reasoning and message.role == "assistant":
        thoughts = text(message.reasoning, number, "reasoning")
        if habits.thoughts == "field":
            # Under both names, as transformers gives them.
            turn["reasoning_content"] = turn["thinking"] = thoughts
        elif habits.thoughts == "content":
            turn["content"] = f"<think>\n{thoughts}\n</think>\n\n"
    turn["content"] += text(message.content, number, "content")
    if message.name is not None:
        turn["name"] = text(message.name, number)
    if message.tool_call_id is not None:
        turn["tool_call_id"] = text(message.tool_call_id, number)
    if message.tool_calls:
        turn["tool_calls"] = _List(_call(call, number, habits, text) for call in message.tool_calls)
    return turn


def _call(call: ToolCall, number: int, habits: Habits, text: Callable[..., str]) -> dict[str, Any]:
    arguments = _json(call.arguments, "the arguments of a tool call")
    if not isinstance(arguments, dict):
        raise TemplateError("the arguments of a tool call are not an object")
    made = _Mapping(type="function")
    if call.id is not None:
        made["id"] = text(call.id, number)
    name = text(call.name, number, "tool")
    if habits.arguments == "text":
        given: Any = text(call.arguments, number, "argument")
    else:
        given = _data(arguments, lambda value: text(value, number, "argument"))
    made["function"] = _Mapping(name=name, arguments=given)
    return made


def _json(text: str, what: str) -> Any:
    """JSON whose texts can be told to a tokenizer."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"{what} cannot be read as JSON: {error}") from error
    return value


def _data(value: Any, text: Callable[[str], str]) -> Any:
    """JSON with every text in it marked, keys too."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return _Mapping((text(key), _data(item, text)) for key, item in value.items())
    if isinstance(value, list):
        return _List(_data(item, text) for item in value)
    return value


def _tool_name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise TemplateError("a tool has no name")
    return name


def _schema(value: Any, text: Callable[[str], str]) -> Any:
    """A tool's definition: its texts marked, and those keys that are not of the format."""
    if isinstance(value, list):
        return _List(_schema(item, text) for item in value)
    if not isinstance(value, dict):
        return _data(value, text)
    made = _Mapping()
    for key, item in value.items():
        if key in _NAMED_BY_USERS and isinstance(item, dict):
            made[key] = _Mapping((text(name), _schema(of, text)) for name, of in item.items())
        elif key in _VALUES:
            made[key] = _data(item, text)
        else:
            made[key if _WORD.fullmatch(key) else text(key)] = _schema(item, text)
    return made
