"""Files made to hurt: each gives the problem it must, in bounded memory and time."""

import gzip
import io
import json
import logging
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.rows.words import Problem
from api.rows.words import ProblemCode as Code
from api.settings import MIB, Settings
from workers.containers import RawRow, read

GOOD = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
STATUS = Path("/proc/self/status")
PIECE = b"x" * MIB
log = logging.getLogger(__name__)


class Cost(NamedTuple):
    good: int
    codes: set[Code]
    problems: int
    last: Problem | None
    mib: float
    seconds: float


def cost(chunks: Iterable[bytes], name: str, limits: Settings | None = None) -> Cost:
    """Read all of it, holding nothing; memory is what the process's resident peak grew by."""
    good = problems = 0
    codes: set[Code] = set()
    last: Problem | None = None
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts here
    before = _status("VmRSS")
    started = time.process_time()
    for item in read(chunks, filename=name, limits=limits or Settings()):
        if isinstance(item, Problem):
            problems += 1
            codes.add(item.code)
            last = item
        else:
            good += 1
    seconds = time.process_time() - started
    mib = (_status("VmHWM") - before) / 1024
    log.info("%s: %.1f MiB, %.2f s, %d rows, %d problems", name, mib, seconds, good, problems)
    return Cost(good, codes, problems, last, mib, seconds)


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(encoding="ascii"), re.MULTILINE)
    assert found
    return int(found[1])


def zipped(name: str, chunks: Iterable[bytes]) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        for chunk in chunks:
            file.write(chunk)
    return out.getvalue()


def gzipped(chunks: Iterable[bytes]) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6) as file:
        for chunk in chunks:
            file.write(chunk)
    return out.getvalue()


def workbook(sheet: str, strings: str = "") -> bytes:
    book = openpyxl.Workbook()
    plain = io.BytesIO()
    book.save(plain)
    out = io.BytesIO()
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            if not name.endswith(("sheet1.xml", "sharedStrings.xml")):
                new.writestr(name, old.read(name))
        new.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{sheet}</sheetData></worksheet>"
        )
        new.writestr("xl/sharedStrings.xml", f"<sst>{strings}</sst>")
    return out.getvalue()


# Bombs


@pytest.mark.parametrize("pack", [gzipped, partial(zipped, "x.jsonl")])
@pytest.mark.parametrize(
    ("piece", "code"),
    [
        (b"\0" * MIB, Code.NOT_UTF8),
        (b"a" * MIB, Code.UNPACKED_TOO_LARGE),
        (b"\n" * MIB, Code.TOO_MANY_ROWS),
        (b"[" * MIB, Code.LINE_TOO_LONG),
    ],
)
def test_a_bomb_of_a_gibibyte_is_ended(
    pack: Callable[[Iterable[bytes]], bytes], piece: bytes, code: Code
) -> None:
    data = pack(piece for _ in range(128))
    if pack is gzipped:
        data *= 8  # members follow each other: a gibibyte
    spent = cost([data], "x.jsonl", Settings(rows_max=1_000_000))
    assert spent.last
    assert spent.last.ends
    assert spent.codes == {code}
    assert spent.mib < 24
    assert spent.seconds < 5


def test_a_bomb_below_the_ratio_is_ended_by_its_size() -> None:
    row = json.dumps({"text": "the same again, " * 60}).encode() + b"\n"
    data = gzipped(row * 1_000 for _ in range(64))
    limits = Settings(unpacked_ratio_max=10_000, unpacked_bytes_max=32 * MIB)
    spent = cost([data], "x.jsonl.gz", limits)
    assert spent.codes == {Code.UNPACKED_TOO_LARGE}
    assert 0 <= 32 * MIB // len(row) - spent.good < 100
    assert spent.mib < 16


def test_a_line_of_a_gibibyte_inside_a_gzip_file_is_skipped() -> None:
    data = gzipped([GOOD, b"\n", *[PIECE] * 64, b"\n", GOOD])
    spent = cost([data], "x.jsonl.gz", Settings(unpacked_ratio_max=2_000))
    assert (spent.good, spent.codes) == (2, {Code.LINE_TOO_LONG})
    assert spent.mib < 16


# Long and deep


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("x.jsonl", GOOD + b'\n{"a": "', b'"}\n' + GOOD),
        ("x.json", b"[" + GOOD + b',\n{"a": "', b'"},\n\n' + GOOD + b"]"),
        ("x.csv", b"instruction,output\nx,y\nx,", b"\nx,y"),
        ("x.tsv", b"instruction\toutput\nx\ty\nx\t", b"\nx\ty"),
    ],
)
def test_a_line_of_a_gibibyte_is_skipped(name: str, start: bytes, end: bytes) -> None:
    def stream() -> Iterator[bytes]:
        yield start
        for _ in range(1_024):
            yield PIECE
        yield end

    spent = cost(stream(), name)
    assert (spent.good, spent.codes, spent.problems) == (2, {Code.LINE_TOO_LONG}, 1)
    assert spent.mib < 16
    assert spent.seconds < 5


@pytest.mark.parametrize("depth", [200, 100_000])
def test_deep_json_is_refused(depth: int) -> None:
    deep = b'{"a": ' * depth + b"1" + b"}" * depth
    for data, name in (
        (GOOD + b"\n" + deep + b"\n" + GOOD, "x.jsonl"),
        (b"[" + GOOD + b",\n" + deep + b",\n" + GOOD + b"]", "x.json"),
    ):
        spent = cost([data], name)
        assert (spent.good, spent.codes) == (2, {Code.TOO_DEEP})
        assert spent.mib < 16
        assert spent.seconds < 2


def test_many_keys_in_one_row_cost_little() -> None:
    keys = b", ".join(b'"%x": 1' % n for n in range(60_000))
    spent = cost([b"{" + keys + b', "0": 2}\n' + GOOD], "x.jsonl")
    assert (spent.good, spent.codes) == (1, {Code.DUPLICATE_KEY})
    assert spent.mib < 64
    assert spent.seconds < 2


# Many


def test_a_million_empty_lines_are_counted() -> None:
    reader = read([b"\r\n" * 1_000_000 + GOOD], filename="x.jsonl", limits=Settings())
    (row,) = reader
    assert row.line == 1_000_001
    assert reader.empty_lines == 1_000_000
    spent = cost([b"\n" * 1_000_000], "x.jsonl")
    assert spent.codes == {Code.EMPTY_FILE}
    assert spent.mib < 8
    assert spent.seconds < 5


def test_one_good_row_is_found_among_a_million_bad_ones() -> None:
    block = b"nope\n" * 10_000

    def stream() -> Iterator[bytes]:
        for _ in range(50):
            yield block
        yield GOOD + b"\n"
        for _ in range(50):
            yield block

    spent = cost(stream(), "x.jsonl")
    assert (spent.good, spent.codes, spent.problems) == (1, {Code.BAD_JSON}, 1_000_000)
    assert spent.mib < 16
    assert spent.seconds < 30


def test_many_rows_are_read_in_flat_memory() -> None:
    block = (GOOD + b"\n") * 10_000
    spent = cost((block for _ in range(20)), "x.jsonl")
    assert spent.good == 200_000
    assert spent.mib < 8
    packed = gzipped(block for _ in range(20))
    assert cost([packed], "x.jsonl.gz", Settings(unpacked_ratio_max=10_000)).mib < 8


# Parquet


def test_one_long_text_repeated_in_a_dictionary_fits() -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["x" * MIB])
    out = io.BytesIO()
    options = {"dictionary_pagesize_limit": 4 * MIB, "store_schema": False}
    pq.write_table(pa.table({"text": texts}), out, compression="gzip", **options)
    data = out.getvalue()
    assert len(data) < 10_000
    spent = cost([data], "x.parquet")
    assert (spent.good, spent.codes, spent.problems) == (0, {Code.LINE_TOO_LONG}, 2_000)
    assert spent.mib < 256
    assert spent.seconds < 5


def test_a_list_of_millions_of_nothings_is_refused() -> None:
    out = io.BytesIO()
    nothing = pa.ListArray.from_arrays(pa.array([0, 4_000_000]), pa.nulls(4_000_000, pa.int8()))
    pq.write_table(pa.table({"a": nothing}), out)
    spent = cost([out.getvalue()], "x.parquet")
    assert (spent.codes, spent.problems) == ({Code.LINE_TOO_LONG}, 1)
    assert spent.mib < 96


def test_ten_thousand_columns_are_refused_by_the_footer() -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": [1] for n in range(10_000)}), out)
    spent = cost([out.getvalue()], "x.parquet")
    assert spent.codes == {Code.TOO_MANY_COLUMNS}
    assert spent.mib < 128
    assert spent.seconds < 3


def test_many_parquet_rows_are_read_in_flat_memory() -> None:
    out = io.BytesIO()
    turns = [{"role": role, "content": f"{role} {'x' * 200}"} for role in ("user", "assistant")]
    table = pa.table({"id": range(50_000), "messages": [turns] * 50_000})
    pq.write_table(table, out, use_dictionary=False, compression="none")
    del table
    spent = cost([out.getvalue()], "x.parquet")
    assert spent.good == 50_000
    assert spent.mib < 24


# Excel


def test_rows_of_a_sheet_are_read_in_flat_memory() -> None:
    header = '<row r="1"><c t="str"><v>text</v></c></row>'
    data = workbook(header + "<row/>" * 300_000 + '<row><c t="str"><v>x</v></c></row>')
    spent = cost([data], "x.xlsx")
    assert (spent.good, spent.problems) == (1, 0)
    assert spent.mib < 24
    assert spent.seconds < 10


def test_a_row_of_endless_cells_and_a_tag_without_an_end_are_refused() -> None:
    cells = workbook("<row>" + "<c><v>1</v></c>" * 300_000 + "</row>")
    spent = cost([cells], "x.xlsx")
    assert spent.codes == {Code.TOO_MANY_COLUMNS}
    assert spent.mib < 24
    endless = workbook('<row><c t="' + "x" * 16 * MIB + '"/></row>')
    spent = cost([endless], "x.xlsx")
    assert spent.codes == {Code.BAD_ARCHIVE}
    assert spent.mib < 24
    assert spent.seconds < 3


def test_a_workbook_that_is_a_bomb_is_refused_by_what_it_declares() -> None:
    data = zipped("[Content_Types].xml", [b"<x/>"])
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("xl/workbook.xml", b"<x/>")
        with archive.open("xl/sharedStrings.xml", "w") as file:
            for _ in range(257):
                file.write(PIECE)
    spent = cost([out.getvalue()], "x.xlsx")
    assert spent.codes == {Code.UNPACKED_TOO_LARGE}
    assert spent.mib < 8


# What is no dataset at all


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64), Code.UNKNOWN_CONTAINER),
        (b"", Code.EMPTY_FILE),
        (b"\xef\xbb\xbf", Code.EMPTY_FILE),
        (GOOD.decode().encode("utf-16"), Code.NOT_UTF8),
        (bytes(1_000), Code.NOT_UTF8),
    ],
)
def test_what_is_no_dataset_is_one_problem(data: bytes, code: Code) -> None:
    items = list(read([data], filename="x.jsonl", limits=Settings()))
    assert not any(isinstance(item, RawRow) for item in items)
    assert [item.code for item in items if isinstance(item, Problem)] == [code]
