"""The log of a child process: what it writes comes through a pipe into a file that is cut into parts at line ends, the oldest
thrown away.

A child that wrote into the file itself could not be made to write into another one, and cutting the file under it would lose
what it wrote meanwhile. Who may read a log is its owner alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

LOG_BYTES_MAX = 8 * 1024 * 1024
"""of one part"""
LOG_PARTS = 4
"""the one that is written, and the older ones"""
_CHUNK = 64 * 1024
_MODE = 0o600


def part_path(path: Path, number: int) -> Path:
    """Return where the part lies that is so many parts older than the one that is written: 1 is the newest of the old."""
    return path.with_name(f"{path.name}.{number}")


class LogFile:
    """A log in parts. Not for two writers. A full disk loses lines, and never holds up the one who writes."""

    def __init__(self, path: Path, bytes_max: int = LOG_BYTES_MAX, parts: int = LOG_PARTS) -> None:
        self.path = path
        self.lost_bytes = 0
        self._bytes_max, self._parts = bytes_max, parts
        self._descriptor = -1
        self._size = 0
        self._at_line_end = True
        with contextlib.suppress(OSError):
            self._open()

    def write(self, data: bytes) -> None:
        """Append some output; a new part begins at a line end, or where a single line outgrows a part."""
        while data:
            room = self._bytes_max - self._size
            cut = len(data) if len(data) <= room else self._cut(data, room)
            self._append(data[:cut])
            data = data[cut:]
            if data:
                self._rotate()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _cut(self, data: bytes, room: int) -> int:
        """Return how much of the data still goes into this part."""
        at = data.rfind(b"\n", 0, max(room, 0)) + 1
        if at or (self._at_line_end and self._size):
            return at
        following = data.find(b"\n") + 1
        # In the middle of a line: its rest belongs to it, unless that is longer than a part.
        return following if 0 < following <= self._bytes_max else max(room, 0)

    def _append(self, data: bytes) -> None:
        if not data:
            return
        try:
            if self._descriptor < 0:
                self._open()
            written = os.write(self._descriptor, data)
        except OSError:
            self.lost_bytes += len(data)
            return
        self.lost_bytes += len(data) - written
        self._size += written
        self._at_line_end = data.endswith(b"\n")

    def _rotate(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            part_path(self.path, self._parts - 1).unlink(missing_ok=True)
            for number in range(self._parts - 2, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    part_path(self.path, number).replace(part_path(self.path, number + 1))
            if self._parts > 1:
                self.path.replace(part_path(self.path, 1))
            else:
                self.path.unlink(missing_ok=True)
        self._size, self._at_line_end = 0, True

    def _open(self) -> None:
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        with contextlib.suppress(OSError):
            os.fchmod(self._descriptor, _MODE)
        self._size = os.fstat(self._descriptor).st_size
        self._at_line_end = True


class Pump(threading.Thread):
    """Carries what a child writes from a pipe into its log, until the last one who holds the other end lets go of it."""

    def __init__(self, source: int, log: LogFile, name: str) -> None:
        """Take over the reading end `source`."""
        super().__init__(name=name, daemon=True)
        self._source, self._log = source, log

    def run(self) -> None:
        try:
            while data := os.read(self._source, _CHUNK):
                self._log.write(data)
        except OSError:
            pass  # the pipe is broken: there is nothing more to come
        finally:
            os.close(self._source)
            self._log.close()
