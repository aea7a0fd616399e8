"""Conditions: CEL over facts, in a form that can be explained, woken up in time, and never fails once loaded."""

from __future__ import annotations

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.conditions import Condition, ConditionError, compile_condition, parts, terms
from rules.engine import values_with
from rules.facts import FACTS, as_tree

REFUSED = {
    "an unknown fact": ("returns.cuont >= 2", "unknown fact returns.cuont"),
    "an unknown name": ("returns >= 2", "unknown name 'returns'"),
    "a function": ("size('a') > 0 && returns.count > 1", "unknown name 'size'"),
    "a method": ("returns.count > 1 && 'aaa'.matches('(a+)+$')", "unknown name 'matches'"),
    "Python's and": ("returns.count > 1 and returns.units > 1", "unknown name 'and'"),
    "a comment": ("returns.count > 1 // really", "unknown name 'really'"),
    "no fact": ("true", "reads no fact"),
    "a fact in quotes": ("'returns.count' == 'x'", "reads no fact"),
    "nothing": ("", "reads no fact"),
    "half a condition": ("returns.count > 1 &&", "is no CEL condition"),
    "a number": ("returns.count", "gives no yes or no"),
    "a number behind a condition": ("returns.count > 5 && returns.units", "gives no yes or no"),
    "a yes or no compared with a number": ("due.overdue >= 1", "cannot be evaluated"),
    "a wrong type behind a condition": ("returns.count > 5 && due.overdue >= 1", "cannot be evaluated"),
    "a division, by what may be zero": ("10 / (returns.count - 1) > 2", "may only compare"),
    "an overflow": ("returns.count * 3 > 2", "may only compare"),
    "a huge number": ("returns.count + 9223372036854775807 > 2", "may only compare"),
    "an index": ("[1, 2][returns.count] > 0", "may only compare"),
    "a map": ("{'a': returns.count}['b'] > 0", "may only compare"),
    "a clock fact compared by equality": ("waiting.days == 30", "changes as time passes"),
    "a clock fact the other way round": ("30 <= waiting.days", "changes as time passes"),
    "a clock fact below a number": ("waiting.days < 30", "changes as time passes"),
    "a clock fact and a fraction": ("waiting.days >= 30.5", "changes as time passes"),
    "a clock fact and a sum": ("waiting.days >= 30 + returns.count", "changes as time passes"),
    "a sum with a clock fact": ("1 + waiting.days >= 30", "changes as time passes"),
    "one of two clock facts": ("waiting.days >= 30 || waiting.days < 3", "changes as time passes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_to_write_instead(name: str) -> None:
    source, problem = REFUSED[name]
    with pytest.raises(ConditionError, match=problem):
        compile_condition(source)


def _holds(source: str, **facts: int | bool | str) -> bool:
    values = values_with({path.replace("__", "."): value for path, value in facts.items()})
    return compile_condition(source).holds(cel.Context(as_tree(values)))


@pytest.mark.parametrize(
    ("source", "facts", "holds"),
    [
        ("returns.count >= 2", {"returns__count": 2}, True),
        ("returns.count >= 2", {"returns__count": 1}, False),
        ("returns.count >= 4 || returns.units >= 3", {"returns__units": 3}, True),
        ("redos.count >= 5 || (redos.count >= 3 && visits.dissatisfied >= 1)", {"redos__count": 3}, False),
        ("!due.overdue && due.limits >= 1", {"due__limits": 1}, True),
        ("!(returns.count < 2 && returns.units < 2)", {"returns__units": 2}, True),
        ("returns.count in [2, 3]", {"returns__count": 3}, True),
        ("returns.count - returns.approved > 1", {"returns__count": 3, "returns__approved": 1}, True),
        ("waiting.days >= 30 ? true : due.overdue", {"waiting__days": 30}, True),
    ],
)
def test_a_condition_holds_or_not(source: str, facts: dict[str, int], holds: bool) -> None:
    assert _holds(source, **facts) is holds


def test_the_facts_it_reads_are_known() -> None:
    assert compile_condition("returns.count >= 2 || (returns.units > 1 && returns.count > 0)").paths == (
        "returns.count",
        "returns.units",
    )


def test_the_numbers_that_time_may_reach_are_known() -> None:
    condition = compile_condition("(waiting.days >= 30 && due.overdue) || waiting.days>59||due.overdue_work_days >= 5")
    assert set(condition.thresholds) == {("waiting.days", 30), ("waiting.days", 60), ("due.overdue_work_days", 5)}
    assert compile_condition("returns.count >= 3").thresholds == ()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("returns.count >= 2", ["returns.count >= 2"]),
        (
            "redos.count >= 5 || (redos.count >= 3 && visits.count >= 1)",
            ["redos.count >= 5", "redos.count >= 3", "visits.count >= 1"],
        ),
        ("((returns.count > 1))", ["returns.count > 1"]),
    ],
)
def test_terms_are_the_smallest_parts(source: str, expected: list[str]) -> None:
    assert terms(source) == expected
    assert [part.source for part in parts(compile_condition(source))] == expected


@pytest.mark.parametrize(
    "source",
    [
        "!(returns.count < 2 && returns.units < 2)",
        "returns.count > 1 ? true : due.near || due.overdue",
        "true && due.near",
    ],
)
def test_what_does_not_stand_alone_is_taken_as_a_whole(source: str) -> None:
    condition = compile_condition(source)
    assert parts(condition) == (condition,)


NUMBERS = [fact.path for fact in FACTS if fact.kind == "int" and not fact.clock]
TERM = st.builds(
    "{} {} {}".format, st.sampled_from(NUMBERS), st.sampled_from([">=", ">", "<", "==", "!="]), st.integers(0, 9)
) | st.sampled_from(["due.overdue", "waiting.days >= 30", "!due.near", "waiting.running"])
SOURCE = st.recursive(
    TERM, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner), max_leaves=6
)


@settings(max_examples=150, deadline=None)
@given(SOURCE, st.dictionaries(st.sampled_from(NUMBERS), st.integers(0, 10)), st.booleans())
def test_every_condition_that_loads_can_be_evaluated(source: str, facts: dict[str, int], overdue: bool) -> None:
    condition: Condition = compile_condition(source)
    context = cel.Context(as_tree(values_with({**facts, "due.overdue": overdue})))
    assert condition.holds(context) in (True, False)
    told = [part.holds(context) for part in parts(condition)]
    if "||" not in source:
        assert condition.holds(context) == all(told)
    if "&&" not in source:
        assert condition.holds(context) == any(told)
