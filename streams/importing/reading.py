"""CSV file → rows, or a fault with its line.

The whole file is refused (ImportFault) where nothing in it can be trusted: it cannot be opened, the gzip is damaged, it
is in another encoding, the header is missing or names a column twice. Anything else costs one row.

Bytes that do not decode are carried along as lone surrogates, so that their row keeps its bounds and its line.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import IO, cast

from streams.importing import encoding, header
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.mapping import Input
from streams.importing.naming import column_shown
from streams.importing.quoting import open_quote

CELL_CHARS_MAX = 262_144
ROW_CHARS_MAX = 4_194_304
"""Of one row, however many lines it spans: what is longer is no row, and would be held in memory"""
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Progress = Callable[[int], None]


class CsvFile:
    """A CSV file, plain or gzip. `header` is known once it is open; `rows` can be read once."""

    formulas = 0

    def __init__(self, path: Path, settings: Input, progress: Progress | None = None) -> None:
        self._path, self._settings, self._progress = path, settings, progress
        self._decoded_before = False
        self._row: list[str] = []
        self._row_chars = 0
        self.delimiter: str | None = settings.delimiter
        self.blank_lines = 0
        try:
            self._raw: IO[bytes] = path.open("rb")
        except OSError as error:
            raise ImportFault(f"{path} cannot be read: {error.strerror}") from None
        try:
            self._encoding = self._find_encoding()
            codec = "utf-8-sig" if self._encoding == "utf-8" else self._encoding
            self._text = io.TextIOWrapper(self._unpacked(), codec, errors="surrogateescape", newline="")
            csv.field_size_limit(CELL_CHARS_MAX)
            self._reader = csv.reader(self._lines(), delimiter=settings.delimiter, strict=True)
            self.header, self._width = self._read_header()
        except BaseException:
            self._raw.close()
            raise
        self.kind = f"csv {self._encoding}"

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[str] | RowFault]]:
        """Yield (number of the row's first line, its stripped cells or why it cannot be taken). Raises ImportFault.

        All columns where none are given; a column that the file lacks is as if it were empty.
        """
        pick = _picker(self.header, columns)
        while True:
            line = self._reader.line_num + 1
            try:
                cells = self._next()
            except StopIteration:
                return
            except csv.Error as error:
                yield line, self._fault_of_quotes(line, error)
                continue
            if not cells:
                self.blank_lines += 1
                continue
            if self._progress is not None and line % 500 < 2:
                self._progress(self._raw.tell())
            fault = self._fault(line, cells)
            if fault is None:
                cells.append("")  # what a column that the file lacks picks
                yield line, list(map(str.strip, pick(cells)))
            else:
                yield line, fault

    def place(self, line: int) -> tuple[str, int]:
        """Return no sheet and the line."""
        return "", line

    def _find_encoding(self) -> str:
        if self._settings.encoding != "auto":
            return self._settings.encoding
        try:
            found = encoding.guess(self._unpacked())
        except (EOFError, OSError, zlib.error):
            found = "utf-8"  # it is told with its line when the rows are read
        if found is None:
            raise ImportFault(
                f"{self._path} is neither UTF-8 nor GB18030: save it as one of them (“CSV UTF-8” in Excel)"
            )
        self._raw.seek(0)
        return found

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

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(ROW_CHARS_MAX):
            self._row.append(line)
            self._row_chars += len(line)
            if self._row_chars >= ROW_CHARS_MAX:
                first = self._reader.line_num + 2 - len(self._row)
                raise ImportFault(
                    f"{self._path}:{first}: a row of more than {ROW_CHARS_MAX} characters: is a quote left open in it?"
                )
            yield line

    def _next(self) -> list[str]:
        self._row.clear()
        self._row_chars = 0
        try:
            return next(self._reader)
        except (EOFError, OSError, zlib.error):
            raise self._damaged(self._reader.line_num) from None

    def _left_open(self, first: int) -> ImportFault | None:
        """Tell of the quote that is left open in the row read last, whose first line is `first`; None where none is."""
        at = open_quote(self._row, self._settings.delimiter)
        if at is None:
            return None
        return ImportFault(
            f"{self._path}:{first + at}: a quote is opened here that nothing closes: the rows behind it cannot be told apart, so "
            "nothing was imported: close it, or write a quote within a cell twice"
        )

    def _fault_of_quotes(self, line: int, error: csv.Error) -> RowFault:
        """Return why a row could not be parted. Raises ImportFault where it goes on to who knows where."""
        ended = self._reader.line_num
        is_long = str(error).startswith("field larger")
        if (is_long and len(self._row) > 1) or str(error).startswith("unexpected end"):
            fault = self._left_open(line)
            if fault is not None:
                raise fault from None
        if is_long:
            return RowFault(RowReason.TOO_LARGE, f"a cell of more than {CELL_CHARS_MAX} characters")
        where = f"lines {line}–{ended} are taken as one row and left out" if ended > line else "the row is left out"
        return RowFault(
            RowReason.BAD_QUOTING, f"{where}: behind a closing quote stands no {self._settings.delimiter!r}"
        )

    def _read_header(self) -> tuple[list[str], int]:
        settings = self._settings
        every = [self._header_row() for _ in range(settings.skip_rows + settings.header_rows)]
        if every[0]:
            every[0][0] = every[0][0].removeprefix(
                "\ufeff"
            )  # GB18030 has a byte order mark too, and no codec that takes it off
        rows = every[settings.skip_rows :]
        where = f"{self._path}:{settings.skip_rows + 1}"
        for cell in (cell for row in rows for cell in row):
            broken = _broken_byte(cell)
            if broken is not None:
                raise self._wrong_encoding(settings.skip_rows + 1, broken)
            self._decoded_before |= not cell.isascii()
        names = header.joined(rows, fill=settings.header_rows > 1)
        return header.checked(names, where, number_repeated=settings.repeated_names == "number"), len(names)

    def _header_row(self) -> list[str]:
        try:
            return self._next()
        except StopIteration:
            raise ImportFault(f"{self._path} is empty, or ends before its header does") from None
        except csv.Error as error:
            first = self._reader.line_num + 1 - len(self._row)
            fault = self._left_open(first) if str(error).startswith("unexpected end") else None
            raise fault or self._header_unparted(first) from None

    def _header_unparted(self, line: int) -> ImportFault:
        text = "".join(self._row)
        own = self._settings.delimiter
        other = max((one for one in header.DELIMITERS if one != own), key=text.count)
        told = f"{self._path}:{line}: the header cannot be read: behind a closing quote stands no {own!r}"
        if text.count(other) > text.count(own):
            told += f"; it seems parted by {other!r}: set `delimiter: {json.dumps(other)}` under `input` of the mapping"
        return ImportFault(told)

    def _fault(self, line: int, cells: list[str]) -> RowFault | None:
        if len(cells) != self._width:
            return RowFault(
                RowReason.RAGGED,
                f"{len(cells)} cells; the header has {self._width}: does a cell hold the delimiter without quotes?",
            )
        # The row as one text, for which a look at each cell is not needed: almost all rows are sound.
        text = "".join(cells)
        if "\0" in text or not text.isascii():
            return self._fault_of_cells(line, cells, text)
        return self._beyond(cells)

    def _fault_of_cells(self, line: int, cells: list[str], text: str) -> RowFault | None:
        if not _decodes(text):
            name, broken = next(
                (name, byte) for name, cell in self._named(cells) if (byte := _broken_byte(cell)) is not None
            )
            if not self._decoded_before and not any(cell and not cell.isascii() and _decodes(cell) for cell in cells):
                raise self._wrong_encoding(line, broken)
            return RowFault(RowReason.NOT_DECODABLE, f"column {name!r}: byte 0x{broken:02X} is not {self._encoding}")
        if "\0" in text:
            name = next(name for name, cell in self._named(cells) if "\0" in cell)
            return RowFault(RowReason.NUL, f"column {name!r}: a NUL character")
        self._decoded_before = True
        return self._beyond(cells)

    def _beyond(self, cells: list[str]) -> RowFault | None:
        """Refuse a value in a column at the end that has no name."""
        if self._width > len(self.header) and any(cell.strip() for cell in cells[len(self.header) :]):
            return RowFault(RowReason.RAGGED, f"a value beyond the {len(self.header)} columns that have a name")
        return None

    def _named(self, cells: list[str]) -> Iterator[tuple[str, str]]:
        for position, cell in enumerate(cells):
            named = position < len(self.header)
            yield column_shown(self.header[position], position + 1) if named else f"no. {position + 1}", cell

    def _wrong_encoding(self, line: int, byte: int) -> ImportFault:
        other = "gb18030" if self._encoding == "utf-8" else "utf-8"
        return ImportFault(
            f"{self._path}:{line}: byte 0x{byte:02X} is not {self._encoding}, and nothing before it is either: "
            f"if the file is {other}, give `--encoding {other}` or set it under `input` of the mapping"
        )


def _picker(names: list[str], columns: Sequence[str] | None) -> Callable[[list[str]], tuple[str, ...]]:
    """Return the function row → the columns' cells; the row's last cell for a column that there is not."""
    at = {name: position for position, name in enumerate(names)}
    places = [at.get(name, -1) for name in (names if columns is None else columns)]
    return itemgetter(*places) if len(places) > 1 else lambda cells: tuple(cells[place] for place in places)


def _decodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken_byte(cell: str) -> int | None:
    """Return the first byte that did not decode."""
    if cell.isascii():
        return None
    return next((ord(character) - 0xDC00 for character in cell if "\udc80" <= character <= "\udcff"), None)
