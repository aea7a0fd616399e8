"""Write the campaign's results into docs/reliability.md: python -m tests.faults.report build/faults.json [further files]

A file has a JSON object a line, as a run leaves it. To one of a run that did not hold a field `explained` may be added.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import MarkerError
from tests.faults.matrix import Fault, faults
from tests.kafka_support import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- results of faults: begin -->", "<!-- results of faults: end -->"
NOT_INJECTED: Mapping[int, str] = {}
"""faults of the matrix for which there is no run, each with its reason"""
_HEAD = (
    "| | fault | how it is injected | how it is seen | runs | losses | doubles | other failures "
    "| recovery s, median | most |"
)

Row = dict[str, Any]


def read(paths: Iterable[Path]) -> list[Row]:
    """Return the results in files; the last line of one may be cut off."""
    found = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return found


def results(rows: list[Row], matrix: Mapping[int, Fault]) -> str:
    """Return the table of results and what is to be said beside it, as Markdown."""
    ran = [row for row in rows if not row["skipped"]]
    by_fault: dict[int, list[Row]] = defaultdict(list)
    for row in ran:
        by_fault[row["fault"]].append(row)
    told = [
        _HEAD,
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(fault, by_fault[fault.number]) for fault in matrix.values()),
        "",
        _sum(ran),
        *_versions(ran),
        *_failed(ran),
        *_not_run(matrix, by_fault),
    ]
    return "\n".join(told)


def _count(rows: Iterable[Row], verdict: str) -> int:
    return sum(not row["passed"] and row["verdict"] == verdict for row in rows)


def _line(fault: Fault, rows: list[Row]) -> str:
    injected = " ".join((fault.inject.__doc__ or "").partition("\n\n")[0].split())
    cells = [str(fault.number), fault.name, injected, fault.observed]
    if not rows:
        return f"| {' | '.join([*cells, '0', *['–'] * 5])} |"
    seconds = [row["recovery_seconds"] for row in rows if row["passed"]]
    cells += [str(len(rows)), *(str(_count(rows, verdict)) for verdict in ("lost", "doubled", "failed"))]
    cells += [f"{median(seconds):.1f}", f"{max(seconds):.1f}"] if seconds else ["–", "–"]
    return f"| {' | '.join(cells)} |"


def _sum(ran: list[Row]) -> str:
    injected = {row["fault"] for row in ran} - {0}
    return (
        f"{len(ran)} runs of {len(injected)} faults: {sum(row['passed'] for row in ran)} held, {_count(ran, 'lost')} "
        f"with a loss, {_count(ran, 'doubled')} with a doubled effect, {_count(ran, 'failed')} that failed otherwise."
    )


def _versions(ran: list[Row]) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for row in ran:
        counts[row["version"]] += 1
    if not counts:
        return []
    told = ", ".join(f"`{version}` ({count} runs)" for version, count in counts.items())
    many = "Several versions of the code are in the table, by the digest of its files" if len(counts) > 1 else "Version"
    last = " The faults are described as the latest version injects them." if len(counts) > 1 else ""
    return ["", f"{many}: {told}.{last}"]


def _failed(ran: list[Row]) -> list[str]:
    failed = [row for row in ran if not row["passed"]]
    if not failed:
        return []
    lines = [
        f"- fault {row['fault']}, seed {row['seed']}, version `{row['version']}`: {row['verdict']}. "
        f"{row.get('explained') or 'Not explained yet.'}"
        for row in failed
    ]
    return ["", "Runs that did not hold:", "", *lines]


def _not_run(matrix: Mapping[int, Fault], by_fault: Mapping[int, list[Row]]) -> list[str]:
    reasons = dict(NOT_INJECTED) | {
        fault.number: f"{fault.name}: not run where this table was made; it needs {_needs(fault)}"
        for fault in matrix.values()
        if not by_fault.get(fault.number)
    }
    if not reasons:
        return ["", "Every fault of the matrix is injected."]
    return ["", "Not injected:", "", *(f"- {number}, {reason}." for number, reason in sorted(reasons.items()))]


def _needs(fault: Fault) -> str:
    return ", ".join(fault.needs) or "only more time"


def with_results(document: str, text: str) -> str:
    """Return the document with a text between its markers. Raises MarkerError."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise MarkerError(f"the document must have each of {BEGIN!r} and {END!r} once")
    before, _, rest = document.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise MarkerError(f"{END!r} stands before {BEGIN!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main(arguments: list[str] | None = None) -> None:
    """Update the document from files of results."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.report", description=main.__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--document", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    runs = []
    for path in options.results:
        try:
            runs += read([path])
        except (OSError, ValueError) as error:
            parser.error(f"{path} cannot be read as results of runs: {error}")
    if not runs:
        parser.error(f"no result of a run is in {', '.join(map(str, options.results))}: the page stays as it is")
    text = options.document.read_text(encoding="utf-8")
    options.document.write_text(with_results(text, results(runs, faults())), encoding="utf-8")


if __name__ == "__main__":
    main()
