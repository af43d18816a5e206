"""The bytes of an upload to its rows, streaming: memory holds a chunk and a row, never the file.

`read` opens a container (JSONL, a JSON array, CSV) and yields raw objects with their line numbers;
`rows` finds their form and yields `Row`s. Both yield a `Problem` for whatever they cannot read, so
nothing is ever dropped in silence. Content decides what a file is; its name only breaks ties.
"""

from collections.abc import Iterable

from api.settings import Settings, settings
from workers.containers.reader import RawRow, Reader
from workers.containers.rows import FORM_ROWS, Rows

__all__ = ["FORM_ROWS", "RawRow", "Reader", "Rows", "read", "rows"]


def read(chunks: Iterable[bytes], *, filename: str, limits: Settings | None = None) -> Reader:
    """The raw rows of a file, whatever their form."""
    return Reader(chunks, filename=filename, limits=limits or settings())


def rows(chunks: Iterable[bytes], *, filename: str, limits: Settings | None = None) -> Rows:
    """The rows of a file, ready to train on, and everything that is wrong with the others."""
    return Rows(chunks, filename=filename, limits=limits or settings())
