"""What facts look at: a lineage's history at an instant, and the pieces of it that facts count. The facts themselves are in facts.py."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from models.times import DAY, format_instant
from rules import clocks, deadlines, sham, waiting
from rules.event import Event
from rules.history import Holding, Lineage, Return, Trick, Visit
from rules.repeats import Repeat, RepeatedComplaint, counts_as_complaint
from rules.texts import Telling, telling


class View:
    """What facts are computed from: the history, the repeat facts from the citizens' tables, and the instant.

    With `announced` they are what announced work days alone bear out: a limit that was reckoned with others counts for nothing.
    """

    __slots__ = ("_telling", "announced", "lineage", "not_accepted", "now", "reached", "repeats")

    def __init__(self, lineage: Lineage, repeats: Mapping[str, Repeat], now: int, *, announced: bool = False) -> None:
        self.lineage = lineage
        self.repeats = repeats
        self.now = now
        self.announced = announced
        calendar = lineage.reckoning.calendar
        self.reached = [(one, deadlines.reached(one, now, calendar, announced=announced)) for one in lineage.deadlines]
        self.not_accepted = [
            (one, deadlines.times_passed(lineage, one, now, announced=announced)) for one in lineage.acceptances
        ]
        self._telling: Telling | None = None

    @property
    def unsure(self) -> bool:
        """Return whether any limit was reckoned with a work day that is not announced, or has been passed by one."""
        lineage = self.lineage
        if any(found.work_days != found.announced_days for _, found in self.reached):
            return True
        if any(times and not deadlines.acceptance_due(lineage, one, times)[1] for one, times in self.not_accepted):
            return True
        return lineage.incomplete and (
            any(one.incomplete or any(moved.incomplete for moved in one.moved) for one in lineage.deadlines)
            or any(one.incomplete for one in lineage.acceptances)
            or any(one.incomplete for one in lineage.returns)
            or any(one.incomplete for one in (*lineage.extended_late, *lineage.undone))
        )

    @property
    def telling(self) -> Telling:
        """Return what the citizens' words tell of, by category."""
        if self._telling is None:
            self._telling = telling(self.lineage)
        return self._telling


class Cause(NamedTuple):
    """What brought a fact about: an event's id or `deadline:<event_id>:<instant>`, and when."""

    at: int
    trigger: str


def counted(view: View) -> list[Return]:
    """Return the returns that count: all not denied."""
    return [one for one in view.lineage.returns if not one.denied]


def asked(returns: Iterable[Return]) -> list[Event]:
    """Return the events with which units asked to return."""
    return [one.event for one in returns]


def blind(view: View, missing: int = 1) -> list[Return]:
    """Return the returns said to lack at least so many items."""
    return [one for one in view.lineage.returns if one.missing >= missing]


def owned(view: View) -> list[Return]:
    """Returns of units whose matter it is in the end: designated to them, or their return denied."""
    designated = view.lineage.designations[-1].unit if view.lineage.designations else None
    return [one for one in view.lineage.returns if one.denied or (designated is not None and one.unit == designated)]


def owned_events(view: View) -> list[Event]:
    """Return what bears out that a blind return was of a matter of one's own."""
    lacking = [one for one in owned(view) if one.missing]
    decisions = [one.decision for one in lacking if one.denied and one.decision]
    return [*asked(lacking), *decisions, *view.lineage.designations[-1:]]


def dissatisfied(view: View) -> list[Visit]:
    """Return the visits with a dissatisfied result."""
    return [visit for visit in view.lineage.visits if visit.dissatisfied]


def complaining(view: View, *, after_redo: bool = False) -> list[Visit]:
    """Dissatisfied visits, less those of a demand found unreasonable and reviewed."""
    tickets = view.lineage.tickets
    return [
        visit
        for visit in dissatisfied(view)
        if not tickets[visit.event.ticket_id].unreasonable_reviewed and (visit.after_redo or not after_redo)
    ]


def visited(visits: Iterable[Visit]) -> list[Event]:
    """Return the visits' events."""
    return [visit.event for visit in visits]


def unreasonable(view: View) -> list[Event]:
    """Return the resolutions that found a demand unreasonable."""
    return [ticket.unreasonable for ticket in view.lineage.tickets.values() if ticket.unreasonable]


def repeat_count(view: View) -> int:
    """Return how often the citizen complained about the matter; the lineage's own complaint is the first."""
    if view.repeats and (told := max(repeat.count for repeat in view.repeats.values())):
        return told
    lineage = view.lineage
    if lineage.complains is None:
        lineage.complains = any(counts_as_complaint(ticket) for ticket in lineage.tickets.values())
    return int(lineage.complains)


def repeat_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield the complaints that count."""
    for repeat in view.repeats.values():
        for complaint in repeat.complaints:
            yield Cause(complaint.at, complaint.event_id)


def deadline_events(view: View) -> list[Event]:
    """Return what laid the limits that are near or passed."""
    return [deadline.event for deadline, found in view.reached if found.near]


def deadline_ends(view: View) -> list[Event]:
    """Return what ended limits or moved them."""
    ends = [deadline.ended_by for deadline in view.lineage.deadlines if deadline.ended_by]
    moves = [moved.event for deadline in view.lineage.deadlines for moved in deadline.moved]
    return [*ends, *moves, *(clocks.run_on(view.lineage) if view.lineage.stoppable else ())]


def at_deadline(event: Event, instant: int) -> Cause:
    """Return the cause that what an event began reached something at an instant."""
    return Cause(instant, f"deadline:{event.event_id}:{format_instant(instant)}")


def near_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield when limits came near."""
    for deadline, found in view.reached:
        if found.near:
            yield at_deadline(deadline.event, deadlines.near_since(deadline))


def overdue_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield when limits passed."""
    for deadline, found in view.reached:
        if found.overdue:
            yield at_deadline(deadline.event, found.overdue_since)


def tell_due(view: View) -> str:
    """Return how far the worst limit has run, in Chinese."""
    days = max((found.work_days for _, found in view.reached), default=0)
    if any(found.overdue for _, found in view.reached):
        return f"办理时限已过{days}个工作日" if days else "办理时限已到,未见办结"
    return "办理时限临近"


def work_day_causes(view: View, days: int) -> Iterable[Cause]:
    """Yield when limits had been passed by so many work days."""
    for deadline, found in view.reached:
        if found.overdue and found.work_days >= days:
            calendar = view.lineage.reckoning.calendar
            yield at_deadline(deadline.event, calendar.add_work_days(found.overdue_since, days)[0])


def late_returns(view: View, times: int = 1) -> list[Return]:
    """Return the returns that were asked for when the time allowed for it had passed, so many times over."""
    return [
        one for one in view.lineage.returns if one.limits_passed >= times and not (view.announced and one.incomplete)
    ]


def last_minute_returns(view: View) -> list[Return]:
    """Return the denied returns that were asked for when the handling limit was all but over."""
    return [
        one
        for one in view.lineage.returns
        if one.last_minute and one.denied and not (view.announced and one.incomplete)
    ]


def last_minute_events(view: View) -> list[Event]:
    """Return what bears out a return in the last minute: asking, and the denial."""
    found = last_minute_returns(view)
    return [*asked(found), *(one.decision for one in found if one.decision)]


def late_causes(view: View, times: int) -> Iterable[Cause]:
    """Yield the returns that were so many times over late."""
    for one in late_returns(view, max(times, 1)):
        yield Cause(one.event.at, one.event.event_id)


def not_accepted_events(view: View) -> list[Event]:
    """Return the dispatches that nobody accepted in time."""
    return [one.event for one, times in view.not_accepted if times]


def acceptances(view: View) -> list[Event]:
    """Return what ended the wait for an acceptance."""
    return [one.ended_by for one in view.lineage.acceptances if one.ended_by]


def acceptance_causes(view: View, times: int) -> Iterable[Cause]:
    """Yield when the time for acceptance had passed so many times over."""
    for one, passed in view.not_accepted:
        if passed >= max(times, 1):
            yield at_deadline(one.event, deadlines.acceptance_due(view.lineage, one, max(times, 1))[0])


def urgent_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield when the time for acceptance of an urgent ticket had passed."""
    for one, passed in view.not_accepted:
        if passed and one.urgent:
            yield at_deadline(one.event, one.due)


def complained_again(view: View) -> list[RepeatedComplaint]:
    """Return the complaints of the same citizen and matter within days after a resolution."""
    return sham.complained_again(view.lineage, view.repeats.values())


def again_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield the complaints that were made again."""
    for one in complained_again(view):
        yield Cause(one.at, one.event_id)


def again_events(view: View) -> list[Event]:
    """Return the resolutions after which the citizen complained again."""
    lineage = view.lineage
    found = [sham.resolution_before(lineage, one.at) for one in complained_again(view)]
    return [one for one in found if one is not None]


def sign_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield what brought the signs of a sham resolution."""
    yield from again_causes(view, 0)
    for event in (*view.lineage.uncontacted, *view.lineage.hasty):
        yield Cause(event.at, event.event_id)


def sign_events(view: View) -> list[Event]:
    """Return the resolutions and visits that show signs of a sham resolution."""
    return [*again_events(view), *view.lineage.uncontacted, *view.lineage.hasty]


def both(tricks: Iterable[Trick]) -> list[Event]:
    """Return the events of some tricks: what was, and what was done."""
    return [event for trick in tricks for event in (trick.before, trick.after)]


def borne_out(view: View, tricks: Iterable[Trick]) -> list[Trick]:
    """Return those of some tricks that count: asked by announced work days alone, not those with a limit that was reckoned with others."""
    return [one for one in tricks if not (view.announced and one.incomplete)]


def suspended_over_due(view: View) -> list[Trick]:
    """Return the suspensions that ran over the due time of a limit that was near."""
    return borne_out(view, clocks.suspended_over_due(view.lineage, view.now))


def clock_ends(view: View) -> list[Event]:
    """Return what began and ended the times that the units' clock counts or leaves out."""
    lineage = view.lineage
    spans = (*lineage.holdings, *lineage.again, *lineage.pauses)
    return [event for one in spans for event in (one.since, one.until) if event]


def clock_causes(clock: Callable[[Lineage, int], clocks.Clock]) -> Callable[[View, int], Iterable[Cause]]:
    """Return what yields when a clock came to a number of days: the last event that let it run, or as time passed since."""

    def causes(view: View, days: int) -> Iterable[Cause]:
        found = clock(view.lineage, view.now)
        event = view.lineage.events[-1]
        instant = view.now - (found.time - days * DAY)
        if found.running_since is not None and instant > event.at:
            yield at_deadline(event, instant)
        else:
            yield Cause(event.at, event.event_id)

    return causes


def waiting_causes(view: View, days: int) -> Iterable[Cause]:
    """Yield what brought the wait to so many days."""
    found = waiting.reached_by(view.lineage, days)
    if found is not None:
        yield Cause(found[1], found[0])


def registrations(view: View) -> list[Event]:
    """Return the registrations of the lineage's tickets."""
    return [ticket.registered for ticket in view.lineage.tickets.values() if ticket.registered]


def waiting_events(view: View) -> list[Event]:
    """Return what the wait is told by: its start, its resumptions, and who had the ticket in hand."""
    start = view.lineage.start
    in_hand = [holding.since for holding in view.lineage.holdings]
    return ([start] if start else []) + [span.since for span in view.lineage.waiting[1:]] + in_hand


def waiting_ends(view: View) -> list[Event]:
    """Return what ended the wait."""
    return [span.until for span in view.lineage.waiting if span.until]


def longest_holding(view: View) -> int:
    """Only closed holdings: what one unit had in hand is known when it has let go."""
    spans = [one.until.at - one.since.at for one in view.lineage.holdings if one.until]
    return max(spans, default=0) // DAY


def event_of(one: Event | Visit | Holding) -> Event:
    """Return the event of a piece of history."""
    match one:
        case Visit(event=event):
            return event
        case Holding(since=event):
            return event
        case _:
            return one
