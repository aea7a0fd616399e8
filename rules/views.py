"""What facts look at: a lineage's history at an instant, and the pieces of it that facts count. The facts themselves are in facts.py."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from models.times import DAY, format_instant
from rules import deadlines, waiting
from rules.calendar import add_work_days
from rules.event import Event
from rules.history import Deadline, Holding, Lineage, Return, Visit
from rules.repeats import Repeat, counts_as_complaint
from rules.texts import Telling, telling


class View:
    """What facts are computed from: the history, the repeat facts from the citizens' tables, and the instant."""

    __slots__ = ("_telling", "lineage", "now", "reached", "repeats")

    def __init__(self, lineage: Lineage, repeats: Mapping[str, Repeat], now: int) -> None:
        self.lineage = lineage
        self.repeats = repeats
        self.now = now
        self.reached = [(deadline, deadlines.reached(deadline, now)) for deadline in lineage.deadlines]
        self._telling: Telling | None = None

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
    return [*ends, *(event for deadline in view.lineage.deadlines for event, _ in deadline.moved)]


def at_deadline(deadline: Deadline, instant: int) -> Cause:
    """Return the cause that a limit reached something at an instant."""
    return Cause(instant, f"deadline:{deadline.event.event_id}:{format_instant(instant)}")


def near_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield when limits came near."""
    for deadline, found in view.reached:
        if found.near:
            yield at_deadline(deadline, deadlines.near_at(deadline))


def overdue_causes(view: View, _: int) -> Iterable[Cause]:
    """Yield when limits passed."""
    for deadline, found in view.reached:
        if found.overdue:
            yield at_deadline(deadline, found.overdue_since)


def work_day_causes(view: View, days: int) -> Iterable[Cause]:
    """Yield when limits had been passed by so many work days."""
    for deadline, found in view.reached:
        if found.overdue and found.work_days >= days:
            yield at_deadline(deadline, add_work_days(found.overdue_since, days)[0])


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
