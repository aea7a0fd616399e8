"""A directory that is filled as a whole or not at all.

Where it is not there yet, it comes by one rename. Where it is there and empty, its contents come by one rename each, undone where
one fails: whoever made it for us may not let us write beside it, and somebody may stand in it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class FolderRefusedError(Exception):
    """Something is there already, or nothing may be made there; the message says what, and what to do."""


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """Yield an empty directory, its owner's alone, on the same disk; what is put into it becomes `folder` at the end.

    After an error nothing of it is there. Raises FolderRefusedError and OSError.
    """
    folder = folder.absolute()
    _check_empty(folder)
    there = folder.exists()
    with _parents(folder):
        staged = _beside(folder, folder if there else folder.parent)
        try:
            yield staged
            if there:
                _move_into(staged, folder)
            else:
                staged.rename(folder)
        except OSError as error:
            raise wished_for(error, staged, folder) from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def wished_for(error: OSError, staged: Path, folder: Path) -> OSError:
    """Return an error that names what was wished for, where it names what is hidden beside it; else the same error."""
    named = str(error.filename or "")
    if not named.startswith(str(staged)):
        return error
    return OSError(error.errno, error.strerror, f"{folder}{named[len(str(staged)) :]}")


@contextlib.contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """Take the parents away again that were made for a folder which did not come to be."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield
    except BaseException:
        for parent in missing:  # the deepest first
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _beside(folder: Path, parent: Path) -> Path:
    """Return a new directory, its owner's alone, from where everything can be moved into `folder`."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".hotline-watch.new-", dir=parent))  # mode 700
    except PermissionError as error:
        raise FolderRefusedError(
            f"nothing may be made in {parent}: have it made as root, `install -d -o {own_name()} -m 700 {folder}`, and try again"
        ) from error
    except OSError as error:
        raise FolderRefusedError(
            f"{folder} cannot be made ({error.strerror}): name a directory on a disk that can be written"
        ) from error


def own_name() -> str:
    """Return the name of the user whom this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _check_empty(folder: Path) -> None:
    if folder.is_symlink() and not folder.exists():
        raise FolderRefusedError(
            f"{folder} is a link to {folder.readlink()}, which is not there: make that directory, or name another"
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FolderRefusedError(f"{folder} is a file: nothing is overwritten; name a new directory")
    first = min((one.name for one in folder.iterdir()), default=None)
    if first is not None:
        raise FolderRefusedError(f"{folder} is not empty, it has {first}: nothing is overwritten; name a new directory")


def _move_into(staged: Path, folder: Path) -> None:
    moved: list[Path] = []
    try:
        for one in sorted(staged.iterdir()):
            target = folder / one.name
            if os.path.lexists(target):  # it came meanwhile
                raise FolderRefusedError(f"{target} is there now: nothing is overwritten; name a new directory")
            one.rename(target)
            moved.append(target)
        with contextlib.suppress(
            PermissionError
        ):  # made by somebody else for us: what we put into it is ours alone all the same
            folder.chmod(0o700)
    except BaseException:
        for target in moved:
            target.rename(staged / target.name)
        raise
