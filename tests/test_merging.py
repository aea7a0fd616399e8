"""Merges: a child's past and future count as its root's, in chains and in any order; circles are refused."""

from __future__ import annotations

from itertools import permutations

import pytest

from models.base import Status
from rules.driver import Driver
from rules.tickets import RefusedMerge
from tests.builders import Run, Story, day, facts_at, run

A, B = "U-A", "U-B"


def _refused(told: Run) -> list[str]:
    return [alarm.event_id for alarm in told.driver.alarms if isinstance(alarm, RefusedMerge)]


def chain() -> Story:
    """A root and a chain of two below it, each returned once by a unit of its own, and once more after the merge."""
    story = Story("R")(0, "registered")
    story(1, "return_requested", ticket="C", unit="U-1")(2, "merged", ticket="C", into="M")
    story(1.5, "return_requested", ticket="M", unit="U-2")(3, "merged", ticket="M", into="R")
    return story(4, "return_requested", unit="U-3")(5, "return_requested", ticket="C", unit="U-1")


def test_a_childs_past_and_future_count_at_the_root_of_a_chain() -> None:
    told = run(chain(), 10)
    assert told.in_force == {("R", "P01"): "red"}
    last = told.versions("P01", "R")[-1]
    assert facts_at(chain(), 10)["returns.count"] == 4
    assert last.tickets == ("R", "C", "M")
    assert {one.what.split(":")[0] for one in last.evidence} == {"工单C", "工单M", "工单R"}


def test_a_chain_comes_to_the_same_in_any_order() -> None:
    events = chain().events
    expected = run(events, 10).in_force
    for order in list(permutations(events))[::97]:
        assert run(order, 10).in_force == expected


def test_a_merged_childs_case_is_retracted() -> None:
    story = Story("R")(0, "registered")(0, "registered", ticket="C")
    story(1, "return_requested", ticket="C", unit=A)(2, "return_requested", ticket="C", unit=B)(
        3, "merged", ticket="C", into="R"
    )
    told = run(story)
    retracted = told.versions("P01", "C")[-1]
    assert (retracted.status, retracted.reason, retracted.trigger) == (Status.RETRACTED, "merged_into", "R-005")
    assert "并入" in retracted.headline
    assert told.in_force == {("R", "P01"): "yellow"}


def test_a_childs_deadline_goes_on_at_the_root_alone() -> None:
    story = Story("R")(0, "registered")(0, "dispatched", ticket="C", unit=A, limit={"value": 10, "unit": "days"})
    story(1, "merged", ticket="C", into="R")
    assert run(story, 12).in_force == {("R", "P06"): "yellow"}
    assert run(story(9, "resolved", unit=A), 12).in_force == {}


def test_waiting_starts_at_the_first_registration_of_the_lineage() -> None:
    story = Story("R")(20, "registered")(0, "registered", ticket="C")(21, "merged", ticket="C", into="R")
    assert facts_at(story, 40)["waiting.days"] == 40
    assert run(story, 40).in_force == {("R", "P12"): "blue"}


def test_the_end_of_a_merged_child_is_not_its_lineages() -> None:
    story = Story("R")(0, "registered")(1, "registered", ticket="C")(2, "merged", ticket="C", into="R")
    story(3, "archived", ticket="C")
    assert facts_at(story, 40)["waiting.days"] == 40


def test_a_childs_dissatisfied_visit_after_the_merge_lets_its_root_wait_on() -> None:
    story = Story("R")(0, "registered")(1, "registered", ticket="C")(2, "merged", ticket="C", into="R")(10, "resolved")
    assert facts_at(story, 40)["waiting.days"] == 10
    assert facts_at(story(11, "visited", ticket="C", result="dissatisfied"), 40)["waiting.days"] == 40


def test_of_a_voided_child_nothing_counts() -> None:
    story = Story("R")(0, "return_requested", unit=A)(1, "return_requested", ticket="C", unit=B)
    story(2, "merged", ticket="C", into="R")(3, "voided", ticket="C")
    assert run(story).in_force == {}
    assert facts_at(story, 5)["returns.count"] == 1


def test_a_voided_root_leaves_its_child_to_count() -> None:
    story = Story("R")(0, "return_requested", unit=A)(1, "return_requested", ticket="C", unit=B)
    story(1.5, "return_requested", ticket="C", unit=B)(2, "merged", ticket="C", into="R")(3, "voided")
    assert run(story).in_force == {("R", "P01"): "blue"}
    story(4, "voided", ticket="C")
    assert run(story).in_force == {}


def test_the_order_within_a_lineage_is_that_of_time_whatever_the_numbers_say() -> None:
    story = Story("R")(2, "return_denied", unit=A, seq=1)(1, "return_requested", unit=A, seq=2)
    assert facts_at(story, 5)["returns.count"] == 1
    story(0, "urged", ticket="C", seq=3)(0.5, "merged", ticket="C", into="R", seq=4)
    assert facts_at(story, 5)["returns.count"] == 0


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_of_merges_in_a_circle_the_latest_is_refused(length: int) -> None:
    names = "ABCD"[:length]
    story = Story("A")
    for number, ticket in enumerate(names):
        story(number, "return_requested", ticket=ticket, unit=f"U-{ticket}")
    for number, ticket in enumerate(names):
        story(10 + number, "merged", ticket=ticket, into=names[(number + 1) % length])
    latest = names[-1]
    expected = {1: {}, 2: {(latest, "P01"): "yellow"}}.get(length, {(latest, "P01"): "red"})
    orders = [story.events, story.events[::-1], story.events[::2] + story.events[1::2]]
    for events in orders:
        told = run(events, 30)
        assert told.in_force == expected
        assert set(_refused(told)) >= {story.records[-1]["event_id"]}


def test_a_refused_merge_is_told_once() -> None:
    story = Story("A")(1, "merged", into="A")(2, "urged")(3, "urged")
    assert _refused(run([*story.events, *story.events])) == ["A-001"]


def test_the_last_merge_said_of_a_ticket_stands() -> None:
    story = Story("C")(0, "return_requested", unit=A)(1, "return_requested", unit=B)
    story(2, "merged", into="R")(3, "merged", into="S")(4, "urged", ticket="R")(4, "urged", ticket="S")
    for events in (story.events, story.events[::-1]):
        told = run(events)
        assert told.in_force == {("S", "P01"): "yellow"}
        assert told.driver.tickets["R"].members.get("C", (0, ()))[1] == ()


def test_a_merge_into_a_ticket_nobody_has_seen_makes_its_case() -> None:
    story = Story("C")(0, "return_requested", unit=A)(1, "return_requested", unit=B)(2, "merged", into="X")
    assert run(story).in_force == {("X", "P01"): "yellow"}


def test_a_circle_comes_to_rest() -> None:
    """However often its events come again, nothing more is said."""
    story = Story("A")(0, "urged")(1, "merged", into="B")(2, "merged", ticket="B", into="C")(
        3, "merged", ticket="C", into="A"
    )
    driver = Driver(run(story).driver.engine)
    for _ in range(3):
        for event in story.events:
            list(driver.feed(event))
    told = {ticket: state.told for ticket, state in driver.tickets.items()}
    for event in story.events:
        assert list(driver.feed(event)) == []
    assert {ticket: state.told for ticket, state in driver.tickets.items()} == told
    assert driver.clock == day(3)
