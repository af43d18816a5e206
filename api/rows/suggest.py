"""What a row of no form that we know might be meant as: the mapping that would read it."""

from typing import Any

import orjson

from api.rows.findings import names_of, shown

_FORMS = (
    "We read `messages` (OpenAI), `conversations` (sharegpt), `instruction`/`input`/`output` "
    "(alpaca), `prompt`/`completion`, `chosen`/`rejected` (preferences) and `text`."
)
# In the order in which they are looked for: the first that a row has is it.
_QUESTION = (
    "instruction", "question", "query", "prompt", "problem", "user", "human", "source", "request",
    "ask", "input", "q", "问题", "问", "提问", "指令",
)  # fmt: skip
_CONTEXT = ("input", "context", "passage", "背景", "输入")
_ANSWER = (
    "output", "answer", "response", "completion", "target", "reply", "assistant", "gpt", "solution",
    "answers", "a", "回答", "答案", "答", "输出",
)  # fmt: skip
_CHOSEN = ("chosen", "chosen_response", "preferred", "accepted", "better")
_REJECTED = ("rejected", "rejected_response", "dispreferred", "worse")
_SYSTEM = ("system", "system_prompt", "系统")
_TEXT = ("text", "content", "document", "body", "文本", "内容")


def unknown_form(row: dict[str, Any]) -> str:
    """The message for a row that is in none of the forms."""
    if len(row) == 1 and isinstance(inner := next(iter(row.values())), list) and not _turns(inner):
        return (
            "The row is one object around a list. Upload the list itself as a JSON array, or one "
            "object a line."
        )
    hint = suggestion(row)
    return f"The row has {names_of(row)}: no form that we know. {hint or _FORMS}"


def suggestion(row: dict[str, Any]) -> str:
    """A sentence with the mapping to send; empty where none comes to mind."""
    columns = _columns(row)
    if not columns:
        return ""
    mapping = orjson.dumps({"columns": columns}).decode()
    return f"If that is what is meant, send the mapping {mapping}."


def _columns(row: dict[str, Any]) -> dict[str, str]:
    for name, value in row.items():
        if (ours := _turns(value)) and shown(name) == name:
            return {ours: name}
    texts = {name.strip().lower(): name for name, value in row.items() if isinstance(value, str)}
    question, answer = _first(texts, _QUESTION), _first(texts, _ANSWER)
    chosen, rejected = _first(texts, _CHOSEN), _first(texts, _REJECTED)
    columns: dict[str, str] = {}
    if question and chosen and rejected:
        columns = {"prompt": question, "chosen": chosen, "rejected": rejected}
    elif question and answer:
        context = _first({key: name for key, name in texts.items() if name != question}, _CONTEXT)
        if context:
            columns = {"instruction": question, "input": context, "output": answer}
        else:
            columns = {"prompt": question, "completion": answer}
    elif text := _first(texts, _TEXT):
        return {"text": text}
    if columns and (system := _first(texts, _SYSTEM)):
        columns["system"] = system
    return columns


def _first(names: dict[str, str], wanted: tuple[str, ...]) -> str:
    return next((names[name] for name in wanted if name in names), "")


def _turns(value: object) -> str:
    """Our name for a list of turns; empty where it is none."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, dict):
        if "role" in first and "content" in first:
            return "messages"
        if "from" in first and "value" in first:
            return "conversations"
    return ""
