"""Run the benchmarks, one after the other: `python -m benchmarks [NAME…] [--quick] [--json FILE]`.

Each prints its table and is added to the file of results; `python -m benchmarks.report` writes them into the documentation.
Everything runs on 127.0.0.1 and below a directory of its own that is removed at the end. Exit status: 0 measured (targets
missed are shown, not failed), 1 a benchmark failed, 2 usage.
"""

import argparse
import importlib
import logging
import signal
import sys
import time
from pathlib import Path

from benchmarks.report import RESULTS
from benchmarks.result import Result, lines, write_result
from benchmarks.support import BenchmarkError

NAMES = (
    "pipeline",
    "secure",
    "latency",
    "fanout",
    "backlog",
    "http_door",
    "snapshot",
    "restore",
    "backtest",
    "memory",
    "recovery",
    "screening",
)


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; no measurement")
    parser.add_argument("--json", type=Path, help=f"the file of results ({RESULTS.name} in build/, quick ones apart)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    file = options.json or (RESULTS.with_stem("benchmarks-quick") if options.quick else RESULTS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped and removed
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # new topics: their leaders are on the way
    failed = 0
    for name in options.names or NAMES:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        try:
            result: Result = importlib.import_module(f"benchmarks.{name}").run(quick=options.quick)
        except BenchmarkError as error:
            print(f"{name} failed: {error}\n", file=sys.stderr, flush=True)
            failed = 1
            continue
        write_result(file, result)
        print("\n".join(lines(result)), f"\n[{time.monotonic() - began:.0f} s]\n", flush=True)
    print(f"results in {file}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
