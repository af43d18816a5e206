"""The bytes of an upload to its raw objects, streaming: memory holds a piece and a row, never all.

`read` opens a container (JSONL, a JSON array, CSV, TSV, Parquet, XLSX; packed by gzip or zip or
not) and yields raw objects with their line numbers, and a `Problem` for whatever it cannot read, so
nothing is ever dropped in silence. Content decides what a file is; its name only breaks ties.
"""

from collections.abc import Iterable
from pathlib import Path

from api.settings import Settings, settings
from workers.containers.raw import RawRow
from workers.containers.reader import Reader

__all__ = ["RawRow", "Reader", "read"]


def read(
    chunks: Iterable[bytes],
    *,
    filename: str,
    limits: Settings | None = None,
    columns: frozenset[str] = frozenset(),
    scratch: Path | None = None,
) -> Reader:
    """The raw rows of a file, whatever their form.

    `columns` are names that a person mapped, read like the names we know. Parquet, XLSX and zip
    need seeking: they are spooled to an unnamed file under `scratch`, which goes with the Reader.
    """
    return Reader(
        chunks, filename=filename, limits=limits or settings(), columns=columns, scratch=scratch
    )
