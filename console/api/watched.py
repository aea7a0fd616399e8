"""Files that people change while the API runs: read again when they have changed."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from models.strict_yaml import ConfigFileError

log = logging.getLogger(__name__)

Value = TypeVar("Value")
Mark = tuple[int, int, int] | None


class UnavailableError(Exception):
    """The file cannot be taken as it is now; the log says where it is wrong."""


class Watched(Generic[Value]):
    """What a file says now. `keeps`: while a changed file cannot be taken, what it said before stands."""

    def __init__(self, path: Path, load: Callable[[Path], Value], *, keeps: bool = False) -> None:
        self._path, self._load, self._keeps = path, load, keeps
        self._lock = threading.Lock()
        self._mark: Mark = None
        self._value: Value | None = None
        self._problem = ""

    def get(self) -> Value:
        """Return what the file says. Raises UnavailableError."""
        with self._lock:
            mark = _mark_of(self._path)
            # What it names (a secret's file, say) may have come since: while there is nothing to give, it is tried again.
            if self._value is None or mark != self._mark:
                self._read()
                self._mark = mark
            if self._value is None:
                raise UnavailableError(self._path.name)
            return self._value

    def _read(self) -> None:
        try:
            self._value = self._load(self._path)
            self._problem = ""
        except ConfigFileError as error:
            self._value = self._value if self._keeps else None
            if str(error) != self._problem:
                log.error("a file cannot be taken%s: %s", ", what it said before stands" if self._value else "", error)
            self._problem = str(error)


def _mark_of(path: Path) -> Mark:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
