"""How a person says a file is to be read: our mapping, and LLaMA-Factory's dataset_info.json."""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rows import Form, Kind, Mapping, MappingError, Tags, check_mapping, read_dataset_info
from tests.api.test_rows import good, json_values, said

ENTRY: dict[str, Any] = {
    "file_name": "train.json",
    "columns": {"prompt": "question", "query": "context", "response": "answer"},
}
TALK: dict[str, Any] = {
    "file_name": "talk.jsonl",
    "formatting": "sharegpt",
    "columns": {"messages": "talk", "system": "sys", "tools": "api"},
    "tags": {
        "role_tag": "who",
        "content_tag": "says",
        "user_tag": "Q",
        "assistant_tag": "A",
        "observation_tag": "O",
        "function_tag": "F",
        "system_tag": "S",
    },
}
ALPACA = Mapping(
    form=Form.ALPACA,
    kind=Kind.CONVERSATION,
    columns={"instruction": "question", "input": "context", "output": "answer"},
)


def problems(value: object, **arguments: Any) -> tuple[str, ...]:
    def read() -> Mapping:
        return read_dataset_info(value, **arguments) if arguments else check_mapping(value)

    with pytest.raises(MappingError) as raised:
        read()
    assert str(raised.value) == " ".join(raised.value.problems)
    assert all(problem.endswith(".") for problem in raised.value.problems)
    return raised.value.problems


def test_a_mapping_of_ours_is_read_from_json() -> None:
    mapping = Mapping(
        form=Form.SHAREGPT,
        kind=Kind.KTO,
        columns={"conversations": "talk", "label": "thumb"},
        tags=Tags(role="who", content="says", user="Q"),
    )
    assert check_mapping(mapping.model_dump(mode="json")) == mapping
    assert check_mapping({}) == Mapping()
    assert check_mapping({"columns": {"kto_tag": "thumb"}}).columns == {"label": "thumb"}
    assert check_mapping({"columns": {"prompt": "a", "completion": "b"}}).form is None


def test_an_alpaca_entry_is_read() -> None:
    assert check_mapping(ENTRY) == ALPACA
    obj = {"question": "Translate.", "context": "Haus", "answer": "house"}
    messages = good(obj, **check_mapping(ENTRY).model_dump()).messages
    assert said(messages) == [("user", "Translate.\nHaus"), ("assistant", "house")]


def test_a_sharegpt_entry_is_read_with_its_tags() -> None:
    mapping = check_mapping(TALK)
    assert (mapping.form, mapping.kind) == (Form.SHAREGPT, Kind.CONVERSATION)
    assert mapping.columns == {"conversations": "talk", "system": "sys", "tools": "api"}
    words = [("Q", "Where?"), ("F", '{"name": "find"}'), ("O", "On the mat."), ("A", "Here.")]
    obj = {"talk": [{"who": who, "says": text} for who, text in words], "sys": "Be brief."}
    row = good({**obj, "api": '[{"name": "find"}]'}, **mapping.model_dump())
    assert [m.role for m in row.messages] == ["system", "user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize(
    ("entry", "form", "kind", "columns"),
    [
        ({"file_name": "a"}, Form.ALPACA, Kind.CONVERSATION, {}),
        ({"formatting": "openai"}, Form.MESSAGES, Kind.CONVERSATION, {}),
        (
            {"formatting": "openai", "columns": {"messages": "talk"}},
            Form.MESSAGES,
            Kind.CONVERSATION,
            {"messages": "talk"},
        ),
        (
            {"ranking": True, "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}},
            Form.ALPACA,
            Kind.PREFERENCE,
            {"instruction": "q", "chosen": "a", "rejected": "b"},
        ),
        (
            {"formatting": "sharegpt", "columns": {"messages": "m", "kto_tag": "k"}},
            Form.SHAREGPT,
            Kind.KTO,
            {"conversations": "m", "label": "k"},
        ),
        (
            {"file_name": "c4.json", "columns": {"prompt": "text"}},
            Form.TEXT,
            Kind.TEXT,
            {"text": "text"},
        ),
        (
            {"file_name": "a", "columns": {"prompt": "q", "response": "a", "history": "h"}},
            Form.ALPACA,
            Kind.CONVERSATION,
            {"instruction": "q", "output": "a", "history": "h"},
        ),
        (
            {"hf_hub_url": "a/b", "subset": "c", "split": "train", "folder": None},
            Form.ALPACA,
            Kind.CONVERSATION,
            {},
        ),
        ({"file_name": "a", "num_samples": None}, Form.ALPACA, Kind.CONVERSATION, {}),
    ],
)
def test_every_entry_says_form_kind_and_columns(
    entry: dict[str, Any], form: Form, kind: Kind, columns: dict[str, str]
) -> None:
    assert check_mapping(entry) == Mapping(form=form, kind=kind, columns=columns)


def test_tags_of_an_alpaca_entry_mean_nothing() -> None:
    assert check_mapping({**ENTRY, "tags": {"role_tag": "role"}}) == ALPACA


def test_the_entry_is_named_or_about_the_file_or_the_only_one() -> None:
    both = {"talk": TALK, "train": ENTRY}
    assert read_dataset_info(both, filename="train.json") == ALPACA
    assert read_dataset_info(both, filename="other.json", entry="train") == ALPACA
    assert read_dataset_info({"train": ENTRY}, filename="other.json") == ALPACA
    assert read_dataset_info(ENTRY, filename="other.json") == ALPACA
    assert check_mapping({"train": ENTRY}) == ALPACA
    assert "`talk`, `train`" in problems(both, filename="other.json")[0]
    assert "`talk`, `train`" in problems(both, filename="train.json", entry="b")[0]
    assert "`talk`, `train`" in problems(both)[0]
    assert "`a`, `b`" in problems({"a": ENTRY, "b": ENTRY}, filename="train.json")[0]


def test_all_that_is_wrong_with_an_entry_comes_at_once() -> None:
    entry = {
        "file_name": "a.json",
        "formatting": "chatml",
        "ranking": "yes",
        "script_url": "load.py",
        "num_samples": 10,
        "column": {},
        "columns": {"prompt": 1, "images": "images", "answers": "a"},
        "tags": {"roles": "role"},
    }
    found = problems(entry)
    words = ["`column` is no key", "`script_url`", "`num_samples`", "`formatting`", "`ranking`"]
    words += ["`columns.prompt`", "`tags.roles`", "`columns.images`", "`columns.answers`"]
    assert len(found) == len(words)
    for word, problem in zip(words, found, strict=True):
        assert problem.startswith(word)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "is a list"),
        ("a", "is text"),
        ({"form": "csv"}, "`form`"),
        ({"forms": "alpaca", "form": None}, "`forms`"),
        ({"columns": {"instruction": 1}}, "`columns.instruction`"),
        ({"columns": {"question": "a"}}, "`columns.question` is no column of any form"),
        ({"form": "text", "columns": {"prompt": "a"}}, "is no column of form text. Use text"),
        ({"columns": {"instruction": ""}}, "`columns.instruction` must be a name"),
        ({"columns": {"instruction": "a", "output": "a"}}, "`a` is mapped twice"),
        ({"form": "text", "kind": "kto"}, "are not of kind kto"),
        ({"form": "alpaca", "kind": "text"}, "are not of kind text"),
        ({"tags": {"user": "a", "assistant": "a"}}, "the same word"),
        ({"tags": {"role": "a", "content": "a"}}, "the same name"),
        ({"file_name": "a", "columns": []}, "`columns` is a list"),
        ({"file_name": "a", "tags": 3}, "`tags` is a number"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(value: object, words: str) -> None:
    assert any(words in problem for problem in problems(value))


def test_a_file_of_entries_must_hold_objects() -> None:
    assert problems([], filename="a") == ("The file is a list. A dataset_info.json is an object.",)
    assert problems({"a": 1}, filename="a") == ("The entry is a number. Make it an object.",)
    assert problems({}, filename="a")


keys = st.sampled_from(["form", "kind", "columns", "tags", "file_name", "ranking", "a", "split"])


@given(st.dictionaries(keys, st.dictionaries(keys, json_values) | json_values) | json_values)
def test_any_json_is_a_mapping_or_refused(value: object) -> None:
    for read in (check_mapping, partial(read_dataset_info, filename="a")):
        with suppress(MappingError):
            assert isinstance(read(value), Mapping)
