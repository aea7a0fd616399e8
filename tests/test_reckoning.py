"""Limits that the city sets: where an event carries none; acceptance and returns; a calendar that lacks a year, and one that arrives."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from models.base import Status
from models.times import format_instant, parse_instant
from rules.calendar import BUILT_IN_VERSION, built_in_calendar
from rules.driver import Driver
from rules.event import by_time
from rules.reckoning import Reckoning, plain_reckoning
from tests.builders import Run, Story, day, engine, event_of, facts_at, levels_at, lineage_of, run
from tests.histories import SPAN_DAYS, histories
from tests.reckoning_support import CITY, STOPPED, city, limits, with_2027

A, B = "U-A", "U-B"
UNTIL = SPAN_DAYS + 40
HOUR = 1 / 24


def taken(**fields: Any) -> Story:
    return Story()(0, "registered", **fields)


def handed(story: Story | None = None, when: float = 0.0, unit: str = A, **fields: Any) -> Story:
    return (story or taken())(when, "dispatched", unit=unit, **fields)


def due_of(story: Story, reckoning: Reckoning | None = None) -> list[str]:
    return [format_instant(one.due)[:16] for one in lineage_of(story, reckoning or city()).deadlines]


# --- handling limits where the event carries none


@pytest.mark.parametrize(
    ("story", "due"),
    [
        (handed(), ["2025-03-17T09:00"]),
        (handed(taken(request_type="consultation")), ["2025-03-04T09:00"]),
        (handed(taken(request_type="consultation", urgency="urgent")), ["2025-03-04T09:00"]),
        (handed(taken(request_type="praise")), []),
        (handed(Story()), ["2025-03-17T09:00"]),  # nothing known of the ticket: an ordinary one
        (handed(due_at="2025-03-05T18:00:00+08:00"), ["2025-03-05T18:00"]),
        (handed(limit={"value": 5, "unit": "work_days"}), ["2025-03-10T09:00"]),
        (handed(limit={"value": 2, "unit": "days"}), ["2025-03-05T09:00"]),
        (handed(role="assist"), []),
        (handed()(1, "redo_ordered", unit=A), ["2025-03-17T09:00", "2025-03-07T09:00"]),
        (handed()(1, "review_rejected", unit=A), ["2025-03-17T09:00", "2025-03-07T09:00"]),
    ],
)
def test_an_event_s_own_limit_goes_before_the_city_s(story: Story, due: list[str]) -> None:
    assert due_of(story) == due


def test_without_a_profile_there_is_no_limit_but_an_event_s_own() -> None:
    story = handed()
    assert due_of(story, plain_reckoning()) == []
    assert not {"P04", "P05", "P06"} & set(levels_at(story(5, "return_requested", unit=A), 300))
    elsewhere = Reckoning(built_in_calendar(), limits(CITY.replace("districts: []", "districts: [东区]")))
    assert due_of(handed(taken(place={"district": "西区"})), elsewhere) == []
    assert due_of(handed(taken(place={"district": "东区"})), elsewhere) == ["2025-03-17T09:00"]


def test_a_limit_is_laid_by_what_was_known_of_the_ticket_then() -> None:
    story = handed(taken(request_type="consultation"))(0.5, "amended", fields={"request_type": "complaint"})
    assert due_of(story) == ["2025-03-04T09:00"]
    assert due_of(handed(story, 1)) == ["2025-03-04T09:00", "2025-03-18T09:00"]


def test_the_city_s_limit_makes_overdue_and_the_evidence_tells_where_it_comes_from() -> None:
    told = run(handed()(0.01, "accepted", unit=A), 30, reckoning=city())
    assert told.told("P06") == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red")]
    red = told.versions("P06")[-1]
    assert "按试市时限配置1版:10个工作日,至2025-03-17 09:00" in red.evidence[0].what
    assert red.calendar_version == city().version
    assert red.calendar_version.startswith(f"{BUILT_IN_VERSION};limits-1.")


def test_counted_from_the_acceptance_a_limit_cannot_be_put_off_by_not_accepting() -> None:
    from_acceptance = city(CITY.replace("counting: {", "counting: {count_from: accepted, "))
    story = handed()
    assert due_of(story, from_acceptance) == ["2025-03-18T09:00"]  # one work day for acceptance, then ten
    assert due_of(handed()(0.25, "accepted", unit=A), from_acceptance) == ["2025-03-17T15:00"]
    assert due_of(handed()(6, "accepted", unit=A), from_acceptance) == ["2025-03-18T09:00"], "late: it began without"
    assert due_of(handed()(0.25, "accepted", unit=B), from_acceptance) == ["2025-03-18T09:00"]
    assert due_of(handed(limit={"value": 2, "unit": "days"})(0.25, "accepted", unit=A), from_acceptance) == [
        "2025-03-05T09:00"
    ], "the event's own limit counts from the event"


# --- P05, acceptance

ACCEPTED: dict[str, tuple[Story, float, str | None]] = {
    "not yet due": (handed(), 0.99, None),
    "at the due time": (handed(), 1, "blue"),
    "twice the time": (handed(), 2, "yellow"),
    "long after": (handed(), 60, "yellow"),
    "in time": (handed()(0.5, "accepted", unit=A), 60, None),
    "at the due time to the second": (handed()(1, "accepted", unit=A), 60, None),
    "late": (handed()(1.5, "accepted", unit=A), 60, "blue"),
    "very late": (handed()(3, "accepted", unit=A), 60, "yellow"),
    "by another unit": (handed()(0.5, "accepted", unit=B), 1, "blue"),
    "by nobody named": (handed()(0.5, "accepted"), 60, None),
    "recalled in time": (handed()(0.5, "recalled", unit=A), 60, None),
    "voided": (handed()(1.5, "voided"), 60, None),
    "withdrawn in time": (handed()(0.5, "withdrawn"), 60, None),
    "archived late": (handed()(1.5, "archived"), 60, "blue"),
    "dispatched to another in time": (handed(handed(), 0.5, B)(0.6, "accepted", unit=B), 60, None),
    "and that other is late": (handed(handed(), 0.5, B)(1.6, "accepted", unit=B), 60, "blue"),
    "an assisting unit": (handed(role="assist"), 60, None),
    "urgent, in time": (handed(taken(urgency="urgent"))(1.5 * HOUR, "accepted", unit=A), 60, None),
    "urgent, late": (handed(taken(urgency="urgent"))(2.5 * HOUR, "accepted", unit=A), 60, "red"),
    "critical, late by minutes": (handed(taken(urgency="critical")), 0.011, "red"),
    "critical, within minutes": (handed(taken(urgency="critical")), 0.010, None),
    **{
        f"taken in hand by {kind}": (handed()(0.5, kind, unit=A), 60, None)
        for kind in (
            "contacted",
            "site_checked",
            "progress",
            "sub_dispatched",
            "extension_requested",
            "suspended",
            "return_requested",
            "resolved",
        )
    },
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_acceptance(name: str) -> None:
    story, now, level = ACCEPTED[name]
    assert levels_at(story, now, city()).get("P05") == level


def test_what_is_late_is_told_with_its_limit_and_who_it_is_about() -> None:
    told = run(handed(), 3, reckoning=city()).versions("P05")
    assert [(one.status.value, one.level.value) for one in told] == [("raised", "blue"), ("escalated", "yellow")]
    assert told[0].trigger == "deadline:T-1-002:2025-03-04T09:00:00+08:00"
    assert told[1].trigger == "deadline:T-1-002:2025-03-05T09:00:00+08:00"
    assert told[0].evidence[-1].what == "签收时限已到,未见签收"
    assert "签收1个工作日,至2025-03-04 09:00" in told[0].evidence[0].what
    assert [(one.id, one.role) for one in told[0].units] == [(A, "accused")]


def test_an_acceptance_that_arrives_late_but_came_in_time_takes_the_warning_back() -> None:
    story = handed()(5, "urged")(0.5, "accepted", unit=A)
    assert run(story, 6, reckoning=city()).told("P05") == [
        ("raised", "blue"),
        ("escalated", "yellow"),
        ("retracted", "yellow"),
    ]


# --- P04, late returns

LATE: dict[str, tuple[Story, str | None]] = {
    "in time": (handed()(0.5, "return_requested", unit=A), None),
    "at the last moment": (handed()(1, "return_requested", unit=A), None),
    "late": (handed()(1.5, "return_requested", unit=A), "blue"),
    "over a weekend, in time": (handed(when=4)(6.9, "return_requested", unit=A), None),
    "twice the time": (handed()(2.5, "return_requested", unit=A), "yellow"),
    "late, and approved": (handed()(2.5, "return_requested", unit=A)(3, "return_approved", unit=A), "yellow"),
    "approved without being asked for": (handed()(5, "return_approved", unit=A), None),
    "of a unit that never got it": (handed()(5, "return_requested", unit=B), None),
    "again at once after a denial": (
        handed()(0.5, "return_requested", unit=A)(2, "return_denied", unit=A)(2.9, "return_requested", unit=A),
        None,
    ),
    "again long after a denial": (
        handed()(0.5, "return_requested", unit=A)(2, "return_denied", unit=A)(3.5, "return_requested", unit=A),
        "blue",
    ),
    "by the unit that got it later": (handed(handed(), 4, B)(4.5, "return_requested", unit=B), None),
    "after a redo": (
        handed()(3, "resolved", unit=A)(10, "redo_ordered", unit=A)(10.5, "return_requested", unit=A),
        None,
    ),
    # Of ten work days the last begins on day 11.
    "in the last minute": (handed()(13.5, "return_requested", unit=A), "yellow"),
    "in the last minute and denied": (
        handed()(13.5, "return_requested", unit=A)(14, "return_denied", unit=A),
        "red",
    ),
    "overdue and denied": (handed()(20, "return_requested", unit=A)(21, "return_denied", unit=A), "red"),
    "with more than a tenth left, denied": (
        handed()(10.5, "return_requested", unit=A)(11, "return_denied", unit=A),
        "yellow",
    ),
    # By the days of nature less than a tenth, by work days a fifth: a holiday makes nobody late.
    "over a weekend with little left, denied": (
        handed(when=3, limit={"value": 5, "unit": "work_days"})(9, "return_requested", unit=A)(
            9.1, "return_denied", unit=A
        ),
        "yellow",
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_a_late_return(name: str) -> None:
    story, level = LATE[name]
    assert levels_at(story, 40, city()).get("P04") == level


def test_a_denial_that_is_revised_takes_the_red_back() -> None:
    story = handed()(13.5, "return_requested", unit=A)(14, "return_denied", unit=A)(15, "return_approved", unit=A)
    told = run(story, 16, reckoning=city())
    assert told.told("P04") == [("raised", "yellow"), ("escalated", "red"), ("corrected", "yellow")]
    red = told.versions("P04")[1]
    assert red.trigger == "T-1-004"
    assert any("超过退单时限2025-03-04 09:00" in one.what and "不足一成" in one.what for one in red.evidence)


# --- a year that is missing, and one that arrives


def crossing(**fields: Any) -> Story:
    """Tell of a ticket that was dispatched for five work days at the end of the announced years."""
    given = {"limit": {"value": 5, "unit": "work_days"}} | fields
    return Story()("2026-12-29T10:00:00+08:00", "dispatched", unit=A, **given)


def spoken(story: Story, until: str, reckoning: Reckoning) -> list[Alert]:
    driver = Driver(engine(reckoning))
    alerts = [alert for event in story.events for alert in driver.feed(event)]
    return alerts + driver.advance(parse_instant(f"{until}T12:00:00+08:00"))


def test_while_a_year_is_missing_nothing_is_red_and_everything_says_so() -> None:
    told = [one for one in spoken(crossing(), "2027-12-01", plain_reckoning()) if one.rule.id == "P06"]
    assert [one.level.value for one in told] == ["blue", "yellow"]
    assert all("calendar_incomplete" in one.flags for one in told)
    assert all("次年工作日历未公布,暂计" in one.evidence[0].what for one in told)
    assert all(one.calendar_version == BUILT_IN_VERSION for one in told)


def test_only_what_rests_on_a_missing_year_says_so_and_that_is_never_red() -> None:
    story = Story()("2026-12-28T09:00:00+08:00", "registered")
    story("2026-12-29T10:00:00+08:00", "dispatched", unit=A, limit={"value": 5, "unit": "work_days"})
    for number, unit in enumerate((A, B, "U-C")):
        story(f"2026-12-30T1{number}:00:00+08:00", "dispatched", unit=unit, due_at="2026-12-31T10:00:00+08:00")
        story(f"2026-12-30T1{number}:30:00+08:00", "return_requested", unit=unit)
    story("2026-12-30T20:00:00+08:00", "dispatched", unit="U-D", limit={"value": 9, "unit": "work_days"})
    told = spoken(story, "2027-12-01", plain_reckoning())
    flagged = {(one.rule.id, one.level.value) for one in told if "calendar_incomplete" in one.flags}
    assert {("P01", "red"), ("P12", "red")} <= {(one.rule.id, one.level.value) for one in told} - flagged
    assert {rule for rule, _ in flagged} == {"P06"}
    assert ("P06", "red") not in {(one.rule.id, one.level.value) for one in told}


def test_what_announced_days_make_red_is_not_called_incomplete() -> None:
    story = crossing(due_at="2026-12-18T10:00:00+08:00")
    story("2026-12-29T11:00:00+08:00", "dispatched", unit=B, limit={"value": 5, "unit": "work_days"})
    told = [one for one in spoken(story, "2027-03-01", plain_reckoning()) if one.rule.id == "P06"]
    assert [(one.level.value, one.flags) for one in told if one.level == "red"] == [("red", ("unexpected_transition",))]


def test_a_missing_year_caps_acceptance_and_returns_too() -> None:
    story = Story()("2026-12-31T17:30:00+08:00", "registered", urgency="urgent")
    story("2026-12-31T17:30:00+08:00", "dispatched", unit=A)
    (told,) = [one for one in spoken(story, "2027-01-10", city()) if one.rule.id == "P05"][:1]
    assert told.level == "yellow"
    assert "calendar_incomplete" in told.flags
    assert [one.level.value for one in spoken(story, "2027-01-20", with_2027()) if one.rule.id == "P05"] == ["red"]
    returned = crossing()("2027-01-15T10:00:00+08:00", "return_requested", unit=A)
    returned("2027-01-16T10:00:00+08:00", "return_denied", unit=A)
    assert [one.level.value for one in spoken(returned, "2027-01-20", city()) if one.rule.id == "P04"][-1] == "yellow"
    assert [one.level.value for one in spoken(returned, "2027-01-20", with_2027()) if one.rule.id == "P04"][-1] == "red"


def test_what_was_overdue_by_announced_days_is_red_though_the_next_year_is_missing() -> None:
    told = spoken(crossing(due_at="2026-12-18T10:00:00+08:00"), "2027-03-01", plain_reckoning())
    assert [one.level.value for one in told if one.rule.id == "P06"][-1] == "red"


def test_an_extension_to_a_given_time_is_not_incomplete_any_more() -> None:
    story = crossing()("2026-12-30T10:00:00+08:00", "extension_approved", unit=A, until="2026-12-31T10:00:00+08:00")
    assert lineage_of(story).deadlines[0].incomplete, "it does not move what is due later"
    story = crossing()("2026-12-30T10:00:00+08:00", "extension_approved", unit=A, until="2027-01-20T10:00:00+08:00")
    assert not lineage_of(story).deadlines[0].incomplete


def test_a_calendar_that_arrives_takes_back_what_does_not_hold_any_more() -> None:
    # Due on 01-06 as long as 2027 is missing, on 01-13 by the made-up year.
    story = crossing()("2027-01-11T10:00:00+08:00", "progress", unit=A)
    driver = Driver(engine())
    alerts = [alert for event in story.events for alert in driver.feed(event)]
    assert Run(driver, alerts).told("P06") == [("raised", "blue"), ("escalated", "yellow")]
    arrived = driver.reckon(engine(with_2027(None)))
    assert [(one.status, one.rule.id) for one in arrived] == [(Status.RETRACTED, "P06")]
    assert arrived[0].calendar_version == with_2027(None).version
    assert "calendar_incomplete" not in arrived[0].flags
    later = driver.advance(parse_instant("2027-03-01T12:00:00+08:00"))
    assert [(one.status.value, one.level.value) for one in later] == [
        ("raised", "blue"),
        ("escalated", "yellow"),
        ("escalated", "red"),
    ]


def test_a_calendar_that_arrives_makes_red_what_it_bears_out() -> None:
    driver = Driver(engine())
    alerts = [alert for event in crossing().events for alert in driver.feed(event)]
    alerts += driver.advance(parse_instant("2027-03-01T12:00:00+08:00"))
    alerts += driver.reckon(engine(with_2027(None)))
    assert Run(driver, alerts).told("P06") == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red")]
    assert driver.reckon(engine(with_2027(None))) == [], "once"


def test_limits_that_are_set_and_taken_away_correct_what_was_said() -> None:
    driver = Driver(engine())
    alerts = [alert for event in handed().events for alert in driver.feed(event)]
    alerts += driver.advance(day(30))
    assert not [one for one in alerts if one.rule.id in ("P05", "P06")]
    found = {(one.rule.id, one.level.value) for one in driver.reckon(engine(city()))}
    assert found == {("P05", "yellow"), ("P06", "red")}
    gone = driver.reckon(engine())
    assert {(one.rule.id, one.status) for one in gone} == {("P05", Status.RETRACTED), ("P06", Status.RETRACTED)}


def test_an_event_taken_in_by_an_earlier_release_keeps_the_due_time_that_was_reckoned_then() -> None:
    event = event_of({**crossing().records[0]})
    old = event._replace(data={"due": parse_instant("2027-01-06T10:00:00+08:00"), "calendar_incomplete": True})
    driver = Driver(engine(with_2027(None)))
    alerts = driver.feed(old) + driver.advance(parse_instant("2027-03-01T12:00:00+08:00"))
    assert [one.level.value for one in alerts if one.rule.id == "P06"] == ["blue", "yellow"]
    assert all("calendar_incomplete" in one.flags for one in alerts)


@settings(max_examples=40, deadline=None)
@given(histories(size_max=16), st.integers(0, 20))
def test_across_a_missing_year_no_order_of_arrival_makes_red_what_announced_days_do_not(
    records: list[dict[str, Any]], lead: int
) -> None:
    shift = parse_instant("2026-12-31T09:00:00+08:00") - day(lead)
    moved = [
        record | {"occurred_at": format_instant(parse_instant(record["occurred_at"]) + shift)} for record in records
    ]
    driver = Driver(engine(city()))
    alerts = [alert for record in moved for alert in driver.feed(event_of(record))]
    alerts += driver.advance(day(UNTIL) + shift)
    # One that is taken back tells the level that it had.
    reds = [one for one in alerts if one.level == "red" and one.status is not Status.RETRACTED]
    assert not [one for one in reds if "calendar_incomplete" in one.flags]


# --- any order, any moment of the change

RECKONINGS = st.sampled_from(
    [plain_reckoning(), city(), city(CITY.replace("{office", "{count_from: accepted, office")), city(STOPPED)]
)


@settings(max_examples=30, deadline=None)
@given(
    histories(size_max=20),
    st.randoms(use_true_random=False),
    RECKONINGS,
    st.lists(st.floats(0, 40), max_size=12).map(sorted),
)
def test_with_limits_neither_the_order_of_arrival_nor_the_steps_of_time_change_what_is_said(
    records: list[dict[str, Any]], chance: random.Random, reckoning: Reckoning, ticks: list[float]
) -> None:
    events = sorted((event_of(record) for record in records), key=by_time)
    at_once = run(events, UNTIL, reckoning=reckoning)
    in_steps = run(events, UNTIL, [SPAN_DAYS + tick for tick in ticks], reckoning)
    assert [one.alert_id for one in at_once.alerts] == [one.alert_id for one in in_steps.alerts]
    chance.shuffle(events)
    assert run(events, UNTIL, reckoning=reckoning).in_force == at_once.in_force


@settings(max_examples=40, deadline=None)
@given(histories(size_max=20), st.integers(0, 30), RECKONINGS, RECKONINGS, st.booleans())
def test_a_reckoning_that_changes_at_any_moment_comes_to_the_same_end(
    records: list[dict[str, Any]], moment: int, before: Reckoning, after: Reckoning, ticked: bool
) -> None:
    events = sorted((event_of(record) for record in records), key=by_time)
    driver, alerts = Driver(engine(before)), []
    for number, event in enumerate(events):
        if number == moment:
            alerts += driver.reckon(engine(after))
        alerts += driver.feed(event)
    if ticked:
        alerts += driver.advance(day(UNTIL))
    if moment >= len(events):
        alerts += driver.reckon(engine(after))
    alerts += driver.advance(day(UNTIL))
    assert Run(driver, alerts).in_force == run(events, UNTIL, reckoning=after).in_force


def test_facts_of_acceptance_and_returns_are_neutral_without_limits() -> None:
    found = facts_at(handed()(5, "return_requested", unit=A), 30)
    assert not any(found[path] for path in ("acceptance.limits_passed", "acceptance.urgent_late", "returns.late"))
