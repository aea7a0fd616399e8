"""Nightly snapshots of very many tickets, differenced and sent to Kafka, and a large workbook: rows a second, memory.

    python -m benchmarks.snapshot [--quick] [--files] [--json FILE]

Two nights of one table: the first, when every ticket is new, and the next, with the share of new and changed tickets that a large
hotline has in a day. Each is one `hotline-watch import --snapshot` as an operator runs it, on a real Kafka, until every event is
acknowledged and the state is on the disk; with `--files` the events go to a file instead. Then a workbook of about 200 MB, its texts all
shared and most of them used once, goes to a file of events, and that one, as JSON Lines, to another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.report import RESULTS
from benchmarks.result import Result, Row, lines, write_result
from benchmarks.snapshot_tables import rows, write_csv, write_xlsx
from benchmarks.support import BenchmarkError, Installation, scratch

TICKETS, QUICK_TICKETS = 1_000_000, 10_000
WORKBOOK_MB, QUICK_WORKBOOK_MB = 200, 2
WORDS = 180
NEW_SHARE, CHANGED_SHARE, GONE_SHARE = 0.02, 0.05, 0.001
TARGET_ROWS, TARGET_MB = 10_000, 400


def run(quick: bool = False, *, kafka: bool = True) -> Result:
    """Return rows a second and memory. Raises BenchmarkError where an event or a row is missing."""
    tickets = QUICK_TICKETS if quick else TICKETS
    shares = {"new_share": NEW_SHARE, "changed_share": CHANGED_SHARE, "gone_share": GONE_SHARE}
    with ExitStack() as stack:
        installation = stack.enter_context(scratch()) if kafka else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotline-watch-snapshot-")))
        nights = []
        for night in range(2):
            table = directory / f"night-{night}.csv"
            write_csv(table, rows(tickets, night, **shares))
            nights.append(_night(directory, table, installation))
            table.unlink()
        book = directory / "tickets.xlsx"
        count = write_xlsx(
            book, rows(1_048_000, 0, **shares), (QUICK_WORKBOOK_MB if quick else WORKBOOK_MB) << 20, WORDS
        )
        size_mb = book.stat().st_size / (1 << 20)
        events = directory / "events.jsonl.gz"
        read = _command(["import", str(book), "--mapping", "fixed-three-returns", *_into(events)])
        if read["rows"] != count:
            raise BenchmarkError(f"{read['rows']} of the workbook's {count} rows were read")
        again = _command(["import", str(events), *_into(directory / "again.jsonl")])
        if again["events"] != read["events"]:
            raise BenchmarkError(f"{again['events']} of the {read['events']} events of a file were read")
    first, next_ = nights
    return Result(
        "snapshot",
        f"A nightly snapshot of {tickets:,} tickets, and a workbook of {size_mb:.0f} MB",
        (
            Row("the nightly snapshot", next_["rows"] / next_["seconds"], "rows/s", at_least=TARGET_ROWS),
            Row("its memory at most", next_["memory"], "MB", at_most=TARGET_MB),
            Row("its processor time", next_["cpu"] / next_["rows"] * 1e6, "µs/row"),
            Row("its events", next_["events"]),
            Row("the first snapshot, every ticket new", first["rows"] / first["seconds"], "rows/s"),
            Row("its memory at most", first["memory"], "MB", at_most=TARGET_MB),
            Row("its events", first["events"]),
            Row("its events a second", first["events"] / first["seconds"], "events/s"),
            Row("the workbook, to a file of events", read["rows"] / read["seconds"], "rows/s"),
            Row("its memory at most", read["memory"], "MB", at_most=TARGET_MB),
            Row("that file of events, to another", again["events"] / again["seconds"], "events/s"),
            Row("its memory at most", again["memory"], "MB", at_most=TARGET_MB),
        ),
        {
            "tickets": tickets,
            "changed share": CHANGED_SHARE,
            "new share": NEW_SHARE,
            "workbook rows": count,
            "events of the nights go to": "Kafka" if kafka else "files",
        },
        quick=quick,
    )


def _night(directory: Path, table: Path, installation: Installation | None) -> dict[str, float]:
    """Take one night's table. Raises BenchmarkError where an event of it is missing."""
    out = directory / "events.jsonl"
    where = _into(out) if installation is None else ["--bootstrap-servers", installation.bootstrap_servers]
    before = 0 if installation is None else installation.count(installation.topics.ticket_events)
    state = ["--snapshot", "--state", str(directory / "tickets.state")]
    told = _command(["import", str(table), "--mapping", "fixed-three-returns", *state, *where])
    if installation is None:
        with out.open("rb") as lines_of_events:
            there = sum(1 for _ in lines_of_events)
    else:
        there = installation.count(installation.topics.ticket_events) - before
    if there < told["events"]:
        raise BenchmarkError(f"{there} of {told['events']} events arrived")
    return told


def _into(file: Path) -> list[str]:
    return ["--to", "jsonl", "--out", str(file)]


def _command(arguments: list[str]) -> dict[str, float]:
    """Run the command as a process of its own; return its report and figures. Raises BenchmarkError."""
    command = [sys.executable, "-m", "benchmarks.snapshot_process", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})
    if done.returncode:
        raise BenchmarkError(f"the import ended with {done.returncode}: {done.stderr[-500:]}")
    *_, report, figures = done.stdout.strip().splitlines()
    return {**json.loads(report), **json.loads(figures)}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and add the result to the file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshot", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; no measurement")
    parser.add_argument("--files", action="store_true", help="without Kafka: the events go to files")
    parser.add_argument("--json", type=Path, default=None, help="the file of results")
    options = parser.parse_args(arguments)
    result = run(quick=options.quick, kafka=not options.files)
    write_result(options.json or (RESULTS.with_stem("benchmarks-quick") if options.quick else RESULTS), result)
    print("\n".join(lines(result)))


if __name__ == "__main__":
    main()
