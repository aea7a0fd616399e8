"""What the benchmarks share: a scratch installation on a real Kafka, its processes, their lag and what they used."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError, NotCoordinatorError

from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.broker_secured import Secured
from streams.bulk import Record, send_many
from streams.child_process import ChildProcess
from streams.routes import partition_of
from streams.supervisor import free_port
from streams.topics import TopicSet
from streams.topics_admin import create_topics

READY_SECONDS = 120.0
STOP_SECONDS = 32.0
POLL_SECONDS = 0.2
_PRELOAD_CHUNK = 20_000
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchmarkError(RuntimeError):
    """Something did not work, so there is nothing to report."""


class Usage(NamedTuple):
    """What a process has used: processor time since its start, memory now and at its most."""

    cpu_seconds: float
    rss_mb: float
    rss_peak_mb: float
    anonymous_mb: float
    """of the memory now, what is not backed by files"""


def usage_of(pid: int) -> Usage:
    """Return what a process has used, from /proc (Linux only). Raises OSError where it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kb = {name: int(status[name].split()[0]) for name in ("VmRSS", "VmHWM", "RssAnon")}
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / _TICKS_PER_SECOND, kb["VmRSS"] / 1024, kb["VmHWM"] / 1024, kb["RssAnon"] / 1024)


class Running:
    """A child process with its log."""

    def __init__(self, name: str, arguments: Iterable[str], environment: dict[str, str], log_path: Path) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        assignments = [f"{key}={value}" for key, value in environment.items()]
        self.name = name
        self.started_at = time.monotonic()
        self._process = ChildProcess(["/usr/bin/env", *assignments, sys.executable, *arguments], log_path)
        self.pid = self._process.pid

    def wait_for(self, text: str, timeout_seconds: float = READY_SECONDS) -> float:
        """Return the seconds from its start until it wrote the text. Raises BenchmarkError."""
        deadline = time.monotonic() + timeout_seconds
        while text not in self._process.log_tail(200):
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name} did not say {text!r} in {timeout_seconds:g} s:\n{self.log_tail()}")
            time.sleep(0.01)
        return time.monotonic() - self.started_at

    def wait(self, timeout_seconds: float) -> str:
        """Wait until it ends with 0 and return the last line it wrote. Raises BenchmarkError."""
        if not self._process.wait(timeout_seconds):
            raise BenchmarkError(f"{self.name} still runs after {timeout_seconds:g} s")
        if self._process.exit_status() != 0:
            raise BenchmarkError(f"{self.name} ended with {self._process.exit_status()}:\n{self.log_tail()}")
        return self._process.log_tail(1)

    def check(self) -> None:
        """Raise BenchmarkError where it has ended."""
        if not self._process.alive():
            raise BenchmarkError(f"{self.name} ended with {self._process.exit_status()}:\n{self.log_tail()}")

    def usage(self) -> Usage:
        """Return what it has used so far."""
        return usage_of(self.pid)

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End it, gracefully where it listens."""
        self._process.signal(signal.SIGTERM)
        self._process.stop(timeout_seconds)

    def log_tail(self) -> str:
        """Return the last lines it wrote."""
        return self._process.log_tail(30)


@dataclass
class Installation:
    """A broker with the service's topics below a scratch directory. `scratch` makes and removes it."""

    directory: Path
    kafka: EmbeddedKafka
    topics: TopicSet
    _stack: ExitStack
    _secret: Path = field(init=False)

    def __post_init__(self) -> None:
        self._secret = self.directory / "pseudonym-secret"
        if not self._secret.exists():
            self._secret.write_text(os.urandom(32).hex())
            self._secret.chmod(0o600)

    @property
    def bootstrap_servers(self) -> str:
        """Return the broker's address."""
        return self.kafka.bootstrap_servers

    def worker(
        self,
        name: str = "worker-1",
        settings: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "cli.main", "worker"),
    ) -> tuple[Running, int]:
        """Start a detection worker in recorded time; return it and its http port. Its data are below its name.

        `settings`: further ones, or others, as environment variables. `program`: another than the service's own command.
        """
        port = free_port()
        environment = {
            "HOTLINE_WATCH_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "HOTLINE_WATCH_DATA_DIR": str(self.directory / name),
            "HOTLINE_WATCH_HTTP_PORT": str(port),
            "HOTLINE_WATCH_CORE_TIME": "recorded",
            "HOTLINE_WATCH_PARTITIONS": str(self.topics.partitions),
            "HOTLINE_WATCH_TOPIC_PREFIX": self.topics.prefix,
            "HOTLINE_WATCH_PSEUDONYM_KEYS": orjson.dumps([{"id": "k1", "secret_file": str(self._secret)}]).decode(),
            **(settings or {}),
        }
        return self.run(name, list(program), environment), port

    def with_topics(self, prefix: str) -> "Installation":
        """Return this installation with another set of topics, created now."""
        topics = replace(self.topics, prefix=prefix)
        create_topics(self.bootstrap_servers, topics)
        return replace(self, topics=topics)

    def run(self, name: str, arguments: list[str], environment: dict[str, str] | None = None) -> Running:
        """Start a Python program as a process that ends with this installation."""
        log_path = self.directory / "logs" / f"{name}-{time.monotonic_ns()}.log"
        running = Running(name, arguments, {"PYTHONUNBUFFERED": "1", **(environment or {})}, log_path)
        self._stack.callback(running.stop, 5.0)
        return running

    def preload(self, lines: Iterable[bytes]) -> int:
        """Write ticket events, keyed by ticket, and wait until the broker has them; return their number."""
        return preload(self.bootstrap_servers, self.topics, lines)

    def create_plain_topics(self, names: Iterable[str]) -> None:
        """Create further topics, with Kafka's own defaults."""
        with connect(self.bootstrap_servers) as admin:
            wanted = {name: {"num_partitions": self.topics.partitions, "replication_factor": 1} for name in names}
            admin.create_topics(wanted)
            admin.wait_for_topics(list(wanted))

    def count(self, topic: str) -> int:
        """Return how many records a topic has ever had."""
        return sum(end_offsets(self.bootstrap_servers, [topic]).values())


@contextmanager
def scratch(partitions: int = 8, secured: Secured | None = None) -> Iterator[Installation]:
    """Yield an installation, and leave nothing of it behind. `secured`: further listeners of its broker."""
    directory = Path(tempfile.mkdtemp(prefix="hotline-watch-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        kafka = stack.enter_context(EmbeddedKafka(directory / "kafka", secured=secured))
        topics = TopicSet(partitions=partitions)
        create_topics(kafka.bootstrap_servers, topics)
        yield Installation(directory, kafka, topics, stack)


def preload(bootstrap_servers: str, topics: TopicSet, lines: Iterable[bytes]) -> int:
    """Write ticket events, keyed by ticket, and wait until the broker has them; return their number."""
    return asyncio.run(_preload(bootstrap_servers, topics, lines))


async def _preload(bootstrap_servers: str, topics: TopicSet, lines: Iterable[bytes]) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", max_batch_size=512 * 1024, max_request_size=4 * 1024 * 1024
    )
    await producer.start()
    count = 0
    rest = iter(lines)
    try:
        while chunk := list(islice(rest, _PRELOAD_CHUNK)):
            lanes: dict[int, list[Record]] = {}
            for line in chunk:
                key = orjson.loads(line)["ticket_id"]
                lanes.setdefault(partition_of(key, topics.partitions), []).append(Record(key.encode(), line))
            await asyncio.gather(
                *(send_many(producer, topics.ticket_events, where, records) for where, records in lanes.items())
            )
            count += len(chunk)
    finally:
        await producer.stop()
    return count


def end_offsets(bootstrap_servers: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """Return the next offset of every partition of the topics."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","), enable_auto_commit=False, allow_auto_create_topics=False
    )
    try:
        return _ends(consumer, topics)
    finally:
        consumer.close()


def _ends(consumer: KafkaConsumer, topics: Iterable[str]) -> dict[TopicPartition, int]:
    parts = [TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()]
    ends: dict[TopicPartition, int] = consumer.end_offsets(parts)
    return ends


class LagWatch:
    """Asks how many records a group has not acknowledged, over connections that stay open."""

    def __init__(self, admin: KafkaAdminClient, consumer: KafkaConsumer, group: str, topics: tuple[str, ...]) -> None:
        self._admin, self._consumer, self._group, self._topics = admin, consumer, group, topics

    def remaining(self) -> int:
        """Return the lag over all topics.

        Positions are asked before the ends: an acknowledged record's outputs were in their topic by then, so 0 means
        that nothing is left in any of the topics.
        """
        offsets = self._admin.list_group_offsets(self._group).get(self._group, {})
        done = {(part.topic, part.partition): max(entry.offset, 0) for part, entry in offsets.items()}
        ends = _ends(self._consumer, self._topics)
        return sum(max(0, end - done.get((part.topic, part.partition), 0)) for part, end in ends.items())

    def wait(self, check: Callable[[], None], timeout_seconds: float, allowed: int = 0) -> None:
        """Return when no more than so many records remain; `check` is called between. Raises BenchmarkError."""
        deadline = time.monotonic() + timeout_seconds
        while (left := self._remaining_if_known()) is None or left > allowed:
            check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{left} records of group {self._group} remain after {timeout_seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _remaining_if_known(self) -> int | None:
        try:
            return self.remaining()
        except (CoordinatorNotAvailableError, NotCoordinatorError):
            return None  # the cluster's very first group: its coordinator is on the way


@contextmanager
def lag_watch(bootstrap_servers: str, group: str, topics: tuple[str, ...]) -> Iterator[LagWatch]:
    """Yield a watch over a group's lag."""
    with connect(bootstrap_servers) as admin:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers.split(","), enable_auto_commit=False, allow_auto_create_topics=False
        )
        try:
            yield LagWatch(admin, consumer, group, topics)
        finally:
            consumer.close()
