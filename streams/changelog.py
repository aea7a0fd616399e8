"""Reading single stretches of a changelog, apart from Faust's consumer."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list
from faust.types import TP

READ_SECONDS = 30.0


async def values_between(app: Any, tp: TP, stretches: Iterable[tuple[int, int]]) -> dict[bytes, bytes | None]:
    """The keys of the records in (first, last) offset stretches of a partition, each with its last value there.

    Raises TimeoutError after 30 s.
    """
    partition = TopicPartition(tp.topic, tp.partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server_list(app.transport.url, app.transport.default_port),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context),
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        async with asyncio.timeout(READ_SECONDS):
            found: dict[bytes, bytes | None] = {}
            for first, last in stretches:
                found |= await _read(consumer, partition, first, last)
            return found
    finally:
        await consumer.stop()


async def _read(consumer: Any, partition: TopicPartition, first: int, last: int) -> dict[bytes, bytes | None]:
    found: dict[bytes, bytes | None] = {}
    consumer.seek(partition, first)
    while await consumer.position(partition) <= last:
        for record in (await consumer.getmany(timeout_ms=500)).get(partition, []):
            if record.offset <= last and record.key is not None:
                found[record.key] = record.value
    return found
