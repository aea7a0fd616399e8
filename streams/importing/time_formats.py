"""Whether a time format of a mapping can give a time at all: tried on one, so that a slip doesn't reject a million rows."""

import re
from datetime import UTC, datetime

from models.strict_yaml import Document
from streams.importing.mapping import Column, Input

_TRIED = datetime(2025, 11, 23, 14, 35, 46, 123_456, UTC)
_TIMES = {_TRIED.replace(hour=14, minute=0, second=0, microsecond=0), _TRIED.replace(second=0, microsecond=0)}
_TIMES |= {_TRIED, _TRIED.replace(microsecond=0), _TRIED.replace(hour=0, minute=0, second=0, microsecond=0)}
_DIRECTIVE = re.compile("%.", re.DOTALL)


def check_times(document: Document, settings: Input, columns: dict[str, Column]) -> None:
    """Raise ConfigFileError at the line of the first format that no time can be read by."""
    lists: list[tuple[tuple[str | int, ...], list[str]]] = [(("input", "times"), settings.times)]
    lists += [(("columns", name, "times"), column.times or []) for name, column in columns.items()]
    for place, formats in lists:
        for number, layout in enumerate(formats):
            problem = problem_of(layout)
            if problem is not None:
                raise document.error((*place, number), f"the time format {layout!r} {problem}")


def problem_of(layout: str) -> str | None:
    """Return why a format can give no time, None where it can."""
    if layout == "iso":
        return None
    if "%" not in layout:
        return "names no part of a time: it is `iso`, or of directives such as %Y-%m-%d %H:%M"
    # Directive by directive: what stands between them may be of letters that the system's strftime does not know.
    written = _DIRECTIVE.sub(lambda found: _TRIED.strftime(found.group()), layout)
    read = _read(written, layout)
    if isinstance(read, str):
        return read
    if read.date() != _TRIED.date():
        return "does not tell the day: it needs year, month and day, such as %Y-%m-%d"
    if read.replace(tzinfo=UTC) not in _TIMES:
        return "does not tell the time of day: minutes need hours, seconds minutes, and %I needs %p"
    return None


def _read(written: str, layout: str) -> datetime | str:
    try:
        return datetime.strptime(written, layout)  # noqa: DTZ007 - compared without its zone
    except (ValueError, re.error, IndexError):
        return (
            "cannot be read: it has a directive that is unknown or stands twice; times are written as %Y-%m-%d %H:%M:%S"
        )
