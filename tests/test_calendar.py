"""Work days: the announced years as the State Council announced them, and what happens beyond."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.times import DAY, HOUR, MINUTE, datetime_of, format_instant, parse_instant
from rules.calendar import BUILT_IN_VERSION, Calendar, Year, built_in_calendar, built_in_years, start_of_day

CALENDAR = built_in_calendar()
ANNOUNCED = st.integers(parse_instant("2004-01-01T00:00:00+08:00"), parse_instant("2024-12-31T00:00:00+08:00"))
ANY = st.integers(parse_instant("1991-01-01T00:00:00+08:00"), parse_instant("2098-12-31T00:00:00+08:00"))
YEAR_END = st.integers(parse_instant("2026-12-01T00:00:00+08:00"), parse_instant("2027-01-31T00:00:00+08:00"))
HOURS = ((9 * HOUR, 12 * HOUR), (13 * HOUR, 18 * HOUR))
# Made up: the notice for 2027 does not exist for this test.
MADE_UP = Year(
    frozenset({date(2027, 1, 1), date(2027, 1, 4), date(2027, 1, 5), date(2027, 5, 1), date(2027, 10, 1)}),
    frozenset({date(2027, 1, 9)}),
)
WITH_2027 = Calendar("made up", built_in_years() | {2027: MADE_UP})


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-02-13", 5, "2026-02-27"),  # a make-up Saturday, then the Spring Festival
        ("2026-09-30", 5, "2026-10-13"),  # a make-up Saturday after the National Day holidays
        ("2025-09-26", 5, "2025-10-10"),  # a make-up Sunday before them
        ("2025-09-30", 15, "2025-10-28"),
        ("2026-04-30", 5, "2026-05-11"),
        ("2025-03-03", 1, "2025-03-04"),
        ("2025-03-07", 1, "2025-03-10"),  # Friday to Monday
        ("2025-03-08", 1, "2025-03-10"),  # Saturday to Monday
    ],
)
def test_announced_days_are_counted_from_the_next_day_on(start: str, days: int, end: str) -> None:
    for time in ("00:00:00", "09:30:00", "23:59:59"):
        found, complete = CALENDAR.add_work_days(parse_instant(f"{start}T{time}+08:00"), days)
        assert found == parse_instant(f"{end}T{time}+08:00")
        assert complete


@settings(deadline=None)
@given(ANY, st.integers(0, 300))
def test_counting_and_adding_are_inverse(start: int, days: int) -> None:
    for calendar in (CALENDAR, WITH_2027):
        end, complete = calendar.add_work_days(start, days)
        assert calendar.work_days_between(start, end) == (days, complete)
        if days:
            assert calendar.work_days_between(start, end - 1)[0] == days - 1


@given(ANNOUNCED, st.integers(0, 300))
def test_within_announced_years_a_result_is_complete_and_later_means_more(start: int, days: int) -> None:
    end, complete = CALENDAR.add_work_days(start, days)
    assert complete
    assert CALENDAR.add_work_days(start, days + 1)[0] > end
    assert (end - start) % DAY == 0


@given(ANY, st.integers(0, 200 * DAY), st.integers(0, 200 * DAY))
def test_counting_never_falls_as_time_passes(start: int, one: int, more: int) -> None:
    for count in (
        lambda end: CALENDAR.work_days_between(start, end)[0],
        lambda end: CALENDAR.announced_work_days_between(start, end),
        lambda end: CALENDAR.time_on_work_days(start, end),
    ):
        assert count(start + one) <= count(start + one + more)


@given(ANY, st.integers(0, 100), st.integers(1, 30))
def test_a_later_day_never_means_an_earlier_end(start: int, later: int, days: int) -> None:
    assert CALENDAR.add_work_days(start, days)[0] <= CALENDAR.add_work_days(start + later * DAY, days)[0]


@given(YEAR_END, st.integers(1, 40))
def test_across_the_end_of_the_announced_years_a_result_is_incomplete_just_where_it_counts_a_day_beyond(
    start: int, days: int
) -> None:
    end, complete = CALENDAR.add_work_days(start, days)
    assert complete is (datetime_of(end).year < 2027)
    assert WITH_2027.add_work_days(start, days)[1]
    beyond = datetime_of(start).year > 2026
    assert CALENDAR.announced_work_days_between(start, end) <= (0 if beyond else days)


@given(YEAR_END, st.integers(0, 60 * DAY))
def test_of_the_days_between_those_announced_are_those_up_to_the_last_announced_one(start: int, length: int) -> None:
    end = start + length
    last = parse_instant("2026-12-31T23:59:59+08:00")
    assert CALENDAR.announced_work_days_between(start, end) == CALENDAR.work_days_between(start, min(end, last))[0]
    assert WITH_2027.announced_work_days_between(start, end) == WITH_2027.work_days_between(start, end)[0]


def test_a_year_that_arrives_changes_what_is_reckoned_and_nothing_before_it() -> None:
    start = parse_instant("2026-12-29T10:00:00+08:00")
    assert CALENDAR.add_work_days(start, 5) == (parse_instant("2027-01-06T10:00:00+08:00"), False)
    assert WITH_2027.add_work_days(start, 5) == (parse_instant("2027-01-08T10:00:00+08:00"), True)
    before = parse_instant("2026-09-30T10:00:00+08:00")
    assert CALENDAR.add_work_days(before, 5) == WITH_2027.add_work_days(before, 5)


def test_a_year_not_announced_is_marked_and_still_has_weekends_and_fixed_holidays() -> None:
    start = parse_instant("2098-12-29T10:00:00+08:00")  # a Monday
    end, complete = CALENDAR.add_work_days(start, 5)
    assert not complete
    assert datetime_of(end).strftime("%m-%d %H") == "01-06 10"  # New Year's Day and a weekend lie between
    assert CALENDAR.work_days_between(start, start + 3 * DAY) == (2, False)
    assert CALENDAR.announced_work_days_between(start, start + 30 * DAY) == 0


def test_before_the_first_announced_year_it_is_marked_too() -> None:
    assert not CALENDAR.add_work_days(parse_instant("2003-12-01T10:00:00+08:00"), 2)[1]
    assert CALENDAR.add_work_days(parse_instant("2004-01-05T10:00:00+08:00"), 2)[1]


def test_a_year_missing_between_announced_ones_is_marked_where_it_is_counted() -> None:
    gap = Calendar("gap", {2026: built_in_years()[2026], 2028: MADE_UP._replace(made_up=frozenset())})
    assert not gap.add_work_days(parse_instant("2026-12-01T10:00:00+08:00"), 300)[1]
    assert gap.add_work_days(parse_instant("2028-03-01T10:00:00+08:00"), 5)[1]
    due = parse_instant("2026-12-31T10:00:00+08:00")
    assert gap.announced_work_days_between(due, parse_instant("2027-12-31T10:00:00+08:00")) == 0
    assert gap.announced_work_days_between(due, parse_instant("2028-01-10T10:00:00+08:00")) > 0


def test_nothing_added_and_nothing_between_are_always_complete() -> None:
    start = parse_instant("2098-12-29T10:00:00+08:00")
    assert CALENDAR.add_work_days(start, 0) == (start, True)
    assert CALENDAR.work_days_between(start, start) == (0, True)
    assert CALENDAR.work_days_between(start, start - HOUR) == (0, True)
    assert CALENDAR.announced_work_days_between(start, start - HOUR) == 0


def test_a_day_is_chinas_day() -> None:
    # 23:00 UTC on Friday is Saturday morning in China.
    friday_night_utc = parse_instant("2025-03-07T23:00:00Z")
    assert CALENDAR.add_work_days(friday_night_utc, 1)[0] == parse_instant("2025-03-09T23:00:00Z")
    assert start_of_day(friday_night_utc) == parse_instant("2025-03-08T00:00:00+08:00")
    assert start_of_day(friday_night_utc, 2) == parse_instant("2025-03-10T00:00:00+08:00")


def test_a_single_day_may_be_another_than_its_year_says() -> None:
    moved = Calendar("moved", built_in_years(), {date(2025, 3, 4): False, date(2025, 3, 8): True})
    assert moved.add_work_days(parse_instant("2025-03-03T10:00:00+08:00"), 1)[0] == parse_instant(
        "2025-03-05T10:00:00+08:00"
    )
    assert moved.is_work_day(parse_instant("2025-03-08T10:00:00+08:00"))


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2025-03-03T10:00:00", 2, "2025-03-03T12:00:00"),
        ("2025-03-03T10:00:00", 4, "2025-03-03T15:00:00"),  # the break does not count
        ("2025-03-03T12:30:00", 1, "2025-03-03T14:00:00"),
        ("2025-03-03T07:00:00", 8, "2025-03-03T18:00:00"),
        ("2025-03-03T17:00:00", 4, "2025-03-04T12:00:00"),
        ("2025-03-03T20:00:00", 1, "2025-03-04T10:00:00"),
        ("2025-03-07T17:30:00", 1, "2025-03-10T09:30:00"),  # Friday to Monday
        ("2025-03-08T10:00:00", 8, "2025-03-10T18:00:00"),  # a Saturday has no office hours
        ("2026-02-13T17:00:00", 2, "2026-02-14T10:00:00"),  # but a make-up Saturday has
        ("2025-03-03T09:00:00", 80, "2025-03-14T18:00:00"),
    ],
)
def test_office_hours_are_counted_on_work_days(start: str, hours: int, end: str) -> None:
    found, announced = CALENDAR.add_office_time(parse_instant(f"{start}+08:00"), hours * HOUR, HOURS)
    assert format_instant(found) == f"{end}+08:00"
    assert announced


@settings(deadline=None)
@given(ANY, st.integers(1, 5_000), st.integers(1, 5_000))
def test_office_time_adds_up_and_ends_within_office_hours(start: int, first: int, second: int) -> None:
    once = CALENDAR.add_office_time(start, (first + second) * MINUTE, HOURS)[0]
    half = CALENDAR.add_office_time(start, first * MINUTE, HOURS)[0]
    assert CALENDAR.add_office_time(half, second * MINUTE, HOURS)[0] == once
    assert half < once
    within = once - start_of_day(once)
    assert CALENDAR.is_work_day(once)
    assert any(begin < within <= end for begin, end in HOURS)


@given(ANNOUNCED, st.integers(0, 60 * DAY))
def test_time_on_work_days_is_what_lies_on_them(start: int, length: int) -> None:
    found, instant = 0, start
    while instant < start + length:
        midnight = min(start_of_day(instant, 1), start + length)
        found += (midnight - instant) * CALENDAR.is_work_day(instant)
        instant = midnight
    assert CALENDAR.time_on_work_days(start, start + length) == found


def test_every_announced_year_has_days_off_and_make_up_days_at_weekends() -> None:
    years = built_in_years()
    assert set(range(2004, 2027)) <= set(years)
    for number, year in years.items():
        assert all(one.weekday() >= 5 for one in year.made_up), number
        days = [date(number, 1, 1) + timedelta(days=count) for count in range(365)]
        assert 240 < sum(year.works(one) for one in days) < 256, number


def test_the_version_names_the_source() -> None:
    assert CALENDAR.version == BUILT_IN_VERSION
    assert BUILT_IN_VERSION.startswith("chinesecalendar-1.")
