"""One host after the other over the same topic, in rounds that begin with another one each time."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.peers.host import DONE, FIRST, Host
from benchmarks.peers.job import Warned
from benchmarks.peers.outputs import Compared, compared, read_warnings
from benchmarks.pipeline import Drained, broker_usage, patience_seconds, take_pipeline
from benchmarks.support import BenchmarkError, Installation, Running, lag_watch
from streams.admin import connect

OURS, STOCK, QUIX, BYTEWAX, BARE = "ours", "stock_faust", "quix", "bytewax", "bare"
HOSTS = (OURS, QUIX, BYTEWAX, STOCK, BARE)
SERVICE = "service"
"""the whole pipeline of the service itself, which does far more with each event"""
ONCE = (STOCK,)
"""who is so slow that it takes part in the first round only"""


class Taken(NamedTuple):
    """How one host took the events; `outputs` is None for the service, whose job is another."""

    who: str
    drained: Drained
    broker_cpu_seconds: float
    outputs: Compared | None


def take_turns(
    installation: Installation, lines: list[bytes], expected: list[Warned], rounds: int, whose: Sequence[str]
) -> Iterator[list[Taken]]:
    """Yield each round's outcomes. Raises BenchmarkError where a process fails or our own warnings are not the right ones."""
    events = installation.preload(lines)
    for number in range(rounds):
        turn = number % len(whose)
        taken = []
        for who in (*whose[turn:], *whose[:turn]):
            if number and who in ONCE:
                continue
            name = f"r{number}-{who.replace('_', '-')}"
            before = broker_usage(installation).cpu_seconds
            if who == SERVICE:
                drained, outputs = _service(installation, name, lines), None
            else:
                drained, outputs = take(installation, who, name, events, expected)
            taken.append(Taken(who, drained, broker_usage(installation).cpu_seconds - before, outputs))
            print(f"{name}: {drained.per_second:,.0f} events/s, {outputs or 'another job'}", flush=True)
        yield taken


def take(
    installation: Installation, who: str, name: str, events: int, expected: list[Warned]
) -> tuple[Drained, Compared]:
    """Measure one host from its first record until all input is acknowledged, and compare its warnings."""
    host = Host(
        name,
        installation.bootstrap_servers,
        installation.topics.ticket_events,
        installation.topics.partitions,
        installation.directory / name,
    )
    create_topics_of(host)
    process = installation.run(name, ["-m", f"benchmarks.peers.{who}", *host.arguments])
    process.wait_for(FIRST)
    drained = _drain(host, process, events, by_group=who != BYTEWAX)
    process.stop()
    outputs = compared(expected, read_warnings(host.bootstrap_servers, host.warnings))
    if who == OURS and not outputs.equal:
        raise BenchmarkError(f"the engine's own warnings are not the right ones: {outputs}")
    return drained, outputs


def _drain(host: Host, process: Running, events: int, *, by_group: bool) -> Drained:
    began, before, patience = time.monotonic(), process.usage(), patience_seconds(events)
    if by_group:
        with lag_watch(host.bootstrap_servers, host.group, (host.source, host.citizens)) as watch:
            watch.wait(process.check, patience)
    else:
        process.wait_for(DONE, patience)
    seconds, after = time.monotonic() - began, process.usage()
    return Drained(events, seconds, after.cpu_seconds - before.cpu_seconds, after.rss_peak_mb)


def create_topics_of(host: Host) -> None:
    """Create what a host writes to. The engine's changelogs are compacted, as the peers make theirs by themselves."""
    names = (host.citizens, host.warnings, *host.changelogs)
    wanted = {
        name: {
            "num_partitions": host.partitions,
            "replication_factor": 1,
            "configs": {"cleanup.policy": "compact" if name in host.changelogs else "delete"},
        }
        for name in names
    }
    with connect(host.bootstrap_servers) as admin:
        admin.create_topics(wanted)
        admin.wait_for_topics(list(wanted))


def _service(installation: Installation, name: str, lines: list[bytes]) -> Drained:
    """Measure the whole service over topics of its own, with the same events on them."""
    own = installation.with_topics(f"{name}.")
    events = own.preload(lines)
    drained = take_pipeline(own, events, name)
    if refused := own.count(own.topics.quarantine):
        raise BenchmarkError(f"{refused} of {events} events were refused")
    return drained
