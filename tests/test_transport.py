"""The batch transport on a real Kafka. The interleavings that a broker does not show on demand are in test_transport_simulated.py."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP
from kafka.admin import NewTopic

from streams import faust_internals
from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.faust_app import EXIT_FAILED, batch_topic
from streams.faust_internals import METHODS, IncompatibleFaustError, check_internals, method_problem
from streams.freeze import FreezeGuard, FrozenError
from streams.transport import split_batch
from tests.faust_support import add_batch_agent, quick_app, running, until
from tests.kafka_support import Worker, committed, eventually, lag, produce, read_all

PARTITIONS = 2


@pytest.fixture
def new_topic(kafka: EmbeddedKafka) -> Callable[..., str]:
    def create(partitions: int = PARTITIONS, **configs: str) -> str:
        name = f"t{uuid.uuid4().hex[:10]}"
        with connect(kafka.bootstrap_servers) as admin:
            admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        return name

    return create


class Seen:
    """What an agent was given: every batch's partition and offsets, in the order of delivery."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[int]]] = []
        self.values: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, partition: int, records: list[Any]) -> None:
        await self.gate.wait()
        assert {record.partition for record in records} == {partition}
        self.batches.append((partition, [record.offset for record in records]))
        self.values += [record.value for record in records]

    def offsets(self, partition: int) -> list[int]:
        return [offset for where, offsets in self.batches for offset in offsets if where == partition]

    @property
    def count(self) -> int:
        return len(self.values)


def app_over(kafka: EmbeddedKafka, tmp_path: Path, topic: str, seen: Any, *, app_id: str = "", **settings: Any) -> Any:
    """An app with one agent over a batch topic. Its disk is its own."""
    datadir = tmp_path / uuid.uuid4().hex
    app = quick_app(kafka.bootstrap_servers, app_id or f"app-{topic}", datadir, {topic}, **settings)
    app.deaths = []
    add_batch_agent(app, topic, seen, app.deaths)
    return app


def numbered(count: int, start: int = 0) -> list[tuple[bytes, bytes]]:
    return [(b"key%d" % number, b"%d" % number) for number in range(start, start + count)]


def all_committed(kafka: EmbeddedKafka, app: Any, topic: str) -> bool:
    return lag(kafka.bootstrap_servers, app.conf.id, topic) == 0


# -- without a broker


@pytest.mark.parametrize(("cls", "name", "parameters"), METHODS, ids=[f"{c.__name__}.{n}" for c, n, _ in METHODS])
def test_faust_has_what_the_transport_relies_on(cls: type, name: str, parameters: tuple[str, ...]) -> None:
    assert method_problem(cls, name, parameters) is None


def test_another_release_is_refused() -> None:
    check_internals()
    with pytest.raises(IncompatibleFaustError, match=r"0\.15\.3 is needed, 0\.15\.4 is installed"):
        check_internals(faust_version="0.15.4")
    with pytest.raises(IncompatibleFaustError, match="aiokafka"):
        check_internals(aiokafka_version="0.15.0")


def test_a_method_that_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = (*METHODS, (SimpleNamespace, "gone", ()), (Seen, "offsets", ("topic", "partition")))
    monkeypatch.setattr(faust_internals, "METHODS", changed)
    with pytest.raises(IncompatibleFaustError, match=r"SimpleNamespace\.gone is missing; Seen\.offsets"):
        check_internals()


def test_batches_are_cut_by_records_and_by_bytes() -> None:
    records = [
        SimpleNamespace(offset=n, key=b"k", value=b"v" * size) for n, size in enumerate([9, 9, 9, 99, 9, 0, 0, 0, 0])
    ]
    records[6].value = records[7].key = None
    chunks = list(split_batch(records, max_records=3, max_bytes=20))
    assert [[record.offset for record in chunk] for chunk in chunks] == [[0, 1], [2], [3], [4, 5, 6], [7, 8]]
    assert list(split_batch([], 3, 20)) == []


@pytest.mark.parametrize("setting", [{"consumer_auto_offset_reset": "latest"}, {"table_standby_replicas": 1}])
async def test_settings_that_would_lose_records_are_refused(tmp_path: Path, setting: dict[str, Any]) -> None:
    app = quick_app("127.0.0.1:1", "refused", tmp_path, {"topic"}, **setting)
    with pytest.raises(ValueError, match=next(iter(setting))):
        _ = app.consumer


# -- with a broker


@pytest.mark.kafka
async def test_an_agent_gets_bounded_batches_in_order_and_commits_them(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    produce(kafka.bootstrap_servers, topic, numbered(1000))
    seen = Seen()
    app = app_over(kafka, tmp_path, topic, seen, max_batch_records=100, max_batch_bytes=600)
    async with running(app):
        await until(lambda: seen.count == 1000)
        await until(lambda: all_committed(kafka, app, topic))
    for partition in range(PARTITIONS):
        offsets = seen.offsets(partition)
        assert offsets == list(range(len(offsets)))
    assert max(len(offsets) for _, offsets in seen.batches) < 100  # 600 bytes are fewer records than 100
    assert max(len(offsets) for _, offsets in seen.batches) > 20
    assert app.deaths == []


@pytest.mark.kafka
async def test_compressed_batches_are_read(kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    codecs = ["gzip", "snappy", "lz4", "zstd"]
    for codec in codecs:
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, compression_type=codec) as producer:
            for number in range(100):
                await producer.send(topic, b"%s %d" % (codec.encode(), number))
    seen = Seen()
    app = app_over(kafka, tmp_path, topic, seen)
    async with running(app):
        await until(lambda: seen.count >= 400)
    assert sorted(seen.values) == sorted(b"%s %d" % (codec.encode(), n) for codec in codecs for n in range(100))


@pytest.mark.kafka
async def test_a_restarted_app_goes_on_where_it_stopped(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    first, second = Seen(), Seen()
    produce(kafka.bootstrap_servers, topic, numbered(300))
    async with running(app_over(kafka, tmp_path, topic, first)):
        await until(lambda: first.count == 300)
    produce(kafka.bootstrap_servers, topic, numbered(300, start=300))
    async with running(app_over(kafka, tmp_path, topic, second)):
        await until(lambda: second.count >= 300)
    assert sorted(map(int, second.values)) == list(range(300, 600))


@pytest.mark.kafka
async def test_nothing_is_lost_while_workers_join_and_leave(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=4)
    seen = [Seen(), Seen(), Seen()]
    apps = [app_over(kafka, tmp_path, topic, each, app_id=f"join-{topic}") for each in seen]
    produced = 0

    async def flow() -> None:
        nonlocal produced
        for _ in range(5):
            await asyncio.to_thread(produce, kafka.bootstrap_servers, topic, numbered(200, produced))
            produced += 200

    async with running(apps[0]):
        await flow()
        for joining in (1, 2):
            async with running(apps[joining]):
                await flow()
                await until(lambda joining=joining: seen[joining].count)  # type: ignore[misc]
        await flow()
        await until(lambda: all_committed(kafka, apps[0], topic))
    assert {int(value) for each in seen for value in each.values} == set(range(produced))


@pytest.mark.kafka
async def test_a_delivery_that_a_rebalance_interrupts_is_made_again(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    slow, other = Seen(), Seen()
    # One batch fits the agent's queue: reading waits with the next in hand.
    blocked = app_over(kafka, tmp_path, topic, slow, app_id=f"i-{topic}", max_batch_records=10, stream_buffer_maxsize=1)
    joining = app_over(kafka, tmp_path, topic, other, app_id=f"i-{topic}")
    slow.gate.clear()
    produce(kafka.bootstrap_servers, topic, numbered(500))
    async with running(blocked):
        await until(lambda: len(blocked.consumer.unacked) >= 1)
        starting = asyncio.create_task(joining.start())
        await until(lambda: blocked.rebalancing)
        slow.gate.set()
        await starting
        await until(lambda: all_committed(kafka, blocked, topic))
        await joining.stop()
    assert {int(value) for value in slow.values + other.values} == set(range(500))
    assert other.count


@pytest.mark.kafka
async def test_a_sought_partition_is_read_again(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    produce(kafka.bootstrap_servers, topic, numbered(50))
    seen = Seen()
    app = app_over(kafka, tmp_path, topic, seen)
    async with running(app):
        await until(lambda: all_committed(kafka, app, topic))
        await app.consumer.seek(TP(topic, 0), 20)
        await until(lambda: seen.count == 80)
        produce(kafka.bootstrap_servers, topic, numbered(10, start=50))
        await until(lambda: all_committed(kafka, app, topic))
    assert seen.offsets(0) == [*range(50), *range(20, 60)]


@pytest.mark.kafka
async def test_batches_and_single_records_live_in_one_app(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    batches, singles = new_topic(), new_topic()
    seen, values = Seen(), set[int]()
    app = app_over(kafka, tmp_path, batches, seen)

    @app.agent(batch_topic(app, singles))
    async def one_by_one(stream: Any) -> None:
        async for value in stream:
            values.add(int(value))

    produce(kafka.bootstrap_servers, batches, numbered(300))
    produce(kafka.bootstrap_servers, singles, numbered(300))
    async with running(app):
        await until(lambda: all_committed(kafka, app, batches) and all_committed(kafka, app, singles))
    assert seen.count == 300
    assert values == set(range(300))


@pytest.mark.kafka
async def test_a_batch_that_failed_is_not_committed_and_ends_the_worker(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    produce(kafka.bootstrap_servers, topic, numbered(20))

    async def fail_on_ten(partition: int, records: list[Any]) -> None:
        if any(record.offset == 10 for record in records):
            raise RuntimeError("poison")

    app = app_over(kafka, tmp_path, topic, fail_on_ten, max_batch_records=4)
    async with running(app):
        await until(lambda: app.deaths)
        await until(lambda: committed(kafka.bootstrap_servers, app.conf.id, topic) == {0: 8})
    assert [str(death) for death in app.deaths] == ["poison"]
    assert committed(kafka.bootstrap_servers, app.conf.id, topic) == {0: 8}


# -- processes


def worker(kafka: EmbeddedKafka, tmp_path: Path, app_id: str, source: str, output: str, *mode: str) -> Worker:
    name = uuid.uuid4().hex
    arguments = [kafka.bootstrap_servers, app_id, str(tmp_path / name), source, output, *mode]
    return Worker(["-m", "tests.transport_worker", *arguments], tmp_path / f"{name}.log")


@pytest.mark.kafka
def test_what_a_killed_worker_had_not_acknowledged_is_done_again(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    source, output = new_topic(), new_topic()
    produce(kafka.bootstrap_servers, source, numbered(20), partition=0)
    produce(kafka.bootstrap_servers, source, numbered(20, start=20), partition=1)
    with worker(kafka, tmp_path, source, source, output, "hold") as held:  # holds partition 0, offset 10
        held.wait_for("HOLDING")
        held.kill()
    assert committed(kafka.bootstrap_servers, source, source).get(0, 0) <= 10
    with worker(kafka, tmp_path, source, source, output) as after:
        eventually(lambda: lag(kafka.bootstrap_servers, source, source) == 0)
        assert after.stop() == 0
    done = {int(record.value or b"") for record in read_all(kafka.bootstrap_servers, output)}
    assert done == set(range(40))


@pytest.mark.kafka
def test_a_send_that_fails_ends_the_process_without_a_commit(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    source, output = new_topic(), new_topic(**{"max.message.bytes": "100"})
    produce(kafka.bootstrap_servers, source, [(b"k", b"v" * 1000)])
    with worker(kafka, tmp_path, source, source, output) as failing:
        assert failing.wait(30.0) == EXIT_FAILED
    assert committed(kafka.bootstrap_servers, source, source) == {}
    assert "SendError" in failing.log()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_that_was_frozen_past_its_session_ends(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    source, output = new_topic(), new_topic()
    with (
        worker(kafka, tmp_path, source, source, output) as frozen,
        worker(kafka, tmp_path, source, source, output) as other,
    ):
        frozen.wait_for("READY")
        other.wait_for("READY")
        frozen.signal(signal.SIGSTOP)
        for partition in range(PARTITIONS):
            produce(kafka.bootstrap_servers, source, numbered(10), partition=partition)
        eventually(lambda: lag(kafka.bootstrap_servers, source, source) == 0)
        frozen.signal(signal.SIGCONT)
        assert frozen.wait(10.0) == EXIT_FAILED
        assert "FrozenError" in frozen.log()
        assert other.stop() == 0


def test_a_freeze_is_noticed_by_whoever_looks_first() -> None:
    now = [100.0]
    guard = FreezeGuard(6.0, clock=lambda: now[0])
    now[0] += 1000
    guard.check()  # not started: nothing to compare with
    guard.tick()
    now[0] += 6.0
    guard.tick()
    now[0] += 6.1
    with pytest.raises(FrozenError, match=r"6\.1 s"):
        guard.check()
    with pytest.raises(FrozenError):
        guard.tick()


@pytest.mark.kafka
def test_a_worker_whose_agent_hangs_still_ends_on_sigterm(
    kafka: EmbeddedKafka, tmp_path: Path, new_topic: Callable[..., str]
) -> None:
    source, output = new_topic(), new_topic()
    produce(kafka.bootstrap_servers, source, numbered(20), partition=0)
    with worker(kafka, tmp_path, source, source, output, "hold") as held:
        held.wait_for("HOLDING")
        held.signal(signal.SIGTERM)
        assert held.wait(10.0) != 0  # the program sets the limit to 3 s
    assert committed(kafka.bootstrap_servers, source, source).get(0, 0) <= 10
