"""Time limits in the fold: how they are laid, moved and ended, and what units do to the clocks.

A lead dispatch, a redo and a rejected review lay a limit on a unit: the due time or the limit that the event carries, else the city's.
Where the city sets them, a dispatch also has a time for acceptance and a time for handing back. What ends, moves or undoes a limit is said
here; how far it has run at an instant, in deadlines.py.
"""

from models.ticket_event import EventType as E
from models.times import DAY, MINUTE
from rules.deadlines import MOST_TIMES, near_since
from rules.event import Event
from rules.history import Acceptance, Deadline, Ending, Holding, Lineage, Moved, Return, Stop, Stoppable, Ticket, Trick
from rules.lifecycle import LEADS_TO, State
from rules.limits import Kind, Limit, Profile
from rules.stopping import reckon

HASTY_TIME = 30 * MINUTE
UNDONE_TIME = 7 * DAY
LAST_MINUTE_SHARE = 10
"""a return is asked for in the last minute where less than a tenth of the handling limit is left"""

_URGENT = frozenset({"urgent", "critical"})
# What is asked for and decided about the time of a suspended ticket does not resume it.
_ABOUT_TIME = frozenset({E.EXTENSION_REQUESTED, E.EXTENSION_APPROVED, E.EXTENSION_DENIED})
# A unit that starts to work, or says why it will not, has taken the ticket in hand.
ACCEPTING = frozenset(
    {
        E.ACCEPTED,
        E.CONTACTED,
        E.SITE_CHECKED,
        E.PROGRESS,
        E.SUB_DISPATCHED,
        E.EXTENSION_REQUESTED,
        E.SUSPENDED,
        E.RETURN_REQUESTED,
        E.RESOLVED,
    }
)


def lay(lineage: Lineage, ticket: Ticket, event: Event, kind: Kind) -> None:
    """Lay the limit of a dispatch, a redo or a rejected review: what the event carries, else what the city sets."""
    data, reckoning = event.data, lineage.reckoning
    profile = _profile(lineage, ticket)
    deadline: Deadline | None = None
    if (due := data.get("due")) is not None:
        deadline = Deadline(event, event.unit, event.at, due, bool(data.get("calendar_incomplete")))
    elif (days := data.get("work_days")) is not None:
        due, complete = reckoning.calendar.add_work_days(event.at, days)
        deadline = Deadline(event, event.unit, event.at, due, not complete, Limit(days, "work_days"))
    elif profile is not None and (limit := profile.limit(kind, ticket.request_type, ticket.urgency)) is not None:
        due, complete = reckoning.after(event.at, limit, profile.counting)
        deadline = Deadline(event, event.unit, event.at, due, not complete, limit, profile)
        if profile.counting.suspension_stops or profile.counting.denied_return_stops:
            deadline.stoppable = Stoppable(due, not complete)
            lineage.stoppable = True
    if deadline is not None:
        lineage.deadlines.append(deadline)
        lineage.incomplete |= deadline.incomplete
    if profile is not None and kind == "handling":
        _await_acceptance(lineage, ticket, event, profile, deadline)


def _profile(lineage: Lineage, ticket: Ticket) -> Profile | None:
    limits = lineage.reckoning.limits
    return limits.profile_for(ticket.place.get("district")) if limits.any else None


def _await_acceptance(
    lineage: Lineage, ticket: Ticket, event: Event, profile: Profile, deadline: Deadline | None
) -> None:
    for other in lineage.acceptances:
        # Who is not asked any more need not accept.
        if other.ended_at is None and other.unit != event.unit and of_same(lineage, ticket, other.event):
            _end_acceptance(lineage, other, event)
    limit = profile.limit("acceptance", ticket.request_type, ticket.urgency)
    if limit is None:
        return
    due, complete = lineage.reckoning.after(event.at, limit, profile.counting)
    urgent = ticket.urgency in _URGENT
    acceptance = Acceptance(event, event.unit, limit, profile, urgent, due, not complete)
    lineage.acceptances.append(acceptance)
    lineage.awaited += 1
    lineage.incomplete |= acceptance.incomplete
    if deadline is not None and deadline.profile is not None and profile.counting.from_acceptance:
        acceptance.starts = deadline
        _start(lineage, deadline, due, acceptance.incomplete)  # not accepted in time counts as accepted then


def _start(lineage: Lineage, deadline: Deadline, start: int, incomplete: bool) -> None:
    assert deadline.limit is not None
    assert deadline.profile is not None
    deadline.start = start
    deadline.due, complete = lineage.reckoning.after(start, deadline.limit, deadline.profile.counting)
    deadline.incomplete = incomplete or not complete
    lineage.incomplete |= deadline.incomplete
    if deadline.stoppable is not None:
        deadline.stoppable.due, deadline.stoppable.incomplete = deadline.due, deadline.incomplete
        _reckon(lineage, deadline)


def _reckon(lineage: Lineage, deadline: Deadline) -> None:
    reckon(lineage.reckoning, deadline)
    lineage.incomplete |= deadline.incomplete


def accept(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """Take it that the event's unit has the ticket in hand."""
    for one in lineage.acceptances:
        if one.ended_at is None and concerns(lineage, ticket, one.event, one.unit, event.unit):
            _end_acceptance(lineage, one, event)
            if one.starts is not None and event.at < one.due and not one.starts.moved:
                _start(lineage, one.starts, event.at, incomplete=False)


def _end_acceptance(lineage: Lineage, acceptance: Acceptance, event: Event) -> None:
    acceptance.ended_at, acceptance.ended_by = event.at, event
    lineage.awaited -= 1


def extend(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """Move what an approved extension moves; remember one that was asked for when the limit had passed."""
    asked = [one for one in lineage.extensions_asked if event.unit is None or one.unit == event.unit]
    running = [one for one in lineage.deadlines if _may_move(lineage, ticket, one)]
    theirs = [one for one in running if event.unit is None or one.unit is None or one.unit == event.unit]
    moving = theirs or running[-1:]
    since = asked[-1] if asked else event
    late = min((one for one in moving if _was_due(one, since.at)), key=lambda one: one.incomplete, default=None)
    if late is not None:
        lineage.extended_late.append(Trick(late.event, event, late.incomplete))
    until = event.data.get("until") or (asked[-1].data.get("until") if asked else None)
    if until is None:
        return
    for deadline in moving:
        if deadline.stoppable is not None:
            deadline.stoppable.extensions.append((event, until))
            _reckon(lineage, deadline)
        elif deadline.due < until:
            deadline.moved.append(Moved(event, deadline.due, deadline.incomplete))
            deadline.due, deadline.incomplete = until, False


def _was_due(deadline: Deadline, instant: int) -> bool:
    """Tell whether a limit had passed by an instant; while a return is open whose denial lets the clock stand, it does not pass."""
    stands = deadline.profile is not None and deadline.profile.counting.denied_return_stops
    if stands and deadline.ended_at is not None:
        instant = min(instant, deadline.ended_at)
    return deadline.due <= instant


def _may_move(lineage: Lineage, ticket: Ticket, deadline: Deadline) -> bool:
    """An extension moves what runs, and what runs on if the return that has ended it is denied."""
    if not of_same(lineage, ticket, deadline.event):
        return False
    if deadline.ended_by is None:
        return True
    return any(one.event is deadline.ended_by and one.decision is None for one in lineage.returns)


def time_return(lineage: Lineage, ticket: Ticket, one: Return) -> None:
    """Note how late a unit asks to return a ticket: by the city's time for returns, and by what is left of its handling limit."""
    event, reckoning = one.event, lineage.reckoning
    profile = _profile(lineage, ticket)
    handed_out = _handed_out(lineage, ticket, one.unit)
    if profile is None or handed_out is None:
        return
    limit = profile.limit("returning", ticket.request_type, ticket.urgency)
    if limit is None:
        return
    while one.limits_passed < MOST_TIMES:
        due, complete = reckoning.after(handed_out, limit, profile.counting, one.limits_passed + 1)
        one.allowed_until = one.allowed_until or due
        one.incomplete |= not complete
        if event.at <= due:
            break
        one.limits_passed += 1
    calendar = reckoning.calendar
    for deadline in lineage.deadlines:
        if deadline.ended_at is None and concerns(lineage, ticket, deadline.event, deadline.unit, one.unit):
            due = deadline.due - deadline.stood  # the time for which its clock stood is no part of it
            left, whole = deadline.due - event.at, due - deadline.start
            work_left = calendar.time_on_work_days(event.at, deadline.due)
            work_whole = calendar.time_on_work_days(deadline.start, due)
            # By both clocks: neither a holiday nor a night makes a return a late one.
            if left * LAST_MINUTE_SHARE < max(whole, 1) and work_left * LAST_MINUTE_SHARE < max(work_whole, 1):
                one.last_minute = True
                one.incomplete |= deadline.incomplete
    lineage.incomplete |= one.incomplete


def _handed_out(lineage: Lineage, ticket: Ticket, unit: str | None) -> int | None:
    """Return since when a unit could have handed the ticket back: since it got it, or since its last return was denied."""
    found = [
        one.since.at
        for one in (*lineage.holdings, *lineage.again)
        if concerns(lineage, ticket, one.since, one.unit, unit)
    ]
    denied = [one.decision.at for one in lineage.returns if one.denied and one.decision and one.unit == unit]
    return max(found + denied) if found else None


def reopen_after_denial(lineage: Lineage, asked: Return) -> None:
    """Let a unit whose return was denied have had its limits all along: they ran on until something else ended them."""
    later = next((index + 1 for index, one in enumerate(lineage.endings) if one.asked is asked), 0)
    for deadline in lineage.deadlines:
        if deadline.ended_by is asked.event:
            deadline.ended_at = deadline.ended_by = None
            for ending in lineage.endings[later:]:
                if not (ending.asked and ending.asked.denied) and _ends(lineage, ending, deadline):
                    deadline.ended_at, deadline.ended_by = ending.event.at, ending.event
                    break
    _reckon_stops_of(lineage, asked)


def end_after_all(lineage: Lineage, asked: Return) -> None:
    """Let a return that was denied at first and then approved have ended the unit's limits when it was asked for."""
    place, ending = next((index, one) for index, one in enumerate(lineage.endings) if one.asked is asked)
    earlier = [one.event for one in lineage.endings[:place]]
    for deadline in lineage.deadlines[: ending.laid]:
        if _ends(lineage, ending, deadline) and not any(deadline.ended_by is event for event in earlier):
            deadline.ended_at, deadline.ended_by = asked.event.at, asked.event
    _reckon_stops_of(lineage, asked)


def _reckon_stops_of(lineage: Lineage, asked: Return) -> None:
    if lineage.stoppable:
        for deadline in lineage.deadlines:
            if deadline.stoppable is not None and any(one.asked is asked for one in deadline.stoppable.stops):
                _reckon(lineage, deadline)


def suspend(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """Let the clocks of the unit's limits stand from its suspension on, where the city says so."""
    if lineage.stoppable and _stop(lineage, ticket, stop := Stop(event, event.unit)):
        lineage.suspended.append(stop)


def _stop(lineage: Lineage, ticket: Ticket, stop: Stop) -> bool:
    """Note a stop with the limits that it concerns, and tell whether there are any."""
    found = False
    for deadline in lineage.deadlines:
        if deadline.stoppable is None or deadline.profile is None:
            continue
        counting = deadline.profile.counting
        stops = counting.suspension_stops if stop.asked is None else counting.denied_return_stops
        if stops and concerns(lineage, ticket, deadline.event, deadline.unit, stop.unit):
            deadline.stoppable.stops.append(stop)
            _reckon(lineage, deadline)
            found = True
    return found


def run_on(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """Let the clocks run on that stand for a suspension, where an event of the unit, or of nobody named, leads the ticket elsewhere.

    Not only `resumed` does: who works on what is suspended has resumed it, and what is taken away is suspended no longer.
    """
    if event.type in _ABOUT_TIME or LEADS_TO.get(event.type, State.SUSPENDED) is State.SUSPENDED:
        return
    if event.type == E.MERGED and ticket.ticket_id in (lineage.root, event.data["into"]):
        return  # which is refused, or ends the case
    for stop in [one for one in lineage.suspended if concerns(lineage, ticket, one.since, one.unit, event.unit)]:
        stop.until = event
        lineage.suspended.remove(stop)
        for deadline in lineage.deadlines:
            if deadline.stoppable is not None and stop in deadline.stoppable.stops:
                _reckon(lineage, deadline)


def end_deadlines(lineage: Lineage, ending: Ending) -> None:
    """End the limits that a return, a recall or a stop of the ticket ends, and the acceptances."""
    ending.laid = len(lineage.deadlines)
    if ending.asked is not None and lineage.stoppable:
        _stop(lineage, lineage.tickets[ending.event.ticket_id], Stop(ending.event, ending.unit, asked=ending.asked))
    lineage.endings.append(ending)
    for deadline in lineage.deadlines:
        if deadline.ended_at is None and _ends(lineage, ending, deadline):
            deadline.ended_at, deadline.ended_by = ending.event.at, ending.event
    if lineage.awaited:
        for one in lineage.acceptances:
            if one.ended_at is None and _ends(lineage, ending, one):
                _end_acceptance(lineage, one, ending.event)


def _ends(lineage: Lineage, ending: Ending, laid: Deadline | Acceptance) -> bool:
    ticket = lineage.tickets[ending.event.ticket_id]
    if ending.stops:  # the whole lineage by its root, else the ticket itself
        return ticket.ticket_id == lineage.root or laid.event.ticket_id == ticket.ticket_id
    return concerns(lineage, ticket, laid.event, laid.unit, ending.unit)


def end_holding(lineage: Lineage, ticket: Ticket, event: Event, unit: str | None) -> None:
    """Let a unit, or all, have the ticket in hand no longer; what it had suspended is over too."""
    for spans in (lineage.holdings, lineage.again, lineage.pauses):
        for span in spans:
            if span.until is None and concerns(lineage, ticket, span.since, span.unit, unit):
                span.until = event


def note_resolution(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """Remember a resolution that came in no time with nobody contacted, and one that came when a limit was near. Before limits end."""
    held = [
        one.since
        for one in (*lineage.holdings, *lineage.again)
        if one.until is None and concerns(lineage, ticket, one.since, one.unit, event.unit)
    ]
    if held:
        since = max(one.at for one in held)
        contacted = any(one.at >= since and of_same(lineage, ticket, one) for one in lineage.contacts)
        if since <= event.at < since + HASTY_TIME and not contacted:
            lineage.hasty.append(event)
    near = [
        one.incomplete
        for one in lineage.deadlines
        if one.ended_at is None
        and near_since(one) <= event.at <= one.due
        and _ends(lineage, Ending(event, None, stops=True), one)
    ]
    if near:
        lineage.closed_near = event, all(near)


def note_undone(lineage: Lineage, event: Event) -> None:
    """Remember that a resolution that came when a limit was near did not hold."""
    if lineage.closed_near is not None:
        closed, incomplete = lineage.closed_near
        if closed.at <= event.at <= closed.at + UNDONE_TIME:
            lineage.undone.append(Trick(closed, event, incomplete))
    lineage.closed_near = None


def note_recall(lineage: Lineage, event: Event) -> None:
    """Remember from whom the ticket was taken."""
    lineage.recalled[event.unit] = event


def note_handing_out(lineage: Lineage, event: Event) -> None:
    """Remember where a unit gets the ticket again that it was taken from, with nobody else in between: its clock starts anew."""
    recall = lineage.recalled.get(event.unit)
    if recall is not None and event.unit is not None:
        lineage.handed_back.append(Trick(recall, event))
    lineage.recalled.clear()


def take_again(lineage: Lineage, event: Event) -> None:
    """Let a unit have the ticket in hand again, by a redo or a rejected review."""
    unit = event.unit
    if unit is None and lineage.resolutions:
        unit = lineage.resolutions[-1].unit
    lineage.again.append(Holding(unit, event))


def of_same(lineage: Lineage, ticket: Ticket, event: Event) -> bool:
    """Tell whether an earlier event is this ticket's own, or of one that is merged with it."""
    if event.ticket_id == ticket.ticket_id:
        return True
    return all(
        one.merged is not None or one.ticket_id == lineage.root for one in (ticket, lineage.tickets[event.ticket_id])
    )


def concerns(lineage: Lineage, ticket: Ticket, since: Event, one: str | None, unit: str | None) -> bool:
    """Tell whether what began with an event of one unit is a matter of the ticket and of another unit; an unnamed unit is any."""
    same_unit = unit is None or one is None or one == unit
    return same_unit and of_same(lineage, ticket, since)
