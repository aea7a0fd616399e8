"""Rules changed while the worker runs: a pack is taken as a whole, or the one that runs stays."""

from __future__ import annotations

import logging
from pathlib import Path

from models.strict_yaml import ConfigFileError
from rules.pack import Pack, load_pack

log = logging.getLogger(__name__)

Mark = tuple[tuple[str, int, int], ...]


class PackWatcher:
    """Looks at a folder of rules now and then, and reads it again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._settling = self._mark()

    def changed(self) -> Pack | Exception | None:
        """Return the new pack, or why it cannot be taken; None where nothing changed since the last look.

        A folder that is being written settles first: it is read when two looks in a row see the same files.
        """
        mark = self._mark()
        if mark == self._seen:
            return None
        if mark != self._settling:
            self._settling = mark
            return None
        self._seen = mark
        try:
            return load_pack(self._folder)
        except ConfigFileError as error:
            log.error("rules were changed and cannot be taken, the running ones stay: %s", error)
            return error
        except Exception as error:  # whatever a file does to the loader: the running rules stay
            log.exception("rules were changed and cannot be read, the running ones stay")
            return error

    def _mark(self) -> Mark:
        try:
            files = sorted(self._folder.glob("*.yaml"))
            return tuple((path.name, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files)
        except OSError:
            return ()
