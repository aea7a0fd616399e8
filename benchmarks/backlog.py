"""A dead endpoint's backlog: `python -m benchmarks.backlog [--pending N] [--json FILE]`.

One dispatch worker, as the service starts it, and two subscribers. One's endpoint refuses every connection while very many warnings are
queued for it (four versions a case). Measured: what that takes in memory; how long a restart takes, with the table on disk and without;
and, once the endpoint is back, how the calls begin, how long it takes until all were taken, and what the other subscriber
notices of it. The run fails if anything is lost, doubled in effect, or out of the order of its case.
"""

import argparse
import asyncio
import itertools
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.delivering import (
    VERSIONS,
    Arrivals,
    Delivery,
    Endpoints,
    Sent,
    preload,
    send_steadily,
    start_endpoints,
    wait_until,
    warnings_of,
)
from benchmarks.directory import write_teams
from benchmarks.endpoints import Endpoint, Receipt
from benchmarks.result import Result, Row, lines, percentile, write_result
from benchmarks.support import BenchmarkError, Installation, Running, Usage, lag_watch, scratch
from streams.supervisor import free_port

PENDING, QUICK_PENDING = 20_000, 2_000
CONCURRENCY = 8
WELL, DEAD = "well", "dead"
PER_SECOND = 10.0
"""warnings for the other subscriber"""
BASELINE_SECONDS = 20
RAMP_SECONDS = 5
TIMEOUT_SECONDS = 3_600.0
MEMORY_TARGET_MB, READY_TARGET_S, P99_TARGET_MS = 400, 20, 1_000


@dataclass(frozen=True, slots=True)
class Restart:
    """A dispatch worker that was started again over its backlog."""

    ready_seconds: float
    first_call_seconds: float
    """from its start until the other subscriber had a warning that had come meanwhile"""
    used: Usage


@dataclass
class Backlog:
    """Two subscribers, and the dispatch worker."""

    installation: Installation
    delivery: Delivery
    departments: dict[str, str]
    well: Endpoints
    worker: Running
    arrivals: Arrivals = field(default_factory=Arrivals)
    _prefixes: "itertools.count[int]" = field(default_factory=itertools.count)

    def queue(self, pending: int) -> tuple[float, float]:
        """Queue so much for the dead endpoint; return how many seconds it took to send, and until all was in the table."""
        began = time.monotonic()
        warned = warnings_of(range(pending // VERSIONS), lambda _: (self.departments[DEAD],), "d")
        sent = asyncio.run(preload(self.installation.bootstrap_servers, self.installation.topics, warned))
        seconds = time.monotonic() - began
        self._idle()
        self._check_pending(sent)
        return seconds, time.monotonic() - began

    def restart(self, pending: int, *, keep_disk: bool) -> Restart:
        """Start the worker again, with one warning for the other subscriber waiting."""
        self.worker.stop()
        if not keep_disk:
            shutil.rmtree(self.delivery.data_dir)
        sent = self.send_to_well(1)
        started_at = time.time()
        self.worker, ready_seconds = self.delivery.dispatch()
        self.wait_for(sent)
        first = max(self.arrivals.first[WELL, one.alert_id] for one in sent.warned)
        self._idle()
        self._check_pending(pending)
        return Restart(ready_seconds, first - started_at, self.worker.usage())

    def send_to_well(self, warnings: int | None, until: Callable[[], bool] = lambda: False) -> Sent:
        """Send so many warnings to the other subscriber (None: without an end), or until something is so."""
        cases = itertools.count() if warnings is None else range(-(-warnings // VERSIONS))
        warned = warnings_of(cases, lambda _: (self.departments[WELL],), f"w{next(self._prefixes)}-")
        topics = self.installation.topics
        coming = send_steadily(
            self.installation.bootstrap_servers, topics, itertools.islice(warned, warnings), PER_SECOND, until
        )
        return asyncio.run(coming)

    def wait_for(self, sent: Sent) -> list[float]:
        """Return the milliseconds that each warning took to the other subscriber, once all are there."""
        names = [one.alert_id for one in sent.warned]

        def all_came() -> bool:
            self.arrivals.take(self.well.receipts.read())
            return all((WELL, name) in self.arrivals.first for name in names)

        wait_until(all_came, self.worker.check, 120.0, f"of {len(names)} warnings some did not arrive")
        return [(self.arrivals.first[WELL, name] - sent.taken[name]) * 1000 for name in names]

    def _idle(self) -> None:
        topics = self.installation.topics
        watched = (topics.alerts, topics.deliveries)
        with lag_watch(self.installation.bootstrap_servers, topics.dispatch_app_id, watched) as watch:
            # Now and then the dead endpoint is tried, and the record of that is on its way.
            watch.wait(self.worker.check, TIMEOUT_SECONDS, allowed=5)

    def _check_pending(self, expected: int) -> None:
        held = self.delivery.metric("hw_dispatch_pending")[DEAD]
        if held != expected:
            raise BenchmarkError(f"the worker holds {held:g} deliveries instead of {expected}")


@dataclass(frozen=True, slots=True)
class Drain:
    """How a backlog left."""

    calls: list[Receipt]
    back_at: float
    """when the endpoint was there again, in seconds since the epoch"""
    well_ms: list[float]
    cpu_share: float
    used: Usage

    @property
    def first_at(self) -> float:
        """Return when the first call came."""
        return self.calls[0].at

    def ramp(self) -> list[Row]:
        """Return how many calls came in each of the first seconds."""
        counts = Counter(int(call.at - self.first_at) for call in self.calls)
        return [Row(f"calls in second {second + 1}", counts[second]) for second in range(RAMP_SECONDS)]


def drain(backlog: Backlog, secret: str, port: int, pending: int) -> Drain:
    """Let the endpoint come back, and the other subscriber go on; return when all were taken. Raises BenchmarkError."""
    back = start_endpoints(backlog.installation, secret, DEAD, [Endpoint(DEAD, port)])
    back_at = time.time()
    cpu = backlog.worker.usage().cpu_seconds

    def all_came() -> bool:
        backlog.worker.check()
        backlog.arrivals.take(back.receipts.read())
        if time.time() - back_at > TIMEOUT_SECONDS:
            raise BenchmarkError(f"{len(back.receipts.all)} calls in {TIMEOUT_SECONDS:g} s")
        return len(back.receipts.all) >= pending and _taken(backlog.arrivals) == pending

    sent = backlog.send_to_well(None, all_came)
    seconds = time.time() - back_at
    used = backlog.worker.usage()
    well_ms = backlog.wait_for(sent)
    if not back.receipts.all:
        raise BenchmarkError("the endpoint that was back was not called")
    return Drain(back.receipts.all, back_at, well_ms, (used.cpu_seconds - cpu) / seconds, used)


def _taken(arrivals: Arrivals) -> int:
    return sum(name == DEAD for name, _ in arrivals.first)


def run(quick: bool = False, pending: int | None = None) -> Result:
    """Return the measurements. Raises BenchmarkError where something was lost, doubled or out of order."""
    pending = pending or (QUICK_PENDING if quick else PENDING)
    pending -= pending % VERSIONS
    with scratch() as installation:
        secret, port = secrets.token_hex(24), free_port()
        well = start_endpoints(installation, secret, WELL, [Endpoint(WELL)])
        urls = {**well.urls, DEAD: f"http://127.0.0.1:{port}/warnings"}
        entries = [{"name": name, "url": url, "concurrency": CONCURRENCY} for name, url in urls.items()]
        files, departments = write_teams(installation.directory, entries)
        delivery = Delivery(installation, files, secret)
        worker, _ = delivery.dispatch()
        idle = worker.usage()
        backlog = Backlog(installation, delivery, departments, well, worker)
        sent_seconds, queued_seconds = backlog.queue(pending)
        full = worker.usage()
        kept = backlog.restart(pending, keep_disk=True)
        lost = backlog.restart(pending, keep_disk=False)
        before = backlog.wait_for(backlog.send_to_well(int(BASELINE_SECONDS * PER_SECOND)))
        drained = drain(backlog, secret, port, pending)
        wait_until(
            lambda: not delivery.metric("hw_dispatch_pending")[DEAD], backlog.worker.check, 60.0, "not all recorded"
        )
        backlog.worker.stop()
    backlog.arrivals.check()
    memory = (idle, full, kept.used, lost.used)
    return _result(
        pending, memory, (sent_seconds, queued_seconds), (kept, lost), before, drained, backlog.arrivals, quick
    )


def _result(
    pending: int,
    memory: tuple[Usage, Usage, Usage, Usage],
    seconds: tuple[float, float],
    restarts: tuple[Restart, Restart],
    before: list[float],
    drained: Drain,
    arrivals: Arrivals,
    quick: bool,
) -> Result:
    idle, full, _, _ = memory
    kept, lost = restarts
    taking = max(call.at for call in drained.calls) - drained.first_at
    rows = (
        Row(
            "the other subscriber's p99 while it drains ÷ before",
            percentile(drained.well_ms, 0.99) / percentile(before, 0.99),
            "×",
        ),
        Row("memory with all queued", full.rss_mb, "MB", at_most=MEMORY_TARGET_MB),
        Row("at most meanwhile", full.rss_peak_mb, "MB", at_most=MEMORY_TARGET_MB),
        Row("the same worker with nothing queued", idle.rss_mb, "MB"),
        Row("queued per second", pending / seconds[1], "warnings/s"),
        Row("from start to ready, its disk kept", kept.ready_seconds, "s", at_most=READY_TARGET_S),
        Row("from start to the other subscriber's next webhook, its disk kept", kept.first_call_seconds, "s"),
        Row("memory after it, at most", kept.used.rss_peak_mb, "MB", at_most=MEMORY_TARGET_MB),
        Row("from start to ready, table rebuilt from the changelog", lost.ready_seconds, "s", at_most=READY_TARGET_S),
        Row("from start to the other subscriber's next webhook, table rebuilt", lost.first_call_seconds, "s"),
        Row("memory after it, at most", lost.used.rss_peak_mb, "MB", at_most=MEMORY_TARGET_MB),
        Row("from the endpoint's return to its first call", drained.first_at - drained.back_at, "s"),
        *drained.ramp(),
        Row("calls at a time, at most", max(call.running for call in drained.calls), at_most=CONCURRENCY),
        Row("from the first call until all were taken", taking, "s"),
        Row("taken per second", pending / taking, "webhooks/s"),
        Row("calls that came again under their webhook-id", arrivals.repeated),
        Row("processor share of dispatch while it drains", 100 * drained.cpu_share, "% of a core"),
        Row("memory while it drains, at most", drained.used.rss_peak_mb, "MB", at_most=MEMORY_TARGET_MB),
        Row("warning → the other subscriber while it drains, p50", percentile(drained.well_ms, 0.5), "ms"),
        Row(
            "warning → the other subscriber while it drains, p99",
            percentile(drained.well_ms, 0.99),
            "ms",
            at_most=P99_TARGET_MS,
        ),
        Row("warning → the other subscriber while it drains, max", max(drained.well_ms), "ms"),
        Row("warning → the other subscriber before, p99", percentile(before, 0.99), "ms"),
    )
    return Result(
        "backlog",
        f"A dead endpoint with {pending:,} deliveries pending",
        rows,
        {
            "pending": pending,
            "cases": pending // VERSIONS,
            "concurrency": CONCURRENCY,
            "warnings/s for the other": PER_SECOND,
        },
        quick=quick,
    )


def main() -> None:
    """Measure what the arguments say, print it, and add it to the file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backlog", description=main.__doc__)
    parser.add_argument("--pending", type=positive, default=PENDING, help="deliveries queued for the dead endpoint")
    parser.add_argument("--json", type=Path, help="a file of results to add it to")
    given = parser.parse_args()
    result = run(pending=given.pending)
    print("\n".join(lines(result)))
    if given.json is not None:
        write_result(given.json, result)


if __name__ == "__main__":
    main()
