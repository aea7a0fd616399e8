"""Work days: holidays and make-up days as announced, and honesty about years nobody has announced."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.times import DAY, HOUR, datetime_of, parse_instant
from rules.calendar import CALENDAR_VERSION, add_work_days, work_days_between

ANNOUNCED = st.integers(parse_instant("2005-01-01T00:00:00+08:00"), parse_instant("2025-06-01T00:00:00+08:00"))
ANY = st.integers(parse_instant("1990-01-02T00:00:00+08:00"), parse_instant("2099-01-01T00:00:00+08:00"))


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
        found, complete = add_work_days(parse_instant(f"{start}T{time}+08:00"), days)
        assert found == parse_instant(f"{end}T{time}+08:00")
        assert complete


@settings(deadline=None)
@given(ANY, st.integers(0, 300))
def test_counting_and_adding_are_inverse(start: int, days: int) -> None:
    end, complete = add_work_days(start, days)
    assert work_days_between(start, end)[0] == days
    assert work_days_between(start, end)[1] is complete
    if days:
        assert work_days_between(start, end - 1)[0] == days - 1


@given(ANNOUNCED, st.integers(0, 300))
def test_within_announced_years_a_result_is_complete_and_later_means_more(start: int, days: int) -> None:
    end, complete = add_work_days(start, days)
    assert complete
    assert add_work_days(start, days + 1)[0] > end
    assert (end - start) % DAY == 0


@given(ANNOUNCED, st.integers(0, 200 * DAY), st.integers(0, 200 * DAY))
def test_counting_never_falls_as_time_passes(start: int, one: int, more: int) -> None:
    assert work_days_between(start, start + one)[0] <= work_days_between(start, start + one + more)[0]


def test_a_year_not_announced_is_marked_and_still_has_weekends_and_fixed_holidays() -> None:
    start = parse_instant("2098-12-29T10:00:00+08:00")  # a Monday
    end, complete = add_work_days(start, 5)
    assert not complete
    assert datetime_of(end).strftime("%m-%d %H") == "01-06 10"  # New Year's Day and a weekend lie between
    assert work_days_between(start, start + 3 * DAY) == (2, False)


def test_before_the_first_announced_year_it_is_marked_too() -> None:
    assert not add_work_days(parse_instant("2003-12-01T10:00:00+08:00"), 2)[1]
    assert add_work_days(parse_instant("2004-01-05T10:00:00+08:00"), 2)[1]


def test_nothing_added_and_nothing_between_are_always_complete() -> None:
    start = parse_instant("2098-12-29T10:00:00+08:00")
    assert add_work_days(start, 0) == (start, True)
    assert work_days_between(start, start) == (0, True)
    assert work_days_between(start, start - HOUR) == (0, True)


def test_a_day_is_chinas_day() -> None:
    # 23:00 UTC on Friday is Saturday morning in China.
    friday_night_utc = parse_instant("2025-03-07T23:00:00Z")
    assert add_work_days(friday_night_utc, 1)[0] == parse_instant("2025-03-09T23:00:00Z")


def test_the_version_names_the_source() -> None:
    assert CALENDAR_VERSION.startswith("chinesecalendar-1.")
