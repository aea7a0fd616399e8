"""A stream of batches without a broker, for the bodies of agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class BatchStream:
    """What an agent's body needs of a Faust stream of batches: events, acknowledgements, and letting go."""

    def __init__(self, events: list[tuple[int, list[int]]]) -> None:
        self.acked: list[list[int]] = []
        self.let_go: list[list[int]] = []
        self.obsolete: list[list[int]] = []
        self.done = asyncio.Event()
        self._events = events

    def noack(self) -> BatchStream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        for partition, records in self._events:
            yield _Event(self, partition, records)
        await self.done.wait()

    async def ack(self, event: Any) -> None:
        self.acked.append(event.value)

    def abandon(self, event: Any) -> None:
        self.let_go.append(event.value)

    def is_obsolete(self, event: Any) -> bool:
        return event.value in self.obsolete


class _Event:
    def __init__(self, stream: BatchStream, partition: int, records: list[int]) -> None:
        self.value, self.message, self.app = records, self, self
        self.topic, self.partition, self.consumer = "events", partition, stream
