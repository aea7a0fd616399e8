"""What the import reads rows from, whatever the file's format: CSV (plain or gzip) or an XLSX workbook."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from streams.importing.faults import ImportFault, RowFault
from streams.importing.mapping import Input
from streams.importing.naming import check_regular
from streams.importing.reading import CsvFile
from streams.importing.xlsx import XlsxFile

Progress = Callable[[int], None]

_ZIP = b"PK\x03\x04"
_ZIP_WITHOUT_ENTRIES = b"PK\x05\x06"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Table(Protocol):
    """A table that is open. `header` names its columns; `rows` can be read once."""

    header: list[str]
    kind: str
    """what it was read as, for the report"""
    delimiter: str | None
    """what parts its cells; None in a workbook"""
    blank_lines: int
    formulas: int
    """cells whose stored result was taken"""

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[str] | RowFault]]:
        """Yield (line, the cells of these columns or why the row cannot be taken). Raises ImportFault.

        All columns where none are given; a column that the file lacks is as if it were empty.
        """

    def place(self, line: int) -> tuple[str, int]:
        """Return the sheet ("" in a CSV file) and the line in it."""

    def close(self) -> None:
        """Close the file."""


def open_table(path: Path, settings: Input, progress: Progress | None = None) -> Table:
    """Open a file by what it is, not by its name. `progress` is told how many bytes were read. Raises ImportFault."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ImportFault(f"{path} cannot be read: {error.strerror}") from None
    if start.startswith(_ZIP):
        return XlsxFile(path, settings, progress)
    if start.startswith(_ZIP_WITHOUT_ENTRIES):
        raise ImportFault(f"{path} is a ZIP file with nothing in it, and so no workbook: export it again")
    if start.startswith(_OLE):
        raise ImportFault(f"{path} is an old .xls workbook, or one with a password: save it as .xlsx without one")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta")):
        raise ImportFault(f"{path} is a web page or XML under another name: open it in a spreadsheet, save it as .xlsx")
    if start.startswith((b'{"', b'\xef\xbb\xbf{"')):
        raise ImportFault(f"{path} is JSON Lines and no table: ticket events are imported so without --mapping")
    return CsvFile(path, settings, progress)
