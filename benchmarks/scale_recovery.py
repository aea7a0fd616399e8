"""How fast a worker whose disk is lost reads its changelogs.

What a run has left there is too little to measure, so it is written again several times over, as changes that say the same: the keys
and values, and their mix, are those of the service. That is also what a changelog looks like before it is compacted.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition

from benchmarks.support import BenchmarkError, Installation, Running
from streams.bulk import Record, send_many
from streams.topics import TopicSet

TIMES = 10
POLL_MS = 500
CHUNK = 20_000


class Recovered(NamedTuple):
    """How many changes there were, and by how many seconds the worker was ready later without its disk than with it."""

    changes: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Return the rate. Raises BenchmarkError where the disk made no difference."""
        if self.seconds <= 0:
            raise BenchmarkError(f"{self.changes} changes are too few to see how long their recovery takes")
        return self.changes / self.seconds


def recover(installation: Installation, data_dir: Path, start: Callable[[], Running]) -> Recovered:
    """Return what recovery took. `start` starts the worker whose data are in `data_dir`, and which does not run now."""
    topics = installation.topics
    for topic in _changelogs(topics):
        records = _read(installation.bootstrap_servers, topic, topics.partitions)
        asyncio.run(_write_again(installation.bootstrap_servers, topic, records))
    _ready_seconds(start)  # it takes up what was written again
    kept = _ready_seconds(start)
    shutil.rmtree(data_dir)
    lost = _ready_seconds(start)
    return Recovered(sum(installation.count(topic) for topic in _changelogs(topics)), lost - kept)


def _changelogs(topics: TopicSet) -> tuple[str, str]:
    return topics.tickets_changelog, topics.citizens_changelog


def _ready_seconds(start: Callable[[], Running]) -> float:
    worker = start()
    seconds = worker.wait_for("worker ready")
    worker.stop()
    return seconds


def _read(bootstrap_servers: str, topic: str, partitions: int) -> dict[int, list[Record]]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","), auto_offset_reset="earliest", enable_auto_commit=False
    )
    found: dict[int, list[Record]] = {number: [] for number in range(partitions)}
    try:
        parts = [TopicPartition(topic, number) for number in found]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for part, records in consumer.poll(timeout_ms=POLL_MS).items():
                found[part.partition] += [Record(record.key, record.value) for record in records]
    finally:
        consumer.close()
    return found


async def _write_again(bootstrap_servers: str, topic: str, found: dict[int, list[Record]]) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", max_batch_size=512 * 1024, max_request_size=4 * 1024 * 1024
    ) as producer:
        for partition, records in found.items():
            for _ in range(TIMES - 1):
                for begin in range(0, len(records), CHUNK):
                    await send_many(producer, topic, partition, records[begin : begin + CHUNK])
