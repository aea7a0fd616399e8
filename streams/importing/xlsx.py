"""XLSX workbook → rows, sheet by sheet, with memory that does not grow with the file.

Several sheets with the same columns are read one after the other. Lines are counted on from sheet to sheet, so that each has
a number of its own: `place` gives the sheet and the row back.
"""

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from streams.importing import header
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.mapping import Input
from streams.importing.naming import cut
from streams.importing.xlsx_package import Package
from streams.importing.xlsx_sheet import Row, SheetReader, merged_cells
from streams.importing.xlsx_strings import SharedStrings, read_shared_strings
from streams.importing.xlsx_workbook import Sheet, read_workbook

SHEET_LINES = 2_000_000
"""Lines are numbered in steps of this from sheet to sheet; a sheet has at most 1,048,576 rows"""

Progress = Callable[[int], None]


class XlsxFile:
    """A workbook that is open. `header` names the columns of the first sheet read; `rows` can be read once."""

    kind = "xlsx"
    delimiter: str | None = None

    def __init__(self, path: Path, settings: Input, progress: Progress | None = None) -> None:
        self._path, self._settings, self._progress = path, settings, progress
        self.blank_lines = self.formulas = 0
        self._strings: SharedStrings | None = None
        self._package = Package(path)
        try:
            self._workbook = read_workbook(self._package)
            if self._workbook.shared_strings is not None:
                self._strings = read_shared_strings(self._package, self._workbook.shared_strings, self._tell)
            self.sheets = self._chosen()
            self._first = _OpenSheet(self._reader(self.sheets[0]), self._package, settings, str(path))
        except BaseException:
            self.close()
            raise
        self.header = self._first.header

    def close(self) -> None:
        """Close the file."""
        self._package.close()
        if self._strings is not None:
            self._strings.close()

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[str] | RowFault]]:
        """Yield (line, the cells of these columns or why the row cannot be taken). Raises ImportFault.

        All columns where none are given; a column that the file lacks is as if it were empty.
        """
        wanted = list(self.header if columns is None else columns)
        for position, sheet in enumerate(self.sheets):
            opened = self._first
            if position:
                opened = _OpenSheet(self._reader(sheet), self._package, self._settings, str(self._path))
                self._check_same(sheet, opened.header, wanted)
            for count, (number, cells) in enumerate(opened.rows(wanted)):
                if count % 500 == 0:
                    self._tell()
                yield position * SHEET_LINES + number, cells
            self.blank_lines += opened.blank_lines
            self.formulas += opened.formulas

    def place(self, line: int) -> tuple[str, int]:
        """Return the sheet and the row in it."""
        return self.sheets[line // SHEET_LINES].name, line % SHEET_LINES

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._package.bytes_read)

    def _reader(self, sheet: Sheet) -> SheetReader:
        return SheetReader(self._package, sheet, self._workbook, self._strings)

    def _chosen(self) -> list[Sheet]:
        """Return the sheets to read, in the workbook's order."""
        there = self._workbook.sheets
        names = ", ".join(cut(sheet.name) for sheet in there)[:300]
        patterns = self._settings.sheets
        if patterns is None:
            shown = [sheet for sheet in there if sheet.visible and next(self._reader(sheet).rows(), None) is not None]
            if len(shown) > 1:
                told = ", ".join(cut(sheet.name) for sheet in shown)[:300]
                raise ImportFault(
                    f"{self._path} has several sheets: {told}: choose with --sheet NAME, or --sheet '*' for all"
                )
            if not shown:
                raise ImportFault(f"{self._path} is empty: no sheet that is shown has a cell")
            return shown
        for pattern in patterns:
            if not any(fnmatchcase(sheet.name, pattern) for sheet in there):
                raise ImportFault(f"{self._path} has no sheet {pattern!r}; it has: {names}")
        return [sheet for sheet in there if any(fnmatchcase(sheet.name, pattern) for pattern in patterns)]

    def _check_same(self, sheet: Sheet, names: list[str], wanted: list[str]) -> None:
        missing = [name for name in wanted if name in self.header and name not in names]
        if missing:
            told = ", ".join(missing)[:300]
            raise ImportFault(
                f"{self._path}: sheet {sheet.name!r} lacks columns that {self.sheets[0].name!r} has: {told}: "
                "choose the sheets that belong together with --sheet"
            )


class _OpenSheet:
    """A sheet whose header was read."""

    def __init__(self, reader: SheetReader, package: Package, settings: Input, path: str) -> None:
        self.reader, self.blank_lines, self.formulas = reader, 0, 0
        self._rows = reader.rows()
        self._top = settings.skip_rows + settings.header_rows
        self._next: Row | None = None
        sheet = reader.sheet
        head: dict[int, dict[int, str]] = {}
        for row in self._rows:
            if row.number > self._top:
                self._next = row
                break
            if row.number > settings.skip_rows:
                head[row.number] = row.cells
        rows = range(settings.skip_rows + 1, self._top + 1)
        width = 1 + max((column for number in rows for column in head.get(number, {})), default=0)
        grid = [[head.get(number, {}).get(column, "") for column in range(width)] for number in rows]
        spread = 0
        for merge in merged_cells(package, sheet, self._top) if settings.header_rows > 1 else ():
            spread += self._spread(grid, merge, settings.skip_rows)
            if spread > width * settings.header_rows:
                raise package.damaged(f"sheet {sheet.name!r} merges the same cells of its header twice")
        names = header.joined(grid, fill=settings.header_rows > 1 and not spread)
        where = f"{path}, sheet {sheet.name!r}, row {settings.skip_rows + 1}"
        self.header = header.checked(names, where, number_repeated=settings.repeated_names == "number")

    def rows(self, wanted: list[str]) -> Iterator[tuple[int, list[str] | RowFault]]:
        """Yield (row number, cells or fault)."""
        at = {name: column for column, name in enumerate(self.header)}
        places = [at.get(name, -1) for name in wanted]
        kept = frozenset(places)
        width, last = len(self.header), self._top
        # Cells without a named column are looked at too: their row is ragged.
        self.reader.unnamed_from = width
        self.reader.wanted = kept
        for row in self._rows if self._next is None else chain([self._next], self._rows):
            self.blank_lines += max(0, row.number - last - 1)
            last = row.number
            beyond = any(column >= width for column in row.cells)
            fault = next((row.faults[column] for column in places if column in row.faults), None)
            if beyond:
                yield row.number, RowFault(RowReason.RAGGED, f"a value beyond the {width} columns that have a name")
            elif fault is not None:
                name = next(name for name in wanted if row.faults.get(at.get(name, -1)) is fault)
                yield row.number, RowFault(fault.reason, f"column {name!r}: {fault.detail}")
            else:
                self.formulas += sum(column in kept for column in row.formulas)
                yield row.number, [row.cells[place].strip() if place in row.cells else "" for place in places]

    def _spread(self, grid: list[list[str]], merge: tuple[int, int, int, int], skipped: int) -> int:
        """Write a merged cell's text into all its cells of the header; return how many it has there."""
        top, left, bottom, right = merge
        rows = range(max(0, top - skipped - 1), min(len(grid), bottom - skipped))
        if not rows or top <= skipped or left >= len(grid[0]):
            return 0
        text = grid[rows[0]][left]
        columns = range(left, min(right, len(grid[0]) - 1) + 1)
        for row in rows:
            for column in columns:
                grid[row][column] = text
        return len(rows) * len(columns)
