"""Work days in China: holidays and make-up work days as the State Council announces them, by `chinesecalendar`.

The table ends with the last announced year, and the library raises beyond it. There the days fall back to Monday–Friday less the holidays
of fixed date, the result is marked incomplete, and whatever depends on it is never red: better late than wrong.
"""

from bisect import bisect_left
from datetime import date, timedelta
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from typing import NamedTuple

from chinese_calendar import constants

from models.times import DAY, EARLIEST, HOUR, LATEST

CALENDAR_VERSION = f"chinesecalendar-{version('chinesecalendar')}"

# Of the statutory holidays only these fall on the same date each year; the lunar ones need the announcement.
_FIXED_HOLIDAYS = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})
_EPOCH = date(1970, 1, 1)
_FIRST_DAY = (EARLIEST.date() - _EPOCH).days - 1
_LAST_DAY = (LATEST.date() - _EPOCH).days + 400


class _Table(NamedTuple):
    """By day since `_FIRST_DAY`: how many work days there were up to and including it; and which days are announced."""

    work_days: list[int]
    known_from: int
    known_to: int


@cache
def _table() -> _Table:
    # The library's own question costs 20 microseconds a day, a second for the century; its tables cost nothing.
    holidays, made_up = constants.holidays, constants.workdays
    first_known, last_known = date(min(holidays).year, 1, 1), date(max(holidays).year, 12, 31)
    work: list[int] = []
    for day in range(_FIRST_DAY, _LAST_DAY):
        moment = _EPOCH + timedelta(days=day)
        if first_known <= moment <= last_known:
            work.append(int(moment in made_up or (moment.weekday() < 5 and moment not in holidays)))
        else:
            work.append(int(moment.weekday() < 5 and (moment.month, moment.day) not in _FIXED_HOLIDAYS))
    return _Table(list(accumulate(work)), (first_known - _EPOCH).days, (last_known - _EPOCH).days)


def _split(instant: int) -> tuple[int, int]:
    """Return the local day since 1970 and the time of day."""
    return divmod(instant + 8 * HOUR, DAY)


def add_work_days(instant: int, work_days: int) -> tuple[int, bool]:
    """Return the instant that many work days later at the same time of day, and whether every day counted was an announced one.

    The day of the instant itself does not count (次日起算).
    """
    table = _table()
    day, _ = _split(instant)
    if work_days <= 0:
        return instant, True
    position = bisect_left(table.work_days, table.work_days[day - _FIRST_DAY] + work_days)
    end = min(position, len(table.work_days) - 1) + _FIRST_DAY
    return instant + (end - day) * DAY, _is_known(table, day, end)


def work_days_between(start: int, end: int) -> tuple[int, bool]:
    """Return how many whole work days, each ending at the start's time of day, lie between two instants; and whether all are announced."""
    if end <= start:
        return 0, True
    table = _table()
    first, start_time = _split(start)
    last, end_time = _split(end)
    if end_time < start_time:
        last -= 1
    count = table.work_days[last - _FIRST_DAY] - table.work_days[first - _FIRST_DAY]
    return max(count, 0), _is_known(table, first, last)


def announced_work_days_between(start: int, end: int) -> int:
    """Return how many of the whole work days between two instants lie in the announced years."""
    last_known = (_table().known_to + 1) * DAY - 8 * HOUR - 1
    return work_days_between(start, min(end, last_known))[0]


def _is_known(table: _Table, first: int, last: int) -> bool:
    return last <= first or (first + 1 >= table.known_from and last <= table.known_to)
