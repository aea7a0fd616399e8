"""The databases of a process that is stopped, read without changing them: which there are, and what each holds, by hash.

Keys name tickets and citizens, values hold what they said: neither leaves this module, their SHA-256 does.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import rocksdict
from faust.stores.rocksdb import Store

_NAME = re.compile(r"(?P<table>[a-z]+)-(?P<partition>\d+)\.db")
OFFSET_KEY = Store.offset_key


class StateInUseError(Exception):
    """A process has a database open: it is to be stopped first."""


class StateUnreadableError(Exception):
    """A database is damaged, or may not be read."""


class Database(NamedTuple):
    """One partition of a table on disk."""

    table: str
    partition: int
    folder: Path


class OnDisk(NamedTuple):
    """What a database holds: the hash of each value by the hash of its key, and the changelog offset that it reaches (-1: none)."""

    values: dict[bytes, bytes]
    offset: int


def hash_of(data: bytes) -> bytes:
    """Return what a key or a value is called by where it may not be shown."""
    return hashlib.sha256(data).digest()


def databases_in(data_dir: Path, tables: frozenset[str]) -> list[Database]:
    """Return the databases of these tables below a directory, of one process or of several, in the order of table and partition."""
    found = []
    for current in data_dir.rglob("CURRENT"):
        name = _NAME.fullmatch(current.parent.name)
        if name and name["table"] in tables:
            found.append(Database(name["table"], int(name["partition"]), current.parent))
    return sorted(found)


@contextmanager
def held_still(databases: list[Database]) -> Iterator[None]:
    """Hold RocksDB's own lock of each, so that no process opens them meanwhile. Raises StateInUseError where one has it open."""
    with ExitStack() as stack:
        for one in databases:
            try:
                file = stack.enter_context((one.folder / "LOCK").open("r+b"))
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateInUseError(f"{one.folder} is in use: stop the process that runs on this directory") from None
            except OSError as error:
                raise StateUnreadableError(f"{one.folder} cannot be locked: {error.strerror}") from None
        yield


def read_database(database: Database) -> OnDisk:
    """Return what a database holds. Raises StateUnreadableError."""
    values, offset = {}, -1
    try:
        opened = rocksdict.Rdict(
            str(database.folder),
            options=rocksdict.Options(raw_mode=True),
            access_type=rocksdict.AccessType.read_only(),
        )
        try:
            items: Iterator[tuple[Any, Any]] = opened.items()  # raw mode: bytes, which its types do not say
            for key, value in items:
                if key == OFFSET_KEY:
                    offset = int(value)
                else:
                    values[hash_of(key)] = hash_of(value)
        finally:
            opened.close()
    except Exception as error:  # rocksdict raises nothing narrower, and its words may hold bytes of a key
        raise StateUnreadableError(f"{database.folder} cannot be read: {type(error).__name__}") from error
    return OnDisk(values, offset)
