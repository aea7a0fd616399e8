"""File → rows, or a fault with its line.

The whole file is refused (ImportFault) where nothing in it can be trusted: it cannot be opened, the gzip is damaged, it
is in another encoding, the header is missing or names a column twice. Anything else costs one row.

Bytes that do not decode are carried along as lone surrogates, so that their row keeps its bounds and its line.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.mapping import Input

CELL_CHARS_MAX = 262_144
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Progress = Callable[[int], None]


class CsvFile:
    """A CSV file, plain or gzip. `header` is known once it is open; `rows` can be read once."""

    def __init__(self, path: Path, settings: Input, progress: Progress | None = None) -> None:
        self._path, self._settings, self._progress = path, settings, progress
        self._decoded_before = False
        self.blank_lines = 0
        try:
            self._raw: IO[bytes] = path.open("rb")
        except OSError as error:
            raise ImportFault(f"{path} cannot be read: {error.strerror}") from None
        try:
            encoding = "utf-8-sig" if settings.encoding == "utf-8" else settings.encoding
            text = io.TextIOWrapper(self._unpacked(), encoding, errors="surrogateescape", newline="")
            csv.field_size_limit(CELL_CHARS_MAX)
            self._reader = csv.reader(text, delimiter=settings.delimiter, strict=True)
            self.header = self._read_header()
        except BaseException:
            self._raw.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def rows(self) -> Iterator[tuple[int, list[str] | RowFault]]:
        """Yield (number of the row's first line, its stripped cells or why it cannot be taken). Raises ImportFault."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = self._next()
            except StopIteration:
                return
            except csv.Error as error:
                yield line, RowFault(RowReason.BAD_QUOTING, f"lines {line}–{self._reader.line_num}: {error}")
                continue
            if not cells:
                self.blank_lines += 1
                continue
            if self._progress is not None and line % 500 < 2:
                self._progress(self._raw.tell())
            yield line, self._checked(line, cells)

    def _unpacked(self) -> IO[bytes]:
        start = self._raw.read(2)
        self._raw.seek(0)
        if not start:
            raise ImportFault(f"{self._path} is empty")
        if start == _GZIP_MAGIC:
            packed: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=self._raw, mode="rb"))
            start = self._peek(packed)
        else:
            packed = self._raw
        if start in _UTF16_MARKS:
            raise ImportFault(f"{self._path} is UTF-16: save it as UTF-8 (in Excel: “CSV UTF-8”)")
        return packed

    def _peek(self, packed: IO[bytes]) -> bytes:
        try:
            start = packed.read(2)
            packed.seek(0)
        except (EOFError, OSError, zlib.error):
            raise self._damaged(0) from None
        if not start:
            raise ImportFault(f"{self._path} is empty")
        return start

    def _damaged(self, line: int) -> ImportFault:
        return ImportFault(f"{self._path}: the gzip is cut off or damaged after line {line}: fetch it again")

    def _next(self) -> list[str]:
        try:
            return next(self._reader)
        except (EOFError, OSError, zlib.error):
            raise self._damaged(self._reader.line_num) from None

    def _read_header(self) -> list[str]:
        try:
            cells = self._next()
        except StopIteration:
            raise ImportFault(f"{self._path} is empty") from None
        except csv.Error as error:
            raise ImportFault(f"{self._path}:1: the header cannot be read: {error}") from None
        header = [cell.strip() for cell in cells]
        if not any(header):
            raise ImportFault(f"{self._path}:1: the first line is to name the columns, and is blank")
        for cell in cells:
            broken = _broken_byte(cell)
            if broken is not None:
                raise self._wrong_encoding(1, broken)
        for position, name in enumerate(header):
            if not name or "\0" in name:
                raise ImportFault(f"{self._path}:1: column {position + 1} has no name, or one with a NUL")
            if name in header[:position]:
                raise ImportFault(f"{self._path}:1: two columns are named {name!r}: rename one")
        return header

    def _checked(self, line: int, cells: list[str]) -> list[str] | RowFault:
        if len(cells) != len(self.header):
            return RowFault(RowReason.RAGGED, f"{len(cells)} cells; the header has {len(self.header)}")
        for name, cell in zip(self.header, cells, strict=True):
            if "\0" in cell:
                return RowFault(RowReason.NUL, f"column {name!r}: a NUL character")
            if cell.isascii():
                continue
            broken = _broken_byte(cell)
            if broken is not None and not self._decoded_before:
                raise self._wrong_encoding(line, broken)
            if broken is not None:
                detail = f"column {name!r}: byte 0x{broken:02X} is not {self._settings.encoding}"
                return RowFault(RowReason.NOT_DECODABLE, detail)
            self._decoded_before = True
        return [cell.strip() for cell in cells]

    def _wrong_encoding(self, line: int, byte: int) -> ImportFault:
        encoding = self._settings.encoding
        other = "gb18030" if encoding == "utf-8" else "utf-8"
        return ImportFault(
            f"{self._path}:{line}: byte 0x{byte:02X} is not {encoding}, and nothing before it is either: "
            f"if the file is {other}, give `--encoding {other}` or set it under `input` of the mapping"
        )


def _broken_byte(cell: str) -> int | None:
    """Return the first byte that did not decode."""
    if cell.isascii():
        return None
    return next((ord(character) - 0xDC00 for character in cell if "\udc80" <= character <= "\udcff"), None)
