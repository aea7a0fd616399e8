"""A subscriber's positions in one partition: 1, 2, 3 … in the order in which its deliveries were queued there.

Who pulls (`GET /v1/alerts?after=`) goes by positions and never looks back. So the first record of every position must
come to hw.deliveries before that of any later one, after a crash too: state is made durable first, then the records, and
the state says up to where the records were acknowledged when it was written. What is queued beyond that is written
again when a partition is recovered, before anything is numbered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from alerting.outbox_state import CaseOutbox, Item
from alerting.record import queued_record
from models.delivery import DeliveryRecord

_POSITION = b"p\0"


class Reader(Protocol):
    """The part of a table that is read here."""

    def get(self, partition: int, key: bytes) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Position:
    """How far a subscriber is."""

    last: int = 0
    confirmed: int = 0
    """Up to here the records are known to be on hw.deliveries."""

    def encode(self) -> bytes:
        """Return the table's value."""
        return f"{self.last} {self.confirmed}".encode()


def position_key(subscriber: str) -> bytes:
    """Return the table's key of a subscriber's position in this partition."""
    return _POSITION + subscriber.encode()


def read_position(table: Reader, partition: int, subscriber: str) -> Position:
    """Return a subscriber's position in a partition; a value that says nothing of records (the first version's) has
    none confirmed.
    """
    last, _, confirmed = (table.get(partition, position_key(subscriber)) or b"0").partition(b" ")
    return Position(int(last), int(confirmed or 0))


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A queued delivery whose record may not have been written."""

    case_id: str
    subscriber: str
    item: Item

    def record(self) -> DeliveryRecord:
        """Return the record of it as it stands."""
        return queued_record(self.case_id, self.subscriber, self.item)


class Confirmed:
    """What is known of one partition's records when it is recovered."""

    def __init__(self, table: Reader, partition: int) -> None:
        self._table, self._partition = table, partition
        self._up_to: dict[str, int] = {}

    def unwritten_of(self, state: CaseOutbox) -> Iterator[Unwritten]:
        """Yield what is queued of a case beyond what is confirmed of each subscriber's records."""
        for name, lane in state.lanes.items():
            if lane.queue and name not in self._up_to:
                self._up_to[name] = read_position(self._table, self._partition, name).confirmed
            for item in lane.queue:
                if item.position > self._up_to[name]:
                    yield Unwritten(state.case_id, name, item)
