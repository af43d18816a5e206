"""Files packed by gzip and zip: unpacked by streaming, and refused where they are not plain."""

import gzip
import io
import struct
import zipfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rows.words import Container, Packing, Problem
from api.rows.words import ProblemCode as Code
from api.settings import MIB, Settings
from workers.containers import RawRow, Reader, read

LIMITS = Settings()
LINES = b"".join(b'{"text": "row %d"}\n' % n for n in range(1, 1_001))


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def opened(
    data: bytes, name: str, limits: Settings = LIMITS
) -> tuple[Reader, list[RawRow | Problem]]:
    reader = read([data], filename=name, limits=limits)
    items = list(reader)
    for size in (7, 100_000):
        assert list(read(chunked(data, size), filename=name, limits=limits)) == items
    return reader, items


def only_problem(data: bytes, name: str, limits: Settings = LIMITS) -> Problem:
    _, items = opened(data, name, limits)
    (problem,) = items
    assert isinstance(problem, Problem)
    assert (problem.line, problem.ends) == (1, True)
    return problem


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"]}), out)
    return out.getvalue()


def torn_after(items: list[RawRow | Problem]) -> list[int]:
    """The lines that were read before the one problem, which is an archive's and ends the file."""
    *rows, last = items
    assert isinstance(last, Problem)
    assert (last.code, last.ends) == (Code.BAD_ARCHIVE, True)
    lines = [item.line for item in rows if isinstance(item, RawRow)]
    assert lines == list(range(1, last.line))
    return lines


@pytest.mark.parametrize(
    ("data", "name", "container"),
    [
        (LINES, "rows.jsonl", Container.JSONL),
        (b"[" + LINES.replace(b"}\n{", b"},{") + b"]", "rows.json", Container.JSON),
        (b"text\na\nb\n", "rows.csv", Container.CSV),
        (b"text\tid\na\tb\n", "rows.tsv", Container.TSV),
        (parquet(), "rows.parquet", Container.PARQUET),
    ],
)
def test_every_container_may_be_packed(data: bytes, name: str, container: Container) -> None:
    plain = list(read([data], filename=name, limits=LIMITS))
    assert all(isinstance(item, RawRow) for item in plain)
    packings = {
        f"{name}.gz": (gzip.compress(data), Packing.GZIP),
        "x.zip": (zipped({f"data/{name}": data}), Packing.ZIP),
        "y.zip": (zipped({name: data}, zipfile.ZIP_STORED), Packing.ZIP),
    }
    for packed_name, (packed, packing) in packings.items():
        for called in (packed_name, "x.bin"):
            if called == "x.bin" and packing is Packing.GZIP and container is Container.TSV:
                continue
            reader, items = opened(packed, called)
            assert items == plain
            assert (reader.container, reader.packing) == (container, packing)


# gzip


def test_the_members_of_a_gzip_file_are_read_as_one() -> None:
    parts = [LINES[:5_000], b"", LINES[5_000:]]
    data = b"".join(map(gzip.compress, parts)) + b"\0" * 700
    _, items = opened(data, "x.jsonl.gz")
    assert [item.line for item in items] == list(range(1, 1_001))


@pytest.mark.parametrize("cut", [-1, -8, -9, -500, 1_500])
def test_a_torn_gzip_file_gives_the_rows_before_the_tear(cut: int) -> None:
    data = gzip.compress(LINES)
    lines = torn_after(opened(data[:cut], "x.jsonl.gz")[1])
    assert len(lines) > (900 if -10 < cut < 0 else 10)


def test_a_gzip_file_with_a_wrong_checksum_gives_its_rows_and_the_problem() -> None:
    data = bytearray(gzip.compress(LINES))
    data[-6] ^= 1
    assert len(torn_after(opened(bytes(data), "x.jsonl.gz")[1])) == 1_000


def test_what_follows_a_gzip_file_is_not_ignored() -> None:
    assert len(torn_after(opened(gzip.compress(LINES) + b"more", "x.jsonl.gz")[1])) == 1_000


def test_a_gzip_file_without_rows_is_empty() -> None:
    assert only_problem(gzip.compress(b""), "x.gz").code is Code.EMPTY_FILE


def test_a_gzip_file_of_tiny_pieces_is_refused() -> None:
    data = gzip.compress(b"") * 10_001
    items = list(read([data], filename="x.gz", limits=LIMITS))
    assert [item.code for item in items if isinstance(item, Problem)] == [Code.BAD_ARCHIVE]


# zip


def test_what_lies_beside_the_data_is_left_alone() -> None:
    data = zipped(
        {
            "set/": b"",
            "set/rows.jsonl": LINES,
            "__MACOSX/set/._rows.jsonl": b"\0",
            "set/.DS_Store": b"\0",
            "set/README.md": b"#",
            "LICENSE.txt": b"MIT",
            "set/dataset_info.json": b'{"rows": {"columns": {}}}',
        }
    )
    reader, items = opened(data, "x.zip")
    assert len(items) == 1_000
    assert reader.extra == b'{"rows": {"columns": {}}}'
    large = zipped({"rows.jsonl": LINES, "dataset_info.json": b" " * (MIB + 1)})
    reader, items = opened(large, "x.zip")
    assert len(items) == 1_000
    assert reader.extra is None


def test_several_data_files_are_named() -> None:
    problem = only_problem(zipped({"a.jsonl": LINES, "b/c.csv": b"text\na"}), "x.zip")
    assert problem.code is Code.BAD_ARCHIVE
    assert "'a.jsonl', 'b/c.csv'" in problem.message
    assert "one by one" in problem.message
    assert only_problem(zipped({}), "x.zip").code is Code.EMPTY_FILE
    assert only_problem(zipped({"README": b"x"}), "x.zip").code is Code.EMPTY_FILE


@pytest.mark.parametrize("name", ["../x.jsonl", "/etc/x.jsonl", "a/../../x", "a\\x", "C:x.jsonl"])
def test_names_that_lead_out_are_refused(name: str) -> None:
    problem = only_problem(zipped({name: LINES}), "x.zip")
    assert problem.code is Code.BAD_ARCHIVE
    assert "leads out" in problem.message


def test_nested_archives_are_refused() -> None:
    inner = [zipped({"rows.jsonl": LINES}), gzip.compress(LINES)]
    for data in inner:
        for nested in (gzip.compress(data), zipped({"inner": data})):
            problem = only_problem(nested, "x.zip")
            assert problem.code is Code.BAD_ARCHIVE
            assert "another archive" in problem.message


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped({"rows.jsonl": LINES}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    problem = only_problem(bytes(data), "x.zip")
    assert problem.code is Code.BAD_ARCHIVE
    assert "password" in problem.message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_of_a_zip_are_refused(method: int) -> None:
    problem = only_problem(zipped({"rows.jsonl": LINES}, method), "x.zip")
    assert problem.code is Code.BAD_ARCHIVE
    assert "deflate" in problem.message


def test_a_zip_that_is_cut_off_is_refused() -> None:
    whole = zipped({"rows.jsonl": LINES})
    for cut in (-1, 30, 4):
        assert only_problem(whole[:cut], "x.zip").code is Code.BAD_ARCHIVE


def test_a_damaged_zip_gives_the_rows_before_the_damage() -> None:
    wrong_sum = bytearray(zipped({"rows.jsonl": LINES}))
    wrong_sum[wrong_sum.index(b"PK\x01\x02") + 16] ^= 1
    assert len(torn_after(opened(bytes(wrong_sum), "x.zip")[1])) == 1_000
    damaged = bytearray(zipped({"rows.jsonl": LINES}))
    damaged[2_000:2_010] = bytes(range(240, 250))
    good = [item for item in opened(bytes(damaged), "x.zip")[1] if isinstance(item, RawRow)]
    assert 10 < len(good) < 1_000


def test_a_zip_that_lists_too_many_files_is_refused() -> None:
    data = zipped({f"{n:060}.jsonl": b"" for n in range(12_000)}, zipfile.ZIP_STORED)
    (problem,) = read([data], filename="x.zip", limits=LIMITS)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.ends) == (Code.BAD_ARCHIVE, True)


# Bombs


def test_limits_count_what_really_comes_out() -> None:
    limits = Settings(unpacked_bytes_max=10_000)
    for data in (gzip.compress(LINES), zipped({"rows.jsonl": LINES})):
        assert only_problem(data, "x.jsonl.gz", limits).code is Code.UNPACKED_TOO_LARGE
    # A zip that declares less than it holds.
    liar = bytearray(zipped({"rows.jsonl": LINES}))
    struct.pack_into("<I", liar, liar.index(b"PK\x01\x02") + 24, 10)
    assert only_problem(bytes(liar), "x.zip", limits).code is Code.UNPACKED_TOO_LARGE


def test_an_excel_file_may_not_unpack_to_more_than_its_limit() -> None:
    files = {"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b" " * 300_000}
    problem = only_problem(zipped(files), "x.xlsx", Settings(xlsx_bytes_max=200_000))
    assert problem.code is Code.UNPACKED_TOO_LARGE
    liar = bytearray(zipped(files))
    struct.pack_into("<I", liar, liar.rindex(b"PK\x01\x02") + 24, 10)
    assert only_problem(bytes(liar), "x.xlsx").code is Code.BAD_ARCHIVE


# Files that nobody has written


@given(st.binary(max_size=300), st.integers(0, 9), st.integers(1, 60))
def test_chunking_never_changes_what_a_gzip_file_gives(data: bytes, level: int, size: int) -> None:
    packed = gzip.compress(b'{"text": "a"}\n' + data, level)
    whole = list(read([packed], filename="x.jsonl.gz", limits=LIMITS))
    assert whole[0] == RawRow(1, {"text": "a"})
    assert list(read(chunked(packed, size), filename="x.jsonl.gz", limits=LIMITS)) == whole


@given(
    st.sampled_from([gzip.compress(LINES[:200]), zipped({"x.jsonl": LINES[:200]})]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.integers(0, 30),
)
def test_any_damage_to_an_archive_gives_rows_or_problems(
    whole: bytes, damage: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(whole)
    for at, byte in damage:
        data[at % len(data)] = byte
    left = bytes(data[: len(data) - cut])
    seen = list(read([left], filename="x.jsonl", limits=LIMITS))
    assert seen
    assert list(read(chunked(left, 11), filename="x.jsonl", limits=LIMITS)) == seen


@given(st.binary(max_size=60), st.sampled_from([b"\x1f\x8b\x08\0", b"PK\x03\x04", b"PAR1"]))
def test_any_bytes_after_a_magic_number_give_problems(data: bytes, magic: bytes) -> None:
    assert list(read([magic + data], filename="x", limits=LIMITS))
