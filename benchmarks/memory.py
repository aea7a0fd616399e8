"""A worker's memory with very many open tickets: after it took them, after a restart, and after it lost its disk.

Tickets that stay open are the ones a worker must keep: each has a deadline in memory and a state in RocksDB. Every ticket
comes with its first events only (registered, dispatched, then mostly accepted), all within two days of recorded time.
"""

import itertools
import shutil
import time
from collections.abc import Iterator

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.generator import START, generate_lines
from benchmarks.result import Result, Row
from benchmarks.support import BenchmarkError, Installation, Running, Usage, lag_watch, scratch
from models.times import parse_instant
from streams.ticking import send_ticks

TICKETS, QUICK_TICKETS = 200_000, 10_000
EVENTS_PER_TICKET = 3
DAYS = 2
TARGET_MB = 400
TIMEOUT_SECONDS = 900.0


def run(quick: bool = False, tickets: int | None = None) -> Result:
    """Return the worker's memory. Raises BenchmarkError where a ticket is missing in its table."""
    tickets = tickets or (QUICK_TICKETS if quick else TICKETS)
    with scratch() as installation:
        empty, _ = _start(installation)
        idle = empty.usage()
        empty.stop()
        events = installation.preload(first_events(tickets))
        worker, port = _start(installation)
        began = time.monotonic()
        _settle(installation, worker)
        seconds = time.monotonic() - began
        _check_states(port, tickets)
        full = worker.usage()
        worker.stop()
        restarted, restart_seconds = _again(installation, tickets)
        shutil.rmtree(installation.directory / "worker-1")
        rebuilt, rebuild_seconds = _again(installation, tickets)
    return Result(
        "memory",
        f"Memory of one worker with {tickets:,} open tickets",
        (
            Row("after taking all events", full.rss_mb, "MB", at_most=TARGET_MB),
            Row("at most meanwhile", full.rss_peak_mb, "MB", at_most=TARGET_MB),
            Row("of it not backed by files", full.anonymous_mb, "MB"),
            Row("the same worker with nothing to keep", idle.rss_mb, "MB"),
            Row("after a restart, every partition opened", restarted.rss_mb, "MB", at_most=TARGET_MB),
            Row("from start to ready, its disk kept", restart_seconds, "s"),
            Row("after a restart without its disk, every partition opened", rebuilt.rss_mb, "MB", at_most=TARGET_MB),
            Row("at most while it rebuilt its tables", rebuilt.rss_peak_mb, "MB", at_most=TARGET_MB),
            Row("from start to ready, tables rebuilt from the changelog", rebuild_seconds, "s"),
            Row("events taken per second", events / seconds, "events/s"),
        ),
        {"tickets": tickets, "events": events, "partitions": installation.topics.partitions},
        quick=quick,
    )


def first_events(tickets: int) -> Iterator[bytes]:
    """Yield the first events of so many tickets, ticket by ticket."""
    lines = generate_lines(tickets, 1, open_share=1.0, interleaved=False, tickets_per_day=max(1, tickets // DAYS))
    for _, events in itertools.groupby(lines, key=_ticket_of):
        yield from itertools.islice(events, EVENTS_PER_TICKET)


def _ticket_of(line: bytes) -> bytes:
    return line.split(b'"ticket_id":"', 1)[1].split(b'"', 1)[0]


def _start(installation: Installation) -> tuple[Running, int]:
    worker, port = installation.worker()
    worker.wait_for("worker ready", TIMEOUT_SECONDS)
    return worker, port


def _settle(installation: Installation, worker: Running) -> None:
    topics = installation.topics
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    with lag_watch(installation.bootstrap_servers, topics.worker_app_id, watched) as watch:
        watch.wait(worker.check, TIMEOUT_SECONDS)


def _again(installation: Installation, tickets: int) -> tuple[Usage, float]:
    """Start the worker again, let a tick open every partition; return what it uses then, and the seconds until it was ready."""
    worker, port = installation.worker()
    seconds = worker.wait_for("worker ready", TIMEOUT_SECONDS)
    send_ticks(installation.bootstrap_servers, installation.topics, parse_instant(f"{START}T00:00:00+08:00"))
    _settle(installation, worker)
    _check_states(port, tickets)
    used = worker.usage()
    worker.stop()
    return used, seconds


def _check_states(port: int, tickets: int) -> None:
    """Wait until the worker says that it holds so many tickets. Raises BenchmarkError."""
    deadline = time.monotonic() + 10
    while (held := _states(port)) != tickets:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the worker holds {held} tickets instead of {tickets}")
        time.sleep(0.2)


def _states(port: int) -> int:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "hw_states" and sample.labels["table"] == "tickets":
                return int(sample.value)
    return 0
