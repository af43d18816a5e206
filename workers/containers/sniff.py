"""What a file is, told from its first bytes; its name only breaks ties."""

import csv

import orjson

from api.rows.words import Container, Problem, ProblemCode

HEAD_BYTES = 1 << 16

_WANTED = (
    "Upload JSONL (one JSON object a line), a JSON array of objects, CSV or TSV with a header row, "
    "Parquet or Excel (.xlsx), as it is or packed by gzip or zip."
)
_BINARY = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # without files
    (b"PAR1", "parquet"),
)
_NOT_TEXT = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a media file"),
    (b"%PDF", "a PDF"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"BZh9", "compressed by bzip2"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PARE", "an encrypted Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (.xls), or one with a password; save it as .xlsx"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_COLUMNS = frozenset(
    {"messages", "conversations", "instruction", "output", "prompt", "completion", "text"}
    | {"chosen", "rejected", "label"}
)
_DELIMITERS = ",\t;|"


def binary(head: bytes) -> str | None:
    """`gzip`, `zip` (which an Excel file is too) or `parquet`."""
    return next((name for magic, name in _BINARY if head.startswith(magic)), None)


def text(head: bytes, extension: str, mapped: frozenset[str]) -> Container | Problem:
    """The container of a text that starts with `head` (without a byte order mark)."""
    if problem := _not_text(head):
        return problem
    start = head.lstrip()
    match start[:1]:
        case b"":
            # Blank so far: as JSONL, blank lines are counted and what follows is read.
            return Container.JSONL
        case b"[":
            return Container.JSON
        case b"{":
            return _objects(start)
    named = {name.strip() for name in _split(start, delimiter(start, extension))}
    if extension in {"csv", "tsv"} or named & (_COLUMNS | mapped):
        return Container.TSV if delimiter(start, extension) == "\t" else Container.CSV
    return _by_name(start, extension)


def delimiter(head: bytes, extension: str) -> str:
    """The one that splits the header into the most names; the extension's own where they tie."""
    own = "\t" if extension == "tsv" else ","
    found = {mark: len(set(_split(head, mark))) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: (found[mark], mark == own))


def _split(head: bytes, mark: str) -> list[str]:
    line = head.lstrip().partition(b"\n")[0].decode("utf-8", "replace")
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:  # a quote that goes on over the next line
        return line.split(mark)


def empty() -> Problem:
    return _problem(ProblemCode.EMPTY_FILE, f"The file has no rows. {_WANTED}")


def _by_name(start: bytes, extension: str) -> Container | Problem:
    """Text that is no row of any kind: the name says which problem that is."""
    if extension in {"jsonl", "ndjson"}:
        return Container.JSONL
    if extension == "json":
        says = f"A JSON file begins with `[`, and this one with {_shown(start)}."
        return _problem(ProblemCode.BAD_JSON, f"{says} {_WANTED}")
    return _problem(ProblemCode.UNKNOWN_CONTAINER, f"This is no kind of file we read. {_WANTED}")


def _not_text(head: bytes) -> Problem | None:
    for magic, name in _NOT_TEXT:
        if head.startswith(magic):
            return _problem(ProblemCode.UNKNOWN_CONTAINER, f"The file is {name}. {_WANTED}")
    if head.startswith(_UTF16) or (len(head) > 1 and 0 in head[:2]):
        message = "The file is not UTF-8 from byte 0 on: it looks like UTF-16. Save it as UTF-8."
        return _problem(ProblemCode.NOT_UTF8, message)
    return None


def _objects(start: bytes) -> Container | Problem:
    """JSONL, unless the first object goes on over the next lines, as no broken row would."""
    first, _, rest = start.partition(b"\n")
    rest = rest.lstrip(b"\r\n")
    if _whole(first) or not rest.startswith((b" ", b"\t", b'"', b"}", b"]", b"[")):
        return Container.JSONL
    message = "A JSON object goes on over several lines. Put the rows into an array: [{…}, …]."
    return _problem(ProblemCode.NOT_AN_ARRAY, message)


def _whole(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return not error.msg.startswith("unexpected end")
    return True


def _shown(start: bytes) -> str:
    return repr(start[:12].decode("utf-8", "replace"))


def _problem(code: ProblemCode, message: str) -> Problem:
    return Problem(line=1, code=code, message=message, ends=True)
