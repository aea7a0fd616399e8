"""What a puller gets next: a page of one subscriber's deliveries, merged over the partitions, each in its order."""

import heapq
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from models.delivery import DeliveryRecord

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of alerts in a page; the one that goes beyond it is the last."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """One delivery and the alert it is about, as it stands on its topic; None where that is not kept any longer."""

    partition: int
    record: DeliveryRecord
    alert_json: bytes | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some deliveries and where to go on."""

    deliveries: tuple[Pulled, ...]
    next: Mapping[int, int]
    """Partition → the last position seen."""
    more: bool
    ahead: bool = False
    """The positions asked for are beyond what is known here: not read yet, or of topics that are gone."""


def read_page(db: sqlite3.Connection, subscriber: str, after: Mapping[int, int], limit: int) -> Page:
    """Return at most `limit` deliveries after the positions. Within a partition, and so within a case, by position."""
    lanes = dict(db.execute("SELECT partition, readable FROM lanes WHERE subscriber = ?", (subscriber,)).fetchall())
    if any(position > lanes.get(partition, 0) for partition, position in after.items()):
        return Page((), dict(after), more=False, ahead=True)
    waiting = [
        _lane(db, subscriber, partition, after.get(partition, 0), readable, limit + 1)
        for partition, readable in lanes.items()
        if readable > after.get(partition, 0)
    ]
    # Not a sort: of the partitions' next ones the one queued first goes first.
    merged = heapq.merge(*waiting, key=lambda row: (row[0], row[1].partition))
    taken: list[Pulled] = []
    following = dict(after)
    size = 0
    for _, pulled in merged:
        if len(taken) == limit or size > PAGE_BYTES_MAX:
            return Page(tuple(taken), following, more=True)
        taken.append(pulled)
        following[pulled.partition] = pulled.record.position
        size += len(pulled.alert_json or b"")
    return Page(tuple(taken), following, more=False)


def _lane(
    db: sqlite3.Connection, subscriber: str, partition: int, after: int, readable: int, limit: int
) -> Iterator[tuple[int, Pulled]]:
    rows = db.execute(
        "SELECT d.enqueued_at, d.json, COALESCE(a.json, r.json) FROM deliveries d"
        " LEFT JOIN alerts a ON a.alert_id = d.alert_id LEFT JOIN drills r ON r.alert_id = d.alert_id"
        " WHERE d.subscriber = ? AND d.partition = ? AND d.position > ? AND d.position <= ? AND d.position > 0"
        " ORDER BY d.position LIMIT ?",
        (subscriber, partition, after, readable, limit),
    )
    for enqueued_at, record, alert in rows:
        yield enqueued_at, Pulled(partition, DeliveryRecord.model_validate_json(record), alert)
