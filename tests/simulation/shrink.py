"""The least schedule that still goes wrong: inputs, steps and answers are left out, half of them at first, one at a time in the end."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.schedule import Part, Schedule

PARTS: tuple[Part, ...] = ("steps", "afterwards", "inputs", "answers")


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Return a schedule that fails too, and of which no single input, step or answer can be left out."""
    size = max(len(getattr(schedule, part) or ()) for part in PARTS)
    while True:
        size = max(size // 2, 1)
        smaller = _pass(schedule, size, fails)
        if smaller is schedule and size == 1:
            return schedule
        schedule = smaller


def _pass(schedule: Schedule, size: int, fails: Callable[[Schedule], bool]) -> Schedule:
    for part in PARTS:
        at = 0
        while at < len(getattr(schedule, part) or ()):
            candidate = schedule.without(part, range(at, at + size))
            if fails(candidate):
                schedule = candidate
            else:
                at += size
    return schedule
