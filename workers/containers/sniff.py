"""What a file is, told from its first bytes; its name only breaks ties."""

import orjson

from api.rows import Container, Problem, ProblemCode

HEAD_BYTES = 1 << 16

_WANTED = (
    "Upload JSONL (one JSON object a line), a JSON array of objects, or CSV with a header row."
)
_NOT_TEXT = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a media file"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"BZh9", "compressed by bzip2"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PK\x03\x04", "a zip archive, or an Office file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_COLUMNS = frozenset({"messages", "conversations", "instruction", "output"})


def sniff(head: bytes, extension: str) -> Container | Problem:
    """The container of a file that starts with `head` (without a byte order mark)."""
    if problem := _not_text(head):
        return problem
    start = head.lstrip()
    match start[:1], extension:
        case b"", _:
            # Blank so far: as JSONL, blank lines are counted and what follows is read.
            return Container.JSONL
        case b"[", _:
            return Container.JSON
        case b"{", _:
            return _objects(start)
        case _, "csv" | "tsv":
            return Container.CSV
    return Container.CSV if _names_columns(start) else _by_name(start, extension)


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


def _names_columns(start: bytes) -> bool:
    line = start.partition(b"\n")[0].decode("utf-8", "replace")
    for delimiter in ",;\t":
        if _COLUMNS & {name.strip().strip('"') for name in line.split(delimiter)}:
            return True
    return False


def _shown(start: bytes) -> str:
    return repr(start[:12].decode("utf-8", "replace"))


def _problem(code: ProblemCode, message: str) -> Problem:
    return Problem(line=1, code=code, message=message, ends=True)
