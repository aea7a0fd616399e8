"""The ZIP container of an XLSX workbook: checked before anything in it is unpacked, and read as XML that can do no harm.

What is refused here costs nothing but a look at the container's directory: an entry or a sum that would unpack to more than
any real workbook, a packing ratio that only a zip bomb has, thousands of entries, entries with a password or an uncommon
packing, two of one name. Python's zipfile never unpacks more of an entry than the directory says, so the sums hold.

The XML is parsed by expat in pieces: a document type declaration is refused (with it go entities of every kind), so are
elements nested without end and a tag that fills memory before it ends.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NoReturn
from xml.parsers import expat

from streams.importing.faults import ImportFault

ENTRIES_MAX = 5_000
DIRECTORY_BYTES_MAX = 2 << 20
UNPACKED_BYTES_MAX = 4 << 30
RATIO_MAX = 150
"""Times its size that an entry may unpack to; the wordiest real sheets reach 60"""
RATIO_FREE_BYTES = 4 << 20
DEPTH_MAX = 64
TAG_BYTES_MAX = 1 << 20

_CHUNK_BYTES = 1 << 16
_END, _END_BYTES = b"PK\x05\x06", 22
_END64_LOCATOR, _END64 = b"PK\x06\x07", b"PK\x06\x06"
_ENCRYPTED = 0x1


class Package:
    """An open workbook's entries. Raises ImportFault for a file that no spreadsheet program would have written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reached: dict[str, int] = {}
        try:
            self.raw = path.open("rb")
        except OSError as error:
            raise ImportFault(f"{path} cannot be read: {error.strerror}") from None
        try:
            self._check_directory_size()
            self._zip = zipfile.ZipFile(self.raw)
            self.names = frozenset(self._zip.namelist())
            self._check_entries()
        except (zipfile.BadZipFile, struct.error, OSError, NotImplementedError, UnicodeDecodeError):
            self.raw.close()
            raise self.damaged() from None
        except BaseException:
            self.raw.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self.raw.close()

    def damaged(self, what: str = "the ZIP container is cut off or damaged") -> ImportFault:
        """Return the fault for a file that is broken."""
        return ImportFault(f"{self._path}: {what}: fetch or save it again")

    def refused(self, what: str) -> ImportFault:
        """Return the fault for a file that is whole, and larger somewhere than any real one."""
        return ImportFault(f"{self._path}: {what}: if it is genuine, export it as CSV")

    def open(self, name: str) -> IO[bytes]:
        """Return an entry to read. Raises ImportFault."""
        try:
            return self._zip.open(name)
        except KeyError:
            raise self.damaged(f"{name} is missing in the workbook") from None
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
            raise self.damaged() from None

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield an entry piece by piece. Raises ImportFault where it is damaged."""
        with self.open(name) as stream:
            while chunk := self._read(stream):
                self._reached[name] = max(self._reached.get(name, 0), self.raw.tell() - self._start_of(name))
                yield chunk

    @property
    def bytes_read(self) -> int:
        """Return how many of the file's bytes were read, each counted once."""
        return sum(self._reached.values())

    def _start_of(self, name: str) -> int:
        return self._zip.getinfo(name).header_offset

    def parse(self, name: str, parser: expat.XMLParserType) -> Iterator[None]:
        """Feed an entry to a parser of `safe_parser`; yield after each piece. Raises ImportFault."""
        fed = 0
        try:
            for chunk in self.chunks(name):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > TAG_BYTES_MAX:
                    raise self.damaged(f"{name} holds a tag of more than {TAG_BYTES_MAX} bytes")
                yield
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise self.damaged(f"{name}:{error.lineno}: {expat.ErrorString(error.code)}") from None
        except _UnsafeXml as error:
            raise self.damaged(f"{name}: {error}") from None
        yield

    def read_all(self, name: str, parser: expat.XMLParserType) -> None:
        """Feed a whole entry to a parser. Raises ImportFault."""
        for _ in self.parse(name, parser):
            pass

    def _read(self, stream: IO[bytes]) -> bytes:
        try:
            return stream.read(_CHUNK_BYTES)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
            raise self.damaged() from None

    def _check_directory_size(self) -> None:
        """Refuse a directory too large to be read, before zipfile reads it."""
        size = os.fstat(self.raw.fileno()).st_size
        self.raw.seek(max(0, size - _END_BYTES - 0xFFFF))
        tail = self.raw.read()
        at = tail.rfind(_END)
        if at < 0:
            raise self.damaged()
        count, length = struct.unpack("<HI", tail[at + 10 : at + 16])
        locator = tail[at - 20 : at] if at >= 20 else b""
        if locator.startswith(_END64_LOCATOR):
            self.raw.seek(struct.unpack("<Q", locator[8:16])[0])
            end64 = self.raw.read(56)
            if not end64.startswith(_END64):
                raise self.damaged()
            count, length = struct.unpack("<QQ", end64[32:48])
        self.raw.seek(0)
        if count > ENTRIES_MAX or length > DIRECTORY_BYTES_MAX:
            raise self._bomb(f"{count} entries")

    def _check_entries(self) -> None:
        entries = self._zip.infolist()
        if len(entries) > ENTRIES_MAX:
            raise self._bomb(f"{len(entries)} entries")
        if len(self.names) != len(entries):
            raise self.damaged("two entries have the same name")
        total = 0
        for entry in entries:
            total += entry.file_size
            if entry.file_size > RATIO_FREE_BYTES and entry.file_size > RATIO_MAX * max(1, entry.compress_size):
                times = entry.file_size // max(1, entry.compress_size)
                raise self._bomb(f"an entry that unpacks to {entry.file_size >> 20} MiB, {times} times its size")
            if entry.flag_bits & _ENCRYPTED:
                raise ImportFault(f"{self._path} has a password: save it without one")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self.damaged("an entry is packed in a way that no spreadsheet program uses")
        if total > UNPACKED_BYTES_MAX:
            raise self._bomb(f"entries that unpack to {total >> 20} MiB")

    def _bomb(self, claim: str) -> ImportFault:
        return ImportFault(
            f"{self._path} claims {claim}: refused as a zip bomb, nothing was unpacked; if it is genuine, export it as CSV"
        )


class _UnsafeXml(Exception):
    """XML that no spreadsheet program writes."""


def safe_parser(
    on_start: Callable[[str, dict[str, str]], None],
    on_end: Callable[[str], None],
    on_text: Callable[[str], None] | None = None,
) -> expat.XMLParserType:
    """Return an expat parser that calls back with names without prefix, and refuses what could harm."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = _CHUNK_BYTES
    local: dict[str, str] = {}
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise _UnsafeXml(f"elements nested deeper than {DEPTH_MAX}")
        on_start(local.get(name) or _local(local, name), attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        on_end(local[name])

    def refuse(*_: object) -> NoReturn:
        raise _UnsafeXml("a document type declaration, which no spreadsheet program writes")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = on_text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    return parser


def _local(known: dict[str, str], name: str) -> str:
    short = name.rpartition(":")[2]
    if len(known) < 1_000:  # a real sheet knows a few dozen names
        known[name] = short
        return short
    raise _UnsafeXml("more than a thousand different elements")
