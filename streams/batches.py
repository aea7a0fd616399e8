"""Batches of records as single events of Faust, and the body of an agent that reads them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from faust.types import TP
from faust.types.tuples import ConsumerMessage

log = logging.getLogger(__name__)

#: Batches of one agent that are handled at once. Each holds up to the transport's limit of bytes, and what it comes to; a
#: rebalance waits for all of them.
AT_ONCE = 4


class BatchMessage(ConsumerMessage):
    """A message of Faust that stands for several records; `offset` is the first one's, `last_offset` the last one's."""

    value: Any
    token: Any
    last_offset: int


def batch_message(tp: TP, records: list[Any], generation: int, *, offset: int) -> BatchMessage:
    """Return the records of one partition as one message, which stands at `offset`."""
    last = records[-1]
    message = BatchMessage(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=last.timestamp / 1000.0,
        timestamp_type=last.timestamp_type,
        headers=None,
        key=None,
        value=None,
        checksum=None,
        tp=tp,
        generation_id=generation,
    )
    message.value = records
    message.last_offset = last.offset
    return message


def split_batch(records: list[Any], max_records: int, max_bytes: int) -> Iterator[list[Any]]:
    """Cut records into lists of at most so many records and bytes; a record above the limit stands alone."""
    chunk: list[Any] = []
    size = 0
    for record in records:
        record_size = len(record.key or b"") + len(record.value or b"")
        if chunk and (len(chunk) >= max_records or size + record_size > max_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += record_size
    if chunk:
        yield chunk


class PartitionLostError(RuntimeError):
    """The partition belongs to another worker by now: drop what was begun, the other one does it again."""


class _EndedError(Exception):
    """A batch failed, and `die` came back; only a test sees it."""


Handle = Callable[[int, list[Any]], Awaitable[None]]
Die = Callable[[BaseException], None]


async def each_batch(stream: Any, handle: Handle, die: Die, *, at_once: int = AT_ONCE) -> None:
    """Body of an agent over a batch topic: `handle(partition, records)` for each batch, then the acknowledgement.

    So many batches are handled at once, each of another partition; those of one partition come one after the other. One after
    the other altogether, every batch would wait until those of all other partitions are durable: at a few records a batch
    that is where the time goes.

    `handle` returns when every effect is durable. On PartitionLostError the batch is let go; any other exception goes
    to `die`, which ends the process: nothing is committed after it.
    """
    await _Batches(stream, handle, die, at_once).run()


class _Batches:
    """The batches of one agent that are under way."""

    def __init__(self, stream: Any, handle: Handle, die: Die, at_once: int) -> None:
        self._stream, self._handle, self._die, self._at_once = stream, handle, die, at_once
        self._underway: dict[TP, asyncio.Task[None]] = {}
        self._ending = False

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    async for event in self._stream.noack().events():
                        await self._begin(group, event)
                        del event  # a batch that waits for the next one would keep its records
                except Exception as exc:  # before the batches under way are cancelled
                    self._die(exc)
                    raise _EndedError from exc
                finally:
                    self._ending = True
        except* _EndedError:
            pass  # the agent ends

    async def _begin(self, group: asyncio.TaskGroup, event: Any) -> None:
        """Begin with a batch once there is room, and none of its partition is under way."""
        tp = event.message.tp
        try:
            while (earlier := self._underway.get(tp)) or len(self._underway) >= self._at_once:
                waits_for = [earlier] if earlier else self._underway.values()
                await asyncio.wait(waits_for, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            event.app.consumer.abandon(event)
            raise
        self._underway[tp] = task = group.create_task(self._one(event))
        task.add_done_callback(partial(self._done, tp))

    def _done(self, tp: TP, task: asyncio.Task[None]) -> None:
        if self._underway.get(tp) is task:
            del self._underway[tp]
        if task.cancelled() and not self._ending:
            # A future that was cancelled under it: nobody would notice, and the next batch would go ahead of what it owes.
            self._die(RuntimeError(f"a batch of {tp.topic}-{tp.partition} was cancelled"))

    async def _one(self, event: Any) -> None:
        consumer = event.app.consumer
        try:
            if consumer.is_obsolete(event):
                raise PartitionLostError("it comes again after earlier ones")
            await self._handle(event.message.partition, event.value)
            await self._stream.ack(event)
        except PartitionLostError as exc:
            log.warning("batch of %s-%d let go: %s", event.message.topic, event.message.partition, exc)
            consumer.abandon(event)
        except asyncio.CancelledError:
            consumer.abandon(event)
            raise
        except Exception as exc:
            self._die(exc)
            consumer.abandon(event)
            raise _EndedError from exc
