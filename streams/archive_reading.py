"""Reading the file of a backup (archive.py), which may come from anywhere: in one pass, and nothing of it counts until all is compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson
from pydantic import ValidationError

from streams.archive import CHECKSUMS, HEADER, DamagedArchiveError, ForeignArchiveError, Sums
from streams.archive_header import FORMAT, TREES, VERSION, Header, cleaned, is_member_name

_CHUNK = 1024 * 1024
_META_BYTES_MAX = 64 * 1024 * 1024
_FOR_FILES, _FOR_FOLDERS = 0o660, 0o770
_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup file holds: what it says of itself, and the names of its files."""

    header: Header
    files: frozenset[str]


def extract_archive(path: Path, folder: Path, wanted: Callable[[tarfile.TarInfo], bool] = lambda _: True) -> Contents:
    """Write what a backup file holds, or what is wanted of it, below an empty folder.

    Nothing is readable for others than owner and group, and nothing can be run, whatever the modes were. Raises ArchiveError
    and OSError: then what is below the folder is not to be used.
    """
    modes: list[tuple[Path, int]] = []

    def put(member: tarfile.TarInfo, content: Iterator[bytes]) -> None:
        where = folder.joinpath(*PurePosixPath(member.name).parts)
        if member.isdir():
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            modes.append((where, member.mode & _FOR_FOLDERS | stat.S_IRWXU))
            return
        if not wanted(member):
            _discard(content)
            return
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            _write_sparse(file, content)
            os.fchmod(file.fileno(), member.mode & _FOR_FILES | stat.S_IRUSR)

    contents = _pass(path, put)
    for where, mode in reversed(modes):
        where.chmod(mode)
    return contents


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], tarfile.TarFile, Header, str]]:
    """Yield the file, the tar behind its header, the header, and the header's digest."""
    if not path.is_file():
        raise ForeignArchiveError(f"{path} is no file: name one that `hotline-watch backup` wrote")
    with path.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r|", bufsize=_CHUNK) as tar:
                first = tar.next()
                if first is None or first.name != HEADER or first.type not in _TYPES[:2]:
                    raise ForeignArchiveError(f"{path} is no backup of hotline-watch")
                body = b"".join(_content(tar, first))
                yield file, tar, _header(path, body), hashlib.sha256(body).hexdigest()
        except tarfile.ReadError as error:
            if _begins_like_ours(path):
                raise DamagedArchiveError(f"{path} is damaged or was cut short: take another copy of it") from error
            raise ForeignArchiveError(f"{path} is no backup of hotline-watch") from error
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise DamagedArchiveError(f"{path} is damaged: take another copy of it") from error


def _begins_like_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return HEADER.encode() in file.read(2048)


def _header(path: Path, body: bytes) -> Header:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise DamagedArchiveError(f"{path} is damaged: its header cannot be read; take another copy of it") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ForeignArchiveError(f"{path} is no backup of hotline-watch")
    if told.get("version") != VERSION:
        raise ForeignArchiveError(f"{path} was made by another version of hotline-watch: restore it with that one")
    try:
        return Header.model_validate_json(body)
    except ValidationError as error:
        # The names of fields, never what stands in them: it may be anything.
        fields = {str(one["loc"][0]) for one in error.errors(include_input=False) if one["loc"]} & set(
            Header.model_fields
        )
        which = f" ({', '.join(sorted(fields))})" if fields else ""
        raise DamagedArchiveError(
            f"{path} is damaged: its header{which} is none that `backup` writes; take another copy of it"
        ) from None


def _pass(path: Path, put: Callable[[tarfile.TarInfo, Iterator[bytes]], None]) -> Contents:
    """Read a backup file from its beginning to its end, giving each member to `put`, and compare it with its checksums."""
    with _opened(path) as (file, tar, header, digest):
        sums, names = Sums(), _Names(path)
        sums.add(HEADER, -1, digest)
        told: Mapping[str, Any] | None = None
        while (member := tar.next()) is not None:
            if told is not None:
                raise DamagedArchiveError(f"{path} is damaged: something follows its checksums")
            if member.name == CHECKSUMS and member.type in _TYPES[:2]:
                told = _checksums(path, b"".join(_content(tar, member)))
                continue
            names.take(member)
            if member.isdir():
                put(member, iter(()))
                continue
            hashed = hashlib.sha256()
            put(member, _digested(_content(tar, member), hashed))
            sums.add(member.name, member.size, hashed.hexdigest())
        _compare(path, sums, told)
        _check_end(path, file, tar.offset)
    return Contents(header, frozenset(sums.files) - {HEADER})


class _Names:
    """The names so far. Takes plain files and folders below the known trees, each once, none below a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, member: tarfile.TarInfo) -> None:
        """Take one more. Raises DamagedArchiveError; its message shows no name that cannot be shown."""
        name = PurePosixPath(member.name)
        if member.type not in _TYPES or member.issparse() or not is_member_name(member.name):
            raise DamagedArchiveError(
                f"{self._path} holds what no backup holds (a link, a device, a path that leads outside or cannot be shown): "
                "take another copy of it"
            )
        if name.parts[0] not in TREES or (len(name.parts) == 1 and not member.isdir()):
            raise DamagedArchiveError(
                f"{self._path} holds {name}, and a backup has nothing but {', '.join(sorted(TREES))}: take another copy of it"
            )
        parents = {str(parent) for parent in name.parents} - {"."}
        twice = member.name in self._files or (not member.isdir() and member.name in self._folders)
        if twice or parents & self._files:
            raise DamagedArchiveError(f"{self._path} is damaged: it has {name} twice; take another copy of it")
        self._folders |= parents
        (self._folders if member.isdir() else self._files).add(member.name)


def _check_end(path: Path, file: IO[bytes], at: int) -> None:
    """Nothing but a tar's padding may follow its last member."""
    file.seek(at)
    while data := file.read(_CHUNK):
        if data.count(0) != len(data):
            raise DamagedArchiveError(f"{path} is damaged: something follows its end; take another copy of it")


def _checksums(path: Path, body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)["files"]
        return {str(name): (int(size), str(digest)) for name, (size, digest) in found.items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, ArithmeticError, ValueError, AttributeError):
        raise DamagedArchiveError(f"{path} is damaged: its checksums cannot be read; take another copy") from None


def _compare(path: Path, sums: Sums, told: Mapping[str, Any] | None) -> None:
    if told is None:
        raise DamagedArchiveError(f"{path} was cut short: it has no checksums; take another copy of it")
    ours = {name: digest for name, (_, digest) in sums.files.items()}
    theirs = {name: digest for name, (_, digest) in told.items()}
    wrong = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DamagedArchiveError(
            f"{path} is damaged: {cleaned(wrong[0])}{more} is not what it was; take another copy of it"
        )


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
