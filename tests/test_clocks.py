"""Two clocks and what is done to them: the units' time, the citizen's wait, and the tricks that stop a clock or better a rating."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Level, Status
from models.times import DAY, format_instant, parse_instant
from rules.clocks import idle_clock, suspension_clock, unit_clock
from rules.conditions import compile_condition
from rules.driver import Driver
from rules.engine import Engine
from rules.event import by_time
from rules.facts import BY_PATH, INDEX, compute, next_wake, plan
from rules.fold import fold
from rules.notes import notes_of
from rules.pack import Pack, Rule
from rules.reckoning import Reckoning, plain_reckoning
from rules.views import View
from tests.builders import Story, day, engine, event_of, facts_at, lineage_of
from tests.histories import SPAN_DAYS, histories
from tests.reckoning_support import STOPPED, city, with_2027

A, B = "U-A", "U-B"
UNTIL = SPAN_DAYS + 40


def held(days: float = 10, **fields: Any) -> Story:
    given = {"unit": A, "limit": {"value": round(days * 24), "unit": "hours"}, **fields}
    return Story()(0, "registered")(1, "dispatched", **given)


# --- the units' clock and the citizen's

CLOCKS: dict[str, tuple[Story, float, tuple[int, int, int, int]]] = {
    # (waiting.days, handling.days, handling.suspended_days, waiting.idle_days)
    "nobody has it": (Story()(0, "registered"), 10, (10, 0, 0, 10)),
    "a unit has it": (held(), 10, (10, 9, 0, 1)),
    "two units have it": (held()(3, "dispatched", unit=B), 10, (10, 9, 0, 1)),
    "an assisting unit has it": (Story()(0, "registered")(1, "dispatched", unit=A, role="assist"), 10, (10, 0, 0, 10)),
    "designated": (Story()(0, "registered")(4, "designated", unit=A), 10, (10, 6, 0, 4)),
    "suspended": (held()(3, "suspended", unit=A), 10, (10, 2, 7, 8)),
    "suspended and resumed": (held()(3, "suspended", unit=A)(7, "resumed", unit=A), 10, (10, 5, 4, 5)),
    "resumed by another unit": (held()(3, "suspended", unit=A)(7, "resumed", unit=B), 10, (10, 2, 7, 8)),
    "resumed without having been suspended": (held()(7, "resumed", unit=A), 10, (10, 9, 0, 1)),
    "suspended and resolved": (held()(3, "suspended", unit=A)(7, "resolved", unit=A), 10, (7, 2, 4, 5)),
    "returned": (held()(3, "return_requested", unit=A)(5, "return_approved", unit=A), 10, (10, 4, 0, 6)),
    "returned and denied": (held()(3, "return_requested", unit=A)(5, "return_denied", unit=A), 10, (10, 9, 0, 1)),
    "recalled": (held()(3, "recalled", unit=A), 10, (10, 2, 0, 8)),
    "resolved": (held()(6, "resolved", unit=A), 10, (6, 5, 0, 1)),
    "resolved, and the citizen dissatisfied": (
        held()(4, "resolved", unit=A)(6, "visited", result="dissatisfied"),
        10,
        (10, 3, 0, 7),
    ),
    "handled again": (
        held()(4, "resolved", unit=A)(6, "visited", result="dissatisfied")(7, "redo_ordered", unit=A),
        10,
        (10, 6, 0, 4),
    ),
    "handled again by nobody named, and resolved": (
        held()(4, "resolved", unit=A)(6, "review_rejected")(8, "resolved", unit=A),
        10,
        (8, 5, 0, 3),
    ),
    "voided": (held()(6, "voided"), 10, (0, 0, 0, 0)),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_what_the_clocks_show(name: str) -> None:
    story, now, expected = CLOCKS[name]
    found = facts_at(story, now)
    paths = ("waiting.days", "handling.days", "handling.suspended_days", "waiting.idle_days")
    assert tuple(found[path] for path in paths) == expected


@settings(deadline=None)
@given(histories(size_max=16), st.integers(0, 3), st.integers(0, 40))
def test_clocks_never_go_back_and_never_run_faster_than_time(
    records: list[dict[str, Any]], which: int, more: int
) -> None:
    events = sorted((event_of(record) for record in records), key=by_time)
    lineage = fold("ABCD"[which], [event for event in events if event.ticket_id == "ABCD"[which]])
    now = day(SPAN_DAYS)
    for clock in (unit_clock, suspension_clock, idle_clock):
        first, second = clock(lineage, now), clock(lineage, now + more * DAY)
        assert 0 <= second.time - first.time <= more * DAY
        runs = first.running_since is not None
        assert second.time - first.time == (more * DAY if runs else 0)
        if runs:
            (instant,) = first.at_days(first.days + 1, now)
            assert clock(lineage, instant).days == first.days + 1 > clock(lineage, instant - 1).days


def trial_rule(condition: str, level: Level) -> Rule:
    """Return a rule of one level."""
    (rule,) = [one for one in engine().pack.rules if one.id == "P12"]
    return replace(rule, conditions={level: compile_condition(condition)}, headlines={})


def _trial(path: str, number: int, reckoning: Reckoning | None = None) -> Engine:
    """Return an engine with one rule, about a clock."""
    return Engine(Pack("trial", (trial_rule(f"{path} >= {number}", Level.YELLOW),)), reckoning)


@pytest.mark.parametrize(
    ("path", "number", "told"),
    [
        ("handling.days", 6, "至此承办单位计时已6天"),
        ("handling.suspended_days", 3, "至此挂起已3天"),
        ("waiting.idle_days", 4, "至此群众等待期间已有4天无单位计时"),
    ],
)
def test_a_rule_about_a_clock_speaks_at_the_instant_that_it_names(path: str, number: int, told: str) -> None:
    story = held()(4, "suspended", unit=A)
    if path == "handling.days":
        story(6, "resumed", unit=A)
    driver = Driver(_trial(path, number))
    alerts = [alert for event in story.events for alert in driver.feed(event)] + driver.advance(day(30))
    (alert,) = alerts
    at = {"handling.days": 9, "handling.suspended_days": 7, "waiting.idle_days": 7}[path]
    assert alert.event_time == alert.as_of
    assert alert.trigger.endswith(alert.event_time)
    assert alert.evidence[-1].what == told
    assert facts_at(story, at)[path] == number
    assert facts_at(story, at - 0.001)[path] == number - 1


@settings(max_examples=60, deadline=None)
@given(histories(size_max=16), st.sampled_from(["handling.days", "handling.suspended_days", "waiting.idle_days"]))
def test_a_rule_about_a_clock_says_the_same_however_time_comes(records: list[dict[str, Any]], path: str) -> None:
    events = sorted((event_of(record) for record in records), key=by_time)
    found = []
    for ticks in ((), range(SPAN_DAYS, UNTIL)):
        driver = Driver(_trial(path, 5))
        alerts = [alert for event in events for alert in driver.feed(event)]
        for tick in (*ticks, UNTIL):
            alerts += driver.advance(day(tick))
        found.append([alert.alert_id for alert in alerts])
    assert found[0] == found[1]


def test_only_the_clocks_that_rules_read_wake_a_ticket() -> None:
    lineage = lineage_of(Story()(0, "registered")(1, "dispatched", unit=A))
    assert next_wake(lineage, {}, day(2)) is None
    assert next_wake(lineage, {"handling.days": (5, 9)}, day(2)) == day(6)
    assert next_wake(lineage, {"waiting.idle_days": (5,)}, day(2)) is None, "it stands while a unit's clock runs"


def test_facts_that_no_rule_reads_are_not_computed_for_judging() -> None:
    view = View(lineage_of(held()), {}, day(9))
    chosen = compute(view, plan(["waiting.days"]))
    assert chosen[INDEX["waiting.days"]] == 9
    assert chosen[INDEX["handling.days"]] == 0
    assert compute(view)[INDEX["handling.days"]] == 8


# --- tricks

TRICKS: dict[str, tuple[Story, float, dict[str, int]]] = {
    "suspended long before the due time": (held()(5, "suspended", unit=A), 20, {"suspended_over_due": 0}),
    "suspended when it was near, not yet due": (held()(10.5, "suspended", unit=A), 10.9, {"suspended_over_due": 0}),
    "suspended when it was near, and due": (held()(10.5, "suspended", unit=A), 11, {"suspended_over_due": 1}),
    "and resumed after it": (
        held()(10.5, "suspended", unit=A)(12, "resumed", unit=A),
        20,
        {"suspended_over_due": 1},
    ),
    "and resumed before it": (
        held()(10.5, "suspended", unit=A)(10.8, "resumed", unit=A),
        20,
        {"suspended_over_due": 0},
    ),
    "and resolved before it": (held()(10.5, "suspended", unit=A)(10.8, "resolved", unit=A), 20, {"suspended_over_due": 0}),
    "suspended after the due time": (held()(11.5, "suspended", unit=A), 20, {"suspended_over_due": 0}),
    "suspended by a unit without the limit": (held()(10.5, "suspended", unit=B), 20, {"suspended_over_due": 0}),
    "suspended near the time before an extension": (
        held()(10.5, "suspended", unit=A)(10.6, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        12,
        {"suspended_over_due": 1},
    ),
    "extended before the due time": (
        held()(10, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        40,
        {"extended_after_due": 0},
    ),
    "extended after the due time": (
        held()(12, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        40,
        {"extended_after_due": 1},
    ),
    "asked for in time and approved after it": (
        held()(10, "extension_requested", unit=A)(12, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
        40,
        {"extended_after_due": 0},
    ),
    "asked for after the due time": (
        held()(11, "extension_requested", unit=A)(11.2, "extension_approved", unit=A),
        40,
        {"extended_after_due": 1},
    ),
    "resolved early and handled again": (
        held()(4, "resolved", unit=A)(5, "redo_ordered", unit=A),
        20,
        {"closed_and_reopened": 0},
    ),
    "resolved at the last moment and reopened": (
        held()(10.9, "resolved", unit=A)(12, "archived")(13, "reopened"),
        20,
        {"closed_and_reopened": 1},
    ),
    "resolved at the last moment and rejected": (
        held()(10.9, "resolved", unit=A)(12, "review_rejected", unit=A),
        20,
        {"closed_and_reopened": 1},
    ),
    "resolved at the last moment and undone weeks later": (
        held()(10.9, "resolved", unit=A)(18, "redo_ordered", unit=A),
        20,
        {"closed_and_reopened": 0},
    ),
    "resolved late and undone": (held()(12, "resolved", unit=A)(13, "redo_ordered", unit=A), 20, {"closed_and_reopened": 0}),
    "undone twice, once by a trick": (
        held()(10.9, "resolved", unit=A)(12, "redo_ordered", unit=A)(12.5, "review_rejected", unit=A),
        20,
        {"closed_and_reopened": 1},
    ),
    "recalled and handed back": (
        held()(5, "recalled", unit=A)(6, "dispatched", unit=A),
        20,
        {"recalled_and_handed_back": 1},
    ),
    "recalled and handed to another": (
        held()(5, "recalled", unit=A)(6, "dispatched", unit=B),
        20,
        {"recalled_and_handed_back": 0},
    ),
    "recalled, with another, and back": (
        held()(5, "recalled", unit=A)(6, "dispatched", unit=B)(7, "recalled", unit=B)(8, "dispatched", unit=A),
        20,
        {"recalled_and_handed_back": 0},
    ),
    "recalled and designated": (
        held()(5, "recalled", unit=A)(6, "designated", unit=A)(7, "dispatched", unit=A),
        20,
        {"recalled_and_handed_back": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_a_clock_that_is_stopped_or_set_back(name: str) -> None:
    story, now, expected = TRICKS[name]
    found = facts_at(story, now)
    assert {path: found[f"stop_clock.{path}"] for path in expected} == expected


@pytest.mark.parametrize(
    ("path", "story", "events", "note"),
    [
        ("stop_clock.suspended_over_due", held()(10.5, "suspended", unit=A), ["T-1-002", "T-1-003"], None),
        (
            "stop_clock.extended_after_due",
            held()(12, "extension_approved", unit=A, until="2025-04-02T09:00:00+08:00"),
            ["T-1-002", "T-1-003"],
            "时限已过才申请延期",
        ),
        (
            "stop_clock.closed_and_reopened",
            held()(10.9, "resolved", unit=A)(12, "review_rejected", unit=A),
            ["T-1-003", "T-1-004"],
            "2025-03-14 06:36临期办结后再开",
        ),
        (
            "stop_clock.recalled_and_handed_back",
            held()(5, "recalled", unit=A)(6, "dispatched", unit=A),
            ["T-1-003", "T-1-004"],
            "2025-03-08 09:00撤回后再派同一单位,时限重新起算",
        ),
        (
            "visits.ratings_improved",
            held()(5, "visited", result="very_dissatisfied")(6, "satisfaction_changed", result="satisfied"),
            ["T-1-003", "T-1-004"],
            "原评价非常不满意",
        ),
    ],
)
def test_a_trick_is_borne_out_by_its_events(path: str, story: Story, events: list[str], note: str | None) -> None:
    lineage = lineage_of(story)
    assert sorted(event.event_id for event in BY_PATH[path].support(View(lineage, {}, day(20)))) == events
    if note is not None:
        assert notes_of(lineage)[story.ticket, events[-1]].split(";")[-1] == note


def crossing() -> Story:
    """Tell of a limit of five work days that runs into a year that nobody has announced: it is near on 01-05, and due on 01-06."""
    told = Story()("2026-12-28T09:00:00+08:00", "registered")
    return told("2026-12-29T10:00:00+08:00", "dispatched", unit=A, limit={"value": 5, "unit": "work_days"})


UNSURE: dict[str, Story] = {
    "stop_clock.suspended_over_due": crossing()("2027-01-05T11:00:00+08:00", "suspended", unit=A),
    "stop_clock.extended_after_due": crossing()(
        "2027-01-06T11:00:00+08:00", "extension_approved", unit=A, until="2027-01-20T10:00:00+08:00"
    ),
    "stop_clock.closed_and_reopened": crossing()("2027-01-05T11:00:00+08:00", "resolved", unit=A)(
        "2027-01-06T11:00:00+08:00", "review_rejected", unit=A
    ),
}


def test_a_suspension_over_the_due_time_is_told_at_that_time_though_it_stops_the_clock() -> None:
    story = Story()(0, "registered")(0, "dispatched", unit=A)(13.5, "suspended", unit=A)
    for by in (city(), city(STOPPED)):
        driver = Driver(_trial("stop_clock.suspended_over_due", 1, by))
        (alert,) = [one for event in story.events for one in driver.feed(event)] + driver.advance(day(30))
        assert alert.as_of == format_instant(day(14))


@pytest.mark.parametrize("path", UNSURE)
def test_a_trick_that_only_unannounced_days_make_one_is_never_red_and_is_taken_back(path: str) -> None:
    story = UNSURE[path]
    pack = Pack("trial", (trial_rule(f"{path} >= 1", Level.RED),))
    driver = Driver(Engine(pack, plain_reckoning()))
    alerts = [alert for event in story.events for alert in driver.feed(event)]
    (alert, *more) = alerts + driver.advance(parse_instant("2027-01-07T12:00:00+08:00"))
    assert more == []
    assert (alert.level, "calendar_incomplete" in alert.flags) == (Level.YELLOW, True)
    assert [event.event_id for event in BY_PATH[path].support(View(lineage_of(story), {}, driver.clock))]
    arrived = driver.reckon(Engine(pack, with_2027(None)))  # by which the limit is due on 01-13
    assert [one.status for one in arrived] == [Status.RETRACTED]


@pytest.mark.parametrize("path", UNSURE)
def test_a_trick_that_announced_days_make_one_is_red(path: str) -> None:
    pack = Pack("trial", (trial_rule(f"{path} >= 1", Level.RED),))
    earlier = [
        {name: _earlier(value) if name in ("occurred_at", "until") else value for name, value in record.items()}
        for record in UNSURE[path].records
    ]
    driver = Driver(Engine(pack, plain_reckoning()))
    alerts = [alert for record in earlier for alert in driver.feed(event_of(record))]
    alerts += driver.advance(parse_instant("2026-12-09T12:00:00+08:00"))
    assert [one.level for one in alerts] == [Level.RED]
    assert "calendar_incomplete" not in alerts[0].flags


def _earlier(when: str) -> str:
    """Return the same time four weeks before, among ordinary work days of an announced year: no New Year's Day lies between."""
    return format_instant(parse_instant(when) - (28 + when.startswith("2027")) * DAY)


RATINGS: dict[str, tuple[Story, int]] = {
    "dissatisfied to satisfied": (held()(5, "visited", result="dissatisfied")(6, "satisfaction_changed", result="satisfied"), 1),
    "dissatisfied to neutral": (held()(5, "visited", result="dissatisfied")(6, "satisfaction_changed", result="neutral"), 1),
    "dissatisfied to not rated": (held()(5, "visited", result="dissatisfied")(6, "satisfaction_changed", result="not_rated"), 0),
    "dissatisfied to very dissatisfied": (
        held()(5, "visited", result="dissatisfied")(6, "satisfaction_changed", result="very_dissatisfied"),
        0,
    ),
    "satisfied to dissatisfied and back": (
        held()(5, "visited", result="satisfied")(6, "satisfaction_changed", result="dissatisfied")(
            7, "satisfaction_changed", result="satisfied"
        ),
        1,
    ),
    "a second visit is no change": (held()(5, "visited", result="dissatisfied")(6, "visited", result="satisfied"), 0),
    "a change of nothing": (held()(6, "satisfaction_changed", result="satisfied"), 0),
    "the attitude alone": (
        held()(5, "visited", attitude="very_dissatisfied")(6, "satisfaction_changed", result="satisfied"),
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RATINGS)
def test_a_rating_that_was_made_better(name: str) -> None:
    story, count = RATINGS[name]
    assert facts_at(story, 10)["visits.ratings_improved"] == count
