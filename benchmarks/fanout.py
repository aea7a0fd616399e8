"""Fifty subscribers, four of them sick: `python -m benchmarks.fanout [--warnings N] [--per-second N] [--fan N] [--json FILE]`.

One dispatch worker, as the service starts it, and fifty endpoints in a process of their own, each its subscriber's. First all of them are
well; then four turn sick at once (one never answers, one answers a byte a second, one 500, one 429) and stay so. Warnings come at a steady
pace by the clock, each at its appointed moment whatever became of the earlier ones; four versions a case. Each is routed to `fan`
subscribers, the sick ones as often as the others. The run fails if one of the other forty-six is not sent something, is sent it
twice in effect, or out of the order of its case.
"""

import argparse
import asyncio
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.delivering import (
    VERSIONS,
    Arrivals,
    Delivery,
    Endpoints,
    Sent,
    send_steadily,
    start_endpoints,
    wait_until,
    warnings_of,
)
from benchmarks.directory import write_teams
from benchmarks.endpoints import Behaviour, Endpoint
from benchmarks.result import Result, Row, lines, percentile, write_result
from benchmarks.support import BenchmarkError, Running, Usage, scratch

SUBSCRIBERS = 50
SICK = (Behaviour.HANGS, Behaviour.DRIPS, Behaviour.FAILS, Behaviour.BUSY)
WARNINGS, QUICK_WARNINGS = 3_000, 400
PER_SECOND = 50.0
FAN = 2
HEALTHY_SHARE, HEALTHY_WARNINGS_MAX = 0.5, 3_000
"""how many are sent before that, while all are well: this share of the warnings, at most so many"""
WARM_UP_WARNINGS = 200
SETTLE_SECONDS = 300.0
P99_TARGET_MS = 1_000
Pair = tuple[str, str]
"""Subscriber and alert."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was sent in one stretch, and what dispatch used for it."""

    sent: Sent
    seconds: float
    cpu_seconds: float


@dataclass
class Fanout:
    """Fifty endpoints and a dispatch worker."""

    delivery: Delivery
    worker: Running
    endpoints: Endpoints
    subscribers: dict[str, str]
    """department → the subscriber that is told of it"""
    sick: frozenset[str]
    fan: int
    per_second: float
    arrivals: Arrivals = field(default_factory=Arrivals)

    def stretch(self, warnings: int, prefix: str) -> Stretch:
        """Send so many warnings and wait until those who are well have them. Raises BenchmarkError."""
        installation = self.delivery.installation
        warned = warnings_of(range(warnings // VERSIONS), self._accused, prefix)
        cpu, began = self.worker.usage().cpu_seconds, time.monotonic()
        coming = send_steadily(
            installation.bootstrap_servers, installation.topics, warned, self.per_second, self._alive
        )
        sent = asyncio.run(coming)
        seconds, used = time.monotonic() - began, self.worker.usage().cpu_seconds - cpu
        missing = set(self.expected(sent))

        def all_came() -> bool:
            self.arrivals.take(self.endpoints.receipts.read())
            missing.difference_update(self.arrivals.first)
            return not missing

        wait_until(all_came, self.worker.check, SETTLE_SECONDS, f"of {len(sent.warned)} warnings some did not arrive")
        return Stretch(sent, seconds, used)

    def expected(self, sent: Sent) -> Iterator[Pair]:
        """Yield who is to get what, of those who are well all the time."""
        for one in sent.warned:
            for department in one.accused:
                if (name := self.subscribers[department]) not in self.sick:
                    yield name, one.alert_id

    def latencies(self, stretch: Stretch) -> tuple[list[float], list[float]]:
        """Return the milliseconds since Kafka took each warning, and since it was due to be sent."""
        sent = stretch.sent
        came = [(self.arrivals.first[pair], pair[1]) for pair in self.expected(sent)]
        since_taken = [(at - sent.taken[alert]) * 1000 for at, alert in came]
        return since_taken, [(at - sent.due[alert]) * 1000 for at, alert in came]

    def _alive(self) -> bool:
        self.worker.check()
        self.endpoints.running.check()
        return False

    def _accused(self, case: int) -> tuple[str, ...]:
        return tuple(random.Random(case).sample(sorted(self.subscribers), self.fan))


def run(quick: bool = False, warnings: int | None = None, per_second: float = PER_SECOND, fan: int = FAN) -> Result:
    """Return the latencies. Raises BenchmarkError where a healthy subscriber's warning was lost, doubled or out of order."""
    warnings = warnings or (QUICK_WARNINGS if quick else WARNINGS)
    names = [f"subscriber-{number:02d}" for number in range(SUBSCRIBERS)]
    sick = dict(zip(names[:: SUBSCRIBERS // len(SICK)], SICK, strict=False))
    with scratch() as installation:
        secret = secrets.token_hex(24)
        plan = [Endpoint(name, later=sick.get(name)) for name in names]
        endpoints = start_endpoints(installation, secret, "endpoints", plan)
        entries = [{"name": name, "url": url} for name, url in endpoints.urls.items()]
        files, departments = write_teams(installation.directory, entries)
        delivery = Delivery(installation, files, secret)
        worker, _ = delivery.dispatch()
        subscribers = {department: name for name, department in departments.items()}
        fanout = Fanout(delivery, worker, endpoints, subscribers, frozenset(sick), fan, per_second)
        fanout.stretch(WARM_UP_WARNINGS, "a")
        before = fanout.stretch(min(int(warnings * HEALTHY_SHARE), HEALTHY_WARNINGS_MAX), "b")
        endpoints.change()
        after = fanout.stretch(warnings, "c")
        pending = delivery.metric("hw_dispatch_pending")
        used = worker.usage()
        worker.stop()
        fanout.arrivals.take(endpoints.receipts.read())
    fanout.arrivals.check()
    if stuck := sum(count for name, count in pending.items() if name not in sick):
        raise BenchmarkError(f"{stuck:g} deliveries to healthy subscribers are not recorded as accepted")
    return _result(fanout, before, after, sum(pending.values()), used, quick)


def _result(fanout: Fanout, before: Stretch, after: Stretch, kept: float, used: Usage, quick: bool) -> Result:
    well, _ = fanout.latencies(before)
    beside, due = fanout.latencies(after)
    counts = [one.behaviour for one in fanout.endpoints.receipts.all]
    rows = (
        Row("p99 beside four sick endpoints ÷ p99 with none", percentile(beside, 0.99) / percentile(well, 0.99), "×"),
        Row("warning → webhook beside four sick endpoints, p50", percentile(beside, 0.5), "ms"),
        Row("warning → webhook beside four sick endpoints, p99", percentile(beside, 0.99), "ms", at_most=P99_TARGET_MS),
        Row("warning → webhook beside four sick endpoints, max", max(beside), "ms"),
        Row("from the moment the warning was due to be sent, p99", percentile(due, 0.99), "ms"),
        Row("with no sick endpoint, p50", percentile(well, 0.5), "ms"),
        Row("with no sick endpoint, p99", percentile(well, 0.99), "ms"),
        Row("with no sick endpoint, max", max(well), "ms"),
        Row("webhooks to the 46 beside the sick, each once in effect and in order", len(beside)),
        Row("webhooks to the 46 per second", len(beside) / after.seconds),
        Row("calls that came again under their webhook-id", fanout.arrivals.repeated),
        Row("kept pending for the four sick ones", kept),
        *(Row(f"calls at the endpoint that {_TOLD[one]}", counts.count(one)) for one in SICK),
        Row("processor share of dispatch beside the sick", 100 * after.cpu_seconds / after.seconds, "% of a core"),
        Row("processor share of dispatch with no sick", 100 * before.cpu_seconds / before.seconds, "% of a core"),
        Row("memory of dispatch, at most", used.rss_peak_mb, "MB"),
    )
    return Result(
        "fanout" if fanout.fan == FAN else f"fanout-{fanout.fan}",
        "Fifty subscribers, four of them sick",
        rows,
        {
            "warnings": len(after.sent.warned),
            "warnings/s": fanout.per_second,
            "subscribers": SUBSCRIBERS,
            "subscribers each": fanout.fan,
            "warnings with no sick": len(before.sent.warned),
        },
        quick=quick,
    )


_TOLD = {
    Behaviour.HANGS: "never answers",
    Behaviour.DRIPS: "answers a byte a second",
    Behaviour.FAILS: "answers 500",
    Behaviour.BUSY: "answers 429",
}


def main() -> None:
    """Measure what the arguments say, print it, and add it to the file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=main.__doc__)
    parser.add_argument("--warnings", type=positive, default=WARNINGS, help="sent while four are sick")
    parser.add_argument("--per-second", type=float, default=PER_SECOND, help="warnings a second in all")
    parser.add_argument("--fan", type=int, default=FAN, choices=range(1, SUBSCRIBERS + 1), metavar="N")
    parser.add_argument("--json", type=Path, help="a file of results to add it to")
    given = parser.parse_args()
    result = run(warnings=given.warnings, per_second=given.per_second, fan=given.fan)
    print("\n".join(lines(result)))
    if given.json is not None:
        write_result(given.json, result)


if __name__ == "__main__":
    main()
