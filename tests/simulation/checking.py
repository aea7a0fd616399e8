"""What each file of schedules in the suite asserts. They are several files so that test processes share them."""

from __future__ import annotations

from tests.simulation.campaign import simulate_all, told
from tests.simulation.endpoints import ANSWERS
from tests.simulation.schedule import CRASHES, DELIVERY_KINDS

PIECE = 500
FILES = 4
PIECES = 5
SCHEDULES = FILES * PIECES * PIECE
"""in all files together"""
assert SCHEDULES >= 10_000


def seeds_of(file: int) -> list[range]:
    """Return the seeds of one of the files, some at a time."""
    first = file * PIECES * PIECE
    return [range(start, start + PIECE) for start in range(first, first + PIECES * PIECE, PIECE)]


def all_is_well(seeds: range) -> None:
    """Run the schedules of some seeds, and see that every kind of trouble came often enough to mean something."""
    outcome = simulate_all(seeds)
    assert outcome.failed is None, told(outcome.failed)
    assert outcome.schedules == len(seeds)
    for what in ("crash", "move", "lose_disk", "commit", "tick", *(f"crash at {step}" for step in CRASHES)):
        assert outcome.happened[what] > len(seeds) // 100, what
    for what in DELIVERY_KINDS:
        assert outcome.happened[what] > 0, what
    assert sum(outcome.happened[f"answer {how}"] for how in ANSWERS) > len(seeds) // 100
