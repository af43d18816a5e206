"""What can be repaired: the finding says what is done, and the row is as it will be trained on."""

from typing import Any

import pytest

from api.rows import REPAIRS, Form, Message, Verdict
from api.rows import ProblemCode as Code
from tests.api.test_rows import ANSWER, ASK, GPT, HUMAN, PREFERRED, parsed, said, turns
from tests.api.test_rows_forms import FIND, HERE, THERE, TOOLS, WHERE, WORSE, call

SYSTEM = {"role": "system", "content": "Be brief."}
SYS, USER, BOT = ("system", "Be brief."), ("user", "Where?"), ("assistant", "Here.")
SEEN = {"role": "tool", "content": "On the mat."}
ALPACA: dict[str, Any] = {"instruction": "Where?", "output": "Here."}

Repair = tuple[str, str, dict[str, Any], str, Code, list[tuple[str, str]]]

REPAIRED: list[Repair] = [
    ("messages", "users twice in a row", turns(ASK, ASK, ANSWER), "messages[1]",
     Code.SAME_ROLE_TWICE, [("user", "Where?\n\nWhere?"), BOT]),
    ("messages", "answers twice in a row", turns(ASK, ANSWER, WORSE), "messages[2]",
     Code.SAME_ROLE_TWICE, [USER, ("assistant", "Here.\n\nThere.")]),
    ("messages", "an answer, then its call", turns(ASK, ANSWER, call("{}"), SEEN, ANSWER),
     "messages[2]", Code.SAME_ROLE_TWICE, [USER, BOT, ("tool", "On the mat."), BOT]),
    ("messages", "two system turns", turns(SYSTEM, SYSTEM, ASK, ANSWER), "messages[1]",
     Code.SAME_ROLE_TWICE, [("system", "Be brief.\n\nBe brief."), USER, BOT]),
    ("messages", "a later system turn", turns(ASK, ANSWER, SYSTEM, ASK, ANSWER), "messages[2]",
     Code.SYSTEM_NOT_FIRST, [SYS, USER, BOT, USER, BOT]),
    ("messages", "a second system turn later", turns(SYSTEM, ASK, ANSWER, SYSTEM, ASK, ANSWER),
     "messages[3]", Code.SYSTEM_NOT_FIRST,
     [("system", "Be brief.\n\nBe brief."), USER, BOT, USER, BOT]),
    ("messages", "an answer before any question", turns(SYSTEM, ANSWER, ASK, ANSWER),
     "messages[1]", Code.LEADING_ANSWER, [SYS, USER, BOT]),
    ("messages", "a tool's result before any question", turns(SEEN, ANSWER, ASK, ANSWER),
     "messages[0]", Code.LEADING_ANSWER, [USER, BOT]),
    ("messages", "a question at the end", turns(ASK, ANSWER, ASK), "messages[2]",
     Code.TRAILING_QUESTION, [USER, BOT]),
    ("messages", "a tool's result at the end", turns(ASK, call("{}"), SEEN), "messages[2]",
     Code.TRAILING_QUESTION, [USER, ("assistant", "")]),
    ("messages", "byte order mark",
     turns({**ASK, "content": "\ufeff\ufeffWhere?"}, ANSWER), "messages[0].content",
     Code.BYTE_ORDER_MARK, [USER, BOT]),
    ("messages", "byte order mark before thoughts",
     turns(ASK, {**ANSWER, "content": "\ufeff<think>Hm.</think>Here."}), "messages[1].content",
     Code.BYTE_ORDER_MARK, [USER, BOT]),
    ("messages", "a number as content", turns(ASK, {**ANSWER, "content": 4.5}),
     "messages[1].content", Code.NUMBER_AS_TEXT, [USER, ("assistant", "4.5")]),
    ("messages", "true as content", turns(ASK, {**ANSWER, "content": True}),
     "messages[1].content", Code.NUMBER_AS_TEXT, [USER, ("assistant", "true")]),
    ("messages", "a number as a part",
     turns({**ASK, "content": [{"type": "text", "text": 3}]}, ANSWER),
     "messages[0].content[0].text", Code.NUMBER_AS_TEXT, [("user", "3"), BOT]),
    ("messages", "a number as the id of a call", turns(ASK, call("{}", id=7)),
     "messages[1].tool_calls[0].id", Code.NUMBER_AS_TEXT, [USER, ("assistant", "")]),
    ("messages", "weight as text", turns(ASK, {**ANSWER, "weight": "1"}), "messages[1].weight",
     Code.WEIGHT_AS_TEXT, [USER, BOT]),
    ("messages", "weight as true", turns(ASK, {**ANSWER, "weight": True}), "messages[1].weight",
     Code.WEIGHT_AS_TEXT, [USER, BOT]),
    ("messages", "weight 0 as text on a user turn", turns({**ASK, "weight": "0"}, ANSWER),
     "messages[0].weight", Code.WEIGHT_AS_TEXT, [USER, BOT]),
    ("messages", "label as text", turns(ASK, ANSWER, label="good"), "label", Code.LABEL_AS_TEXT,
     [USER, BOT]),
    ("alpaca", "a number as answer", {**ALPACA, "output": 42}, "output", Code.NUMBER_AS_TEXT,
     [USER, ("assistant", "42")]),
    ("alpaca", "byte order mark", {**ALPACA, "instruction": "\ufeffWhere?"}, "instruction",
     Code.BYTE_ORDER_MARK, [USER, BOT]),
    ("alpaca", "a number in the history", {**ALPACA, "history": [[1, "One."]]}, "history[0][0]",
     Code.NUMBER_AS_TEXT, [("user", "1"), ("assistant", "One."), USER, BOT]),
    ("alpaca", "label as text", {**ALPACA, "kto_tag": "False"}, "kto_tag", Code.LABEL_AS_TEXT,
     [USER, BOT]),
    ("sharegpt", "an answer before any question", {"conversations": [GPT, HUMAN, GPT]},
     "conversations[0]", Code.LEADING_ANSWER, [USER, BOT]),
    ("sharegpt", "a question at the end", {"conversations": [HUMAN, GPT, HUMAN]},
     "conversations[2]", Code.TRAILING_QUESTION, [USER, BOT]),
    ("sharegpt", "users twice in a row", {"conversations": [HUMAN, HUMAN, GPT]},
     "conversations[1]", Code.SAME_ROLE_TWICE, [("user", "Where?\n\nWhere?"), BOT]),
    ("sharegpt", "a later system turn",
     {"conversations": [HUMAN, GPT, {"from": "system", "value": "Be brief."}, HUMAN, GPT]},
     "conversations[2]", Code.SYSTEM_NOT_FIRST, [SYS, USER, BOT, USER, BOT]),
    ("sharegpt", "a number as value", {"conversations": [HUMAN, {**GPT, "value": 1}]},
     "conversations[1].value", Code.NUMBER_AS_TEXT, [USER, ("assistant", "1")]),
    ("prompt_completion", "a number as answer", {"prompt": "Where?", "completion": 42},
     "completion", Code.NUMBER_AS_TEXT, [USER, ("assistant", "42")]),
    ("prompt_completion", "users twice in a row", {"prompt": [ASK, ASK], "completion": [ANSWER]},
     "prompt[1]", Code.SAME_ROLE_TWICE, [("user", "Where?\n\nWhere?"), BOT]),
    ("prompt_completion", "a question at the end",
     {"prompt": "Where?", "completion": [ANSWER, ASK]}, "completion[1]",
     Code.TRAILING_QUESTION, [USER, BOT]),
    ("prompt_completion", "label as text",
     {"prompt": "Where?", "completion": "Here.", "label": "0"}, "label",
     Code.LABEL_AS_TEXT, [USER, BOT]),
    ("messages", "a number as a side", turns(ASK, chosen=1, rejected="There."), "chosen",
     Code.NUMBER_AS_TEXT, [USER]),
    ("messages", "users twice in a row before a preference",
     {**PREFERRED, "input": {"messages": [ASK, ASK]}}, "input.messages[1]", Code.SAME_ROLE_TWICE,
     [("user", "Where?\n\nWhere?")]),
    ("messages", "answers twice in a row in a side",
     {**PREFERRED, "preferred_output": [ANSWER, ANSWER]}, "preferred_output[1]",
     Code.SAME_ROLE_TWICE, [USER]),
    ("messages", "an answer before the prompt of a preference",
     {**PREFERRED, "input": {"messages": [ANSWER, ASK]}}, "input.messages[0]",
     Code.LEADING_ANSWER, [USER]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "field", "code", "messages"),
    [pytest.param(*rest, id=f"{form}: {what}") for form, what, *rest in REPAIRED],
)
def test_a_repairable_row_comes_repaired(
    obj: dict[str, Any], field: str, code: Code, messages: list[tuple[str, str]]
) -> None:
    result = parsed(obj)
    assert [(p.field, p.code, p.verdict) for p in result.problems] == [
        (field, code, Verdict.REPAIRABLE)
    ]
    assert code in REPAIRS
    assert result.problems[0].message.startswith(f"`{field}` ")
    assert "The repair " in result.problems[0].message
    assert result.row is not None
    assert said(result.row.messages) == messages


def test_every_repair_is_tested_and_stays_tested() -> None:
    assert {code for *_, code, _ in REPAIRED} == REPAIRS
    assert {form for form, *_ in REPAIRED} == set(Form) - {Form.TEXT}


def test_text_alone_is_repaired_too() -> None:
    for text, code in (("\ufeffOnce", Code.BYTE_ORDER_MARK), (42, Code.NUMBER_AS_TEXT)):
        result = parsed({"text": text})
        assert [problem.code for problem in result.problems] == [code]
        assert result.row is not None
        assert result.row.text in {"Once", "42"}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("true", True),
        ("False", False),
        ("1", True),
        ("0", False),
        (" yes ", True),
        ("NO", False),
        ("good", True),
        ("bad", False),
    ],
)
def test_labels_as_text_become_true_or_false(text: str, label: bool) -> None:
    result = parsed({**ALPACA, "label": text})
    assert result.row is not None
    assert result.row.label is label


@pytest.mark.parametrize(("weight", "number"), [("0", 0), ("1", 1), (False, 0), (True, 1)])
def test_weights_as_text_become_numbers(weight: object, number: int) -> None:
    result = parsed(turns(ASK, {**ANSWER, "weight": weight}, ASK, ANSWER))
    assert result.row is not None
    assert result.row.messages[1].weight == number


def test_joined_turns_keep_thoughts_and_calls_in_their_order() -> None:
    thought = {**ANSWER, "reasoning": "Hm."}
    result = parsed(turns(ASK, thought, WORSE, call("{}"), call("{}"), tools=TOOLS))
    assert [problem.code for problem in result.problems] == [Code.SAME_ROLE_TWICE] * 3
    assert result.row is not None
    joined = result.row.messages[1]
    assert (joined.reasoning, joined.content) == ("Hm.", "Here.\n\nThere.")
    assert [called.name for called in joined.tool_calls] == [FIND["name"]] * 2


def test_a_call_its_results_and_an_answer_are_no_repetition() -> None:
    result = parsed(turns(ASK, call("{}"), SEEN, SEEN, ANSWER, ASK, ANSWER))
    assert result.problems == ()


def test_several_repairs_of_one_row_are_all_named() -> None:
    asked = {"role": "user", "content": 3}
    result = parsed(turns(ANSWER, asked, SYSTEM, ASK, ANSWER, ASK, ASK))
    assert [(problem.field, problem.code) for problem in result.problems] == [
        ("messages[1].content", Code.NUMBER_AS_TEXT),
        ("messages[2]", Code.SYSTEM_NOT_FIRST),
        ("messages[0]", Code.LEADING_ANSWER),
        ("messages[3]", Code.SAME_ROLE_TWICE),
        ("messages[6]", Code.SAME_ROLE_TWICE),
        ("messages[5]", Code.TRAILING_QUESTION),
    ]
    assert result.row is not None
    assert said(result.row.messages) == [SYS, ("user", "3\n\nWhere?"), BOT]


def test_a_message_says_how_much_is_dropped() -> None:
    messages = [problem.message for problem in parsed(turns(ASK, ANSWER, ASK, SEEN)).problems]
    assert messages == [
        "`messages[2]` has no answer after it. The repair drops the 2 turns from here to the end."
    ]


def test_the_sides_of_a_preference_are_repaired_apart() -> None:
    result = parsed({**PREFERRED, "preferred_output": [ANSWER, ANSWER]})
    assert result.row is not None
    assert result.row.messages == (WHERE,)
    assert result.row.chosen == (Message(role="assistant", content="Here.\n\nHere."),)
    assert result.row.rejected == (THERE,)
    assert result.row.chosen != (HERE,)
