"""The names of a table's columns: several rows joined, every column named once, and what a mapping misses among them."""

import difflib
import re
from typing import NamedTuple

from models.strict_yaml import ConfigFileError
from streams.importing.faults import ImportFault

_SHOWN = 5
_ALIKE = 0.7
_BREAK = re.compile(r"\s*[\r\n]+\s*")


class Missing(NamedTuple):
    """A column that a mapping reads and the file lacks; `alike` is a column of the file that may be meant."""

    name: str
    alike: str | None


class HeaderMismatch(ConfigFileError):
    """The file lacks columns that the mapping reads: `missing`, each with its line in the mapping; `unread` are its others."""

    def __init__(self, source: str, lines: list[int], missing: list[Missing], unread: list[str], where: str) -> None:
        first = missing[0]
        problem = f"{where} has no column {first.name!r}"
        if first.alike is not None:
            problem += f" (is {first.alike!r} meant?)"
        if len(missing) > 1:
            others = [f"{one.name!r} (line {line})" for one, line in zip(missing[1:], lines[1:], strict=True)]
            more = len(others) - _SHOWN
            problem += f", nor {', '.join(others[:_SHOWN])}{f' and {more} more' if more > 0 else ''}"
        problem += f"; columns that nothing reads: {', '.join(unread)[:300] or 'none'}"
        super().__init__(source, lines[0], problem)
        self.lines, self.missing, self.unread = lines, missing, unread


def missing_columns(header: list[str], needed: list[str]) -> list[Missing]:
    """Return those of the needed columns that the header lacks."""
    there = set(header)
    absent = [name for name in needed if name not in there]
    free = [name for name in header if name not in needed]
    return [
        Missing(name, next(iter(difflib.get_close_matches(name, free, n=1, cutoff=_ALIKE)), None)) for name in absent
    ]


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
    found = []
    for position, name in enumerate(names, 1):
        if not name or "\0" in name:
            raise ImportFault(f"{where}: column {position} has no name, or one with a NUL")
        told[name] = told.get(name, 0) + 1
        if told[name] > 1 and not number_repeated:
            raise ImportFault(f"{where}: two columns are named {name!r}: rename one, or set `repeated_names: number`")
        found.append(name if told[name] == 1 else f"{name}.{told[name]}")
    if len(set(found)) != len(found):
        raise ImportFault(f"{where}: a column is named as the number of a repeated one would be: rename it")
    return found
