"""The bytes of one row to its JSON value, or why they are none. orjson decides what JSON is."""

import json
import re
from collections import Counter

import orjson

from api.rows import shown
from api.rows.words import Problem, ProblemCode

_NOT_FINITE = re.compile(r"-?(NaN|Infinity|nan|inf)")


def value(data: bytes, line: int, offset: int | None, depth_max: int) -> object:
    """The value, or a Problem. `line` and `offset` say where `data` starts in the file; a cell of
    a table has no offset.
    """
    try:
        decoded = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _refusal(error, data, line, offset)
    if data.count(b"{") + data.count(b"[") > depth_max and _deeper(decoded, depth_max):
        return _too_deep(line, depth_max)
    if _may_repeat(data, decoded) and (problem := _duplicate(data, line)):
        return problem
    return decoded


def _may_repeat(data: bytes, decoded: object) -> bool:
    """False proves that no key stands twice in one object, at a fraction of a strict decode.

    orjson keeps the last of two equal keys. Written again, the value has lost the colon of the
    first and those of its texts; all other colons stay, except that `\\u003a` becomes one.
    """
    return b"\\u003" in data or data.count(b":") != orjson.dumps(decoded).count(b":")


def _deeper(decoded: object, depth_max: int) -> bool:
    level = [decoded]
    for _ in range(depth_max + 1):
        nested = [item for item in level if isinstance(item, dict | list)]
        if not nested:
            return False
        level = [
            child
            for item in nested
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _duplicate(data: bytes, line: int) -> Problem | None:
    try:
        _STRICT.decode(data.decode())
    except _DuplicateKeyError as error:
        message = f"The key `{shown(error.args[0])}` stands twice in one object. Keep one of them."
        return Problem(line=line, code=ProblemCode.DUPLICATE_KEY, message=message)
    return None


def not_utf8(data: bytes, *, line: int, offset: int) -> Problem | None:
    """A Problem that names the first byte which is no UTF-8; None where all are."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        byte = data[error.start]
        at = offset + error.start
        says = f"Byte {at} of the file (0x{byte:02x}) is not UTF-8. Save it as UTF-8."
        if data[error.start + 1 : error.start + 2] < b"\x80":  # alone, as in no UTF-8
            letter = bytes([byte]).decode("cp1252", "replace")
            says = f"{says} It looks like Windows-1252 or Latin-1, where it is {letter!r}."
        return Problem(line=line, code=ProblemCode.NOT_UTF8, message=says)
    return None


def nul(line: int) -> Problem:
    message = "The row holds a NUL byte. Is the file damaged, or not text?"
    return Problem(line=line, code=ProblemCode.NUL_CHARACTER, message=message)


class _DuplicateKeyError(ValueError):
    """Carries the key."""


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _DuplicateKeyError(counts.most_common(1)[0][0])
    return keys


# Only to name the key. Numbers stay text: they are not looked at, and a long one would be refused.
_STRICT = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=str, parse_float=str)


def _refusal(error: orjson.JSONDecodeError, data: bytes, line: int, offset: int | None) -> Problem:
    if problem := not_utf8(data, line=line, offset=offset or 0):
        return problem
    if b"\0" in data:
        return nul(line)
    text = data.decode()
    where = f"(character {error.pos + 1} of the row)"
    if offset is not None:
        at = offset + len(text[: error.pos].encode())
        where = f"(character {error.pos + 1} of the row, byte {at} of the file)"
    code, says = ProblemCode.BAD_JSON, f"The row is not JSON: {error.msg}."
    if "surrogate" in error.msg:
        code = ProblemCode.LONE_SURROGATE
        says = "The row holds half a character (a lone \\u surrogate). Write the whole character."
    elif "depth" in error.msg:
        code, says = ProblemCode.TOO_DEEP, "The row is nested too deep. Flatten it."
    elif "infinity" in error.msg or _NOT_FINITE.match(text, error.pos):
        code, says = ProblemCode.NOT_FINITE, "NaN and Infinity are no JSON numbers. Use null."
    return Problem(line=line, code=code, message=f"{says} {where}")


def _too_deep(line: int, depth_max: int) -> Problem:
    message = f"The row is nested deeper than {depth_max} levels (json_depth_max). Flatten it."
    return Problem(line=line, code=ProblemCode.TOO_DEEP, message=message)
