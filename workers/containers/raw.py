"""What reading gives: a raw row, or the reason why nothing after a point can be read."""

from typing import NamedTuple

from api.rows.words import Problem, ProblemCode


class RawRow(NamedTuple):
    """One object as the file holds it. `line` is where it starts, from 1: a line of text, the row
    number of a sheet, the number of a Parquet row. `remarks` are findings that leave it readable.
    """

    line: int
    value: object
    remarks: tuple[Problem, ...] = ()


class Broken(Exception):
    """Nothing more can be read. `line` is set by whoever knows how far reading came."""

    def __init__(self, code: ProblemCode, message: str, *, line: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.line = line

    def problem(self) -> Problem:
        return Problem(line=self.line, code=self.code, message=str(self), ends=True)


def too_long(line: int, bytes_max: int, *, ends: bool = False, inside: str = "quote") -> Problem:
    says = f"The row is longer than {bytes_max:,} bytes (line_bytes_max)."
    do = f"Is a {inside} never closed? Reading stopped here." if ends else "Split it or remove it."
    code = ProblemCode.LINE_TOO_LONG
    return Problem(line=line, code=code, message=f"{says} {do}", ends=ends)
