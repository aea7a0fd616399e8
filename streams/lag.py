"""What a consumer group has not acknowledged yet, asked from outside."""

import time
from collections.abc import Iterable

from streams.admin import connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.roles import Grant, Operation, Resource
from streams.topics import TopicSet


def lag_of(bootstrap_servers: str, group: str, topics: Iterable[str]) -> int:
    """Return how many records of the topics the group has not acknowledged. Raises ClusterUnreachableError."""
    topics = tuple(topics)
    needs = [Grant(Resource.TOPIC, topic, Operation.DESCRIBE) for topic in topics]
    with connect(bootstrap_servers, needs=(*needs, Grant(Resource.GROUP, group, Operation.DESCRIBE))) as admin:
        offsets = admin.list_group_offsets(group).get(group, {})
    done = {(part.topic, part.partition): max(entry.offset, 0) for part, entry in offsets.items()}
    ends = _ends(bootstrap_servers, topics)
    return sum(end - done.get(where, 0) for where, end in ends.items())


def _ends(bootstrap_servers: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    try:
        parts = [
            TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()
        ]
        return {(part.topic, part.partition): end for part, end in consumer.end_offsets(parts).items()}
    finally:
        consumer.close()


def wait_until_idle(bootstrap_servers: str, topics: TopicSet, *, timeout_seconds: float) -> bool:
    """Wait until the detection workers have nothing left to do; return whether they came to that."""
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    deadline = time.monotonic() + timeout_seconds
    quiet = 0
    while time.monotonic() < deadline:
        # Twice in a row: a record may be on its way from one topic to the next.
        quiet = quiet + 1 if lag_of(bootstrap_servers, topics.worker_app_id, watched) == 0 else 0
        if quiet == 2:
            return True
        time.sleep(0.3)
    return False
