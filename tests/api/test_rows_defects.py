"""All that can be wrong with a row and cannot be repaired, by its place, code and verdict."""

import json
from typing import Any

import pytest

from api.rows import Form, Kind, Mapping, Problem, Reading, Verdict, parse_row
from api.rows import ProblemCode as Code
from tests.api.test_rows import ANSWER, ASK, GPT, HUMAN, PREFERRED, detect, findings, parsed, turns
from tests.api.test_rows_forms import ELSEWHERE, FIND, TOOLS, WORSE, call

Defect = tuple[str, str, object, str | None, Code]

PAIR: dict[str, Any] = {"prompt": "Where?", "chosen": "Here.", "rejected": "There."}
ALPACA = {"instruction": "Where?", "output": "Here."}
LABELLED = {"prompt": "Where?", "completion": "Here.", "label": True}


def tool(**function: object) -> dict[str, object]:
    return turns(ASK, ANSWER, tools=[{"type": "function", "function": function}])


def said(text: object) -> dict[str, object]:
    return {"role": "assistant", "content": text}


def asked(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def calling(value: object) -> dict[str, object]:
    return {"conversations": [HUMAN, {"from": "function_call", "value": value}]}


# Form, defect, row, field, code: the table in the documentation is made of this one.
BAD: list[Defect] = [
    ("any", "a list instead of an object", [ASK, ANSWER], None, Code.NOT_AN_OBJECT),
    ("any", "a text instead of an object", "text", None, Code.NOT_AN_OBJECT),
    ("any", "null instead of an object", None, None, Code.NOT_AN_OBJECT),
    ("any", "no name that is known", {"frage": "a"}, None, Code.UNKNOWN_FORM),
    ("any", "an empty object", {}, None, Code.UNKNOWN_FORM),
    ("any", "images", {**ALPACA, "images": ["a.png"]}, "images", Code.NOT_SUPPORTED),
    ("any", "videos", turns(ASK, ANSWER, videos=["a.mp4"]), "videos", Code.NOT_SUPPORTED),
    ("any", "sounds", {**PAIR, "audios": ["a.wav"]}, "audios", Code.NOT_SUPPORTED),
    ("messages", "no turns", turns(), "messages", Code.NO_MESSAGES),
    ("messages", "a text instead of turns", {"messages": "a"}, "messages", Code.WRONG_TYPE),
    ("messages", "null instead of turns", {"messages": None}, "messages", Code.WRONG_TYPE),
    ("messages", "a turn that is no object", turns("a"), "messages[0]", Code.WRONG_TYPE),
    ("messages", "no answer", turns(ASK), "messages", Code.NO_ANSWER),
    ("messages", "only a system turn", turns({**ASK, "role": "system"}), "messages",
     Code.NO_ANSWER),
    ("messages", "no question", turns(ANSWER), "messages", Code.EMPTY_QUESTION),
    ("messages", "no answer after the question", turns(ANSWER, ASK), "messages", Code.NO_ANSWER),
    (
        "messages",
        "weight 0 on every answer",
        turns(ASK, {**ANSWER, "weight": 0}),
        "messages",
        Code.NOTHING_SUPERVISED,
    ),
    (
        "messages",
        "weight 0 on every answer, and a question at the end",
        turns(ASK, {**ANSWER, "weight": 0}, ASK),
        "messages",
        Code.NOTHING_SUPERVISED,
    ),
    *[
        ("messages", f"weight {w}", turns(ASK, {**ANSWER, "weight": w}), "messages[1].weight", code)
        for w, code in ((2, Code.BAD_WEIGHT), (0.5, Code.BAD_WEIGHT), ("high", Code.BAD_WEIGHT))
    ],
    (
        "messages",
        "weight that is a list",
        turns(ASK, {**ANSWER, "weight": []}),
        "messages[1].weight",
        Code.BAD_WEIGHT,
    ),
    (
        "messages",
        "weight 1 on a user turn",
        turns({**ASK, "weight": 1}, ANSWER),
        "messages[0].weight",
        Code.BAD_WEIGHT,
    ),
    ("messages", "empty question", turns(asked(" \n"), ANSWER), "messages[0].content",
     Code.EMPTY_QUESTION),
    ("messages", "null content", turns(ASK, said(None)), "messages[1].content", Code.WRONG_TYPE),
    ("messages", "an object as content", turns(ASK, said({})), "messages[1].content",
     Code.WRONG_TYPE),
    ("messages", "no content", turns(ASK, {"role": "assistant"}), "messages[1].content",
     Code.MISSING_FIELD),
    ("messages", "no role", turns({"content": "a"}, ANSWER), "messages[0].role",
     Code.MISSING_FIELD),
    ("messages", "unknown role", turns({**ASK, "role": "human"}, ANSWER), "messages[0].role",
     Code.UNKNOWN_ROLE),
    ("messages", "a number as role", turns({**ASK, "role": 1}, ANSWER), "messages[0].role",
     Code.WRONG_TYPE),
    ("messages", "NUL character", turns(asked("a\0"), ANSWER), "messages[0].content",
     Code.NUL_CHARACTER),
    ("messages", "lone surrogate", turns(asked("\ud83d"), ANSWER), "messages[0].content",
     Code.LONE_SURROGATE),
    ("messages", "a part that is no object", turns(asked(["a"]), ANSWER),
     "messages[0].content[0]", Code.WRONG_TYPE),
    ("messages", "an image among the parts", turns(asked([{"type": "image_url"}]), ANSWER),
     "messages[0].content[0].type", Code.NOT_SUPPORTED),
    ("messages", "sound among the parts", turns(asked([{"type": "input_audio"}]), ANSWER),
     "messages[0].content[0].type", Code.NOT_SUPPORTED),
    ("messages", "a part without text", turns(asked([{"type": "text"}]), ANSWER),
     "messages[0].content[0].text", Code.MISSING_FIELD),
    ("messages", "sound of an answer", turns(ASK, {**ANSWER, "audio": {"id": "1"}}),
     "messages[1].audio", Code.NOT_SUPPORTED),
    ("messages", "a refusal beside a content", turns(ASK, {**ANSWER, "refusal": "No."}),
     "messages[1].refusal", Code.NOT_SUPPORTED),
    ("messages", "thoughts of a user", turns({**ASK, "thinking": "Hm."}, ANSWER),
     "messages[0].thinking", Code.NOT_SUPPORTED),
    ("messages", "two different thoughts",
     turns(ASK, {**ANSWER, "thinking": "Hm.", "reasoning": "Oh."}),
     "messages[1].thinking", Code.NOT_SUPPORTED),
    ("messages", "a name that is an object", turns({**ASK, "name": {}}, ANSWER),
     "messages[0].name", Code.WRONG_TYPE),
    ("messages", "system column beside a system turn",
     turns({**ASK, "role": "system"}, ASK, ANSWER, system="b"), "system", Code.NOT_SUPPORTED),
    ("messages", "answers in a row with different weights",
     turns(ASK, {**ANSWER, "weight": 0}, ANSWER), "messages[2]", Code.SAME_ROLE_TWICE),
    ("messages", "users in a row with different names",
     turns({**ASK, "name": "Ann"}, {**ASK, "name": "Bo"}, ANSWER), "messages[1]",
     Code.SAME_ROLE_TWICE),
    ("messages", "an answer straight after a call", turns(ASK, call("{}"), ANSWER),
     "messages[2]", Code.SAME_ROLE_TWICE),
    ("messages", "thoughts in the middle of an answer",
     turns(ASK, ANSWER, {**ANSWER, "reasoning": "Hm."}), "messages[2]", Code.SAME_ROLE_TWICE),
    # Tools.
    ("messages", "arguments that are no JSON", turns(ASK, call("{")),
     "messages[1].tool_calls[0].function.arguments", Code.BAD_TOOLS),
    ("messages", "arguments that are a JSON list", turns(ASK, call("[]")),
     "messages[1].tool_calls[0].function.arguments", Code.BAD_TOOLS),
    ("messages", "arguments that are a number", turns(ASK, call(3)),
     "messages[1].tool_calls[0].function.arguments", Code.BAD_TOOLS),
    ("messages", "lone surrogate in arguments", turns(ASK, call({"a": "\ud83d"})),
     "messages[1].tool_calls[0].function.arguments", Code.LONE_SURROGATE),
    ("messages", "tool calls that are no list",
     turns(ASK, {"role": "assistant", "content": None, "tool_calls": "find"}),
     "messages[1].tool_calls", Code.BAD_TOOLS),
    ("messages", "a call that is no object", turns(ASK, {**ANSWER, "tool_calls": ["find"]}),
     "messages[1].tool_calls[0]", Code.BAD_TOOLS),
    ("messages", "a call without a name", turns(ASK, {**ANSWER, "tool_calls": [{"id": "1"}]}),
     "messages[1].tool_calls[0]", Code.BAD_TOOLS),
    ("messages", "a call of something else than a function",
     turns(ASK, {**ANSWER, "tool_calls": [{"type": "custom", "custom": {"name": "a"}}]}),
     "messages[1].tool_calls[0]", Code.BAD_TOOLS),
    ("messages", "a user that calls", turns({**call("{}"), **ASK}, ANSWER),
     "messages[0].tool_calls", Code.BAD_TOOLS),
    ("messages", "an old call without a name", turns(ASK, {**ANSWER, "function_call": {"a": 1}}),
     "messages[1].function_call", Code.BAD_TOOLS),
    ("messages", "tools of one turn", turns({**ASK, "tools": TOOLS}, ANSWER),
     "messages[0].tools", Code.NOT_SUPPORTED),
    ("any", "tools that are no list", turns(ASK, ANSWER, tools={"name": "find"}), "tools",
     Code.BAD_TOOLS),
    ("any", "tools that are no JSON", {**ALPACA, "tools": "find"}, "tools", Code.BAD_TOOLS),
    ("any", "tools that are JSON of an object", {**PAIR, "tools": "{}"}, "tools", Code.BAD_TOOLS),
    ("any", "a tool that is no object", {**LABELLED, "tools": ["find"]}, "tools[0]",
     Code.BAD_TOOLS),
    ("any", "a tool without a name", tool(), "tools[0]", Code.BAD_TOOLS),
    ("any", "a tool whose parameters are a list", tool(name="a", parameters=[]), "tools[0]",
     Code.BAD_TOOLS),
    ("any", "a tool that is no function", turns(ASK, ANSWER, tools=[{"type": "web_search"}]),
     "tools[0]", Code.BAD_TOOLS),
    ("any", "tools and functions", turns(ASK, ANSWER, tools=TOOLS, functions=[FIND]),
     "functions", Code.BAD_TOOLS),
    # Alpaca.
    ("alpaca", "no answer", {"instruction": "a"}, "output", Code.MISSING_FIELD),
    ("alpaca", "null answer", {"instruction": "a", "output": None}, "output", Code.WRONG_TYPE),
    ("alpaca", "a list as answer", {"instruction": "a", "output": []}, "output", Code.WRONG_TYPE),
    ("alpaca", "an object as question", {**ALPACA, "instruction": {}}, "instruction",
     Code.WRONG_TYPE),
    ("alpaca", "empty question", {**ALPACA, "instruction": ""}, "instruction",
     Code.EMPTY_QUESTION),
    ("alpaca", "history that is no list", {**ALPACA, "history": {}}, "history", Code.WRONG_TYPE),
    ("alpaca", "history that has no pairs", {**ALPACA, "history": [["q"]]}, "history[0]",
     Code.WRONG_TYPE),
    ("alpaca", "empty question in the history", {**ALPACA, "history": [["", "a"]]},
     "history[0][0]", Code.EMPTY_QUESTION),
    ("alpaca", "a preference without its worse answer", {"instruction": "a", "chosen": "b"},
     "rejected", Code.MISSING_FIELD),
    ("alpaca", "a preference of equal answers",
     {"instruction": "a", "chosen": "b", "rejected": "b"}, "rejected", Code.SAME_ANSWERS),
    # sharegpt.
    ("sharegpt", "no turns", {"conversations": []}, "conversations", Code.NO_MESSAGES),
    ("sharegpt", "no answer", {"conversations": [HUMAN]}, "conversations", Code.NO_ANSWER),
    ("sharegpt", "no role", {"conversations": [{"value": "a"}, GPT]}, "conversations[0].from",
     Code.MISSING_FIELD),
    ("sharegpt", "unknown role", {"conversations": [{**HUMAN, "from": "bot"}, GPT]},
     "conversations[0].from", Code.UNKNOWN_ROLE),
    ("sharegpt", "empty question", {"conversations": [{**HUMAN, "value": ""}, GPT]},
     "conversations[0].value", Code.EMPTY_QUESTION),
    ("sharegpt", "system column beside a system turn",
     {"conversations": [{"from": "system", "value": "a"}, HUMAN, GPT], "system": "b"}, "system",
     Code.NOT_SUPPORTED),
    ("sharegpt", "a call that is no JSON", calling("find()"), "conversations[1].value",
     Code.BAD_TOOLS),
    ("sharegpt", "a call that is JSON of a text", calling('"find"'), "conversations[1].value",
     Code.BAD_TOOLS),
    ("sharegpt", "a call without a name", calling('{"arguments": {}}'), "conversations[1].value",
     Code.BAD_TOOLS),
    ("sharegpt", "NUL character in a call", calling("{}\0"), "conversations[1].value",
     Code.NUL_CHARACTER),
    ("sharegpt", "a call without a value", calling(None), "conversations[1].value",
     Code.MISSING_FIELD),
    ("sharegpt", "a preference of equal answers",
     {"conversations": [HUMAN], "chosen": GPT, "rejected": GPT}, "rejected", Code.SAME_ANSWERS),
    ("sharegpt", "a preference whose prompt ends with an answer",
     {"conversations": [HUMAN, GPT], "chosen": GPT, "rejected": ELSEWHERE},
     "conversations[1]", Code.SAME_ROLE_TWICE),
    # Preferences of OpenAI, and of TRL.
    ("messages", "a preference without its prompt",
     {**PREFERRED, "input": None}, "input", Code.WRONG_TYPE),
    ("messages", "a preference whose input lacks the turns", {**PREFERRED, "input": {}},
     "input.messages", Code.MISSING_FIELD),
    ("messages", "a preference without a question",
     {**PREFERRED, "input": {"messages": [{**ASK, "role": "system"}]}}, "input.messages",
     Code.EMPTY_QUESTION),
    ("messages", "a preference with bad tools",
     {**PREFERRED, "input": {"messages": [ASK], "tools": [1]}}, "input.tools[0]", Code.BAD_TOOLS),
    ("messages", "a preference without its worse answer",
     {"input": {"messages": [ASK]}, "preferred_output": [ANSWER]}, "non_preferred_output",
     Code.MISSING_FIELD),
    ("messages", "a preference of equal answers", {**PREFERRED, "non_preferred_output": [ANSWER]},
     "non_preferred_output", Code.SAME_ANSWERS),
    ("messages", "a side that starts with a question",
     {**PREFERRED, "preferred_output": [ASK, ANSWER]}, "preferred_output[0]", Code.WRONG_TYPE),
    ("messages", "a side that ends with a question",
     {**PREFERRED, "preferred_output": [ANSWER, ASK]}, "preferred_output",
     Code.LAST_TURN_NOT_ASSISTANT),
    ("messages", "a side without an answer", {**PREFERRED, "preferred_output": [ASK]},
     "preferred_output", Code.NO_ANSWER),
    ("messages", "a side with weight 0",
     {**PREFERRED, "preferred_output": [{**ANSWER, "weight": 0}]}, "preferred_output",
     Code.NOTHING_SUPERVISED),
    ("messages", "a system turn in a side",
     {**PREFERRED, "preferred_output": [ANSWER, {**ASK, "role": "system"}, ANSWER]},
     "preferred_output[1]", Code.SYSTEM_NOT_FIRST),
    ("prompt_completion", "no answer", {"prompt": [ASK], "completion": [ASK]}, "completion",
     Code.NO_ANSWER),
    ("prompt_completion", "no prompt", {"completion": "a"}, "prompt", Code.MISSING_FIELD),
    ("prompt_completion", "empty prompt", {"prompt": "", "completion": "a"}, "prompt",
     Code.EMPTY_QUESTION),
    ("prompt_completion", "null answer", {"prompt": "a", "completion": None}, "completion",
     Code.WRONG_TYPE),
    ("prompt_completion", "a prompt that ends with an answer",
     {"prompt": [ASK, ANSWER], "completion": "a"}, "completion", Code.SAME_ROLE_TWICE),
    ("prompt_completion", "a preference of texts without a prompt",
     {"chosen": "a", "rejected": "b"}, "prompt", Code.MISSING_FIELD),
    ("prompt_completion", "a preference of conversations that share no question",
     {"chosen": [ASK, ANSWER], "rejected": [asked("Why?"), ANSWER]}, "prompt",
     Code.MISSING_FIELD),
    ("prompt_completion", "a preference of equal conversations",
     {"chosen": [ASK, ANSWER], "rejected": [ASK, ANSWER]}, "rejected", Code.SAME_ANSWERS),
    ("prompt_completion", "a preference whose answers are equal once their turns are joined",
     {"prompt": "Where?", "chosen": [ANSWER, ANSWER], "rejected": "Here.\n\nHere."}, "rejected",
     Code.SAME_ANSWERS),
    ("prompt_completion", "a prompt that the whole conversations do not start with",
     {"prompt": "Why?", "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE]}, "prompt",
     Code.WRONG_TYPE),
    ("prompt_completion", "a prompt that cannot be read beside whole conversations",
     {"prompt": "\0", "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE]}, "prompt",
     Code.NUL_CHARACTER),
    ("prompt_completion", "a preference without its worse answer",
     {"prompt": "a", "chosen": "b"}, "rejected", Code.MISSING_FIELD),
    # Labels, and text.
    ("any", "a label that is no number 0 or 1", {**LABELLED, "kto_tag": 2}, "kto_tag",
     Code.BAD_LABEL),
    ("any", "a label in other words", {**LABELLED, "kto_tag": "sports"}, "kto_tag",
     Code.BAD_LABEL),
    ("any", "a labelled answer with weight 0",
     turns(ASK, ANSWER, ASK, {**ANSWER, "weight": 0}, label=True), "messages[3]",
     Code.NOTHING_SUPERVISED),
    ("text", "empty text", {"text": " \n"}, "text", Code.NOTHING_SUPERVISED),
    ("text", "null text", {"text": None}, "text", Code.WRONG_TYPE),
    ("text", "NUL character", {"text": "a\0"}, "text", Code.NUL_CHARACTER),
]  # fmt: skip

WARNED: list[Defect] = [
    ("messages", "empty answer", turns(ASK, said(" \n")), "messages[1].content",
     Code.EMPTY_ANSWER),
    ("messages", "no answer after the thoughts", turns(ASK, said("<think>Hm.</think>")),
     "messages[1].content", Code.EMPTY_ANSWER),
    ("messages", "one of several answers is empty", turns(ASK, said(""), ASK, ANSWER),
     "messages[1].content", Code.EMPTY_ANSWER),
    ("messages", "a side of a preference is empty",
     {**PREFERRED, "non_preferred_output": [said("")]}, "non_preferred_output[0].content",
     Code.EMPTY_ANSWER),
    ("alpaca", "empty answer", {**ALPACA, "output": ""}, "output", Code.EMPTY_ANSWER),
    ("alpaca", "empty answer in the history", {**ALPACA, "history": [["q", ""]]},
     "history[0][1]", Code.EMPTY_ANSWER),
    ("alpaca", "a side of a preference is empty",
     {"instruction": "a", "chosen": "", "rejected": "b"}, "chosen", Code.EMPTY_ANSWER),
    ("sharegpt", "empty answer", {"conversations": [HUMAN, {**GPT, "value": ""}]},
     "conversations[1].value", Code.EMPTY_ANSWER),
    ("prompt_completion", "empty answer", {"prompt": "a", "completion": ""}, "completion",
     Code.EMPTY_ANSWER),
    ("messages", "a call of what the tools do not define",
     turns(ASK, call("{}"), tools=[{**FIND, "name": "search"}]), "messages[1].tool_calls[0]",
     Code.BAD_TOOLS),
    ("sharegpt", "a call of what the tools do not define",
     {**calling('{"name": "find"}'), "tools": json.dumps([{**FIND, "name": "search"}])},
     "conversations[1].tool_calls[0]", Code.BAD_TOOLS),
]  # fmt: skip


def named(defects: list[Defect]) -> list[Any]:
    return [pytest.param(*rest, id=f"{form}: {what}") for form, what, *rest in defects]


@pytest.mark.parametrize(("obj", "field", "code"), named(BAD))
def test_a_bad_row_is_left_out_and_told_why(obj: object, field: str | None, code: Code) -> None:
    result = parsed(obj)
    assert result.verdict() is Verdict.BAD
    found = [(p.field, p.code) for p in result.problems if p.verdict is Verdict.BAD]
    assert (field, code) in found
    assert all(problem.message.endswith((".", "?")) for problem in result.problems)


@pytest.mark.parametrize(("obj", "field", "code"), named(WARNED))
def test_a_doubtful_row_is_kept_and_told_why(obj: object, field: str | None, code: Code) -> None:
    result = parsed(obj)
    assert [(p.field, p.code, p.verdict) for p in result.problems] == [
        (field, code, Verdict.WARNED)
    ]


def test_an_empty_answer_that_is_not_learned_is_not_doubted() -> None:
    assert findings(turns(ASK, {**said(""), "weight": 0}, ASK, ANSWER)) == []


@pytest.mark.parametrize(
    ("obj", "form", "kind"),
    [
        (turns(ASK, ANSWER), Form.ALPACA, Kind.CONVERSATION),
        (ALPACA, Form.MESSAGES, Kind.CONVERSATION),
        (PAIR, Form.PROMPT_COMPLETION, Kind.CONVERSATION),
        (LABELLED, Form.PROMPT_COMPLETION, Kind.CONVERSATION),
        (LABELLED, Form.PROMPT_COMPLETION, Kind.PREFERENCE),
        ({**PAIR, "completion": "a"}, Form.PROMPT_COMPLETION, Kind.KTO),
        (ALPACA, Form.ALPACA, Kind.KTO),
        ({"text": "a"}, Form.MESSAGES, Kind.CONVERSATION),
    ],
)
def test_a_row_that_is_not_as_the_file_is_refused(obj: object, form: Form, kind: Kind) -> None:
    reading = Reading(form=form, kind=kind)
    assert findings(obj, reading) == [(None, Code.OTHER_FORM)]


def test_a_person_who_says_the_form_is_not_asked_again() -> None:
    mapping = Mapping(form=Form.ALPACA, kind=Kind.KTO)
    reading = detect(mapping=mapping)
    fields = [("output", Code.MISSING_FIELD), ("label", Code.MISSING_FIELD)]
    assert findings({"instruction": "a", "messages": [ASK]}, reading) == fields
    reading = detect(mapping=Mapping(form=Form.TEXT))
    assert findings({"body": "a"}, reading) == [("text", Code.MISSING_FIELD)]


def test_a_label_in_a_file_of_labels_is_a_label() -> None:
    reading = Reading(form=Form.PROMPT_COMPLETION, kind=Kind.KTO)
    assert findings({**LABELLED, "label": "sports"}, reading) == [("label", Code.BAD_LABEL)]
    plain = Reading(form=Form.PROMPT_COMPLETION)
    assert findings({**LABELLED, "label": "1"}, plain) == []


def test_a_row_of_the_form_that_lacks_a_column_is_told_which() -> None:
    reading = Reading(form=Form.PROMPT_COMPLETION)
    assert findings({"prompt": "a"}, reading) == [("completion", Code.MISSING_FIELD)]
    assert findings({"frage": "a"}, reading) == [(None, Code.UNKNOWN_FORM)]


def test_fields_are_named_as_in_the_file() -> None:
    mapping = Mapping(columns={"conversations": "talk", "tools": "api", "label": "thumb"})
    obj = {"talk": [{"from": "human"}, GPT], "api": [1], "thumb": "sports"}
    reading = detect(obj, mapping=mapping)
    assert findings(obj, reading) == [
        ("talk[0].value", Code.MISSING_FIELD),
        ("api[0]", Code.BAD_TOOLS),
        ("thumb", Code.BAD_LABEL),
    ]


def test_too_many_turns_are_refused_and_not_cut() -> None:
    long = turns(*[ASK, ANSWER] * 3)

    def codes(obj: object, most: int) -> list[Problem]:
        return list(parse_row(obj, reading=detect(obj), line=1, messages_max=most).problems)

    assert [problem.code for problem in codes(long, 5)] == [Code.TOO_MANY_MESSAGES]
    assert codes(long, 6) == []
    alpaca = {**ALPACA, "history": [["q", "a"]] * 2}
    assert [problem.code for problem in codes(alpaca, 5)] == [Code.TOO_MANY_MESSAGES]
    assert codes(alpaca, 6) == []


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ({"data": [turns(ASK, ANSWER)]}, "one object around a list"),
        ({"frage": "a"}, "`frage`: no form that we know. We read `messages`"),
        ({"a\0" * 50: "a"}, "`a\\x00"),
        (turns({"speaker": "user", "text": "a"}), "`speaker`, `text`"),
    ],
)
def test_what_is_there_is_named(obj: dict[str, Any], words: str) -> None:
    assert words in parsed(obj).problems[0].message


@pytest.mark.parametrize(
    ("obj", "columns"),
    [
        ({"question": "a", "answer": "b"}, {"prompt": "question", "completion": "answer"}),
        ({"prompt": "a", "response": "b"}, {"prompt": "prompt", "completion": "response"}),
        ({"input": "a", "target": "b"}, {"prompt": "input", "completion": "target"}),
        ({"query": "a", "response": "b", "id": 1}, {"prompt": "query", "completion": "response"}),
        ({"Question": "a", "Answer": "b"}, {"prompt": "Question", "completion": "Answer"}),
        ({"问题": "a", "答案": "b"}, {"prompt": "问题", "completion": "答案"}),
        (
            {"instruction": "a", "context": "b", "response": "c"},
            {"instruction": "instruction", "input": "context", "output": "response"},
        ),
        (
            {"system": "a", "question": "b", "chosen": "c", "rejected": "d"},
            {"prompt": "question", "chosen": "chosen", "rejected": "rejected", "system": "system"},
        ),
        ({"content": "a"}, {"text": "content"}),
        ({"dialog": [ASK, ANSWER]}, {"messages": "dialog"}),
        ({"dialog": [HUMAN, GPT]}, {"conversations": "dialog"}),
    ],
)
def test_a_near_miss_is_answered_with_the_mapping_that_reads_it(
    obj: dict[str, Any], columns: dict[str, str]
) -> None:
    message = parsed(obj).problems[0].message
    assert json.dumps({"columns": columns}, ensure_ascii=False, separators=(",", ":")) in message
    mapping = Mapping(columns=columns)
    assert findings(obj, detect(obj, mapping=mapping)) == []
