"""Rows and their parts made of values that were just looked at, without asking again.

Pydantic takes five times as long to make one, and a file has millions.
"""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from api.rows.words import Kind, Message, Parsed, Problem, Role, Row, ToolCall

_Model = TypeVar("_Model", bound=BaseModel)

_slots = vars(BaseModel)
_put_values = _slots["__dict__"].__set__
_put_names = _slots["__pydantic_fields_set__"].__set__
_put_extra = _slots["__pydantic_extra__"].__set__
_put_private = _slots["__pydantic_private__"].__set__
_NAMES: set[str] = set()  # nobody asks which fields were given


def message(
    role: Role,
    content: str,
    *,
    weight: Literal[0, 1] = 1,
    reasoning: str = "",
    tool_calls: tuple[ToolCall, ...] = (),
    name: str | None = None,
    tool_call_id: str | None = None,
) -> Message:
    return _made(
        Message,
        {
            "role": role,
            "content": content,
            "weight": weight,
            "reasoning": reasoning,
            "tool_calls": tool_calls,
            "name": name,
            "tool_call_id": tool_call_id,
        },
    )


def row(
    line: int,
    kind: Kind,
    *,
    messages: tuple[Message, ...] = (),
    tools: str = "",
    text: str = "",
    chosen: tuple[Message, ...] = (),
    rejected: tuple[Message, ...] = (),
    label: bool | None = None,
) -> Row:
    return _made(
        Row,
        {
            "line": line,
            "kind": kind,
            "messages": messages,
            "tools": tools,
            "text": text,
            "chosen": chosen,
            "rejected": rejected,
            "label": label,
        },
    )


def parsed(row: Row | None, problems: tuple[Problem, ...]) -> Parsed:
    return _made(Parsed, {"row": row, "problems": problems})


def _made(model: type[_Model], values: dict[str, Any]) -> _Model:
    one = object.__new__(model)
    _put_values(one, values)
    _put_names(one, _NAMES)
    _put_extra(one, None)
    _put_private(one, None)
    return one
