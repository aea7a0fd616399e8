"""The body of a batch agent, without a broker: the order of batches, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.batches import PartitionLostError, each_batch

TOPIC = "events"


@dataclass
class Consumer:
    """What is asked of Faust's consumer, and what it was told."""

    obsolete: set[int] = field(default_factory=set)
    abandoned: list[int] = field(default_factory=list)

    def is_obsolete(self, event: Any) -> bool:
        return event.number in self.obsolete

    def abandon(self, event: Any) -> None:
        self.abandoned.append(event.number)


@dataclass
class Stream:
    """Batches numbered from 0, each of a partition; then the stream ends."""

    partitions: list[int]
    consumer: Consumer = field(default_factory=Consumer)
    acked: list[int] = field(default_factory=list)

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        app = SimpleNamespace(consumer=self.consumer)
        for number, partition in enumerate(self.partitions):
            message = SimpleNamespace(topic=TOPIC, partition=partition, tp=TP(TOPIC, partition))
            yield SimpleNamespace(number=number, value=[number], message=message, app=app)

    async def ack(self, event: Any) -> None:
        self.acked.append(event.number)


class Handler:
    """Handles batches; each waits until it is let go on."""

    def __init__(self) -> None:
        self.underway: dict[int, asyncio.Future[None]] = {}
        self.began: list[int] = []
        self.cancelled: list[int] = []

    async def __call__(self, partition: int, records: list[int]) -> None:
        (number,) = records
        self.began.append(number)
        self.underway[number] = asyncio.get_running_loop().create_future()
        try:
            await self.underway[number]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            del self.underway[number]


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def _never(exc: BaseException) -> None:
    raise AssertionError("nothing fails here") from exc


async def test_batches_are_handled_and_acknowledged_in_order() -> None:
    stream, handler = Stream([0, 1, 0]), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    for number in range(3):
        await _settled()
        assert (handler.began, stream.acked) == (list(range(number + 1)), list(range(number)))
        handler.underway[number].set_result(None)
    await agent
    assert stream.acked == [0, 1, 2]


async def test_a_failure_ends_the_process_and_nothing_is_acknowledged_after_it() -> None:
    deaths: list[BaseException] = []
    stream, handler = Stream([0, 1, 2]), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, deaths.append))
    await _settled()
    handler.underway[0].set_result(None)
    await _settled()
    handler.underway[1].set_exception(ValueError("no"))
    await agent
    assert [str(death) for death in deaths] == ["no"]
    assert (stream.acked, stream.consumer.abandoned, handler.began) == ([0], [1], [0, 1])


async def test_a_lost_partition_stops_no_other() -> None:
    stream, handler = Stream([0, 1, 0]), Handler()
    stream.consumer.obsolete.add(2)
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    await _settled()
    handler.underway[0].set_exception(PartitionLostError("gone"))
    await _settled()
    handler.underway[1].set_result(None)
    await agent
    assert (stream.acked, stream.consumer.abandoned, handler.began) == ([1], [0, 2], [0, 1])


async def test_an_agent_that_is_stopped_leaves_nothing_running() -> None:
    stream, handler = Stream([0, 1]), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    await _settled()
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent
    assert (stream.acked, handler.underway, handler.cancelled) == ([], {}, [0])
