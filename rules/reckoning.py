"""How time is reckoned (计时口径): the calendar of work days and the limits of the city, which decide like rules do and have a version.

A limit is never stored as the instant at which it ends: it is reckoned from the event that laid it each time the history is folded, so that
a calendar that arrives, or a limit that is set right, corrects what was said.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from models.times import DAY, HOUR, MINUTE
from rules.calendar import ROUND_THE_CLOCK, Calendar, built_in_calendar, start_of_day
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

    def stood(self, since: int, until: int, limit: Limit, counting: Counting) -> int:
        """Return how much of a limit's kind of time lies in a span for which its clock stands.

        Days that end with the day: whole days, from that of the beginning, unless it is over by then, up to the one before that of
        the end. All else: microseconds, of which only those on work days count for `work_days`, and those in office hours for `work_hours`.
        """
        match limit.unit:
            case "work_hours":
                return self.calendar.office_time_between(since, until, counting.office_hours)
            case "work_days" if not counting.in_whole_days:
                return self.calendar.time_on_work_days(since, until)
            case "work_days":
                return self.calendar.work_dates_between(_still_open(since, counting), _still_open(until, counting))
            case "days" if counting.in_whole_days:
                first, last = (start_of_day(_still_open(one, counting)) for one in (since, until))
                return (last - first) // DAY
        return until - since

    def later(self, due: int, stood: int, limit: Limit, counting: Counting) -> tuple[int, bool]:
        """Return to when a due time is put off by what `stood` tells; and whether every work day between is announced."""
        if not stood:
            return due, True
        match limit.unit:
            case "work_hours":
                return self.calendar.add_office_time(due, stood, counting.office_hours)
            case "work_days" if not counting.in_whole_days:
                return self.calendar.add_office_time(due, stood, ROUND_THE_CLOCK)
            case "work_days":
                end, complete = self.calendar.add_work_days(
                    due - 1, stood
                )  # midnight is the end of a day, not the next one
                return end + 1, complete
            case "days" if counting.in_whole_days:
                return due + stood * DAY, True
        return due + stood, True


def _still_open(instant: int, counting: Counting) -> int:
    """Return the instant; of one whose day is over for a limit, an instant of the next day."""
    return instant if _closed(instant, counting) > instant else start_of_day(instant, 1)


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
