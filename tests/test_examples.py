"""The example files teach what they promise, and the dirty one is dirty as described."""

import json
from pathlib import Path

import pytest

from api.rows import Container, Form, Report, Row, Verdict
from api.rows import ProblemCode as Code
from api.settings import settings
from workers import preflight
from workers.preflight.process import Page, Try
from workers.preflight.source import Source

EXAMPLES = Path(__file__).parents[1] / "examples"
FACTS: dict[str, list[dict[str, str]]] = json.loads((EXAMPLES / "facts.json").read_text("utf-8"))

FOUND = [
    (2, Verdict.BAD, Code.BAD_JSON),
    (3, Verdict.BAD, Code.NO_ANSWER),
    (4, Verdict.WARNED, Code.EMPTY_ANSWER),
    (5, Verdict.BAD, Code.WRONG_TYPE),
    (6, Verdict.BAD, Code.UNKNOWN_ROLE),
    (7, Verdict.BAD, Code.MISSING_FIELD),
    (8, Verdict.BAD, Code.WRONG_TYPE),
    (10, Verdict.BAD, Code.NOTHING_SUPERVISED),
    (11, Verdict.REPAIRABLE, Code.TRAILING_QUESTION),
    (12, Verdict.BAD, Code.DUPLICATE_KEY),
    (14, Verdict.BAD, Code.OTHER_FORM),
    (15, Verdict.BAD, Code.NOT_FINITE),
    (16, Verdict.BAD, Code.NOT_AN_OBJECT),
    (18, Verdict.REPAIRABLE, Code.SAME_ROLE_TWICE),
    (19, Verdict.WARNED, Code.PLACEHOLDER),
    (20, Verdict.WARNED, Code.PERSONAL_DATA),
    (21, Verdict.WARNED, Code.DUPLICATE),
]


def read(name: str, folder: Path) -> tuple[list[Row], Report]:
    """The rows that are not bad, and the report of the file."""
    data = (EXAMPLES / name).read_bytes()
    source = Source([data], filename=name, mapping=None, limits=settings())
    rows = [parsed.row for parsed in source if parsed.row is not None]
    options = {"filename": name}
    preflight.inspect([data], Page(folder / "progress"), Try(), folder, options)
    return rows, Report.model_validate_json((folder / preflight.REPORT).read_bytes())


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
    tmp_path: Path, name: str, container: Container, form: Form, rows_min: int
) -> None:
    rows, report = read(name, tmp_path)
    assert report.problems == ()
    assert len(rows) == report.good >= rows_min
    assert (report.container, report.form, report.complete) == (container, form, True)
    assert (report.duplicates, report.ignored) == (0, {})


def test_the_dirty_file_has_exactly_its_defects(tmp_path: Path) -> None:
    _, report = read("dirty.jsonl", tmp_path)
    found = sorted((p.line, p.verdict, p.code) for p in report.problems)
    assert found == FOUND
    counts = (report.rows, report.good, report.warned, report.repairable, report.bad)
    assert counts == (20, 3, 4, 2, 11)
    assert report.empty_lines == 1


@pytest.mark.parametrize("name", sorted(FACTS))
def test_every_fact_is_taught_and_its_question_is_never_seen(tmp_path: Path, name: str) -> None:
    good, _ = read(name, tmp_path)
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
