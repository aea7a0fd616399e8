"""What an event costs, hop by hop; one worker and two; a burst; recovery: the figures that docs/scale.md reckons with.

    python -m benchmarks.scale [--quick] [--json FILE]

The result is kept in docs/scale.json; `python -m benchmarks.scale_model` writes it, and what follows from it, into docs/scale.md.
"""

import argparse
import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.delivering import Arrivals, Delivery, preload, start_endpoints, wait_until, warnings_of
from benchmarks.directory import write_teams
from benchmarks.endpoints import Endpoint
from benchmarks.pipeline import EVENTS_PER_TICKET, patience_seconds, whole_tickets
from benchmarks.report import RESULTS
from benchmarks.result import Result, Row, lines, write_result
from benchmarks.scale_burst import Surge, burst
from benchmarks.scale_model import RESULT, Measured
from benchmarks.scale_recovery import Recovered, recover
from benchmarks.scale_worker import WRITE_SECONDS
from benchmarks.support import BenchmarkError, Installation, Running, lag_watch, scratch, usage_of
from streams.metrics_flow import Stage

EVENTS, QUICK_EVENTS = 100_000, 5_000
WARNINGS, QUICK_WARNINGS = 2_000, 100
YEAR = 2025
HOPS = (Stage.INTAKE, Stage.TICKETS, Stage.CITIZENS)


class Worked(NamedTuple):
    """How so many workers took the events."""

    events: int
    seconds: float
    cpu_seconds: float
    broker_cpu_seconds: float
    hop_seconds: dict[str, float]

    def per_event(self, seconds: float) -> float:
        """Return that processor time by event, in microseconds."""
        return seconds / self.events * 1e6


def run(quick: bool = False, events: int | None = None) -> Result:
    """Return the costs. Raises BenchmarkError where a process failed or an event was refused."""
    events = events or (QUICK_EVENTS if quick else EVENTS)
    written = whole_tickets(events, YEAR, "T")
    with scratch() as installation:
        one_way = installation.with_topics("one.")
        one = work(one_way, written, 1)
        data_dir = one_way.directory / _name(one_way, 1)
        state_bytes = _bytes(data_dir, "*") / (events // EVENTS_PER_TICKET)
        recovered = recover(one_way, data_dir, lambda: _start(one_way, 1))
        two = work(installation.with_topics("two."), written, 2)
        flow = installation.with_topics("burst.")
        surge = burst(flow, quick=quick)
        dispatch_ms = _dispatch(installation, QUICK_WARNINGS if quick else WARNINGS)
        measured = _measured(flow, surge, dispatch_ms, state_bytes, recovered)
        partitions = installation.topics.partitions
    return Result(
        RESULT,
        "What an event costs, and what a burst does",
        (*measured.rows(), *_hop_rows(one), *_two_rows(one, two), *surge.rows()),
        {
            "events": len(written),
            "partitions": partitions,
            "changes recovered": recovered.changes,
            **surge.parameters(),
        },
        quick=quick,
    )


def work(installation: Installation, written: list[bytes], workers: int) -> Worked:
    """Measure so many workers that take events while these are written."""
    topics = installation.topics
    started = [_start(installation, number) for number in range(1, workers + 1)]
    for worker in started:
        worker.wait_for("worker ready")
    _wait_for_shares(installation, workers)
    broker = installation.kafka.pids[0]
    began, before, broker_before = time.monotonic(), _cpu(started), usage_of(broker).cpu_seconds
    hops_before = _hops(installation, workers)
    events = installation.preload(written)
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    with lag_watch(installation.bootstrap_servers, topics.worker_app_id, watched) as watch:
        watch.wait(lambda: [worker.check() for worker in started] and None, patience_seconds(events))
    seconds, used = time.monotonic() - began, _cpu(started) - before
    broker_used = usage_of(broker).cpu_seconds - broker_before
    time.sleep(2 * WRITE_SECONDS)
    hops = {name: spent - hops_before[name] for name, spent in _hops(installation, workers).items()}
    for worker in started:
        worker.stop()
    if refused := installation.count(topics.quarantine):
        raise BenchmarkError(f"{refused} of {events} events were refused")
    return Worked(events, seconds, used, broker_used, hops)


def _start(installation: Installation, number: int) -> Running:
    name = _name(installation, number)
    program = ("-m", "benchmarks.scale_worker", str(_hops_file(installation, number)))
    worker, _ = installation.worker(name, program=program)
    return worker


def _name(installation: Installation, number: int) -> str:
    return f"{installation.topics.prefix}worker-{number}"


def _hops_file(installation: Installation, number: int) -> Path:
    return installation.directory / f"{_name(installation, number)}.hops"


def _hops(installation: Installation, workers: int) -> dict[str, float]:
    files = [_hops_file(installation, number) for number in range(1, workers + 1)]
    every = [orjson.loads(file.read_bytes()) for file in files]
    return {stage.value: sum(one[stage.value] for one in every) for stage in HOPS}


def _cpu(workers: Sequence[Running]) -> float:
    return sum(worker.usage().cpu_seconds for worker in workers)


def _wait_for_shares(installation: Installation, workers: int) -> None:
    """Wait until each worker has its share of the tickets' databases on disk: an idle one would make two look like one."""
    share = installation.topics.partitions // workers

    def shared() -> bool:
        return all(
            len(list((installation.directory / _name(installation, number)).rglob("*tickets-*.db"))) >= share
            for number in range(1, workers + 1)
        )

    wait_until(shared, lambda: None, 60.0, "not every worker has its partitions")


def _measured(
    flow: Installation, surge: Surge, dispatch_ms: float, state_bytes: float, recovered: Recovered
) -> Measured:
    """Return what an event costs in a flow, which is more than in a backlog: batches are small."""
    events, topics = flow.count(flow.topics.ticket_events), flow.topics

    def per_event(*names: str) -> float:
        folders = [f"{name}-{number}" for name in names for number in range(topics.partitions)]
        data = flow.kafka.data_dir
        return sum(_bytes(found, "*.log") for name in folders for found in data.rglob(name)) / events

    warnings = flow.count(topics.alerts)
    return Measured(
        worker_us=surge.steady.worker_us,
        broker_us=surge.steady.broker_us,
        dispatch_ms=dispatch_ms,
        warnings_per_event=warnings / events,
        source_bytes=per_event(topics.ticket_events),
        internal_bytes=per_event(topics.tickets, topics.citizens),
        changelog_bytes=per_event(topics.tickets_changelog, topics.citizens_changelog),
        warning_bytes=per_event(topics.alerts) * events / max(1, warnings),
        state_bytes=state_bytes,
        changes_per_second=recovered.per_second,
    )


def _bytes(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(pattern) if file.is_file())


def _dispatch(installation: Installation, warnings: int) -> float:
    """Return the processor time of one warning for one subscriber in dispatch, in milliseconds, until its record is durable."""
    secret, name = secrets.token_hex(24), "office"
    endpoints = start_endpoints(installation, secret, name, [Endpoint(name)])
    entries = [{"name": name, "url": endpoints.urls[name], "concurrency": 8}]
    files, departments = write_teams(installation.directory, entries)
    worker, _ = Delivery(installation, files, secret).dispatch()
    before = worker.usage().cpu_seconds
    warned = warnings_of(range(warnings // 4), lambda _: (departments[name],), "s")
    sent = asyncio.run(preload(installation.bootstrap_servers, installation.topics, warned))
    arrivals = Arrivals()

    def all_came() -> bool:
        arrivals.take(endpoints.receipts.read())
        return len(arrivals.first) == sent

    wait_until(all_came, worker.check, 600.0, f"of {sent} warnings some did not arrive")
    arrivals.check()
    topics = installation.topics
    with lag_watch(installation.bootstrap_servers, topics.dispatch_app_id, (topics.alerts, topics.deliveries)) as watch:
        watch.wait(worker.check, 120.0)
    used = worker.usage().cpu_seconds - before
    worker.stop()
    return used / sent * 1000


def _hop_rows(one: Worked) -> tuple[Row, ...]:
    rest = one.cpu_seconds - sum(one.hop_seconds.values())
    return (
        Row("processor time of one worker over a backlog", one.per_event(one.cpu_seconds), "µs/event"),
        *(Row(f"of it {stage.value}", one.per_event(one.hop_seconds[stage.value]), "µs/event") for stage in HOPS),
        Row("of it the rest: Kafka client, changelog, RocksDB's writes, threads", one.per_event(rest), "µs/event"),
    )


def _two_rows(one: Worked, two: Worked) -> tuple[Row, ...]:
    return (
        Row("processor time of the broker meanwhile", one.per_event(one.broker_cpu_seconds), "µs/event"),
        Row("two workers, processor time of both", two.per_event(two.cpu_seconds), "µs/event"),
        Row("two workers ÷ one, processor time per event", two.cpu_seconds / one.cpu_seconds, "×"),
        Row("one worker", one.events / one.seconds, "events/s"),
        Row("two workers", two.events / two.seconds, "events/s"),
    )


def main() -> int:
    """Measure, print the table and keep the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Measure what an event costs.")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; no measurement")
    parser.add_argument("--json", type=Path, help="the file of results")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped and removed
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # new topics: their leaders are on the way
    try:
        result = run(options.quick)
    except BenchmarkError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    file = options.json or RESULTS.with_stem("scale-quick" if options.quick else "scale")
    write_result(file, result)
    print("\n".join(lines(result)), f"\nresults in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
