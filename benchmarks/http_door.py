"""`POST /v1/events` on a real API process and a real Kafka: how fast, how soon answered, and what a kill loses.

Batches of 100 events over a few connections that stay open. Three parts: as fast as it goes, each connection sending its next
batch when the last one is answered; at a steady pace, where the clock of a batch starts at the moment it is due, whether or
not a connection is free; and under load with the process killed (SIGKILL) and started again, the senders trying until they
are answered. Then the topic is read: every event of every batch that was answered 202, in any part, must be there.
"""

import http.client
import os
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import orjson
from kafka import KafkaConsumer, TopicPartition

from benchmarks.generator import generate_lines
from benchmarks.result import Result, Row, percentile
from benchmarks.support import BenchmarkError, Installation, Running, scratch
from streams.supervisor import free_port

BATCH = 100
CONNECTIONS, PACED_CONNECTIONS = 4, 8
EVENTS_PER_SECOND = 2_000
SECONDS, QUICK_SECONDS = 20, 3
KILLS, QUICK_KILLS = 10, 2
PREPARED = 400
P99_TARGET_MS = 200
PATIENCE_SECONDS = 120.0
_TICKETS_EACH_SEED = 5_000
_LOAD_SECONDS = 1.0


class Batch(NamedTuple):
    """Events as they are posted."""

    ids: tuple[str, ...]
    body: bytes


class Supply:
    """New batches without end, and the ids of events whose batch was answered 202. For several threads."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self._lock = threading.Lock()
        self._lines = (line for seed in count(1) for line in _lines(seed))

    def next(self) -> Batch:
        """Return a batch that nobody had."""
        with self._lock:
            lines = list(islice(self._lines, BATCH))
        ids = tuple(orjson.loads(line)["event_id"] for line in lines)
        return Batch(ids, b'{"events": [' + b",".join(lines) + b"]}")

    def was_taken(self, batch: Batch) -> None:
        """Note that a batch was answered 202."""
        with self._lock:
            self.taken.update(batch.ids)


def _lines(seed: int) -> Iterator[bytes]:
    return generate_lines(_TICKETS_EACH_SEED, seed, prefix=f"H{seed}-")


class Api:
    """The API process, always on the same port."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.port, self.token = free_port(), secrets.token_urlsafe(32)
        self._environment = self._settings(installation)
        self.process = self._started()
        self.process.wait_for("api ready")

    def kill(self) -> float:
        """Kill it, start it again, and return the seconds until it serves."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.stop()
        self.process = self._started()
        return self.process.wait_for("api ready")

    def _started(self) -> Running:
        return self._installation.run("api", ["-m", "cli.main", "api"], self._environment)

    def _settings(self, installation: Installation) -> dict[str, str]:
        folder = installation.directory
        _write(folder / "hook.secret", secrets.token_hex(32))
        endpoint = "url: https://nobody.example/alerts, secret: {file: hook.secret}"
        settings = {
            "BOOTSTRAP_SERVERS": installation.bootstrap_servers,
            "PARTITIONS": str(installation.topics.partitions),
            "DATA_DIR": str(folder / "api"),
            "SUBSCRIBERS_FILE": _write(folder / "subscribers.yaml", f"subscribers: [{{name: nobody, {endpoint}}}]"),
            "API_CLIENTS_FILE": _write(
                folder / "clients.yaml", f"clients: [{{name: hotline, role: sender, token: {{inline: {self.token}}}}}]"
            ),
            "API_PORT": str(self.port),
        }
        return {f"HOTLINE_WATCH_{name}": value for name, value in settings.items()}


def _write(path: Path, text: str) -> str:
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


class Sender(threading.local):
    """A connection of each thread's own, opened again when it breaks."""

    def __init__(self, api: Api) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
        self._headers = {"authorization": f"Bearer {api.token}", "content-type": "application/json"}
        self._broken = ""

    def post(self, batch: Batch) -> int:
        """Return the status of the answer, 0 where there is none."""
        try:
            self._connection.request("POST", "/v1/events", batch.body, self._headers)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._broken = type(error).__name__
            return 0

    def must_post(self, batch: Batch, supply: Supply) -> None:
        """Post a batch that has to be taken at once. Raises BenchmarkError."""
        if (status := self.post(batch)) != 202:
            raise BenchmarkError(self._said(status))
        supply.was_taken(batch)

    def keep_posting(self, batch: Batch, supply: Supply) -> int:
        """Post until it is taken; return how often. Raises BenchmarkError where it is refused, or time is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        tries = 1
        while (status := self.post(batch)) != 202:
            if status not in (0, 503) or time.monotonic() > deadline:
                raise BenchmarkError(self._said(status))
            time.sleep(0.05)
            tries += 1
        supply.was_taken(batch)
        return tries

    def _said(self, status: int) -> str:
        return f"a batch was answered {status}" if status else f"a batch was not answered: {self._broken}"


def run(quick: bool = False, seconds: int | None = None, kills: int | None = None) -> Result:
    """Return the measured rates, latencies and losses. Raises BenchmarkError where a batch was refused or not answered."""
    seconds = seconds or (QUICK_SECONDS if quick else SECONDS)
    kills = kills or (QUICK_KILLS if quick else KILLS)
    supply = Supply()
    with scratch() as installation:
        api = Api(installation)
        prepared = [supply.next() for _ in range(PREPARED)]
        sender = Sender(api)
        for batch in prepared[:20]:
            sender.must_post(batch, supply)
        before = api.process.usage().cpu_seconds
        began = time.monotonic()
        fast = _as_fast_as_it_goes(api, supply, prepared, seconds)
        rate = len(fast) * BATCH / (time.monotonic() - began)
        used = api.process.usage()
        paced = _at_a_pace(api, supply, prepared, seconds)
        restarts, tries = _with_kills(api, supply, kills)
        on_topic = _ids_on(installation)
    rows = (
        Row("as fast as it goes", rate, "events/s", at_least=EVENTS_PER_SECOND),
        Row("a batch as fast as it goes, p50", percentile(fast, 0.5), "ms"),
        Row("a batch as fast as it goes, p99", percentile(fast, 0.99), "ms", at_most=P99_TARGET_MS),
        Row("a batch at 2,000 events/s, p50", percentile(paced, 0.5), "ms"),
        Row("a batch at 2,000 events/s, p99", percentile(paced, 0.99), "ms", at_most=P99_TARGET_MS),
        Row("a batch at 2,000 events/s, max", max(paced), "ms"),
        Row("processor time of the API", (used.cpu_seconds - before) / (len(fast) * BATCH) * 1e6, "µs/event"),
        Row("memory of the API, at most", used.rss_peak_mb, "MB"),
        Row("kills under load", kills),
        Row("from a kill to serving again, median", median(restarts), "s"),
        Row("batches posted meanwhile", len(tries)),
        Row("of them posted more than once", sum(1 for tried in tries if tried > 1)),
        Row("events answered 202, in all parts", len(supply.taken)),
        Row("of them not on the topic", len(supply.taken - on_topic.keys()), at_most=0),
    )
    parameters: dict[str, str | int | float] = {"events a batch": BATCH, "seconds each": seconds}
    parameters |= {"connections": CONNECTIONS, "connections at a pace": PACED_CONNECTIONS}
    return Result("http_door", "POST /v1/events", rows, parameters, quick=quick)


def _as_fast_as_it_goes(api: Api, supply: Supply, prepared: list[Batch], seconds: int) -> list[float]:
    """Return how long each batch took, in ms. Batches come round again: a replayed one takes as long."""
    deadline = time.monotonic() + seconds

    def work(first: int) -> list[float]:
        sender, found = Sender(api), []
        for number in count(first, CONNECTIONS):
            began = time.monotonic()
            if began > deadline:
                return found
            sender.must_post(prepared[number % PREPARED], supply)
            found.append((time.monotonic() - began) * 1000)
        return found

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [took for found in pool.map(work, range(CONNECTIONS)) for took in found]


def _at_a_pace(api: Api, supply: Supply, prepared: list[Batch], seconds: int) -> list[float]:
    """Return how long after it was due each batch was answered, in ms."""
    sender, began = Sender(api), time.monotonic()

    def post(number: int, due: float) -> float:
        sender.must_post(prepared[number % PREPARED], supply)
        return (time.monotonic() - due) * 1000

    with ThreadPoolExecutor(PACED_CONNECTIONS) as pool:
        posted = []
        for number in range(seconds * EVENTS_PER_SECOND // BATCH):
            due = began + number * BATCH / EVENTS_PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            posted.append(pool.submit(post, number, due))
        return [one.result() for one in posted]


def _with_kills(api: Api, supply: Supply, kills: int) -> tuple[list[float], list[int]]:
    """Return how long each restart took, in seconds, and how often each batch was posted."""
    over = threading.Event()

    def work(_: int) -> list[int]:
        sender, found = Sender(api), []
        while not over.is_set():
            found.append(sender.keep_posting(supply.next(), supply))
        return found

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        working = [pool.submit(work, number) for number in range(CONNECTIONS)]
        restarts = []
        try:
            for _ in range(kills):
                time.sleep(_LOAD_SECONDS)
                restarts.append(api.kill())
            time.sleep(_LOAD_SECONDS)
        finally:
            over.set()
        return restarts, [tried for one in working for tried in one.result()]


def _ids_on(installation: Installation) -> Counter[str]:
    """Return the ids of the events on the topic, and how often each is there."""
    topic, found = installation.topics.ticket_events, Counter[str]()
    consumer = KafkaConsumer(
        bootstrap_servers=installation.bootstrap_servers.split(","),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
    )
    try:
        parts = [TopicPartition(topic, number) for number in range(installation.topics.partitions)]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < end for part, end in ends.items()):
            for records in consumer.poll(timeout_ms=200).values():
                found.update(orjson.loads(record.value)["event_id"] for record in records)
    finally:
        consumer.close()
    return found
