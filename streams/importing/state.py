"""What earlier imports left behind: each ticket as it was last seen, and the files that are done. One SQLite file.

It changes only after what it says has been acknowledged (`Pending` says how), so a crash at any moment leaves either the old
state and the events to send again, or the new one. Of a ticket it holds the digest of its row, and of the columns that the
mapping compares the cell, or where only its equality counts, a digest too. The digests are keyed with a salt of the file's
own. Only its owner may read the file; only one process may use it.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from streams.importing.faults import ImportFault

VERSION = 1
_CACHE_KIB = 49_152
_KNOWN = "SELECT n, digest, cells, gone FROM tickets WHERE key = ?"
_ALL = "SELECT key, n, digest, cells, gone FROM tickets ORDER BY key"
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE tickets (key TEXT PRIMARY KEY, n INTEGER, digest BLOB, cells BLOB, gone INTEGER) WITHOUT ROWID;
CREATE TABLE files (sha256 TEXT PRIMARY KEY, name TEXT, rows INTEGER, events INTEGER) WITHOUT ROWID;
"""


Known = tuple[int, bytes, bytes, int]
"""A ticket as it was last seen: its number, the digest of its row, what is remembered of its cells (JSON), gone since?"""


class DoneFile(NamedTuple):
    """A file that was imported: every event of it was acknowledged."""

    sha256: str
    name: str
    rows: int
    events: int


class ImportState:
    """The open state. `create` says whether it may be made; without it a state that is not there is empty and stays so.

    Raises ImportFault where the file is no state, is of another version, or is in use.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None
        there = path.exists()
        try:
            if there or create:
                self._lock = self._locked()
            # SQLite takes an empty file for a new one: every ticket would be one never seen.
            if there and path.stat().st_size == 0:
                raise self._fault(
                    "is empty, as after a crash of the disk: put the last copy of it in its place; to begin anew, remove it"
                )
            if create and not there:
                self._make()
            self.db = sqlite3.connect(str(path) if there or create else ":memory:", isolation_level=None)
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._fault(f"is no state of an import ({error})") from None
        except OSError as error:
            self.close()
            raise self._fault(f"cannot be written: {error.strerror}") from None
        except BaseException:
            self.close()
            raise
        self._search, self._walk = self.db.cursor(), self.db.cursor()
        self._ahead: tuple[str, int, bytes, bytes, int] | None = None
        salt = self.get("salt")
        assert isinstance(salt, bytes)
        self.salt = salt

    def close(self) -> None:
        """Close the file and let others use it."""
        if hasattr(self, "db"):
            self.db.close()
        if self._lock is not None:
            self._lock.close()

    def get(self, name: str) -> object:
        """Return what is stored under a name, None if nothing is."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def set(self, name: str, value: object) -> None:
        """Store a value under a name; within a transaction, where one is open."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def serial(self) -> int:
        """Return how many snapshots were taken."""
        found = self.get("serial")
        assert isinstance(found, int)
        return found

    @property
    def layouts(self) -> list[list[str]]:
        """Return the lists of columns of which cells are remembered; each ticket's cells say which of the lists is theirs."""
        return list(orjson.loads(str(self.get("layouts"))))

    def check_mapping(self, name: str, keys: list[str]) -> None:
        """Raise ImportFault where the state is of another mapping's tickets, or knows them by another key."""
        found = self.get("mapping")
        if found is None:
            return
        if found != name:
            raise self._fault(f"belongs to the mapping {found!r}, not {name!r}: each mapping needs a state of its own")
        known_by = ", ".join(orjson.loads(str(self.get("keys"))))
        if known_by != ", ".join(keys):
            raise self._fault(f"knows its tickets by {known_by}, the mapping by another `key`: begin a new state")

    def known(self, key: str) -> Known | None:
        """Return a ticket as it was last seen.

        Exports are mostly sorted by the ticket's number: so the tickets are walked along with the questions, and only what does not
        stand there is searched for. The state must not change in between; `rewind` begins anew.
        """
        ahead = self._ahead
        while ahead is not None and ahead[0] < key:
            ahead = self._walk.fetchone()
        self._ahead = ahead
        if ahead is not None and ahead[0] == key:
            self._ahead = self._walk.fetchone()
            return ahead[1:]
        found: Known | None = self._search.execute(_KNOWN, (key,)).fetchone()
        return found

    def rewind(self) -> None:
        """Begin to walk the tickets, from the first one on."""
        self._ahead = self._walk.execute(_ALL).fetchone()

    def halt(self) -> None:
        """End the walk: the state may change again."""
        self._walk.close()
        self._walk, self._ahead = self.db.cursor(), None

    def count(self) -> int:
        """Return how many tickets were in the last snapshot."""
        found = self.db.execute("SELECT count(*) FROM tickets WHERE gone = 0").fetchone()[0]
        assert isinstance(found, int)
        return found

    def numbers_max(self) -> int:
        """Return the largest number of a ticket, 0 if there is none."""
        return self.db.execute("SELECT max(n) FROM tickets").fetchone()[0] or 0

    def missing(self, seen: bytearray) -> Iterator[tuple[str, bytes]]:
        """Yield (key, remembered cells) of the tickets of the last snapshot whose bit in `seen` is not set."""
        for key, n, cells in self.db.execute("SELECT key, n, cells FROM tickets WHERE gone = 0"):
            if not seen[n >> 3] >> (n & 7) & 1:
                yield key, cells

    def is_done(self, sha256: str) -> DoneFile | None:
        """Return what is known of a file with this content, None if it was not imported."""
        row = self.db.execute("SELECT * FROM files WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else DoneFile(*row)

    def add_done(self, done: DoneFile) -> None:
        """Record that a file was imported; it is on the disk when this returns."""
        self.db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", done)

    def row_digest(self, layout: int, cells: list[str]) -> bytes:
        """Return a digest by which a row is seen to have changed, or to be remembered in another way."""
        return blake2b(orjson.dumps([layout, cells]), digest_size=16, key=self.salt).digest()

    def seal(self, cell: str) -> str:
        """Return what is remembered of a cell of which only the equality counts; an empty one stays empty."""
        return cell and blake2b(cell.encode(), digest_size=9, key=self.salt).hexdigest()

    def _locked(self) -> IO[bytes]:
        lock = Path(f"{self.path}.lock").open("ab")  # noqa: SIM115 - held until the state is closed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise self._fault("is in use by another import: wait for it to end") from None
        return lock

    def _make(self) -> None:
        """Make an empty state, whole or not at all: one that is cut short would be refused ever after."""
        fresh = Path(f"{self.path}.new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # it holds what identifies tickets
        self.db = sqlite3.connect(str(fresh), isolation_level=None)
        self._prepare()
        self.db.close()
        fresh.rename(self.path)

    def _prepare(self) -> None:
        self.db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self.db.execute("PRAGMA synchronous = FULL")
        if self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            self.db.executescript(f"BEGIN; {_TABLES}")
            first = {"version": VERSION, "serial": 0, "layouts": "[]"}
            for name, value in {**first, "salt": secrets.token_bytes(32), "identity": secrets.token_hex(8)}.items():
                self.set(name, value)
            self.db.execute("COMMIT")
        if self.get("version") != VERSION:
            raise self._fault("was written by another version: import the last snapshot into a new one with --baseline")

    def _fault(self, problem: str) -> ImportFault:
        return ImportFault(f"state {self.path} {problem}")
