"""Sends in bulk: everything arrives and is counted right, or an exception says so."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka.admin import NewTopic

from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.bulk import Record, RecordTooLargeError, SendError, send_each, send_many
from tests.kafka_support import read_all

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(kafka: EmbeddedKafka) -> str:
    name = f"t{uuid.uuid4().hex[:10]}"
    with connect(kafka.bootstrap_servers) as admin:
        admin.create_topics([NewTopic(name, 2, 1, topic_configs={"max.message.bytes": "20000"})])
    return name


@pytest.fixture
async def producer(kafka: EmbeddedKafka) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        enable_idempotence=True,
        max_batch_size=10_000,
        max_request_size=50_000,
    ) as started:
        yield started


async def test_many_batches_arrive_in_order_and_their_offsets_come_back(
    kafka: EmbeddedKafka, topic: str, producer: AIOKafkaProducer
) -> None:
    records = [Record(b"k%d" % n, b"v" * 100, headers=[("n", b"%d" % n)], timestamp_ms=1_000 + n) for n in range(500)]
    await send_many(producer, topic, 1, records[:1])
    sent = await send_many(producer, topic, 1, records[1:])
    assert sent is not None
    assert (sent.first, sent.last) == (1, 499)
    assert len(sent.ranges) > 3
    assert await send_many(producer, topic, 1, []) is None
    found = await read(kafka, topic, 1, 500)
    assert [Record(r.key, r.value, r.headers, r.timestamp) for r in found] == [
        record._replace(headers=tuple(record.headers)) for record in records
    ]


async def test_a_tombstone_arrives_as_one(kafka: EmbeddedKafka, topic: str, producer: AIOKafkaProducer) -> None:
    await send_many(producer, topic, 0, [Record(b"k", b"v"), Record(b"k", None)])
    assert [record.value for record in await read(kafka, topic, 0, 2)] == [b"v", None]


async def test_a_record_too_large_for_the_producer_keeps_all_from_being_sent(
    kafka: EmbeddedKafka, topic: str, producer: AIOKafkaProducer
) -> None:
    with pytest.raises(RecordTooLargeError):
        await send_many(producer, topic, 0, [Record(b"small", b"v"), Record(b"large", b"v" * 50_000)])
    with pytest.raises(RecordTooLargeError):
        await send_many(producer, topic, 0, [Record(b"large", b"v", headers=[("h", b"v" * 50_000)])])
    await send_many(producer, topic, 0, [Record(b"next", b"v")])
    assert [record.key for record in await read(kafka, topic, 0, 1)] == [b"next"]


async def test_a_batch_that_the_broker_refuses_raises(topic: str, producer: AIOKafkaProducer) -> None:
    with pytest.raises(SendError, match="MessageSizeTooLargeError"):
        await send_many(producer, topic, 0, [Record(b"small", b"v"), Record(b"large", b"v" * 30_000)])


async def test_records_arrive_in_order_beside_others_that_never_cease(
    kafka: EmbeddedKafka, topic: str, producer: AIOKafkaProducer
) -> None:
    async def others() -> None:
        while True:
            await producer.send_and_wait(topic, b"other", partition=0)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(others()) for _ in range(8)]
        for start in range(0, 500, 50):
            values = [Record(b"k", str(number).encode()) for number in range(start, start + 50)]
            await send_each(producer, topic, 0, values, timeout_seconds=20)
        for task in tasks:
            task.cancel()
    found = [one.value for one in read_all(kafka.bootstrap_servers, topic) if one.value != b"other"]
    assert found == [str(number).encode() for number in range(500)]


async def test_senders_to_one_partition_take_turns_and_wait_for_no_other(
    topic: str, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer counts the time of all tries together: of many that wait for a leader, the last would give up as it comes back."""
    send, opened = producer.send_batch, asyncio.Event()
    trying: Counter[int] = Counter()

    async def held(batch: Any, topic: str, *, partition: int) -> Any:
        trying[partition] += 1
        most[partition] = max(most[partition], trying[partition])
        await opened.wait()
        trying[partition] -= 1
        return await send(batch, topic, partition=partition)

    most: Counter[int] = Counter()
    monkeypatch.setattr(producer, "send_batch", held)
    senders = [
        asyncio.create_task(send_many(producer, topic, number // 6, [Record(None, b"%d" % number)]))
        for number in range(7)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert trying == {0: 1, 1: 1}
    opened.set()
    sent = [one for one in await asyncio.gather(*senders) if one is not None]
    assert [one.first for one in sent] == [0, 1, 2, 3, 4, 5, 0]
    assert most == {0: 1, 1: 1}


async def test_one_of_several_that_is_too_large_raises(topic: str, producer: AIOKafkaProducer) -> None:
    with pytest.raises(RecordTooLargeError):
        await send_each(producer, topic, 0, [Record(b"k", b"small"), Record(b"k", b"x" * 4_000_000)])


async def test_a_producer_that_was_stopped_raises(kafka: EmbeddedKafka, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    await producer.stop()
    with pytest.raises(SendError):
        await send_many(producer, topic, 0, [Record(b"k", b"v")], timeout_seconds=0.2)


async def read(kafka: EmbeddedKafka, topic: str, partition: int, count: int) -> list[object]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition)])
        found: list[object] = []
        while len(found) < count:
            found += (await consumer.getmany(timeout_ms=1000)).get(TopicPartition(topic, partition), [])
        return found
    finally:
        await consumer.stop()
