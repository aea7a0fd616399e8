"""A workbook's shared texts, on disk: a sheet's cells name them by number, and a large workbook has millions.

They lie one after the other in a temporary file that has no name; in memory are only where each ends, and the short ones
used lately.
"""

import os
import re
import tempfile
from array import array
from collections.abc import Callable

from streams.importing.xlsx_package import Package, safe_parser

CELL_CHARS_MAX = 262_144
"""What is longer is kept up to here and one more, so that it is seen to be too long"""
TEXTS_MAX = 16_000_000
"""Where each ends is held in memory, 8 bytes each"""
_BUFFER_BYTES = 1 << 20
_SHORT_BYTES = 96
_KEPT_MAX = 65_536
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


class SharedStrings:
    """Texts by number. Raises IndexError for a number that the workbook does not have."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="hotline-watch-")  # noqa: SIM115 - it lives as long as this
        self._ends = array("Q", [0])
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._kept: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, text: str) -> None:
        """Keep one more text."""
        encoded = text.encode("utf-8", "surrogatepass")
        self._ends.append(self._ends[-1] + len(encoded))
        self._waiting.append(encoded)
        self._waiting_bytes += len(encoded)
        if self._waiting_bytes >= _BUFFER_BYTES:
            self._write()

    def __getitem__(self, number: int) -> str:
        text = self._kept.get(number)
        if text is not None:
            return text
        if not 0 <= number < len(self._ends) - 1:
            raise IndexError(number)
        if self._waiting:
            self._write()
        start, end = self._ends[number], self._ends[number + 1]
        text = os.pread(self._file.fileno(), end - start, start).decode("utf-8", "surrogatepass")
        if end - start <= _SHORT_BYTES:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            self._kept[number] = text
        return text

    def close(self) -> None:
        """Forget everything: what was read of the workbook may be worked on for long."""
        self._file.close()
        self._ends = array("Q", [0])
        self._kept.clear()

    def _write(self) -> None:
        self._file.write(b"".join(self._waiting))
        self._file.flush()
        self._waiting.clear()
        self._waiting_bytes = 0


def read_shared_strings(package: Package, entry: str, on_piece: Callable[[], None]) -> SharedStrings:
    """Return the texts of a workbook; `on_piece` is called now and then meanwhile. Raises ImportFault where they are damaged."""
    strings = SharedStrings()
    parts: list[str] = []
    length = 0
    collecting = phonetic = False

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal collecting, phonetic, length
        if name == "si":
            parts.clear()
            length = 0
        elif name == "t":
            collecting = not phonetic
        elif name == "rPh":  # how a text is read aloud is no part of it
            phonetic = True

    def end(name: str) -> None:
        nonlocal collecting, phonetic
        if name == "t":
            collecting = False
        elif name == "rPh":
            phonetic = False
        elif name == "si":
            if len(strings) >= TEXTS_MAX:
                raise package.refused(f"{entry}: more than {TEXTS_MAX} different texts")
            strings.add(unescaped("".join(parts)))

    def text(data: str) -> None:
        nonlocal length
        if collecting and length <= CELL_CHARS_MAX:
            parts.append(data)
            length += len(data)

    try:
        for _ in package.parse(entry, safe_parser(start, end, text)):
            on_piece()
    except BaseException:
        strings.close()
        raise
    return strings


def unescaped(text: str) -> str:
    """Return a text with its `_x000D_` written out: so workbooks hold characters that XML cannot."""
    if "_x" not in text:
        return text
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
