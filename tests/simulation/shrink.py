"""The least schedule that still goes wrong: inputs and steps are left out, half of them at first, one at a time in the end."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.schedule import Schedule


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Return a schedule that fails too, and of which no single input or step can be left out."""
    size = max(len(schedule.inputs), len(schedule.steps), len(schedule.afterwards))
    while True:
        size = max(size // 2, 1)
        smaller = _pass(schedule, size, fails)
        if smaller is schedule and size == 1:
            return schedule
        schedule = smaller


def _pass(schedule: Schedule, size: int, fails: Callable[[Schedule], bool]) -> Schedule:
    at = 0
    while at < len(schedule.steps):
        candidate = schedule.without(steps=range(at, at + size))
        if fails(candidate):
            schedule = candidate
        else:
            at += size
    at = 0
    while at < len(schedule.afterwards):
        candidate = schedule.without(afterwards=range(at, at + size))
        if fails(candidate):
            schedule = candidate
        else:
            at += size
    at = 0
    while at < len(schedule.inputs):
        candidate = schedule.without(inputs=range(at, at + size))
        if fails(candidate):
            schedule = candidate
        else:
            at += size
    return schedule
