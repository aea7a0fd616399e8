"""Batches of records as single events of Faust, and the body of an agent that reads them."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from faust.types import TP
from faust.types.tuples import ConsumerMessage

log = logging.getLogger(__name__)


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


async def each_batch(
    stream: Any,
    handle: Callable[[int, list[Any]], Awaitable[None]],
    die: Callable[[BaseException], None],
) -> None:
    """Body of an agent over a batch topic: `handle(partition, records)` for each batch, then the acknowledgement.

    `handle` returns when every effect is durable. On PartitionLostError the batch is let go; any other exception goes
    to `die`, which ends the process: nothing is committed after it.
    """
    async for event in stream.noack().events():
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
            consumer.abandon(event)  # only a test gets here
            return
        finally:
            del event  # a batch that waits for the next one would keep its records
