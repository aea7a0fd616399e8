"""The directory in force, read again when its files change.

A file that cannot be taken leaves what was read before in force and is reported, with one exception: without a sound unit
registry nobody knows who is accused and who is told, so then there is no directory, and everything is held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alerting.directory import DeliveryFiles, Directory, MissingRegistryError
from alerting.registration import load_subscribers
from alerting.registry import Registry, load_registry
from alerting.routing import load_tree
from alerting.silences import load_silences
from alerting.suppression_policy import load_policy
from models.strict_yaml import ConfigFileError
from models.subscriber import Subscriber

log = logging.getLogger(__name__)

Mark = tuple[tuple[int, int, int] | None, ...]


class DirectorySource:
    """Reads the files at the start, and again when `look` finds that they have changed. `current` is None while
    everything is held; `problem` says why.
    """

    def __init__(self, files: DeliveryFiles, environ: Mapping[str, str] | None = None) -> None:
        """Raises ConfigFileError where any file but the registry cannot be taken."""
        self._files, self._environ = files, environ
        self.subscribers: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()
        self._looking_since: float | None = None
        self._seen = self._settling = self._mark()
        self.problem: str | None = None
        self.rejected: str | None = None
        """Why a changed file was not taken and what was read before stays in force; None where all were."""
        self.subscribers = load_subscribers(files.subscribers, environ)
        self._policy = load_policy(files.suppression)
        self._silences = () if files.silences is None else load_silences(files.silences)
        registry = self._read_registry()
        self._tree = load_tree(files.routing, registry)
        self.current = self._directory(registry)

    def look(self) -> bool:
        """Read the files again if they have changed since, and return whether anything is different now.

        Files that are being written settle first: they are read when two looks in a row see the same.
        """
        with self._lock, self._timed():
            mark = self._mark()
            if mark == self._seen:
                return False
            if mark != self._settling:
                self._settling = mark
                return False
            # Marked before they are read: what changes meanwhile is read again. So are certificates that are new in it.
            self._seen = mark
            self._read_again()
            return True

    def reading_seconds(self) -> float:
        """Return for how long a look has been going on: a mount that hangs would never let it end."""
        since = self._looking_since
        return 0.0 if since is None else time.monotonic() - since

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._looking_since = time.monotonic()
        try:
            yield
        finally:
            self._looking_since = None

    def _read_again(self) -> None:
        files = self._files
        self.rejected = None
        registry = self._read_registry()
        try:
            subscribers = load_subscribers(files.subscribers, self._environ)
            policy = load_policy(files.suppression)
            silences = () if files.silences is None else load_silences(files.silences)
            tree = load_tree(files.routing, registry)
        except ConfigFileError as error:
            self.rejected = str(error)
            log.error("a file of delivery was changed and cannot be taken, what was read before stays: %s", error)
        else:
            self.subscribers, self._policy, self._silences, self._tree = subscribers, policy, silences, tree
        self.current = self._directory(registry)

    def _read_registry(self) -> Registry | None:
        try:
            if self._files.units is None:
                raise MissingRegistryError(
                    "setting units_file: there is no unit registry; docs/routing.md says how to write one"
                )
            registry = load_registry(self._files.units)
        except (ConfigFileError, MissingRegistryError) as error:
            self.problem = str(error)
            log.error("nothing is sent, everything is held: %s", error)
            return None
        self.problem = None
        return registry

    def _directory(self, registry: Registry | None) -> Directory | None:
        if registry is None:
            return None
        directory = Directory(registry, self._tree, self.subscribers, self._policy, self._silences)
        for sentence in directory.loose_ends():
            log.warning("%s", sentence)
        return directory

    def _mark(self) -> Mark:
        found: list[tuple[int, int, int] | None] = []
        certificates = (Path(path) for subscriber in self.subscribers for path in subscriber.tls_files)
        for path in (*self._files.paths(), *certificates):
            try:
                stat = path.stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return tuple(found)


__all__ = ["DirectorySource"]
