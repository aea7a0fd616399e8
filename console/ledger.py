"""The ledger: what hw.alerts, hw.deliveries and hw.decisions hold, in one SQLite file, to be asked. A read model.

Rules:
1. A record and the offset after it are written in one transaction, and a record below the stored offset is not taken
   again: after kill -9 at any point the ledger is what the topics say up to its offsets.
2. It holds nothing of its own: a ledger begun again from the topics gives the same answers.
3. A puller sees a partition only up to `readable`. hw.deliveries is compacted: while it is being read, a delivery of
   position 4 may stand behind one of position 9, and whoever saw 9 would never ask for 4 again. So `mark` is called
   when hw.deliveries was read to its end, `open_marked` when hw.alerts, read later, holds what those deliveries are about.

One thread writes; any thread reads, each answer from one snapshot.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pydantic import ValidationError

from console.ledger_pages import Page, read_page
from console.ledger_schema import CONTENT_TABLES, LedgerError, open_file, reading
from models.alert import Alert
from models.decision import DecisionRecord
from models.delivery import DeliveryKind, DeliveryRecord
from models.redelivery import RedeliveryKind, RedeliveryRequest
from models.times import parse_instant

LEDGER_FILE = "ledger.sqlite"


class Source(StrEnum):
    """The topics that feed the ledger."""

    ALERTS = "alerts"
    DELIVERIES = "deliveries"
    DECISIONS = "decisions"
    REDELIVERIES = "redeliveries"
    """Of drills alone: their made-up alerts are nowhere else."""


class Ledger:
    """The ledger in one file. Raises LedgerError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = open_file(path)
        self._lock = threading.RLock()
        self._in_transaction = False
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            self._writer.close()
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    # --- writing ---

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make everything inside one transaction; an exception takes it back."""
        with self._lock:
            if self._in_transaction:
                yield self._writer
                return
            self._writer.execute("BEGIN IMMEDIATE")
            self._in_transaction = True
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # a commit that fails may have ended it
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._in_transaction = False

    def apply(self, source: Source, partition: int, offset: int, value: bytes | None) -> None:
        """Take one record; one that was taken before changes nothing, one that cannot be read is counted."""
        with self.writing() as db:
            found = db.execute(
                "SELECT next FROM offsets WHERE source = ? AND partition = ?", (source, partition)
            ).fetchone()
            if found is not None and offset < found[0]:
                return
            try:
                _TAKERS[source](db, partition, offset, value or b"")
                unreadable = 0
            except (ValidationError, OverflowError):  # an integer beyond what SQLite holds
                unreadable = 1
            db.execute(
                "INSERT INTO offsets (source, partition, next, unreadable) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " next = excluded.next, unreadable = unreadable + excluded.unreadable",
                (source, partition, offset + 1, unreadable),
            )

    def mark(self) -> None:
        """Say that hw.deliveries was read to its end."""
        with self.writing() as db:
            db.execute("UPDATE lanes SET marked = newest WHERE marked <> newest")

    def open_marked(self) -> None:
        """Say that the alerts of all marked deliveries are there: pullers may see them."""
        with self.writing() as db:
            db.execute("UPDATE lanes SET readable = marked WHERE readable <> marked")

    def next_offsets(self) -> dict[tuple[Source, int], int]:
        """Return the offset of the record that each partition goes on with."""
        rows = self._rows("SELECT source, partition, next FROM offsets")
        return {(Source(source), partition): offset for source, partition, offset in rows}

    def topic_ids(self) -> dict[Source, str]:
        """Return which topics, told apart by Kafka's own ids, the ledger was read from."""
        return {Source(source): topic_id for source, topic_id in self._rows("SELECT source, topic_id FROM topics")}

    def begin_again(self, topic_ids: Mapping[Source, str]) -> None:
        """Forget everything, to be read from these topics."""
        with self.writing() as db:
            for table in CONTENT_TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            rows = [(source.value, topic_id) for source, topic_id in topic_ids.items()]
            db.executemany("INSERT INTO topics (source, topic_id) VALUES (?, ?)", rows)

    # --- asking ---

    def page(self, subscriber: str, after: Mapping[int, int], limit: int) -> Page:
        """Return the next deliveries of a subscriber after a position of each partition."""
        with self._snapshot() as db:
            return read_page(db, subscriber, after, limit)

    def alert(self, alert_id: str) -> Alert | None:
        """Return an alert by its id, None where it is not known (or not any longer)."""
        rows = self._rows("SELECT json FROM alerts WHERE alert_id = ?", (alert_id,))
        return Alert.model_validate_json(rows[0][0]) if rows else None

    def alerts(self, alert_ids: Iterable[str]) -> Iterator[Alert]:
        """Yield those of the alerts that are known."""
        for alert_id in alert_ids:
            found = self.alert(alert_id)
            if found is not None:
                yield found

    def decisions(self, alert_id: str) -> list[DecisionRecord]:
        """Return what was decided about an alert, the oldest first."""
        rows = self._rows(
            "SELECT json FROM decisions WHERE alert_id = ? ORDER BY decided_at, partition, position", (alert_id,)
        )
        return [DecisionRecord.model_validate_json(row[0]) for row in rows]

    def deliveries(self, alert_id: str) -> list[DeliveryRecord]:
        """Return where the deliveries of an alert stand, the first queued first."""
        rows = self._rows(
            "SELECT json FROM deliveries WHERE alert_id = ? ORDER BY enqueued_at, subscriber, mark", (alert_id,)
        )
        return [DeliveryRecord.model_validate_json(row[0]) for row in rows]

    def attempted(
        self,
        *,
        subscriber: str | None = None,
        alert_id: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int,
    ) -> list[DeliveryRecord]:
        """Return deliveries by the instant of their last attempt, at most `limit`: what a replay chooses from.

        `since` is inclusive, `until` exclusive, in microseconds; drills and replays are left out.
        """
        conditions = ["status = 'delivered'", "kind NOT IN (?, ?)"]
        values: list[Any] = [DeliveryKind.DRILL, DeliveryKind.REPLAY]
        for condition, value in (
            ("subscriber = ?", subscriber),
            ("alert_id = ?", alert_id),
            ("last_attempt_at >= ?", since),
            ("last_attempt_at < ?", until),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        where = " AND ".join(conditions)
        rows = self._rows(
            f"SELECT json FROM deliveries WHERE {where} ORDER BY last_attempt_at LIMIT ?",  # noqa: S608 - of our own texts
            (*values, limit),
        )
        return [DeliveryRecord.model_validate_json(row[0]) for row in rows]

    def unreadable(self) -> dict[Source, int]:
        """Return how many records of each topic could not be read."""
        found = dict.fromkeys(Source, 0)
        for source, count in self._rows("SELECT source, SUM(unreadable) FROM offsets GROUP BY source"):
            found[Source(source)] = count
        return found

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._snapshot() as db:
            return db.execute(sql, values).fetchall()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = reading(self.path)
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._idle.put(connection)


def _take_alert(db: sqlite3.Connection, _partition: int, _offset: int, value: bytes) -> None:
    alert = Alert.model_validate_json(value)
    # A version may be issued once more, to be pushed now that its ticket is no longer history: the last one stands.
    db.execute(
        "INSERT OR REPLACE INTO alerts (alert_id, case_id, raised_at, json) VALUES (?, ?, ?, ?)",
        (alert.alert_id, alert.case_id, parse_instant(alert.raised_at), value),
    )


def _take_redelivery(db: sqlite3.Connection, _partition: int, _offset: int, value: bytes) -> None:
    request = RedeliveryRequest.model_validate_json(value)
    if request.kind is RedeliveryKind.DRILL:
        alert = request.alert
        db.execute(
            "INSERT OR REPLACE INTO drills (alert_id, json) VALUES (?, ?)",
            (alert.alert_id, alert.model_dump_json().encode()),
        )


def _take_decision(db: sqlite3.Connection, partition: int, offset: int, value: bytes) -> None:
    record = DecisionRecord.model_validate_json(value)
    db.execute(
        "INSERT OR REPLACE INTO decisions (partition, position, alert_id, case_id, decided_at, json) VALUES (?, ?, ?, ?, ?, ?)",
        (partition, offset, record.alert_id, record.case_id, parse_instant(record.decided_at), value),
    )


def _take_delivery(db: sqlite3.Connection, partition: int, _offset: int, value: bytes) -> None:
    record = DeliveryRecord.model_validate_json(value)
    row = {
        "subscriber": record.subscriber,
        "alert_id": record.alert_id,
        "mark": record.mark,
        "partition": partition,
        "position": record.position,
        "kind": record.kind.value,
        "case_id": record.case_id,
        "delivery_sequence": record.delivery_sequence,
        "status": record.status.value,
        "outcome": record.outcome.value if record.outcome is not None else None,
        "http_status": record.http_status,
        "attempts": record.attempts,
        "enqueued_at": parse_instant(record.enqueued_at),
        "last_attempt_at": _instant(record.last_attempt_at),
        "next_attempt_at": _instant(record.next_attempt_at),
        "json": value,
    }
    names = ", ".join(row)
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT OR REPLACE INTO deliveries ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608
    if record.position:
        db.execute(
            "INSERT INTO lanes (subscriber, partition, newest) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
            " newest = MAX(newest, excluded.newest)",
            (record.subscriber, partition, record.position),
        )


def _instant(time: str | None) -> int | None:
    return None if time is None else parse_instant(time)


_TAKERS = {
    Source.ALERTS: _take_alert,
    Source.DELIVERIES: _take_delivery,
    Source.DECISIONS: _take_decision,
    Source.REDELIVERIES: _take_redelivery,
}


__all__ = ["LEDGER_FILE", "Ledger", "LedgerError", "Page", "Source"]
