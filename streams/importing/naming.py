"""What may be shown of names that come with a file: of its columns, its sheets, of the file itself.

A table without a header has a citizen's row where the names should be, and a name may hold what moves a terminal's cursor.
"""

import re
import stat
from pathlib import Path

from models.shown import plain
from streams.importing.faults import ImportFault

NAME_CHARS_MAX = 40
_APART = re.compile(r"[\s\-./:+()#*–—]+")
_LONG_NUMBER = re.compile(r"\d{7}")
_OF_SENTENCES = frozenset("。!?;@\uff01\uff1f\uff1b")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def column_shown(name: str, position: int) -> str:
    """Return what may be shown of a column that no mapping knows: its name, or where that may be data, its place from 1."""
    if _LONG_NUMBER.search(_APART.sub("", name)) or not _OF_SENTENCES.isdisjoint(name):
        return f"(column {position})"
    return cut(name)


def cut(name: str) -> str:
    """Return a name made harmless, and cut where it is long."""
    shown = plain(name)
    return shown if len(shown) <= NAME_CHARS_MAX else f"{shown[: NAME_CHARS_MAX - 1]}…"


def file_name(path: Path) -> str:
    """Return a file's name for reports."""
    return plain(path.name)


def kind_of(mode: int) -> str | None:
    """Return what a file is by its mode; None: a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")


def check_regular(path: Path) -> None:
    """Raise ImportFault unless the path leads to a regular file: a pipe may never end, and is gone once it was read."""
    try:
        kind = kind_of(path.stat().st_mode)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name that a file can have"
        raise ImportFault(f"{path} cannot be read: {why}") from None
    if kind is not None:
        raise ImportFault(f"{path} cannot be read: it is {kind}: give a regular file, it is read more than once")
