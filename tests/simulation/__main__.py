"""The long form, and one seed again: python -m tests.simulation --schedules 200000 --jobs 2; python -m tests.simulation --seed 7"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from benchmarks.arguments import positive
from tests.simulation.campaign import Outcome, simulate_all, told

PIECE = 500


def main() -> int:
    """Run what the arguments say; 0 where all is well, 1 where a schedule goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate detection and delivery.")
    parser.add_argument("--schedules", type=positive, default=100_000)
    parser.add_argument("--from-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="end after so long, however many were run")
    parser.add_argument("--jobs", type=positive, default=2, help="processes")
    parser.add_argument("--seed", type=int, help="run this one alone, and show it")
    options = parser.parse_args()
    if options.seed is not None:
        return _show(simulate_all([options.seed]))
    ends = time.monotonic() + (options.seconds or float("inf"))
    done, happened = 0, Counter[str]()
    with ProcessPoolExecutor(options.jobs) as pool:
        last = options.from_seed + options.schedules
        pieces = [range(first, min(first + PIECE, last)) for first in range(options.from_seed, last, PIECE)]
        for future in as_completed([pool.submit(simulate_all, piece) for piece in pieces]):
            outcome = future.result()
            done, happened = done + outcome.schedules, happened + outcome.happened
            if outcome.failed is not None or time.monotonic() > ends:
                pool.shutdown(cancel_futures=True)
                return _show(Outcome(done, happened, outcome.failed))
    return _show(Outcome(done, happened, None))


def _show(outcome: Outcome) -> int:
    print(
        f"{outcome.schedules} schedules:",
        ", ".join(f"{what} {count}" for what, count in sorted(outcome.happened.items())),
    )
    if outcome.failed is None:
        return 0
    print(told(outcome.failed))
    return 1


if __name__ == "__main__":
    sys.exit(main())
