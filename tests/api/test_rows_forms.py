"""Every form and kind of row becomes the one Row: what is learned, with thoughts and tools."""

import json
from typing import Any

import pytest

from api.rows import Kind, Message, Tags, ToolCall
from tests.api.test_rows import ANSWER, ASK, GPT, HUMAN, PREFERRED, good, said, turns

WORSE = {"role": "assistant", "content": "There."}
ELSEWHERE: dict[str, Any] = {**GPT, "value": "There."}
WHERE = Message(role="user", content="Where?")
HERE = Message(role="assistant", content="Here.")
THERE = Message(role="assistant", content="There.")
BRIEF = Message(role="system", content="Be brief.")
FIND = {"name": "find", "description": "Finds.", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": FIND}]
CALL = ToolCall(name="find", arguments='{"what": "cat"}')
CALL_JSON = '{"name": "find", "arguments": {"what": "cat"}}'


def call(arguments: object, **extra: object) -> dict[str, object]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "find", "arguments": arguments}, **extra}
        ],
    }


# Conversations.


def test_openai_messages_become_a_row() -> None:
    developer = {"role": "developer", "content": "Be brief."}
    row = good(turns(developer, ASK, {**ANSWER, "weight": 0}, ASK, {**ANSWER, "weight": 1.0}))
    assert (row.line, row.kind, row.tools, row.label) == (7, Kind.CONVERSATION, "", None)
    forgotten = Message(role="assistant", content="Here.", weight=0)
    assert row.messages == (BRIEF, WHERE, forgotten, WHERE, HERE)


def test_text_parts_are_joined_with_nothing_between_them() -> None:
    parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "ere?", "image": None}]
    assert good(turns({"role": "user", "content": parts}, ANSWER)).messages[0] == WHERE


def test_text_stays_as_it_was_written() -> None:
    text = "  e\u0301 \u200f<|im_end|>\r\n\t\ufeff "
    assert good(turns(ASK, {"role": "assistant", "content": text})).messages[1].content == text


def test_names_and_refusals_are_read() -> None:
    no = {"role": "assistant", "content": None, "refusal": "No."}
    parts = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    row = good(turns({**ASK, "name": "Ann"}, no, ASK, parts))
    assert row.messages[0].name == "Ann"
    assert said(row.messages)[1] == said(row.messages)[3] == ("assistant", "No.")


def test_a_system_column_stands_before_the_turns() -> None:
    assert good(turns(ASK, ANSWER, system="Be brief.")).messages == (BRIEF, WHERE, HERE)
    others: list[dict[str, Any]] = [
        {"conversations": [HUMAN, GPT]},
        {"prompt": "Where?", "completion": "Here."},
    ]
    for obj in others:
        assert good({**obj, "system": "Be brief."}).messages == (BRIEF, WHERE, HERE)


def test_alpaca_becomes_a_row() -> None:
    obj = {
        "instruction": "Translate.",
        "input": "Haus",
        "output": "house",
        "system": "You translate.",
        "history": [["Hund", "dog"]],
    }
    assert said(good(obj).messages) == [
        ("system", "You translate."),
        ("user", "Hund"),
        ("assistant", "dog"),
        ("user", "Translate.\nHaus"),
        ("assistant", "house"),
    ]
    assert all(message.weight for message in good(obj).messages)


@pytest.mark.parametrize("empty", [None, ""])
def test_alpaca_fields_that_are_empty_are_not_there(empty: str | None) -> None:
    obj: dict[str, Any] = {"instruction": "Where?", "input": empty, "output": "Here."}
    obj |= {"system": empty, "history": [], "tools": empty}
    assert good(obj).messages == (WHERE, HERE)
    assert good({"input": "Where?", "output": "Here."}).messages == (WHERE, HERE)


def test_sharegpt_becomes_a_row() -> None:
    names = ["system", "human", "gpt", "user", "chatgpt", "observation", "bing"]
    names += ["tool", "bard", "function_response", "model", "ipython", "assistant"]
    obj = {"conversations": [{"from": name, "value": name} for name in names]}
    roles = ["system", "user", "assistant", "user", "assistant"] + ["tool", "assistant"] * 4
    assert said(good(obj).messages) == list(zip(roles, names, strict=True))


def test_turns_with_tags_of_their_own_are_read() -> None:
    obj = {"talk": [{"who": "Q", "says": "Where?"}, {"who": "A", "says": "Here."}]}
    tags = Tags(role="who", content="says", user="Q", assistant="A")
    assert good(obj, columns={"conversations": "talk"}, tags=tags).messages == (WHERE, HERE)


def test_prompt_and_completion_are_texts_or_turns() -> None:
    assert good({"prompt": "Where?", "completion": "Here."}).messages == (WHERE, HERE)
    for completion in (ANSWER, [ANSWER]):
        prompt = [{"role": "system", "content": "Be brief."}, ASK]
        row = good({"prompt": prompt, "completion": completion})
        assert row.messages == (BRIEF, WHERE, HERE)


def test_answers_within_a_prompt_are_not_learned() -> None:
    row = good({"prompt": [ASK, ANSWER, ASK], "completion": [ANSWER, ASK, WORSE]})
    assert [m.weight for m in row.messages if m.role == "assistant"] == [0, 1, 1]


def test_text_is_learned_whole() -> None:
    row = good({"text": " Once upon\n"})
    assert (row.kind, row.text, row.messages) == (Kind.TEXT, " Once upon\n", ())


def test_columns_of_other_names_are_read_as_mapped() -> None:
    columns = {"instruction": "input", "output": "label"}
    assert good({"input": "Where?", "label": "Here."}, columns=columns).messages == (WHERE, HERE)
    obj = {"frage": "Where?", "antwort": "Here.", "gut": True, "label": "travel", "kto_tag": 3}
    row = good(obj, columns={"prompt": "frage", "completion": "antwort", "label": "gut"})
    assert (row.kind, row.label, row.messages) == (Kind.KTO, True, (WHERE, HERE))


# Preferences and labels.


@pytest.mark.parametrize(
    "obj",
    [
        {"instruction": "Where?", "chosen": "Here.", "rejected": "There.", "output": "?"},
        {"conversations": [HUMAN], "chosen": GPT, "rejected": ELSEWHERE},
        {"conversations": [HUMAN], "chosen": [GPT], "rejected": [ELSEWHERE]},
        {"conversations": [ASK], "chosen": ANSWER, "rejected": WORSE},
        turns(ASK, chosen=ANSWER, rejected=WORSE),
        turns(ASK, chosen="Here.", rejected="There."),
        PREFERRED,
        PREFERRED | {"input": {"messages": [ASK], "tools": [], "parallel_tool_calls": True}},
        {"prompt": "Where?", "chosen": "Here.", "rejected": "There."},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [WORSE]},
        {"prompt": "Where?", "chosen": ANSWER, "rejected": WORSE},
        {"chosen": [ASK, ANSWER], "rejected": [ASK, WORSE]},
        {"prompt": "Where?", "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE]},
        {"prompt": "Where?", "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE], "messages": []},
        {"prompt": [ASK], "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE]},
    ],
)
def test_every_form_of_a_preference_is_read(obj: dict[str, Any]) -> None:
    row = good(obj)
    assert row.kind is Kind.PREFERENCE
    assert (row.messages, row.chosen, row.rejected) == ((WHERE,), (HERE,), (THERE,))


def test_a_preference_keeps_what_comes_before_and_after() -> None:
    before = [{"role": "system", "content": "Be brief."}, ASK, ANSWER, ASK]
    chosen = [*before, ANSWER, ASK, ANSWER]
    row = good({"chosen": chosen, "rejected": [*before, WORSE, ASK, WORSE]})
    assert row.messages == (BRIEF, WHERE, HERE, WHERE)
    assert (row.chosen, row.rejected) == ((HERE, WHERE, HERE), (THERE, WHERE, THERE))
    alpaca = {"instruction": "Where?", "history": [["Where?", "Here."]], "system": "Be brief."}
    assert good(alpaca | {"chosen": "Here.", "rejected": "There."}).messages == row.messages


@pytest.mark.parametrize("label", [True, False, 1, 0, 1.0])
@pytest.mark.parametrize("name", ["label", "kto_tag"])
@pytest.mark.parametrize(
    "obj",
    [
        {"instruction": "Where?", "output": "Here."},
        {"conversations": [HUMAN, GPT]},
        turns(ASK, ANSWER),
        {"prompt": "Where?", "completion": "Here."},
        {"prompt": [ASK], "completion": [ANSWER]},
    ],
)
def test_every_form_of_a_labelled_answer_is_read(
    obj: dict[str, Any], name: str, label: bool | float
) -> None:
    row = good(obj | {name: label})
    assert (row.kind, row.label, row.messages) == (Kind.KTO, bool(label), (WHERE, HERE))


# Tools.


def test_openai_tool_calls_are_read() -> None:
    result = {"role": "tool", "content": "On the mat.", "tool_call_id": "c1"}
    arguments = '{"what":  "cat"}'
    obj = turns(ASK, call(arguments, id="c1"), result, ANSWER, tools=TOOLS)
    row = good(obj | {"parallel_tool_calls": False})
    called = ToolCall(name="find", arguments=arguments, id="c1")
    assert row.messages[1] == Message(role="assistant", content="", tool_calls=(called,))
    assert row.messages[2] == Message(role="tool", content="On the mat.", tool_call_id="c1")
    assert json.loads(row.tools) == TOOLS


def test_arguments_may_be_an_object_or_missing() -> None:
    read = [good(turns(ASK, call(value))).messages[1] for value in ({"what": "cat"}, None)]
    assert [turn.tool_calls[0].arguments for turn in read] == ['{"what": "cat"}', "{}"]
    bare = {"role": "assistant", "tool_calls": [{"name": "find", "arguments": {"what": "cat"}}]}
    assert good(turns(ASK, bare)).messages[1].tool_calls == (CALL,)


def test_old_functions_are_read_as_tools() -> None:
    calling = {"role": "assistant", "content": None, "function_call": json.loads(CALL_JSON)}
    result = {"role": "function", "name": "find", "content": "On the mat."}
    row = good(turns(ASK, calling, result, ANSWER, functions=[FIND]))
    assert row.messages[1].tool_calls == (CALL,)
    assert row.messages[2] == Message(role="tool", content="On the mat.", name="find")
    assert json.loads(row.tools) == TOOLS


def test_text_beside_a_call_is_kept() -> None:
    row = good(turns(ASK, {**call("{}"), "content": "Let me see."}))
    assert (row.messages[1].content, len(row.messages[1].tool_calls)) == ("Let me see.", 1)


@pytest.mark.parametrize("role", ["function_call", "tool_call", "function"])
@pytest.mark.parametrize(
    "value", [CALL_JSON, f"[{CALL_JSON}]", json.loads(CALL_JSON), [json.loads(CALL_JSON)]]
)
def test_a_sharegpt_turn_of_calls_is_read(role: str, value: object) -> None:
    seen = {"from": "observation", "value": "On the mat."}
    obj = {"conversations": [HUMAN, {"from": role, "value": value}, seen, GPT]}
    row = good(obj | {"tools": json.dumps([FIND])})
    assert row.messages[1] == Message(role="assistant", content="", tool_calls=(CALL,))
    assert [message.role for message in row.messages] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(row.tools) == TOOLS


@pytest.mark.parametrize(
    "obj",
    [
        {"instruction": "Where?", "output": "Here."},
        {"instruction": "Where?", "chosen": "Here.", "rejected": "There."},
        {"conversations": [HUMAN, GPT], "label": True},
        {"prompt": [ASK], "completion": [ANSWER]},
        {"chosen": [ASK, ANSWER], "rejected": [ASK, WORSE]},
        turns(ASK, ANSWER),
    ],
)
@pytest.mark.parametrize("tools", [TOOLS, [FIND], json.dumps([FIND])])
def test_every_form_may_define_tools(obj: dict[str, Any], tools: object) -> None:
    assert json.loads(good(obj | {"tools": tools}).tools) == TOOLS


def test_tools_as_text_in_their_final_form_keep_every_byte() -> None:
    text = json.dumps(TOOLS, indent=1)
    assert good(turns(ASK, ANSWER, tools=text)).tools == text
    assert good(turns(ASK, ANSWER, tools="[]")).tools == ""


def test_tools_of_a_preference_stand_in_its_input() -> None:
    row = good(PREFERRED | {"input": {"messages": [ASK], "tools": TOOLS}})
    assert json.loads(row.tools) == TOOLS


# Thoughts.


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>\nHm.\n</think>\n\nHere.", "Hm.", "Here."),
        ("<think>Hm.</think>Here.", "Hm.", "Here."),
        ("<think>\n\nHm.\n\n</think>\n\n\n Here.", "\nHm.\n", "\n Here."),
        ("<think>\n\n</think>\n\nHere.", "", "Here."),
        ("<think>Hm. Here.", "", "<think>Hm. Here."),
        (" <think>Hm.</think>Here.", "", " <think>Hm.</think>Here."),
        ("Hm.</think>Here.", "", "Hm.</think>Here."),
    ],
)
def test_thoughts_at_the_start_of_an_answer_are_parted_from_it(
    text: str, reasoning: str, content: str
) -> None:
    rows = [
        good(turns(ASK, {"role": "assistant", "content": text})),
        good({"conversations": [HUMAN, {"from": "gpt", "value": text}]}),
        good({"instruction": "Where?", "output": text}),
        good({"prompt": "Where?", "completion": text}),
    ]
    for row in rows:
        assert (row.messages[1].reasoning, row.messages[1].content) == (reasoning, content)


def test_only_answers_have_thoughts() -> None:
    text = "<think>Hm.</think>Where?"
    assert good(turns({"role": "user", "content": text}, ANSWER)).messages[0].content == text


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_with_a_field_of_their_own_are_read(name: str) -> None:
    assert good(turns(ASK, {**ANSWER, name: "Hm."})).messages[1].reasoning == "Hm."
    tagged = {"role": "assistant", "content": "<think>A</think>B", name: "Hm."}
    assert good(turns(ASK, tagged)).messages[1].content == "<think>A</think>B"


def test_a_call_may_be_thought_about() -> None:
    calling = {"from": "function_call", "value": f"<think>\nHm.\n</think>\n\n{CALL_JSON}"}
    message = good({"conversations": [HUMAN, calling]}).messages[1]
    assert (message.reasoning, message.tool_calls) == ("Hm.", (CALL,))
