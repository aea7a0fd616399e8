"""One sheet of a workbook → rows of texts, piece by piece, and the cells that its head merges.

A cell is the text a person sees or, where it is a date, an ISO time; a formula is never calculated: what the spreadsheet
program stored as its result is taken. What cannot be taken faithfully is told as a fault of its cell: a formula without a
stored result, an error such as #N/A, a number that the program has rounded.
"""

import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import isinf
from typing import NamedTuple

from streams.importing.faults import RowFault, RowReason
from streams.importing.xlsx_package import Package, safe_parser
from streams.importing.xlsx_strings import CELL_CHARS_MAX, SharedStrings, unescaped
from streams.importing.xlsx_workbook import Sheet, Workbook

ROWS_MAX = 1_048_576
COLUMNS_MAX = 16_384
ROW_CHARS_MAX = 4_194_304
"""Of one row: a small file may name one long text thousands of times, and a row is held in memory"""
EXACT_BELOW = 10**15
"""A spreadsheet keeps 15 digits of a number"""

_SHORT_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?\s*", re.ASCII)
_NUMBER_CHARS_MAX = 100
_DIGITS = "0123456789"
_EPOCH, _EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 - a sheet's times have no zone
_MERGES_BYTES_MAX = 16 << 20
_END_OF_ROWS = re.compile(rb"</(?:\w+:)?sheetData\s*>")
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')


class Row(NamedTuple):
    """A row that has cells: its number, texts and faults by column (from 0), the columns whose texts are results of formulas."""

    number: int
    cells: dict[int, str]
    faults: dict[int, RowFault]
    formulas: list[int]


class Merge(NamedTuple):
    """Cells that are one: rows from 1, columns from 0, both ends included."""

    top: int
    left: int
    bottom: int
    right: int


class SheetReader:
    """Reads a sheet. `wanted` may be set at any time: the columns whose cells are read, all where it is None, and with them all
    from `unnamed_from` on.
    """

    def __init__(self, package: Package, sheet: Sheet, workbook: Workbook, strings: SharedStrings | None) -> None:
        self._package, self.sheet, self._workbook, self._strings = package, sheet, workbook, strings
        self.wanted: frozenset[int] | None = None
        self.unnamed_from = COLUMNS_MAX
        # A row, and the numbers of its shared texts: they are looked up as it leaves, so that one piece's rows don't hold them all.
        self._rows: deque[tuple[Row, dict[int, str]]] = deque()
        self._columns: dict[str, int] = {}
        self._number, self._column, self._kept_to = 0, -1, -1
        self._cells: dict[int, str] = {}
        self._faults: dict[int, RowFault] = {}
        self._shared: dict[int, str] = {}
        self._results: list[int] = []
        self._kind, self._style = "n", ""
        self._parts: list[str] = []
        self._length = self._row_chars = 0
        self._collecting = self._formula = self._phonetic = self._in_row = False

    def rows(self) -> Iterator[Row]:
        """Yield the rows that have cells. Raises ImportFault."""
        parser = safe_parser(self._start, self._end, self._text)
        for _ in self._package.parse(self.sheet.entry, parser):
            while self._rows:
                row, shared = self._rows.popleft()
                self._look_up(row, shared)
                if row.cells or row.faults:
                    yield row

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            reference = attributes.get("r")
            if reference is None:
                self._column += 1
            else:
                letters = reference.rstrip(_DIGITS)
                column = self._columns.get(letters)
                self._column = self._learn(letters) if column is None else column
            self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")
            self._formula = False
            self._length = 0
            self._parts.clear()
        elif name == "v" or (name == "t" and not self._phonetic):
            self._collecting = self._in_row
        elif name == "f":
            self._formula = True
        elif name == "row":
            number, before = attributes.get("r", ""), self._number
            self._number = int(number) if number.isdecimal() and len(number) < 9 else before + 1
            if self._number <= before:  # two rows of one number would be taken for one that says something twice
                raise self._package.damaged(
                    f"sheet {self.sheet.name!r} has row {self._number} twice, or not in its order"
                )
            if self._number > ROWS_MAX:
                raise self._package.damaged(f"sheet {self.sheet.name!r} has a row beyond {ROWS_MAX}")
            self._column, self._kept_to, self._in_row, self._row_chars = -1, -1, True, 0
            self._cells, self._faults, self._shared, self._results = {}, {}, {}, []
        elif name == "rPh":
            self._phonetic = True

    def _text(self, data: str) -> None:
        if self._collecting and self._length <= CELL_CHARS_MAX:
            self._parts.append(data)
            self._length += len(data)

    def _end(self, name: str) -> None:
        if name == "v" or name == "t":
            self._collecting = False
        elif name == "c":
            if self._parts or self._formula:
                wanted = self.wanted
                if wanted is None or self._column in wanted or self._column >= self.unnamed_from:
                    self._keep()
        elif name == "row":
            self._in_row = False
            if self._cells or self._faults or self._shared:
                self._rows.append((Row(self._number, self._cells, self._faults, self._results), self._shared))
        elif name == "rPh":
            self._phonetic = False

    def _learn(self, letters: str) -> int:
        number = column_number(letters)
        if not 0 <= number < COLUMNS_MAX:
            raise self._package.damaged(f"sheet {self.sheet.name!r} has a cell beyond column XFD")
        self._columns[letters] = number
        return number

    def _keep(self) -> None:
        if self._column > self._kept_to:
            self._kept_to = self._column
        elif self._column in self._cells or self._column in self._shared or self._column in self._faults:
            raise self._package.damaged(f"sheet {self.sheet.name!r}, row {self._number}, has a cell twice")
        text = self._parts[0] if len(self._parts) == 1 else "".join(self._parts)
        if self._formula:
            self._results.append(self._column)
        if self._kind == "s" and text:
            self._shared[self._column] = text
            return
        value = self._value(text)
        if isinstance(value, RowFault):
            self._faults[self._column] = value
        elif value and not value.isspace():
            self._cells[self._column] = value
            self._row_chars += len(value)
            self._check_row(self._number, self._row_chars)

    def _value(self, text: str) -> str | RowFault:
        kind = self._kind
        if not text and self._formula and kind != "str":  # a stored result may be an empty text
            return RowFault(
                RowReason.FORMULA_WITHOUT_RESULT,
                "a formula without a stored result (it is never calculated here): open and save the file in a spreadsheet",
            )
        if kind in ("str", "inlineStr"):
            text = unescaped(text)
        elif kind == "n":
            return self._number_text(text)
        elif kind == "b":
            return "TRUE" if text in ("1", "true") else "FALSE"
        elif kind == "e":
            return RowFault(RowReason.ERROR_IN_CELL, "an error of the spreadsheet, such as #N/A")
        if len(text) > CELL_CHARS_MAX:
            return _too_long()
        return text

    def _look_up(self, row: Row, shared: dict[int, str]) -> None:
        """Put a row's shared texts into its cells."""
        strings, cells = self._strings, row.cells
        chars = 0
        for column, number in shared.items():
            try:
                text = strings[int(number)] if strings is not None else None
            except (ValueError, IndexError):
                text = None
            if text is None:
                raise self._package.damaged(f"sheet {self.sheet.name!r} names a text that the workbook does not have")
            if len(text) > CELL_CHARS_MAX:
                row.faults[column] = _too_long()
            elif text and not text.isspace():
                cells[column] = text
                chars += len(text)
                self._check_row(row.number, chars)

    def _check_row(self, number: int, chars: int) -> None:
        if chars > ROW_CHARS_MAX:
            where = f"sheet {self.sheet.name!r}, row {number}"
            raise self._package.refused(f"{where}: a row of more than {ROW_CHARS_MAX} characters")

    def _number_text(self, text: str) -> str | RowFault:
        if self._style in self._workbook.date_styles:
            return date_text(text, _EPOCH_1904 if self._workbook.since_1904 else _EPOCH)
        return number_text(text)


def _too_long() -> RowFault:
    return RowFault(RowReason.TOO_LARGE, f"a cell of more than {CELL_CHARS_MAX} characters")


def column_number(letters: str) -> int:
    """Return the number of column A, B, … AA (from 0), -1 where the letters name none."""
    number = 0
    for letter in letters:
        if not "A" <= letter <= "Z" or number > COLUMNS_MAX:
            return -1
        number = number * 26 + ord(letter) - 64
    return number - 1


def number_text(text: str) -> str | RowFault:
    """Return a number as a person sees it: no `.0`, no exponent. What the program has rounded is a fault."""
    if _SHORT_INTEGER.fullmatch(text):
        return text
    if len(text) > _NUMBER_CHARS_MAX or not _NUMBER.fullmatch(text):
        return RowFault(RowReason.BAD_NUMBER, "not a number, though its cell is one")
    number = float(text)
    if isinf(number):
        return RowFault(RowReason.BAD_NUMBER, "a number larger than any that a spreadsheet has")
    if abs(number) >= EXACT_BELOW:  # in plain digits too: many programs write a double so, exact or not
        detail = "a number of more than 15 digits, which the spreadsheet has rounded: format the column as text first"
        return RowFault(RowReason.ROUNDED_NUMBER, detail)
    return str(int(number)) if number == int(number) else f"{number:.15g}"


def date_text(text: str, epoch: datetime) -> str | RowFault:
    """Return a serial number as an ISO time, to the second; one below 1 is a time of day alone."""
    if len(text) > _NUMBER_CHARS_MAX or not _NUMBER.fullmatch(text):
        return RowFault(RowReason.BAD_TIME, "a date that is no number")
    try:
        moment = epoch + timedelta(seconds=round(float(text) * 86_400))
    except (ValueError, OverflowError):
        return RowFault(RowReason.BAD_TIME, "a date that no calendar has")
    return moment.isoformat() if moment.date() > epoch.date() else moment.time().isoformat()


def merged_cells(package: Package, sheet: Sheet, rows: int) -> list[Merge]:
    """Return the merged cells that begin in the first rows. They stand behind all rows, so the sheet is unpacked once for them."""
    found: list[Merge] = []
    tail = b""
    ended = False
    for chunk in package.chunks(sheet.entry):
        tail += chunk
        if not ended:
            end = _END_OF_ROWS.search(tail)
            ended = end is not None
            tail = tail[end.end() :] if end is not None else tail[-64:]
        if len(tail) > _MERGES_BYTES_MAX:
            break
    for left, top, right, bottom in _MERGE.findall(tail) if ended else ():
        if int(top) <= rows:
            columns = (column_number(letters.decode()) for letters in (left, right))
            first, last = columns
            found.append(Merge(int(top), first, int(bottom), min(last, COLUMNS_MAX - 1)))
    return found
