"""How fast the core runs over a file, against a loop that only parses the file's JSON.

Each measurement is a fresh process that runs what `hotline-watch backtest` runs; the interpreter's start and imports are
not counted. Both take turns, and the median counts.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.generator import generate_lines
from benchmarks.result import Result, Row
from benchmarks.support import BenchmarkError, usage_of

EVENTS, QUICK_EVENTS = 200_000, 20_000
EVENTS_PER_TICKET = 10
ROUNDS, QUICK_ROUNDS = 3, 1
TARGET_PER_SECOND = 50_000
TARGET_ALL_CORES = 80_000
TIMEOUT_SECONDS = 600.0
ROOT = Path(__file__).resolve().parent.parent


def run(quick: bool = False, events: int | None = None) -> Result:
    """Return the measured rates. Raises BenchmarkError where the backtest failed or refused an event."""
    tickets = (events or (QUICK_EVENTS if quick else EVENTS)) // EVENTS_PER_TICKET
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="hotline-watch-bench-") as directory:
        path = Path(directory) / "events.jsonl"
        total = 0
        with path.open("wb") as file:
            for line in generate_lines(tickets, 1, identity="phone"):
                file.write(line + b"\n")
                total += 1
        found = [(_fresh("core", path), _fresh("parse", path), _fresh("cores", path)) for _ in range(rounds)]
    core, parse, cores = ([one[place] for one in found] for place in (0, 1, 2))
    for one in (*core, *cores):
        if one["refused"] or one["events"] != total:
            raise BenchmarkError(f"of {total} events {one['events']} were taken and {one['refused']} refused")
    core_rate = total / statistics.median(one["seconds"] for one in core)
    cores_rate = total / statistics.median(one["seconds"] for one in cores)
    parse_rate = total / statistics.median(one["seconds"] for one in parse)
    return Result(
        "backtest",
        "Backtest, no broker",
        (
            Row("backtest ÷ a loop of json.loads over the same lines", core_rate / parse_rate, "×"),
            Row("backtest on all cores ÷ in one process", cores_rate / core_rate, "×"),
            Row("backtest, one process", core_rate, "events/s", at_least=TARGET_PER_SECOND),
            Row("backtest, all cores", cores_rate, "events/s", at_least=TARGET_ALL_CORES),
            Row("json.loads alone", parse_rate, "events/s"),
            Row("slowest round", total / max(one["seconds"] for one in core), "events/s"),
            Row("fastest round", total / min(one["seconds"] for one in core), "events/s"),
            Row("memory, at most", max(one["rss_peak_mb"] for one in core), "MB"),
            Row("versions of warnings issued", core[0]["alerts"]),
        ),
        {"events": total, "tickets": tickets, "rounds": rounds},
        quick=quick,
    )


def _fresh(what: str, path: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.backtest", what, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"backtest {what} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def measure_core(path: Path, jobs: int | None = 1) -> dict[str, Any]:
    """Run the command itself over a file; return counts, seconds and memory. Its summary goes nowhere.

    `jobs` None: as many processes as the command starts by itself.
    """
    from cli.backtest import backtest

    summary = io.StringIO()
    began = time.perf_counter()
    with contextlib.redirect_stdout(summary):
        backtest([path], jobs=jobs, as_json=True)
    seconds = time.perf_counter() - began
    told = orjson.loads(summary.getvalue())
    return {
        "events": told["events"],
        "refused": sum(told["rejected"].values()),
        "alerts": sum(told["versions"].values()),
        "seconds": seconds,
        "rss_peak_mb": usage_of(os.getpid()).rss_peak_mb,
    }


def measure_parse(path: Path) -> dict[str, Any]:
    """Parse every line with the standard library; return the seconds."""
    import json

    began = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
    return {"seconds": time.perf_counter() - began}


def main() -> None:
    """Measure what the arguments say and print one JSON object."""
    what, path = sys.argv[1:]
    measures = {"core": measure_core, "cores": partial(measure_core, jobs=None), "parse": measure_parse}
    print(orjson.dumps(measures[what](Path(path))).decode())


if __name__ == "__main__":
    main()
