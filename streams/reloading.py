"""Configuration changed while the worker runs: it is taken as a whole, or what runs stays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from models.strict_yaml import ConfigFileError
from rules.pack import Pack, load_pack
from rules.reckoning import Reckoning, load_reckoning

log = logging.getLogger(__name__)

Mark = tuple[tuple[str, int, int, int], ...]
Taken = TypeVar("Taken")


class Watcher(Generic[Taken]):
    """Looks at files now and then, and reads them again when they have changed."""

    def __init__(self, what: str, paths: Callable[[], list[Path]], load: Callable[[], Taken]) -> None:
        self._what = what
        self._paths = paths
        self._load = load
        self._seen = self._settling = self._mark()

    def changed(self) -> Taken | Exception | None:
        """Return what the files say now, or why it cannot be taken; None where nothing changed since the last look.

        Files that are being written settle first: they are read when two looks in a row see the same.
        """
        mark = self._mark()
        if mark == self._seen:
            return None
        if mark != self._settling:
            self._settling = mark
            return None
        self._seen = mark
        try:
            return self._load()
        except ConfigFileError as error:
            log.error("%s were changed and cannot be taken, the running ones stay: %s", self._what, error)
            return error
        except Exception as error:  # whatever a file does to the loader: what runs stays
            log.exception("%s were changed and cannot be read, the running ones stay", self._what)
            return error

    def _mark(self) -> Mark:
        try:
            # The inode too: a file that is put in another's place may have kept an old time, and be as long.
            return tuple(
                (path.name, (stat := path.stat()).st_mtime_ns, stat.st_size, stat.st_ino) for path in self._paths()
            )
        except OSError:
            return ()


class PackWatcher(Watcher[Pack]):
    """Looks at a folder of rules."""

    def __init__(self, folder: Path) -> None:
        super().__init__("rules", lambda: sorted(folder.glob("*.yaml")), lambda: load_pack(folder))


class ReckoningWatcher(Watcher[Reckoning]):
    """Looks at the files of the calendar and of the limits, which are taken together."""

    def __init__(self, calendar_file: Path | None, limits_file: Path | None) -> None:
        paths = [path for path in (calendar_file, limits_file) if path is not None]
        super().__init__("calendar or limits", lambda: paths, lambda: load_reckoning(calendar_file, limits_file))
