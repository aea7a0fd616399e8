"""The unit registry as a spreadsheet saves it: CSV, read as strictly as YAML, with the row's line in every error."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from models.strict_yaml import ConfigFileError, Document, KeyPath
from models.units import UnitEntry

COLUMNS = tuple(UnitEntry.model_fields)
REQUIRED = tuple(name for name, field in UnitEntry.model_fields.items() if field.is_required())
LISTS = ("aliases", "subscribers")

_SEPARATORS = re.compile(r"[;；]")
_Row = tuple[int, list[str]]


def parse_csv(text: str, source: str) -> Document:
    """Return the rows as the document that the same units in YAML would give. Raises ConfigFileError.

    An empty cell says nothing. Items of a list are separated by `;` or `；`.
    """
    rows = _rows(text, source)
    line, header = next(rows, (1, []))
    if not header:
        raise ConfigFileError(source, 1, "is empty")
    _check_header(header, source, line)
    units: list[dict[str, Any]] = []
    lines: dict[KeyPath, int] = {}
    for line, cells in rows:
        if len(cells) != len(header):
            problem = f"{len(cells)} cells under {len(header)} columns: quote what holds a comma"
            raise ConfigFileError(source, line, problem)
        lines["units", len(units)] = line
        units.append({name: _value(name, cell) for name, cell in zip(header, cells, strict=True) if cell})
    return Document(source, {"units": units}, lines)


def _rows(text: str, source: str) -> Iterator[_Row]:
    """Yield the rows that say anything, each with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ConfigFileError(source, line, f"is not CSV: {error}") from None
        if row is None:
            return
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield line, cells


def _check_header(header: list[str], source: str, line: int) -> None:
    for name in header:
        if name not in COLUMNS:
            problem = f"an unknown column; the first row names the columns, out of {', '.join(COLUMNS)}"
            raise ConfigFileError(source, line, problem)
        if header.count(name) > 1:
            raise ConfigFileError(source, line, f"the column {name} stands twice")
    for name in REQUIRED:
        if name not in header:
            raise ConfigFileError(source, line, f"the column {name} is missing")


def _value(column: str, cell: str) -> str | list[str]:
    if column not in LISTS:
        return cell
    return [item.strip() for item in _SEPARATORS.split(cell) if item.strip()]
