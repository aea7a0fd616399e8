"""The simulation itself: mistakes that are planted are found, what goes wrong is made small, and a seed always does the same."""

from __future__ import annotations

import orjson
import pytest

from tests.builders import body
from tests.simulation.campaign import simulate_all, told
from tests.simulation.oracle import simulate
from tests.simulation.schedule import Schedule, Step, draw
from tests.simulation.shrink import shrink

FEW = range(200)


@pytest.mark.parametrize("bug", ["acknowledged first", "committed too far", "debts forgotten", "debts unnamed"])
def test_a_planted_mistake_is_found_and_made_small(bug: str) -> None:
    outcome = simulate_all((seed for seed in FEW if draw(seed).answers is None), frozenset({bug}))
    assert outcome.failed is not None
    assert len(outcome.failed.inputs) <= 3
    assert len(outcome.failed.steps) <= 6
    assert f"--seed {outcome.failed.seed}" in told(outcome.failed, frozenset({bug}))


def _disk_runs_ahead() -> Schedule:
    """A crash while the changelog is written; the same disk goes on and commits; then another worker gets the partition."""
    unit = {"unit": "U-1"}
    inputs = [
        body("B", "registered", 0, "B-1", citizen={"key": "c-1"}, request_type="complaint", title="路灯不亮"),
        body("B", "return_requested", 1, "B-2", **unit),
        body("B", "return_requested", 2, "B-3", **unit),
    ]
    steps = (
        Step("produce", size=3),
        Step("work", "source", 0, size=9),
        Step("commit", partition=0),
        Step("work", "tickets", 0, size=9, crash="changelog", after=2),
        Step("work", "tickets", 0, size=9),
        Step("commit", partition=0),
        Step("move", partition=0, worker=1),
    )
    return Schedule(0, tuple(map(orjson.dumps, inputs)), steps, in_order=False)


def test_a_disk_ahead_of_its_changelog_loses_a_state() -> None:
    assert simulate(_disk_runs_ahead())[0] == []
    assert simulate(_disk_runs_ahead(), frozenset({"disk first"}))[0] != []


def test_a_seed_always_does_the_same() -> None:
    assert draw(7) == draw(7)
    assert simulate(draw(7)) == simulate(draw(7))


def test_schedules_are_of_both_kinds_and_have_bad_input_and_doubles() -> None:
    drawn = [draw(seed) for seed in FEW]
    assert {one.in_order for one in drawn} == {True, False}
    assert any(b"ticket_id" not in value for one in drawn for value in one.inputs)
    assert any(len(set(one.inputs)) < len(one.inputs) for one in drawn)


def test_shrinking_keeps_only_what_it_takes() -> None:
    schedule = draw(3)
    wanted = {schedule.inputs[-1], schedule.inputs[0]}
    least = shrink(schedule, lambda one: wanted <= set(one.inputs) and any(step.kind == "work" for step in one.steps))
    assert sorted(least.inputs) == sorted(wanted)
    assert [step.kind for step in least.steps] == ["work"]


def test_a_root_whose_partition_lies_behind_its_children_misses_no_deadline() -> None:
    """The child's wait was over before the root's own partition had come that far: how long it had lasted was never judged."""
    inputs = [
        body("A", "registered", 2, "A-1", citizen={"key": "c-1"}, request_type="complaint", title="路灯不亮"),
        body("A", "merged", 50, "A-2", into="D"),
        body("A", "rejected", 48, "A-3"),
        body("D", "recalled", 13, "D-1", unit="U-3"),
    ]
    assert simulate(Schedule(0, tuple(map(orjson.dumps, inputs)), (), in_order=False))[0] == []
