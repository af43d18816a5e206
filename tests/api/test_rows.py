"""Rows of every form, and all that can be wrong with one, by its place and code."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rows import Form, Message, Problem, Row, detect, ignored, parse_row
from api.rows import ProblemCode as Code

ASK = {"role": "user", "content": "Where?"}
ANSWER = {"role": "assistant", "content": "Here."}
HUMAN = {"from": "human", "value": "Where?"}
GPT = {"from": "gpt", "value": "Here."}


def row(obj: object, form: Form | None = None) -> Row:
    parsed = parse_row(obj, form=form or detect(obj), line=7)
    assert isinstance(parsed, Row), parsed
    return parsed


def problems(obj: object, form: Form | None = None) -> list[tuple[str | None, Code]]:
    parsed = parse_row(obj, form=form or detect(obj), line=7)
    assert not isinstance(parsed, Row)
    assert all(problem.line == 7 for problem in parsed)
    assert not any(problem.ends for problem in parsed)
    return [(problem.field, problem.code) for problem in parsed]


def turns(*messages: object, **extra: object) -> dict[str, object]:
    return {"messages": list(messages), **extra}


def test_each_form_is_told_by_its_keys() -> None:
    assert detect(turns(ASK)) is Form.MESSAGES
    assert detect({"conversations": []}) is Form.SHAREGPT
    assert detect({"instruction": "a"}) is Form.ALPACA
    assert detect({"input": "a", "output": "b"}) is Form.ALPACA
    assert detect({"output": "b"}) is None
    assert detect([1]) is None
    assert detect(None) is None


def test_openai_messages_become_a_row() -> None:
    developer = {"role": "developer", "content": "Be brief."}
    context = {**ANSWER, "weight": 0}
    parsed = row(turns(developer, ASK, context, ASK, {**ANSWER, "weight": 1}))
    assert parsed.line == 7
    assert [(m.role, m.content, m.weight) for m in parsed.messages] == [
        ("system", "Be brief.", 1),
        ("user", "Where?", 1),
        ("assistant", "Here.", 0),
        ("user", "Where?", 1),
        ("assistant", "Here.", 1),
    ]


def test_text_parts_are_joined_with_nothing_between_them() -> None:
    parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "ere?"}]
    assert row(turns({"role": "user", "content": parts}, ANSWER)).messages[0].content == "Where?"


def test_text_stays_as_it_was_written() -> None:
    text = "  e\u0301 \u200f<|im_end|>\r\n\t\ufeff "
    assert row(turns(ASK, {"role": "assistant", "content": text})).messages[1].content == text


def test_alpaca_becomes_a_row() -> None:
    obj = {
        "instruction": "Translate.",
        "input": "Haus",
        "output": "house",
        "system": "You translate.",
        "history": [["Hund", "dog"]],
    }
    assert row(obj).messages == (
        Message(role="system", content="You translate."),
        Message(role="user", content="Hund"),
        Message(role="assistant", content="dog"),
        Message(role="user", content="Translate.\nHaus"),
        Message(role="assistant", content="house"),
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_alpaca_fields_that_are_empty_are_not_there(empty: str | None) -> None:
    obj: dict[str, Any] = {
        "instruction": "Hi",
        "input": empty,
        "output": "Hello",
        "system": empty,
        "history": [],
    }
    assert [m.role for m in row(obj).messages] == ["user", "assistant"]
    assert row(obj).messages[0].content == "Hi"


def test_sharegpt_becomes_a_row() -> None:
    names = ["system", "human", "gpt", "user", "assistant", "observation", "gpt"]
    obj = {"conversations": [{"from": name, "value": name} for name in names]}
    roles = ["system", "user", "assistant", "user", "assistant", "tool", "assistant"]
    assert [m.role for m in row(obj).messages] == roles
    with_system = row({"conversations": [HUMAN, GPT], "system": "Be brief."})
    assert with_system.messages[0] == Message(role="system", content="Be brief.")


@pytest.mark.parametrize(
    ("obj", "field", "code"),
    [
        ([ASK, ANSWER], None, Code.NOT_AN_OBJECT),
        ("text", None, Code.NOT_AN_OBJECT),
        (None, None, Code.NOT_AN_OBJECT),
        ({"question": "a"}, None, Code.UNKNOWN_FORM),
        ({}, None, Code.UNKNOWN_FORM),
        (turns(), "messages", Code.NO_MESSAGES),
        ({"messages": "a"}, "messages", Code.WRONG_TYPE),
        (turns("a"), "messages[0]", Code.WRONG_TYPE),
        (turns(ASK), "messages", Code.NO_ANSWER),
        (turns(ASK, ANSWER, ASK), "messages", Code.LAST_TURN_NOT_ASSISTANT),
        (turns(ASK, {**ANSWER, "weight": 0}), "messages", Code.NOTHING_SUPERVISED),
        (turns(ASK, {**ANSWER, "weight": 2}), "messages[1].weight", Code.BAD_WEIGHT),
        (turns(ASK, {**ANSWER, "weight": True}), "messages[1].weight", Code.BAD_WEIGHT),
        (turns(ASK, {**ANSWER, "weight": "1"}), "messages[1].weight", Code.BAD_WEIGHT),
        (turns({**ASK, "weight": 1}, ANSWER), "messages[0].weight", Code.BAD_WEIGHT),
        (turns(ASK, {**ANSWER, "content": " \n"}), "messages[1].content", Code.EMPTY_ANSWER),
        (turns({**ASK, "content": ""}, ANSWER), "messages[0].content", Code.EMPTY_QUESTION),
        (turns(ASK, {**ANSWER, "content": None}), "messages[1].content", Code.WRONG_TYPE),
        (turns(ASK, {**ANSWER, "content": 3}), "messages[1].content", Code.WRONG_TYPE),
        (turns(ASK, {**ANSWER, "content": {}}), "messages[1].content", Code.WRONG_TYPE),
        (turns(ASK, {"role": "assistant"}), "messages[1].content", Code.MISSING_FIELD),
        (turns({"content": "a"}, ANSWER), "messages[0].role", Code.MISSING_FIELD),
        (turns({**ASK, "role": "human"}, ANSWER), "messages[0].role", Code.UNKNOWN_ROLE),
        (turns({**ASK, "role": 1}, ANSWER), "messages[0].role", Code.WRONG_TYPE),
        (turns({**ASK, "role": "function"}, ANSWER), "messages[0].role", Code.NOT_SUPPORTED),
        (turns({**ASK, "content": "a\0"}, ANSWER), "messages[0].content", Code.NUL_CHARACTER),
        (turns({**ASK, "content": "\ud83d"}, ANSWER), "messages[0].content", Code.LONE_SURROGATE),
        (turns({**ASK, "content": ["a"]}, ANSWER), "messages[0].content[0]", Code.WRONG_TYPE),
        (
            turns({**ASK, "content": [{"type": "image_url"}]}, ANSWER),
            "messages[0].content[0].type",
            Code.NOT_SUPPORTED,
        ),
        (
            turns({**ASK, "content": [{"type": "text"}]}, ANSWER),
            "messages[0].content[0].text",
            Code.MISSING_FIELD,
        ),
        (
            turns(ASK, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}),
            "messages[1].tool_calls",
            Code.NOT_SUPPORTED,
        ),
        (turns({**ASK, "name": "Ann"}, ANSWER), "messages[0].name", Code.NOT_SUPPORTED),
        (turns(ASK, {**ANSWER, "refusal": "no"}), "messages[1].refusal", Code.NOT_SUPPORTED),
        (turns(ASK, ANSWER, tools=[{}]), "tools", Code.NOT_SUPPORTED),
        (turns(ASK, ANSWER, functions=[{}]), "functions", Code.NOT_SUPPORTED),
        (turns(ASK, ANSWER, system="Be brief."), "system", Code.NOT_SUPPORTED),
        (turns(ASK, ANSWER, kto_tag=False), "kto_tag", Code.NOT_SUPPORTED),
        ({"instruction": "a"}, "output", Code.MISSING_FIELD),
        ({"instruction": "a", "output": ""}, "output", Code.EMPTY_ANSWER),
        ({"instruction": "a", "output": 1}, "output", Code.WRONG_TYPE),
        ({"instruction": 1, "output": "b"}, "instruction", Code.WRONG_TYPE),
        ({"instruction": "", "output": "b"}, "instruction", Code.EMPTY_QUESTION),
        ({"instruction": "a", "output": "b", "history": {}}, "history", Code.WRONG_TYPE),
        ({"instruction": "a", "output": "b", "history": [["q"]]}, "history[0]", Code.WRONG_TYPE),
        (
            {"instruction": "a", "output": "b", "history": [["q", ""]]},
            "history[0][1]",
            Code.EMPTY_ANSWER,
        ),
        ({"conversations": [HUMAN]}, "conversations", Code.NO_ANSWER),
        ({"conversations": [ASK, GPT]}, "conversations[0].from", Code.MISSING_FIELD),
        (
            {"conversations": [HUMAN, {"from": "gpt", "value": ""}]},
            "conversations[1].value",
            Code.EMPTY_ANSWER,
        ),
        (
            {"conversations": [HUMAN, {"from": "function_call", "value": "{}"}]},
            "conversations[1].from",
            Code.NOT_SUPPORTED,
        ),
        (
            {"conversations": [{"from": "system", "value": "a"}, HUMAN, GPT], "system": "b"},
            "system",
            Code.NOT_SUPPORTED,
        ),
        ({"conversations": [HUMAN, GPT], "tools": "[{}]"}, "tools", Code.NOT_SUPPORTED),
    ],
)
def test_a_defect_is_named_with_its_field(obj: object, field: str | None, code: Code) -> None:
    assert (field, code) in problems(obj)


def test_all_problems_of_a_row_come_at_once() -> None:
    obj = turns({"role": "customer", "content": None}, {"content": 3}, ASK, "x", tools=[1])
    assert problems(obj) == [
        ("tools", Code.NOT_SUPPORTED),
        ("messages[0].role", Code.UNKNOWN_ROLE),
        ("messages[0].content", Code.WRONG_TYPE),
        ("messages[1].role", Code.MISSING_FIELD),
        ("messages[1].content", Code.WRONG_TYPE),
        ("messages[3]", Code.WRONG_TYPE),
    ]


def test_a_row_of_another_form_than_the_file_is_refused() -> None:
    assert problems(turns(ASK, ANSWER), Form.ALPACA) == [(None, Code.OTHER_FORM)]


def test_too_many_turns_are_refused_and_not_cut() -> None:
    long = turns(*[ASK, ANSWER] * 3)
    parsed = parse_row(long, form=Form.MESSAGES, line=1, messages_max=5)
    assert not isinstance(parsed, Row)
    assert [problem.code for problem in parsed] == [Code.TOO_MANY_MESSAGES]
    alpaca = {"instruction": "a", "output": "b", "history": [["q", "a"]] * 2}
    assert isinstance(parse_row(alpaca, form=Form.ALPACA, line=1, messages_max=6), Row)
    assert not isinstance(parse_row(alpaca, form=Form.ALPACA, line=1, messages_max=5), Row)


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ({"prompt": "a", "completion": "b"}, "prompt/completion"),
        ({"chosen": "a", "rejected": "b"}, "preference"),
        ({"text": "a"}, "plain text"),
        ({"data": [turns(ASK, ANSWER)]}, "one object around a list"),
        ({"frage": "a"}, "`frage`"),
    ],
)
def test_an_unknown_form_is_answered_with_what_it_looks_like(
    obj: dict[str, Any], words: str
) -> None:
    parsed = parse_row(obj, form=None, line=1)
    assert not isinstance(parsed, Row)
    assert words in parsed[0].message


def test_other_columns_are_kept_out_and_named() -> None:
    obj = turns({**ASK, "id": 1}, {**ANSWER, "weight": 1, "at": 2}, id="x", **{"a\0": 1})
    assert len(row(obj).messages) == 2
    names = ["id", "a\\x00", "messages[].at", "messages[].id"]
    assert list(ignored(obj, Form.MESSAGES)) == names
    assert list(ignored({"instruction": "a", "output": "b", "id": 1}, Form.ALPACA)) == ["id"]


def test_fields_that_hold_nothing_are_no_problem() -> None:
    empty: dict[str, Any] = {"tool_calls": None, "name": "", "refusal": None, "function_call": {}}
    assert row(turns(ASK, {**ANSWER, **empty}, tools=[], functions=None))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["messages", "conversations", "instruction", "input", "output", "history", "system", "tools"]
)
fields = st.sampled_from(["role", "content", "from", "value", "weight", "tool_calls", "x"])
messages = st.dictionaries(fields, json_values | st.sampled_from(["user", "assistant", "gpt"]))


@given(st.dictionaries(keys, json_values | st.lists(messages, max_size=4)), st.sampled_from(Form))
def test_any_object_is_a_row_or_has_problems(obj: dict[str, Any], form: Form) -> None:
    parsed = parse_row(obj, form=form, line=1)
    if isinstance(parsed, Row):
        assert any(m.role == "assistant" and m.weight and m.content for m in parsed.messages)
        assert not any("\0" in m.content for m in parsed.messages)
    else:
        assert parsed
        assert all(isinstance(problem, Problem) for problem in parsed)
