"""How far a time limit has run: near, overdue, overdue by so many work days.

A limit is near at the later of a fifth of its time left and one day left; overdue at its due time. A return that was not denied, a
recall or the end of the citizen's wait ends it at that instant, and what was reached by then stays; resolved in time, nothing of it
stays. An approved extension moves the due time; what was *over*due before the extension was approved stays overdue until it is resolved.
"""

from typing import NamedTuple

from models.ticket_event import EventType as E
from models.times import DAY
from rules.calendar import add_work_days, announced_work_days_between, work_days_between
from rules.history import Deadline

NEAR_SHARE = 5  # a fifth of the time is left
NEAR_TIME = DAY


class Reached(NamedTuple):
    """What of a limit was reached by an instant."""

    near: bool
    overdue: bool
    work_days: int
    announced_days: int
    """of these, the work days that have been announced: only they can make a warning red"""
    overdue_since: int


_NOTHING = Reached(False, False, 0, 0, 0)


def near_at(deadline: Deadline) -> int:
    """Return the instant from which the limit is near."""
    start = deadline.event.at
    left = max(deadline.due - start, 0)
    return max(deadline.due - left // NEAR_SHARE, deadline.due - NEAR_TIME, start)


def reached(deadline: Deadline, now: int) -> Reached:
    """Return what the limit has reached at an instant."""
    ended = deadline.ended_at
    if (
        ended is not None
        and deadline.ended_by is not None
        and deadline.ended_by.type == E.RESOLVED
        and ended <= deadline.due
    ):
        return _NOTHING
    last = now if ended is None else min(now, ended - 1)
    best = _NOTHING
    for due, until in [*((old_due, event.at - 1) for event, old_due in deadline.moved), (deadline.due, last)]:
        if due <= min(until, last):
            days, _ = work_days_between(due, min(until, last))
            if not best.overdue or days > best.work_days:
                announced = 0 if deadline.incomplete else announced_work_days_between(due, min(until, last))
                best = Reached(True, True, days, announced, due)
    if not best.overdue and not deadline.resolved_later and last >= near_at(deadline):
        return Reached(True, False, 0, 0, 0)
    return best


def wakes(deadline: Deadline, work_days: tuple[int, ...]) -> list[int]:
    """Return the instants at which the limit reaches something new: near, due, and so many work days after."""
    if deadline.ended_at is not None:
        return []
    return [near_at(deadline), deadline.due, *(add_work_days(deadline.due, days)[0] for days in work_days)]
