"""Work days in China: holidays and make-up work days as the State Council announces them, by `chinesecalendar` and a file of one's own.

The announcement for a year comes in November of the year before, the library's release after it; until then a file (`calendar_file`,
rules/calendar_file.py) gives the year. Beyond the announced years the days fall back to Monday–Friday less the holidays of fixed date, the
result is marked incomplete, and whatever depends on it is never red: better late than wrong.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from typing import NamedTuple

from chinese_calendar import constants

from models.times import DAY, EARLIEST, HOUR, LATEST

BUILT_IN_VERSION = f"chinesecalendar-{version('chinesecalendar')}"

# Of the statutory holidays only these fall on the same date each year; the lunar ones need the announcement.
FIXED_HOLIDAYS = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})
_EPOCH = date(1970, 1, 1)
_FIRST_DAY = (EARLIEST.date() - _EPOCH).days - 1
_LAST_DAY = (LATEST.date() - _EPOCH).days + 400
_ZONE = 8 * HOUR

OfficeHours = tuple[tuple[int, int], ...]
"""the spans of a work day in which offices work, as microseconds after midnight, in order"""
ROUND_THE_CLOCK: OfficeHours = ((0, DAY),)
"""the same of a work day that counts as a whole"""


class Year(NamedTuple):
    """One announced year: its days off, weekends among them or not, and its make-up work days (补班)."""

    holidays: frozenset[date]
    made_up: frozenset[date]

    def works(self, day: date) -> bool:
        """Return whether a day of the year is a work day."""
        return day in self.made_up or (day.weekday() < 5 and day not in self.holidays)


def built_in_years() -> dict[int, Year]:
    """Return the years that `chinesecalendar` knows. Its own question costs 20 microseconds a day, its tables nothing."""
    days: dict[int, tuple[set[date], set[date]]] = {}
    for place, table in enumerate((constants.holidays, constants.workdays)):
        for day in table:
            days.setdefault(day.year, (set(), set()))[place].add(day)
    return {year: Year(frozenset(off), frozenset(made_up)) for year, (off, made_up) in days.items()}


class Calendar:
    """A calendar of work days, never changed after it is made. Instants are microseconds; a day is China's day."""

    __slots__ = ("_announced", "_known", "_work", "version", "years")

    def __init__(self, version: str, years: Mapping[int, Year], days: Mapping[date, bool] | None = None) -> None:
        """Take the announced years, and single days that are work days or not whatever their year says."""
        self.version = version
        self.years = frozenset(years)
        work: list[int] = []
        known: list[int] = []
        single = days or {}
        for number in range(_FIRST_DAY, _LAST_DAY):
            day = _EPOCH + timedelta(days=number)
            year = years.get(day.year)
            works = _falls_on_work(day) if year is None else year.works(day)
            work.append(int(single.get(day, works)))
            known.append(int(year is not None))
        # By day since `_FIRST_DAY`, up to and including it: how many work days, announced days, announced work days there were.
        self._work = list(accumulate(work))
        self._known = list(accumulate(known))
        self._announced = list(accumulate(one * two for one, two in zip(work, known, strict=True)))

    def add_work_days(self, instant: int, work_days: int) -> tuple[int, bool]:
        """Return the instant that many work days later at the same time of day, and whether every day counted was an announced one.

        The day of the instant itself does not count (次日起算).
        """
        day, _ = _split(instant)
        if work_days <= 0:
            return instant, True
        end = self._work_day_after(day, work_days)
        return instant + (end - day) * DAY, self._is_known(day, end)

    def work_days_between(self, start: int, end: int) -> tuple[int, bool]:
        """Return how many whole work days, each ending at the start's time of day, lie between; and whether all are announced."""
        if end <= start:
            return 0, True
        first, last = _whole_days(start, end)
        return max(self._work[_place(last)] - self._work[_place(first)], 0), self._is_known(first, last)

    def announced_work_days_between(self, start: int, end: int) -> int:
        """Return how many of the whole work days between two instants lie in the announced years."""
        if end <= start:
            return 0
        first, last = _whole_days(start, end)
        return max(self._announced[_place(last)] - self._announced[_place(first)], 0)

    def is_work_day(self, instant: int) -> bool:
        """Return whether the day of an instant is a work day."""
        place = _place(_split(instant)[0])
        return self._work[place] > self._work[place - 1]

    def is_announced(self, start: int, end: int) -> bool:
        """Return whether every day from that of one instant to that of a later one, both included, lies in an announced year."""
        return self._is_known(_split(start)[0] - 1, _split(end)[0])

    def known_until(self, instant: int) -> int:
        """Return when the announced years end that follow each other from that of an instant on; of a year that nobody has announced, its
        beginning.
        """
        year = (_EPOCH + timedelta(days=_split(instant)[0])).year
        while year in self.years:
            year += 1
        return (date(year, 1, 1) - _EPOCH).days * DAY - _ZONE

    def time_on_work_days(self, start: int, end: int) -> int:
        """Return the microseconds between two instants that lie on work days."""
        return self.office_time_between(start, end, ROUND_THE_CLOCK)

    def office_time_between(self, start: int, end: int, hours: OfficeHours) -> int:
        """Return the microseconds between two instants in which offices work."""
        return self._time_before(end, hours) - self._time_before(start, hours) if end > start else 0

    def work_dates_between(self, start: int, end: int) -> int:
        """Return how many work days there are from the day of an instant on, and before that of a later one."""
        return self._work[_place(_split(end)[0] - 1)] - self._work[_place(_split(start)[0] - 1)]

    def add_office_time(self, instant: int, length: int, hours: OfficeHours) -> tuple[int, bool]:
        """Return the instant at which offices have worked so long since another, and whether every day looked at was an announced one."""
        day, time_of_day = _split(instant)
        today = sum(max(end - max(start, time_of_day), 0) for start, end in hours) if self.is_work_day(instant) else 0
        if length <= today:
            return day * DAY - _ZONE + _within(hours, time_of_day, length), self._is_known(day - 1, day)
        left = length - today
        full = sum(end - start for start, end in hours)
        work_days = (left - 1) // full + 1
        last = self._work_day_after(day, work_days)
        within = _within(hours, 0, left - (work_days - 1) * full)
        return last * DAY - _ZONE + within, self._is_known(day - 1, last)

    def _work_day_after(self, day: int, work_days: int) -> int:
        place = bisect_left(self._work, self._work[_place(day)] + work_days)
        return min(place, len(self._work) - 1) + _FIRST_DAY

    def _time_before(self, instant: int, hours: OfficeHours) -> int:
        """Return the time in which offices have worked since the calendar's first day."""
        day, time_of_day = _split(instant)
        before = self._work[_place(day - 1)]
        today = hours if self._work[_place(day)] > before else ()
        full = sum(end - start for start, end in hours)
        return before * full + sum(max(min(end, time_of_day) - start, 0) for start, end in today)

    def _is_known(self, first: int, last: int) -> bool:
        """Tell whether all days after the first up to the last are announced."""
        return last <= first or self._known[_place(last)] - self._known[_place(first)] == last - first


@cache
def built_in_calendar() -> Calendar:
    """Return the calendar of the installed `chinesecalendar` alone."""
    return Calendar(BUILT_IN_VERSION, built_in_years())


def _falls_on_work(day: date) -> bool:
    """Return whether a day of a year that nobody has announced is taken for a work day."""
    return day.weekday() < 5 and (day.month, day.day) not in FIXED_HOLIDAYS


def _split(instant: int) -> tuple[int, int]:
    """Return the local day since 1970 and the time of day."""
    return divmod(instant + _ZONE, DAY)


def _place(day: int) -> int:
    """Return a day's place in the tables; of a day beyond them, the nearest."""
    return min(max(day - _FIRST_DAY, 0), _LAST_DAY - _FIRST_DAY - 1)


def _whole_days(start: int, end: int) -> tuple[int, int]:
    """Return the day of the start, and the last day on which the start's time of day has come by the end."""
    first, start_time = _split(start)
    last, end_time = _split(end)
    return first, last - (end_time < start_time)


def _within(hours: OfficeHours, time_of_day: int, length: int) -> int:
    """Return the time of day at which offices have worked so long since another. Precondition: that day is long enough."""
    for start, end in hours:
        worked = max(end - max(start, time_of_day), 0)
        if length <= worked:
            return max(start, time_of_day) + length
        length -= worked
    return hours[-1][1]


def start_of_day(instant: int, days: int = 0) -> int:
    """Return the instant at which the local day of another begins, or a day so many days later."""
    return (_split(instant)[0] + days) * DAY - _ZONE
