"""Reads hw.reference from its beginning: to its present end, and what comes after. Synchronous (kafka-python): never on an event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from kafka.errors import KafkaError

from models.reference import ReferenceRecord, ReferenceTable, key_of, parts_of, read_record
from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.roles import Grant, Operation, Resource

__all__ = [
    "Change",
    "ClusterUnreachableError",
    "ReferenceLog",
    "ReferenceUnreadableError",
    "Row",
    "change_of",
    "read_rows",
]

POLL_RECORDS = 1_000
ASK_MS = 10_000
CONNECT_SECONDS = 10.0
READ_SECONDS = 600.0


class ReferenceUnreadableError(ClusterUnreachableError):
    """The topic is missing, cannot be read to its end, or holds more than a worker can; the message says what to do."""

    def __init__(self, told: str) -> None:
        Exception.__init__(self, told)


class Change(NamedTuple):
    """What a record on the topic does: a row is there now, or (`record` is None) it is not. `refused`: it could not be read."""

    table: ReferenceTable
    key: str
    valid_from: str | None
    record: ReferenceRecord | None
    refused: bool = False


class Row(NamedTuple):
    """A record as it lies on the topic."""

    key: bytes | None
    value: bytes | None


def change_of(row: Row) -> Change | None:
    """Return what a record does; None where its key is none of ours.

    A row that cannot be read is not there: so it is the same before and after the topic was compacted.
    """
    try:
        table, key, valid_from = parts_of(row.key)
    except Exception:  # whatever somebody wrote there
        return None
    if not row.value:
        return Change(table, key, valid_from, None)
    try:
        record = read_record(row.value)
        refused = key_of(record).encode() != row.key
    except Exception:
        refused = True
    return Change(table, key, valid_from, None if refused else record, refused)


class ReferenceLog:
    """A consumer without a group at the beginning of the topic. Raises ClusterUnreachableError, ReferenceUnreadableError, KafkaError."""

    def __init__(self, bootstrap_servers: str, topic: str, *, timeout_seconds: float = CONNECT_SECONDS) -> None:
        self._topic = topic
        needs = (Grant(Resource.TOPIC, topic, Operation.READ),)
        with connect(bootstrap_servers, timeout_seconds=timeout_seconds, needs=needs):
            pass  # says in plain words where nobody answers, and where we may not read
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=None,
            auto_offset_reset="none",  # a log that begins later, or ends before, is another one
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_poll_records=POLL_RECORDS,
        )
        try:
            numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise ReferenceUnreadableError(
                    f"there is no topic {topic}: create it with `hotline-watch topics create`"
                )
            self._parts = [TopicPartition(topic, number) for number in sorted(numbers)]
            self._consumer.assign(self._parts)
            begins = self._consumer.beginning_offsets(self._parts, timeout_ms=ASK_MS)
            for part in self._parts:
                self._consumer.seek(part, begins[part])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go."""
        self._consumer.close()

    def to_end(self, timeout_seconds: float = READ_SECONDS) -> Iterator[list[Row]]:
        """Yield all that is there now, each partition in its order."""
        ends = self._consumer.end_offsets(self._parts, timeout_ms=ASK_MS)
        deadline = time.monotonic() + timeout_seconds
        while any(self._position(part) < end for part, end in ends.items()):
            if time.monotonic() > deadline:
                raise ReferenceUnreadableError(
                    f"{self._topic} was not read to its end in {timeout_seconds:g} s: is Kafka busy, or the table too large?"
                )
            yield self.more(500)

    def more(self, timeout_ms: int) -> list[Row]:
        """Return what came since, after waiting for it a while."""
        batches = self._consumer.poll(timeout_ms=timeout_ms).values()
        return [Row(record.key, record.value) for batch in batches for record in batch]

    def lag(self) -> int:
        """Return how many records are not read yet."""
        ends = self._consumer.end_offsets(self._parts, timeout_ms=ASK_MS)
        return sum(max(0, end - self._position(part)) for part, end in ends.items())

    def _position(self, part: TopicPartition) -> int:
        return self._consumer.position(part, timeout_ms=ASK_MS) or 0


def read_rows(bootstrap_servers: str, topic: str, *, timeout_seconds: float = CONNECT_SECONDS) -> Iterator[Row]:
    """Yield every record that is on the topic now. Raises ClusterUnreachableError and ReferenceUnreadableError."""
    try:
        log = ReferenceLog(bootstrap_servers, topic, timeout_seconds=timeout_seconds)
        try:
            for rows in log.to_end():
                yield from rows
        finally:
            log.close()
    except KafkaError as error:
        raise ReferenceUnreadableError(f"{topic} cannot be read: {type(error).__name__}: check the brokers") from None
