"""A process that may end before any of its effects, and what it writes through: a producer and a table as lists and dictionaries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from streams.batches import PartitionLostError

Append = Callable[[str, int, bytes | None, bytes | None], int]
"""Takes topic, partition, key and value; returns the offset."""
_life: ContextVar[Life] = ContextVar("life")


class Life:
    """One process from its start to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.left: int | None = None
        """How many effects it lives to see; None: it goes on living."""
        self.ended_at: str | None = None
        """Before which effect it ended."""
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start something that ends with the process, as everything does that it starts."""
        context = copy_context()
        context.run(_life.set, self)
        return self._loop.create_task(work, context=context)

    def run(self, work: Callable[[], Any]) -> Any:
        """Do something at once; what it starts ends with the process."""
        context = copy_context()
        context.run(_life.set, self)
        return context.run(work)

    async def reach(self, effect: str) -> None:
        """Say that an effect comes next. Where the process ends before it, this never returns."""
        await asyncio.sleep(0)  # others may be first
        if self.left is not None and self.ended_at is None:
            if self.left == 0:
                self.ended_at = effect
            self.left -= 1
        if self.ended_at is not None:
            await self._loop.create_future()

    def end(self) -> None:
        """End it, now."""
        self.ended_at = self.ended_at or "nothing"
        for task in list(self.tasks):
            task.cancel()


def task_of_its_life(loop: asyncio.AbstractEventLoop, coro: Any, **given: Any) -> asyncio.Task[Any]:
    """Make a task that its process knows of. A loop's task factory."""
    task = asyncio.Task(coro, loop=loop, **given)
    context = given.get("context")
    life = _life.get(None) if context is None else context.get(_life)
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.tasks.discard)
    return task


@dataclass
class Stored:
    """One database: values, and up to which record of the changelog."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    applied: int = 0


Changelog = list[tuple[bytes, bytes | None]]


@dataclass
class Book:
    """A table of one process over its disks, which outlive it: changes are seen at once, and on disk once the changelog has them."""

    name: str
    changelogs: dict[int, Changelog]
    reach: Callable[[str], Awaitable[None]]
    disks: dict[int, Stored]
    recovered: list[Callable[[int], None]] = field(default_factory=list)
    revoked: list[Callable[[int], None]] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)
    changes: dict[int, dict[bytes, bytes | None]] = field(default_factory=dict)

    def on_recovered(self, hook: Callable[[int], None]) -> None:
        """Call this with each partition that is complete."""
        self.recovered.append(hook)

    def on_revoked(self, hook: Callable[[int], None]) -> None:
        """Call this with each partition that is no longer here."""
        self.revoked.append(hook)

    @property
    def ready_partitions(self) -> frozenset[int]:
        """Return the partitions that can be used."""
        return frozenset(self.ready)

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Return a key's value. Raises PartitionLostError."""
        self._need(partition)
        changes = self.changes.get(partition, {})
        return changes[key] if key in changes else self.disks[partition].values.get(key)

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a key's value."""
        self._need(partition)
        self.changes.setdefault(partition, {})[key] = value

    def delete(self, partition: int, key: bytes) -> None:
        """Remove a key."""
        self._need(partition)
        self.changes.setdefault(partition, {})[key] = None

    def partition_items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Return all keys and values."""
        self._need(partition)
        found = {**self.disks[partition].values, **self.changes.get(partition, {})}
        return iter([(key, value) for key, value in found.items() if value is not None])

    async def flush(self, partition: int, producer: Any) -> int:
        """Write the changes to the changelog, then to the disk."""
        changes = self.changes.get(partition, {})
        for key, value in changes.items():
            await self.reach("changelog")
            self.changelogs[partition].append((key, value))
        await self.reach("disk")
        self._need(partition)
        self.changes.pop(partition, None)
        self._apply(partition)
        return len(changes)

    def take(self, partition: int) -> None:
        """Bring the disk up to the changelog's end, and say that the partition can be used."""
        self.disks.setdefault(partition, Stored())
        self._apply(partition)
        self.ready.add(partition)
        for hook in self.recovered:
            hook(partition)

    def drop(self, partition: int) -> None:
        """Say that the partition is no longer here."""
        self.changes.pop(partition, None)
        if partition in self.ready:
            self.ready.discard(partition)
            for hook in self.revoked:
                hook(partition)

    def _apply(self, partition: int) -> None:
        disk, changelog = self.disks[partition], self.changelogs[partition]
        for key, value in changelog[disk.applied :]:
            if value is None:
                disk.values.pop(key, None)
            else:
                disk.values[key] = value
        disk.applied = len(changelog)

    def _need(self, partition: int) -> None:
        if partition not in self.ready:
            raise PartitionLostError(f"{self.name}-{partition} is not here")


class _Batch:
    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []

    def append(self, *, key: bytes | None, value: bytes | None, **_: Any) -> bool:
        self.records.append((key, value))
        return True

    def close(self) -> None:
        pass

    def record_count(self) -> int:
        return len(self.records)


class Producer:
    """The part of a producer that the service uses. The process may end before any record."""

    _max_request_size = 1_000_000

    def __init__(self, append: Append, reach: Callable[[str], Awaitable[None]]) -> None:
        self._append, self._reach = append, reach

    create_batch = staticmethod(_Batch)

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        """Take a batch's records."""
        offsets = [await self._send(topic, partition, key, value) for key, value in batch.records]
        return _done(offsets[0])

    async def send(
        self, topic: str, *, value: bytes | None, key: bytes | None, partition: int, **_: Any
    ) -> asyncio.Future[Any]:
        """Take a record."""
        return _done(await self._send(topic, partition, key, value))

    async def send_and_wait(self, topic: str, *, value: bytes, key: bytes, partition: int) -> None:
        """Take a record."""
        await self._send(topic, partition, key, value)

    async def _send(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> int:
        await self._reach(f"record on {topic}")
        return self._append(topic, partition, key, value)


def _done(offset: int) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(SimpleNamespace(offset=offset))
    return future
