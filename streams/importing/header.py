"""The names of a table's columns: several rows joined, every column named once, and what a mapping misses among them."""

import difflib
import json
import re
from collections.abc import Container
from typing import NamedTuple

from models.strict_yaml import ConfigFileError, Document
from streams.importing.faults import ImportFault
from streams.importing.naming import column_shown

DELIMITERS = ",;\t|"
"""by which tables are parted"""

_SHOWN = 5
_ALIKE = 0.7
_BREAK = re.compile(r"\s*[\r\n]+\s*")


class Missing(NamedTuple):
    """A column that a mapping reads and the file lacks; `alike` is the place, from 1, of one in the file that may be meant."""

    name: str
    alike: int | None


class HeaderMismatch(ConfigFileError):
    """The file lacks columns that the mapping reads: `missing`, each with its line in the mapping; it has `columns`.

    What the file has in their place is not shown: where there is no header, it is a citizen's row.
    """

    def __init__(self, source: str, lines: list[int], missing: list[Missing], columns: int, problem: str) -> None:
        super().__init__(source, lines[0], problem)
        self.lines, self.missing, self.columns = lines, missing, columns


def checked_columns(
    header: list[str],
    read: dict[str, tuple[str | int, ...]],
    optional: Container[str],
    unused: list[str],
    document: Document,
    *,
    where: str,
    delimiter: str | None,
) -> list[str]:
    """Return those columns that a mapping neither reads nor leaves out on purpose, as they may be shown.

    `read`: each column that it reads, and the place in `document` that names it first; `delimiter`: what the file was parted by,
    None for a workbook. Raises HeaderMismatch where a column is missing that is not optional, or none is there at all.
    """
    needed = [name for name in read if name not in optional]
    missing = _missing(header, needed or ([] if any(name in read for name in header) else list(read)))
    if missing:
        lines = [document.line_of(read[one.name]) for one in missing]
        problem = _problem(missing, lines, header, list(read), where, delimiter)
        raise HeaderMismatch(document.source, lines, missing, len(header), problem)
    known = {*read, *unused}
    return [column_shown(name, at) for at, name in enumerate(header, 1) if name not in known]


def _problem(
    missing: list[Missing], lines: list[int], header: list[str], read: list[str], where: str, delimiter: str | None
) -> str:
    first = missing[0]
    told = f"{where} has no column {first.name!r}{_meant(first)}"
    if len(missing) > 1:
        others = [f"{one.name!r} (line {line}){_meant(one)}" for one, line in zip(missing[1:], lines[1:], strict=True)]
        more = len(others) - _SHOWN
        told += f", nor {', '.join(others[:_SHOWN])}{f' and {more} more' if more > 0 else ''}"
    told += f"; it has {len(header)} column{'s' if len(header) != 1 else ''}"
    other = None if delimiter is None else better_delimiter(header, read, delimiter)
    if other is not None:
        return f"{told}, and its names are parted by {other!r}: set `delimiter: {json.dumps(other)}` under `input`"
    if not any(name in read for name in header):
        return f"{told}, none of them known to the mapping: is there a header, and `skip_rows` right?"
    return f"{told}: rename the column in the mapping, or leave it out"


def _meant(one: Missing) -> str:
    return "" if one.alike is None else f" (is its column {one.alike} meant?)"


def better_delimiter(header: list[str], read: list[str], delimiter: str) -> str | None:
    """Return the delimiter by which a header has more of the columns that are read, None if there is none."""
    known = set(read)
    found = len(known.intersection(header))
    for other in DELIMITERS:
        parts = {part.strip().strip('"') for name in header for part in name.split(other)}
        if other != delimiter and len(known & parts) > found:
            return other
    return None


def _missing(header: list[str], needed: list[str]) -> list[Missing]:
    there = set(header)
    absent = [name for name in needed if name not in there]
    free = {name: at for at, name in enumerate(header, 1) if name not in needed}
    return [Missing(name, _alike(name, free)) for name in absent]


def _alike(name: str, free: dict[str, int]) -> int | None:
    found = difflib.get_close_matches(name, free, n=1, cutoff=_ALIKE)
    return free[found[0]] if found else None


def cleaned(name: str) -> str:
    """Return a name without blanks at its ends and without the line breaks that a narrow column gave it."""
    return _BREAK.sub(" " if name.isascii() else "", name.strip())


def joined(rows: list[list[str]], *, fill: bool) -> list[str]:
    """Return one name for each column, its parts of several rows joined by `/`, a part that repeats the one above left out.

    With `fill`, an empty cell of an upper row takes what stands to its left, where something stands below both: so a
    table looks whose merged cells were written as one cell and blanks.
    """
    width = max(map(len, rows))
    rows = [[cleaned(cell) for cell in row] + [""] * (width - len(row)) for row in rows]
    for upper in range(len(rows) - 1) if fill else ():
        below = [any(row[column] for row in rows[upper + 1 :]) for column in range(width)]
        for column in range(1, width):
            if not rows[upper][column] and below[column - 1] and below[column]:
                rows[upper][column] = rows[upper][column - 1]
    return ["/".join(_parts([row[column] for row in rows])) for column in range(width)]


def _parts(cells: list[str]) -> list[str]:
    told: list[str] = []
    for cell in cells:
        if cell and (not told or told[-1] != cell):
            told.append(cell)
    return told


def checked(names: list[str], where: str, *, number_repeated: bool) -> list[str]:
    """Return the columns' names without nameless ones at the end. Raises ImportFault; `where` is the place, for people."""
    while names and not names[-1]:
        names = names[:-1]
    if not names:
        raise ImportFault(
            f"{where}: the first line is to name the columns, and is blank: set `skip_rows` in the mapping"
        )
    told: dict[str, int] = {}
    places: dict[str, int] = {}
    found = []
    for position, name in enumerate(names, 1):
        if not name or "\0" in name:
            raise ImportFault(f"{where}: column {position} has no name, or one with a NUL")
        told[name] = told.get(name, 0) + 1
        if told[name] > 1 and not number_repeated:
            raise ImportFault(
                f"{where}: columns {places[name]} and {position} have the same name: rename one, or set "
                "`repeated_names: number`; or is there no header?"
            )
        places.setdefault(name, position)
        found.append(name if told[name] == 1 else f"{name}.{told[name]}")
    if len(set(found)) != len(found):
        raise ImportFault(f"{where}: a column is named as the number of a repeated one would be: rename it")
    return found
