"""The body of a batch agent, without a broker: what is handled at once, in which order, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

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
    """Batches numbered from 0, each of a partition; then nothing more comes, or the stream ends."""

    partitions: list[int]
    ends: bool = True
    error: Exception | None = None
    consumer: Consumer = field(default_factory=Consumer)
    taken: int = 0
    acked: list[int] = field(default_factory=list)

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        app = SimpleNamespace(consumer=self.consumer)
        for number, partition in enumerate(self.partitions):
            self.taken = number + 1
            message = SimpleNamespace(topic=TOPIC, partition=partition, tp=TP(TOPIC, partition))
            yield SimpleNamespace(number=number, value=[number], message=message, app=app)
        if self.error is not None:
            await _settled()
            raise self.error
        if not self.ends:
            await asyncio.Event().wait()

    async def ack(self, event: Any) -> None:
        self.acked.append(event.number)


class Handler:
    """Handles batches; each waits until it is let go on."""

    def __init__(self) -> None:
        self.underway: dict[int, asyncio.Future[None]] = {}
        self.began: list[int] = []
        self.cancelled: list[int] = []
        self.most = 0

    async def __call__(self, partition: int, records: list[int]) -> None:
        (number,) = records
        self.began.append(number)
        self.underway[number] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.underway))
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


async def test_a_batch_waits_for_none_of_another_partition() -> None:
    stream, handler = Stream([0, 1, 0, 2]), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    await _settled()
    assert handler.began == [0, 1]
    handler.underway[1].set_result(None)
    await _settled()
    assert (stream.acked, handler.began) == ([1], [0, 1])  # the second of partition 0 holds the row
    handler.underway[0].set_result(None)
    await _settled()
    assert (stream.acked, handler.began) == ([1, 0], [0, 1, 2, 3])
    for number in (3, 2):
        handler.underway[number].set_result(None)
    await agent
    assert stream.acked == [1, 0, 3, 2]


@given(
    partitions=st.lists(st.integers(0, 5), max_size=30),
    choices=st.lists(st.integers(0, 100), min_size=40, max_size=40),
    at_once=st.integers(1, 6),
)
async def test_a_partition_keeps_its_order_and_so_many_are_handled_at_once(
    partitions: list[int], choices: list[int], at_once: int
) -> None:
    stream, handler = Stream(partitions), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never, at_once=at_once))
    for choice in choices:
        await _settled()
        waiting = sorted(handler.underway)
        assert len({partitions[number] for number in waiting}) == len(waiting)
        assert stream.taken <= len(handler.began) + 1  # no more are taken out of the stream than the one that waits
        if waiting:
            handler.underway[waiting[choice % len(waiting)]].set_result(None)
    await agent
    assert handler.most <= at_once
    assert sorted(stream.acked) == list(range(len(partitions)))
    for partition in set(partitions):
        own = [number for number, one in enumerate(partitions) if one == partition]
        assert [number for number in stream.acked if number in own] == own
        assert [number for number in handler.began if number in own] == own


async def test_a_failure_ends_the_process_and_what_is_under_way_is_not_acknowledged() -> None:
    deaths: list[BaseException] = []
    stream, handler = Stream([0, 1, 2], ends=False), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, deaths.append))
    await _settled()
    handler.underway[1].set_exception(ValueError("no"))
    await agent
    assert [str(death) for death in deaths] == ["no"]
    assert (stream.acked, sorted(stream.consumer.abandoned), sorted(handler.cancelled)) == ([], [0, 1, 2], [0, 2])


async def test_a_stream_that_fails_ends_the_process_before_any_batch_is_cancelled() -> None:
    handler, found = Handler(), []
    stream = Stream([0, 1], error=OSError("no more"))

    def die(exc: BaseException) -> None:
        found.append((str(exc), sorted(handler.cancelled)))

    await each_batch(stream, handler, die)
    assert found == [("no more", [])]
    assert (stream.acked, sorted(stream.consumer.abandoned)) == ([], [0, 1])


async def test_a_batch_that_is_cancelled_from_elsewhere_ends_the_process() -> None:
    """Nobody would notice, and the next batch would write over what it owes."""
    deaths: list[BaseException] = []
    stream, handler = Stream([0, 1], ends=False), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, deaths.append))
    await _settled()
    handler.underway[1].cancel()
    await _settled()
    assert [str(death) for death in deaths] == ["a batch of events-1 was cancelled"]
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent
    assert (len(deaths), sorted(stream.consumer.abandoned)) == (1, [0, 1])


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


@pytest.mark.parametrize("busy", [False, True])
async def test_an_agent_that_is_stopped_leaves_nothing_running(busy: bool) -> None:
    """Not even the batch that waits for one of its partition: a rebalance waits for all that was taken."""
    stream, handler = Stream([0, 1, 0] if busy else [], ends=False), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    await _settled()
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent
    assert (stream.acked, handler.underway) == ([], {})
    assert sorted(handler.cancelled) == ([0, 1] if busy else [])
    assert sorted(stream.consumer.abandoned) == ([0, 1, 2] if busy else [])
