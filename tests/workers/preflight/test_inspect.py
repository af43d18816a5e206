"""Inspection: a verdict for each row, every finding by line, and counts that add up."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.preflight.conftest import Inspect, rows, turns

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_each_row_has_one_verdict_and_they_add_up(inspect: Inspect) -> None:
    made = inspect(
        rows(
            turns("What is it?", "A lamp."),
            turns("Who are you, {{name}}?", "A shop."),
            {
                "messages": [
                    {"role": "user", "content": "One"},
                    {"role": "user", "content": "two"},
                    {"role": "assistant", "content": "three"},
                ]
            },
            {"messages": []},
            turns("What is it?", "A lamp."),
        )
    )
    report = made.report
    assert made.findings == [
        (2, "warned", "placeholder"),
        (3, "repairable", "same_role_twice"),
        (4, "bad", "no_messages"),
        (5, "warned", "duplicate"),
    ]
    counts = [report[name] for name in ("rows", "good", "warned", "repairable", "bad")]
    assert counts == [5, 1, 2, 1, 1]
    assert report["duplicates"] == 1
    assert report["complete"] is True


def test_a_row_with_several_findings_counts_once_by_the_worst(inspect: Inspect) -> None:
    row = {
        "messages": [
            {"role": "user", "content": "{{a}}"},
            {"role": "user", "content": 7},
            {"role": "assistant", "content": "x"},
        ]
    }
    report = inspect(rows(row, row)).report
    assert (report["repairable"], report["warned"], report["rows"]) == (2, 0, 2)


def test_turns_are_counted_and_answers_with_thoughts_detected(inspect: Inspect) -> None:
    thinking = turns("2+2?", "<think>\nEasy.\n</think>\n\n4")
    assert inspect(rows(thinking)).report["reasoning"] == "all"
    made = inspect(rows(thinking, turns("a", "b", "c", "d")))
    assert made.report["reasoning"] == "some"
    assert made.report["turns"]["counts"][1] == 1
    assert made.report["messages"] == 6
    assert inspect(rows(turns("a", "b"))).report["reasoning"] == "none"


def test_fields_that_are_not_read_are_named(inspect: Inspect) -> None:
    row = turns("a", "b") | {"id": 7}
    row["messages"][0]["created"] = 1
    assert inspect(rows(row)).report["ignored"] == {"id": 1, "messages[].created": 1}


def test_a_person_s_mapping_is_how_a_file_is_read(inspect: Inspect) -> None:
    data = "frage,antwort\nWas ist das?,Eine Lampe.\n"
    guess = inspect(data, filename="a.csv").report
    assert (guess["form"], guess["bad"], guess["columns"]) == (None, 1, ["frage", "antwort"])
    mapping = {"form": "alpaca", "columns": {"instruction": "frage", "output": "antwort"}}
    report = inspect(data, filename="a.csv", mapping=mapping).report
    assert (report["form"], report["good"]) == ("alpaca", 1)


def test_a_compressed_file_reads_as_the_plain_one(inspect: Inspect) -> None:
    data = (EXAMPLES / "shop-en.jsonl").read_bytes()
    plain, packed = inspect(data).report, inspect(gzip.compress(data)).report
    assert packed["packing"] == "gzip"
    for name in ("rows", "good", "form", "messages", "characters", "turns"):
        assert plain[name] == packed[name]


def test_findings_no_spreadsheet_takes_for_a_formula(inspect: Inspect) -> None:
    row = {"messages": [{"role": "=cmd()", "content": "x"}]}
    for cells in inspect(rows(row, {"=x": 1})).csv():
        assert all(cell[:1] not in "=+-@" for cell in cells if cell)


def test_the_first_findings_of_each_kind_are_kept_in_words_and_all_in_the_csv(
    inspect: Inspect,
) -> None:
    many: list[object] = [{"messages": []}] * 400 + [{"messages": "x"}]
    made = inspect(rows(*many))
    assert len(made.findings) == 401
    codes = [problem["code"] for problem in made.report["problems"]]
    assert codes.count("no_messages") == 100
    assert codes[-1] == "wrong_type"
    assert made.report["problem_counts"] == {"no_messages": 400, "wrong_type": 1}


@pytest.mark.parametrize("name", ["shop-en.jsonl", "shop-zh.jsonl", "shop-en.csv"])
def test_the_examples_are_all_good(inspect: Inspect, name: str) -> None:
    report = inspect((EXAMPLES / name).read_bytes(), filename=name).report
    assert report["good"] == report["rows"] > 0


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["messages", "role", "content", "x"]), inner)
            ),
            max_leaves=8,
        ),
        max_size=12,
    )
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_rows_are_each_has_one_verdict(
    inspect: Inspect, objects: list[object]
) -> None:
    report = inspect("".join(json.dumps(one) + "\n" for one in ({}, *objects))).report
    total = sum(report[name] for name in ("good", "warned", "repairable", "bad"))
    assert total == report["rows"] == len(objects) + 1
