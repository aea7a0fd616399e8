"""The body of the dispatch agent: each partition in a lane of its own.

Every batch waits for the broker's acknowledgement. One after the other, sixteen partitions of two topics would wait
for each other; the order that matters is that within a partition number, which both topics share. A lane takes all
that has come meanwhile at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from streams.batches import PartitionLostError

log = logging.getLogger(__name__)

EVENTS_MAX = 32
"""Batches held at a time; more wait in the stream's own, bounded, buffer."""
MERGED_MAX = 8

Handle = Callable[[int, list[Any]], Awaitable[None]]


class Lanes:
    """Runs `handle(partition, records)` for each partition's batches, in order, and acknowledges them when it returns.

    On PartitionLostError the batches are let go; any other exception goes to `die`, which ends the process: nothing is
    committed after it.
    """

    def __init__(self, stream: Any, handle: Handle, die: Callable[[BaseException], None]) -> None:
        self._stream, self._handle, self._die = stream, handle, die
        self._queues: dict[int, asyncio.Queue[Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._room = asyncio.Semaphore(EVENTS_MAX)
        self._stopping = False
        self._poked: set[int] = set()

    def poke(self, partition: int) -> None:
        """Run `handle(partition, [])` when it is its turn: time has come for something though no record has."""
        if partition not in self._poked and not self._stopping:
            self._poked.add(partition)
            self._queue(partition).put_nowait(None)

    async def run(self) -> None:
        """Take events until the agent is stopped; what is not done by then is done again later."""
        try:
            async for event in self._stream.noack().events():
                await self._room.acquire()
                self._queue(event.message.partition).put_nowait(event)
        finally:
            self._stopping = True
            for task in self._tasks:
                task.cancel()

    def _queue(self, partition: int) -> asyncio.Queue[Any]:
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = asyncio.Queue()
            task = asyncio.create_task(self._work(partition, queue), name=f"dispatch-lane-{partition}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        return queue

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stopping:
            # A future that was cancelled under it: its partition would stand still and nobody would notice.
            self._die(RuntimeError(f"{task.get_name()} ended"))

    async def _work(self, partition: int, queue: asyncio.Queue[Any]) -> None:
        while True:
            events = [await queue.get()]
            while len(events) < MERGED_MAX and not queue.empty():
                events.append(queue.get_nowait())
            records = [event for event in events if event is not None]
            if len(records) < len(events):
                self._poked.discard(partition)
            await self._take(partition, records, poked=len(records) < len(events))
            for _ in records:
                self._room.release()

    async def _take(self, partition: int, events: list[Any], *, poked: bool) -> None:
        try:
            current = [event for event in events if self._is_current(event)]
            if current or poked:
                await self._handle(partition, [record for event in current for record in event.value])
            for event in current:
                await self._stream.ack(event)
        except PartitionLostError as lost:
            log.warning("%d batches of partition %d let go: %s", len(events), partition, lost)
            for event in events:
                event.app.consumer.abandon(event)
        except Exception as error:
            self._die(error)

    def _is_current(self, event: Any) -> bool:
        """Return whether an event is to be taken now; one that comes again, after earlier ones, is let go here."""
        consumer = event.app.consumer
        if not consumer.is_obsolete(event):
            return True
        consumer.abandon(event)
        return False
