"""New keys, each in a file of its own that only its owner can read. An existing file is never written over."""

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Literal

from models.secrets import SIGNING_KEY_BYTES

KeyKind = Literal["secret", "signing_key"]

_SECRET_BYTES = 32
_SUFFIX = {"secret": ".secret", "signing_key": ".key"}
_NUMBERS_MAX = 10_000


class KeyFileError(ValueError):
    """A key file cannot be written; the message says where and why."""


def new_key_file(folder: Path, name: str, kind: KeyKind, first: int = 1, owner: tuple[int, int] | None = None) -> Path:
    """Write a new random key to a file that was not there before and return its path: `<name>.secret` or `.key`, then
    `<name>-2.secret` and so on, from number `first`.

    `owner`: the user and group that the service runs as, where root writes for it. The folder is made where it is
    missing, for its owner alone. The file is on the disk when this returns. Raises KeyFileError.
    """
    try:
        _make_folder(folder, owner)
        for number in range(first, _NUMBERS_MAX):
            path = folder / f"{name}{'' if number == 1 else f'-{number}'}{_SUFFIX[kind]}"
            with suppress(FileExistsError):
                _write(path, f"{new_key(kind)}\n", owner)
                return path
    except OSError as error:
        raise KeyFileError(f"{folder}: no key file can be written there: {error.strerror}") from None
    raise KeyFileError(f"{folder}: too many files of {name}: delete those that are not used any more")


def new_key(kind: KeyKind) -> str:
    """Return a new key as it is written: `whsec_` and base64 of 32 random bytes, `whsk_` and base64 of an ed25519 seed."""
    if kind == "secret":
        return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    return f"whsk_{base64.b64encode(secrets.token_bytes(SIGNING_KEY_BYTES)).decode()}"


def hand_over(descriptor: int, owner: tuple[int, int] | None) -> None:
    """Give an open file to its owner; nothing is done where it is theirs. Raises OSError."""
    status = os.fstat(descriptor)
    if owner is not None and owner != (status.st_uid, status.st_gid):
        os.fchown(descriptor, *owner)


def sync_folder(folder: Path) -> None:
    """Return when a folder's entries are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path, owner: tuple[int, int] | None) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            hand_over(descriptor, owner)
        finally:
            os.close(descriptor)
    if folder.stat().st_mode & 0o002:
        raise KeyFileError(f"{folder}: everybody may write into this folder: chmod 700 it")


def _write(path: Path, text: str, owner: tuple[int, int] | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        hand_over(descriptor, owner)
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
    sync_folder(path.parent)
