"""Write measured results into the documentation, between its markers.

python -m benchmarks.report [RESULTS.json]
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks.result import Result, read_results, table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "benchmarks.json"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


class MarkerError(ValueError):
    """The document has no place for a result."""


def with_results(document: str, results: Mapping[str, Result]) -> str:
    """Return the document with each result in its place; other places stay as they are. Raises MarkerError."""
    for name, result in results.items():
        begin, end = f"<!-- results of {name}: begin -->", f"<!-- results of {name}: end -->"
        if document.count(begin) != 1 or document.count(end) != 1:
            raise MarkerError(f"the document must have each of {begin!r} and {end!r} once")
        before, _, rest = document.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise MarkerError(f"{end!r} stands before {begin!r}")
        document = f"{before}{begin}\n{table(result.rows)}\n\n{result.facts()}\n{end}{after}"
    return document


def main(arguments: list[str] | None = None) -> None:
    """Update the document from a file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=main.__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    results = read_results(options.results)
    if not results:
        parser.error(f"no results in {options.results}: run `make bench` first")
    text = options.document.read_text(encoding="utf-8")
    options.document.write_text(with_results(text, results), encoding="utf-8")
    print(f"{', '.join(results)} → {options.document}")


if __name__ == "__main__":
    main()
