"""Tools in a row: the functions that are defined, and the calls that the assistant makes of them.

Definitions become the JSON text of one list in OpenAI's form; a call's arguments become the JSON
text of an object. Text that is already so stays as it was written, to the byte.
"""

import json
from collections.abc import Iterable
from typing import Any

import orjson

from api.rows.findings import Findings, shown
from api.rows.words import Message, ToolCall, Verdict
from api.rows.words import ProblemCode as Code

_DEFINE = 'Write {"type": "function", "function": {"name": …, "parameters": {…}}}.'
_CALL = 'Write {"name": …, "arguments": {…}}.'


def read_tools(found: Findings, obj: dict[str, Any], prefix: str = "") -> str:
    """The row's `tools`, or the old `functions`; empty where there are none, or bad ones."""
    tools, functions = obj.get("tools"), obj.get("functions")
    if functions and tools:
        says = "stands beside `tools`. Keep one of them."
        found.about(Code.BAD_TOOLS, f"{prefix}functions", says)
        return ""
    if functions:
        return _definitions(found, functions, f"{prefix}functions")
    return _definitions(found, tools, f"{prefix}tools") if tools else ""


def _definitions(found: Findings, value: object, field: str) -> str:
    tools = _loaded(found, value, field)
    if tools is None:
        return ""
    if not isinstance(tools, list):
        found.about(Code.BAD_TOOLS, field, f"is no list of function definitions. {_DEFINE}")
        return ""
    wrapped = [_definition(found, tool, f"{field}[{i}]") for i, tool in enumerate(tools)]
    if not wrapped or None in wrapped:
        return ""
    if isinstance(value, str) and wrapped == tools:
        return value
    return found.text(json.dumps(wrapped, ensure_ascii=False), field) or ""


def _definition(found: Findings, tool: object, field: str) -> dict[str, Any] | None:
    """In OpenAI's form, also where it was a bare {"name", "description", "parameters"}."""
    body = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or not isinstance(body, dict):
        found.about(Code.BAD_TOOLS, field, f"is no function definition. {_DEFINE}")
        return None
    name, parameters = body.get("name"), body.get("parameters")
    if tool.get("type", "function") != "function":
        says = "is no function: only tools of type `function` are supported. Remove it."
    elif not isinstance(name, str) or not name.strip():
        says = f"names no function. {_DEFINE}"
    elif parameters is not None and not isinstance(parameters, dict):
        says = "has `parameters` that are no object. Write a JSON Schema there."
    else:
        return {"type": "function", **tool} if "function" in tool else _wrapped(tool)
    found.about(Code.BAD_TOOLS, field, says)
    return None


def _wrapped(tool: dict[str, Any]) -> dict[str, Any]:
    function = {key: value for key, value in tool.items() if key != "type"}
    return {"type": "function", "function": function}


def read_calls(found: Findings, value: object, field: str) -> tuple[ToolCall, ...]:
    """OpenAI's `tool_calls`; those that can be read."""
    if not isinstance(value, list):
        found.about(Code.BAD_TOOLS, field, f"is no list of calls. {_CALL}")
        return ()
    read = [read_call(found, call, f"{field}[{i}]") for i, call in enumerate(value)]
    return tuple(call for call in read if call is not None)


def read_call_text(found: Findings, value: object, field: str) -> tuple[ToolCall, ...]:
    """sharegpt's function_call turn: the JSON (text) of one call or of a list of them."""
    calls = _loaded(found, value, field)
    if calls is None:
        return ()
    if calls == [] or not isinstance(calls, list | dict):
        found.about(Code.BAD_TOOLS, field, f"is no call of a function. {_CALL}")
        return ()
    if isinstance(calls, list):
        return read_calls(found, calls, field)
    call = read_call(found, calls, field)
    return () if call is None else (call,)


def read_call(found: Findings, call: object, field: str) -> ToolCall | None:
    """{"id", "function": {"name", "arguments"}}, or the function alone."""
    body = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(body, dict):
        found.about(Code.BAD_TOOLS, field, f"is no call of a function. {_CALL}")
        return None
    if call.get("type") not in (None, "function"):
        says = "calls no function: only tools of type `function` are supported. Remove the row."
        found.about(Code.BAD_TOOLS, field, says)
        return None
    id_ = found.optional_text(call, "id", f"{field}.id")
    if "function" in call:
        field = f"{field}.function"
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        found.about(Code.BAD_TOOLS, field, f"names no function. {_CALL}")
        return None
    read_name = found.text(name, f"{field}.name")
    arguments = _arguments(found, body.get("arguments"), f"{field}.arguments")
    if read_name is None or arguments is None:
        return None
    return ToolCall(name=read_name, arguments=arguments, id=id_ or None)


def _arguments(found: Findings, value: object, field: str) -> str | None:
    """A function without parameters may be called without arguments."""
    if value is None:
        return "{}"
    if isinstance(value, dict):
        return found.text(json.dumps(value, ensure_ascii=False), field)
    if not isinstance(value, str):
        found.about(Code.BAD_TOOLS, field, "is no JSON object. Write the arguments as an object.")
        return None
    text = found.text(value, field)
    if text is not None and not isinstance(_json(text), dict):
        says = "is not the JSON text of an object. Write the arguments as a JSON object."
        found.about(Code.BAD_TOOLS, field, says)
        return None
    return text


def _loaded(found: Findings, value: object, field: str) -> object:
    """The value itself, or what its JSON text holds; None, and a finding, where that is no JSON."""
    if not isinstance(value, str):
        return value
    text = found.text(value, field)
    loaded = None if text is None else _json(text)
    if text is not None and loaded is None:
        found.about(Code.BAD_TOOLS, field, "is not JSON. Write a JSON list or object.")
    return loaded


def _json(text: str) -> object:
    """None where it is no JSON (or null, which is as useless here)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def check_calls(found: Findings, turns: Iterable[tuple[str, Message]], tools: str) -> None:
    """Warn of calls of what the row's tools do not define: is it a misspelt name?"""
    names = {tool["function"]["name"] for tool in orjson.loads(tools)}
    for place, message in turns:
        for i, call in enumerate(message.tool_calls):
            if call.name not in names:
                says = f"calls `{shown(call.name)}`, which `tools` does not define. Is it misspelt?"
                found.about(Code.BAD_TOOLS, f"{place}.tool_calls[{i}]", says, Verdict.WARNED)
