"""The events of a snapshot that are on their way, with the state that holds once they have arrived.

1. The difference is written into a file of its own. When it is whole and on the disk it gets its name, `STATE.pending`.
2. Its events are sent, and every one is acknowledged.
3. One transaction takes its rows over into the state; then the file is removed.

A crash during 1 has sent nothing. After 1 the next run, whatever file it is given, first sends the very same events again:
same bytes, same ids, so those that had arrived have no second effect. After 3 the serial number says that it is done.
"""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import orjson

from streams.importing.events import Produced
from streams.importing.faults import ImportFault
from streams.importing.state import ImportState

_CACHE_KIB = 49_152
_BATCH = 2_000
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE rows (key TEXT PRIMARY KEY, n INTEGER, digest BLOB, cells BLOB) WITHOUT ROWID;
CREATE TABLE gone (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE events (instant INTEGER, ticket TEXT, body BLOB);
"""


class Pending:
    """A difference, being written or waiting to be sent. Raises ImportFault where there is no room for it."""

    def __init__(self, state: ImportState, db: sqlite3.Connection, path: Path | None) -> None:
        self._state, self._db, self._path = state, db, path
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._rows: dict[str, tuple[str, int | None, bytes, bytes]] = {}
        self._events: list[tuple[int, str, bytes]] = []

    @classmethod
    def begin(cls, state: ImportState, *, keep: bool) -> Self:
        """Begin to write one; with `keep` false it is never put in place (a dry run)."""
        path = Path(f"{state.path}.building") if keep else None
        if path is not None:
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # events hold what identifies citizens
        db = sqlite3.connect("" if path is None else str(path), isolation_level=None)
        db.execute("PRAGMA journal_mode = OFF")  # before it has its name, it is nothing
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(_TABLES)
        db.execute("BEGIN")
        return cls(state, db, path)

    @classmethod
    def waiting(cls, state: ImportState) -> Self | None:
        """Return the one that an earlier run left to be sent, None if there is none. Raises ImportFault where it is of another state."""
        path = Path(f"{state.path}.pending")
        if not path.exists():
            return None
        found = cls(state, sqlite3.connect(str(path), isolation_level=None), path)
        try:
            identity, serial = found.get("identity"), found.get("serial")
        except sqlite3.DatabaseError:
            identity, serial = None, 0
        if identity == state.get("identity") and isinstance(serial, int) and serial <= state.serial:
            found.discard()
            return None
        if identity != state.get("identity") or serial != state.serial + 1:
            found.close()
            raise ImportFault(
                f"{path} does not belong to {state.path}: put the state back that it belongs to, or move it away"
            )
        return found

    def get(self, name: str) -> Any:
        """Return what is stored under a name, None if nothing is."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def add_row(self, key: str, n: int | None, digest: bytes, cells: bytes) -> None:
        """Keep what a ticket looks like now; `n` is its number where it has one."""
        self._rows[key] = (key, n, digest, cells)
        if len(self._rows) >= _BATCH:
            self._write()

    def add_gone(self, key: str) -> None:
        """Keep that a ticket is missing."""
        self._db.execute("INSERT INTO gone VALUES (?)", (key,))

    def add_events(self, events: list[Produced]) -> None:
        """Keep events to send."""
        self._events += [(one.instant, one.ticket_id, one.body) for one in events]
        if len(self._events) >= _BATCH:
            self._write()

    def claim_ids(self, events: list[Produced]) -> bool:
        """Take the events' ids; return False, and take none, where one is taken already."""
        ids = {one.event_id for one in events}
        if len(ids) != len(events):
            return False
        marks = ",".join("?" * len(ids))
        if self._db.execute(f"SELECT 1 FROM ids WHERE id IN ({marks}) LIMIT 1", [*ids]).fetchone():  # noqa: S608 - only marks
            return False
        self._db.executemany("INSERT INTO ids VALUES (?)", [(one,) for one in ids])
        return True

    def digest_of(self, key: str) -> bytes | None:
        """Return the digest of the row that was kept for a key, None if none was."""
        waiting = self._rows.get(key)
        if waiting is not None:
            return waiting[2]
        row = self._db.execute("SELECT digest FROM rows WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def seal(self, meta: dict[str, object]) -> None:
        """Put it in its place: from now on it is to be sent. `meta` is what the state is told of the snapshot."""
        self._write()
        stored = {**meta, "identity": self._state.get("identity"), "serial": self._state.serial + 1}
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", list(stored.items()))
        self._db.execute("DELETE FROM ids")
        self._db.execute("COMMIT")
        if self._path is None:
            return
        self._db.close()
        _sync(self._path)
        final = Path(f"{self._state.path}.pending")
        self._path.replace(final)
        _sync(final.parent)
        self._path = final
        self._db = sqlite3.connect(str(final), isolation_level=None)

    def events_by_time(self) -> Iterator[tuple[str, bytes]]:
        """Yield (ticket id, event) in the order of time; those of one instant as they came."""
        yield from self._db.execute("SELECT ticket, body FROM events ORDER BY instant, rowid")

    def apply(self) -> None:
        """Take its rows over into the state: all its events have arrived."""
        self._db.close()
        db = self._state.db
        db.execute("ATTACH ? AS pending", (str(self._path),))
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "INSERT OR REPLACE INTO tickets SELECT key, n, digest, cells, 0 FROM pending.rows WHERE n IS NOT NULL"
            )
            db.execute(
                "INSERT INTO tickets SELECT key, ? + row_number() OVER (ORDER BY key), digest, cells, 0"
                " FROM pending.rows WHERE n IS NULL",
                (self._state.numbers_max(),),
            )
            db.execute("UPDATE tickets SET gone = 1 WHERE key IN (SELECT key FROM pending.gone)")
            db.execute("INSERT OR REPLACE INTO meta SELECT name, value FROM pending.meta WHERE name <> 'done'")
            done = db.execute("SELECT value FROM pending.meta WHERE name = 'done'").fetchone()
            if done is not None:
                db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", orjson.loads(done[0]))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        finally:
            db.execute("DETACH pending")
        self.discard()

    def discard(self) -> None:
        """Remove it: it is done, or was never put in its place."""
        self._db.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            _sync(self._path.parent)

    def close(self) -> None:
        """Leave it for the next run, if it has its place; else remove it."""
        if self._path is not None and self._path.suffix == ".building":
            self.discard()
        else:
            self._db.close()

    def _write(self) -> None:
        if self._rows:
            self._db.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", list(self._rows.values()))
            self._rows.clear()
        if self._events:
            self._db.executemany("INSERT INTO events VALUES (?, ?, ?)", self._events)
            self._events.clear()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
