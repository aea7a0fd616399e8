"""Reads one topic from its beginning to its present end, for commands that list it. Synchronous (kafka-python): never on an event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator

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
    with connect(bootstrap_servers, needs=(Grant(Resource.TOPIC, topic, Operation.READ),)):
        pass  # says in plain words where nobody answers, and where we may not read
    try:
        yield from _values(bootstrap_servers, topic, timeout_seconds)
    except KafkaError as error:
        raise TopicUnreadableError(f"{topic} cannot be read: {type(error).__name__}") from error


def _values(bootstrap_servers: str, topic: str, timeout_seconds: float) -> Iterator[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
    )
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
                yield from (record.value or b"" for record in batch)
    finally:
        consumer.close()


__all__ = ["ClusterUnreachableError", "TopicUnreadableError", "read_values"]
