"""The engine: facts in, one level per rule out."""

from __future__ import annotations

import pytest

from models.base import Level
from rules.engine import Engine, values_with
from rules.facts import NEUTRAL
from rules.pack import default_pack
from tests.builders import engine


def levels(**facts: int | bool) -> dict[str, str]:
    """Return the levels of the rules that speak, with these facts and the rest at their neutral values."""
    judge: Engine = engine()
    found = judge.levels(values_with({path.replace("__", "."): value for path, value in facts.items()}))
    return {rule.id: level.value for rule, level in zip(judge.rules, found, strict=True) if level is not None}


def test_neutral_facts_say_nothing() -> None:
    assert levels() == {}
    assert values_with({}) == NEUTRAL


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"returns__count": 4, "returns__units": 3}, {"P01": "red"}),
        ({"returns__count": 2}, {"P01": "blue"}),
        ({"waiting__days": 60, "extensions__approved": 1}, {"P12": "yellow", "P07": "blue"}),
    ],
)
def test_each_rule_gives_the_highest_level_whose_condition_holds(
    facts: dict[str, int], expected: dict[str, str]
) -> None:
    assert levels(**facts) == expected


def test_what_was_judged_before_comes_out_the_same() -> None:
    judge = Engine(default_pack())
    values = values_with({"returns.count": 3})
    assert judge.levels(values) == judge.levels(tuple(values))
    assert judge.levels(values)[[rule.id for rule in judge.rules].index("P01")] is Level.YELLOW


def test_an_unknown_fact_cannot_be_given() -> None:
    with pytest.raises(KeyError):
        values_with({"returns.cuont": 1})
