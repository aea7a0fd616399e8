"""The file of a backup: a tar that says first what it is and last what everything in it must be. It is read by archive_reading.py.

    hotline-watch-backup.json   the header (archive_header.py): format, version, and what the maker wants to be known
    …                           the files, under names with `/`; directories too, for their modes
    checksums.json              size and SHA-256 of each file before it, and of the header

Rules
1. Made under another name, for its owner alone, and put in place in one step: a file that is there is whole.
2. Read in one pass: each file goes to disk as it comes, and nothing of it counts until the last line has been compared.
3. Only files and directories with plain names and plain modes are taken, below three trees, whatever a tar may hold.

ArchiveError              no backup comes of it
├── ForeignArchiveError   the file is no backup of this program, or of a newer one
└── DamagedArchiveError   it was cut short, or something in it is not what it was
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from streams.archive_header import Header, cleaned, is_member_name

HEADER = "hotline-watch-backup.json"
CHECKSUMS = "checksums.json"
_CHUNK = 1024 * 1024
_MODES = 0o777  # a right to run as somebody else is nothing to be kept


class ArchiveError(Exception):
    """No backup comes of it; the message says why and what to do."""


class ForeignArchiveError(ArchiveError):
    """The file is no backup of this program, or one of a newer version."""


class DamagedArchiveError(ArchiveError):
    """The file was cut short, or something in it is not what it was."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file or directory that goes into a backup, under its name there."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: how many files, and how many bytes of theirs."""

    files: int
    content_bytes: int


@dataclass(slots=True)
class Sums:
    """Size and digest of each file so far."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, name: str, size: int, digest: str) -> None:
        if name in self.files:
            raise DamagedArchiveError(f"it has {name} twice")
        self.files[name] = (size, digest)


def write_archive(target: Path, header: Header, sources: Iterable[Source]) -> Written:
    """Write a backup file. Raises ArchiveError where the target is there already or a name cannot be kept, and OSError."""
    if target.exists():
        raise ArchiveError(f"{target} is there already: nothing is overwritten; name another file")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    sums = Sums()
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK) as tar:
                _put(tar, sums, HEADER, header.model_dump_json().encode())
                for source in sources:
                    _add(tar, sums, source)
                _put(tar, None, CHECKSUMS, orjson.dumps({"files": sums.files}))
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)
    return Written(len(sums.files) - 1, sum(size for name, (size, _) in sums.files.items() if name != HEADER))


def _put_in_place(part: Path, target: Path) -> None:
    try:
        os.link(part, target)  # unlike a rename, it replaces nothing that came meanwhile
    except FileExistsError:
        raise ArchiveError(f"{target} is there already: nothing is overwritten; name another file") from None
    except OSError:  # a file system without links, of a portable disk
        part.rename(target)


def _put(tar: tarfile.TarFile, sums: Sums | None, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(body), 0o600
    tar.addfile(member, io.BytesIO(body))
    if sums is not None:
        sums.add(name, len(body), hashlib.sha256(body).hexdigest())


def _add(tar: tarfile.TarFile, sums: Sums, source: Source) -> None:
    if not is_member_name(source.name):
        raise ArchiveError(
            f"{cleaned(str(source.path))} has a name that cannot be kept (control characters): rename it"
        )
    with source.path.open("rb") if source.path.is_file() else contextlib.nullcontext() as file:
        status = source.path.stat() if file is None else os.fstat(file.fileno())
        member = tarfile.TarInfo(source.name)
        member.mode, member.mtime = status.st_mode & _MODES, int(status.st_mtime)
        if file is None:
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
            return
        member.size = status.st_size
        hashing = _Hashing(file)
        tar.addfile(member, hashing)  # raises OSError where the file has shrunk
        sums.add(source.name, status.st_size, hashing.digest.hexdigest())


class _Hashing:
    """Reads a file and digests what is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data
