"""Sends in bulk, straight to the aiokafka producer: few batches, every one awaited.

Faust's own `send` costs a task, a future and about 150 microseconds a record, and a failed delivery only logs a
warning. Here a failure is an exception; whoever sends must not acknowledge its input after one (the worker stops, see
`streams.faust_app.die`).

    SendError            any of the records may be missing in the topic
    └── RecordTooLargeError   nothing was sent
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from aiokafka.errors import MessageSizeTooLargeError

#: What a record takes in a batch beside its key, value and headers, at most (varints, attributes, lengths).
RECORD_OVERHEAD_BYTES = 64
#: What a batch takes beside its records.
BATCH_OVERHEAD_BYTES = 512

#: Longer than the producer tries by itself.
SEND_SECONDS = 60.0

#: Who may queue a batch for a partition next. While one is queued, the producer lets others try again and again, and counts the time
#: of all their tries: of many that wait for a leader, the last ones would give up just when it is back.
_turns: WeakKeyDictionary[Any, dict[tuple[str, int], asyncio.Lock]] = WeakKeyDictionary()

Headers = Sequence[tuple[str, bytes]]


class SendError(RuntimeError):
    """The broker did not acknowledge all records."""


class RecordTooLargeError(SendError):
    """A record is larger than the producer may send."""


class Record(NamedTuple):
    """One record to send. `value` None is a tombstone; `timestamp_ms` None is the time of sending."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None


class Sent(NamedTuple):
    """Where acknowledged records lie: (first, last) offset of each batch, in order of sending."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def first(self) -> int:
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        return max(last for _, last in self.ranges)


async def send_many(
    producer: Any, topic: str, partition: int, records: Iterable[Record], *, timeout_seconds: float = SEND_SECONDS
) -> Sent | None:
    """Send records to one partition, in order, and wait until the broker has acknowledged all of them.

    Returns where they lie, None when there were none. Raises RecordTooLargeError before anything is sent, SendError
    when a batch failed or the time is over (some may have arrived: sending is at least once).
    """
    batches = _fill(producer, topic, partition, records)
    if not batches:
        return None
    futures: list[asyncio.Future[Any]] = []
    turn = _turns.setdefault(producer, {}).setdefault((topic, partition), asyncio.Lock())
    try:
        # The producer gives up a batch by itself, but waits without end for metadata when it was stopped.
        async with asyncio.timeout(timeout_seconds):
            async with turn:
                for batch in batches:
                    batch.close()  # nobody else's records: the offsets are counted from the batch's first
                    futures.append(await producer.send_batch(batch, topic, partition=partition))
            results = await asyncio.gather(*futures)
    except Exception as exc:
        await _settle(futures)
        raise SendError(f"cannot send to {topic}-{partition}: {type(exc).__name__}") from exc
    counts = (batch.record_count() for batch in batches)
    return Sent(tuple((result.offset, result.offset + n - 1) for result, n in zip(results, counts, strict=True)))


async def send_each(
    producer: Any, topic: str, partition: int, records: Iterable[Record], *, timeout_seconds: float = SEND_SECONDS
) -> None:
    """Send records to one partition, in order, in the producer's own batches, and wait until all are acknowledged.

    For partitions to which others send one by one at the same time: a batch of one's own waits for a moment at which no other is
    queued, and where others never cease there is none. Raises SendError as `send_many` does.
    """
    futures: list[asyncio.Future[Any]] = []
    try:
        async with asyncio.timeout(timeout_seconds):
            for record in records:
                future = await producer.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    partition=partition,
                    timestamp_ms=record.timestamp_ms,
                    headers=list(record.headers) or None,
                )
                futures.append(future)
            await asyncio.gather(*futures)
    except MessageSizeTooLargeError as exc:
        await _settle(futures)
        raise RecordTooLargeError(f"a record for {topic}-{partition} is too large") from exc
    except Exception as exc:
        await _settle(futures)
        raise SendError(f"cannot send to {topic}-{partition}: {type(exc).__name__}") from exc


async def _settle(futures: list[asyncio.Future[Any]]) -> None:
    """Let go of what is still on its way; nobody asks for its outcome."""
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def _fill(producer: Any, topic: str, partition: int, records: Iterable[Record]) -> list[Any]:
    limit = producer._max_request_size - BATCH_OVERHEAD_BYTES
    batches: list[Any] = []
    for record in records:
        size = _size(record)
        if size > limit:
            raise RecordTooLargeError(f"a record for {topic}-{partition} has {size} bytes, more than {limit}")
        if not batches or not _append(batches[-1], record):
            batches.append(producer.create_batch())
            if not _append(batches[-1], record):
                raise RecordTooLargeError(
                    f"a record for {topic}-{partition} has {size} bytes and does not fit an empty batch"
                )
    return batches


def _append(batch: Any, record: Record) -> bool:
    added = batch.append(
        timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=list(record.headers)
    )
    return added is not None


def _size(record: Record) -> int:
    size = RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += RECORD_OVERHEAD_BYTES + len(name) + len(value or b"")
    return size
