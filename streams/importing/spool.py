"""Rows on disk, sorted by key and order, so that memory does not grow with the file.

A private temporary SQLite database (it has no name and goes away by itself) whose cache is bounded. It holds only the
columns that the mapping reads.
"""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import orjson

_CACHE_KIB = 49_152  # each of its sorts takes as much again
_BATCH = 1_000


class SpooledRow(NamedTuple):
    """One row: the `line` where it starts, its place in the key's `order`, and its cells."""

    line: int
    order: int | str
    cells: list[str]


class Spool:
    """Takes rows in any order, gives them by key; then events in any order, gives them by time."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE rows (key TEXT, place, line INTEGER, cells BLOB)")
        self._db.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, digest BLOB) WITHOUT ROWID")
        self._db.execute("CREATE TABLE events (instant INTEGER, ticket TEXT, body BLOB)")
        self._db.execute("BEGIN")  # never committed: a commit for each row would write it out each time
        self._waiting: list[tuple[str, int | str, int, bytes]] = []
        self._events: list[tuple[int, str, bytes]] = []

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def add(self, key: str, order: int | str, line: int, cells: list[str]) -> None:
        """Keep one row."""
        self._waiting.append((key, order, line, orjson.dumps(cells)))
        if len(self._waiting) >= _BATCH:
            self._write()

    def groups(self) -> Iterator[list[SpooledRow]]:
        """Yield the rows of each key in their order; the keys by their first line; rows that tie by line."""
        self._write()
        found = self._db.execute(
            "SELECT min(line) OVER (PARTITION BY key) AS first, line, place, cells FROM rows"
            " ORDER BY first, place, line"
        )
        for _, rows in groupby(found, key=itemgetter(0)):
            yield [SpooledRow(line, place, orjson.loads(cells)) for _, line, place, cells in rows]

    def claim_ids(self, ids: list[str]) -> bool:
        """Take the event ids; return False, and take none, where one is taken already."""
        if len(set(ids)) != len(ids):
            return False
        marks = ",".join("?" * len(ids))
        if self._db.execute(f"SELECT 1 FROM ids WHERE id IN ({marks}) LIMIT 1", ids).fetchone():  # noqa: S608 - only marks
            return False
        self._db.executemany("INSERT INTO ids (id) VALUES (?)", [(one,) for one in ids])
        return True

    def claim(self, event_id: str, digest: bytes) -> bytes | None:
        """Take an event id for content of this digest; return None, or the digest of the content that has it already."""
        if self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (event_id, digest)).rowcount:
            return None
        found: bytes = self._db.execute("SELECT digest FROM ids WHERE id = ?", (event_id,)).fetchone()[0]
        return found

    def tickets(self) -> int:
        """Return how many tickets the events are of."""
        self._write()
        found: int = self._db.execute("SELECT count(DISTINCT ticket) FROM events").fetchone()[0]
        return found

    def add_event(self, instant: int, ticket_id: str, body: bytes) -> None:
        """Keep an event until all are known."""
        self._events.append((instant, ticket_id, body))
        if len(self._events) >= _BATCH:
            self._write()

    def events_by_time(self) -> Iterator[tuple[str, bytes]]:
        """Yield (ticket id, event) in the order of time; those of one instant as they came."""
        self._write()
        yield from self._db.execute("SELECT ticket, body FROM events ORDER BY instant, rowid")

    def _write(self) -> None:
        self._db.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", self._waiting)
        self._waiting.clear()
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?)", self._events)
        self._events.clear()
