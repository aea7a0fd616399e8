"""How far a time limit has run: near, overdue, overdue by so many work days; not accepted, so many times over.

A limit is near at the later of a fifth of its time left and one day left; overdue at its due time. A return that was not denied, a
recall or the end of the citizen's wait ends it at that instant, and what was reached by then stays; resolved in time, nothing of it
stays. An approved extension moves the due time; what was *over*due before the extension was approved stays overdue until it is resolved.
Asked by announced days alone, a limit that was reckoned with days that nobody has announced has reached nothing.
"""

from typing import NamedTuple

from models.ticket_event import EventType as E
from models.times import DAY
from rules.calendar import Calendar
from rules.history import Acceptance, Deadline, Lineage
from rules.stopping import NEVER

NEAR_SHARE = 5  # a fifth of the time is left
NEAR_TIME = DAY
MOST_TIMES = 9
"""a limit that has passed so many times over is not counted further"""


class Reached(NamedTuple):
    """What of a limit was reached by an instant."""

    near: bool
    overdue: bool
    work_days: int
    announced_days: int
    """of these, the work days that have been announced: only they can make a warning red"""
    overdue_since: int


_NOTHING = Reached(False, False, 0, 0, 0)


def near_at(start: int, due: int) -> int:
    """Return the instant from which a limit is near."""
    left = max(due - start, 0)
    return max(due - left // NEAR_SHARE, due - NEAR_TIME, start)


def near_since(deadline: Deadline) -> int:
    """Return the instant from which a limit is near, whose clock may have stood."""
    if not deadline.runs_since:
        return near_at(deadline.start, deadline.due)
    return max(near_at(deadline.start + deadline.stood, deadline.due), deadline.runs_since)


def reached(deadline: Deadline, now: int, calendar: Calendar, *, announced: bool = False) -> Reached:
    """Return what the limit has reached at an instant; `announced`: as far as announced days alone bear it out."""
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
    spans = [(one.due, one.event.at - 1, one.incomplete) for one in deadline.moved]
    for due, until, incomplete in (*spans, (deadline.due, last, deadline.incomplete)):
        end = min(until, last)
        if due <= end and not (announced and incomplete):
            sure = 0 if incomplete else calendar.announced_work_days_between(due, end)
            days = sure if announced else calendar.work_days_between(due, end)[0]
            if not best.overdue or days > best.work_days:
                best = Reached(True, True, days, sure, due)
    if best.overdue or deadline.resolved_later or (announced and deadline.incomplete):
        return best
    return Reached(True, False, 0, 0, 0) if last >= near_since(deadline) else best


def wakes(deadline: Deadline, work_days: tuple[int, ...], calendar: Calendar) -> list[int]:
    """Return the instants at which the limit reaches something new: near, due, and so many work days after."""
    if deadline.ended_at is not None:
        return []
    due = deadline.due
    if due == NEVER:  # its clock stands; that this ran over the time at which it was due is a fact about the suspension
        return [deadline.moved[-1].due]
    return [near_since(deadline), due, *(calendar.add_work_days(due, days)[0] for days in work_days)]


def acceptance_due(lineage: Lineage, one: Acceptance, times: int) -> tuple[int, bool]:
    """Return when the time for acceptance has passed so many times over, and whether announced days alone say so."""
    if times == 1:
        return one.due, not one.incomplete
    return lineage.reckoning.after(one.event.at, one.limit, one.profile.counting, times)


def times_passed(lineage: Lineage, one: Acceptance, now: int, *, announced: bool = False) -> int:
    """Return how many times over the time for acceptance had passed without it, up to nine."""
    last = now if one.ended_at is None else min(now, one.ended_at - 1)
    times = 0
    while times < MOST_TIMES:
        due, sure = acceptance_due(lineage, one, times + 1)
        if due > last or (announced and not sure):
            break
        times += 1
    return times


def acceptance_wakes(lineage: Lineage, one: Acceptance, times: tuple[int, ...]) -> list[int]:
    """Return the instants at which the time for acceptance has passed once, and so many times over."""
    if one.ended_at is not None:
        return []
    return [acceptance_due(lineage, one, number)[0] for number in {1, *times} if number <= MOST_TIMES]
