"""Tables whose changelog leaves in bulk, and whose local database never runs ahead of it.

Rules
    - Keys and values are bytes; the partition is an argument of every access (a table's partition is that of the batch
      being processed).
    - One agent writes a table: `put` and `delete` for a batch, then `await flush(partition, producer)`, then the
      acknowledgement of the batch.
    - `put` changes what `get` returns at once, but nothing on disk: changes wait in memory until the broker has
      acknowledged the changelog. Then they and the changelog offset are written to RocksDB in one atomic batch.
    - Access is refused with PartitionLostError while the partition is not recovered here. Whoever keeps something in
      memory that is made from a partition's data (a cache, a heap of deadlines) builds it in `on_recovered` and drops
      it in `on_revoked`; both come exactly when the data changes by other means than `put` and `delete`.

Theory
    The database is at any time the changelog's content up to the persisted offset, no more and no less. Hence
    1. A crash before the acknowledgement leaves database and source offset where they were: the batch is done again on
       the old state.
    2. A crash after it, before the write to disk: recovery reads the changelog from the persisted offset.
    3. A partition that comes back after another worker had it: its database is old, but not wrong, and recovery adds
       what is missing. (Written first to the database, as stock Faust does, a change that never reached the changelog
       would survive on that worker alone.)
    4. Changelog records at or before the persisted offset are skipped, so a buffer that is applied late cannot bring an
       old value back.

Two writers
    A worker that was frozen ends when it wakes up (freeze.py). One that was cut off may still write to the changelog
    after its partition went to another worker. With `position`, how far in its source a value is, both notice:
    1. The owner's own records do not follow its last ones. It writes again what it holds for the keys in between, before
       it goes on.
    2. The one that was cut off finds records that are further than its own. It ends, and writes nothing more.
    3. Recovery, should it come before the owner has written again, takes no value that is behind the one it has.
    Records that no table of this type wrote are skipped and reported.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import faust
from faust.types import TP

from streams.batches import PartitionLostError
from streams.bulk import Record, Sent, send_many
from streams.changelog import values_between
from streams.faust_internals import check_internals
from streams.rocks import RocksLimits, RocksStore

log = logging.getLogger(__name__)

check_internals()

#: One set of limits for all tables of a process.
LIMITS = RocksLimits()

HEADER_BYTES = 2


class TableError(RuntimeError):
    """A table cannot go on; the process must stop."""


class NewerSchemaError(TableError):
    """A value was written by a later release."""


class ForeignValueError(TableError):
    """A value is not of this table's type."""


class UnreadChangelogError(TableError):
    """A partition was said to be recovered, but its changelog has not been read to its end."""


class SupersededError(TableError):
    """Another worker owns the partition and is further; this one was cut off."""


Alarm = Callable[[str, int, int], None]
PartitionHook = Callable[[int], None]
Position = Callable[[bytes, bytes], int | None]
"""Given key and payload, returns how far in its source the value is; None where that cannot be said of it.

Below zero: it says nothing of other keys' values.
"""
_UNKNOWN = 2**63


class BulkTable(faust.Table[Any, Any]):
    """A changelogged table of bytes. See the head of this module.

    `type_id` and `schema` (1–255 each) stand before every stored value; `upgrade(schema, key, payload)` turns a
    payload of an older schema into the present one. `die` ends the process; `alarm(kind, partition, count)` reports
    "foreign_record" and "second_writer". `hints` are keys that spare a search: recovery drops them where it met late
    records, since nobody knows of which writer they are.
    """

    app: Any
    changelog_in_batches = True

    def __init__(
        self,
        app: Any,
        *,
        name: str,
        partitions: int,
        type_id: int,
        schema: int,
        die: Callable[[BaseException], None],
        upgrade: Callable[[int, bytes, bytes], bytes] | None = None,
        alarm: Alarm | None = None,
        limits: RocksLimits = LIMITS,
        position: Position | None = None,
        hints: frozenset[bytes] = frozenset(),
    ) -> None:
        # Two batches at a time; with one, Faust would go on reading the changelog after recovery.
        super().__init__(
            app, name=name, partitions=partitions, key_type=bytes, value_type=bytes, recovery_buffer_size=2
        )
        self.header = bytes((type_id, schema))
        self._limits = limits
        self._position = position
        self._hints = hints
        self._highest: dict[int, int] = {}
        """by partition that is being recovered: the furthest position so far"""
        self._upgrade = upgrade
        self._die = die
        self._alarm = alarm or (lambda kind, partition, count: None)
        self._on_recovered: list[PartitionHook] = []
        self._on_revoked: list[PartitionHook] = []
        self._ready: set[int] = set()
        self._applied: dict[int, int] = {}
        self._dirty: dict[int, dict[bytes, bytes | None]] = {}
        self._flushing: dict[int, dict[bytes, bytes | None]] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    # -- hooks

    def on_recovered(self, hook: PartitionHook) -> PartitionHook:
        """Call this with each partition whose data is complete here from now on."""
        self._on_recovered.append(hook)
        return hook

    def on_revoked(self, hook: PartitionHook) -> PartitionHook:
        """Call this with each partition whose data is no longer here, or no longer what it was."""
        self._on_revoked.append(hook)
        return hook

    @property
    def ready_partitions(self) -> frozenset[int]:
        """The partitions that can be used now."""
        return frozenset(self._ready)

    # -- access

    @property
    def store(self) -> RocksStore:
        """The databases of this worker's partitions."""
        return cast(RocksStore, self.data)

    def get(self, partition: int, key: bytes) -> bytes | None:  # type: ignore[override, unused-ignore]
        """The value of a key, or None. Raises PartitionLostError, NewerSchemaError, ForeignValueError."""
        if partition not in self._ready:
            raise PartitionLostError(f"{self.name}-{partition} is not recovered here")
        for changes in (self._dirty.get(partition), self._flushing.get(partition)):
            if changes is not None and key in changes:
                value = changes[key]
                return None if value is None else value[HEADER_BYTES:]
        stored = self._read(partition, key)
        return None if stored is None else self._payload(partition, key, stored)

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a value. Raises PartitionLostError."""
        self._change(partition, key, self.header + value)

    def delete(self, partition: int, key: bytes) -> None:
        """Remove a key; its changelog record is a tombstone. Raises PartitionLostError."""
        self._change(partition, key, None)

    def partition_items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values of a partition, the unflushed ones last. Nothing of RocksDB is held between two items.

        A value of an older schema comes as it is stored, for a start must not wait for all of them: `get` upgrades it.
        """
        if partition not in self._ready:
            raise PartitionLostError(f"{self.name}-{partition} is not recovered here")
        changed = {**self._flushing.get(partition, {}), **self._dirty.get(partition, {})}
        for key, stored in self.store.scan(partition):
            if key not in changed:
                self._check(partition, stored)
                yield key, stored[HEADER_BYTES:]
        for key, value in changed.items():
            if value is not None:
                yield key, value[HEADER_BYTES:]

    def count(self, partition: int) -> int:
        """At most how many keys a partition has: RocksDB's estimate, which counts a key again for each time that it was
        written since the last compaction."""
        if partition not in self._ready:
            raise PartitionLostError(f"{self.name}-{partition} is not recovered here")
        estimate: int = self.store.estimate(partition)
        return estimate

    def _change(self, partition: int, key: bytes, value: bytes | None) -> None:
        if partition not in self._ready:
            raise PartitionLostError(f"{self.name}-{partition} is not recovered here")
        self._dirty.setdefault(partition, {})[key] = value

    def _read(self, partition: int, key: bytes) -> bytes | None:
        try:
            stored: bytes | None = self.store.read(partition, key)
        except Exception:
            self.store.condemn(partition)
            raise
        return stored

    def _payload(self, partition: int, key: bytes, stored: bytes) -> bytes:
        self._check(partition, stored)
        if stored[1] == self.header[1] or self._upgrade is None:
            return stored[HEADER_BYTES:]
        return self._upgrade(stored[1], key, stored[HEADER_BYTES:])

    def _check(self, partition: int, stored: bytes) -> None:
        if len(stored) < HEADER_BYTES or stored[0] != self.header[0]:
            raise ForeignValueError(f"{self.name}-{partition}: a value is not of type {self.header[0]}")
        if stored[1] > self.header[1]:
            raise NewerSchemaError(
                f"{self.name}-{partition}: schema {stored[1]} was written by a later release, this one knows up to "
                f"{self.header[1]}: start that release again, or restore a backup made before it"
            )
        if stored[1] < self.header[1] and self._upgrade is None:
            raise ForeignValueError(f"{self.name}-{partition}: no upgrade from schema {stored[1]}")

    # -- writing

    async def flush(self, partition: int, producer: Any) -> int:
        """Make all changes of a partition durable; return their number.

        Raises SendError when the changelog did not take them or FrozenError (stop the process), and PartitionLostError
        when the partition went away meanwhile.
        """
        async with self._locks.setdefault(partition, asyncio.Lock()):
            changes = self._dirty.pop(partition, None)
            if not changes:
                return 0
            self._flushing[partition] = changes
            try:
                await self._write_through(partition, changes, producer)
            except BaseException:
                self._forget(partition)  # what is in memory is no longer what is durable
                raise
            finally:
                self._flushing.pop(partition, None)
            return len(changes)

    async def _write_through(self, partition: int, changes: dict[bytes, bytes | None], producer: Any) -> None:
        expected = self._applied[partition] + 1
        self.app.freeze_guard.check()
        sent = await self._send(partition, changes, producer)
        repaired = await self._repair(partition, changes, producer, expected, sent)
        if partition not in self._ready or self._flushing.get(partition) is not changes:
            raise PartitionLostError(f"{self.name}-{partition} went away while it was written")
        self.store.write(partition, changes, repaired.last)
        self._applied[partition] = repaired.last

    async def _send(self, partition: int, changes: dict[bytes, bytes | None], producer: Any) -> Sent:
        records = (Record(key, value) for key, value in changes.items())
        sent = await send_many(producer, self.changelog_topic_name, partition, records)
        assert sent is not None
        return sent

    async def _repair(
        self, partition: int, changes: dict[bytes, bytes | None], producer: Any, expected: int, sent: Sent
    ) -> Sent:
        """Write again the keys that somebody else wrote between our records, until nobody does."""
        while gaps := list(gaps_between(expected, sent.ranges)):
            count = sum(last - first + 1 for first, last in gaps)
            log.error(
                "%s-%d: %d records of a second writer; writing their keys again",
                self.changelog_topic_name,
                partition,
                count,
            )
            self._alarm("second_writer", partition, count)
            theirs = await values_between(self.app, TP(self.changelog_topic_name, partition), gaps)
            expected = sent.last + 1
            again = {key: changes[key] if key in changes else self._read(partition, key) for key in theirs}
            if any(self._is_behind(key, again[key], value) for key, value in theirs.items()):
                raise SupersededError(f"{self.name}-{partition}: another worker is further than this one")
            if not again:
                break
            sent = await self._send(partition, again, producer)
        return sent

    # -- rebalance and recovery, called by Faust

    def _new_store(self) -> RocksStore:
        return RocksStore(
            "rocksdb://",
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            limits=self._limits,
        )

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        topic = self.changelog_topic_name
        for tp in revoked | newly_assigned:
            if tp.topic == topic:
                self._forget(tp.partition)
        for partition in [*self._dirty, *self._flushing]:
            self._forget(partition)  # a batch that was let go: memory made from it is not durable
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        try:
            await super().on_recovery_completed(active_tps, standby_tps)
            if self.app.tables.recovery.signal_recovery_start.is_set():
                # Faust takes a rebalance that comes while it reads for the end of reading. The recovery that follows reads on.
                log.info("%s: a rebalance broke off the reading of its changelog; it is read on", self.name)
                return
            for tp in sorted(active_tps):
                if tp.topic == self.changelog_topic_name and tp.partition not in self._ready:
                    self._recovered(tp)
        except Exception as exc:  # Faust would not notice
            self._die(exc)

    def _recovered(self, tp: TP) -> None:
        # The changelog's end may lie beyond its last record, which was compacted.
        highwater = self.app.tables.recovery.active_highwaters.get(tp, -1)
        applied = self._applied_offset(tp.partition)
        if applied < highwater and not self.app.consumer.has_read(tp, highwater):
            raise UnreadChangelogError(
                f"{tp.topic}-{tp.partition} was read up to {applied} of {highwater}: without the rest, states would be written "
                "that lack what they had; start this process again, and it reads all of it"
            )
        self._applied[tp.partition] = max(applied, highwater)
        self._ready.add(tp.partition)
        self._highest.pop(tp.partition, None)
        for hook in self._on_recovered:
            hook(tp.partition)

    def _forget(self, partition: int) -> None:
        self._dirty.pop(partition, None)
        self._flushing.pop(partition, None)
        self._applied.pop(partition, None)
        self._highest.pop(partition, None)
        if partition in self._ready:
            self._ready.discard(partition)
            for hook in self._on_revoked:
                hook(partition)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        try:
            for event in batch:
                message = event.message
                if message.topic == self.changelog_topic_name:
                    self._apply(message.partition, event.value)
                else:
                    # Recovery hands events of an unknown partition to the table before it.
                    self._foreign(message.partition, len(event.value), message.topic)
        except Exception as exc:  # recovery would log it and go on without the data
            self._die(exc)

    def _apply(self, partition: int, records: list[Any]) -> None:
        applied = self._applied_offset(partition)
        changes: dict[bytes, bytes | None] = {}
        foreign = late = 0
        self._highest.setdefault(partition, -1 if applied < 0 else _UNKNOWN)
        for record in records:
            if record.offset <= applied:
                continue
            if record.key is None or record.key == self.store.offset_key or not self._is_ours(partition, record.value):
                foreign += 1
            elif self._is_late(partition, record, changes):
                late += 1
            else:
                changes[record.key] = record.value
        if foreign:
            self._foreign(partition, foreign, self.changelog_topic_name)
        if late:
            log.error("%s-%d: %d late records of a worker that was cut off were skipped", self.name, partition, late)
            self._alarm("second_writer", partition, late)
        last = records[-1].offset
        if last > applied:
            if partition in self._ready:
                self._forget(partition)
            self.store.write(partition, changes, last)
            self._applied[partition] = last

    def _is_late(self, partition: int, record: Any, changes: dict[bytes, bytes | None]) -> bool:
        """Return whether a changelog record is behind what is there; the hints go as soon as one may be."""
        at = self._position_of(record.key, record.value)
        if at is None:
            return False
        if at >= self._highest[partition]:  # further than anything before it: the usual case, told without a read
            self._highest[partition] = at
            return False
        there = changes[record.key] if record.key in changes else self._read(partition, record.key)
        known = self._position_of(record.key, there)
        if known is None or known < at:
            return False
        changes.update(dict.fromkeys(self._hints))
        return known > at

    def _is_behind(self, key: bytes, ours: bytes | None, theirs: bytes | None) -> bool:
        at, other = self._position_of(key, ours), self._position_of(key, theirs)
        return other is not None and (at is None or at < other)

    def _position_of(self, key: bytes, value: bytes | None) -> int | None:
        return None if self._position is None or value is None else self._position(key, value[HEADER_BYTES:])

    def _is_ours(self, partition: int, value: bytes | None) -> bool:
        if value is None:
            return True
        try:
            self._check(partition, value)
        except ForeignValueError:
            return False
        return True

    def _foreign(self, partition: int, count: int, topic: str) -> None:
        log.error("%s: %d records in %s-%d are not of this table and were skipped", self.name, count, topic, partition)
        self._alarm("foreign_record", partition, count)

    def _applied_offset(self, partition: int) -> int:
        if partition not in self._applied:
            offset = self.store.persisted_offset(TP(self.changelog_topic_name, partition))
            self._applied[partition] = -1 if offset is None else offset
        return self._applied[partition]


def gaps_between(expected: int, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(first, last) of the offsets between `expected` and the ranges, and between one range and the next."""
    for first, last in sorted(ranges):
        if first > expected:
            yield expected, first - 1
        expected = last + 1
