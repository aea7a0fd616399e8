"""Where an import's events go.

A sink's `close` returns only when everything sent is safe; `abort` leaves no half result where it can.
"""

import contextlib
import gzip
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, Protocol, cast

from streams.importing.faults import SinkFault


class Sink(Protocol):
    """Takes events one by one."""

    def send(self, ticket_id: str, body: bytes) -> None:
        """Take one event. Raises SinkFault."""

    def close(self) -> None:
        """Return when all events are safe. Raises SinkFault."""

    def abort(self) -> None:
        """Give up: called instead of `close` when the import cannot go on."""


class Sample:
    """A dry run's sink: keeps the first events, sends nothing."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.events: list[bytes] = []

    def send(self, ticket_id: str, body: bytes) -> None:
        """Keep the event if it is one of the first."""
        if len(self.events) < self.limit:
            self.events.append(body)

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


class JsonLines:
    """A JSON Lines file (gzip if its name ends in .gz), put in place when it is whole; `-` is the standard output."""

    def __init__(self, target: str) -> None:
        self._target = Path(target)
        self._partial: Path | None = None
        if target == "-":
            self._file: IO[bytes] = sys.stdout.buffer
            return
        try:
            handle, name = tempfile.mkstemp(dir=self._target.parent, prefix=f".{self._target.name}.")
        except OSError as error:
            raise SinkFault(f"{self._target} cannot be written: {error.strerror}") from None
        self._partial = Path(name)
        raw = os.fdopen(handle, "wb")
        packed = self._target.suffix == ".gz"
        self._file = cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) if packed else raw)
        self._raw = raw

    def send(self, ticket_id: str, body: bytes) -> None:
        """Write one line."""
        try:
            self._file.write(body + b"\n")
        except OSError as error:
            raise SinkFault(f"{self._target} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Put the file in its place."""
        try:
            if self._partial is None:
                self._file.flush()
                return
            self._file.close()
            self._raw.close()
            self._partial.chmod(0o640)  # events hold what identifies citizens
            self._partial.replace(self._target)
        except OSError as error:
            raise SinkFault(f"{self._target} cannot be written: {error.strerror}") from None

    def abort(self) -> None:
        """Remove what was written; a file that was there before stays."""
        if self._partial is not None:
            with contextlib.suppress(OSError):
                self._raw.close()
            self._partial.unlink(missing_ok=True)
