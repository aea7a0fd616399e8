"""The file of a backup: a tar that says first what it is and last what everything in it must be.

    hotline-watch-backup.json   the header: format, version, and what the maker wants to be known
    …                           the files, under names with `/`; directories too, for their modes
    checksums.json              size and SHA-256 of each file before it, and of the header

Rules
1. Made under another name, for its owner alone, and put in place in one step: a file that is there is whole.
2. Read in one pass: each file goes to disk as it comes, and nothing of it counts until the last line has been compared.
3. Only files and directories with plain names are taken, whatever a tar may hold.

ArchiveError              no backup comes of it
├── ForeignArchiveError   the file is no backup of this program, or of a newer one
└── DamagedArchiveError   it was cut short, or something in it is not what it was
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson

FORMAT = "hotline-watch-backup"
VERSION = 1
HEADER = "hotline-watch-backup.json"
CHECKSUMS = "checksums.json"
_CHUNK = 1024 * 1024
_META_BYTES_MAX = 64 * 1024 * 1024
_FOR_OTHERS = stat.S_IRWXO


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
class _Sums:
    """Size and digest of each file so far."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, name: str, size: int, digest: str) -> None:
        if name in self.files:
            raise DamagedArchiveError(f"it has {name} twice")
        self.files[name] = (size, digest)


def write_archive(target: Path, header: Mapping[str, Any], sources: Iterable[Source]) -> Written:
    """Write a backup file. Raises ArchiveError where the target is there already, and OSError."""
    if target.exists():
        raise ArchiveError(f"{target} is there already: nothing is overwritten; name another file")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    sums = _Sums()
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK) as tar:
                _put(tar, sums, HEADER, orjson.dumps({"format": FORMAT, "version": VERSION, **header}))
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


def read_header(path: Path) -> dict[str, Any]:
    """Return what a backup file says of itself. Raises ArchiveError and OSError."""
    with _opened(path) as (_, header, _):
        return header


def check_archive(path: Path) -> dict[str, Any]:
    """Read a backup file to its end and compare everything; return its header. Raises ArchiveError and OSError."""
    return _pass(path, lambda member, content: _discard(content))


def extract_archive(path: Path, folder: Path) -> dict[str, Any]:
    """Write what a backup file holds below an empty folder, and return its header.

    Nothing is readable for others than owner and group, whatever the modes were. Raises ArchiveError and OSError: then what
    is below the folder is not to be used.
    """
    modes: list[tuple[Path, int]] = []

    def put(member: tarfile.TarInfo, content: Iterator[bytes]) -> None:
        where = folder.joinpath(*PurePosixPath(member.name).parts)
        mode = member.mode & 0o777 & ~_FOR_OTHERS
        if member.isdir():
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            modes.append((where, mode | stat.S_IRWXU))
            return
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            _write_sparse(file, content)
            os.fchmod(file.fileno(), mode)

    header = _pass(path, put)
    for where, mode in reversed(modes):
        where.chmod(mode)
    return header


def _put(tar: tarfile.TarFile, sums: _Sums | None, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(body), 0o600
    tar.addfile(member, io.BytesIO(body))
    if sums is not None:
        sums.add(name, len(body), hashlib.sha256(body).hexdigest())


def _add(tar: tarfile.TarFile, sums: _Sums, source: Source) -> None:
    with source.path.open("rb") if source.path.is_file() else contextlib.nullcontext() as file:
        status = source.path.stat() if file is None else os.fstat(file.fileno())
        member = tarfile.TarInfo(source.name)
        member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[tarfile.TarFile, dict[str, Any], str]]:
    """Yield the tar behind its header, the header, and the header's digest."""
    if not path.is_file():
        raise ForeignArchiveError(f"{path} is no file: name one that `hotline-watch backup` wrote")
    try:
        with tarfile.open(path, mode="r|", bufsize=_CHUNK) as tar:
            first = tar.next()
            if first is None or first.name != HEADER or not first.isreg():
                raise ForeignArchiveError(f"{path} is no backup of hotline-watch")
            body = b"".join(_content(tar, first))
            yield tar, _header(path, body), hashlib.sha256(body).hexdigest()
    except tarfile.ReadError as error:
        if path.stat().st_size and _begins_like_ours(path):
            raise DamagedArchiveError(f"{path} is damaged or was cut short: take another copy of it") from error
        raise ForeignArchiveError(f"{path} is no backup of hotline-watch") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise DamagedArchiveError(f"{path} is damaged: take another copy of it") from error


def _begins_like_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return HEADER.encode() in file.read(2048)


def _header(path: Path, body: bytes) -> dict[str, Any]:
    try:
        header = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise DamagedArchiveError(f"{path} is damaged: its header cannot be read; take another copy of it") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ForeignArchiveError(f"{path} is no backup of hotline-watch")
    if header.get("version") != VERSION:
        raise ForeignArchiveError(f"{path} was made by another version of hotline-watch: restore it with that one")
    return header


def _pass(path: Path, put: Callable[[tarfile.TarInfo, Iterator[bytes]], None]) -> dict[str, Any]:
    """Read a backup file from its beginning to its end, giving each member to `put`, and compare it with its checksums."""
    with _opened(path) as (tar, header, digest):
        sums = _Sums()
        sums.add(HEADER, -1, digest)
        told: Mapping[str, Any] | None = None
        while (member := tar.next()) is not None:
            if told is not None:
                raise DamagedArchiveError(f"{path} is damaged: something follows its checksums")
            if member.name == CHECKSUMS:
                told = _checksums(path, b"".join(_content(tar, member)))
                continue
            _check_member(path, member)
            if member.isdir():
                put(member, iter(()))
                continue
            hashed = hashlib.sha256()
            put(member, _digested(_content(tar, member), hashed))
            sums.add(member.name, member.size, hashed.hexdigest())
    _compare(path, sums, told)
    return header


def _checksums(path: Path, body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)["files"]
        return {str(name): (int(size), str(digest)) for name, (size, digest) in found.items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise DamagedArchiveError(f"{path} is damaged: its checksums cannot be read; take another copy") from None


def _compare(path: Path, sums: _Sums, told: Mapping[str, Any] | None) -> None:
    if told is None:
        raise DamagedArchiveError(f"{path} was cut short: it has no checksums; take another copy of it")
    ours = {name: digest for name, (_, digest) in sums.files.items()}
    theirs = {name: digest for name, (_, digest) in told.items()}
    wrong = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DamagedArchiveError(f"{path} is damaged: {wrong[0]}{more} is not what it was; take another copy of it")


def _check_member(path: Path, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    plain = not name.is_absolute() and ".." not in name.parts and name.parts and "\0" not in member.name
    if not plain or not (member.isreg() or member.isdir()):
        raise DamagedArchiveError(f"{path} holds what no backup holds (a link, a device or a path that leads outside)")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    if member.name in (HEADER, CHECKSUMS) and member.size > _META_BYTES_MAX:
        raise DamagedArchiveError("its header or its checksums are far too long")
    file = tar.extractfile(member)
    while file is not None and (data := file.read(_CHUNK)):
        yield data


def _digested(content: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for data in content:
        digest.update(data)
        yield data


def _discard(content: Iterator[bytes]) -> None:
    for _ in content:
        pass


def _write_sparse(file: IO[bytes], content: Iterator[bytes]) -> None:
    """Write what comes, leaving holes where it is nothing but zeros: a broker that was killed leaves large empty indexes."""
    for data in content:
        if data.count(0) == len(data):
            file.seek(len(data), os.SEEK_CUR)
        else:
            file.write(data)
    file.truncate()
