"""What a host wrote against what it should have written."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

from benchmarks.peers.job import Warned

POLL_MS = 500


class Compared(NamedTuple):
    """How a host's warnings differ from the right ones."""

    missing: int
    foreign: int
    doubled: int

    @property
    def equal(self) -> bool:
        """Return whether each warning is there and no other; one that is there twice is no difference under at least once."""
        return not (self.missing or self.foreign)

    def __str__(self) -> str:
        verdict = "equal" if self.equal else f"NOT EQUAL ({self.missing} missing, {self.foreign} that should not be)"
        return f"{verdict}, {self.doubled} doubled"


def compared(expected: Iterable[Warned], found: Iterable[Warned]) -> Compared:
    """Return how the found warnings differ from the expected ones, byte by byte."""
    right, counted = set(expected), Counter(found)
    return Compared(len(right - counted.keys()), len(counted.keys() - right), counted.total() - len(counted))


def read_warnings(bootstrap_servers: str, topic: str) -> list[Warned]:
    """Return every warning that is on the topic now."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
        allow_auto_create_topics=False,
    )
    try:
        parts = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        found: list[Warned] = []
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                found += [Warned(record.key or b"", record.value or b"") for record in records]
        return found
    finally:
        consumer.close()
