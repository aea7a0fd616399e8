"""Keeps the reference tables of hw.reference in a worker's memory: whole before the first event, then followed.

A thread of its own reads. What it decoded is applied under a lock, some hundred rows at a time, and intake looks under the same lock: an
event sees each row before or after a change, and the table's version that belongs to it. Where the topic cannot be followed it is read
again from its beginning into new tables; the old ones stay in force until that is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from models.reference import ROWS_MAX
from rules.event import Event
from rules.reference import Reference
from rules.sealing import Posts
from streams.reference_log import (
    READ_SECONDS,
    Change,
    ClusterUnreachableError,
    ReferenceLog,
    ReferenceUnreadableError,
    change_of,
)

log = logging.getLogger(__name__)

POLL_MS = 200
APPLY_ROWS = 200
LOOK_SECONDS = 5.0
RETRY_SECONDS = 2.0


@dataclass
class FeedState:
    """How far the feed is, and what is in force."""

    changes: int = 0
    """rows taken or deleted since the start"""
    refused: int = 0
    """records that are no rows of ours"""
    lag: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """by table"""
    problem: str | None = None


class ReferenceFeed:
    """The tables, and the thread that feeds them. Empty until it is started."""

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        die: Callable[[BaseException], object],
        *,
        rows_max: int = ROWS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`die` is told of what makes the tables too large while the worker runs; `clock` gives seconds that never go back."""
        self._servers, self._topic, self._die = bootstrap_servers, topic, die
        self._rows_max, self._clock = rows_max, clock
        self._lock = threading.Lock()
        self._tables = Reference()
        self._stopping = threading.Event()
        self._whole = threading.Event()
        self._failure: Exception | None = None
        self._changes = self._refused = self._lag = 0
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="reference-feed", daemon=True)

    # -- what intake asks

    def enrich(self, event: Event) -> Event:
        """Return the event with what the tables say of it."""
        with self._lock:
            return self._tables.enrich(event)

    def posts(self, own: Posts) -> Posts:
        """Return the installation's own posts and the table's."""
        with self._lock:
            return self._tables.posts(own)

    def state(self) -> FeedState:
        """Return how far it is; from any thread."""
        with self._lock:
            rows = {name.value: table.count for name, table in self._tables.tables.items()}
        return FeedState(self._changes, self._refused, self._lag, rows, self._problem)

    # -- the thread

    def start(self, timeout_seconds: float = READ_SECONDS) -> None:
        """Begin to read, and return when the whole topic is in memory. Raises ClusterUnreachableError, ReferenceUnreadableError."""
        began = self._clock()
        self._thread.start()
        if not self._whole.wait(timeout_seconds):
            self._stopping.set()
            raise ReferenceUnreadableError(f"{self._topic} was not read to its end in {timeout_seconds:g} s")
        if self._failure is not None:
            raise self._failure
        said = ", ".join(self._tables.versions.values()) or "no rows"
        log.info("reference data read in %.1f s: %d rows, %s", self._clock() - began, self._tables.rows, said)

    def stop(self, timeout_seconds: float = 15.0) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
            except Exception as error:
                if not self._whole.is_set():
                    self._failure = _told(error, self._topic)
                    self._whole.set()
                    return
                if isinstance(error, _TooManyRowsError):
                    self._die(error)
                    return
                self._fails(type(error).__name__)
            self._stopping.wait(RETRY_SECONDS)

    def _session(self) -> None:
        topic = ReferenceLog(self._servers, self._topic)
        try:
            tables = Reference()
            for rows in topic.to_end():
                if self._stopping.is_set():
                    return
                self._apply(tables, [change_of(row) for row in rows])
            with self._lock:
                self._tables = tables
            self._whole.set()
            self._problem = None
            self._follow(topic, tables)
        finally:
            topic.close()

    def _follow(self, topic: ReferenceLog, tables: Reference) -> None:
        looked_at = self._clock()
        before = dict(tables.versions)
        while not self._stopping.is_set():
            rows = topic.more(POLL_MS)
            changes = [change_of(row) for row in rows]
            for start in range(0, len(changes), APPLY_ROWS):
                self._apply(tables, changes[start : start + APPLY_ROWS])
            if not rows and tables.versions != before:
                before = dict(tables.versions)
                log.info("reference data changed: %d rows, %s", tables.rows, ", ".join(before.values()) or "no rows")
            if self._clock() - looked_at >= LOOK_SECONDS:
                looked_at = self._clock()
                self._lag = topic.lag()

    def _apply(self, tables: Reference, changes: Iterable[Change | None]) -> None:
        with self._lock:
            for change in changes:
                self._changes += 1
                if change is None or change.refused:
                    self._refused += 1
                if change is None:
                    continue
                if change.record is None:
                    tables.remove(change.table, change.key, change.valid_from)
                else:
                    tables.put(change.record)
            rows = tables.rows
        if rows > self._rows_max:
            raise _TooManyRowsError(
                f"{self._topic} holds more than {self._rows_max} rows, which a worker would hold in memory: "
                "import smaller tables with `hotline-watch import FILE --mapping … --snapshot`, which deletes what is not in them"
            )

    def _fails(self, why: str) -> None:
        if self._problem is None:
            log.warning("reference data are not followed (%s): what was read stays in force, trying again", why)
        self._problem = f"{self._topic} is not followed ({why}): reference data may be out of date"


class _TooManyRowsError(ReferenceUnreadableError):
    """The tables would not fit."""


def _told(error: Exception, topic: str) -> Exception:
    if isinstance(error, ClusterUnreachableError):
        return error
    return ReferenceUnreadableError(f"{topic} cannot be read: {type(error).__name__}: check the brokers")
