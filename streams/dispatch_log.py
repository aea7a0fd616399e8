"""Reads hw.deliveries to its present end: where each delivery stands. Synchronous (kafka-python): never on an event loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kafka.errors import KafkaError
from pydantic import ValidationError

from models.delivery import DeliveryRecord, DeliveryStatus
from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaConsumer, TopicPartition

READ_SECONDS = 60.0


class DeliveriesUnreadableError(Exception):
    """The topic is missing, or could not be read to its end."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one delivery stands, and which one it waits behind, if it is not the first of its case."""

    record: DeliveryRecord
    behind: int | None = None
    """The delivery_sequence of the first undelivered one of the case."""

    @property
    def why(self) -> str:
        """Return in a few words why the delivery is where it is."""
        record = self.record
        if record.status is DeliveryStatus.DELIVERED:
            return "accepted"
        if self.behind is not None:
            return f"waits behind number {self.behind} of its case"
        if record.status is DeliveryStatus.DISABLED:
            return "the endpoint answered 410 Gone: change its entry or raise its revision"
        if record.outcome is None:
            return "not tried yet"
        status = f" ({record.http_status})" if record.http_status is not None else ""
        last = f"last attempt: {record.outcome}{status}"
        return f"{last}; the schedule is used up" if record.status is DeliveryStatus.EXHAUSTED else last


def read_standings(bootstrap_servers: str, topic: str, timeout_seconds: float = READ_SECONDS) -> list[Standing]:
    """Return where each delivery stands, by subscriber, case and number.

    Raises ClusterUnreachableError, DeliveriesUnreadableError.
    """
    with connect(bootstrap_servers):
        pass  # says in plain words where nobody answers
    try:
        last = {record.key: record for record in _records(bootstrap_servers, topic, timeout_seconds)}
    except KafkaError as error:
        raise DeliveriesUnreadableError(f"{topic} cannot be read: {type(error).__name__}") from error
    return standings(last.values())


def standings(records: Iterable[DeliveryRecord]) -> list[Standing]:
    """Return where deliveries stand, given the last record of each."""
    ordered = sorted(records, key=lambda record: (record.subscriber, record.case_id, record.delivery_sequence))
    first: dict[tuple[str, str], int] = {}
    for record in ordered:
        if record.status is not DeliveryStatus.DELIVERED:
            first.setdefault((record.subscriber, record.case_id), record.delivery_sequence)
    found = []
    for record in ordered:
        head = first.get((record.subscriber, record.case_id))
        waits = record.status is not DeliveryStatus.DELIVERED and head != record.delivery_sequence
        found.append(Standing(record, head if waits else None))
    return found


def _records(bootstrap_servers: str, topic: str, timeout_seconds: float) -> Iterator[DeliveryRecord]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","),
        group_id=None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
    )
    try:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise DeliveriesUnreadableError(f"there is no topic {topic}: create it with `hotline-watch topics create`")
        parts = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        deadline = time.monotonic() + timeout_seconds
        while any(consumer.position(part) < ends[part] for part in parts):
            if time.monotonic() > deadline:
                raise DeliveriesUnreadableError(f"{topic} was not read to its end in {timeout_seconds:g} s")
            for batch in consumer.poll(timeout_ms=500).values():
                yield from _decoded(batch)
    finally:
        consumer.close()


def _decoded(batch: Iterable[object]) -> Iterator[DeliveryRecord]:
    for record in batch:
        try:
            yield DeliveryRecord.model_validate_json(getattr(record, "value", None) or b"")
        except ValidationError:
            continue  # the dispatch worker quarantines it


__all__ = ["ClusterUnreachableError", "DeliveriesUnreadableError", "Standing", "read_standings", "standings"]
