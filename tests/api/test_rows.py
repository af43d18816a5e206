"""Rows of any file: how a form is told, what is not read, and what holds for every object."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rows import (
    Form,
    Kind,
    Mapping,
    Message,
    Parsed,
    Reading,
    Row,
    Tags,
    Verdict,
    ignored,
    parse_row,
    shown,
)
from api.rows import ProblemCode as Code
from api.rows import detect as detect_all

ASK: dict[str, Any] = {"role": "user", "content": "Where?"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "Here."}
HUMAN: dict[str, Any] = {"from": "human", "value": "Where?"}
GPT: dict[str, Any] = {"from": "gpt", "value": "Here."}


def turns(*messages: object, **extra: object) -> dict[str, object]:
    return {"messages": list(messages), **extra}


def detect(*objects: object, mapping: Mapping = Mapping()) -> Reading:  # noqa: B008
    return detect_all(objects, mapping)


def parsed(obj: object, reading: Reading | None = None, **mapping: Any) -> Parsed:
    """The object read as a file of its own, or as one of a file that is read so."""
    result = parse_row(obj, reading=reading or detect(obj, mapping=Mapping(**mapping)), line=7)
    assert all(problem.line == 7 and not problem.ends for problem in result.problems)
    assert (result.row is None) == (result.verdict() is Verdict.BAD)
    return result


def good(obj: object, reading: Reading | None = None, **mapping: Any) -> Row:
    """The row of an object about which there is nothing to say."""
    result = parsed(obj, reading, **mapping)
    assert result.problems == ()
    assert result.row is not None
    return result.row


def findings(obj: object, reading: Reading | None = None) -> list[tuple[str | None, Code]]:
    return [(problem.field, problem.code) for problem in parsed(obj, reading).problems]


def said(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


PREFERRED = {
    "input": {"messages": [ASK]},
    "preferred_output": [ANSWER],
    "non_preferred_output": [{**ANSWER, "content": "There."}],
}


@pytest.mark.parametrize(
    ("obj", "form", "kind"),
    [
        (turns(ASK), Form.MESSAGES, Kind.CONVERSATION),
        (turns(ASK, label=True), Form.MESSAGES, Kind.KTO),
        (turns(ASK, chosen=ANSWER, rejected=ANSWER), Form.MESSAGES, Kind.PREFERENCE),
        (PREFERRED, Form.MESSAGES, Kind.PREFERENCE),
        ({"conversations": []}, Form.SHAREGPT, Kind.CONVERSATION),
        ({"conversations": [], "kto_tag": False}, Form.SHAREGPT, Kind.KTO),
        ({"conversations": [], "chosen": GPT, "rejected": GPT}, Form.SHAREGPT, Kind.PREFERENCE),
        ({"instruction": "a"}, Form.ALPACA, Kind.CONVERSATION),
        ({"instruction": "a", "output": "b", "text": "c"}, Form.ALPACA, Kind.CONVERSATION),
        ({"input": "a", "output": "b"}, Form.ALPACA, Kind.CONVERSATION),
        ({"instruction": "a", "output": "b", "label": 0}, Form.ALPACA, Kind.KTO),
        ({"instruction": "a", "chosen": "b", "rejected": "c"}, Form.ALPACA, Kind.PREFERENCE),
        ({"prompt": "a", "completion": "b"}, Form.PROMPT_COMPLETION, Kind.CONVERSATION),
        (
            {"prompt": "a", "completion": "b", "label": "yes"},
            Form.PROMPT_COMPLETION,
            Kind.KTO,
        ),
        ({"prompt": "a", "chosen": "b"}, Form.PROMPT_COMPLETION, Kind.PREFERENCE),
        ({"chosen": [ASK], "rejected": [ASK]}, Form.PROMPT_COMPLETION, Kind.PREFERENCE),
        (
            {"prompt": "a", "chosen": [ASK], "rejected": [ASK], "messages": [ASK]},
            Form.PROMPT_COMPLETION,
            Kind.PREFERENCE,
        ),
        ({"text": "a", "label": 1}, Form.TEXT, Kind.TEXT),
    ],
)
def test_form_and_kind_are_told_by_names(obj: object, form: Form, kind: Kind) -> None:
    reading = detect(obj)
    assert (reading.form, reading.kind) == (form, kind)


@pytest.mark.parametrize("obj", [{"output": "b"}, {"question": "a"}, {}, [1], "a", None])
def test_what_has_no_known_form_is_told_as_none(obj: object) -> None:
    assert detect(obj) == Reading(form=None)


def test_a_label_that_is_no_thumb_makes_no_kto() -> None:
    labels: list[object] = ["sports", 3, None, 0.5, []]
    for label in labels:
        reading = detect({"instruction": "a", "output": "b", "label": label})
        assert reading.kind is Kind.CONVERSATION


def test_columns_that_are_null_tell_nothing() -> None:
    empty = turns(ASK, ANSWER, prompt=None, chosen=None, rejected=None, label=None)
    assert detect(empty) == Reading(form=Form.MESSAGES)
    assert said(good(empty).messages) == [("user", "Where?"), ("assistant", "Here.")]


def test_most_of_the_first_rows_decide_and_the_earliest_of_equals() -> None:
    text, alpaca = {"text": "a"}, {"instruction": "a", "output": "b"}
    assert detect(text, None, alpaca, [], alpaca).form is Form.ALPACA
    assert detect(text, alpaca).form is Form.TEXT
    assert detect(alpaca, text, {"frage": "?"}).form is Form.ALPACA


def test_a_mapping_has_the_last_word() -> None:
    obj = {"instruction": "a", "output": "b", "label": True}
    assert detect(obj, mapping=Mapping(kind=Kind.CONVERSATION)).kind is Kind.CONVERSATION
    assert detect(obj, mapping=Mapping(form=Form.TEXT)).kind is Kind.TEXT
    assert detect({}, mapping=Mapping(form=Form.TEXT)).kind is Kind.TEXT
    reading = detect({"question": "a"}, mapping=Mapping(form=Form.ALPACA, kind=Kind.KTO))
    assert (reading.form, reading.kind) == (Form.ALPACA, Kind.KTO)


def test_the_words_of_turns_are_detected() -> None:
    spoken = {"conversations": [ASK, ANSWER]}
    tags = Tags(role="role", content="content")
    assert detect(spoken, {"conversations": [HUMAN]}, spoken).mapping.tags == tags
    assert detect({"conversations": [HUMAN, GPT]}).mapping.tags is None
    assert detect(turns(ASK, ANSWER)).mapping.tags is None
    assert detect(turns(HUMAN, GPT)).mapping.tags == Tags()
    own = Tags(role="who", content="what")
    assert detect(spoken, mapping=Mapping(tags=own)).mapping.tags == own
    assert [role for role, _ in said(good(spoken).messages)] == ["user", "assistant"]
    assert [role for role, _ in said(good(turns(HUMAN, GPT)).messages)] == ["user", "assistant"]


def test_all_problems_of_a_row_come_at_once() -> None:
    obj = turns({"role": "customer", "content": None}, {"content": 3}, ASK, "x", tools=[1])
    assert findings(obj) == [
        ("messages[0].role", Code.UNKNOWN_ROLE),
        ("messages[0].content", Code.WRONG_TYPE),
        ("messages[1].role", Code.MISSING_FIELD),
        ("messages[1].content", Code.NUMBER_AS_TEXT),
        ("messages[3]", Code.WRONG_TYPE),
        ("tools[0]", Code.BAD_TOOLS),
    ]


def test_a_row_with_something_bad_and_something_repairable_is_bad() -> None:
    result = parsed(turns(ASK, {**ANSWER, "content": 3, "weight": 2}))
    assert result.verdict() is Verdict.BAD
    assert {problem.verdict for problem in result.problems} == {Verdict.BAD, Verdict.REPAIRABLE}


def test_other_columns_are_kept_out_and_named() -> None:
    obj = turns({**ASK, "id": 1}, {**ANSWER, "weight": 1, "at": 2}, id="x", **{"a\0": 1})
    assert len(good(obj).messages) == 2
    assert list(ignored(obj, detect(obj))) == ["id", "a\\x00", "messages[].at", "messages[].id"]


@pytest.mark.parametrize(
    ("obj", "names"),
    [
        ({"instruction": "a", "input": "", "output": "b", "id": 1, "tools": []}, ["id"]),
        ({"instruction": "a", "output": "b", "label": "sports"}, ["label"]),
        ({"instruction": "a", "output": "b", "label": True}, []),
        ({"instruction": "a", "output": "b", "chosen": "c", "rejected": "d"}, ["output"]),
        (turns(ASK, ANSWER, parallel_tool_calls=True, images=[]), []),
        (turns(ASK, {**ANSWER, "tool_calls": None, "reasoning": ""}), []),
        ({"conversations": [HUMAN, {**GPT, "html": "b"}]}, ["conversations[].html"]),
        ({"prompt": "a", "completion": "b", "score": 1}, ["score"]),
        (
            {"prompt": "a", "chosen": {**ANSWER, "id": 1}, "rejected": [{**ANSWER, "model": ""}]},
            ["chosen.id", "rejected[].model"],
        ),
        (
            PREFERRED
            | {"input": {"messages": [ASK | {"id": 1}], "parallel_tool_calls": 1, "x": 1}},
            ["input.x", "input.messages[].id"],
        ),
        ({"text": "a", "url": "b"}, ["url"]),
        ({"frage": "a"}, []),
    ],
)
def test_every_kind_of_row_names_what_it_does_not_read(obj: Any, names: list[str]) -> None:
    assert list(ignored(obj, detect(obj))) == names


def test_what_is_mapped_is_not_called_ignored() -> None:
    mapping = Mapping(columns={"instruction": "input", "output": "answer"})
    obj = {"input": "a", "answer": "b", "output": "c"}
    assert list(ignored(obj, detect(obj, mapping=mapping))) == ["output"]


def test_fields_that_hold_nothing_are_no_problem() -> None:
    empty: dict[str, Any] = {"tool_calls": None, "name": "", "refusal": None, "function_call": {}}
    assert good(turns(ASK, {**ANSWER, **empty}, tools=[], functions=None, images=[]))


def test_names_are_shown_without_what_could_harm() -> None:
    assert shown("a\0\n\ud800" + "b" * 90) == "a\\x00\\n\\ud800" + "b" * 36


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
roles = st.sampled_from(["system", "user", "assistant", "gpt", "human", "tool", "function_call"])
words = st.sampled_from(["Where?", "Here.", "", " ", "\ufeffHi", "<think>\nHm\n</think>\n\nYes"])
calls = st.just([{"function": {"name": "find", "arguments": "{}"}}])
turn = st.fixed_dictionaries(
    {},
    optional={
        "role": roles | json_values,
        "content": words | json_values,
        "from": roles,
        "value": words | st.just('{"name": "find", "arguments": {}}'),
        "weight": st.sampled_from([0, 1, "1", True, None, 2]),
        "tool_calls": calls | json_values,
        "reasoning": words | json_values,
        "name": json_values,
        "refusal": words | json_values,
    },
)
likely_turn = st.fixed_dictionaries({"role": roles, "content": words}) | st.fixed_dictionaries(
    {"from": roles, "value": words}, optional={"weight": st.sampled_from([0, 1])}
)
columns = st.sampled_from(
    ["messages", "conversations", "instruction", "input", "output", "history", "system", "tools",
     "prompt", "completion", "text", "chosen", "rejected", "label", "kto_tag", "functions",
     "preferred_output", "non_preferred_output"]
)  # fmt: skip
cells = (
    json_values | words | st.lists(turn, max_size=4) | st.lists(likely_turn, max_size=5)
    | likely_turn | st.lists(st.lists(words, min_size=2, max_size=2), max_size=2)
    | st.fixed_dictionaries({"messages": st.lists(likely_turn, max_size=3)})
    | st.lists(st.just({"name": "find"}) | json_values, max_size=2)
)  # fmt: skip
objects = st.dictionaries(columns, cells, max_size=5)
mappings = st.builds(
    Mapping,
    form=st.none() | st.sampled_from(Form),
    kind=st.none() | st.sampled_from([Kind.CONVERSATION, Kind.PREFERENCE, Kind.KTO]),
    columns=st.dictionaries(st.sampled_from(["instruction", "output", "label"]), columns),
    tags=st.none() | st.just(Tags(role="role", content="content")),
)


def _check_order(messages: tuple[Message, ...], before: str) -> None:
    """The order that chat templates accept."""
    for message in messages:
        allowed = {
            "start": {"system", "user"},
            "system": {"user"},
            "user": {"assistant", "tool"},
            "assistant": {"user", "tool"},
            "tool": {"user", "assistant", "tool"},
        }
        assert message.role in allowed[before]
        before = message.role


def _check_row(row: Row) -> None:
    everything = (*row.messages, *row.chosen, *row.rejected)
    assert not any("\0" in m.content or "\0" in m.reasoning for m in everything)
    for answer in (row.chosen, row.rejected) if row.kind is Kind.PREFERENCE else (row.messages,):
        if row.kind is Kind.TEXT:
            assert row.text.strip()
            return
        assert any(message.role == "assistant" and message.weight for message in answer)
        assert answer[-1].role == "assistant"
    _check_order(row.messages, "start")
    assert row.kind is not Kind.KTO or (row.label is not None and row.messages[-1].weight)
    if row.kind is Kind.PREFERENCE:
        assert row.chosen != row.rejected
        assert row.messages[-1].role != "assistant"
        _check_order(row.chosen, row.messages[-1].role)
        _check_order(row.rejected, row.messages[-1].role)


@given(objects | json_values, mappings)
def test_any_object_is_a_row_to_learn_from_or_has_problems(obj: Any, mapping: Mapping) -> None:
    reading = detect(obj, mapping=mapping)
    result = parse_row(obj, reading=reading, line=1, messages_max=6)
    assert result == parse_row(obj, reading=reading, line=1, messages_max=6)
    assert Parsed.model_validate_json(result.model_dump_json()) == result
    assert (result.row is None) == (result.verdict() is Verdict.BAD)
    if result.row is not None:
        _check_row(result.row)
    if isinstance(obj, dict):
        assert all(name.isprintable() for name in ignored(obj, reading))


@given(st.lists(likely_turn, min_size=1, max_size=6), st.sampled_from(["messages", "completion"]))
def test_any_turns_are_brought_into_an_order_or_refused(messages: list[Any], name: str) -> None:
    obj = {"prompt": "Why?", name: messages} if name == "completion" else {name: messages}
    result = parsed(obj)
    if result.row is not None:
        _check_row(result.row)


@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))] * 2
        ),
        min_size=1,
    )
)
def test_text_without_a_finding_is_kept_to_the_byte(pairs: list[tuple[str, str]]) -> None:
    written = [text for pair in pairs for text in pair]
    roles = ["user", "assistant"] * len(pairs)
    obj = turns(*({"role": r, "content": c} for r, c in zip(roles, written, strict=True)))
    result = parsed(obj)
    if not result.problems:
        assert result.row is not None
        read = [
            f"<think>{m.reasoning}</think>{m.content}" if m.reasoning else m.content
            for m in result.row.messages
        ]
        assert read == written or "<think>" in "".join(written)
