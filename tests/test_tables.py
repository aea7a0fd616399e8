"""Tables on a real Kafka and RocksDB: what is durable, what comes back, and who is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP
from kafka.admin import NewTopic

from streams import rocks
from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.bulk import Record, SendError, send_many
from streams.faust_app import producer_of
from streams.rocks import SCAN_CHUNK, RocksLimits, RocksStore
from streams.tables import (
    BulkTable,
    ForeignValueError,
    NewerSchemaError,
    SupersededError,
    UnreadChangelogError,
    gaps_between,
)
from streams.transport import PartitionLostError
from tests.faust_support import quick_app, running, until
from tests.kafka_support import produce, read_all

TYPE_ID, SCHEMA = 3, 2
HEADER = bytes((TYPE_ID, SCHEMA))


class Owner:
    """A worker with one table, and everything that the table reported."""

    def __init__(self, kafka: EmbeddedKafka, app_id: str, datadir: Path, **table: Any) -> None:
        self.deaths: list[BaseException] = []
        self.alarms: list[tuple[str, int, int]] = []
        self.events: list[tuple[str, int, dict[bytes, bytes]]] = []
        self.app = quick_app(kafka.bootstrap_servers, app_id, datadir, set())
        self.table = self.app.tables.add(
            BulkTable(
                self.app,
                **{"name": "states", "partitions": 2, "type_id": TYPE_ID, "schema": SCHEMA} | table,
                die=self.deaths.append,
                alarm=lambda *alarm: self.alarms.append(alarm),
            )
        )
        self.table.on_recovered(lambda p: self.events.append(("recovered", p, dict(self.table.partition_items(p)))))
        self.table.on_revoked(lambda p: self.events.append(("revoked", p, {})))

    async def save(self, partition: int, **values: bytes | None) -> int:
        for key, value in values.items():
            if value is None:
                self.table.delete(partition, key.encode())
            else:
                self.table.put(partition, key.encode(), value)
        count: int = await self.table.flush(partition, producer_of(self.app))
        return count

    def changelog(self, partition: int) -> TP:
        return TP(self.table.changelog_topic_name, partition)

    def content(self, partition: int) -> dict[bytes, bytes]:
        return dict(self.table.partition_items(partition))


@pytest.fixture
def app_id(kafka: EmbeddedKafka) -> str:
    """An app id whose changelog exists."""
    name = f"t{uuid.uuid4().hex[:10]}"
    configs = {"cleanup.policy": "compact", "max.message.bytes": "700000"}
    with connect(kafka.bootstrap_servers) as admin:
        admin.create_topics([NewTopic(f"{name}-states-changelog", 2, 1, topic_configs=configs)])
    return name


@pytest.fixture
def owner(kafka: EmbeddedKafka, app_id: str, tmp_path: Path) -> Callable[..., Owner]:
    def make(disk: str = "disk", **table: Any) -> Owner:
        return Owner(kafka, app_id, tmp_path / disk, **table)

    return make


# -- the store, without a broker


@pytest.fixture
def store(tmp_path: Path) -> RocksStore:
    app = quick_app("127.0.0.1:1", "store", tmp_path, set())
    table = BulkTable(app, name="states", partitions=2, type_id=1, schema=1, die=_raise)
    return table.store


def _raise(exc: BaseException) -> None:
    raise exc


def test_a_scan_returns_every_pair_once_and_hides_the_offset(store: RocksStore) -> None:
    pairs = {b"key%05d" % n: b"%d" % n for n in range(2 * SCAN_CHUNK + 1)}
    store.write(0, dict(pairs), 41)
    store.write(0, {b"key00000": None, b"zz": b"last"}, 42)
    expected = [*sorted(pairs.items())[1:], (b"zz", b"last")]
    assert list(store.scan(0)) == expected
    assert store.persisted_offset(TP("any", 0)) == 42
    assert abs(store.estimate(0) - len(expected)) < 5
    assert list(store.scan(1)) == []


def test_a_scan_holds_nothing_while_the_caller_writes_and_closes(store: RocksStore) -> None:
    store.write(0, {b"key%05d" % n: b"v" for n in range(SCAN_CHUNK + 10)}, 1)
    scan = store.scan(0)
    first = next(scan)
    store.write(0, {b"key%05d" % (SCAN_CHUNK + 5): None}, 2)
    assert [first[0], *(key for key, _ in scan)] == [
        b"key%05d" % n for n in range(SCAN_CHUNK + 10) if n != SCAN_CHUNK + 5
    ]


@pytest.mark.parametrize("damage", ["truncated", "condemned"])
def test_a_damaged_database_is_opened_empty(store: RocksStore, damage: str) -> None:
    store.write(0, {b"key": b"value"}, 7)
    store._dbs.pop(0).close()
    if damage == "condemned":
        store.condemn(0)
    else:
        for file in store.partition_path(0).glob("MANIFEST*"):
            file.write_bytes(b"\0" * 50)
    assert store.persisted_offset(TP("any", 0)) is None
    assert list(store.scan(0)) == []
    store.write(0, {b"key": b"value"}, 7)
    store._dbs.pop(0).close()
    assert list(store.scan(0)) == [(b"key", b"value")]


def test_all_databases_of_a_process_share_their_memory(store: RocksStore) -> None:
    limits = RocksLimits()
    assert limits.cache is limits.cache
    assert store.rocksdb_options.limits.write_buffers_bytes <= 64 * 1024 * 1024
    store.write(0, {b"key": b"v" * 100_000}, 1)
    store.write(1, {b"key": b"v" * 100_000}, 1)
    assert store.rocksdb_options.limits.write_buffer_manager.get_usage() >= 200_000


def test_databases_that_are_opened_again_share_their_memory_and_keep_their_filters(store: RocksStore) -> None:
    for _ in range(2):
        for partition in (0, 1):
            store.write(partition, {b"key": b"value"}, 1)
            store._dbs.pop(partition).close()
        one, other = (store._db_for_partition(partition) for partition in (0, 1))
        for database in (one, other):
            assert database.property_int_value("rocksdb.block-cache-capacity") == RocksLimits().block_cache_bytes
        assert list(store.scan(0)) == [(b"key", b"value")]
        used = one.property_int_value("rocksdb.block-cache-usage")
        assert used
        assert used == other.property_int_value("rocksdb.block-cache-usage")
        assert "filter_policy=bloomfilter" in max(store.partition_path(0).glob("OPTIONS-*")).read_text()


def test_a_write_that_is_held_up_lets_other_threads_run_and_is_done_in_the_end(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = store.rocksdb_options.as_options()
    options.set_write_buffer_size(64 * 1024)
    for setting in ("file_num_compaction", "slowdown_writes", "stop_writes"):
        getattr(options, f"set_level_zero_{setting}_trigger")(1)
    waits: list[float] = []
    monkeypatch.setattr(store.rocksdb_options, "as_options", lambda: options)
    monkeypatch.setattr(rocks, "sleep", waits.append)
    for number in range(300):
        store.write(0, {b"key%03d" % number: os.urandom(20_000)}, number)
    assert waits
    assert [key for key, _ in store.scan(0)] == [b"key%03d" % number for number in range(300)]
    assert store.persisted_offset(TP("any", 0)) == 299


def test_a_write_that_fails_for_another_reason_is_not_tried_again(store: RocksStore) -> None:
    class Full:
        def write(self, *_: object) -> None:
            raise OSError("IO error: No space left on device")

    store._dbs[0] = Full()
    with pytest.raises(OSError, match="No space left"):
        store.write(0, {b"key": b"value"}, 1)


@pytest.mark.parametrize(
    ("expected", "ranges", "gaps"),
    [
        (0, [(0, 4)], []),
        (3, [(3, 4), (5, 9)], []),
        (3, [(5, 9)], [(3, 4)]),
        (3, [(3, 4), (7, 9)], [(5, 6)]),
        (3, [(4, 4), (6, 6)], [(3, 3), (5, 5)]),
    ],
)
def test_gaps(expected: int, ranges: list[tuple[int, int]], gaps: list[tuple[int, int]]) -> None:
    assert list(gaps_between(expected, ranges)) == gaps


def test_a_partition_that_is_not_here_cannot_be_used(tmp_path: Path) -> None:
    app = quick_app("127.0.0.1:1", "refused", tmp_path, set())
    table = BulkTable(app, name="states", partitions=2, type_id=1, schema=1, die=_raise)
    for use in (
        lambda: table.get(0, b"key"),
        lambda: table.put(0, b"key", b"value"),
        lambda: table.delete(0, b"key"),
        lambda: list(table.partition_items(0)),
        lambda: table.count(0),
    ):
        with pytest.raises(PartitionLostError):
            use()


# -- with a broker


@pytest.mark.kafka
@pytest.mark.parametrize("disk", ["disk", "fresh"])
async def test_what_was_flushed_comes_back_and_what_was_deleted_does_not(
    owner: Callable[..., Owner], disk: str
) -> None:
    first = owner()
    async with running(first.app):
        await first.save(0, a=b"1", b=b"2", c=b"3")
        assert await first.save(0, a=b"10", c=None) == 2
        assert await first.save(0) == 0
        await first.save(1, d=b"4")
        first.table.put(0, b"never", b"flushed")
        assert first.table.get(0, b"never") == b"flushed"
        assert first.content(0) == {b"a": b"10", b"b": b"2", b"never": b"flushed"}
        assert first.table.get(0, b"c") is None
    second = owner(disk)
    async with running(second.app):
        assert second.content(0) == {b"a": b"10", b"b": b"2"}
        assert second.content(1) == {b"d": b"4"}
        assert second.events == [
            ("recovered", 0, {b"a": b"10", b"b": b"2"}),
            ("recovered", 1, {b"d": b"4"}),
        ]
    assert (first.deaths, second.deaths, second.alarms) == ([], [], [])


@pytest.mark.kafka
async def test_a_partition_whose_changelog_was_not_read_is_never_taken_for_recovered(
    owner: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever makes Faust believe that it is: states would be written that lack what they had."""
    first = owner()
    async with running(first.app):
        await first.save(0, a=b"1")
    second = owner("another disk")
    monkeypatch.setattr(second.app.tables.recovery, "need_recovery", lambda: False)
    async with running(second.app):
        await until(lambda: second.deaths)
    assert isinstance(second.deaths[0], UnreadChangelogError)
    assert "read up to -1 of 0" in str(second.deaths[0])
    assert ("recovered", 0) not in [event[:2] for event in second.events]


@pytest.mark.kafka
async def test_a_rebalance_while_a_changelog_is_read_is_not_its_end(
    owner: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust says that it is: here reading is held until a second worker has joined, and none has a state too few."""
    values = {b"%d" % number: b"v" for number in range(50)}
    first = owner()
    async with running(first.app):
        for partition in (0, 1):
            await first.save(partition, **{key.decode(): value for key, value in values.items()})
    second, third = owner("empty disk"), owner("other empty disk")
    ready_after: list[frozenset[int]] = []
    completed, resume = second.table.on_recovery_completed, second.app.consumer.resume_partitions

    async def seen(active: set[TP], standby: set[TP]) -> None:
        monkeypatch.setattr(second.app.consumer, "resume_partitions", resume)
        await completed(active, standby)
        ready_after.append(second.table.ready_partitions)

    def not_changelogs(partitions: set[TP]) -> None:
        resume({tp for tp in partitions if tp.topic != second.table.changelog_topic_name})

    monkeypatch.setattr(second.table, "on_recovery_completed", seen)
    monkeypatch.setattr(second.app.consumer, "resume_partitions", not_changelogs)
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for one in (second, third):
            stack.push_async_callback(one.app.stop)
        starts = [group.create_task(second.app.start())]  # comes back when all is read
        recovery = second.app.tables.recovery
        await until(lambda: recovery.in_recovery and recovery.active_highwaters[second.changelog(0)] == 49)
        assert ready_after == []
        starts.append(group.create_task(third.app.start()))
        await until(lambda: second.table.ready_partitions | third.table.ready_partitions == {0, 1})
        assert (len(ready_after), ready_after[0]) == (2, frozenset())  # what was held was broken off, and read anew
        for one in (second, third):
            for partition in one.table.ready_partitions:
                assert one.content(partition) == values
        # One after the other: aiokafka leaves connections open where it is stopped in the middle of a rebalance.
        await asyncio.gather(*starts)
        await third.app.stop()
        await until(lambda: second.table.ready_partitions == {0, 1})
        assert [second.content(partition) for partition in (0, 1)] == [values, values]
    assert (second.deaths, third.deaths) == ([], [])


@pytest.mark.kafka
async def test_a_changelog_that_was_not_taken_leaves_the_disk_as_it_was(owner: Callable[..., Owner]) -> None:
    first = owner()
    async with running(first.app):
        await first.save(0, a=b"1")
        with pytest.raises(SendError):
            await first.save(0, a=b"2", large=b"v" * 800_000)  # the topic takes 700,000 bytes
        with pytest.raises(PartitionLostError):
            first.table.get(0, b"a")
        assert first.events[-1][:2] == ("revoked", 0)
        assert dict(first.table.store.scan(0)) == {b"a": HEADER + b"1"}


@pytest.mark.kafka
async def test_a_crash_between_changelog_and_disk_is_healed_by_recovery(
    owner: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise OSError("no space left on device")

    first = owner()
    async with running(first.app):
        await first.save(0, a=b"1")
        monkeypatch.setattr(first.table.store, "write", crash)
        with pytest.raises(OSError, match="no space"):
            await first.save(0, a=b"2")
        assert dict(first.table.store.scan(0)) == {b"a": HEADER + b"1"}
    second = owner()
    async with running(second.app):
        assert second.content(0) == {b"a": b"2"}


@pytest.mark.kafka
async def test_a_partition_that_comes_back_has_what_the_other_worker_wrote(owner: Callable[..., Owner]) -> None:
    first, second, third = owner("one"), owner("two"), owner("one")
    async with running(first.app):
        await first.save(0, kept=b"1", changed=b"1", deleted=b"1")
    async with running(second.app):
        await second.save(0, changed=b"2", deleted=None, added=b"2")
    async with running(third.app):
        assert third.content(0) == {b"kept": b"1", b"changed": b"2", b"added": b"2"}


@pytest.mark.kafka
async def test_hooks_follow_the_partitions_from_worker_to_worker(owner: Callable[..., Owner]) -> None:
    first, second = owner("one"), owner("two")
    async with running(first.app):
        await first.save(0, a=b"0")
        await first.save(1, a=b"1")
        async with running(second.app):
            await until(lambda: len(second.table.ready_partitions) == len(first.table.ready_partitions) == 1)
            (moved,) = second.table.ready_partitions
            assert second.events == [("recovered", moved, {b"a": b"%d" % moved})]
            assert first.events[2:] == [("revoked", moved, {})], "the partition that stays is left alone"
            await second.save(moved, a=b"new")
        await until(lambda: len(first.table.ready_partitions) == 2)
    assert first.events[3] == ("recovered", moved, {b"a": b"new"})


@pytest.mark.kafka
async def test_foreign_records_in_the_changelog_are_skipped_and_reported(
    kafka: EmbeddedKafka, app_id: str, owner: Callable[..., Owner]
) -> None:
    strange = [(b"a", bytes((TYPE_ID + 1, SCHEMA)) + b"x"), (b"a", b"")]
    produce(kafka.bootstrap_servers, f"{app_id}-states-changelog", [(b"a", HEADER + b"1")], partition=0)
    produce(kafka.bootstrap_servers, f"{app_id}-states-changelog", strange, partition=0)
    first = owner()
    async with running(first.app):
        assert first.content(0) == {b"a": b"1"}
    assert first.alarms == [("foreign_record", 0, 2)]


@pytest.mark.kafka
async def test_values_of_a_later_release_stop_the_worker(
    kafka: EmbeddedKafka, app_id: str, owner: Callable[..., Owner]
) -> None:
    newer = [(b"a", bytes((TYPE_ID, SCHEMA + 1)) + b"x")]
    produce(kafka.bootstrap_servers, f"{app_id}-states-changelog", newer, partition=0)
    first = owner()
    async with running(first.app):
        await until(lambda: first.deaths)
    assert isinstance(first.deaths[0], NewerSchemaError)


@pytest.mark.kafka
async def test_values_of_an_older_schema_are_upgraded_when_they_are_read(owner: Callable[..., Owner]) -> None:
    older = owner(schema=1)
    async with running(older.app):
        await older.save(0, a=b"1")
    newer = owner(upgrade=lambda schema, key, payload: b"%d:%s:%s" % (schema, key, payload))
    async with running(newer.app):
        assert newer.table.get(0, b"a") == b"1:a:1"
        assert newer.content(0) == {b"a": b"1"}  # a scan takes them as they are
    without = owner()
    async with running(without.app):
        with pytest.raises(ForeignValueError):
            without.table.get(0, b"a")


@pytest.mark.kafka
async def test_what_a_frozen_worker_wrote_late_is_written_over(
    kafka: EmbeddedKafka, app_id: str, owner: Callable[..., Owner]
) -> None:
    changelog = f"{app_id}-states-changelog"
    first = owner()
    async with running(first.app):
        await first.save(0, a=b"1", b=b"1", gone=b"1")
        await first.save(0, gone=None)
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as stranger:
            late = [Record(key, HEADER + b"late") for key in (b"a", b"b", b"gone")]
            await send_many(stranger, changelog, 0, late)
        await first.save(0, b=b"2")
        assert first.alarms == [("second_writer", 0, 3)]
        assert first.content(0) == {b"a": b"1", b"b": b"2"}
        await first.save(0, c=b"3")
        assert len(first.alarms) == 1
    second = owner("fresh")
    async with running(second.app):
        assert second.content(0) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def _first_digits(key: bytes, value: bytes) -> int | None:
    return None if key == b"hint" else int(value.split()[0])


@pytest.mark.kafka
@pytest.mark.parametrize("disk", ["disk", "fresh"])
async def test_recovery_takes_no_late_record_and_drops_the_hints_beside_it(
    kafka: EmbeddedKafka, app_id: str, owner: Callable[..., Owner], disk: str
) -> None:
    """The owner did not write again before its partition went to somebody else."""
    first = owner(position=_first_digits, hints=frozenset({b"hint"}))
    async with running(first.app):
        await first.save(0, hint=b"a b", a=b"7 new", b=b"8 new")
        await first.save(0, c=b"9 new")
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as stranger:
        late = {b"hint": b"a", b"a": b"5 late", b"c": b"9 new"}
        await send_many(
            stranger, f"{app_id}-states-changelog", 0, [Record(key, HEADER + value) for key, value in late.items()]
        )
    second = owner(disk, position=_first_digits, hints=frozenset({b"hint"}))
    async with running(second.app):
        assert second.content(0) == {b"a": b"7 new", b"b": b"8 new", b"c": b"9 new"}
        assert second.alarms == [("second_writer", 0, 1)]


@pytest.mark.kafka
async def test_a_worker_that_was_cut_off_ends_when_it_finds_the_owner_further(
    kafka: EmbeddedKafka, app_id: str, owner: Callable[..., Owner]
) -> None:
    first = owner(position=_first_digits)
    async with running(first.app):
        await first.save(0, a=b"5", b=b"6")
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as new_owner:
            await send_many(new_owner, f"{app_id}-states-changelog", 0, [Record(b"a", HEADER + b"9")])
        with pytest.raises(SupersededError):
            await first.save(0, b=b"7")
    second = owner("fresh", position=_first_digits)
    async with running(second.app):
        assert second.content(0) == {b"a": b"9", b"b": b"7"}


@pytest.mark.kafka
async def test_records_that_recovery_applies_late_bring_no_old_value_back(
    kafka: EmbeddedKafka, app_id: str, owner: Callable[..., Owner]
) -> None:
    first = owner()
    async with running(first.app):
        await first.save(0, a=b"1")
        await first.save(0, a=b"2")
        first.table._apply(0, read_all(kafka.bootstrap_servers, f"{app_id}-states-changelog"))
        assert first.content(0) == {b"a": b"2"}
        assert first.events == [("recovered", 0, {}), ("recovered", 1, {})]


@pytest.mark.kafka
async def test_ten_thousand_keys_come_back_after_a_lost_disk(owner: Callable[..., Owner], tmp_path: Path) -> None:
    first = owner()
    async with running(first.app):
        for turn in range(3):
            for number in range(10_000):
                first.table.put(0, b"key%d" % number, b"%d-%d" % (turn, number))
            await first.table.flush(0, producer_of(first.app))
    shutil.rmtree(tmp_path / "disk")
    second = owner()
    async with running(second.app):
        assert second.content(0) == {b"key%d" % number: b"2-%d" % number for number in range(10_000)}
        assert 10_000 <= second.table.count(0) <= 31_000
