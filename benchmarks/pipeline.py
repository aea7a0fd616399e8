"""The whole pipeline against the same job on stock Faust and against a bare consumer, in one run, on one topic.

One detection worker (intake → tickets → citizens → alerts; RocksDB; every effect durable before the acknowledgement) takes
all events that wait in Kafka. Measured from "ready" until its group has acknowledged every record of all three topics.
"""

import time
from datetime import date
from typing import NamedTuple

import orjson

from benchmarks.generator import generate_lines
from benchmarks.result import Result, Row
from benchmarks.support import BenchmarkError, Installation, Running, Usage, lag_watch, scratch, usage_of

EVENTS, QUICK_EVENTS = 200_000, 20_000
EVENTS_PER_TICKET = 10
STOCK_SHARE = 0.1
STOCK_EVENTS_MIN = 5_000
EVENTS_PER_SECOND_MIN = 300
"""what is slower than this is taken for stuck"""
START_SECONDS = 30.0
TARGET_PER_SECOND = 5_000
FIRST_YEAR, THEN_YEAR = 2024, 2025


class Drained(NamedTuple):
    """How a process took what waited for it."""

    events: int
    seconds: float
    cpu_seconds: float
    rss_peak_mb: float

    @property
    def per_second(self) -> float:
        """Return the rate."""
        return self.events / self.seconds


def run(quick: bool = False, events: int | None = None) -> Result:
    """Return the measured rates. Raises BenchmarkError where a process failed or an input was refused."""
    events = events or (QUICK_EVENTS if quick else EVENTS)
    stock_events = max(STOCK_EVENTS_MIN, int(events * STOCK_SHARE))
    with scratch() as installation:
        loaded = installation.preload(whole_tickets(stock_events, FIRST_YEAR, "S"))
        stock = _stock(installation, loaded)
        stock_alerts = installation.count("stock-alerts")
        total = loaded + installation.preload(whole_tickets(events - stock_events, THEN_YEAR, "T"))
        bare = _bare(installation, total)
        broker_before = broker_usage(installation)
        pipeline = take_pipeline(installation, total)
        broker = broker_usage(installation).cpu_seconds - broker_before.cpu_seconds
        alerts = installation.count(installation.topics.alerts)
        if refused := installation.count(installation.topics.quarantine):
            raise BenchmarkError(f"{refused} of {total} events were refused")
    return Result(
        "pipeline",
        "Whole pipeline, one worker",
        (
            Row("pipeline ÷ stock Faust, same job", pipeline.per_second / stock.per_second, "×"),
            Row("processor time per event: stock Faust ÷ pipeline", cpu_of(stock) / cpu_of(pipeline), "×"),
            Row("pipeline ÷ bare aiokafka loop that only parses", pipeline.per_second / bare.per_second, "×"),
            Row("pipeline", pipeline.per_second, "events/s", at_least=TARGET_PER_SECOND),
            Row("stock Faust", stock.per_second, "events/s"),
            Row("bare loop", bare.per_second, "events/s"),
            Row("processor time of the worker", cpu_of(pipeline), "µs/event"),
            Row("processor time of the stock worker", cpu_of(stock), "µs/event"),
            Row("processor time of the bare loop", cpu_of(bare), "µs/event"),
            Row("processor time of the broker meanwhile", broker / total * 1e6, "µs/event"),
            Row("memory of the worker, at most", pipeline.rss_peak_mb, "MB"),
            Row("versions of warnings issued", alerts),
            Row("versions of warnings issued by the stock worker", stock_alerts),
        ),
        {"events": total, "events for stock Faust": loaded, "partitions": installation.topics.partitions},
        quick=quick,
    )


def cpu_of(drained: Drained) -> float:
    """Return the processor time per event, in microseconds."""
    return drained.cpu_seconds / drained.events * 1e6


def whole_tickets(events: int, year: int, prefix: str) -> list[bytes]:
    """Return the events of whole tickets, interleaved in time; each call with a year and citizens' matters of its own."""
    tickets = events // EVENTS_PER_TICKET
    return list(generate_lines(tickets, year, start=date(year, 1, 6), identity="phone", prefix=prefix))


def take_pipeline(installation: Installation, events: int, name: str = "worker-1") -> Drained:
    """Measure one worker of the service, whose data are below its name, over everything that waits."""
    topics = installation.topics
    worker, _ = installation.worker(name)
    worker.wait_for("worker ready")
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    return drain(installation, worker, topics.worker_app_id, watched, events)


def _stock(installation: Installation, events: int) -> Drained:
    from benchmarks.stock_faust import ALERTS, APP_ID, CITIZENS, TICKETS

    topics = installation.topics
    installation.create_plain_topics((TICKETS, CITIZENS, ALERTS))
    arguments = [installation.bootstrap_servers, topics.ticket_events, str(topics.partitions)]
    datadir = str(installation.directory / "stock")
    stock = installation.run("stock-faust", ["-m", "benchmarks.stock_faust", *arguments, datadir])
    stock.wait_for("stock ready")
    return drain(installation, stock, APP_ID, (topics.ticket_events, TICKETS, CITIZENS), events)


def drain(installation: Installation, worker: Running, group: str, topics: tuple[str, ...], events: int) -> Drained:
    """Measure from now until the group has acknowledged everything, then stop the worker."""
    began, before = time.monotonic(), worker.usage()
    with lag_watch(installation.bootstrap_servers, group, topics) as watch:
        watch.wait(worker.check, patience_seconds(events))
    seconds, after = time.monotonic() - began, worker.usage()
    worker.stop()
    return Drained(events, seconds, after.cpu_seconds - before.cpu_seconds, after.rss_peak_mb)


def _bare(installation: Installation, events: int) -> Drained:
    arguments = [installation.bootstrap_servers, installation.topics.ticket_events, str(events)]
    bare = installation.run("bare", ["-m", "benchmarks.bare_aiokafka", *arguments])
    return Drained(**orjson.loads(bare.wait(patience_seconds(events))))


def patience_seconds(events: int) -> float:
    """Return how long to wait for a process that takes so many events."""
    return START_SECONDS + events / EVENTS_PER_SECOND_MIN


def broker_usage(installation: Installation) -> Usage:
    """Return what the broker has used so far."""
    return usage_of(installation.kafka.pids[0])
