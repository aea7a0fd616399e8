"""What each fact counts and each rule concludes: one line for each sentence of meaning."""

from __future__ import annotations

from typing import Any

import pytest

from rules.facts import FACTS, NEUTRAL, compute, next_wake
from rules.fold import fold
from rules.views import View
from tests.builders import Story, day, facts_at, levels_at, lineage_of, run

A, B, C = "U-A", "U-B", "U-C"
NONE: dict[str, Any] = {"contacted": False, "site_checked": False, "evidence": False}
ALL: dict[str, Any] = {"contacted": True, "site_checked": True, "evidence": ["现场照片"]}


def asked(when: float, unit: str | None = A, story: Story | None = None, **fields: Any) -> Story:
    return (story or Story())(when, "return_requested", unit=unit, **fields)


RETURNS: dict[str, tuple[Story, dict[str, int]]] = {
    "counts when it is asked for": (asked(1), {"count": 1, "units": 1, "approved": 0}),
    "counts once when it is approved": (asked(1)(2, "return_approved", unit=A), {"count": 1, "approved": 1}),
    "counts once when the approval names no unit": (asked(1)(2, "return_approved"), {"count": 1, "approved": 1}),
    "counts at its approval where nobody asked": (Story()(2, "return_approved", unit=A), {"count": 1, "approved": 1}),
    "is taken back by a denial": (asked(1)(2, "return_denied", unit=A), {"count": 0, "units": 0, "denied": 1}),
    "is taken back by a denial without a unit": (asked(1)(2, "return_denied"), {"count": 0, "denied": 1}),
    "counts once however often it is approved": (
        asked(1)(2, "return_approved", unit=A)(3, "return_approved", unit=A),
        {"count": 1, "approved": 1},
    ),
    "is taken back by a denial after its approval": (
        asked(1)(2, "return_approved", unit=A)(3, "return_denied", unit=A),
        {"count": 0, "approved": 0, "denied": 1},
    ),
    "counts when it is approved after its denial": (
        asked(1)(2, "return_denied", unit=A)(3, "return_approved", unit=A),
        {"count": 1, "approved": 1, "denied": 1},
    ),
    "counts anew when the unit got the ticket again": (
        asked(1)(2, "return_approved", unit=A)(3, "dispatched", unit=A)(4, "return_approved", unit=A),
        {"count": 2, "approved": 2},
    ),
    "of a unit nobody named": (Story()(1, "return_requested")(2, "return_requested", unit=A), {"count": 2, "units": 1}),
    "of one unit twice": (
        asked(1)(2, "return_approved").__call__(3, "return_requested", unit=A),
        {"count": 2, "units": 1},
    ),
    "of two units": (asked(2, B, asked(1)), {"count": 2, "units": 2}),
    "denied, of one of two units": (asked(2, B, asked(1))(3, "return_denied", unit=B), {"count": 1, "units": 1}),
    "with a reason of unclear duty": (
        asked(2, B, asked(1, reason_code="R3"), reason_code="R1"),
        {"unclear": 1, "count": 2},
    ),
    "back and forth": (asked(1)(2, "return_approved")(3, "dispatched", unit=A), {"ping_pong": 1}),
    "on to another unit": (asked(1)(2, "return_approved")(3, "dispatched", unit=B), {"ping_pong": 0}),
}


@pytest.mark.parametrize("name", RETURNS)
def test_a_return(name: str) -> None:
    story, expected = RETURNS[name]
    found = facts_at(story, 10)
    assert {path: found[f"returns.{path}"] for path in expected} == expected


def test_a_reason_of_unclear_duty_flags_and_does_not_lower_the_level() -> None:
    story = asked(2, B, asked(1, reason_code="R4"), reason_code="R3")
    (*_, last) = run(story).versions("P01")
    assert last.level == "yellow"
    assert "unclear_responsibility" in last.flags


def test_a_denied_return_of_unclear_duty_does_not_flag() -> None:
    story = asked(3, B, asked(2, B, asked(1, reason_code="R4")(1.5, "return_denied", unit=A)))
    assert all("unclear_responsibility" not in one.flags for one in run(story).versions("P01"))


BLIND: dict[str, tuple[Story, str | None]] = {
    "nothing said is unknown": (asked(1), None),
    "all there": (asked(1, **ALL), None),
    "one said to be missing": (asked(1, **ALL | {"contacted": False}), "blue"),
    "one missing, the rest unknown": (asked(1, evidence=[]), "blue"),
    "two missing": (asked(1, **NONE | {"contacted": True}), "blue"),
    "all three missing": (asked(1, **NONE), "yellow"),
    "an empty list is missing": (asked(1, **NONE | {"evidence": []}), "yellow"),
    "three missing over two returns is not one blind return": (
        asked(2, B, asked(1, **ALL | {"contacted": False}), **ALL | {"site_checked": False, "evidence": False}),
        "blue",
    ),
    "blind and designated to it afterwards": (asked(1, **NONE)(9, "designated", unit=A), "red"),
    "blind and designated to it before": (asked(9, **NONE, story=Story()(1, "designated", unit=A)), "red"),
    "blind and designated to another": (asked(1, **NONE)(9, "designated", unit=B), "yellow"),
    "blind, designated to it and then to another": (
        asked(1, **NONE)(9, "designated", unit=A)(10, "designated", unit=B),
        "yellow",
    ),
    "blind and denied": (asked(1, **NONE)(2, "return_denied", unit=A), "red"),
    "blind and approved": (asked(1, **NONE)(2, "return_approved", unit=A), "yellow"),
    "partly blind and denied": (asked(1, **NONE | {"contacted": True})(2, "return_denied", unit=A), "blue"),
    "another unit's return denied": (asked(2, B, asked(1, **NONE))(3, "return_denied", unit=B), "yellow"),
}


@pytest.mark.parametrize("name", BLIND)
def test_a_blind_return(name: str) -> None:
    story, level = BLIND[name]
    assert levels_at(story, 20).get("P02") == level


AGAIN: dict[str, tuple[Story, str | None]] = {
    "a denial alone": (asked(1)(2, "return_denied", unit=A), None),
    "asking again after a denial": (asked(3, A, asked(1)(2, "return_denied", unit=A)), "yellow"),
    "asking again after a denial that named no unit": (asked(3, A, asked(1)(2, "return_denied")), "yellow"),
    "another unit asking after a denial": (asked(3, B, asked(1)(2, "return_denied", unit=A)), None),
    "asking again after an approval": (asked(3, A, asked(1)(2, "return_approved", unit=A)), None),
    "asking after being designated": (asked(3, A, Story()(1, "designated", unit=A)), "red"),
    "asking after being designated, and denied": (
        asked(3, A, Story()(1, "designated", unit=A))(4, "return_denied", unit=A),
        "red",
    ),
    "asking after being designated, and approved": (
        asked(3, A, Story()(1, "designated", unit=A))(4, "return_approved"),
        "red",
    ),
    "asking before being designated": (asked(1)(3, "designated", unit=A), None),
    "another unit asking after a designation": (asked(3, B, Story()(1, "designated", unit=A)), None),
    "asking after another was designated in its place": (
        asked(4, A, Story()(1, "designated", unit=A)(2, "designated", unit=B)),
        None,
    ),
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_return_against_a_ruling(name: str) -> None:
    story, level = AGAIN[name]
    assert levels_at(story, 20).get("P03") == level


def limited(days: float = 10, when: float = 0, unit: str = A, story: Story | None = None, **fields: Any) -> Story:
    given = {"limit": {"value": round(days * 24), "unit": "hours"}, **fields}
    return (story or Story())(when, "dispatched", unit=unit, **given)


# Time starts on a Monday at 09:00; ten days later it is a Thursday, so five work days after that is day 17.
OVERDUE: dict[str, tuple[Story, float, str | None]] = {
    "no limit": (Story()(0, "dispatched", unit=A), 300, None),
    "long before": (limited(), 8, None),
    "a day before, of ten": (limited(), 9, "blue"),
    "a moment before that": (limited(), 8.99, None),
    "a fifth of two days before": (limited(2), 1.6, "blue"),
    "a day before, of two": (limited(2), 1.5, None),
    "at the due time": (limited(), 10, "yellow"),
    "five work days later": (limited(), 17, "red"),
    "a moment before that, overdue": (limited(), 16.99, "yellow"),
    "over a weekend": (limited(4), 8, "yellow"),
    "an assisting unit's": (limited(role="assist"), 300, None),
    "resolved in time": (limited()(9.5, "resolved", unit=A), 300, None),
    "resolved at the due time": (limited()(10, "resolved", unit=A), 300, None),
    "resolved a little late": (limited()(11, "resolved", unit=A), 300, "yellow"),
    "resolved very late": (limited()(30, "resolved", unit=A), 300, "red"),
    "resolved by another unit, in time": (limited()(9, "resolved", unit=B), 300, None),
    "archived in the blue": (limited()(9.5, "archived"), 300, "blue"),
    "archived in time": (limited()(5, "archived"), 300, None),
    "archived late": (limited()(12, "archived"), 300, "yellow"),
    "withdrawn": (limited()(5, "withdrawn"), 300, None),
    "closed directly": (limited()(5, "direct_closed"), 300, None),
    "rejected": (limited()(5, "rejected"), 300, None),
    "transferred": (limited()(5, "transferred"), 300, None),
    "voided late": (limited()(30, "voided"), 300, None),
    "suspended": (limited()(5, "suspended"), 17, "red"),
    "recalled": (limited()(5, "recalled", unit=A), 300, None),
    "recalled from another": (limited()(5, "recalled", unit=B), 300, "red"),
    "recalled late": (limited()(12, "recalled", unit=A), 300, "yellow"),
    "returned": (asked(5, A, limited()), 300, None),
    "returned late": (asked(12, A, limited()), 300, "yellow"),
    "returned and approved": (asked(5, A, limited())(6, "return_approved", unit=A), 300, None),
    "returned by another unit": (asked(5, B, limited()), 300, "red"),
    "returned and denied": (asked(5, A, limited())(6, "return_denied", unit=A), 17, "red"),
    "returned and denied, not yet due": (asked(5, A, limited())(6, "return_denied", unit=A), 8, None),
    "returned, denied and resolved in time": (
        asked(5, A, limited())(6, "return_denied", unit=A)(8, "resolved", unit=A),
        300,
        None,
    ),
    "returned, resolved, and the denial said late": (
        asked(5, A, limited())(12, "resolved", unit=A)(13, "return_denied", unit=A),
        300,
        "yellow",
    ),
    "returned twice, once denied": (
        asked(7, A, asked(5, A, limited())(6, "return_denied", unit=A)),
        300,
        None,
    ),
    "extended before it was due": (
        limited()(9, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        28,
        None,
    ),
    "extended: blue at its own time": (
        limited()(9, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        29,
        "blue",
    ),
    "extended: due at its own time": (
        limited()(9, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        30,
        "yellow",
    ),
    "extended to when was asked for": (
        limited()(8, "extension_requested", unit=A, until="2025-04-02T09:00:00+08:00")(9, "extension_approved", unit=A),
        28,
        None,
    ),
    "an extension asked for only": (
        limited()(8, "extension_requested", unit=A, until="2025-04-02T09:00:00+08:00"),
        17,
        "red",
    ),
    "an extension denied": (
        limited()(8, "extension_requested", unit=A, until="2025-04-02T09:00:00+08:00")(9, "extension_denied", unit=A),
        17,
        "red",
    ),
    "a redo with its own limit": (
        limited()(9, "resolved", unit=A)(11, "redo_ordered", unit=A, limit={"value": 5, "unit": "days"}),
        16,
        "yellow",
    ),
    "a rejected review with its own limit": (
        limited()(9, "resolved", unit=A)(11, "review_rejected", unit=A, limit={"value": 5, "unit": "days"}),
        16,
        "yellow",
    ),
    "a redo without a limit": (limited()(9, "resolved", unit=A)(11, "redo_ordered", unit=A), 300, None),
    "two limits: the worst stands": (limited(60, unit=B, story=limited(10)), 17, "red"),
    "one returned, the other overdue": (limited(5, 6, B, asked(5, A, limited())), 11, "yellow"),
    "in hours, by night": (limited(0.125), 0.125, "yellow"),
}


@pytest.mark.parametrize("name", OVERDUE)
def test_overdue(name: str) -> None:
    story, now, level = OVERDUE[name]
    assert levels_at(story, now).get("P06") == level


def test_days_not_announced_never_make_it_red() -> None:
    story = Story()("2098-12-01T09:00:00+08:00", "dispatched", unit=A, limit={"value": 5, "unit": "work_days"})
    told = run(story, 365 * 75).versions("P06")
    assert [one.level.value for one in told] == ["blue", "yellow"]
    assert all("calendar_incomplete" in one.flags for one in told)


COUNTED = [
    ("extension_approved", "P07", {1: "blue", 2: "yellow", 3: "red"}),
    ("redo_ordered", "P10", {1: "blue", 2: "yellow", 5: "red"}),
]


@pytest.mark.parametrize(("kind", "rule", "levels"), COUNTED)
def test_extensions_and_redos_are_counted(kind: str, rule: str, levels: dict[int, str]) -> None:
    story, expected = Story()(0, "dispatched", unit=A), None
    for count in range(1, 6):
        expected = levels.get(count, expected)
        assert levels_at(story(count, kind, unit=A), 20).get(rule) == expected


def test_extensions_only_asked_for_are_not_counted() -> None:
    story = Story()(1, "extension_requested", unit=A)(2, "extension_denied", unit=A)
    assert "P07" not in levels_at(story, 20)


def test_three_redos_and_a_dissatisfied_visit_are_red() -> None:
    story = Story()
    for count in range(3):
        story(count, "redo_ordered", unit=A)
    assert levels_at(story, 20)["P10"] == "yellow"
    assert levels_at(story(5, "visited", result="dissatisfied"), 20)["P10"] == "red"


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"result": "dissatisfied"}, 1),
        ({"result": "very_dissatisfied", "attitude": "satisfied"}, 1),
        ({"result": "satisfied", "attitude": "very_dissatisfied"}, 0),
        ({"attitude": "very_dissatisfied"}, 0),
        ({"result": "neutral"}, 0),
        ({"result": "unreachable"}, 0),
        ({"result": "not_rated", "solved": "no"}, 0),
    ],
)
def test_dissatisfied_is_the_result_not_the_attitude(fields: dict[str, Any], counts: int) -> None:
    assert facts_at(Story()(1, "visited", **fields), 10)["visits.dissatisfied"] == counts


def test_a_changed_rating_flags_and_never_erases() -> None:
    story = Story()(0, "redo_ordered", unit=A)(1, "visited", result="dissatisfied")(
        2, "satisfaction_changed", result="satisfied"
    )
    found = facts_at(story, 10)
    assert (found["visits.dissatisfied"], found["visits.rating_changes"]) == (1, 1)
    assert levels_at(story, 10)["P09"] == "yellow"
    story(3, "visited", result="dissatisfied")
    assert "rating_changed" in run(story).versions("P09")[-1].flags


def test_a_rating_changed_for_the_worse_is_no_visit() -> None:
    assert facts_at(Story()(2, "satisfaction_changed", result="dissatisfied"), 10)["visits.dissatisfied"] == 0


AFTER_REDO: dict[str, tuple[Story, str | None]] = {
    "before the redo": (Story()(1, "visited", result="dissatisfied")(2, "redo_ordered", unit=A), None),
    "once after it": (Story()(1, "redo_ordered", unit=A)(2, "visited", result="dissatisfied"), "yellow"),
    "twice after it": (
        Story()(1, "redo_ordered", unit=A)(2, "visited", result="dissatisfied")(
            3, "visited", result="very_dissatisfied"
        ),
        "red",
    ),
    "satisfied after it": (Story()(1, "redo_ordered", unit=A)(2, "visited", result="satisfied"), None),
    "an unreasonable demand, reviewed": (
        Story()(1, "redo_ordered", unit=A)(2, "resolved", unit=A, appeal_confirmed="unreasonable")(3, "archived")(
            4, "visited", result="dissatisfied"
        ),
        None,
    ),
    "an unreasonable demand, its review rejected": (
        Story()(1, "redo_ordered", unit=A)(2, "resolved", unit=A, appeal_confirmed="unreasonable")(
            3, "review_rejected"
        )(4, "visited", result="dissatisfied"),
        "yellow",
    ),
    "a demand found reasonable in the end": (
        Story()(1, "redo_ordered", unit=A)(2, "resolved", unit=A, appeal_confirmed="unreasonable")(3, "archived")(
            4, "resolved", unit=A, appeal_confirmed="reasonable"
        )(5, "visited", result="dissatisfied"),
        "yellow",
    ),
}


@pytest.mark.parametrize("name", AFTER_REDO)
def test_dissatisfied_after_a_redo(name: str) -> None:
    story, level = AFTER_REDO[name]
    assert levels_at(story, 20).get("P09") == level


def waiting() -> Story:
    return Story()(0, "registered")


WAITING: dict[str, tuple[Story, float, int]] = {
    "runs from the registration": (waiting(), 40.5, 40),
    "never registered, never waited": (Story()(0, "dispatched", unit=A), 40, 0),
    "a second registration does not start it anew": (waiting()(20, "registered"), 40, 40),
    "an extension does not stop it": (waiting()(5, "extension_approved", until="2025-06-01T09:00:00+08:00"), 40, 40),
    "a suspension does not stop it": (waiting()(5, "suspended"), 40, 40),
    "a return does not stop it": (waiting()(5, "return_requested", unit=A)(6, "return_approved"), 40, 40),
    "resolved freezes it": (waiting()(10, "resolved", unit=A), 40, 10),
    "a satisfied visit does not resume it": (waiting()(10, "resolved")(12, "visited", result="satisfied"), 40, 10),
    "a dissatisfied visit resumes it from the start": (
        waiting()(10, "resolved")(12, "visited", result="dissatisfied"),
        40,
        40,
    ),
    "a rejected review resumes it": (waiting()(10, "resolved")(12, "review_rejected"), 40, 40),
    "a redo resumes it": (waiting()(10, "resolved")(12, "redo_ordered"), 40, 40),
    "reopening resumes it": (waiting()(10, "archived")(12, "reopened"), 40, 40),
    "resolved again freezes it again": (waiting()(10, "resolved")(12, "redo_ordered")(20, "resolved"), 40, 20),
    "a changed rating does not resume it": (
        waiting()(10, "resolved")(12, "satisfaction_changed", result="dissatisfied"),
        40,
        10,
    ),
    "voided counts nothing": (waiting()(10, "voided"), 40, 0),
    **{
        f"{kind} freezes it": (waiting()(10, kind), 40, 10)
        for kind in ("archived", "withdrawn", "direct_closed", "rejected", "transferred")
    },
}


@pytest.mark.parametrize("name", WAITING)
def test_waiting_days(name: str) -> None:
    story, now, days = WAITING[name]
    assert facts_at(story, now)["waiting.days"] == days


def test_waiting_escalates_at_thirty_sixty_and_ninety_days_and_stays_when_it_stops() -> None:
    told = run(waiting()(100, "resolved", unit=A), 200)
    assert told.told("P12") == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red")]
    assert [one.event_time for one in told.alerts] == [one.as_of for one in told.alerts]
    assert told.in_force == {("T-1", "P12"): "red"}


def test_waiting_that_goes_on_catches_up_at_once() -> None:
    told = run(waiting()(10, "resolved", unit=A)(70, "visited", result="dissatisfied"), 80)
    assert told.told("P12") == [("raised", "yellow")]
    assert told.alerts[0].trigger == "T-1-003"


def test_a_wait_that_had_ended_before_a_late_message_is_retracted() -> None:
    story = waiting()(40, "urged")(10, "resolved", unit=A)
    assert run(story, 50).told("P12") == [("raised", "blue"), ("retracted", "blue")]


def test_holding_times_are_known_when_a_unit_lets_go() -> None:
    story = Story()(0, "dispatched", unit=A)
    assert facts_at(story, 40)["holding.longest_days"] == 0
    asked(12, A, story)(13, "return_approved")(13, "dispatched", unit=B)
    assert facts_at(story, 40)["holding.longest_days"] == 13
    assert facts_at(story, 40)["holding.count"] == 2


COUNTED_EVENTS = {
    "urged.count": "urged",
    "suspensions.count": "suspended",
    "supervised.count": "supervised",
    "visits.count": "visited",
    "extensions.requested": "extension_requested",
    "extensions.denied": "extension_denied",
    "designations.count": "designated",
}


@pytest.mark.parametrize("path", COUNTED_EVENTS)
def test_plain_counts(path: str) -> None:
    story = Story()(1, COUNTED_EVENTS[path])(2, COUNTED_EVENTS[path])
    assert facts_at(story, 10)[path] == 2


def test_of_a_voided_ticket_nothing_counts() -> None:
    story = asked(2, B, asked(1, story=waiting(), **NONE))(3, "visited", result="dissatisfied")(4, "voided")
    found = dict(facts_at(story, 100))
    assert (found.pop("lineage.tickets"), found.pop("lineage.unexpected")) == (1, 3)
    assert not any(found.values())


def test_an_unknown_type_counts_nothing() -> None:
    assert facts_at(Story()(1, "brainstormed", unit=A), 10) == facts_at(Story()(1, "accepted_not", unit=B), 10)
    assert lineage_of(Story()(1, "brainstormed")).tickets["T-1"].unexpected == []


def test_facts_of_nothing_are_neutral() -> None:
    assert compute(View(fold("T-1", []), {}, day(10))) == NEUTRAL


def test_the_order_is_that_of_the_numbers_where_every_event_has_one() -> None:
    numbered = Story()(2, "return_denied", unit=A, seq=1)(1, "return_requested", unit=A, seq=2)
    assert facts_at(numbered, 10)["returns.count"] == 1
    assert facts_at(Story()(2, "return_denied", unit=A, seq=1)(1, "return_requested", unit=A), 10)["returns.count"] == 0


def test_numbers_need_not_be_unique() -> None:
    story = Story()(2, "return_denied", unit=A, seq=7)(1, "return_requested", unit=A, seq=7)
    assert facts_at(story, 10)["returns.count"] == 0


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.path)
def test_a_facts_support_is_of_the_lineage(fact: Any) -> None:
    story = asked(2, B, asked(1, story=limited(5, story=waiting()), **NONE), reason_code="R3")(
        3, "return_denied", unit=B
    )
    asked(4, B, story)(5, "designated", unit=B)(6, "resolved", unit=B)(7, "visited", result="dissatisfied")
    story(8, "redo_ordered", unit=B)(9, "extension_approved")(10, "visited", result="dissatisfied")
    view = View(lineage_of(story), {}, day(40))
    known = {event.key for event in view.lineage.events}
    assert {event.key for event in (*fact.support(view), *fact.altered(view))} <= known


def test_the_next_wake_is_the_next_instant_at_which_time_alone_may_change_a_level() -> None:
    lineage = lineage_of(limited(10, story=waiting()))
    thresholds = {"waiting.days": (30, 60), "due.overdue_work_days": (5,)}
    found, at = [], day(0)
    while (wake := next_wake(lineage, thresholds, at)) is not None:
        found.append(wake)
        at = wake
    assert found == [day(number) for number in (9, 10, 17, 30, 60)]
