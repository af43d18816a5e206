"""Lists as CSV for spreadsheets. No cell can be taken for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from fastapi import Depends, Request, Response

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_wanted(request: Request, format: Literal["json", "csv"] | None = None) -> bool:  # noqa: A002
    """By `?format=csv`, or by an Accept header that names CSV."""
    if format is not None:
        return format == "csv"
    return "text/csv" in request.headers.get("accept", "")


AsCsv = Annotated[bool, Depends(csv_wanted)]


def sheet(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A CSV file of that name."""
    written = io.StringIO()
    lines = csv.writer(written)
    lines.writerow(columns)
    lines.writerows([_cell(value) for value in row] for row in rows)
    return Response(
        written.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={
            "content-disposition": f'attachment; filename="{name}.csv"',
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
    )


def _cell(value: object) -> str:
    """As text; what would begin a formula gets the apostrophe by which spreadsheets keep it one."""
    words = "" if value is None else str(value)
    return f"'{words}" if words.startswith(_FORMULA) else words
