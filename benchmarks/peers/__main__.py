"""Run the job on every host, side by side: `make bench-peers`, or `python -m benchmarks.peers [HOST…] [--quick] [--events N] [--rounds N]`.

It needs the environment of `make bench-peers`. Results are kept in build/peers.json (quick ones apart); `python -m benchmarks.report
build/peers.json --document docs/peers.md` writes them into the documentation.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.generator import generate_lines
from benchmarks.peers.job import run_alone
from benchmarks.peers.rounds import BARE, BYTEWAX, HOSTS, OURS, QUIX, SERVICE, STOCK, Taken, take_turns
from benchmarks.pipeline import EVENTS_PER_TICKET, cpu_of
from benchmarks.report import RESULTS
from benchmarks.result import Result, Row, lines, write_result
from benchmarks.support import BenchmarkError, scratch

EVENTS, QUICK_EVENTS = 200_000, 10_000
ROUNDS, QUICK_ROUNDS = 3, 1
FIRST_DAY = date(2025, 1, 6)
WHO = (*HOSTS, SERVICE)
NAMES = {
    OURS: "this engine",
    QUIX: "Quix Streams",
    BYTEWAX: "Bytewax",
    STOCK: "stock Faust",
    BARE: "bare aiokafka loop with dicts",
    SERVICE: "the whole service (far more work an event)",
}
RATIOS = (
    (OURS, QUIX, 1.2),
    (OURS, STOCK, 5.0),
    (OURS, BYTEWAX, None),
    (OURS, BARE, None),
    (SERVICE, QUIX, 1.2),
)
SERVICE_PER_SECOND = 15_000
LIBRARIES = ("quixstreams", "confluent-kafka", "bytewax", "aiokafka", "rocksdict")


def measure(events: int, rounds: int, whose: Sequence[str], *, quick: bool = False) -> Result:
    """Return the measured rates of these hosts. Raises BenchmarkError where a process fails."""
    written = list(generate_lines(events // EVENTS_PER_TICKET, 1, start=FIRST_DAY))
    expected = run_alone(written)
    with scratch() as installation:
        turns = list(take_turns(installation, written, expected, rounds, whose))
        partitions = installation.topics.partitions
    return Result(
        "peers",
        "The same job, side by side",
        tuple(rows_of(turns)),
        {
            "events": len(written),
            "warnings": len(expected),
            "rounds": rounds,
            f"rounds of {NAMES[STOCK]}": 1,
            "partitions": partitions,
            **{f"warnings of {NAMES[who]}": said for who, said in verdicts(turns).items()},
            **{name: version(name) for name in LIBRARIES},
        },
        quick=quick,
    )


def verdicts(turns: Iterable[Sequence[Taken]]) -> dict[str, str]:
    """Return for each host of the job how its warnings compare in the worst of the rounds."""
    every: dict[str, list[Taken]] = {}
    for taken in turns:
        for one in taken:
            every.setdefault(one.who, []).append(one)
    return {
        who: str(max((one.outputs for one in found if one.outputs is not None), key=lambda outputs: tuple(outputs)))
        for who, found in every.items()
        if found[0].outputs is not None
    }


def rows_of(turns: Sequence[Sequence[Taken]]) -> Iterable[Row]:
    """Yield the ratios, then each host's figures, all the middle of the rounds; none of a host whose warnings ever differed."""
    by_round = [{one.who: one for one in taken} for taken in turns]
    every = {who: [each[who] for each in by_round if who in each] for who in WHO}
    counted = {who: found for who, found in every.items() if found and all(map(_counts, found))}
    for ours, theirs, at_least in RATIOS:
        if ours in counted and theirs in counted:
            ratios = [
                each[ours].drained.per_second / each[theirs].drained.per_second
                for each in by_round
                if ours in each and theirs in each
            ]
            yield Row(f"{NAMES[ours]} ÷ {NAMES[theirs]}", median(ratios), "×", at_least=at_least)
            if len(ratios) > 1:
                yield Row(f"{NAMES[ours]} ÷ {NAMES[theirs]}, the worst round", min(ratios), "×")
    for who, found in counted.items():
        target = SERVICE_PER_SECOND if who == SERVICE else None
        yield Row(NAMES[who], median(one.drained.per_second for one in found), "events/s", at_least=target)
    for who, found in counted.items():
        yield Row(f"processor time, {NAMES[who]}", median(cpu_of(one.drained) for one in found), "µs/event")
    for who, found in counted.items():
        broker = median(one.broker_cpu_seconds / one.drained.events * 1e6 for one in found)
        yield Row(f"processor time of the broker meanwhile, {NAMES[who]}", broker, "µs/event")
    for who, found in counted.items():
        yield Row(f"memory at most, {NAMES[who]}", max(one.drained.rss_peak_mb for one in found), "MB")


def _counts(taken: Taken) -> bool:
    return taken.outputs is None or taken.outputs.equal


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments say; return the exit status: 0 measured, 1 a process failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Measure the same job on each host."
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"which: {', '.join(WHO)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; no measurement")
    parser.add_argument("--events", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path, help="the file of results")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.hosts if name not in WHO]:
        parser.error(f"there is no host {unknown[0]!r}; there are {', '.join(WHO)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped and removed
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # new topics: their leaders are on the way
    file = options.json or RESULTS.with_stem("peers-quick" if options.quick else "peers")
    events = options.events or (QUICK_EVENTS if options.quick else EVENTS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    try:
        result = measure(events, rounds, options.hosts or WHO, quick=options.quick)
    except BenchmarkError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    write_result(file, result)
    print("\n".join(lines(result)), f"\nresults in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
