"""From what an event costs on one machine to a province and a country: a model on paper, with its arithmetic.

    python -m benchmarks.scale_model [RESULTS]

Keeps the result as docs/scale.json and writes it, and what follows from it, into docs/scale.md. A test checks that the page says what
the file says. Nothing here was seen running at that size.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.report import RESULTS, ROOT, with_results
from benchmarks.result import Result, Row, read_results, write_result

RESULT = "scale"
KEPT = ROOT / "docs" / "scale.json"
DOCUMENT = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- model of scale: begin -->", "<!-- model of scale: end -->"

DAY_SECONDS = 86_400


class Assumed(NamedTuple):
    """What no measurement says."""

    dispatched_share: float = 0.45
    events_of_dispatched: int = 10
    events_of_direct: int = 3
    peak_factor: int = 10
    busy_at_peak: float = 0.5
    workers_min: int = 2
    partitions_per_worker: int = 2
    partitions_min: int = 8
    replicas: int = 3
    topic_days: int = 30
    warning_days: int = 3 * 366
    state_days: int = 366
    values_per_ticket: int = 2
    changelog_factor: float = 2.0
    subscribers_per_warning: int = 2

    @property
    def events_per_ticket(self) -> float:
        """Return the events of a ticket, over dispatched ones and those answered at once."""
        return self.dispatched_share * self.events_of_dispatched + (1 - self.dispatched_share) * self.events_of_direct


class Region(NamedTuple):
    """A hotline, by what it takes in a day."""

    name: str
    tickets_per_day: int


REGIONS = (Region("a county", 300), Region("a province", 100_000), Region("the country", 31 * 100_000))


class Measured(NamedTuple):
    """What one event costs; field by field a row of the result."""

    worker_us: float
    broker_us: float
    dispatch_ms: float
    warnings_per_event: float
    source_bytes: float
    internal_bytes: float
    changelog_bytes: float
    warning_bytes: float
    state_bytes: float
    changes_per_second: float

    def rows(self) -> tuple[Row, ...]:
        """Return the figures as rows."""
        return tuple(Row(name, getattr(self, field), unit) for field, (name, unit) in _ROWS.items())

    @classmethod
    def of(cls, result: Result) -> Self:
        """Return what a result says. Raises KeyError where a row is missing."""
        rows = {row.name: row.value for row in result.rows}
        return cls(**{field: rows[name] for field, (name, _) in _ROWS.items()})


_ROWS = {
    "worker_us": ("processor time of the worker at the steady pace", "µs/event"),
    "broker_us": ("processor time of the broker at the steady pace", "µs/event"),
    "dispatch_ms": ("processor time of dispatch, for each subscriber of a warning", "ms"),
    "warnings_per_event": ("versions of warnings", "for each event"),
    "source_bytes": ("on `hotline.ticket-events`", "bytes/event"),
    "internal_bytes": ("on `hw.tickets` and `hw.citizens`", "bytes/event"),
    "changelog_bytes": ("on the changelogs, before compaction", "bytes/event"),
    "warning_bytes": ("on `hw.alerts`", "bytes/warning"),
    "state_bytes": ("in the tables on the worker's disk", "bytes/ticket"),
    "changes_per_second": ("changes recovered by one worker whose disk is lost", "for each second"),
}


class Needs(NamedTuple):
    """What a hotline needs; bytes, cores and seconds."""

    events_per_day: float
    events_per_second: float
    peak_per_second: float
    worker_cores: float
    workers: int
    partitions: int
    broker_cores: float
    warnings_per_day: float
    dispatch_cores: float
    network_in: float
    network_between: float
    topics_disk: float
    warnings_disk: float
    state_disk: float
    changelog_disk: float
    recovery_seconds: float


def needs_of(region: Region, cost: Measured, assumed: Assumed) -> Needs:
    """Return what the hotline needs."""
    per_day = region.tickets_per_day * assumed.events_per_ticket
    mean = per_day / DAY_SECONDS
    peak = mean * assumed.peak_factor
    worker_cores = peak * cost.worker_us / 1e6
    workers = max(assumed.workers_min, math.ceil(worker_cores / assumed.busy_at_peak))
    partitions = max(assumed.partitions_min, workers * assumed.partitions_per_worker)
    warnings = per_day * cost.warnings_per_event
    written = (
        cost.source_bytes + cost.internal_bytes + cost.changelog_bytes + cost.warnings_per_event * cost.warning_bytes
    )
    tickets = region.tickets_per_day * assumed.state_days
    state = tickets * cost.state_bytes
    changes = tickets * assumed.values_per_ticket * assumed.changelog_factor
    return Needs(
        events_per_day=per_day,
        events_per_second=mean,
        peak_per_second=peak,
        worker_cores=worker_cores,
        workers=workers,
        partitions=partitions,
        broker_cores=peak * cost.broker_us / 1e6 * assumed.replicas,
        warnings_per_day=warnings,
        dispatch_cores=warnings
        / DAY_SECONDS
        * assumed.peak_factor
        * assumed.subscribers_per_warning
        * cost.dispatch_ms
        / 1e3,
        network_in=peak * written,
        network_between=peak * written * (assumed.replicas - 1),
        topics_disk=per_day * assumed.topic_days * (cost.source_bytes + cost.internal_bytes) * assumed.replicas,
        warnings_disk=warnings * assumed.warning_days * cost.warning_bytes * assumed.replicas,
        state_disk=state,
        changelog_disk=state * assumed.changelog_factor * assumed.replicas,
        recovery_seconds=changes / cost.changes_per_second / workers,
    )


def model(result: Result, assumed: Assumed = Assumed()) -> str:  # noqa: B008 - a tuple of numbers
    """Return the model as Markdown: what each region needs, how one region's figures come about, what was assumed."""
    cost = Measured.of(result)
    needs = [needs_of(region, cost, assumed) for region in REGIONS]
    head = "| | " + " | ".join(f"{one.name}, {one.tickets_per_day:,} tickets/day" for one in REGIONS) + " |"
    table = [head, "|---|" + "---:|" * len(REGIONS)]
    table += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in _cells(needs)]
    arithmetic = [f"- {line}" for line in _arithmetic(REGIONS[1], needs[1], cost, assumed)]
    return "\n".join([*table, "", f"How the figures of {REGIONS[1].name} come about:", "", *arithmetic])


def _cells(needs: list[Needs]) -> Iterator[tuple[str, list[str]]]:
    yield "events a day", [f"{one.events_per_day:,.0f}" for one in needs]
    yield "events/s, mean", [_number(one.events_per_second) for one in needs]
    yield "events/s, peak", [_number(one.peak_per_second) for one in needs]
    yield "cores of the workers at the peak", [_number(one.worker_cores) for one in needs]
    yield "workers", [f"{one.workers:,}" for one in needs]
    yield "partitions", [f"{one.partitions:,}" for one in needs]
    yield "cores of the brokers at the peak", [_number(one.broker_cores) for one in needs]
    yield "versions of warnings a day", [f"{one.warnings_per_day:,.0f}" for one in needs]
    yield "cores of dispatch at the peak", [_number(one.dispatch_cores) for one in needs]
    yield "network into the brokers at the peak", [f"{_bytes(one.network_in)}/s" for one in needs]
    yield "network between the brokers at the peak", [f"{_bytes(one.network_between)}/s" for one in needs]
    yield "brokers' disk, topics of events", [_bytes(one.topics_disk) for one in needs]
    yield "brokers' disk, warnings", [_bytes(one.warnings_disk) for one in needs]
    yield "brokers' disk, changelogs", [_bytes(one.changelog_disk) for one in needs]
    yield "workers' disk, all together", [_bytes(one.state_disk) for one in needs]
    yield "recovery, all workers' disks lost", [_duration(one.recovery_seconds) for one in needs]


def _arithmetic(region: Region, one: Needs, cost: Measured, by: Assumed) -> Iterator[str]:
    direct = 1 - by.dispatched_share
    yield (
        f"events: {region.tickets_per_day:,} tickets × ({by.dispatched_share:.0%} dispatched × {by.events_of_dispatched} events + "
        f"{direct:.0%} answered at once × {by.events_of_direct}) = {one.events_per_day:,.0f} a day = {_number(one.events_per_second)}/s; "
        f"peak × {by.peak_factor} = {_number(one.peak_per_second)}/s"
    )
    yield (
        f"workers: {_number(one.peak_per_second)}/s × {_number(cost.worker_us)} µs = {_number(one.worker_cores)} cores; "
        f"each at most {by.busy_at_peak:.0%} busy, at least {by.workers_min}: {one.workers:,}; "
        f"partitions: {by.partitions_per_worker} for each, "
        f"at least {by.partitions_min}"
    )
    yield (
        f"brokers: {_number(one.peak_per_second)}/s × {_number(cost.broker_us)} µs × {by.replicas} replicas = "
        f"{_number(one.broker_cores)} cores"
    )
    yield (
        f"dispatch: {one.events_per_day:,.0f} × {_number(cost.warnings_per_event)} = {one.warnings_per_day:,.0f} warnings a day; "
        f"in the peak × {by.peak_factor} × {by.subscribers_per_warning} subscribers × {_number(cost.dispatch_ms)} ms = "
        f"{_number(one.dispatch_cores)} cores"
    )
    written = cost.source_bytes + cost.internal_bytes + cost.changelog_bytes
    yield (
        f"network: {_number(one.peak_per_second)}/s × ({cost.source_bytes:,.0f} + {cost.internal_bytes:,.0f} + "
        f"{cost.changelog_bytes:,.0f} bytes, and {_number(cost.warnings_per_event)} × {cost.warning_bytes:,.0f} of warnings) = "
        f"{_bytes(one.network_in)}/s in; "
        f"× {by.replicas - 1} between the brokers"
    )
    yield (
        f"topics of events: {one.events_per_day:,.0f} × {by.topic_days} days × {cost.source_bytes + cost.internal_bytes:,.0f} bytes × "
        f"{by.replicas} = {_bytes(one.topics_disk)} (of the {written:,.0f} bytes the changelogs' are compacted)"
    )
    yield (
        f"warnings: {one.warnings_per_day:,.0f} × {by.warning_days:,} days × {cost.warning_bytes:,.0f} bytes × {by.replicas} = "
        f"{_bytes(one.warnings_disk)}"
    )
    yield (
        f"tables: {region.tickets_per_day:,} × {by.state_days} days × {cost.state_bytes:,.0f} bytes = {_bytes(one.state_disk)}; "
        f"changelogs: × {by.changelog_factor:g} (compacted when half of it is old) × {by.replicas} = {_bytes(one.changelog_disk)}"
    )
    yield (
        f"recovery: {region.tickets_per_day:,} × {by.state_days} × {by.values_per_ticket} values × {by.changelog_factor:g} ÷ "
        f"{cost.changes_per_second:,.0f}/s ÷ {one.workers:,} workers = {_duration(one.recovery_seconds)}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{_number(value)} {unit}"
        value /= 1024
    return f"{_number(value)} TiB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{_number(seconds)} s"
    return f"{_number(seconds / 60)} min" if seconds < 7_200 else f"{_number(seconds / 3_600)} h"


def page(document: str, result: Result) -> str:
    """Return the page with the result and the model in their places. Raises MarkerError."""
    document = with_results(document, {RESULT: result})
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{model(result)}\n{END}{after}"


def main(arguments: list[str] | None = None) -> None:
    """Keep a result and write the page from it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_model", description=main.__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS.with_stem("scale"))
    options = parser.parse_args(arguments)
    result = read_results(options.results).get(RESULT)
    if result is None or result.quick:
        parser.error(f"no measurement in {options.results}: run `python -m benchmarks.scale` first")
    write_result(KEPT, result)
    DOCUMENT.write_text(page(DOCUMENT.read_text(encoding="utf-8"), result), encoding="utf-8")
    print(f"{options.results} → {KEPT}, {DOCUMENT}")


if __name__ == "__main__":
    main()
