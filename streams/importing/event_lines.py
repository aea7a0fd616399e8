"""Ticket events as JSON Lines, one event a line, as they would lie on Kafka → validated events, or a fault with its line.

A file needs no mapping: its lines are what a mapping makes of a table. Each is judged as intake judges a record, and what
intake would put into quarantine is rejected here with its line, and not sent.

The whole file is refused (ImportFault) where it is no such file: it cannot be opened, the gzip is damaged, it is in another
encoding, it is a table or one large JSON document. Anything else costs one line.
"""

import base64
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from models.decode import MAX_EVENT_BYTES, decode_event, decode_object
from streams.importing import encoding
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.naming import check_regular
from streams.importing.table import Progress

_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
_LOOK_BYTES = 4_096
_READ_MAX = MAX_EVENT_BYTES + 3
"""Of one line, with its end; what is longer is no event, and would be held in memory"""


class EventLines:
    """A file of events, plain or gzip, that is open; `lines` can be read once. `progress` is told how many bytes were read."""

    kind = "json lines"

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self._path, self._progress = path, progress
        self.blank_lines = 0
        check_regular(path)
        try:
            self._raw: IO[bytes] = path.open("rb")
        except OSError as error:
            raise ImportFault(f"{path} cannot be read: {error.strerror}") from None
        try:
            packed = self._raw.read(2) == _GZIP_MAGIC
            self._raw.seek(0)
            self._file = cast(IO[bytes], gzip.GzipFile(fileobj=self._raw, mode="rb")) if packed else self._raw
            self._check()
        except (EOFError, OSError, zlib.error):
            self._raw.close()
            raise self._damaged(0) from None
        except BaseException:
            self._raw.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def lines(self) -> Iterator[tuple[int, bytes | RowFault]]:
        """Yield (number, the line without its end, or why it cannot be one). Raises ImportFault where the file is damaged."""
        number = 0
        while line := self._next(number):
            number += 1
            if number == 1:
                line = line.removeprefix(_UTF8_MARK)
            if self._progress is not None and number % 500 == 1:
                self._progress(self._raw.tell())
            if len(line) >= _READ_MAX and not line.endswith(b"\n"):
                self._skip(number)
                yield number, RowFault(RowReason.TOO_LARGE, f"a line of more than {MAX_EVENT_BYTES} bytes")
                continue
            line = line.strip(_BLANKS)
            if line:
                yield number, line
            else:
                self.blank_lines += 1

    def _next(self, number: int) -> bytes:
        try:
            return self._file.readline(_READ_MAX)
        except (EOFError, OSError, zlib.error):
            raise self._damaged(number) from None

    def _skip(self, number: int) -> None:
        """Pass over the rest of a line that is too long."""
        while (rest := self._next(number)) and not rest.endswith(b"\n"):
            pass

    def _damaged(self, line: int) -> ImportFault:
        return ImportFault(f"{self._path}: it is cut off or damaged after line {line}: fetch it again")

    def _check(self) -> None:
        """Refuse what is no file of events, with what to do about it."""
        start = self._file.read(_LOOK_BYTES)
        if start[:2] in _UTF16_MARKS:
            raise ImportFault(f"{self._path} is UTF-16: save it as UTF-8")
        text = start.removeprefix(_UTF8_MARK).lstrip(_BLANKS)
        if not text:
            raise ImportFault(f"{self._path} is empty")
        if text.startswith(b"["):
            raise ImportFault(f"{self._path} is one JSON array: write each event on a line of its own (`jq -c '.[]'`)")
        if not text.startswith(b"{"):
            raise ImportFault(
                f"{self._path} holds no ticket events as JSON Lines: for a table (CSV, XLSX) give --mapping NAME or FILE; "
                "--mappings lists the included ones"
            )
        if text.partition(b"\n")[0].strip(_BLANKS) == b"{":
            raise ImportFault(f"{self._path} has an event on several lines: write each on one (`jq -c .`)")
        self._file.seek(0)
        try:
            found = encoding.guess(self._file)
        except (EOFError, OSError, zlib.error):
            found = "utf-8"  # it is told with its line when the lines are read
        if found == "gb18030":
            raise ImportFault(f"{self._path} is GB18030, and JSON is UTF-8: convert it (`iconv -f GB18030 -t UTF-8`)")
        self._file.seek(0)


def check_lines(path: Path) -> None:
    """Raise ImportFault where a file is none of events, as far as its head tells."""
    EventLines(path).close()


def event_in(line: bytes) -> dict[str, Any]:
    """Return the JSON object of the event in a line, which may be wrapped as a structured CloudEvent. Raises Rejected."""
    body = decode_object(line)
    if "specversion" not in body or "ticket_id" in body:
        return body
    decode_event(line)  # the envelope's faults are told as everywhere
    data = body.get("data")
    return data if isinstance(data, dict) else decode_object(base64.b64decode(body["data_base64"]))
