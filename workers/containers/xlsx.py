"""An Excel workbook's first sheet with rows, as a table; the XML is read as it streams.

openpyxl knows dates and number formats. Its own reader is not used: it holds an element for each
row, fills gaps between rows (one row numbered 2,000,000,000 would take hours), and cannot tell an
empty cell from a formula without a value.
"""

import datetime as dt
import math
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from xml.parsers import expat

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH, from_excel

from api.rows.words import Problem, ProblemCode
from api.settings import MIB, Settings
from workers.containers.columns import Columns, other_sheets
from workers.containers.raw import Broken, RawRow, too_long

_BLOCK = 1 << 16
_TOKEN_BYTES_MAX = 1 * MIB  # of a tag with its attributes
_WORKBOOK = "xl/workbook.xml"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)
Attributes = dict[str, str]


def is_workbook(archive: zipfile.ZipFile) -> bool:
    return {"[Content_Types].xml", _WORKBOOK} <= set(archive.namelist())


class Cell:
    """A cell as its XML says: a type, a style and a text, whose meaning is found later."""

    __slots__ = ("formula", "kind", "style", "text")

    def __init__(self, kind: str, style: str) -> None:
        self.kind = kind
        self.style = style
        self.formula = False
        self.text: str | None = None


class _Unreadable(Exception):
    """Why a cell has no value."""


class Sheets:
    """Iterates over the rows of the first sheet that has any, once."""

    def __init__(self, archive: zipfile.ZipFile, limits: Settings, mapped: frozenset[str]) -> None:
        self.names: tuple[str, ...] = ()
        self.empty = 0
        self._archive = archive
        self._limits = limits
        self._mapped = mapped
        size = sum(info.file_size for info in archive.infolist())
        if size > limits.xlsx_bytes_max:
            says = f"The Excel file unpacks to {size:,} bytes, and may to {limits.xlsx_bytes_max:,}"
            do = "(xlsx_bytes_max). Save it as CSV."
            raise Broken(ProblemCode.UNPACKED_TOO_LARGE, f"{says} {do}")
        if any(info.flag_bits & 1 for info in archive.infolist()):
            says = "The Excel file is encrypted. Save it without a password."
            raise Broken(ProblemCode.BAD_ARCHIVE, says)

    def __iter__(self) -> Iterator[RawRow | Problem]:
        book = _Book()
        self._run(_WORKBOOK, book)
        links = _Links()
        self._run("xl/_rels/workbook.xml.rels", links)
        self._styles, self._strings = _Styles(), _Strings()
        parts = set(self._archive.namelist())
        for name, part in (("styles", self._styles), ("sharedStrings", self._strings)):
            path = links.of_kind(name) or f"xl/{name}.xml"
            if path in parts:
                self._run(path, part)
        self._epoch = MAC_EPOCH if book.from_1904 else WINDOWS_EPOCH
        sheets = [(name, links.paths[key]) for name, key in book.sheets if key in links.paths]
        filled = [sheet for sheet in sheets if sheet[1] in parts and self._has_rows(sheet[1])]
        if filled:
            yield from self._sheet(filled[0], [name for name, _ in filled[1:]])

    def _run(self, path: str, part: "_Part") -> None:
        for _ in self._events(path, part):
            pass

    def _has_rows(self, path: str) -> bool:
        return next(self._rows_of(path), None) is not None

    def _rows_of(self, path: str) -> Iterator[tuple[int, dict[int, Cell]]]:
        for number, cells in self._events(path, _Rows(self._limits)):
            if any(cell.text is not None or cell.formula for cell in cells.values()):
                yield number, cells
                continue
            self.empty += 1
            if self.empty > self._limits.rows_max:
                says = f"The sheet has more than {self._limits.rows_max:,} empty rows (rows_max)."
                raise Broken(ProblemCode.TOO_MANY_ROWS, f"{says} Delete them.", line=number)

    def _events(self, path: str, part: "_Part") -> Iterator[tuple[int, dict[int, Cell]]]:
        """Read one part; what it has found so far comes out as it is found."""
        fed = 0
        parser = part.parser()
        try:
            with self._archive.open(path) as file:
                while block := file.read(_BLOCK):
                    fed += len(block)
                    parser.Parse(block, False)
                    # A token is held whole, and an old expat reads it again with each piece.
                    if fed - parser.CurrentByteIndex > _TOKEN_BYTES_MAX:
                        raise _damaged("a tag has no end")
                    yield from part.taken()
                parser.Parse(b"", True)
                yield from part.taken()
        except expat.ExpatError as error:
            raise _damaged(str(error), part.line) from error
        except KeyError as error:
            raise _damaged(f"{path} is missing") from error
        except _FAULTS as error:
            raise _damaged(str(error), part.line) from error

    def _sheet(self, sheet: tuple[str, str], others: list[str]) -> Iterator[RawRow | Problem]:
        columns: Columns | None = None
        self.empty = 0
        for line, cells in self._rows_of(sheet[1]):
            if columns is None:
                columns = self._header(line, cells)
                self.names = columns.names
                if others:
                    columns.remark(other_sheets(line, sheet[0], others))
                continue
            yield self._row(columns, cells, line)

    def _header(self, line: int, cells: dict[int, Cell]) -> Columns:
        names = [""] * max(cells)
        for at, cell in cells.items():
            try:
                value = self._value(cell)
            except _Unreadable as error:
                says = f"Cell {_letters(at)}{line} of the header cannot be read: {error}"
                raise Broken(ProblemCode.BAD_HEADER, says, line=line) from error
            names[at - 1] = "" if value is None else str(value)
        while names and not names[-1].strip():
            names.pop()
        return Columns(names, line=line, limits=self._limits, mapped=self._mapped)

    def _row(self, columns: Columns, cells: dict[int, Cell], line: int) -> RawRow | Problem:
        values: list[object] = [None] * columns.width
        size = 0
        for at, cell in cells.items():
            try:
                value = self._value(cell)
            except _Unreadable as error:
                return _bad_cell(f"Cell {_letters(at)}{line}: {error}", line)
            if isinstance(value, float) and not math.isfinite(value):
                says = f"Cell {_letters(at)}{line}: NaN and Infinity are no JSON numbers."
                return Problem(line=line, code=ProblemCode.NOT_FINITE, message=says)
            if value is None or value == "":
                continue
            if at > columns.width:
                says = (
                    f"Cell {_letters(at)}{line} stands outside the columns that the header names."
                )
                return _bad_cell(says, line)
            values[at - 1] = value
            size += len(value) if isinstance(value, str) else 0
        if size > self._limits.line_bytes_max:
            return too_long(line, self._limits.line_bytes_max)
        return columns.row(values, line)

    def _value(self, cell: Cell) -> object:
        text = cell.text
        if text is None:
            if cell.formula:
                says = "the formula has no stored value. Open and save the file in a spreadsheet"
                raise _Unreadable(f"{says} program, or paste values.")
            return None
        try:
            match cell.kind:
                case "s":
                    return _unescaped(self._strings.found[int(text)])
                case "str" | "inlineStr" | "d":
                    return _unescaped(text)
                case "b":
                    return bool(int(text))
                case "e":
                    raise _Unreadable(f"it holds the error {text[:20]}. Mend or empty it.")
                case _:
                    return self._number(text, cell.style)
        except (ValueError, IndexError, OverflowError) as error:
            raise _Unreadable(f"{text[:20]!r} is no value of its kind.") from error

    def _number(self, text: str, style: str) -> object:
        number = float(text)
        whole: int | float = int(number) if number.is_integer() and abs(number) < 2**53 else number
        if style not in self._styles.dates:
            return int(text) if text.isdecimal() and len(text) < 20 else whole
        elapsed = style in self._styles.spans
        date = from_excel(whole, self._epoch, timedelta=elapsed)
        if isinstance(date, dt.datetime) and date.time() == dt.time():
            date = date.date()
        return str(date) if isinstance(date, dt.timedelta) else date.isoformat()


class _Part:
    """One XML file of the workbook. Names are taken without their namespace."""

    def __init__(self) -> None:
        self.line = 1
        self._taken: list[tuple[int, dict[int, Cell]]] = []

    def parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = lambda name, attrs: self.start(name.rpartition(":")[2], attrs)
        parser.EndElementHandler = lambda name: self.end(name.rpartition(":")[2])
        parser.CharacterDataHandler = self.text
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    def _doctype(self, *_: object) -> None:
        raise _damaged("its XML declares entities")

    def taken(self) -> list[tuple[int, dict[int, Cell]]]:
        taken, self._taken = self._taken, []
        return taken

    def start(self, name: str, attrs: Attributes) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


class _Book(_Part):
    """The sheets in their order, and from which year days are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.sheets: list[tuple[str, str]] = []
        self.from_1904 = False

    def start(self, name: str, attrs: Attributes) -> None:
        if name == "sheet":
            key = next((value for at, value in attrs.items() if at.endswith(":id")), "")
            self.sheets.append((attrs.get("name", ""), key))
        elif name == "workbookPr":
            self.from_1904 = attrs.get("date1904") in {"1", "true"}


class _Links(_Part):
    """Where the other parts are."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: dict[str, str] = {}
        self._kinds: dict[str, str] = {}

    def of_kind(self, kind: str) -> str | None:
        return self._kinds.get(kind)

    def start(self, name: str, attrs: Attributes) -> None:
        if name != "Relationship":
            return
        path = posixpath.normpath(posixpath.join("/xl", attrs.get("Target", ""))).lstrip("/")
        kind = attrs.get("Type", "").rpartition("/")[2]
        self._kinds.setdefault(kind, path)
        if kind == "worksheet":
            self.paths[attrs.get("Id", "")] = path


class _Styles(_Part):
    """Which styles show a number as a date, and which as a span of time."""

    def __init__(self) -> None:
        super().__init__()
        self.dates: set[str] = set()
        self.spans: set[str] = set()
        self._formats: dict[str, str] = {str(at): code for at, code in BUILTIN_FORMATS.items()}
        self._inside = False
        self._count = 0

    def start(self, name: str, attrs: Attributes) -> None:
        if name == "numFmt":
            self._formats[attrs.get("numFmtId", "")] = attrs.get("formatCode", "")
        elif name == "cellXfs":
            self._inside = True
        elif name == "xf" and self._inside:
            code = self._formats.get(attrs.get("numFmtId", "0"), "General")[:255]
            if is_date_format(code):
                self.dates.add(str(self._count))
                if is_timedelta_format(code):
                    self.spans.add(str(self._count))
            self._count += 1

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._inside = False


class _Strings(_Part):
    """The texts that cells share; rich text loses its looks, and phonetic hints are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._pieces: list[str] = []
        self._open = self._phonetic = False

    def start(self, name: str, attrs: Attributes) -> None:  # noqa: ARG002 - as parts have it
        if name == "t":
            self._open = not self._phonetic
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        if name == "t":
            self._open = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "si":
            self.found.append("".join(self._pieces))
            self._pieces.clear()

    def text(self, text: str) -> None:
        if self._open:
            self._pieces.append(text)


class _Rows(_Part):
    """A sheet's rows, each with its number and its cells by column, from 1."""

    def __init__(self, limits: Settings) -> None:
        super().__init__()
        self._columns_max = limits.columns_max
        self._row = 0
        self._column = 0
        self._cells: dict[int, Cell] = {}
        self._cell: Cell | None = None
        self._pieces: list[str] = []
        self._inside = self._open = self._phonetic = False

    def start(self, name: str, attrs: Attributes) -> None:
        if name == "sheetData":
            self._inside = True
        elif not self._inside:
            return
        elif name == "c":
            self._begin(attrs)
        elif name == "row":
            self._row = self.line = int(attrs.get("r") or self._row + 1)
            self._column = 0
            self._cells = {}
        elif name == "f" and self._cell:
            self._cell.formula = True
        elif name == "rPh":
            self._phonetic = True
        elif name in {"v", "t"} and not self._phonetic:
            self._open = True

    def _begin(self, attrs: Attributes) -> None:
        letters = attrs.get("r", "").rstrip("0123456789")
        self._column = _number(letters) if letters else self._column + 1
        self._cell = Cell(attrs.get("t", "n"), attrs.get("s", "0"))

    def end(self, name: str) -> None:
        if not self._inside:
            return
        if name in {"v", "t"}:
            self._open = False
        elif name == "c" and self._cell:
            if self._pieces:
                self._cell.text = "".join(self._pieces)
                self._pieces.clear()
            # One past the limit is kept, so that too many are seen; more would be held for nothing.
            at = min(self._column, self._columns_max + 1)
            if self._cell.text is not None or self._cell.formula:
                self._cells[at] = self._cell
            self._cell = None
        elif name == "rPh":
            self._phonetic = False
        elif name == "row":
            self._taken.append((max(self._row, 1), self._cells))
            self._cells = {}
        elif name == "sheetData":
            self._inside = False

    def text(self, text: str) -> None:
        if self._open and self._cell:
            self._pieces.append(text)


def _number(letters: str) -> int:
    number = 0
    for letter in letters[:4]:
        number = number * 26 + ord(letter.upper()) - ord("A") + 1
    return max(number, 1)


def _letters(number: int) -> str:
    letters = ""
    while number:
        number, at = divmod(number - 1, 26)
        letters = chr(ord("A") + at) + letters
    return letters


def _unescaped(text: str) -> str:
    """`_x000D_` is how a workbook writes a control character."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda found: _character(int(found[1], 16), found[0]), text)


def _character(code: int, written: str) -> str:
    return written if 0xD800 <= code < 0xE000 else chr(code)


def _bad_cell(message: str, line: int) -> Problem:
    return Problem(line=line, code=ProblemCode.BAD_CELL, message=message)


def _damaged(why: str, line: int = 1) -> Broken:
    says = f"The Excel file is damaged ({why[:160]}). Open it in a spreadsheet program and save it."
    return Broken(ProblemCode.BAD_ARCHIVE, says, line=line)
