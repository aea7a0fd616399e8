"""How time is reckoned (计时口径): the calendar of work days and the limits of the city, which decide like rules do and have a version.

A limit is never stored as the instant at which it ends: it is reckoned from the event that laid it each time the history is folded, so that
a calendar that arrives, or a limit that is set right, corrects what was said.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from models.times import DAY, HOUR, MINUTE
from rules.calendar import Calendar, built_in_calendar, start_of_day
from rules.calendar_file import load_calendar
from rules.limits import NO_LIMITS, Counting, Limit, Limits, load_limits

_NATURAL = {"days": DAY, "hours": HOUR, "minutes": MINUTE}


@dataclass(frozen=True, slots=True, eq=False)
class Reckoning:
    """A calendar and limits; with the pack of rules they are all that a level depends on besides events and time."""

    calendar: Calendar
    limits: Limits = NO_LIMITS
    version: str = field(init=False, default="")
    """the calendar's, and the limits' where any are set"""

    def __post_init__(self) -> None:
        limits = f";limits-{self.limits.version}" if self.limits.any else ""
        object.__setattr__(self, "version", self.calendar.version + limits)

    def after(self, start: int, limit: Limit, counting: Counting, times: int = 1) -> tuple[int, bool]:
        """Return when a limit, or so many times it, has passed since an instant; and whether every work day counted is announced."""
        value = limit.value * times
        match limit.unit:
            case "hours" | "minutes":
                return start + value * _NATURAL[limit.unit], True
            case "work_hours":
                return self.calendar.add_office_time(start, value * HOUR, counting.office_hours)
        # A day that is over by the time of the start cannot be the first one.
        first_day = counting.with_first_day and _closed(start, counting) > start
        if limit.unit == "days":
            return _closed(start + (value - first_day) * DAY, counting), True
        known = not first_day or self.calendar.is_announced(start, start)
        end, complete = self.calendar.add_work_days(start, value - (first_day and self.calendar.is_work_day(start)))
        return _closed(end, counting), complete and known


def _closed(instant: int, counting: Counting) -> int:
    """Return when the day of an instant ends for a limit."""
    match counting.ends:
        case "end_of_day":
            return start_of_day(instant, 1)
        case "close_of_work":
            return start_of_day(instant) + counting.office_hours[-1][1]
    return instant


@cache
def plain_reckoning() -> Reckoning:
    """Return the built-in calendar and no limits."""
    return Reckoning(built_in_calendar())


def load_reckoning(calendar_file: Path | None, limits_file: Path | None) -> Reckoning:
    """Return what the two files say, both or neither; without any, `plain_reckoning`. Raises ConfigFileError with file:line."""
    if calendar_file is None and limits_file is None:
        return plain_reckoning()
    return Reckoning(load_calendar(calendar_file), load_limits(limits_file))
