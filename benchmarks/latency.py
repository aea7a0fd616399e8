"""Event → webhook received, on a whole service: Kafka, workers, dispatch and a receiver, all on this machine.

Events are sent at a steady pace, and then for a while at more than three times that pace, each at its appointed moment whatever
became of the earlier ones. The clock of an event
starts when Kafka takes it (the broker's own timestamp) and ends when the receiver has verified the webhook of a warning
whose trigger the event is. The sender runs beside the receiver; both share the two clocks of one machine.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from alerting.receiver import Receiver, serve
from benchmarks.directory import file_settings, write_office
from benchmarks.endpoints import SECRET_VARIABLE
from benchmarks.generator import generate_events
from benchmarks.result import Result, Row, percentile
from benchmarks.support import BenchmarkError, lag_watch, usage_of
from models.secrets import WebhookSecret
from streams.routes import partition_of
from streams.settings import Settings
from streams.single import SingleMachine
from streams.topics import TopicSet

EVENTS_PER_SECOND = 300
SECONDS, QUICK_SECONDS = 60, 10
BURST_PER_SECOND = 1_000
WARM_UP_SECONDS = 5
WORKERS = 2
PARTITIONS = 8
SHARE_WARNED = 0.1
"""of the events, those of tickets that are handed back twice"""
LANES = 40
"""such tickets at any time; their events take turns"""
SETTLE_SECONDS = 30.0
P50_TARGET_MS, P99_TARGET_MS, BURST_P99_TARGET_MS = 50, 300, 5_000
HISTOGRAM = "hw_event_to_warning_seconds"

Event = dict[str, Any]


class Sent:
    """When each event was due to be sent, and when Kafka took it; in seconds since the epoch."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.taken: dict[str, float] = {}
        self.burst_at = 0.0
        self.ended_at = 0.0


def run(quick: bool = False, seconds: int | None = None, workers: int = WORKERS) -> Result:
    """Return the latencies. Raises BenchmarkError where a warning was lost, doubled or out of order."""
    seconds = seconds or (QUICK_SECONDS if quick else SECONDS)
    secret = secrets.token_hex(24)
    os.environ[SECRET_VARIABLE] = secret
    receiver = Receiver([WebhookSecret.parse(secret)])
    with ExitStack() as stack:
        data = Path(tempfile.mkdtemp(prefix="hotline-watch-bench-"))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        url = stack.enter_context(serve(receiver))
        files = write_office(data, [{"name": "benchmark", "url": url}], ("U-A", "U-B"))
        settings = Settings(core_time="wall", partitions=PARTITIONS, **file_settings(files))
        machine = SingleMachine(settings, data, workers=workers)
        stack.callback(machine.stop)
        machine.start()
        before = _cpu_seconds(machine)
        sent = asyncio.run(_send_all(machine, WARM_UP_SECONDS + seconds, burst_seconds=seconds))
        _settle(machine, receiver)
        busy = {name: used - before[name] for name, used in _cpu_seconds(machine).items()}
        buckets = _buckets(machine)
    load = [
        Row(f"processor share of {name}, burst included", 100 * used / (WARM_UP_SECONDS + 2 * seconds), "% of a core")
        for name, used in busy.items()
    ]
    return _result(receiver, sent, buckets, load, seconds, workers, quick)


def _cpu_seconds(machine: SingleMachine) -> dict[str, float]:
    """Return the processor time that each process has used; the sender and the receiver are this one."""
    pids = {service.name: service.process.pid for service in machine.services if service.process is not None}
    pids |= {"Kafka": machine.kafka.pids[0], "sender and receiver": os.getpid()}
    return {name: usage_of(pid).cpu_seconds for name, pid in pids.items()}


def events_to_send(total: int) -> Iterator[Event]:
    """Yield so many events without `occurred_at`: ordinary tickets, and among them tickets that are handed back twice."""
    ordinary = generate_events(total // 10 + 1, 7, prefix="L")
    warned = handed_back_twice()
    due_at = (datetime.now(tz=UTC) + timedelta(days=14)).isoformat(timespec="seconds")
    every = round(1 / SHARE_WARNED)
    for number in range(total):
        event = next(warned) if number % every == 0 else next(ordinary)
        for name in ("due_at", "until"):
            if name in event:
                event[name] = due_at
        event.pop("occurred_at", None)
        yield event


def handed_back_twice() -> Iterator[Event]:
    """Yield the events of tickets that two units hand back, the second without looking; many tickets at a time."""
    lanes = [_ticket(f"W{number:06d}") for number in range(LANES)]
    for number in count(LANES):
        where = number % LANES
        event = next(lanes[where], None)
        if event is None:
            lanes[where] = _ticket(f"W{number:06d}")
            event = next(lanes[where])
        yield event


def _ticket(name: str) -> Iterator[Event]:
    looked = {"reason_code": "R1", "contacted": True, "site_checked": True, "evidence": ["附件一"]}
    blind = {"reason_code": "R1", "contacted": False, "site_checked": False, "evidence": []}
    registration = {"citizen": {"key": f"citizen-{name}"}, "request_type": "complaint", "category": ["测试类"]}
    story: list[tuple[str, Event]] = [
        ("registered", {**registration, "title": "测试事项", "content": f"测试事项{name}"}),
        ("dispatched", {"unit_id": "U-A", "unit_name": "测试甲单位", "role": "lead", "round": 1, "due_at": ""}),
        ("return_requested", {"unit_id": "U-A", **looked}),
        ("return_approved", {"unit_id": "U-A"}),
        ("dispatched", {"unit_id": "U-B", "unit_name": "测试乙单位", "role": "lead", "round": 2, "due_at": ""}),
        ("return_requested", {"unit_id": "U-B", **blind}),
        ("return_approved", {"unit_id": "U-B"}),
    ]
    for number, (kind, fields) in enumerate(story, 1):
        yield {"event_id": f"{name}-{number:02d}", "ticket_id": name, "type": kind, **fields}


async def _send_all(machine: SingleMachine, seconds: int, burst_seconds: int) -> Sent:
    producer = AIOKafkaProducer(bootstrap_servers=machine.bootstrap_servers, acks="all", linger_ms=0)
    steady = seconds * EVENTS_PER_SECOND
    events = list(events_to_send(steady + burst_seconds * BURST_PER_SECOND))
    sent = Sent()
    waiting: list[asyncio.Task[None]] = []
    await producer.start()
    try:
        began = time.time()
        sent.burst_at = began + seconds
        for number, event in enumerate(events):
            late = number - steady
            due = began + number / EVENTS_PER_SECOND if late < 0 else sent.burst_at + late / BURST_PER_SECOND
            if (ahead := due - time.time()) > 0:
                await asyncio.sleep(ahead)
            waiting.append(asyncio.create_task(_send(producer, machine.topics, event, due, sent)))
        await asyncio.gather(*waiting)
        sent.ended_at = time.time()
    finally:
        await producer.stop()
    return sent


async def _send(producer: AIOKafkaProducer, topics: TopicSet, event: Event, due: float, sent: Sent) -> None:
    event["occurred_at"] = datetime.now(tz=UTC).isoformat()
    key = event["ticket_id"]
    where = partition_of(key, topics.partitions)
    taken = await producer.send_and_wait(topics.ticket_events, orjson.dumps(event), key=key.encode(), partition=where)
    sent.due[event["event_id"]] = due
    sent.taken[event["event_id"]] = taken.timestamp / 1000


def _settle(machine: SingleMachine, receiver: Receiver) -> None:
    """Wait until the workers are done and every warning that is to be pushed was received. Raises BenchmarkError."""
    machine.watch()
    topics = machine.topics
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    with lag_watch(machine.bootstrap_servers, topics.worker_app_id, watched) as watch:
        watch.wait(machine.watch, SETTLE_SECONDS)
    expected = {alert["alert_id"] for alert in _pushed(machine)}
    deadline = time.monotonic() + SETTLE_SECONDS
    while (missing := expected - {one.alert["alert_id"] for one in receiver.accepted}) and time.monotonic() < deadline:
        time.sleep(0.2)
    if missing:
        raise BenchmarkError(f"{len(missing)} of {len(expected)} warnings did not arrive in {SETTLE_SECONDS:g} s")
    if receiver.not_verified or receiver.out_of_order or receiver.duplicates:
        raise BenchmarkError("webhooks came unverified, out of order or doubled")
    if restarts := sum(service.restarts for service in machine.services):
        raise BenchmarkError(f"{restarts} processes had to be started again")


def _pushed(machine: SingleMachine) -> Iterator[Event]:
    topic = machine.topics.alerts
    consumer = KafkaConsumer(
        bootstrap_servers=machine.bootstrap_servers.split(","), auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        parts = [TopicPartition(topic, number) for number in range(machine.topics.partitions)]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < end for part, end in ends.items()):
            for records in consumer.poll(timeout_ms=200).values():
                yield from (alert for record in records if (alert := orjson.loads(record.value))["push"])
    finally:
        consumer.close()


def _buckets(machine: SingleMachine) -> dict[float, float]:
    """Return the workers' histogram of event → durable warning, summed: upper bound in seconds → count up to it."""
    buckets: dict[float, float] = {}
    for service in machine.services:
        text = httpx.get(f"http://127.0.0.1:{service.http_port}/metrics", trust_env=False).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == f"{HISTOGRAM}_bucket":
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0) + sample.value
    return buckets


def estimated_quantile(buckets: dict[float, float], share: float) -> float:
    """Return a quantile of a cumulative histogram, linear within its bucket; 0 where it is empty."""
    ordered = sorted(buckets.items())
    rank = ordered[-1][1] * share if ordered else 0
    below, below_count = 0.0, 0.0
    for bound, reached in ordered:
        if rank and reached >= rank:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (rank - below_count) / (reached - below_count)
        below, below_count = bound, reached
    return 0.0


def _result(
    receiver: Receiver,
    sent: Sent,
    buckets: dict[float, float],
    load: list[Row],
    seconds: int,
    workers: int,
    quick: bool,
) -> Result:
    start = min(sent.due.values()) + WARM_UP_SECONDS
    measured = _triggered(receiver, sent, start, sent.burst_at)
    burst = _triggered(receiver, sent, sent.burst_at, sent.ended_at)
    webhook = [(at - sent.taken[trigger]) * 1000 for at, trigger in measured]
    from_due = [(at - sent.due[trigger]) * 1000 for at, trigger in measured]
    burst_from_due = [(at - sent.due[trigger]) * 1000 for at, trigger in burst]
    return Result(
        "latency",
        "Event → webhook received and verified",
        (
            Row("event → webhook, p50", percentile(webhook, 0.5), "ms", at_most=P50_TARGET_MS),
            Row("event → webhook, p90", percentile(webhook, 0.9), "ms"),
            Row("event → webhook, p99", percentile(webhook, 0.99), "ms", at_most=P99_TARGET_MS),
            Row("event → webhook, max", max(webhook), "ms"),
            Row("from the moment the event was due to be sent, p50", percentile(from_due, 0.5), "ms"),
            Row("from the moment the event was due to be sent, p99", percentile(from_due, 0.99), "ms"),
            Row("event → warning durable (workers' histogram), p50", estimated_quantile(buckets, 0.5) * 1000, "ms"),
            Row("event → warning durable (workers' histogram), p99", estimated_quantile(buckets, 0.99) * 1000, "ms"),
            Row("webhooks measured", len(measured)),
            Row("webhooks per second", len(measured) / seconds),
            Row("burst: from the moment the event was due to be sent, p50", percentile(burst_from_due, 0.5), "ms"),
            Row(
                "burst: from the moment the event was due to be sent, p99",
                percentile(burst_from_due, 0.99),
                "ms",
                at_most=BURST_P99_TARGET_MS,
            ),
            Row("burst: max", max(burst_from_due), "ms"),
            Row("burst: webhooks measured", len(burst)),
            Row("from the burst's last event until its last webhook", max(at for at, _ in burst) - sent.ended_at, "s"),
            *load,
        ),
        {
            "events/s": EVENTS_PER_SECOND,
            "seconds": seconds,
            "warm-up seconds": WARM_UP_SECONDS,
            "burst events/s": BURST_PER_SECOND,
            "burst seconds": seconds,
            "workers": workers,
        },
        quick=quick,
    )


def _triggered(receiver: Receiver, sent: Sent, since: float, until: float) -> list[tuple[float, str]]:
    """Return when webhooks came whose triggers were due in a time, with the triggers. Raises BenchmarkError where there is none."""
    found = [
        (one.received_at, trigger)
        for one in receiver.accepted
        if since <= sent.due.get(trigger := one.alert["trigger"], 0.0) < until
    ]
    if not found:
        raise BenchmarkError("no warning was triggered by an event")
    return found
