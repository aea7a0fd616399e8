"""Batches of records as single events of Faust, and the body of an agent that reads them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from faust.types import TP
from faust.types.tuples import ConsumerMessage

log = logging.getLogger(__name__)

#: Batches of one agent that are handled at once. Each holds up to the transport's limit of bytes, and what it comes to.
AT_ONCE = 8


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


async def each_batch(
    stream: Any,
    handle: Callable[[int, list[Any]], Awaitable[None]],
    die: Callable[[BaseException], None],
    *,
    at_once: int = AT_ONCE,
) -> None:
    """Body of an agent over a batch topic: `handle(partition, records)` for each batch, then the acknowledgement.

    So many batches are handled at once, each of another partition; those of one partition come one after the other. One after
    the other altogether, every batch would wait until those of all other partitions are durable: at a few records a batch
    that is where the time goes.

    `handle` returns when every effect is durable. On PartitionLostError the batch is let go; any other exception goes
    to `die`, which ends the process: nothing is committed after it.
    """
    underway: dict[TP, asyncio.Task[None]] = {}

    def done(tp: TP, task: asyncio.Task[None]) -> None:
        if underway.get(tp) is task:
            del underway[tp]

    try:
        async with asyncio.TaskGroup() as group:
            async for event in stream.noack().events():
                tp = event.message.tp
                while (earlier := underway.get(tp)) or len(underway) >= at_once:
                    await asyncio.wait([earlier] if earlier else underway.values(), return_when=asyncio.FIRST_COMPLETED)
                underway[tp] = task = group.create_task(_one_batch(stream, event, handle, die))
                task.add_done_callback(partial(done, tp))
                del event, task  # a batch that waits for the next one would keep its records
    except* _EndedError:
        pass  # the agent ends


async def _one_batch(
    stream: Any,
    event: Any,
    handle: Callable[[int, list[Any]], Awaitable[None]],
    die: Callable[[BaseException], None],
) -> None:
    consumer = event.app.consumer
    try:
        if consumer.is_obsolete(event):
            raise PartitionLostError("it comes again after earlier ones")
        await handle(event.message.partition, event.value)
        await stream.ack(event)
    except PartitionLostError as exc:
        log.warning("batch of %s-%d let go: %s", event.message.topic, event.message.partition, exc)
        consumer.abandon(event)
    except Exception as exc:
        die(exc)
        consumer.abandon(event)
        raise _EndedError from exc
