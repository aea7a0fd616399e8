"""Compares the tables of a stopped process with their changelogs on Kafka. Synchronous (kafka-python): never on an event loop.

One partition at a time, each key and value as its hash: memory is bounded by the keys of the largest partition.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from kafka.errors import KafkaError
from kafka.structs import TopicPartition as Partition

from streams.admin import connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.roles import Grant, Operation, Resource
from streams.state_comparing import Comparison, compare, fold_changelog
from streams.state_disk import OFFSET_KEY, Database, databases_in, hash_of, held_still, read_database
from streams.topic_log import TopicUnreadableError
from streams.topics import TopicSet

#: By table, the first byte of each of its values: the worker skips records that lack it.
TYPES = {"tickets": 1, "citizens": 2, "dispatch": 3}
HEADER_BYTES = 2
IDLE_SECONDS = 60.0


class NoStateError(Exception):
    """There is no table to compare in the directory."""


def verify(bootstrap_servers: str, topics: TopicSet, data_dir: Path, tables: frozenset[str]) -> Iterator[Comparison]:
    """Yield what comes out for each database below a directory.

    Raises NoStateError, StateInUseError, StateUnreadableError, ClusterUnreachableError, TopicUnreadableError.
    """
    databases = databases_in(data_dir, tables)
    if not databases:
        raise NoStateError(f"{data_dir} holds no table {' or '.join(sorted(tables))}")
    names = {table: _changelog(topics, table) for table in {one.table for one in databases}}
    with held_still(databases):
        needs = [Grant(Resource.TOPIC, name, Operation.READ) for name in sorted(names.values())]
        with connect(bootstrap_servers, needs=needs):
            pass  # says in plain words where nobody answers, and where we may not read
        for one in databases:
            yield _compare(bootstrap_servers, names[one.table], one)


def _changelog(topics: TopicSet, table: str) -> str:
    name: str = getattr(topics, f"{table}_changelog")
    return name


def _compare(bootstrap_servers: str, topic: str, database: Database) -> Comparison:
    disk = read_database(database)
    part = TopicPartition(topic, database.partition)
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
    )
    try:
        if database.partition not in (consumer.partitions_for_topic(topic) or ()):
            raise TopicUnreadableError(f"there is no partition {database.partition} of {topic}")
        consumer.assign([part])
        consumer.seek_to_beginning(part)
        end = consumer.end_offsets([part])[part]
        changelog = fold_changelog(_records(consumer, part, end, TYPES[database.table]))
    except KafkaError as error:
        raise TopicUnreadableError(f"{topic} cannot be read: {type(error).__name__}") from error
    finally:
        consumer.close()
    name = (database.table, database.partition, str(database.folder))
    return compare(name, disk.values, disk.offset, changelog, end)


def _records(
    consumer: KafkaConsumer, part: Partition, end: int, type_id: int
) -> Iterator[tuple[int, bytes, bytes | None]]:
    deadline = time.monotonic() + IDLE_SECONDS
    while consumer.position(part) < end:
        if time.monotonic() > deadline:
            raise TopicUnreadableError(f"{part.topic} gave nothing for {IDLE_SECONDS:g} s before its end")
        for record in consumer.poll(timeout_ms=500).get(part, ()):
            deadline = time.monotonic() + IDLE_SECONDS
            if record.offset < end and _is_ours(record.key, record.value, type_id):
                yield record.offset, hash_of(record.key), None if record.value is None else hash_of(record.value)


def _is_ours(key: bytes | None, value: bytes | None, type_id: int) -> bool:
    """Return whether the table takes this record, as it decides when it recovers."""
    if key is None or key == OFFSET_KEY:
        return False
    return value is None or (len(value) >= HEADER_BYTES and value[0] == type_id)
