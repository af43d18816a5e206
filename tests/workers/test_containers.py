"""Text containers: read by streaming, every defect named by its line, memory bounded."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rows.words import Container, Problem
from api.rows.words import ProblemCode as Code
from api.settings import Settings
from workers.containers import RawRow, read

LIMITS = Settings(line_bytes_max=2_000, rows_max=1_000, json_depth_max=8)
GOOD = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def found(data: bytes, name: str = "rows.jsonl") -> tuple[list[int], list[tuple[int, Code]]]:
    """Lines of raw rows, and (line, code) of the problems: the same however the bytes arrive."""
    seen = list(read([data], filename=name, limits=LIMITS))
    for size in (1, 7):
        assert list(read(chunked(data, size), filename=name, limits=LIMITS)) == seen
    good = [item.line for item in seen if isinstance(item, RawRow)]
    return good, [(item.line, item.code) for item in seen if isinstance(item, Problem)]


def last_problem(data: bytes, name: str) -> Problem:
    last = list(read([data], filename=name, limits=LIMITS))[-1]
    assert isinstance(last, Problem)
    return last


def raw(data: bytes, name: str) -> list[object]:
    items = list(read([data], filename=name, limits=LIMITS))
    assert all(isinstance(item, RawRow) for item in items), items
    return [item.value for item in items if isinstance(item, RawRow)]


# JSONL


def test_jsonl_lines_are_numbered_through_crlf_and_blank_lines() -> None:
    data = b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n  \n" + GOOD + b"\r\n" + GOOD
    assert found(data) == ([1, 4, 5], [])
    reader = read([data], filename="x.jsonl", limits=LIMITS)
    list(reader)
    assert reader.empty_lines == 2
    assert reader.container is Container.JSONL


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", Code.BAD_JSON),
        (b"{'a': 1}", Code.BAD_JSON),
        (b'{"a": 1,}', Code.BAD_JSON),
        (GOOD + b" " + GOOD, Code.BAD_JSON),
        (b"// a comment", Code.BAD_JSON),
        (b'{"a": "tab\there"}', Code.BAD_JSON),
        (b'{"a": NaN}', Code.NOT_FINITE),
        (b'{"a": -Infinity}', Code.NOT_FINITE),
        (b'{"a": 1e999}', Code.NOT_FINITE),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', Code.DUPLICATE_KEY),
        (b'{"\\u0061": 1, "a": 2}', Code.DUPLICATE_KEY),
        (b'{"a": "\\ud800"}', Code.LONE_SURROGATE),
        (b'{"a": "\\udc00"}', Code.LONE_SURROGATE),
        (b'{"a": "caf\xe9"}', Code.NOT_UTF8),
        (b'{"a": "\xed\xa0\x80"}', Code.NOT_UTF8),
        (b'{"a": "\x00"}', Code.NUL_CHARACTER),
        (b'{"a": ' + b"[" * 8 + b"]" * 8 + b"}", Code.TOO_DEEP),
        (b"[" * 900 + b"]" * 900, Code.TOO_DEEP),
        (b'{"a": "' + b"x" * 2_000 + b'"}', Code.LINE_TOO_LONG),
    ],
)
def test_a_bad_line_does_not_stop_the_rest(line: bytes, code: Code) -> None:
    assert found(GOOD + b"\n" + line + b"\n" + GOOD + b"\n") == ([1, 3], [(2, code)])


def test_a_line_that_orjson_alone_calls_too_deep_is_refused() -> None:
    limits = Settings(json_depth_max=32)
    data = GOOD + b"\n" + b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    items = list(read([data], filename="x.jsonl", limits=limits))
    assert [item.code for item in items if isinstance(item, Problem)] == [Code.TOO_DEEP]


def test_numbers_of_any_length_are_read() -> None:
    assert raw(b'{"a": 1' + b"0" * 250 + b', "b": 18446744073709551616}', "x.jsonl")
    long = b'{"a": 0.' + b"1" * 1_900 + b"}"
    assert raw(long, "x.jsonl")


def test_not_utf8_names_the_byte() -> None:
    data = b"\xef\xbb\xbf" + GOOD + b'\n{"a": "\xe9"}'
    problem = last_problem(data, "x.jsonl")
    assert (problem.line, problem.code) == (2, Code.NOT_UTF8)
    at = data.index(b"\xe9")
    assert f"Byte {at} " in problem.message


def test_bad_json_names_the_byte_and_the_character() -> None:
    data = GOOD + b'\n{"\xc3\xa9\xc3\xa9": tru}'
    problem = last_problem(data, "x.jsonl")
    assert "character 8 of the row" in problem.message
    assert f"byte {len(GOOD) + 10} of the file" in problem.message


def test_a_line_at_the_limit_is_read_and_one_above_is_not() -> None:
    fits = b'{"messages": 1}'.ljust(2_000)
    assert found(fits + b"\n" + fits + b" ") == ([1], [(2, Code.LINE_TOO_LONG)])


def test_a_bom_counts_only_at_the_start() -> None:
    assert found(GOOD + b"\n\xef\xbb\xbf" + GOOD) == ([1], [(2, Code.BAD_JSON)])


def test_keys_that_repeat_are_found_whatever_colons_the_texts_hold() -> None:
    fine = [
        b'{"a": "x: y", "b": {"a": "\\": :", "c:": [":"]}}',
        b'{"a\\u003a": 1, "a:b": "\\u003a"}',
        b'[{"a": 1}, {"a": 1}]',
    ]
    for line in fine:
        assert found(b"1\n" + line) == ([1, 2], [])
    repeated = [
        b'{"a": "x: y", "a": "x"}',
        b'{"a": "x", "a": "x:"}',
        b'{"a": 1, "a": "\\u003a"}',
        b'{"a": 1, "b": "\\u003A", "a": 2}',
        b'{"a\\u003a": 1, "a:": 2}',
        b'{"x": [{"y": {"a": 1, "a": 1}}]}',
    ]
    for line in repeated:
        assert found(b"1\n" + line) == ([1], [(2, Code.DUPLICATE_KEY)])
    assert "`y`" in last_problem(b'{"x": 1, "y": {}, "y": {}}', "x.jsonl").message


def test_what_a_row_means_is_not_judged_here() -> None:
    lines = [b"3", b"null", b'{"instruction": 5, "output": null}', b'{"a": "\\u0000"}']
    assert raw(b"\n".join(lines), "x.jsonl") == [
        3,
        None,
        {"instruction": 5, "output": None},
        {"a": "\0"},
    ]


def test_latin1_is_guessed() -> None:
    says = last_problem(b'{"a": "caf\xe9"}', "x.jsonl").message
    assert "Windows-1252" in says
    assert "'\u00e9'" in says
    assert "Windows-1252" not in last_problem(b'{"a": "\xe6\xbc"}', "x.jsonl").message


# JSON arrays


def test_an_array_is_read_with_the_lines_its_rows_start_on() -> None:
    pretty = json.dumps([json.loads(GOOD)] * 3, indent=2).encode()
    starts = [n for n, line in enumerate(pretty.split(b"\n"), 1) if line == b"  {"]
    assert found(pretty, "x.json") == (starts, [])
    assert found(b"[" + GOOD + b"," + GOOD + b"]", "x.json") == ([1, 1], [])
    assert found(b"\xef\xbb\xbf\n[\n" + GOOD + b"\n]\n\n", "x.json") == ([3], [])


def test_brackets_and_quotes_inside_strings_are_text() -> None:
    value = {"a": '],}{["\\', 'b"': ["\\\\", {"c": ",]"}], "d\\": "\u00e9\u6f22"}
    for ascii_only in (True, False):
        data = json.dumps([value, value], ensure_ascii=ascii_only).encode()
        assert raw(data, "x.json") == [value, value]


@pytest.mark.parametrize(
    ("element", "code"),
    [
        (b'{"a": NaN}', Code.NOT_FINITE),
        (b'{"a": 1, "a": 2}', Code.DUPLICATE_KEY),
        (b'{"a": "\\ud800"}', Code.LONE_SURROGATE),
        (b'{"a": "\xff"}', Code.NOT_UTF8),
        (b'{"a": "\x00"}', Code.NUL_CHARACTER),
        (b"[" * 9 + b"]" * 9, Code.TOO_DEEP),
        (b'{"a": "' + b"x" * 2_000 + b'"}', Code.LINE_TOO_LONG),
    ],
)
def test_a_bad_element_does_not_stop_the_rest(element: bytes, code: Code) -> None:
    data = b"[\n" + GOOD + b",\n" + element + b",\n" + GOOD + b"\n]"
    assert found(data, "x.json") == ([2, 4], [(3, code)])


@pytest.mark.parametrize(
    "tail",
    [
        b'{"a": 1 "b"},\n' + GOOD + b"]",
        b'{"a": 1],\n' + GOOD + b"]",
        b"",
        b'{"a": "',
        b'{"a": "\\',
        b"]",
        b",]",
        GOOD + b"}",
        GOOD + b"] x",
        GOOD + b"]]",
        GOOD + b"], []",
        GOOD + b']"',
    ],
)
def test_broken_syntax_ends_an_array_with_one_problem(tail: bytes) -> None:
    data = b"[\n" + GOOD + b",\n" + tail
    good, bad = found(data, "x.json")
    assert good[0] == 2
    assert [code for _, code in bad] == [Code.BAD_JSON]
    problem = last_problem(data, "x.json")
    assert problem.ends
    assert "byte" in problem.message
    assert problem.line == 3


def test_a_top_level_object_is_refused_with_what_to_do() -> None:
    pretty = json.dumps({"data": [json.loads(GOOD)]}, indent=1).encode()
    for name in ("x.json", "x.jsonl"):
        assert found(pretty, name) == ([], [(1, Code.NOT_AN_ARRAY)])
    one_line = b'{"data": [' + GOOD + b"]}"
    assert found(one_line, "x.json") == ([1], [])


# CSV


def table(*records: list[str], end: str = "\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(records)
    return text.getvalue().encode()


def test_csv_lines_are_right_after_cells_of_several_lines() -> None:
    data = table(["instruction", "output"], ["a\nb\n", "c"], ["d", "e"], [], ["f", '"g",\r\nh'])
    assert found(b"\xef\xbb\xbf" + data, "x.csv") == ([2, 5, 7], [])
    assert found(data.replace(b"\n", b"\r\n"), "x.csv") == ([2, 5, 7], [])
    assert raw(data, "x.csv")[2] == {"instruction": "f", "output": '"g",\r\nh'}


def test_csv_columns_may_hold_json() -> None:
    chat = json.loads(GOOD)["messages"]
    assert found(table(["messages", "id"], [json.dumps(chat), "1"]), "x.csv") == ([2], [])
    data = table(
        ["instruction", "input", "output", "system", "history"],
        ["q", "", "a", "", ""],
        ["q", "i", "a", "s", '[["x", "y"]]'],
    )
    assert raw(data, "x.csv") == [
        {"instruction": "q", "output": "a"},
        {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [["x", "y"]]},
    ]
    broken = table(["messages"], ["[{]"], [json.dumps(chat)], ['[{"a": 1, "a": 2}]'])
    assert found(broken, "x.csv") == ([3], [(2, Code.BAD_JSON), (4, Code.DUPLICATE_KEY)])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"a,b,c", Code.BAD_CSV),
        (b"a", Code.BAD_CSV),
        (b'"a"x,b', Code.BAD_CSV),
        (b"caf\xe9,b", Code.NOT_UTF8),
        (b"a\x00,b", Code.NUL_CHARACTER),
        (b"a," + b"x" * 2_000, Code.LINE_TOO_LONG),
    ],
)
def test_a_bad_record_does_not_stop_the_rest(line: bytes, code: Code) -> None:
    data = b"instruction,output\na,b\n" + line + b"\nc,d\n"
    assert found(data, "x.csv") == ([2, 4], [(3, code)])


def test_a_quote_that_is_never_closed_ends_the_file_and_says_so() -> None:
    short = b'instruction,output\na,b\n"c,d\ne,f\n'
    assert found(short, "x.csv") == ([2], [(3, Code.BAD_CSV)])
    assert last_problem(short, "x.csv").ends
    long = short + b"x,y\n" * 1_000
    assert found(long, "x.csv") == ([2], [(3, Code.LINE_TOO_LONG)])
    assert last_problem(long, "x.csv").ends
    one_line = b'instruction,output\na,b\n"' + b"x" * 2_000 + b"\ne,f\n"
    assert found(one_line, "x.csv") == ([2], [(3, Code.LINE_TOO_LONG)])


@pytest.mark.parametrize("header", [b"output,output,messages", b" , ,", b'""'])
def test_a_header_that_cannot_be_right_is_refused(header: bytes) -> None:
    assert found(header + b"\na,b,c\n", "x.csv") == ([], [(1, Code.BAD_HEADER)])


def test_a_header_that_cannot_be_read_ends_the_file() -> None:
    assert found(b"instruction,output\xe9\na,b\n", "x.csv") == ([], [(1, Code.NOT_UTF8)])


# Whole files


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"\xd0\xcf\x11\xe0\xa1", "password"),
        (b"PARE\0\0", "encrypted"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html><html>", "web page"),
    ],
)
def test_what_is_no_text_is_named_whatever_its_extension(data: bytes, words: str) -> None:
    for name in ("x.jsonl", "x.json", "x.csv", "x"):
        assert found(data, name) == ([], [(1, Code.UNKNOWN_CONTAINER)])
        assert words in last_problem(data, name).message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_named(encoding: str) -> None:
    for name in ("x.jsonl", "x.json", "x.csv"):
        assert found(GOOD.decode().encode(encoding), name) == ([], [(1, Code.NOT_UTF8)])


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n \r\n", b"[]", b" [ \n ] \n"])
def test_a_file_without_rows_is_one_problem(data: bytes) -> None:
    for name in ("x.jsonl", "x.json"):
        assert found(data, name) == ([], [(1, Code.EMPTY_FILE)])
    assert found(b"instruction,output\n", "x.csv") == ([], [(1, Code.EMPTY_FILE)])


def test_content_decides_and_the_name_only_breaks_ties() -> None:
    assert found(GOOD + b"\n" + GOOD, "x.json") == ([1, 2], [])
    assert found(GOOD, "x.csv") == ([1], [])
    assert found(b"[" + GOOD + b"]", "x.jsonl") == ([1], [])
    assert found(b"instruction,output\na,b", "x") == ([2], [])
    assert found(b"hello", "x.txt") == ([], [(1, Code.UNKNOWN_CONTAINER)])
    assert found(b"hello", "x.json") == ([], [(1, Code.BAD_JSON)])
    assert found(b"hello\n" + GOOD, "x.jsonl") == ([2], [(1, Code.BAD_JSON)])


def test_rows_over_the_limit_end_the_file() -> None:
    limits = Settings(rows_max=3)
    for data, name in (
        (b"\n".join([GOOD] * 5), "x.jsonl"),
        (b"[" + b",".join([GOOD] * 5) + b"]", "x.json"),
    ):
        items = list(read([data], filename=name, limits=limits))
        assert len(items) == 4
        last = items[-1]
        assert isinstance(last, Problem)
        assert (last.code, last.ends) == (Code.TOO_MANY_ROWS, True)


# Round trips

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
plain = texts.filter(lambda text: not text.lstrip().startswith(("[", "{")))
alpacas = st.fixed_dictionaries({"instruction": texts, "input": plain, "output": texts})


@given(st.lists(alpacas, min_size=1, max_size=8), st.integers(1, 40))
def test_the_same_rows_come_out_of_every_container(
    rows_in: list[dict[str, str]], size: int
) -> None:
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows_in)
    records = [list(rows_in[0]), *([row[name] for name in rows_in[0]] for row in rows_in)]
    files = {
        "x.jsonl": lines.encode(),
        "x.json": json.dumps(rows_in, indent=1).encode(),
        "x.csv": table(*records, end="\r\n"),
    }
    outs = [list(read(chunked(data, size), filename=name)) for name, data in files.items()]
    values = [[item.value for item in out if isinstance(item, RawRow)] for out in outs]
    assert values[0] == values[1] == rows_in
    assert values[2] == [
        {key: text for key, text in row.items() if text or key != "input"} for row in rows_in
    ]
    assert all(isinstance(item, RawRow) for out in outs for item in out)


@given(st.binary(max_size=200), st.sampled_from(["x.jsonl", "x.json", "x.csv", "x"]))
def test_any_bytes_give_rows_or_problems_and_never_an_error(data: bytes, name: str) -> None:
    assert list(read(chunked(data, 13), filename=name, limits=LIMITS))


@given(
    st.binary(max_size=60),
    st.sampled_from([b"[", b"{", b"[{", b'[{"a":"', b"instruction,output\n"]),
)
def test_any_bytes_after_a_known_start_give_rows_or_problems(data: bytes, start: bytes) -> None:
    assert found(start + data, "x.jsonl") != ([], [])
