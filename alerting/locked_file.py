"""A file that people and several processes edit: one edit at a time, and each one whole or not at all."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alerting.new_keys import hand_over, sync_folder

_NEW_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was read: what a later look is compared with, and what a new version takes over."""

    text: str
    mark: tuple[int, int, int] | None
    """None: there was no file."""
    mode: int = _NEW_FILE_MODE
    owner: tuple[int, int] | None = None
    """The user and the group; None: whoever writes."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, among processes and threads: a sibling that is named after it and stays. Raises OSError."""
    descriptor = os.open(
        path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        hand_over(descriptor, owner_for(path))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def look_at(path: Path) -> Seen | None:
    """Return the file as it is now, None where there is none. Raises OSError, UnicodeDecodeError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read().decode()
    except FileNotFoundError:
        return None
    return Seen(text, _mark(status), stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))


def write_beside(path: Path, text: str, like: Seen) -> Path:
    """Write a new version into the same folder, with the mode and the owner of the old one, and return its path when it
    is on the disk. Only with the lock held, since there is one such path. Raises OSError.
    """
    beside = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()  # of an edit that was killed
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            hand_over(descriptor, like.owner)
            os.fchmod(descriptor, like.mode)
            os.fsync(descriptor)
    except BaseException:
        beside.unlink()
        raise
    return beside


def is_as_seen(path: Path, seen: Seen) -> bool:
    """Return whether nobody, an editor say, has changed the file since it was looked at."""
    try:
        return _mark(path.stat()) == seen.mark
    except FileNotFoundError:
        return seen.mark is None


def owner_for(path: Path) -> tuple[int, int] | None:
    """Return whose a file beside this one should be: where root writes, the owner of this one or of its folder, which the
    service runs as; else nobody but the writer. Raises OSError.
    """
    if os.geteuid() != 0:
        return None
    status = path.stat() if path.exists() else path.parent.stat()
    return status.st_uid, status.st_gid


def _mark(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


__all__ = ["Seen", "is_as_seen", "locked", "look_at", "owner_for", "sync_folder", "write_beside"]
