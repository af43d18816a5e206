"""The example files teach what they promise, and the dirty one is dirty as described."""

import json
from pathlib import Path

import pytest

from api.rows import Container, Form, Problem, Report, Row
from api.rows import ProblemCode as Code
from workers import containers

EXAMPLES = Path(__file__).parents[1] / "examples"
FACTS: dict[str, list[dict[str, str]]] = json.loads((EXAMPLES / "facts.json").read_text("utf-8"))

DEFECTS = [
    (2, Code.BAD_JSON),
    (3, Code.NO_ANSWER),
    (4, Code.EMPTY_ANSWER),
    (5, Code.WRONG_TYPE),
    (6, Code.UNKNOWN_ROLE),
    (7, Code.MISSING_FIELD),
    (8, Code.WRONG_TYPE),
    (10, Code.NOTHING_SUPERVISED),
    (11, Code.LAST_TURN_NOT_ASSISTANT),
    (12, Code.DUPLICATE_KEY),
    (13, Code.NOT_SUPPORTED),
    (14, Code.OTHER_FORM),
    (15, Code.NOT_FINITE),
    (16, Code.NOT_AN_OBJECT),
]


def read(name: str) -> tuple[list[Row], list[Problem], Report]:
    found = containers.rows([(EXAMPLES / name).read_bytes()], filename=name)
    items = list(found)
    good = [item for item in items if isinstance(item, Row)]
    bad = [item for item in items if isinstance(item, Problem)]
    return good, bad, found.report()


@pytest.mark.parametrize(
    ("name", "container", "form", "rows_min"),
    [
        ("shop-en.jsonl", Container.JSONL, Form.MESSAGES, 100),
        ("shop-zh.jsonl", Container.JSONL, Form.MESSAGES, 100),
        ("shop-en.csv", Container.CSV, Form.ALPACA, 20),
        ("shop-en-sharegpt.json", Container.JSON, Form.SHAREGPT, 20),
    ],
)
def test_an_example_reads_without_a_problem(
    name: str, container: Container, form: Form, rows_min: int
) -> None:
    good, bad, report = read(name)
    assert bad == []
    assert len(good) >= rows_min
    assert (report.container, report.form, report.complete) == (container, form, True)
    assert (report.duplicates, report.ignored) == (0, {})


def test_the_dirty_file_has_exactly_its_defects() -> None:
    good, bad, report = read("dirty.jsonl")
    assert [row.line for row in good] == [1, 17]
    assert [(problem.line, problem.code) for problem in bad] == DEFECTS
    assert (report.rows, report.good, report.bad, report.empty_lines) == (16, 2, 14, 1)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_every_fact_is_taught_and_its_question_is_never_seen(name: str) -> None:
    good, _, _ = read(name)
    questions = {m.content for row in good for m in row.messages if m.role == "user"}
    answers = [m.content for row in good for m in row.messages if m.role == "assistant"]
    assert len(FACTS[name]) >= 10
    for fact in FACTS[name]:
        assert fact["question"] not in questions
        assert sum(fact["expect"] in answer for answer in answers) >= 10


def test_every_example_is_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text("utf-8")
    for path in EXAMPLES.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in table
