"""Nightly snapshots of very many tickets, differenced and sent to Kafka, and a large workbook: rows a second, memory.

    python -m benchmarks.snapshot [--quick] [--json FILE]

Two nights of one table: the first, when every ticket is new, and the next, with the share of new and changed tickets that a large
hotline has in a day. Each is one `hotline-watch import --snapshot` as an operator runs it, on a real Kafka, until every event is
acknowledged and the state is on the disk. Then a workbook of about 200 MB, its texts all shared and most of them used once, goes to a
file of events.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.report import RESULTS
from benchmarks.result import Result, Row, lines, write_result
from benchmarks.snapshot_tables import rows, write_csv, write_xlsx
from benchmarks.support import BenchmarkError, Installation, scratch

TICKETS, QUICK_TICKETS = 1_000_000, 10_000
WORKBOOK_MB, QUICK_WORKBOOK_MB = 200, 2
WORDS = 60
NEW_SHARE, CHANGED_SHARE, GONE_SHARE = 0.02, 0.05, 0.001
TARGET_ROWS, TARGET_MB = 10_000, 400


def run(quick: bool = False) -> Result:
    """Return rows a second and memory. Raises BenchmarkError where an event is missing in Kafka."""
    tickets = QUICK_TICKETS if quick else TICKETS
    shares = {"new_share": NEW_SHARE, "changed_share": CHANGED_SHARE, "gone_share": GONE_SHARE}
    with scratch() as installation:
        nights = []
        for night in range(2):
            table = installation.directory / f"night-{night}.csv"
            write_csv(table, rows(tickets, night, **shares))
            nights.append(_night(installation, table))
            table.unlink()
        first, next_ = nights
        in_kafka = installation.count(installation.topics.ticket_events)
        sent = sum(int(one["events"]) for one in nights)
        if in_kafka < sent:
            raise BenchmarkError(f"Kafka has {in_kafka} of {sent} events")
        book = installation.directory / "tickets.xlsx"
        table_rows = rows(1_048_000, 0, **shares)
        count = write_xlsx(book, table_rows, (QUICK_WORKBOOK_MB if quick else WORKBOOK_MB) << 20, WORDS)
        size_mb = book.stat().st_size / (1 << 20)
        out = installation.directory / "events.jsonl.gz"
        read = _command(["import", str(book), "--mapping", "fixed-three-returns", "--to", "jsonl", "--out", str(out)])
        if read["rows"] != count:
            raise BenchmarkError(f"{read['rows']} of the workbook's {count} rows were read")
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
        ),
        {"tickets": tickets, "changed share": CHANGED_SHARE, "new share": NEW_SHARE, "workbook rows": count},
        quick=quick,
    )


def _night(installation: Installation, table: Path) -> dict[str, float]:
    kafka = ["--bootstrap-servers", installation.bootstrap_servers]
    state = ["--snapshot", "--state", str(installation.directory / "tickets.state")]
    return _command(["import", str(table), "--mapping", "fixed-three-returns", *state, *kafka])


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
    parser.add_argument("--json", type=Path, default=None, help="the file of results")
    options = parser.parse_args(arguments)
    result = run(quick=options.quick)
    write_result(options.json or (RESULTS.with_stem("benchmarks-quick") if options.quick else RESULTS), result)
    print("\n".join(lines(result)))


if __name__ == "__main__":
    main()
