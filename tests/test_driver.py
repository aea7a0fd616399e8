"""The order of arrival does not matter: what must be equal however events come, double, and time jumps."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from models.base import Status
from rules.driver import Driver
from rules.event import Event, by_time
from rules.tickets import judge
from tests.builders import Run, Story, day, engine, event_of, run
from tests.histories import SPAN_DAYS, histories

UNTIL = SPAN_DAYS + 40
OWN_RULES = frozenset({"P01", "P02", "P03", "P06", "P07", "P09", "P10", "P12"})


def _events(records: list[dict[str, Any]]) -> list[Event]:
    return [event_of(record) for record in records]


def _by_case(told: Run) -> dict[str, list[str]]:
    """Return each case's versions in the order of issue; between cases deadlines of one instant have none."""
    cases: dict[str, list[str]] = {}
    for one in told.alerts:
        cases.setdefault(one.case_id, []).append(one.alert_id)
    return cases


def _in_time(records: list[dict[str, Any]]) -> list[Event]:
    return sorted(_events(records), key=by_time)


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_warnings_in_force_do_not_depend_on_the_order_of_arrival(
    records: list[dict[str, Any]], chance: random.Random
) -> None:
    events = _events(records)
    expected = run(sorted(events, key=by_time), UNTIL).in_force
    shuffled = events + chance.sample(events, len(events) // 2)
    chance.shuffle(shuffled)
    assert run(shuffled, UNTIL).in_force == expected
    assert run(sorted(events, key=by_time, reverse=True), UNTIL).in_force == expected


@settings(max_examples=50, deadline=None)
@given(histories(size_max=16, seq=True), st.randoms(use_true_random=False))
def test_numbered_events_come_to_the_same_end_in_any_order(
    records: list[dict[str, Any]], chance: random.Random
) -> None:
    events = _events(records)
    shuffled = chance.sample(events, len(events))
    assert run(shuffled, UNTIL).in_force == run(events, UNTIL).in_force


@settings(max_examples=50, deadline=None)
@given(histories(size_max=16), st.lists(st.floats(0, 40), max_size=12).map(sorted))
def test_one_long_jump_of_time_says_what_many_short_ones_say(records: list[dict[str, Any]], ticks: list[float]) -> None:
    events = _in_time(records)
    at_once = run(events, UNTIL)
    in_steps = run(events, UNTIL, [SPAN_DAYS + tick for tick in ticks])
    assert [one.alert_id for one in at_once.alerts] == [one.alert_id for one in in_steps.alerts]


@settings(max_examples=50, deadline=None)
@given(histories(size_max=16), st.randoms(use_true_random=False))
def test_doubled_events_change_no_alert_id(records: list[dict[str, Any]], chance: random.Random) -> None:
    events = _in_time(records)
    doubled = [one for number, event in enumerate(events, 1) for one in (event, *chance.sample(events[:number], 1))]
    once, twice = run(events, UNTIL), run(doubled, UNTIL)
    assert _by_case(once) == _by_case(twice)


@settings(max_examples=50, deadline=None)
@given(histories(size_max=12), st.lists(st.integers(0, 2 * UNTIL), max_size=20).map(sorted))
def test_ticks_between_events_change_no_alert_id_of_a_tickets_own_rules(
    records: list[dict[str, Any]], halves: list[int]
) -> None:
    """Time comes in steps of any size between the events, and the ids are those of a run without any tick."""
    records = [record for record in records if record["type"] not in ("merged", "linked")]
    events = _in_time(records)
    plain = run(events, UNTIL)
    driver = Driver(engine())
    ticked: list[Alert] = []
    for event in events:
        while halves and day(halves[0] / 2) < event.at:
            ticked += driver.advance(day(halves.pop(0) / 2))
        ticked += driver.feed(event)
    ticked += driver.advance(day(UNTIL))
    ids = [{one.alert_id for one in alerts if one.rule.id in OWN_RULES} for alerts in (plain.alerts, ticked)]
    assert ids[0] == ids[1]


@settings(max_examples=50, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_versions_of_a_case_are_numbered_and_chained(records: list[dict[str, Any]], chance: random.Random) -> None:
    events = _events(records)
    alerts = run(chance.sample(events, len(events)), UNTIL).alerts
    by_case: dict[str, list[int]] = {}
    last: dict[tuple[str, str], Any] = {}
    for one in alerts:
        by_case.setdefault(one.case_id, []).append(one.sequence)
        previous = last.get((one.case_id, one.rule.id))
        assert one.previous_alert_id == (previous.alert_id if previous else None)
        in_force = previous.level if previous and previous.status is not Status.RETRACTED else None
        if one.status is Status.RETRACTED:
            assert one.level == in_force
        else:
            assert one.level != in_force, "the same level twice in a row"
        last[one.case_id, one.rule.id] = one
    for numbers in by_case.values():
        assert numbers == list(range(1, len(numbers) + 1))
    assert len({one.alert_id for one in alerts}) == len(alerts)


@settings(max_examples=50, deadline=None)
@given(histories(size_max=16), st.randoms(use_true_random=False))
def test_what_stands_is_what_the_whole_history_gives(records: list[dict[str, Any]], chance: random.Random) -> None:
    """Step by step comes to what judging each ticket once, from scratch, comes to."""
    events = _events(records)
    told = run(chance.sample(events, len(events)), UNTIL)
    from_scratch: dict[tuple[str, str], str] = {}
    afresh = engine()
    for ticket, state in told.driver.tickets.items():
        levels = judge(afresh, state, day(UNTIL)).levels
        for rule, level in zip(afresh.rules, levels, strict=True):
            if level is not None:
                from_scratch[ticket, rule.id] = level.value
    assert told.in_force == from_scratch


@settings(max_examples=50, deadline=None)
@given(histories(size_max=12), st.randoms(use_true_random=False))
def test_one_engine_may_judge_several_runs_over_the_same_events(
    records: list[dict[str, Any]], chance: random.Random
) -> None:
    events, shared = _events(records), engine()
    expected = run(events, UNTIL).in_force
    for _ in range(3):
        driver, alerts = Driver(shared), []
        for event in chance.sample(events, len(events)):
            alerts += driver.feed(event)
        alerts += driver.advance(day(UNTIL))
        assert Run(driver, alerts).in_force == expected


@settings(max_examples=50, deadline=None)
@given(histories(size_max=12), st.data())
def test_events_of_which_only_some_are_numbered_come_to_the_same_end(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    numbers = st.none() | st.integers(0, 9)
    numbered = [record | ({"seq": seq} if (seq := data.draw(numbers)) is not None else {}) for record in records]
    events = _events(numbered)
    expected = run(events, UNTIL).in_force
    assert run(data.draw(st.permutations(events)), UNTIL).in_force == expected
    told = run(events, UNTIL)
    assert expected == {
        (ticket, rule.id): level.value
        for ticket, state in told.driver.tickets.items()
        for rule, level in zip(engine().rules, judge(engine(), state, day(UNTIL)).levels, strict=True)
        if level is not None
    }


def test_a_number_missing_at_last_puts_a_whole_history_in_the_order_of_time() -> None:
    story = Story()(5, "return_denied", unit="U-1", seq=1)(3, "return_requested", unit="U-1", seq=2)
    story(6, "return_requested", unit="U-1", seq=3)
    assert run(story).in_force == {("T-1", "P01"): "blue", ("T-1", "P03"): "yellow"}
    assert run(story(9, "urged")).in_force == {("T-1", "P03"): "yellow"}


def test_a_deadline_fires_at_its_own_instant_without_any_further_event() -> None:
    story = Story().complaint(0)(0.1, "dispatched", unit="U-1", limit={"value": 10, "unit": "days"})
    told = run(story, 60).versions("P06")
    assert [one.level.value for one in told] == ["blue", "yellow", "red"]
    assert [one.event_time for one in told] == [one.raised_at for one in told]
    assert told[1].trigger == f"deadline:T-1-002:{told[1].event_time}"
    assert [one.sequence for one in told] == sorted(one.sequence for one in told)


def test_deadlines_of_many_tickets_come_in_the_order_of_time() -> None:
    events = [
        event
        for number in range(6)
        for event in Story(f"T-{number}")
        .complaint(0, citizen={"anonymous": True})(
            0.1, "dispatched", unit="U", limit={"value": 9 - number, "unit": "days"}
        )
        .events
    ]
    at = [one.event_time for one in run(events, 100).alerts]
    assert at == sorted(at)
    assert len(at) == 6 * 3 + 6 * 3


def test_time_never_goes_back() -> None:
    told: Run = run(Story().complaint(0), 40)
    clock = told.driver.clock
    assert list(told.driver.advance(day(10))) == []
    assert told.driver.clock == clock
    assert all(earlier.raised_at <= later.raised_at for earlier, later in pairwise(told.alerts))


def test_an_event_that_comes_again_with_another_body_raises_an_alarm_and_the_first_stays() -> None:
    story = Story().complaint(0)(1, "return_requested", unit="U-1")
    changed = event_of(story.records[-1] | {"unit_id": "U-2"})
    told = run([*story.events, changed])
    assert [type(alarm).__name__ for alarm in told.driver.alarms] == ["ConflictingBody"]
    assert [event.unit for event in told.driver.tickets["T-1"].events if event.unit] == ["U-1"]


def test_a_doubled_event_at_the_very_instant_of_a_deadline_judges_nothing_early() -> None:
    story = Story()(0, "dispatched", unit="U-1", limit={"value": 1, "unit": "days"})
    meanwhile = Story("T-2")(1, "urged")
    resolved = Story()(1, "resolved", unit="U-1", event_id="r")
    told = run([*story.events, *meanwhile.events, *story.events, *resolved.events], 5)
    assert told.told("P06") == [("raised", "blue"), ("retracted", "blue")]


def test_an_event_that_comes_again_in_another_time_zone_is_the_same_event() -> None:
    story = Story().complaint(0)
    record = story.records[0] | {"occurred_at": "2025-03-03T01:00:00Z", "source": "redelivery", "backfill": True}
    assert run([*story.events, event_of(record)]).driver.alarms == []
