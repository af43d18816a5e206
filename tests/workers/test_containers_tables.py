"""Tables: CSV, TSV, Excel and Parquet files, made by the libraries people make them with."""

import csv
import datetime as dt
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rows.words import Container, Problem, Verdict
from api.rows.words import ProblemCode as Code
from api.settings import Settings
from workers.containers import RawRow, Reader, read

LIMITS = Settings(line_bytes_max=20_000, rows_max=10_000, json_depth_max=8, columns_max=20)
CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def opened(
    data: bytes, name: str, columns: frozenset[str] = frozenset()
) -> tuple[Reader, list[RawRow | Problem]]:
    reader = read([data], filename=name, limits=LIMITS, columns=columns)
    return reader, list(reader)


def rows_of(data: bytes, name: str, columns: frozenset[str] = frozenset()) -> list[Any]:
    _, items = opened(data, name, columns)
    assert all(isinstance(item, RawRow) for item in items), items
    return [item.value for item in items if isinstance(item, RawRow)]


def codes_of(data: bytes, name: str) -> tuple[list[int], list[tuple[int, Code]]]:
    _, items = opened(data, name)
    good = [item.line for item in items if isinstance(item, RawRow)]
    return good, [(item.line, item.code) for item in items if isinstance(item, Problem)]


def only_problem(data: bytes, name: str) -> Problem:
    _, items = opened(data, name)
    (problem,) = (item for item in items if isinstance(item, Problem))
    return problem


def text(*records: Sequence[object], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(records)
    return out.getvalue().encode()


def workbook(*records: Sequence[object], **others: Sequence[Sequence[object]]) -> bytes:
    book = openpyxl.Workbook()
    for title, rows in {"Sheet": records, **others}.items():
        sheet = book.active if title == "Sheet" else book.create_sheet(title)
        for record in rows:
            sheet.append(list(record))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def changed(data: bytes, path: str, change: Callable[[str], str]) -> bytes:
    """A workbook with one of its XML files written anew."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            body = old.read(name).decode()
            new.writestr(name, change(body) if name == path else body)
    return out.getvalue()


def sheet_xml(rows: str) -> bytes:
    """A workbook whose sheet has these rows, as XML."""

    def put(body: str) -> str:
        start, end = body.index("<sheetData>") + 11, body.index("</sheetData>")
        return body[:start] + rows + body[end:]

    return changed(workbook(["x"]), "xl/worksheets/sheet1.xml", put)


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


# What all tables have in common

HEADER = ["instruction", "output"]
MAKERS: dict[str, Callable[..., bytes]] = {
    "x.csv": text,
    "x.tsv": lambda *records: text(*records, delimiter="\t"),
    "x.xlsx": workbook,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_table_of_any_kind_gives_the_same_rows(name: str) -> None:
    make = MAKERS[name]
    data = make(HEADER, ["a, b\nc", "d;e"], ["f", ""])
    reader, items = opened(data, name)
    assert [item.value for item in items if isinstance(item, RawRow)] == [
        {"instruction": "a, b\nc", "output": "d;e"},
        {"instruction": "f", "output": ""},
    ]
    assert reader.container == Container(name[2:])
    assert reader.columns == ("instruction", "output")


@pytest.mark.parametrize("name", MAKERS)
def test_cells_that_hold_json_are_read(name: str) -> None:
    data = MAKERS[name](
        ["messages", "tools", "chosen", "input", "mine", "label"],
        [json.dumps(CHAT), '[{"name": "f"}]', json.dumps(CHAT[1:]), "[3, 5]", '[{"a": 1}]', "[1]"],
        [json.dumps(CHAT), "[broken", "a [b]", '{"messages": []}', "{x}", "{}"],
    )
    first, second = rows_of(data, name, frozenset({"mine"}))
    assert first == {
        "messages": CHAT,
        "tools": [{"name": "f"}],
        "chosen": CHAT[1:],
        "input": "[3, 5]",
        "mine": [{"a": 1}],
        "label": "[1]",
    }
    assert (second["tools"], second["chosen"]) == ("[broken", "a [b]")
    assert (second["input"], second["mine"]) == ({"messages": []}, "{x}")
    broken = MAKERS[name](["messages", "id"], ["[{]", "1"], ['[{"a": 1, "a": 1}]', "2"])
    assert codes_of(broken, name) == ([], [(2, Code.BAD_JSON), (3, Code.DUPLICATE_KEY)])


@pytest.mark.parametrize("name", MAKERS)
def test_any_header_of_distinct_names_is_accepted(name: str) -> None:
    make = MAKERS[name]
    assert rows_of(make(["Question", "回答"], ["a", "b"]), name) == [{"Question": "a", "回答": "b"}]
    assert codes_of(make(["a", "b", "a"], ["1", "2", "3"]), name) == ([], [(1, Code.BAD_HEADER)])
    wide = make([f"c{n}" for n in range(21)], range(21))
    assert codes_of(wide, name) == ([], [(1, Code.TOO_MANY_COLUMNS)])


@pytest.mark.parametrize("name", MAKERS)
def test_a_column_without_a_name_is_left_out_and_said(name: str) -> None:
    data = MAKERS[name](["", "instruction", "output"], ["0", "a", "b"], ["1", "c", "d"])
    _, (first, second) = opened(data, name)
    assert isinstance(first, RawRow)
    assert isinstance(second, RawRow)
    assert first.value == {"instruction": "a", "output": "b"}
    assert [(r.line, r.code, r.verdict) for r in first.remarks] == [
        (2, Code.BAD_CELL, Verdict.WARNED)
    ]
    assert not second.remarks


# CSV and TSV


@pytest.mark.parametrize(
    ("mark", "container"),
    [(",", Container.CSV), (";", Container.CSV), ("|", Container.CSV), ("\t", Container.TSV)],
)
def test_the_delimiter_is_told_from_the_header(mark: str, container: Container) -> None:
    data = text(["instruction", "output"], ["a,b;c\td|e", "f"], delimiter=mark)
    for name in ("x.csv", "x.tsv", "x.txt", "x"):
        reader, items = opened(data, name)
        assert reader.container is container
        assert [item.value for item in items if isinstance(item, RawRow)] == [
            {"instruction": "a,b;c\td|e", "output": "f"}
        ]


def test_a_text_without_an_extension_is_a_table_where_it_names_columns() -> None:
    data = b"question,answer\na,b\n"
    assert codes_of(data, "x.txt") == ([], [(1, Code.UNKNOWN_CONTAINER)])
    assert rows_of(data, "x.txt", frozenset({"answer"})) == [{"question": "a", "answer": "b"}]


@pytest.mark.parametrize("cell", ["=SUM(A1:A9)", "=A1", "=(1+2)", "=-B2", "=$A$1"])
def test_a_formulas_text_is_remarked(cell: str) -> None:
    _, items = opened(text(HEADER, ["q", cell], ["q", "a"]), "x.csv")
    first, second = items
    assert isinstance(first, RawRow)
    assert isinstance(second, RawRow)
    (remark,) = first.remarks
    assert (remark.line, remark.field, remark.code) == (2, "output", Code.FORMULA_CELL)
    assert remark.verdict is Verdict.WARNED
    assert not second.remarks


@pytest.mark.parametrize("cell", ["= 3", "=> so", "== Title ==", "-3", "a=b", "=3"])
def test_other_text_with_an_equals_sign_is_no_formula(cell: str) -> None:
    _, (row,) = opened(text(HEADER, ["q", cell]), "x.csv")
    assert isinstance(row, RawRow)
    assert not row.remarks


# Excel


def test_cells_of_a_workbook_keep_their_kinds() -> None:
    moment = dt.datetime.fromisoformat("2024-01-05T06:07")
    values = [3, 2.5, True, moment, dt.date(2024, 1, 5), dt.time(6, 7), "x"]
    data = workbook([*"abcdefg"], values, [4.0, None, False, None, None, None, "_x000D_é\n"])
    first, second = rows_of(data, "x.xlsx")
    assert first == {
        "a": 3,
        "b": 2.5,
        "c": True,
        "d": "2024-01-05T06:07:00",
        "e": "2024-01-05",
        "f": "06:07:00",
        "g": "x",
    }
    assert [type(first[name]) for name in "abc"] == [int, float, bool]
    assert second == {"a": 4, "c": False, "g": "\ré\n"}
    assert type(second["a"]) is int


def test_rows_of_a_workbook_have_the_sheets_numbers() -> None:
    data = workbook([], ["instruction", "output"], ["a", "b"], [], ["c", "d"])
    assert codes_of(data, "x.xlsx") == ([3, 5], [])
    far = sheet_xml(
        '<row r="1"><c t="str"><v>a</v></c></row><row r="2000000000"><c t="str"><v>b</v></c></row>'
    )
    assert codes_of(far, "x.xlsx") == ([2_000_000_000], [])


def test_a_formula_without_a_stored_value_is_a_bad_row() -> None:
    data = workbook(HEADER, ["q", "=1+1"], ["q", "a"])
    assert codes_of(data, "x.xlsx") == ([3], [(2, Code.BAD_CELL)])
    says = only_problem(data, "x.xlsx").message
    assert "B2" in says
    assert "paste values" in says
    stored = changed(data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace("<v />", "<v>2</v>"))
    assert rows_of(stored, "x.xlsx")[0] == {"instruction": "q", "output": 2}


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ('<c r="B2" t="e"><v>#REF!</v></c>', Code.BAD_CELL),
        ('<c r="B2" t="s"><v>99999</v></c>', Code.BAD_CELL),
        ('<c r="B2" t="s"><v>x</v></c>', Code.BAD_CELL),
        ('<c r="B2"><v>one</v></c>', Code.BAD_CELL),
        ('<c r="B2"><v>NaN</v></c>', Code.NOT_FINITE),
        ('<c r="D2"><v>1</v></c>', Code.BAD_CELL),
        ('<c r="ZZZZZ2"><v>1</v></c>', Code.BAD_CELL),
        ('<c r="B2" t="str"><v>' + "x" * 20_001 + "</v></c>", Code.LINE_TOO_LONG),
    ],
)
def test_a_bad_cell_does_not_stop_the_rest(cell: str, code: Code) -> None:
    header = '<row r="1"><c t="str"><v>a</v></c><c t="str"><v>b</v></c></row>'
    good = '<row r="3"><c t="inlineStr"><is><t>x</t></is></c></row>'
    data = sheet_xml(f'{header}<row r="2">{cell}</row>{good}')
    assert codes_of(data, "x.xlsx") == ([3], [(2, code)])


def test_the_first_sheet_with_rows_is_read_and_the_others_are_named() -> None:
    data = workbook(Rows=[HEADER, ["a", "b"], ["c", "d"]], More=[HEADER, ["e", "f"]], Empty=[])
    reader, items = opened(data, "x.xlsx")
    assert [item.line for item in items] == [2, 3]
    first = items[0]
    assert isinstance(first, RawRow)
    (remark,) = first.remarks
    assert (remark.code, remark.verdict) == (Code.BAD_CELL, Verdict.WARNED)
    assert "'More'" in remark.message
    assert "Empty" not in remark.message
    assert reader.empty_lines == 0


def test_a_workbook_without_rows_is_empty() -> None:
    for data in (workbook(), workbook(HEADER)):
        assert codes_of(data, "x.xlsx") == ([], [(1, Code.EMPTY_FILE)])


def test_a_workbook_that_declares_entities_is_refused() -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    data = changed(workbook(HEADER, ["a", "b"]), "xl/worksheets/sheet1.xml", lambda s: laughs + s)
    assert codes_of(data, "x.xlsx") == ([], [(1, Code.BAD_ARCHIVE)])


def test_a_workbook_with_damaged_xml_ends_at_its_line() -> None:
    row = '<row r="{}"><c t="str"><v>a</v></c></row>'
    data = sheet_xml("".join(row.format(n) for n in range(1, 2_001)) + "<c")
    good, (last,) = codes_of(data, "x.xlsx")
    assert last[1] is Code.BAD_ARCHIVE
    assert good == list(range(2, last[0] + 1)) or good[-1] < last[0]
    missing = changed(workbook(HEADER), "xl/workbook.xml", lambda _: "")
    assert codes_of(missing, "x.xlsx") == ([], [(1, Code.BAD_ARCHIVE)])


# Parquet


def test_values_of_a_parquet_file_are_plain() -> None:
    kinds = {
        "messages": pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())])),
        "at": pa.timestamp("ns", "America/New_York"),
        "day": pa.date32(),
        "price": pa.decimal128(10, 2),
        "bytes": pa.binary(),
        "half": pa.float16(),
        "map": pa.map_(pa.string(), pa.int64()),
        "kind": pa.dictionary(pa.int32(), pa.string()),
        "none": pa.null(),
        "fixed": pa.list_(pa.int64(), 2),
        "span": pa.duration("ns"),
    }
    row = {
        "messages": CHAT,
        "at": dt.datetime(2024, 1, 5, 6, 7, 8, tzinfo=dt.UTC),
        "day": dt.date(2024, 1, 5),
        "price": Decimal("1.50"),
        "bytes": "é".encode(),
        "half": 0.5,
        "map": {"k": 1},
        "kind": "x",
        "none": None,
        "fixed": [1, 2],
        "span": dt.timedelta(hours=1),
    }
    nulls = dict.fromkeys(kinds)
    data = parquet(pa.Table.from_pylist([row, nulls, row], schema=pa.schema(kinds.items())))
    first, second, third = rows_of(data, "x.parquet")
    assert (
        first
        == third
        == row
        | {
            "at": "2024-01-05T06:07:08+00:00",
            "day": "2024-01-05",
            "price": "1.50",
            "bytes": "é",
            "span": "1:00:00",
        }
    )
    assert second == nulls
    assert json.loads(json.dumps(first)) == first
    reader, _ = opened(data, "anything.jsonl")
    assert (reader.container, reader.columns) == (Container.PARQUET, tuple(kinds))


def test_a_bad_value_of_a_parquet_file_does_not_stop_the_rest() -> None:
    def codes(values: pa.Array) -> list[tuple[int, Code]]:
        good, bad = codes_of(parquet(pa.table({"a": values})), "x.parquet")
        assert good == [1, 3]
        return bad

    assert codes(pa.array([0.5, float("nan"), 1.0])) == [(2, Code.NOT_FINITE)]
    assert codes(pa.array([[0.5], [float("inf")], []])) == [(2, Code.NOT_FINITE)]
    assert codes(pa.array([b"a", b"\xff", b"b"])) == [(2, Code.BAD_CELL)]
    raw = pa.array([b"a", b"\xff\xfe", b"b"])
    assert codes(pa.StringArray.from_buffers(3, *raw.buffers()[1:])) == [(2, Code.BAD_CELL)]
    assert codes(pa.array([0, 2**60, 1], pa.timestamp("us"))) == [(2, Code.BAD_CELL)]
    assert codes(pa.array(["a", "x" * 30_000, "b"])) == [(2, Code.LINE_TOO_LONG)]
    assert codes(pa.array([[1], [1] * 20_000, []])) == [(2, Code.LINE_TOO_LONG)]


def test_json_in_a_text_column_of_a_parquet_file_is_read() -> None:
    table = pa.table({"messages": [json.dumps(CHAT), "[{", None], "output": ["", "a", "=A1"]})
    _, items = opened(parquet(table), "x.parquet")
    first, second, third = items
    assert isinstance(first, RawRow)
    assert first.value == {"messages": CHAT, "output": ""}
    assert isinstance(second, Problem)
    assert (second.line, second.code, second.field) == (2, Code.BAD_JSON, "messages")
    assert isinstance(third, RawRow)
    assert third.value == {"messages": None, "output": "=A1"}


def test_many_rows_over_several_row_groups_are_numbered() -> None:
    table = pa.table({"text": [f"t{n % 7}" for n in range(5_000)]})
    data = parquet(table, row_group_size=999)
    assert [row["text"] for row in rows_of(data, "x.parquet")] == table["text"].to_pylist()
    assert codes_of(data, "x.parquet")[0] == list(range(1, 5_001))


def test_a_parquet_file_that_is_too_wide_or_too_deep_is_refused_by_its_footer() -> None:
    wide = pa.table({f"c{n}": [1] for n in range(10_000)})
    assert codes_of(parquet(wide), "x.parquet") == ([], [(1, Code.TOO_MANY_COLUMNS)])
    kind = pa.int64()
    for _ in range(12):
        kind = pa.list_(kind)
    deep = pa.table({"a": pa.array([None], kind)})
    assert codes_of(parquet(deep), "x.parquet") == ([], [(1, Code.TOO_DEEP)])
    big = parquet(pa.table({"a": ["x" * 100] * 2_000}), use_dictionary=False)
    limits = Settings(row_group_bytes_max=100_000)
    (problem,) = read([big], filename="x.parquet", limits=limits)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.ends) == (Code.UNPACKED_TOO_LARGE, True)


@pytest.mark.parametrize("keep", [4, 8, 300, -1])
def test_a_parquet_file_that_is_cut_off_is_said_to_be(keep: int) -> None:
    data = parquet(pa.table({"text": ["a"] * 1_000}))
    assert codes_of(data[:keep], "x.parquet") == ([], [(1, Code.BAD_ARCHIVE)])


def test_a_damaged_page_ends_a_parquet_file_after_the_rows_before_it() -> None:
    table = pa.table({"text": [f"{n} text" for n in range(4_000)]})
    options: dict[str, Any] = {"row_group_size": 2_000, "write_page_checksum": True}
    data = bytearray(parquet(table, use_dictionary=False, **options))
    data[len(data) * 3 // 4] ^= 255
    good, bad = codes_of(bytes(data), "x.parquet")
    assert good == list(range(1, 2_001))
    assert bad == [(2_001, Code.BAD_ARCHIVE)]


# Files that nobody has written

WHOLE = {
    "x.xlsx": workbook(HEADER, ["a", 1], ["b", dt.date(2024, 1, 1)]),
    "x.parquet": parquet(pa.table({"a": ["x", None], "b": [[1.5], []]}), compression="gzip"),
}


@pytest.mark.parametrize("name", WHOLE)
@given(st.data())
def test_any_damage_gives_rows_or_problems_and_never_an_error(
    name: str, data: st.DataObject
) -> None:
    whole = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert list(read([bytes(whole)], filename=name, limits=LIMITS))


@given(st.text(st.sampled_from('<>/="rcvtsfe1A '), max_size=60))
def test_any_xml_in_a_sheet_gives_rows_or_problems(xml: str) -> None:
    data = sheet_xml(f'<row r="1"><c t="str"><v>a</v></c></row><row>{xml}</row>')
    list(read([data], filename="x.xlsx", limits=LIMITS))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=5))
def test_texts_come_out_of_a_workbook_and_a_parquet_file_as_they_went_in(texts: list[str]) -> None:
    made = parquet(pa.table({"text": texts}))
    assert [row["text"] for row in rows_of(made, "x.parquet")] == texts
    plain = [f"x{value}" for value in texts]
    made = workbook(["text"], *[[value] for value in plain])
    assert [row["text"] for row in rows_of(made, "x.xlsx")] == plain


def test_a_spooled_file_leaves_nothing_behind(tmp_path: Path) -> None:
    for name, data in WHOLE.items():
        reader = iter(read([data], filename=name, limits=LIMITS, scratch=tmp_path))
        next(reader)
        del reader
        assert not list(tmp_path.iterdir())
