"""Reads one topic from its beginning to its present end, for commands that list it. Synchronous (kafka-python): never on an event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka.errors import KafkaError

from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.roles import Grant, Operation, Resource

READ_SECONDS = 60.0


class TopicUnreadableError(Exception):
    """The topic is missing, or could not be read to its end; the message says which and what to do."""


def read_values(bootstrap_servers: str, topic: str, timeout_seconds: float = READ_SECONDS) -> Iterator[bytes]:
    """Yield the value of every record that is in the topic now, each partition in its order; b"" for a record without one.

    Raises ClusterUnreachableError, TopicUnreadableError.
    """
    for record in read_records(bootstrap_servers, topic, timeout_seconds):
        yield record.value or b""


def read_records(bootstrap_servers: str, topic: str, timeout_seconds: float = READ_SECONDS) -> Iterator[Any]:
    """Yield every record that is in the topic now, each partition in its order: partition, offset, key, value.

    Raises ClusterUnreachableError, TopicUnreadableError.
    """
    with connect(bootstrap_servers, needs=(Grant(Resource.TOPIC, topic, Operation.READ),)):
        pass  # says in plain words where nobody answers, and where we may not read
    try:
        yield from _records(bootstrap_servers, topic, timeout_seconds)
    except KafkaError as error:
        raise TopicUnreadableError(f"{topic} cannot be read: {type(error).__name__}") from error


def _records(bootstrap_servers: str, topic: str, timeout_seconds: float) -> Iterator[Any]:
    consumer = plain_consumer(bootstrap_servers)
    try:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise TopicUnreadableError(f"there is no topic {topic}: create it with `hotline-watch topics create`")
        parts = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        deadline = time.monotonic() + timeout_seconds
        while any(consumer.position(part) < ends[part] for part in parts):
            if time.monotonic() > deadline:
                raise TopicUnreadableError(f"{topic} was not read to its end in {timeout_seconds:g} s")
            for batch in consumer.poll(timeout_ms=500).values():
                yield from batch
    finally:
        consumer.close()


def plain_consumer(bootstrap_servers: str) -> KafkaConsumer:
    """Return a consumer without a group, for `assign`; it commits nothing."""
    return KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
    )


__all__ = ["ClusterUnreachableError", "TopicUnreadableError", "plain_consumer", "read_records", "read_values"]
