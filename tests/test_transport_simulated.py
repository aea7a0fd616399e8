"""The batch consumer against a scripted fetcher: every interleaving of reading, moving, delivering and acknowledging
that a seed makes.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

import streams.transport
from streams.faust_app import make_app
from streams.positions import BatchConsumerThread, Fetched, Token
from streams.transport import BatchConsumer, BatchMessage

BATCHES, SINGLES = "batches", "singles"
TPS = [TP(BATCHES, 0), TP(BATCHES, 1), TP(SINGLES, 0), TP(SINGLES, 1)]


def record(tp: TP, offset: int) -> Any:
    return SimpleNamespace(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        key=b"k",
        value=b"v" * (offset % 7),
        headers=(),
        timestamp=1000,
        timestamp_type=0,
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
    )


class ScriptedThread:
    """Stands for the consumer's thread: a log per partition, positions, and seeks that take their time."""

    def __init__(self, consumer: BatchConsumer, logs: Mapping[TP, list[int]], choose: random.Random) -> None:
        self.consumer, self.logs, self.choose = consumer, logs, choose
        self.assigned: object = object()
        self.moves: dict[TP, int] = defaultdict(int)
        self.position: dict[TP, int] = dict.fromkeys(logs, 0)
        self.committed: dict[TP, int | None] = dict.fromkeys(logs)

    def token(self, tp: TP) -> Token:
        return self.assigned, self.moves[tp]

    def highwater(self, tp: TP) -> int:
        return self.logs[tp][-1] + 1

    def assignment(self) -> set[TP]:
        return set(self.logs)

    def reassign(self) -> None:
        self.assigned = object()
        self.position = {tp: offset or 0 for tp, offset in self.committed.items()}

    async def linger(self) -> None:
        for _ in range(self.choose.randrange(60) if self.choose.random() < 0.05 else self.choose.randrange(4)):
            await asyncio.sleep(0)

    async def getmany(self, active_partitions: set[TP], timeout: float) -> Any:  # noqa: ASYNC109
        await self.linger()
        if not self.consumer.flow_active:
            return {}
        records = {}
        for tp, offsets in self.logs.items():
            if active_partitions and tp not in active_partitions:
                continue  # as aiokafka: an empty set means all
            due = [offset for offset in offsets if offset >= self.position[tp]][: self.choose.randrange(1, 12)]
            if due:
                records[tp] = [record(tp, offset) for offset in due]
                self.position[tp] = due[-1] + 1
        fetched = Fetched(records, {tp: self.token(tp) for tp in records})
        await self.linger()
        return fetched if records else None

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        found = dict(self.committed)
        for tp, offset in found.items():
            await self.linger()
            self.moves[tp] += 1
            self.position[tp] = offset or 0
        await self.linger()
        return found


class Simulation:
    """Fetcher, agent, commits and rebalances of one seed; asserts that nothing is committed before it was processed."""

    def __init__(self, app: Any, seed: int) -> None:
        self.app, self.choose = app, random.Random(seed)
        self.consumer: BatchConsumer = app.consumer
        offsets = {tp: sorted(self.choose.sample(range(200), 120)) for tp in TPS}
        self.thread = ScriptedThread(self.consumer, offsets, self.choose)
        self.consumer._thread.thread_loop.close()
        self.consumer._thread = self.thread  # type: ignore[assignment]
        self.consumer.callback = self.deliver
        self.consumer._on_partitions_assigned = self.nothing
        self.consumer.commit = self.nothing
        app.topics._acking_topics.update((BATCHES, SINGLES))
        self.queue: deque[Any] = deque()
        self.processed: dict[TP, set[int]] = defaultdict(set)
        self.in_flight = 0
        self.over = False

    async def nothing(self, *_: Any) -> None: ...

    async def deliver(self, message: Any) -> None:
        await self.thread.linger()
        message.incref()
        self.queue.append(message)

    async def agent(self) -> None:
        while not self.over:
            await self.thread.linger()
            await asyncio.sleep(0)
            if not self.queue or not self.consumer.flow_active:
                continue
            message = self.queue.popleft()
            if message.generation_id != self.app.consumer_generation_id:
                continue
            message.tracked = True
            self.consumer.track_message(message)
            if self.consumer.is_obsolete(SimpleNamespace(message=message)) or self.choose.random() < 0.02:
                self.consumer.abandon(SimpleNamespace(message=message))
                continue
            self.in_flight += 1
            records = message.value if isinstance(message, BatchMessage) else [message]
            await self.thread.linger()
            for entry in records:
                self.process(message.tp, entry.offset)
            message.ack(self.consumer)
            self.in_flight -= 1

    def process(self, tp: TP, offset: int) -> None:
        missing = {found for found in self.thread.logs[tp] if found < offset} - self.processed[tp]
        assert not missing, f"{tp} offset {offset} is processed before {sorted(missing)}"
        self.processed[tp].add(offset)

    def commit(self) -> None:
        for tp in list(self.consumer._filter_tps_with_pending_acks()):
            offset = self.consumer._new_offset(tp)
            if offset is not None and self.consumer._should_commit(tp, offset):
                missing = {found for found in self.thread.logs[tp] if found < offset} - self.processed[tp]
                assert not missing, f"{tp} committed {offset}, but {sorted(missing)} were never processed"
                self.thread.committed[tp] = self.consumer._committed_offset[tp] = offset

    async def rebalance(self) -> None:
        self.consumer.stop_flow()
        self.queue.clear()
        while self.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0)
        if self.choose.random() < 0.7:
            self.commit()
        self.thread.reassign()
        await self.thread.linger()
        self.app.consumer_generation_id += 1
        await self.consumer.on_partitions_assigned(set(TPS), self.app.consumer_generation_id)
        self.consumer.pause_partitions(TPS)
        self.app.flow_control.resume()
        early = self.choose.random() < 0.5  # recovery of tables lets the flow run before the seek
        if early:
            self.consumer.resume_flow()
            await self.thread.linger()
        self.consumer.resume_partitions(set(TPS))
        await self.consumer.perform_seek()
        self.consumer.resume_flow()

    async def run(self) -> None:
        agent = asyncio.create_task(self.agent())
        reader = self.start_reading()
        self.consumer.stop_flow()
        for _ in range(self.choose.randrange(2, 8)):
            await self.rebalance()
            for _ in range(self.choose.randrange(150)):
                await asyncio.sleep(0)
                if self.choose.random() < 0.1:
                    self.commit()
                if self.choose.random() < 0.05:
                    tps = {self.choose.choice(TPS)}
                    self.consumer.pause_partitions(tps)
                    await self.thread.linger()
                    self.consumer.resume_partitions(tps)
            if self.choose.random() < 0.3:
                reader = await self.restart(reader)
        for _ in range(20_000):
            await asyncio.sleep(0)
            self.commit()
            if all(self.thread.committed[tp] == self.thread.logs[tp][-1] + 1 for tp in TPS):
                break
        self.over = True
        self.consumer._stopped.set()
        await asyncio.gather(agent, reader)
        assert self.thread.committed == {tp: offsets[-1] + 1 for tp, offsets in self.thread.logs.items()}

    def start_reading(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.consumer._drain_messages(SimpleNamespace(should_stop=False)))

    async def restart(self, reader: asyncio.Task[None]) -> asyncio.Task[None]:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        return self.start_reading()


@pytest.mark.parametrize("seed", range(150))
async def test_every_record_is_processed_before_its_offset_is_committed(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.transport, "IDLE_SECONDS", 0.0)
    app = make_app("simulated", bootstrap_servers="127.0.0.1:1", datadir=tmp_path, batch_topics={BATCHES})
    app.transport.max_batch_records = 5
    await Simulation(app, seed).run()


async def test_a_look_for_stuck_partitions_survives_one_that_is_being_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    tp = driver.TopicPartition(BATCHES, 0)
    subscriptions = SubscriptionState()
    subscriptions.subscribe({BATCHES})
    subscriptions.assign_from_subscribed([tp])
    state = subscriptions.subscription.assignment.state_value(tp)
    state.timestamp = 1_000  # it was read before
    state.await_reset(-2)  # and is on its way to its beginning
    thread = BatchConsumerThread.__new__(BatchConsumerThread)
    thread.consumer = SimpleNamespace(
        app=SimpleNamespace(monitor=object(), topics=SimpleNamespace(acks_enabled_for=bool))
    )
    thread.time_started, thread.tp_fetch_request_timeout_secs = 0.0, 1e9
    reader = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
    monkeypatch.setattr(BatchConsumerThread, "_ensure_consumer", lambda _: reader)
    with pytest.raises(AssertionError):
        driver.AIOKafkaConsumerThread.verify_event_path(
            thread, 2.0, TP(BATCHES, 0)
        )  # which is why there is one of our own
    thread.verify_event_path(2.0, TP(BATCHES, 0))
    subscriptions.unsubscribe()
    thread.verify_event_path(2.0, TP(BATCHES, 0))


CHANGELOG = TP("changelog", 0)


class OneFetch(ScriptedThread):
    """All there is comes at once, at whatever moment the test lets it."""

    async def call_thread(self, fun: Any, *args: Any) -> Any:
        return await fun(*args)

    async def seek_back(self, tp: TP, token: Token, offset: int) -> None:
        if self.token(tp) == token:
            self.moves[tp] += 1
            self.position[tp] = offset

    async def linger(self) -> None: ...


def _recovering(tmp_path: Path) -> tuple[BatchConsumer, OneFetch, list[Any]]:
    """Return a consumer whose one partition is a changelog, its thread, and what was delivered."""
    app = make_app("recovering", bootstrap_servers="127.0.0.1:1", datadir=tmp_path, batch_topics=set())
    app.tables._changelogs[CHANGELOG.topic] = SimpleNamespace(changelog_in_batches=True)  # type: ignore[assignment]
    consumer: BatchConsumer = app.consumer  # type: ignore[assignment]
    thread = OneFetch(consumer, {CHANGELOG: list(range(5))}, random.Random(1))
    consumer._thread.thread_loop.close()
    consumer._thread = thread  # type: ignore[assignment]
    delivered: list[Any] = []

    async def deliver(message: Any) -> None:
        delivered.extend(message.value)

    async def nothing(*_: Any, **__: Any) -> None: ...

    consumer.callback = deliver  # type: ignore[method-assign]
    consumer._on_partitions_assigned = nothing
    return consumer, thread, delivered


async def test_a_worker_that_had_no_partition_reads_none_before_recovery_has_sought_it(tmp_path: Path) -> None:
    consumer, thread, _ = _recovering(tmp_path)
    consumer.resume_flow()  # so it is with a worker that has nothing to do
    await consumer.on_partitions_assigned({CHANGELOG}, 1)
    await consumer._read_once()
    assert thread.position[CHANGELOG] == 0


async def test_changelog_records_that_come_before_recovery_takes_them_come_again(tmp_path: Path) -> None:
    consumer, thread, delivered = _recovering(tmp_path)
    consumer.app.consumer_generation_id = 1
    await consumer.on_partitions_assigned({CHANGELOG}, 1)
    consumer.resume_flow()
    fetch = consumer._get_fetched({CHANGELOG})  # under way since before the partition was paused
    consumer.pause_partitions({CHANGELOG})
    consumer._fetch = asyncio.ensure_future(fetch)
    consumer._get_active_partitions().add(TP("another", 0))  # or nothing would be read
    await consumer._read_once()
    assert delivered == []
    assert thread.position[CHANGELOG] == 0
    assert not consumer._must_seek
    consumer.resume_partitions({CHANGELOG})
    while len(delivered) < 5:
        await consumer._read_once()
    assert [one.offset for one in delivered] == list(range(5))


async def test_a_changelog_that_was_sought_meanwhile_does_not_go_back(tmp_path: Path) -> None:
    consumer, thread, delivered = _recovering(tmp_path)
    consumer.app.consumer_generation_id = 1
    await consumer.on_partitions_assigned({CHANGELOG}, 1)
    consumer.resume_flow()
    consumer._fetch = asyncio.ensure_future(consumer._get_fetched({CHANGELOG}))
    await asyncio.wait([consumer._fetch])
    thread.moves[CHANGELOG] += 1  # recovery knows better where to begin
    thread.position[CHANGELOG] = 3
    consumer._get_active_partitions().add(TP("another", 0))
    await consumer._read_once()
    assert (delivered, thread.position[CHANGELOG]) == ([], 3)
