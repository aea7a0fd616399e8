"""Many schedules, and what to say of one that goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tests.simulation.oracle import simulate
from tests.simulation.schedule import Schedule, draw
from tests.simulation.shrink import shrink


class Outcome(NamedTuple):
    """What came of some schedules."""

    schedules: int
    happened: Counter[str]
    failed: Schedule | None
    """the first that went wrong, made as small as it goes"""


def simulate_all(seeds: Iterable[int], bugs: frozenset[str] = frozenset()) -> Outcome:
    """Run the schedules of some seeds, up to the first that goes wrong."""
    happened = Counter[str]()
    schedules = 0
    for seed in seeds:
        schedule = draw(seed)
        wrong, what = simulate(schedule, bugs)
        schedules += 1
        happened += what
        if wrong:
            return Outcome(schedules, happened, shrink(schedule, lambda one: bool(simulate(one, bugs)[0])))
    return Outcome(schedules, happened, None)


def told(failed: Schedule, bugs: frozenset[str] = frozenset()) -> str:
    """Return a schedule that goes wrong, what is wrong, and how to run it again."""
    wrong = "\n".join(f"  {one}" for one in simulate(failed, bugs)[0])
    return f"{failed}\nwrong at the end:\n{wrong}\nrun it again: python -m tests.simulation --seed {failed.seed}"
