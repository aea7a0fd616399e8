"""What the benchmarks of delivery share: warnings, a steady sender, one dispatch worker, and what is wrong with what came."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from alerting.directory import DeliveryFiles
from benchmarks.directory import settings_of
from benchmarks.endpoints import READY, SECRET_VARIABLE, Behaviour, Endpoint, Receipt, Receipts, read_plan, write_plan
from benchmarks.latency import handed_back_twice
from benchmarks.support import BenchmarkError, Installation, Running
from models.decode import decode_event
from models.delivery import delivery_id
from models.times import CHINA
from rules.driver import Driver
from rules.engine import Engine
from rules.intake import to_event
from rules.pack import default_pack
from streams.bulk import Record, send_many
from streams.routes import partition_of
from streams.supervisor import free_port
from streams.topics import TopicSet

VERSIONS = 4
"""of each case's warning"""
LANES = 40
"""cases whose versions come in turn"""
DISPATCH_READY = "dispatch ready"
_STATUSES = ("raised", "escalated", "corrected", "corrected")
_PRELOAD_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Warned:
    """One version of a warning."""

    alert_id: str
    case_id: str
    version: int
    accused: tuple[str, ...]

    @property
    def body(self) -> bytes:
        """Return what stands on hw.alerts: a warning as detection writes it, of this case and these units."""
        now = datetime.now(CHINA).isoformat(timespec="seconds")
        return orjson.dumps(
            {
                **_template(),
                "alert_id": self.alert_id,
                "case_id": self.case_id,
                "sequence": self.version,
                "status": _STATUSES[(self.version - 1) % len(_STATUSES)],
                "units": [{"id": unit, "name": f"测试部门{unit[2:]}", "role": "accused"} for unit in self.accused],
                "event_time": now,
                "as_of": now,
                "raised_at": now,
            }
        )


def warnings_of(cases: Iterable[int], accused: Callable[[int], tuple[str, ...]], prefix: str) -> Iterator[Warned]:
    """Yield the versions of so many cases, of `LANES` cases in turn."""
    rest = iter(cases)
    while lanes := list(islice(rest, LANES)):
        for version in range(1, VERSIONS + 1):
            for number in lanes:
                name = f"{prefix}{number:06d}"
                yield Warned(f"{name}-0000-5000-8000-{version:012d}", f"case:{name}", version, accused(number))


@cache
def _template() -> dict[str, Any]:
    """A warning about a ticket that two units handed back, as the default pack writes it."""
    driver = Driver(Engine(default_pack()))
    for second, event in enumerate(handed_back_twice()):
        times = {"occurred_at": f"2025-03-03T10:{second // 60:02d}:{second % 60:02d}+08:00"}
        times |= {name: "2025-03-17T10:00:00+08:00" for name in ("due_at", "until") if name in event}
        for alert in driver.feed(to_event(decode_event(orjson.dumps({**event, **times})), [])):
            return alert.model_dump(mode="json")
    raise AssertionError("it never ends")


@dataclass
class Sent:
    """What was sent, when it was due and when Kafka took it (by the broker's own timestamp); seconds since the epoch."""

    warned: list[Warned] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)


async def send_steadily(
    bootstrap_servers: str, topics: TopicSet, warned: Iterable[Warned], per_second: float, until: Callable[[], bool]
) -> Sent:
    """Send each at its appointed moment, whatever became of the earlier ones; stop early once `until()` is true."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=0)
    sent = Sent()
    waiting: list[asyncio.Task[None]] = []
    await producer.start()
    try:
        began = time.time()
        for number, one in enumerate(warned):
            due = began + number / per_second
            if (ahead := due - time.time()) > 0:
                await asyncio.sleep(ahead)
            if until():
                break
            sent.warned.append(one)
            sent.due[one.alert_id] = due
            waiting.append(asyncio.create_task(_send(producer, topics, one, sent)))
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return sent


async def _send(producer: AIOKafkaProducer, topics: TopicSet, one: Warned, sent: Sent) -> None:
    where = partition_of(one.case_id, topics.partitions)
    headers = [("source-ts", str(time.time_ns() // 1_000_000).encode())]
    key = one.case_id.encode()
    taken = await producer.send_and_wait(topics.alerts, one.body, key=key, partition=where, headers=headers)
    sent.taken[one.alert_id] = taken.timestamp / 1000


async def preload(bootstrap_servers: str, topics: TopicSet, warned: Iterable[Warned]) -> int:
    """Send all of them as fast as Kafka takes them; return their number."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", max_batch_size=512 * 1024, max_request_size=4 * 1024 * 1024
    )
    await producer.start()
    count, rest = 0, iter(warned)
    try:
        while chunk := list(islice(rest, _PRELOAD_CHUNK)):
            lanes: dict[int, list[Record]] = {}
            for one in chunk:
                where = partition_of(one.case_id, topics.partitions)
                lanes.setdefault(where, []).append(Record(one.case_id.encode(), one.body))
            await asyncio.gather(*(send_many(producer, topics.alerts, *lane) for lane in lanes.items()))
            count += len(chunk)
    finally:
        await producer.stop()
    return count


@dataclass
class Endpoints:
    """A process of endpoints."""

    running: Running
    receipts: Receipts
    urls: dict[str, str]
    """by subscriber"""

    def change(self) -> None:
        """Let them go on with their later behaviour."""
        os.kill(self.running.pid, signal.SIGUSR1)


def start_endpoints(installation: Installation, secret: str, name: str, plan: Sequence[Endpoint]) -> Endpoints:
    """Start a process with so many endpoints; `secret` signs what they get."""
    written, output = installation.directory / f"{name}.plan", installation.directory / f"{name}.calls"
    write_plan(written, list(plan))
    output.touch()
    running = installation.run(
        name, ["-m", "benchmarks.endpoints", str(written), str(output)], {SECRET_VARIABLE: secret}
    )
    running.wait_for(READY)
    urls = {one.name: f"http://127.0.0.1:{one.port}/warnings" for one in read_plan(written)}
    return Endpoints(running, Receipts(output), urls)


@dataclass
class Delivery:
    """A dispatch worker beside an installation."""

    installation: Installation
    files: DeliveryFiles
    secret: str = field(repr=False)
    http_port: int = 0

    @property
    def data_dir(self) -> Path:
        """Return where the dispatch worker keeps its table."""
        return self.installation.directory / "dispatch"

    def dispatch(self) -> tuple[Running, float]:
        """Start the dispatch worker as the service does; return it and the seconds until it was ready."""
        self.http_port = free_port()
        environment = {
            SECRET_VARIABLE: self.secret,
            "HOTLINE_WATCH_BOOTSTRAP_SERVERS": self.installation.bootstrap_servers,
            "HOTLINE_WATCH_DATA_DIR": str(self.data_dir),
            "HOTLINE_WATCH_HTTP_PORT": str(self.http_port),
            "HOTLINE_WATCH_PARTITIONS": str(self.installation.topics.partitions),
            **settings_of(self.files),
        }
        running = self.installation.run("dispatch", ["-m", "cli.main", "dispatch"], environment)
        return running, running.wait_for(DISPATCH_READY)

    def metric(self, name: str) -> dict[str, float]:
        """Return what the dispatch worker counts under a name, by subscriber."""
        text = httpx.get(f"http://127.0.0.1:{self.http_port}/metrics", trust_env=False, timeout=30).text
        found: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels["subscriber"]] += sample.value
        return found


def wait_until(done: Callable[[], bool], check: Callable[[], None], timeout_seconds: float, what: str) -> None:
    """Return when it is done; `check` is called between. Raises BenchmarkError with what was waited for."""
    deadline = time.monotonic() + timeout_seconds
    while not done():
        check()
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what} after {timeout_seconds:g} s")
        time.sleep(0.2)


class Arrivals:
    """What healthy endpoints took, each warning once; and everything that was wrong with it."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], float] = {}
        """Subscriber and alert → when it came first, in seconds since the epoch."""
        self.repeated = 0
        """Calls that came again under the same webhook-id: allowed, and without effect."""
        self.wrong: list[str] = []
        self._ids: set[str] = set()
        self._last: dict[tuple[str, str], int] = {}

    def take(self, receipts: Iterable[Receipt]) -> None:
        """Take calls in the order in which they came."""
        for one in receipts:
            if one.behaviour == "unverified":
                self.wrong.append(f"{one.endpoint}: a call that does not verify")
            elif one.behaviour == Behaviour.TAKES:
                self._take(one)

    def _take(self, one: Receipt) -> None:
        if one.webhook_id in self._ids:
            self.repeated += 1
            return
        self._ids.add(one.webhook_id)
        if one.webhook_id != delivery_id(one.endpoint, one.alert_id):
            self.wrong.append(f"{one.endpoint}: another webhook-id than that of {one.alert_id}")
        if (one.endpoint, one.alert_id) in self.first:
            self.wrong.append(f"{one.endpoint}: {one.alert_id} a second time in effect")
        expected = self._last.get((one.endpoint, one.case_id), 0) + 1
        if one.delivery_sequence != expected:
            self.wrong.append(f"{one.endpoint}: number {one.delivery_sequence} of {one.case_id} instead of {expected}")
        self._last[one.endpoint, one.case_id] = one.delivery_sequence
        self.first[one.endpoint, one.alert_id] = one.at

    def check(self) -> None:
        """Raise BenchmarkError where anything was wrong."""
        if self.wrong:
            raise BenchmarkError(f"{len(self.wrong)} things wrong with what came, first: {self.wrong[0]}")
