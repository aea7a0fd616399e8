"""Measures on real messages how alike texts are: the ground on which the floors of "same matter" stand. Prints aggregates only.

    python -m benchmarks.same_matter MESSAGES.csv.gz [ONE_DEMAND.csv] [--wordy USER]

MESSAGES has the columns id, user, title, time, text; ONE_DEMAND lists ids of messages that people judged to be about one matter.
"""

import argparse
import csv
import gzip
import io
import random
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from models.times import DAY, parse_instant
from rules.masking import mask
from rules.matter import MatterConfig
from rules.sketch import Sketch, merge, similarity, sketch_of

SHARES = (0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999)
FLOORS = (0.30, 0.35, 0.40, 0.45, 0.50, 0.60)
RANDOM_PAIRS = 100_000


def _quantiles(name: str, values: Iterable[float]) -> None:
    ordered = sorted(values)
    cells = " ".join(f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))]:.3f}" for share in SHARES)
    print(f"{name:<34} {len(ordered):>7}  {cells}")


def _repeats(messages: list[tuple[int, Sketch]], floor: float) -> int:
    """Return the most messages of one user that are alike within 90 days."""
    window = MatterConfig().window_days * DAY
    best = 0
    for at, sketch in messages:
        alike = [other for other, theirs in messages if theirs is sketch or similarity(sketch, theirs) >= floor]
        for start in alike:
            if start <= at <= start + window:
                best = max(best, sum(start <= other <= start + window for other in alike))
    return best


def main() -> None:
    """Print the distribution of likeness for several kinds of pairs, and what each floor would find."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("messages", type=Path)
    arguments.add_argument("one_demand", type=Path, nargs="?")
    arguments.add_argument("--wordy", help="a user known to write on many unrelated matters")
    given = arguments.parse_args()
    with gzip.open(given.messages) as raw:
        rows = list(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8")))
    sketches = {row["id"]: merge([sketch_of(mask(row["title"])), sketch_of(mask(row["text"]))]) for row in rows}
    users: dict[str, list[tuple[int, Sketch]]] = defaultdict(list)
    for row in rows:
        users[row["user"]].append((parse_instant(row["time"]), sketches[row["id"]]))
    print(f"{'pairs':<34} {'count':>7}  " + " ".join(f"{share:>5.1%}" for share in SHARES))
    draw = random.Random(1)
    pairs = [draw.sample(list(sketches), 2) for _ in range(RANDOM_PAIRS)]
    _quantiles("two random messages", (similarity(sketches[one], sketches[other]) for one, other in pairs))
    if given.one_demand is not None:
        named = [line.strip() for line in given.one_demand.read_text().splitlines()]
        judged = [sketches[name] for name in named if name in sketches]
        _quantiles("one matter, different authors", (similarity(*pair) for pair in combinations(judged, 2)))
    of_one = [similarity(one[1], other[1]) for theirs in users.values() for one, other in combinations(theirs, 2)]
    _quantiles("two messages of one user", of_one)
    print("\nfloor  users with 2+  3+  5+ alike within 90 days" + ("  of them the wordy user" if given.wordy else ""))
    for floor in FLOORS:
        found = {user: _repeats(theirs, floor) for user, theirs in users.items()}
        counts = "  ".join(f"{sum(count >= least for count in found.values()):>4}" for least in (2, 3, 5))
        print(f"{floor:.2f}   {counts}" + (f"   {found[given.wordy]}" if given.wordy else ""))


if __name__ == "__main__":
    main()
