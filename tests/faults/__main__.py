"""Run the campaign: python -m tests.faults --runs 300 --json build/faults.json"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.arguments import positive
from tests.faults.campaign import Campaign, Plan
from tests.faults.matrix import faults


def main() -> int:
    """Return 0 where every run passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=positive, default=300, help="how many in all, the faults in turn")
    parser.add_argument("--seconds", type=float, default=86_400, help="start no further run after so long")
    parser.add_argument("--only", default="", help="numbers of faults: 1,2,5")
    parser.add_argument("--seed", type=int, default=1, help="the first run's; each further one has the next")
    parser.add_argument("--json", type=Path, default=Path("build/faults.json"), help="results are added to this file")
    parser.add_argument("--keep", type=Path, default=Path("build/faults"), help="logs of runs that failed")
    args = parser.parse_args()
    known = {str(number): number for number in faults()}
    named = [name for name in args.only.split(",") if name]
    unknown = [name for name in named if name not in known]
    if unknown:
        parser.error(f"--only: there is no fault {', '.join(unknown)}; there are {min(faults())} to {max(faults())}")
    chosen = [known[name] for name in named] or list(faults())
    plan = Plan(args.runs, args.seconds, tuple(chosen), args.seed, args.json.absolute(), args.keep.absolute())
    return 0 if Campaign(plan).run() else 1


if __name__ == "__main__":
    sys.exit(main())
