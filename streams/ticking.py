"""Ticks from outside: recorded time moves in every partition."""

import json
from collections.abc import Iterable
from typing import Any

from kafka.errors import KafkaError

from rules.messages import TickMessage, encode
from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaProducer
from streams.roles import Grant, Operation, Resource
from streams.routes import partition_of
from streams.topics import TopicSet


def send_ticks(bootstrap_servers: str, topics: TopicSet, instant: int) -> None:
    """Send a tick to every partition and wait for the broker. Raises ClusterUnreachableError."""
    producer = plain_producer(bootstrap_servers, topics.tickets)
    try:
        sent = [
            producer.send(topics.tickets, key=b"tick", value=encode(TickMessage(instant)), partition=partition)
            for partition in range(topics.partitions)
        ]
        for future in sent:
            future.get(timeout=30)
    finally:
        producer.close()


def send_events(bootstrap_servers: str, topics: TopicSet, events: Iterable[dict[str, Any]]) -> int:
    """Send ticket events, keyed by ticket, and wait for the broker; return their number. Raises ClusterUnreachableError."""
    producer = plain_producer(bootstrap_servers, topics.ticket_events)
    try:
        sent = [
            producer.send(
                topics.ticket_events,
                key=event["ticket_id"].encode(),
                value=json.dumps(event, ensure_ascii=False).encode(),
                partition=partition_of(event["ticket_id"], topics.partitions),
            )
            for event in events
        ]
        for future in sent:
            future.get(timeout=30)
        return len(sent)
    finally:
        producer.close()


def plain_producer(bootstrap_servers: str, topic: str, **settings: Any) -> KafkaProducer:
    """Return a producer for a topic that waits for all replicas. Raises ClusterUnreachableError."""
    with connect(bootstrap_servers, needs=(Grant(Resource.TOPIC, topic, Operation.WRITE),)):
        pass  # says in plain words where nobody answers, and where we may not write
    try:
        return KafkaProducer(
            bootstrap_servers=bootstrap_servers, acks="all", linger_ms=5, request_timeout_ms=30_000, **settings
        )
    except KafkaError as error:
        raise ClusterUnreachableError(bootstrap_servers, type(error).__name__) from None
