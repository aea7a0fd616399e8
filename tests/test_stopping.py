"""Clocks that a city lets be stopped: what is left of a limit when its clock stops is left when it runs on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from models.times import DAY, HOUR, MINUTE, format_instant, parse_instant
from rules.calendar import built_in_calendar
from rules.deadlines import near_since
from rules.event import by_time
from rules.limits import Counting, Limit, load_limits
from rules.notes import length_told, notes_of
from rules.reckoning import Reckoning, plain_reckoning
from rules.stopping import NEVER, put_off
from tests.builders import Story, day, facts_at, levels_at, lineage_of, run
from tests.reckoning_support import CITY, STOPPED, city, with_2027

A, B = "U-A", "U-B"
PLAIN = plain_reckoning()
HOURS = ((9 * HOUR, 12 * HOUR), (13 * HOUR, 18 * HOUR))
CLOSED = STOPPED.replace("{susp", "{ends: end_of_day, susp")


def at(text: str) -> int:
    return parse_instant(f"{text}:00+08:00")


def counting(ends: str = "same_time") -> Counting:
    return Counting(ends=ends, office_hours=HOURS)


# --- by the calendar. In 2025 Wednesday 10-01 to Wednesday 10-08 are days off, Sunday 09-28 and Saturday 10-11 are worked.

WEEKEND = (
    "2025-09-12T10:00",
    "2025-09-12T11:00",
    "2025-09-15T15:00",
)  # dispatched on a Friday; suspended; resumed on Monday
NATIONAL = ("2025-09-29T10:00", "2025-09-29T11:00", "2025-10-09T15:00")
GOLDEN = [
    (Limit(90, "minutes"), "same_time", WEEKEND, "2025-09-12T11:30", "3天4小时", "2025-09-15T15:30"),
    (Limit(90, "minutes"), "same_time", NATIONAL, "2025-09-29T11:30", "10天4小时", "2025-10-09T15:30"),
    (Limit(24, "hours"), "same_time", WEEKEND, "2025-09-13T10:00", "3天4小时", "2025-09-16T14:00"),
    (Limit(24, "hours"), "end_of_day", NATIONAL, "2025-09-30T10:00", "10天4小时", "2025-10-10T14:00"),
    (Limit(3, "days"), "same_time", WEEKEND, "2025-09-15T10:00", "3天4小时", "2025-09-18T14:00"),
    (Limit(3, "days"), "end_of_day", WEEKEND, "2025-09-16T00:00", "3天", "2025-09-19T00:00"),
    (Limit(3, "days"), "end_of_day", NATIONAL, "2025-10-03T00:00", "10天", "2025-10-13T00:00"),
    (Limit(8, "work_hours"), "same_time", WEEKEND, "2025-09-15T10:00", "11个工作小时", "2025-09-16T14:00"),
    (Limit(8, "work_hours"), "same_time", NATIONAL, "2025-09-30T10:00", "19个工作小时", "2025-10-10T14:00"),
    (Limit(5, "work_days"), "same_time", WEEKEND, "2025-09-19T10:00", "1个工作日4小时", "2025-09-22T14:00"),
    (Limit(5, "work_days"), "same_time", NATIONAL, "2025-10-13T10:00", "2个工作日4小时", "2025-10-15T14:00"),
    # Of five days that end at midnight six are left on 09-29, itself counted: 10-09 to 10-15, the worked Saturday among them.
    (Limit(5, "work_days"), "end_of_day", NATIONAL, "2025-10-14T00:00", "2个工作日", "2025-10-16T00:00"),
    (Limit(5, "work_days"), "close_of_work", WEEKEND, "2025-09-19T18:00", "1个工作日", "2025-09-22T18:00"),
    (Limit(5, "work_days"), "close_of_work", NATIONAL, "2025-10-13T18:00", "2个工作日", "2025-10-15T18:00"),
]


@pytest.mark.parametrize(("limit", "ends", "when", "due", "stood", "later"), GOLDEN)
def test_what_is_left_when_the_clock_stops_is_left_when_it_runs_on(
    limit: Limit, ends: str, when: tuple[str, str, str], due: str, stood: str, later: str
) -> None:
    laid, since, until = map(at, when)
    by = counting(ends)
    before, _ = PLAIN.after(laid, limit, by)
    amount, after, announced = put_off(PLAIN, before, (since, until), limit, by)
    assert (format_instant(before)[:16], format_instant(after)[:16]) == (due, later)
    assert (length_told(amount, limit, by), announced) == (stood, True)


@pytest.mark.parametrize(
    ("ends", "since", "until", "days"),
    [
        ("end_of_day", "2025-09-10T09:00", "2025-09-10T23:00", 0),
        ("end_of_day", "2025-09-10T23:00", "2025-09-11T01:00", 1),
        ("end_of_day", "2025-09-13T10:00", "2025-09-15T10:00", 0),  # a weekend
        ("close_of_work", "2025-09-10T17:59", "2025-09-11T09:00", 1),
        ("close_of_work", "2025-09-10T18:00", "2025-09-11T17:59", 0),  # the first day was over
        ("close_of_work", "2025-09-10T18:00", "2025-09-11T18:00", 1),  # and so is the last
    ],
)
def test_whole_days_are_those_of_which_nothing_was_left(ends: str, since: str, until: str, days: int) -> None:
    assert PLAIN.stood(at(since), at(until), Limit(5, "work_days"), counting(ends)) == days


@pytest.mark.parametrize(
    ("due", "span", "later"),
    [
        # A time on a day off, as an extension may name: nothing that counts is left of it when the pause begins.
        ("2025-09-14T10:00", ("2025-09-13T09:00", "2025-09-13T12:00"), "2025-09-14T10:00"),
        ("2025-09-14T10:00", ("2025-09-13T09:00", "2025-09-14T12:00"), "2025-09-14T12:00"),
        ("2025-09-14T10:00", ("2025-09-13T09:00", "2025-09-16T09:00"), "2025-09-16T09:00"),
        ("2025-09-15T10:00", ("2025-09-13T09:00", "2025-09-16T09:00"), "2025-09-16T19:00"),
    ],
)
def test_what_is_put_off_is_not_due_before_the_clock_runs_on(due: str, span: tuple[str, str], later: str) -> None:
    found = put_off(PLAIN, at(due), (at(span[0]), at(span[1])), Limit(5, "work_days"), counting())
    assert format_instant(found[1])[:16] == later


UNITS = st.sampled_from(["work_days", "work_hours", "days", "hours", "minutes"])
ENDS = st.sampled_from(["same_time", "end_of_day", "close_of_work"])
INSTANTS = st.integers(at("2015-01-01T00:00") // MINUTE, at("2026-06-01T00:00") // MINUTE).map(lambda one: one * MINUTE)


@settings(deadline=None)
@given(INSTANTS, st.integers(1, 12), UNITS, ENDS, st.integers(0, 999), st.tuples(*[st.integers(0, 20_000)] * 2))
def test_a_pause_never_makes_a_limit_shorter_and_a_longer_one_never_makes_it_less_long(
    start: int, value: int, unit: Any, ends: str, begins: int, minutes: tuple[int, int]
) -> None:
    limit, by = Limit(value, unit), counting(ends)
    due, _ = PLAIN.after(start, limit, by)
    since = start + (due - start) * begins // 1000
    middle = since + minutes[0] * MINUTE
    until = middle + minutes[1] * MINUTE
    first = put_off(PLAIN, due, (since, middle), limit, by)[1]
    whole = put_off(PLAIN, due, (since, until), limit, by)[1]
    assert put_off(PLAIN, due, (since, since), limit, by) == (0, due, True)
    assert due <= first <= whole
    assert middle <= first
    assert until <= whole
    assert middle == first or put_off(PLAIN, first, (middle, until), limit, by)[1] == whole, (
        "in two parts it is as long"
    )
    if unit == "work_hours":
        left = [PLAIN.calendar.office_time_between(*one, HOURS) for one in ((since, due), (until, whole))]
        assert left[0] == left[1]


# --- in a ticket's life. Day 0 is a Monday, 09:00; a complaint has ten work days: until day 14.


def handed(**fields: Any) -> Story:
    return Story()(0, "registered")(0, "dispatched", unit=A, **fields)


def extended(story: Story, when: float, until: float) -> Story:
    return story(when, "extension_approved", unit=A, until=format_instant(day(until)))


PAUSED: dict[str, tuple[Story, list[float | None]]] = {
    "suspended": (handed()(1, "suspended", unit=A), [None]),
    "and resumed": (handed()(1, "suspended", unit=A)(3, "resumed", unit=A), [16]),
    "over a weekend": (handed()(4, "suspended", unit=A)(7, "resumed", unit=A), [15]),
    "for no time at all": (handed()(1, "suspended", unit=A)(1, "resumed", unit=A), [14]),
    "resumed by nobody named": (handed()(1, "suspended", unit=A)(3, "resumed"), [16]),
    "resumed by another unit": (handed()(1, "suspended", unit=A)(3, "resumed", unit=B), [None]),
    "suspended by another unit": (handed()(1, "suspended", unit=B)(3, "resumed", unit=B), [14]),
    "suspended twice": (
        handed()(1, "suspended", unit=A)(2, "resumed", unit=A)(3, "suspended", unit=A)(4, "resumed", unit=A),
        [16],
    ),
    "suspended while it is": (handed()(1, "suspended", unit=A)(2, "suspended", unit=A)(3, "resumed", unit=A), [16]),
    "worked on, which resumes it": (handed()(1, "suspended", unit=A)(3, "progress", unit=A)(4, "resumed", unit=A), [16]),
    "worked on by another": (
        Story()(0, "registered")(0, "dispatched", unit=A)(0, "dispatched", unit=B)(1, "suspended", unit=A)(
            2, "progress", unit=B
        )(3, "contacted", unit=A),
        [16, 14],
    ),
    "urged, supervised and set right": (
        handed()(1, "suspended", unit=A)(2, "urged")(2, "supervised")(2, "amended", fields={"title": "路灯"})(
            3, "resumed", unit=A
        ),
        [16],
    ),
    "due before it is suspended": (handed()(14, "suspended", unit=A)(18, "resumed", unit=A), [14]),
    "a due time that the event carries": (
        handed(due_at=format_instant(day(10)))(1, "suspended", unit=A)(3, "resumed", unit=A),
        [10],
    ),
    "a limit that the event carries": (
        handed(limit={"value": 5, "unit": "work_days"})(1, "suspended", unit=A)(3, "resumed", unit=A),
        [7],
    ),
    "a redo": (
        handed()(1, "redo_ordered", unit=A)(2, "suspended", unit=A)(3, "resumed", unit=A),
        [15, 7],
    ),
    "extended before it: the time named is put off": (
        extended(handed(), 1, 21)(2, "suspended", unit=A)(4, "resumed", unit=A),
        [23],
    ),
    "extended after it: the time named holds": (
        extended(handed()(1, "suspended", unit=A)(3, "resumed", unit=A), 4, 21),
        [21],
    ),
    "extended after it to less than it has": (
        extended(handed()(1, "suspended", unit=A)(3, "resumed", unit=A), 4, 15),
        [16],
    ),
    "extended while it is suspended: the rest of that puts off the time named": (
        extended(handed()(1, "suspended", unit=A), 2, 21)(4, "resumed", unit=A),
        [23],
    ),
    "an extension asked for and denied while it is suspended": (
        handed()(1, "suspended", unit=A)(1.5, "extension_requested", unit=A)(2, "extension_denied", unit=A)(
            3, "resumed", unit=A
        ),
        [16],
    ),
    "extended while a return is open that is denied": (
        extended(handed()(1, "return_requested", unit=A), 2, 21)(4, "return_denied", unit=A),
        [23],
    ),
    "extended when it was over and suspended since: what comes after puts off the time named": (
        extended(handed()(14, "suspended", unit=A), 16, 21)(17, "resumed", unit=A),
        [22],
    ),
    "extended when it was over, then suspended": (
        extended(handed(), 16, 21)(17, "suspended", unit=A)(18, "resumed", unit=A),
        [22],
    ),
    "a return that is denied": (handed()(1, "return_requested", unit=A)(3, "return_denied", unit=A), [16]),
    "a return that is denied, then approved": (
        handed()(1, "return_requested", unit=A)(3, "return_denied", unit=A)(4, "return_approved", unit=A),
        [14],
    ),
    "a return asked for while suspended": (
        handed()(1, "suspended", unit=A)(2, "return_requested", unit=A)(3, "return_denied", unit=A),
        [16],
    ),
    "suspended while a return is open": (
        handed()(1, "return_requested", unit=A)(2, "suspended", unit=A)(3, "return_denied", unit=A),
        [16],
    ),
    "a return that another unit asks for": (handed()(1, "return_requested", unit=B)(3, "return_denied", unit=B), [14]),
    "a denied return of what was laid later": (
        handed()(1, "return_requested", unit=A)(2, "dispatched", unit=A)(3, "return_denied", unit=A),
        [16, 16],
    ),
    "recalled while it is suspended": (handed()(1, "suspended", unit=A)(3, "recalled", unit=A), [16]),
}  # fmt: skip


@pytest.mark.parametrize("name", PAUSED)
def test_what_stops_a_clock(name: str) -> None:
    story, expected = PAUSED[name]
    lineage = lineage_of(story, city(STOPPED))
    assert [one.due for one in lineage.deadlines] == [NEVER if one is None else day(one) for one in expected]
    plain = lineage_of(story, city()).deadlines
    assert all(one.stoppable is None for one in plain)


def test_each_switch_stops_what_it_names_and_none_is_the_default() -> None:
    suspended = handed()(1, "suspended", unit=A)(2, "resumed", unit=A)
    denied = handed()(1, "return_requested", unit=A)(3, "return_denied", unit=A)
    for switches, due in (
        ("", [14, 14]),
        ("suspension_stops: true, ", [15, 14]),
        ("denied_return_stops: true, ", [14, 16]),
    ):
        reckoning = city(CITY.replace("{office", f"{{{switches}office"))
        assert [lineage_of(one, reckoning).deadlines[0].due for one in (suspended, denied)] == list(map(day, due))


def test_counted_from_the_acceptance_it_is_put_off_too() -> None:
    by = city(STOPPED.replace("{susp", "{count_from: accepted, susp"))
    story = handed()(0.25, "accepted", unit=A)(1, "suspended", unit=A)(3, "resumed", unit=A)
    assert lineage_of(story, by).deadlines[0].due == day(16.25)
    first = handed()(0.25, "suspended", unit=A)(2.25, "resumed", unit=A)
    assert lineage_of(first, by).deadlines[0].due == day(16.25), "to suspend is to accept"


def test_a_merged_ticket_is_nobody_s_to_resume() -> None:
    story = Story("T-2")(0, "registered")(0, "dispatched", unit=A)(1, "suspended", unit=A)(3, "merged", into="T-1")
    (found,) = lineage_of(story, city(STOPPED)).deadlines
    assert found.due == NEVER, "its own merge ends its case, not its pause"
    root = Story()(0, "registered")
    root.records += story.records
    (found,) = lineage_of(root, city(STOPPED)).deadlines
    assert found.due == day(16)


def test_a_return_that_was_denied_and_then_approved_ends_the_limit_as_one_that_was_approved_at_once() -> None:
    asked = [(1, "return_requested"), (3, "return_denied"), (4, "return_approved")]
    for text in (CITY, STOPPED):
        story = handed()
        for when, kind in asked:
            story(when, kind, unit=A)
        (found,) = lineage_of(story, city(text)).deadlines
        assert (found.ended_at, found.due) == (day(1), day(14))
        assert "P06" not in levels_at(story, 60, city(text))
    ended = handed()(0.5, "recalled", unit=A)
    for when, kind in asked:
        ended(when, kind, unit=A)
    assert lineage_of(ended, city()).deadlines[0].ended_at == day(0.5), "what had ended before did not end again"


# --- rules, facts and evidence


def test_p06_is_silent_while_the_clock_stands_and_speaks_when_what_was_left_is_over() -> None:
    assert levels_at(handed(), 13.4, city(STOPPED))["P06"] == "blue"
    story = handed()(13.5, "suspended", unit=A)
    assert "P06" not in levels_at(story, 60, city(STOPPED))
    assert levels_at(story, 60, city())["P06"] == "red"
    resumed = run(story(21, "resumed", unit=A), 60, reckoning=city(STOPPED))
    assert resumed.told("P06") == [
        ("raised", "blue"),
        ("retracted", "blue"),
        ("raised", "blue"),
        ("escalated", "yellow"),
        ("escalated", "red"),
    ]
    _, retracted, again, yellow, _ = resumed.versions("P06")
    assert "单位U-A挂起工单" in retracted.headline
    assert again.trigger.startswith("deadline:T-1-002:2025-03-24T09:00"), "near again as soon as it runs on"
    # Of day 13, a Sunday, nothing counts; of day 14, a Monday, nine hours were left.
    assert yellow.trigger == "deadline:T-1-002:2025-03-24T18:00:00+08:00"
    told = "至2025-03-17 09:00;挂起停表2025-03-16 21:00至2025-03-24 09:00(5个工作日9小时),顺延至2025-03-24 18:00"
    assert told in yellow.evidence[0].what
    assert any("恢复办理" in one.what for one in yellow.evidence)
    assert [one.what for one in retracted.evidence] == ["单位U-A挂起工单(办理时限停表)"]
    standing = lineage_of(handed()(13.5, "suspended", unit=A), city(STOPPED))
    assert "至2025-03-17 09:00;挂起自2025-03-16 21:00起停表" in notes_of(standing)["T-1", "T-1-002"]


def test_work_that_changes_no_fact_lets_a_clock_run_on_all_the_same() -> None:
    story = handed()(1, "suspended", unit=A)(2, "extension_denied", unit=A)
    assert "P06" not in levels_at(story, 60, city(STOPPED))
    told = run(story(15.5, "progress", unit=A), 60, reckoning=city(STOPPED)).versions("P06")
    assert [(one.level, one.as_of) for one in told] == [(one.level, one.event_time) for one in told]
    assert [one.event_time[:16] for one in told][1] == format_instant(
        lineage_of(story, city(STOPPED)).deadlines[0].due
    )[:16]


def test_evidence_of_p05_and_p04_tells_when_the_clock_stood() -> None:
    late = run(handed()(2, "suspended", unit=A)(3, "resumed", unit=A), 4, reckoning=city(STOPPED))
    assert "停表" not in late.versions("P05")[-1].evidence[0].what, "not yet when it was said"
    story = handed()(1, "suspended", unit=A)(3, "resumed", unit=A)
    stopped = Story(records=list(story.records))
    story(15.8, "return_requested", unit=A)(16, "return_denied", unit=A)
    red = run(story, 17, reckoning=city(STOPPED)).versions("P04")[-1]
    assert red.level == "red"
    earlier = run(stopped(14.9, "return_requested", unit=A)(15, "return_denied", unit=A), 15.5, reckoning=city(STOPPED))
    assert earlier.versions("P04")[-1].level == "yellow", "of ten days, not twelve, a tenth was left"
    told = next(one.what for one in red.evidence if "不足一成" in one.what)
    assert "办理时限所剩不足一成;挂起停表2025-03-04 09:00至2025-03-06 09:00(2个工作日),顺延至2025-03-19 09:00" in told
    notes = notes_of(lineage_of(story, city(STOPPED)))
    assert "退单驳回前停表2025-03-19 04:12至2025-03-19 09:00(4小时48分钟)" in notes["T-1", "T-1-002"]


def test_a_tenth_and_near_are_of_the_limit_without_the_time_for_which_the_clock_stood() -> None:
    story = handed(limit=None)(1, "suspended", unit=A)(50, "resumed", unit=A)
    (found,) = lineage_of(story, city(STOPPED)).deadlines
    assert near_since(found) == found.due - DAY
    urgent = Story()(0, "registered", urgency="urgent")(0, "dispatched", unit=A)(0.5, "suspended", unit=A)(
        10, "resumed", unit=A
    )
    (found,) = lineage_of(urgent, city(STOPPED)).deadlines
    assert (found.due, near_since(found)) == (day(10.5), day(10.5) - DAY // 5)


def test_to_suspend_over_the_due_time_is_told_though_it_stops_the_clock_and_at_that_very_time() -> None:
    story = handed()(13.5, "suspended", unit=A)
    lineage = lineage_of(story, city(STOPPED))
    path = "stop_clock.suspended_over_due"
    assert [facts_at(story, now, lineage)[path] for now in (13.9, 14, 60)] == [0, 1, 1]
    back = lineage_of(handed()(13.5, "suspended", unit=A)(13.9, "resumed", unit=A), city(STOPPED))
    assert facts_at(story, 60, back)[path] == 0
    assert facts_at(story, 60, lineage)["handling.suspended_days"] == 46


def test_an_extension_asked_for_while_a_return_was_open_that_stops_the_clock_was_not_asked_for_late() -> None:
    story = handed()(13, "return_requested", unit=A)(15, "extension_requested", unit=A)
    extended(story, 16, 30)(17, "return_denied", unit=A)
    found = [
        facts_at(story, 18, lineage_of(story, city(text)))["stop_clock.extended_after_due"] for text in (CITY, STOPPED)
    ]
    assert found == [1, 0]


def test_a_pause_that_runs_into_a_year_that_is_not_announced_makes_the_limit_incomplete() -> None:
    story = Story()("2026-12-10T10:00:00+08:00", "registered")("2026-12-10T10:00:00+08:00", "dispatched", unit=A)
    story("2026-12-15T10:00:00+08:00", "suspended", unit=A)
    assert not lineage_of(story, city(STOPPED)).deadlines[0].incomplete
    story("2027-01-20T10:00:00+08:00", "resumed", unit=A)
    (found,) = lineage_of(story, city(STOPPED)).deadlines
    assert found.incomplete
    (told,) = [one for one in run(story, 800, reckoning=city(STOPPED)).versions("P06") if one.level == "yellow"]
    assert "calendar_incomplete" in told.flags
    assert "次年工作日历未公布,暂计" in told.evidence[0].what
    assert not lineage_of(story, with_2027(STOPPED)).deadlines[0].incomplete
    assert with_2027(STOPPED).version != with_2027(CITY).version


# --- any order


_KINDS = (
    "suspended",
    "resumed",
    "return_requested",
    "return_denied",
    "return_approved",
    "extension_approved",
    "progress",
)
_TOLD = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(_KINDS), st.sampled_from((A, None))), max_size=10)


@st.composite
def stops(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One unit's ticket, of which nothing but its clock is told."""
    story = handed()
    for half, kind, unit in draw(_TOLD):
        fields = {"until": format_instant(day(half / 2 + 9))} if kind == "extension_approved" else {}
        story(half / 2, kind, unit=unit, **fields)
    return story.records


@settings(max_examples=30, deadline=None)
@given(stops(), st.randoms(use_true_random=False), st.sampled_from([STOPPED, CLOSED]))
def test_neither_the_order_of_arrival_nor_the_steps_of_time_change_what_is_said(
    records: list[dict[str, Any]], chance: random.Random, text: str
) -> None:
    events = sorted(Story(records=records).events, key=by_time)
    at_once = run(events, 60, reckoning=city(text))
    in_steps = run(events, 60, [20 + number * 1.7 for number in range(12)], city(text))
    assert [one.alert_id for one in at_once.alerts] == [one.alert_id for one in in_steps.alerts]
    chance.shuffle(events)
    assert run(events, 60, reckoning=city(text)).in_force == at_once.in_force


@settings(max_examples=30, deadline=None)
@given(stops())
def test_a_clock_that_can_be_stopped_is_never_due_before_one_that_cannot(records: list[dict[str, Any]]) -> None:
    story = Story(records=records)
    (never,), (sometimes,) = (lineage_of(story, city(text)).deadlines for text in (CITY, STOPPED))
    assert sometimes.due >= never.due
    assert (sometimes.ended_at, sometimes.ended_by) == (never.ended_at, never.ended_by)
    levels = (levels_at(story, 60, city(text)).get("P06") for text in (CITY, STOPPED))
    rank = [(None, "blue", "yellow", "red").index(one) for one in levels]
    assert rank[1] <= rank[0]


# --- the command


def _due(tmp_path: Path, text: str, *options: str) -> Any:
    path = tmp_path / "limits.yaml"
    path.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["rules", "due", "2025-09-29T10:00:00", "--limits", str(path), *options])


def test_the_command_shows_what_a_pause_does(tmp_path: Path) -> None:
    pause = ("--pause", "2025-09-29T11:00:00/2025-10-09T15:00:00")
    told = orjson.loads(_due(tmp_path, STOPPED, *pause, "--json").stdout)["limits"]
    found = {one["limit"]: (one["ends"], one.get("stood")) for one in told}
    assert found["handling"] == ("2025-10-22 14:00", "2个工作日4小时")
    assert found["redo"] == ("2025-10-13 14:00", "2个工作日4小时")
    assert found["acceptance"] == ("2025-09-30 10:00", None)
    assert "its clock stood for 2个工作日4小时" in _due(tmp_path, STOPPED, *pause).stdout
    assert "stood" not in _due(tmp_path, CITY, *pause).stdout
    for wrong in ("2025-09-29T11:00:00", "2025-10-09T15:00:00/2025-09-29T11:00:00", "/", "a/b/c"):
        assert _due(tmp_path, STOPPED, "--pause", wrong).exit_code == 2


def test_the_example_says_both_switches() -> None:
    example = Path(__file__).parent.parent / "deploy" / "limits.example.yaml"
    text = example.read_text(encoding="utf-8")
    assert text.count("suspension_stops:") == text.count("denied_return_stops:") == 1
    profile = load_limits(example).default
    assert profile is not None
    assert not profile.counting.suspension_stops
    assert not profile.counting.denied_return_stops
    assert Reckoning(built_in_calendar(), load_limits(example)).version
