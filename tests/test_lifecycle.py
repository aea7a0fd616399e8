"""The ticket's life: one table, whole and consistent."""

from __future__ import annotations

import re

import pytest

from models.ticket_event import EventType as E
from rules.lifecycle import ALLOWED, ENDS_ANYWHERE, LEADS_TO, REMARKS, STATE_TITLES, State, mermaid, next_state
from tests.builders import Story, facts_at, lineage_of, run


def test_every_state_and_every_type_of_event_has_its_place() -> None:
    assert set(ALLOWED) == set(STATE_TITLES) == set(State)
    assert set(LEADS_TO) | REMARKS == set(E)
    assert not set(LEADS_TO) & REMARKS
    reached = {LEADS_TO[kind] for kinds in ALLOWED.values() for kind in kinds} | {
        LEADS_TO[kind] for kind in ENDS_ANYWHERE
    }
    assert reached == set(State) - {State.NEW}


@pytest.mark.parametrize("state", list(State))
def test_any_event_is_taken_in_any_state(state: State) -> None:
    for kind in (*E, "brainstormed"):
        after, expected = next_state(state, kind)
        assert after in State
        assert expected == (kind in ALLOWED[state] or kind in REMARKS or kind not in LEADS_TO) or kind in ENDS_ANYWHERE


@pytest.mark.parametrize(
    ("state", "kind", "after", "expected"),
    [
        (State.NEW, E.REGISTERED, State.REGISTERED, True),
        (State.NEW, E.RESOLVED, State.RESOLVED, False),
        (State.DISPATCHED, E.RETURN_REQUESTED, State.RETURN_REQUESTED, True),
        (State.DESIGNATED, E.RETURN_REQUESTED, State.RETURN_REQUESTED, False),
        (State.ARCHIVED, E.REOPENED, State.REGISTERED, True),
        (State.ARCHIVED, E.DISPATCHED, State.DISPATCHED, False),
        (State.RESOLVED, E.URGED, State.RESOLVED, True),
        (State.SUSPENDED, E.VOIDED, State.VOIDED, True),
        (State.VOIDED, E.VOIDED, State.VOIDED, False),
        (State.VOIDED, E.MERGED, State.MERGED, False),
        (State.RESOLVED, "brainstormed", State.RESOLVED, True),
    ],
)
def test_some_transitions(state: State, kind: str, after: State, expected: bool) -> None:
    assert next_state(state, kind) == (after, expected)


def test_an_ordinary_life_has_nothing_unexpected() -> None:
    story = Story()(0, "registered")(0.1, "dispatched", unit="U")(0.2, "accepted", unit="U")(0.3, "contacted", unit="U")
    story(1, "extension_requested")(1.1, "extension_approved")(2, "resolved", unit="U")(
        3, "visited", result="satisfied"
    )
    assert facts_at(story(4, "archived"), 5)["lineage.unexpected"] == 0


def test_an_unexpected_event_is_folded_and_flagged() -> None:
    story = Story()(0, "registered")(1, "resolved", unit="U")
    for when in (2, 3):
        story(when, "return_requested", unit="U")
    lineage = lineage_of(story)
    assert [event.event_id for event in lineage.tickets["T-1"].unexpected] == ["T-1-002", "T-1-003", "T-1-004"]
    (alert,) = run(story).versions("P01")
    assert "unexpected_transition" in alert.flags


def test_a_closure_before_the_creation_is_held_as_late() -> None:
    story = Story()(5, "registered", citizen={"key": "c"})(1, "resolved", unit="U")
    assert run(story, 60).in_force == {("T-1", "P12"): "blue"}


def test_the_diagram_shows_every_foreseen_transition() -> None:
    drawn = mermaid()
    assert drawn.startswith("stateDiagram-v2\n")
    arrows = re.findall(r"^    (\S+) --> (\S+?)(?:: (\S+))?$", drawn, re.MULTILINE)
    assert len(arrows) == sum(len(kinds) for kinds in ALLOWED.values())
    assert ("dispatched", "returned", "return_approved") not in arrows
    assert ("return_requested", "returned", "return_approved") in arrows
