"""Parquet: a table's rows as plain objects, a few at a time.

The footer alone says how many columns there are and how much a row group holds, and is believed
only to refuse. A batch is so small that one long text repeated in all of its rows still fits, and
rows are weighed before they are made.
"""

import datetime as dt
import math
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from api.rows.words import Problem, ProblemCode
from api.settings import MIB, Settings
from workers.containers.columns import Columns
from workers.containers.raw import Broken, RawRow, too_long

_BATCH_ROWS_MIN, _BATCH_ROWS_MAX = 8, 64
_FOOTER_BYTES_MAX = 16 * MIB
_FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError)


class Table:
    """Iterates over a Parquet file's rows, once. Raises Broken where it cannot be opened."""

    def __init__(self, file: IO[bytes], limits: Settings, mapped: frozenset[str]) -> None:
        # The system's allocator gives memory back; the default one keeps what a large file took.
        pa.set_memory_pool(pa.system_memory_pool())
        self._limits = limits
        self._file = file
        _check_footer(file)
        try:
            metadata = pq.read_metadata(file)
        except _FAULTS as error:
            raise _damaged(error) from error
        self._check(metadata)
        try:
            self._parquet = pq.ParquetFile(
                file,
                buffer_size=1 * MIB,
                page_checksum_verification=True,
            )
            schema = self._parquet.schema_arrow
        except _FAULTS as error:
            raise _damaged(error) from error
        self._types = [_target(field, limits.json_depth_max) for field in schema]
        self._columns = Columns(schema.names, line=1, limits=limits, mapped=mapped)
        self.names = self._columns.names

    def __iter__(self) -> Iterator[RawRow | Problem]:
        line = 1
        try:
            for batch in self._batches():
                yield from self._rows(batch, line)
                line += batch.num_rows
        except Broken as error:
            error.line = line
            raise

    def _check(self, metadata: Any) -> None:
        """What the footer declares must fit."""
        most = self._limits.columns_max
        if metadata.num_columns > most:
            says = f"The table has {metadata.num_columns:,} columns, and may have {most:,}"
            do = "(columns_max). Keep those that are trained on."
            raise Broken(ProblemCode.TOO_MANY_COLUMNS, f"{says} {do}")
        bytes_max = self._limits.row_group_bytes_max
        for number in range(metadata.num_row_groups):
            # Not asked of its columns: where their statistics are damaged, that ends the process.
            if metadata.row_group(number).total_byte_size > bytes_max:
                says = f"Row group {number} holds more than {bytes_max:,} bytes"
                do = "(row_group_bytes_max). Write the file with smaller row groups."
                raise Broken(ProblemCode.UNPACKED_TOO_LARGE, f"{says} {do}")

    def _batches(self) -> Iterator[Any]:
        try:
            for number in range(self._parquet.num_row_groups):
                # A dictionary's longest text is no longer than its row group.
                size = max(1, self._parquet.metadata.row_group(number).total_byte_size)
                fit = self._limits.row_group_bytes_max // size
                yield from self._parquet.iter_batches(
                    batch_size=min(max(fit, _BATCH_ROWS_MIN), _BATCH_ROWS_MAX),
                    row_groups=[number],
                    use_threads=False,
                )
        except _FAULTS as error:
            raise _damaged(error) from error

    def _rows(self, part: Any, line: int) -> Iterator[RawRow | Problem]:
        """The rows of a few that together weigh no more than one may; else one by one."""
        bytes_max = self._limits.line_bytes_max
        if (weight := _weight_of(part)) is not None and weight <= bytes_max:
            rows = self._cells(part)
            if rows is not None:
                for at, cells in enumerate(rows):
                    yield self._row(cells, line + at)
                return
        for at in range(part.num_rows):
            one = part.slice(at, 1)
            weight = _weight_of(one)
            if weight is not None and weight > bytes_max:
                yield too_long(line + at, bytes_max)
                continue
            rows = None if weight is None else self._cells(one)
            yield _unreadable(line + at) if rows is None else self._row(next(rows), line + at)

    def _cells(self, part: Any) -> Iterator[tuple[object, ...]] | None:
        """The cells of each row; None where a value among them has no plain form."""
        try:
            lists = [
                (column if column.type == kind else column.cast(kind, safe=False)).to_pylist()
                for column, kind in zip(part.columns, self._types, strict=True)
            ]
        except _FAULTS:
            return None
        return zip(*lists, strict=True)

    def _row(self, cells: tuple[object, ...], line: int) -> RawRow | Problem:
        plain = []
        for at, cell in enumerate(cells):
            try:
                plain.append(_plain(cell))
            except _CellError as error:
                name = self._parquet.schema_arrow.names[at]
                message = f"Column `{name}`: {error}"
                return Problem(line=line, field=name, code=error.code, message=message)
        return self._columns.row(plain, line, drop=False)


class _CellError(Exception):
    """A value that no JSON could hold."""

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):  # an Arrow map
            return {str(_plain(key)): _plain(item) for key, item in value}
        return [_plain(item) for item in value]
    return _plain_leaf(value)


def _plain_leaf(value: object) -> object:
    match value:
        case float():
            if math.isfinite(value):
                return value
            says = "NaN and Infinity are no JSON numbers. Use null."
            raise _CellError(ProblemCode.NOT_FINITE, says)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                says = "The cell holds bytes that are no text. Leave the column out."
                raise _CellError(ProblemCode.BAD_CELL, says) from error
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case dt.timedelta():
            return str(value)
    says = f"The cell holds a {type(value).__name__}, which is no text, number, list or object."
    raise _CellError(ProblemCode.BAD_CELL, says)


def _check_footer(file: IO[bytes]) -> None:
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    file.seek(0)
    if len(tail) < 8 or not tail.endswith(b"PAR1"):
        says = "The Parquet file is cut off before its end. Upload it again."
        raise Broken(ProblemCode.BAD_ARCHIVE, says)
    if struct.unpack("<I", tail[:4])[0] > _FOOTER_BYTES_MAX:
        says = f"The Parquet file's footer is larger than {_FOOTER_BYTES_MAX:,} bytes."
        do = "Write the file with fewer and larger row groups."
        raise Broken(ProblemCode.UNPACKED_TOO_LARGE, f"{says} {do}")


def _target(field: Any, depth_max: int) -> Any:
    """The type to read a column as: one whose values Python has a plain form for."""
    if depth_max < 0:
        says = f"Column `{field.name}` is nested too deep (json_depth_max). Flatten it."
        raise Broken(ProblemCode.TOO_DEEP, says)

    def of(child: Any) -> Any:
        return child.with_type(_target(child, depth_max - 1))

    kind = field.type
    if pa.types.is_dictionary(kind):
        return _target(pa.field(field.name, kind.value_type), depth_max)
    if pa.types.is_struct(kind):
        return pa.struct([of(kind.field(at)) for at in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(of(kind.key_field), of(kind.item_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(of(kind.value_field), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(of(kind.value_field))
    return _leaf(kind)


def _leaf(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind):
        return pa.duration("us")
    return pa.float32() if pa.types.is_float16(kind) else kind


def _weight_of(part: Any) -> int | None:
    """What some rows weigh; None where an index among them points at nothing."""
    try:
        return sum(_weight(column) for column in part.columns)
    except _FAULTS:
        return None


def _weight(array: Any) -> int:
    """About as many bytes as its values would take as JSON, none of them made."""
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(_weight(child) for child in array.flatten())
    if pa.types.is_map(kind):
        start, end = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
        return _weight(array.keys.slice(start, end - start)) + _weight(
            array.items.slice(start, end - start)
        )
    if pa.types.is_nested(kind):
        return 2 * len(array) + _weight(array.flatten())
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
    elif pa.types.is_binary(kind) or pa.types.is_string(kind) or _is_large(kind):
        lengths = pc.binary_length(array)
    else:
        return 2 * len(array)
    return 2 * len(array) + (pc.sum(lengths.cast(pa.int64())).as_py() or 0)


def _is_large(kind: Any) -> bool:
    return bool(pa.types.is_large_binary(kind) or pa.types.is_large_string(kind))


def _unreadable(line: int) -> Problem:
    says = "A value of this row cannot be read: text that is not UTF-8, or a date out of range."
    return Problem(line=line, code=ProblemCode.BAD_CELL, message=says)


def _damaged(error: Exception) -> Broken:
    says = f"The Parquet file is damaged ({str(error)[:160]}). Write it again."
    return Broken(ProblemCode.BAD_ARCHIVE, says)
