"""Writes the table of results into docs/reliability.md: python -m tests.faults.report build/faults.json [build/soak.json]"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.matrix import faults
from tests.kafka_support import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: generated -->", "<!-- faults: end -->"

Row = dict[str, Any]


def read(*paths: Path) -> list[Row]:
    """Return the results in files of one JSON object a line."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines() if line.strip()]


def table(results: list[Row]) -> str:
    """Return the table of results and what stands beside it, as Markdown."""
    ran = [row for row in results if not row["skipped"]]
    by_fault: dict[int, list[Row]] = defaultdict(list)
    for row in ran:
        by_fault[row["fault"]].append(row)
    lines = [
        "| | fault | how it is seen | runs | held | losses | doubles | recovery s, median (most) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(fault.number, fault.name, fault.observed, by_fault[fault.number]) for fault in faults().values()]
    versions = sorted({row["version"] for row in ran})
    lost, doubled = (sum(row["verdict"] == verdict for row in ran) for verdict in ("lost", "doubled"))
    told = [
        f"{len(ran)} runs of {sum(bool(rows) for rows in by_fault.values())} faults; "
        f"{sum(row['passed'] for row in ran)} held, {lost} with a loss, {doubled} with a doubled effect.",
        f"Versions of the code, by the digest of its files: {', '.join(versions)}." if versions else "",
    ]
    return "\n".join([*lines, "", *filter(None, told)])


def _line(number: int, name: str, observed: str, rows: list[Row]) -> str:
    held = [row for row in rows if row["passed"]]
    seconds = [row["recovery_seconds"] for row in held]
    recovery = f"{median(seconds):.1f} ({max(seconds):.1f})" if seconds else "–"
    lost, doubled = (sum(row["verdict"] == verdict for row in rows) for verdict in ("lost", "doubled"))
    counts = f"{len(rows)} | {len(held)} | {lost} | {doubled}" if rows else "0 | – | – | –"
    return f"| {number} | {name} | {observed} | {counts} | {recovery} |"


def write(text: str, page: Path = PAGE) -> None:
    """Put a text between the page's markers."""
    whole = page.read_text(encoding="utf-8")
    before, rest = whole.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Write the table."""
    write(table(read(*map(Path, sys.argv[1:]))))


if __name__ == "__main__":
    main()
