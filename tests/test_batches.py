"""The body of a batch agent, without a broker: the order of batches, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from streams.batches import PartitionLostError, each_batch
from tests.batch_support import BatchStream


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


def _batches(*partitions: int) -> BatchStream:
    """Return a stream of batches that are numbered from 0, one for each of these partitions."""
    return BatchStream([(partition, [number]) for number, partition in enumerate(partitions)])


async def test_batches_are_handled_and_acknowledged_in_order() -> None:
    stream, handler = _batches(0, 1, 0), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    for number in range(3):
        await _settled()
        assert (handler.began, stream.acked) == (list(range(number + 1)), [[done] for done in range(number)])
        handler.underway[number].set_result(None)
    stream.done.set()
    await agent
    assert stream.acked == [[0], [1], [2]]


async def test_a_failure_ends_the_process_and_nothing_is_acknowledged_after_it() -> None:
    deaths: list[BaseException] = []
    stream, handler = _batches(0, 1, 2), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, deaths.append))
    await _settled()
    handler.underway[0].set_result(None)
    await _settled()
    handler.underway[1].set_exception(ValueError("no"))
    await agent
    assert [str(death) for death in deaths] == ["no"]
    assert (stream.acked, stream.let_go, handler.began) == ([[0]], [[1]], [0, 1])


async def test_a_lost_partition_stops_no_other() -> None:
    stream, handler = _batches(0, 1, 0), Handler()
    stream.obsolete = [[2]]
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    await _settled()
    handler.underway[0].set_exception(PartitionLostError("gone"))
    await _settled()
    handler.underway[1].set_result(None)
    stream.done.set()
    await agent
    assert (stream.acked, stream.let_go, handler.began) == ([[1]], [[0], [2]], [0, 1])


async def test_an_agent_that_is_stopped_leaves_nothing_running() -> None:
    stream, handler = _batches(0, 1), Handler()
    agent = asyncio.create_task(each_batch(stream, handler, _never))
    await _settled()
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent
    assert (stream.acked, handler.underway, handler.cancelled) == ([], {}, [0])
