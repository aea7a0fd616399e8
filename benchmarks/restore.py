"""Backup and restore of one machine with very many open tickets: how long each takes, and that the states are the same.

    python -m benchmarks.restore [--quick] [--json FILE]

Open tickets are put through a whole `up` on a real Kafka; then it is stopped. The backup is made and restored by the commands an
operator uses, and the service is started over what was restored. Equal digests: over every key and value of every table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from benchmarks.report import RESULTS
from benchmarks.result import Result, Row, lines, write_result
from benchmarks.support import BenchmarkError, lag_watch, preload
from benchmarks.table_digests import Digest, newest, table_digests
from models.times import MINUTE, format_instant, parse_instant
from streams.settings import Settings
from streams.single import SingleMachine

TICKETS, QUICK_TICKETS = 200_000, 2_000
RESTORE_SECONDS = 60
WORKERS = 2
IDLE_SECONDS = 1_800.0
BEGIN = "2025-06-02T08:00:00+08:00"


def run(quick: bool = False) -> Result:
    """Return the times. Raises BenchmarkError where the restored states are others."""
    tickets = QUICK_TICKETS if quick else TICKETS
    with tempfile.TemporaryDirectory(prefix="hotline-watch-bench-") as scratch:
        folder = Path(scratch)
        data = folder / "first" / "data"
        _fill(data, tickets)
        before = table_digests(data)
        states = _states(before)
        if states != tickets:
            raise BenchmarkError(f"{states} of {tickets} tickets are in the table")
        made = _command("backup", "--data", str(data), "--to", str(folder / "backup"), "--state-only")
        restored = _command("restore", str(folder / "backup"), "--to", str(folder / "second"))
        if table_digests(folder / "second" / "data") != before:
            raise BenchmarkError("the restored tables are not what was backed up")
        ready = _ready_seconds(folder / "second" / "data")
        after = table_digests(folder / "second" / "data")
        if newest(after) != newest(before):
            raise BenchmarkError("the tables of the service that went on are not what was backed up")
        size_mb = made["bytes"] / 1e6
    return Result(
        "restore",
        f"Backup and restore with {tickets:,} open tickets",
        (
            Row("restore", restored["seconds"], "s", at_most=RESTORE_SECONDS),
            Row("restore, and everything ready again", restored["seconds"] + ready, "s"),
            Row("backup, while nothing runs", made["seconds"], "s"),
            Row("the backup file", size_mb, "MB"),
        ),
        {"tickets": tickets, "files": made["files"], "workers": WORKERS, "state digests": "equal"},
        quick=quick,
    )


def open_tickets(count: int) -> Iterator[bytes]:
    """Yield the events of tickets that were registered, dispatched, taken in hand and are still open."""
    begin = parse_instant(BEGIN)
    due_at = format_instant(parse_instant("2025-07-02T08:00:00+08:00"))
    for number in range(count):
        ticket = f"O{number:07d}"
        unit = {"unit_id": f"U-{number % 200}", "unit_name": f"测试单位{number % 200}"}
        story: list[tuple[str, dict[str, Any]]] = [
            (
                "registered",
                {
                    "citizen": {"key": f"citizen-{number % (count // 2 + 1)}"},
                    "request_type": "complaint",
                    "category": ["城乡建设", "供水"],
                    "title": f"测试事项{number}",
                    "content": f"测试事项{number},希望尽快解决。",
                    "place": {"district": "试区", "community": f"试社区{number % 500}"},
                },
            ),
            ("dispatched", {**unit, "role": "lead", "round": 1, "due_at": due_at}),
            ("accepted", unit),
        ]
        for step, (kind, fields) in enumerate(story):
            event = {
                "event_id": f"{ticket}-{step}",
                "ticket_id": ticket,
                "type": kind,
                "occurred_at": format_instant(begin + (number % 5_000) * MINUTE + step * 10 * MINUTE),
                **fields,
            }
            yield orjson.dumps(event)


def _machine(data: Path) -> SingleMachine:
    return SingleMachine(Settings(core_time="recorded", partitions=8), data, workers=WORKERS)


def _fill(data: Path, tickets: int) -> None:
    """Put the tickets through the whole service, and stop it."""
    with ExitStack() as stack:
        machine = _machine(data)
        stack.callback(machine.stop)
        machine.start()
        topics = machine.topics
        preload(machine.bootstrap_servers, topics, open_tickets(tickets))
        watched = (topics.ticket_events, topics.tickets, topics.citizens)
        watch = stack.enter_context(lag_watch(machine.bootstrap_servers, topics.worker_app_id, watched))
        watch.wait(machine.watch, IDLE_SECONDS)


def _ready_seconds(data: Path) -> float:
    """Start the service over the data and stop it again; return how long it took to be ready."""
    machine = _machine(data)
    started = time.monotonic()
    try:
        machine.start()
        return time.monotonic() - started
    finally:
        machine.stop()


def _states(digests: dict[str, Digest]) -> int:
    return sum(keys for name, (keys, _) in newest(digests).items() if name.startswith("tickets-"))


def _command(*arguments: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOTLINE_WATCH_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Measure, print the table and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restore", description="Measure backup and restore.")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; no measurement")
    parser.add_argument("--json", type=Path, help="the file of results")
    options = parser.parse_args()
    result = run(options.quick)
    write_result(options.json or (RESULTS.with_stem("benchmarks-quick") if options.quick else RESULTS), result)
    print("\n".join(lines(result)))


if __name__ == "__main__":
    main()
