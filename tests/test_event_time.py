"""Time on one partition: how late an event may be, deadlines that no event announces, clocks that step back, China's days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import Alert
from models.times import CHINA, DAY, HOUR, datetime_of, format_instant, instant_of, parse_instant
from rules.calendar import built_in_calendar, start_of_day
from rules.messages import EventMessage, TickMessage, encode
from streams.ticket_partition import TicketPartition
from streams.topics import TopicSet
from tests.builders import Story, body, day, engine, event_of, run
from tests.histories import SPAN_DAYS, histories
from tests.partition_support import Agent, DictTable, Watch

TOPICS = TopicSet(partitions=1)
STEPS = ("debts", "flush", "outputs", "acknowledge")
SIZES = st.lists(st.integers(1, 9), max_size=20)
CRASHES = st.lists(st.tuples(st.sampled_from((*STEPS, "never")), st.integers(0, 6)), min_size=4, max_size=20)
RETURN = {"contacted": False, "site_checked": False, "evidence": []}


def agent(log: Iterable[bytes], lateness: int | None = None, watch: Watch | None = None) -> Agent:
    """Return an agent over a tickets' partition that allows so much lateness."""

    def open_one(table: DictTable, first_offset: int) -> TicketPartition:
        return TicketPartition(0, table, engine(), TOPICS, watch or Watch(), first_offset, lateness=lateness)

    return Agent(open_one, list(log))


def events(records: Iterable[dict[str, Any]]) -> list[bytes]:
    return [encode(EventMessage(event_of(record))) for record in records]


def tick(at: int) -> bytes:
    return encode(TickMessage(at))


def alerts(one: Agent) -> list[Alert]:
    return [Alert.model_validate_json(out.value) for out in one.once() if out.topic == TOPICS.alerts]


def refused(one: Agent) -> list[tuple[int, str]]:
    """Return offset and reason of what was quarantined, each once."""
    told = [orjson.loads(out.value) for out in one.once() if out.topic == TOPICS.quarantine]
    return [(record["offset"], record["reason"]) for record in told]


def told(one: Agent, rule: str) -> list[tuple[str, str]]:
    return [(alert.status.value, alert.level.value) for alert in alerts(one) if alert.rule.id == rule]


# -- how late an event may be


def test_an_event_behind_the_watermark_by_more_than_is_allowed_is_quarantined() -> None:
    at_the_edge = body("T-1", "urged", 0, event_id="edge")
    beyond = body("T-1", "urged", format_instant(day(0) - 1), event_id="beyond")
    watch = Watch()
    one = agent([tick(day(30)), *events([at_the_edge, beyond])], 30 * DAY, watch).run([9])
    assert refused(one) == [(2, "too_late")]
    assert len(watch.of("too_late")) == 1


def test_without_a_limit_no_event_is_too_late() -> None:
    one = agent([tick(day(3650)), *events([body("T-1", "urged", 0)])]).run([9])
    assert refused(one) == []


def test_another_tickets_event_moves_the_watermark_too() -> None:
    one = agent(events([body("A", "urged", 40, event_id="a"), body("B", "urged", 0, event_id="b")]), 30 * DAY).run([9])
    assert refused(one) == [(1, "too_late")]


def test_a_double_of_an_event_that_came_in_time_is_not_refused() -> None:
    first = events([body("T-1", "urged", 0)])
    one = agent([*first, tick(day(90)), *first], 30 * DAY).run([1, 1, 1])
    assert refused(one) == []


def test_what_was_refused_is_taken_once_more_lateness_is_allowed() -> None:
    records = Story()(0, "return_requested", unit="U-1", **RETURN)(1, "return_requested", unit="U-2", **RETURN).records
    late = events(records)
    strict = agent([tick(day(60)), *late], 30 * DAY).run([9])
    assert [reason for _, reason in refused(strict)] == ["too_late"] * 2
    assert alerts(strict) == []
    lenient = agent([*strict.log, *late], 90 * DAY)
    lenient.table, lenient.acknowledged = strict.table, strict.acknowledged
    lenient.run([9])
    assert ("raised", "yellow") in told(lenient, "P01")
    assert refused(lenient) == []


@settings(max_examples=40, deadline=None)
@given(histories(size_max=14), st.lists(st.integers(0, SPAN_DAYS), max_size=3), SIZES, CRASHES)
def test_what_is_too_late_is_the_same_in_any_batches_and_after_any_crash(
    records: list[dict[str, Any]], ticks: list[int], sizes: list[int], crashes: list[tuple[str, int]]
) -> None:
    log = events(records)
    for number, days in enumerate(ticks):
        log.insert(number * len(log) // len(ticks), tick(day(days)))
    smooth, bumpy = agent(log, 10 * DAY).run(), agent(log, 10 * DAY).run(sizes, crashes)
    assert sorted(refused(bumpy)) == sorted(refused(smooth))
    assert sorted(one.alert_id for one in alerts(bumpy)) == sorted(one.alert_id for one in alerts(smooth))


# -- late events


def test_a_late_event_corrects_a_level_and_a_later_one_retracts_it() -> None:
    overdue = Story()(0, "registered")(0.1, "dispatched", unit="U-1", due_at=format_instant(day(2)))
    extended = Story()(1.5, "extension_approved", unit="U-1", until=format_instant(day(8.5)))
    resolved = body("T-1", "resolved", 1.8, event_id="done", unit_id="U-1")
    story = [*events(overdue.records), tick(day(10))]
    late = events([extended.records[0] | {"event_id": "more-time"}])
    one = agent([*story, *late, *events([resolved])]).run()
    assert told(one, "P06") == [
        ("raised", "blue"),
        ("escalated", "yellow"),
        ("escalated", "red"),
        ("corrected", "yellow"),
        ("retracted", "yellow"),
    ]


# -- deadlines that no event announces

OVERDUE = Story()(0, "registered")(0.1, "dispatched", unit="U-1", due_at=format_instant(day(2)))
THREE = [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red")]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_deadline_passes_once_whatever_the_worker_dies_of(step: str, done: int) -> None:
    """The worker dies with the batch of the tick; the next one opens the partition from what is durable."""
    one = agent([*events(OVERDUE.records), tick(day(60)), tick(day(61))])
    one.run([2, 1], [None, (step, done)])
    assert told(one, "P06") == THREE
    assert {out.key for out in one.sent if out.topic == TOPICS.alerts} == {"case:T-1"}


def test_a_worker_that_is_dead_over_the_deadline_judges_each_at_its_own_instant() -> None:
    alive = agent([*events(OVERDUE.records), *(tick(day(days)) for days in range(1, 40))]).run()
    dead = agent([*events(OVERDUE.records), tick(day(39))])
    dead.batch(2)
    dead.restart()
    dead.run()
    assert told(dead, "P06") == THREE
    assert [one.alert_id for one in alerts(dead)] == [one.alert_id for one in alerts(alive)]
    assert [one.as_of for one in alerts(dead)] == [one.as_of for one in alerts(alive)]


def test_a_partition_that_moves_between_two_ticks_says_nothing_again() -> None:
    one = agent([*events(OVERDUE.records), *(tick(day(days)) for days in range(1, 40))])
    while one.acknowledged < len(one.log):
        one.batch(1)
        one.restart()  # a rebalance: the next owner knows what is durable, and nothing else
    assert told(one, "P06") == THREE
    assert one.sent == one.once(), "nothing was even sent twice"


def test_ticks_that_step_back_fire_nothing_twice_and_move_no_watermark() -> None:
    there_and_back = [tick(day(days)) for days in (3, 1, 60, 2, 3, 0, 60, 59)]
    one = agent([*events(OVERDUE.records), *there_and_back]).run()
    assert told(one, "P06") == THREE
    assert one.at_work.clock == day(60)
    one.restart()
    reopened = one.open_one(one.table, one.acknowledged)
    assert isinstance(reopened, TicketPartition)
    assert reopened.clock == day(60), "the watermark is durable"


def test_the_next_deadline_is_known_without_an_event() -> None:
    one = agent(events(OVERDUE.records)).run()
    due = one.at_work.next_due()
    assert due is not None
    one.log = [*one.log, tick(due - 1)]
    one.run()
    assert told(one, "P06") == []
    one.log = [*one.log, tick(due + 1)]
    one.run()
    assert told(one, "P06") == THREE[:1]


def test_a_deadline_at_the_very_instant_of_an_event_is_judged_after_it() -> None:
    in_time = body("T-1", "resolved", 2, event_id="done", unit_id="U-1")
    other = body("T-2", "urged", 2, event_id="other")
    one = agent(events([*OVERDUE.records, other, in_time])).run()
    assert told(one, "P06") == [("raised", "blue"), ("retracted", "blue")]


# -- China's days

SUMMER_1990 = "1990-07-02T09:00:00"
"""within the daylight saving time that the zone database has for Asia/Shanghai: then +09:00 there"""


def test_a_day_of_a_summer_with_daylight_saving_time_is_as_long_as_any() -> None:
    there = datetime.fromisoformat(SUMMER_1990).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    offset = there.utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 9 * 3600, "the trap is there"
    instant = parse_instant(SUMMER_1990)
    assert instant == instant_of(datetime(1990, 7, 2, 1, tzinfo=UTC))
    assert format_instant(instant) == f"{SUMMER_1990}+08:00"
    assert datetime_of(instant).tzinfo is CHINA
    assert start_of_day(instant) == parse_instant("1990-07-02T00:00:00")
    # The clock was put back in the night to 1990-09-16: that day had 25 hours there.
    evening, next_evening = parse_instant("1990-09-15T20:00:00"), parse_instant("1990-09-16T20:00:00")
    assert next_evening - evening == DAY
    assert start_of_day(evening, 2) - start_of_day(evening, 1) == DAY


@settings(max_examples=100, deadline=None)
@given(st.integers(instant_of(datetime(1990, 1, 1, tzinfo=UTC)), instant_of(datetime(2099, 12, 1, tzinfo=UTC))))
def test_every_local_day_begins_a_whole_number_of_days_after_another(instant: int) -> None:
    begins = start_of_day(instant)
    assert begins <= instant < begins + DAY
    assert (begins + 8 * HOUR) % DAY == 0
    assert format_instant(begins).endswith("T00:00:00+08:00")
    assert start_of_day(instant, 1) == begins + DAY


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2024-02-28T09:00:00", 1, "2024-02-29T09:00:00"),
        ("2024-02-29T09:00:00", 1, "2024-03-01T09:00:00"),
        ("2028-02-28T23:59:59", 2, "2028-03-01T23:59:59"),
        ("2025-02-28T09:00:00", 1, "2025-03-01T09:00:00"),
        ("2025-12-31T23:59:59", 1, "2026-01-01T23:59:59"),
        ("2024-02-29T00:00:00", 366, "2025-03-01T00:00:00"),
    ],
)
def test_a_limit_of_days_over_a_leap_day_or_the_turn_of_the_year_ends_on_the_right_day(
    start: str, days: int, end: str
) -> None:
    record = body("T-1", "dispatched", f"{start}+08:00", unit="U-1", limit={"value": days, "unit": "days"})
    one = agent(events([body("T-1", "registered", f"{start}+08:00", event_id="r"), record]))
    due = parse_instant(f"{end}+08:00")
    one.log = [*one.log, tick(due), tick(due + 1)]
    one.run()
    overdue = [alert for alert in alerts(one) if alert.rule.id == "P06" and alert.level.value == "yellow"]
    assert [parse_instant(alert.as_of) for alert in overdue] == [due]


def test_work_days_over_the_leap_day_and_the_turn_of_the_year() -> None:
    calendar = built_in_calendar()
    # 2024-02-29 is a Thursday; 2025-12-31 a Wednesday, followed by the New Year's holiday.
    after, sure = calendar.add_work_days(parse_instant("2024-02-28T10:00:00"), 2)
    assert (format_instant(after), sure) == ("2024-03-01T10:00:00+08:00", True)
    before_new_year, after_new_year = parse_instant("2024-12-31T10:00:00"), parse_instant("2025-01-02T10:00:00")
    assert calendar.add_work_days(before_new_year, 1) == (after_new_year, True)


def test_the_last_second_of_a_year_and_the_first_of_the_next_are_a_second_apart() -> None:
    last, first = parse_instant("2025-12-31T23:59:59+08:00"), parse_instant("2026-01-01T00:00:00+08:00")
    assert first - last == 1_000_000
    assert start_of_day(first) - start_of_day(last) == DAY


def test_the_driver_says_the_same_of_a_ticket_over_the_turn_of_the_year() -> None:
    story = Story()("2024-12-30T09:00:00+08:00", "registered")
    story("2024-12-30T10:00:00+08:00", "dispatched", unit="U-1", due_at="2025-01-01T00:00:00+08:00")
    at = parse_instant("2025-03-01T00:00:00+08:00")
    one = agent([*events(story.records), tick(at)]).run()
    said = run(story, (at - day(0)) / DAY)
    assert [alert.alert_id for alert in alerts(one)] == [alert.alert_id for alert in said.alerts]
    assert told(one, "P06") == said.told("P06")
