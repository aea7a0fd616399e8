"""The simulation of delivery: mistakes that are planted are found and made small, a seed always does the same, every trouble comes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.campaign import simulate_all, told
from tests.simulation.delivering import DELIVERY_BUGS
from tests.simulation.endpoints import ANSWERS
from tests.simulation.oracle import simulate
from tests.simulation.schedule import DELIVERY_KINDS, Step, draw

FEW = [seed for seed in range(400) if draw(seed).answers is not None]
EFFECTS = ("changelog", "disk", "hw.deliveries", "call", "answer")


@pytest.mark.parametrize("bug", sorted(DELIVERY_BUGS))
def test_a_planted_mistake_of_delivery_is_found(bug: str) -> None:
    assert any(simulate(draw(seed), frozenset({bug}))[0] for seed in FEW)


def test_what_goes_wrong_with_delivery_is_made_small() -> None:
    bugs = frozenset({"newest first"})
    outcome = simulate_all(FEW, bugs)
    assert outcome.failed is not None
    assert len(outcome.failed.inputs) <= 3
    assert len(outcome.failed.steps) <= 4
    assert outcome.failed.answers == ()
    shown = told(outcome.failed, bugs)
    assert f"--seed {outcome.failed.seed}" in shown
    assert "answers: all well" in shown


def test_a_seed_that_delivers_always_does_the_same() -> None:
    assert simulate(draw(FEW[0])) == simulate(draw(FEW[0]))


def test_every_trouble_comes() -> None:
    drawn = [draw(seed) for seed in FEW]
    assert {one.suppressing for one in drawn} == {True, False}
    assert {step.kind for one in drawn for step in one.steps} >= set(DELIVERY_KINDS)
    assert {answer for one in drawn for answer in one.answers or ()} == {"well", *ANSWERS}
    happened: Counter[str] = Counter()
    for one in drawn[:30]:
        happened += simulate(one)[1]
    assert not {f"crash before {effect}" for effect in EFFECTS} - happened.keys()


def test_a_step_of_delivery_says_what_it_does() -> None:
    assert str(Step("deliver", partition=1, size=2, crash="disk", after=1)) == (
        "deliver from partition 1, 2 records of each topic, crash before effect 4"
    )
    assert str(Step("hand_over", worker=1)) == "hand over delivery of partition 0 to 1, not known there yet"
