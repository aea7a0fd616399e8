"""Writing large files: whether there is room, and what is said where there is not, or the system refuses. Names no hidden file."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from streams.archive import ArchiveError
from streams.new_folder import wished_for

SPARE_BYTES = 64 * 1024 * 1024


@contextlib.contextmanager
def room(target: Path, hidden: Path) -> Iterator[None]:
    """Say in plain words where a disk gets full or a file too large; `hidden` is what is written until it becomes `target`.

    Raises ArchiveError in place of such an OSError, which then names the target.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArchiveError(f"no room is left for {target}: free some space, or name another disk") from error
        if error.errno == errno.EFBIG:
            raise ArchiveError(
                f"{target} would be larger than a file may be here: raise the limit (`ulimit -f unlimited`), or name a disk "
                "that takes large files"
            ) from error
        if error.filename is None:
            raise ArchiveError(
                f"{target} cannot be written ({error.strerror}): look at its disk, or name another"
            ) from error
        told = wished_for(error, hidden, target)
        if told is error:
            raise
        raise ArchiveError(f"{told.filename} cannot be written ({error.strerror}): name another") from error


def check_space(folder: Path, wanted_bytes: int) -> None:
    """Raise ArchiveError where a folder's disk has not so much room, and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < wanted_bytes + SPARE_BYTES:
        raise ArchiveError(
            f"{wanted_bytes // 2**20 + 1} MB are needed below {folder} and {free // 2**20} MB are free: free some space, or name "
            "another disk"
        )
