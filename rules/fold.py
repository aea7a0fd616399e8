"""The fold: a ticket lineage's events, in their order, become its history.

It is a function of the events and of how time is reckoned, so any arrival order gives the same end. Each event type has one small
function below; what an event means is said there, and what it means for time limits in limiting.py. Of a voided ticket nothing counts; a
merged child's events count as its root's.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from models.ticket_event import EventType as E
from rules import limiting
from rules.event import Event, in_fold_order
from rules.history import Ending, Holding, Lineage, Return, Ticket, Trick, Visit, WaitingSpan
from rules.lifecycle import next_state
from rules.limiting import ACCEPTING, concerns, end_deadlines, end_holding
from rules.reckoning import Reckoning, plain_reckoning
from rules.reference import JOINED, TARGET
from rules.sealing import SEALED
from rules.texts import hear, speaks

DISSATISFIED = frozenset({"dissatisfied", "very_dissatisfied"})
BETTER = frozenset({"very_satisfied", "satisfied", "basically_satisfied", "neutral"})
UNCLEAR_CODES = frozenset({"R3", "R4"})

_AMENDABLE = ("citizens", "request_type", "urgency", "category", "place", "title", "content", "title_asks")


def fold(root: str, events: Iterable[Event], reckoning: Reckoning | None = None, *, ordered: bool = False) -> Lineage:
    """Return the history that the events tell; `root` names the ticket whose case it is, `ordered` that they are in fold order."""
    story = list(events) if ordered else in_fold_order(list(events))
    lineage = Lineage(root, story, reckoning or plain_reckoning())
    tickets = lineage.tickets
    tickets[root] = Ticket(root)
    for event in story:
        ticket = tickets.get(event.ticket_id)
        if ticket is None:
            ticket = tickets[event.ticket_id] = Ticket(event.ticket_id)
        if event.type == E.VOIDED and ticket.voided is None:
            ticket.voided = event
    for event in story:
        _apply(lineage, tickets[event.ticket_id], event)
    return lineage


class Histories:
    """Remembers the histories of tickets lately folded, so that one more event costs one step and not a fold from the start.

    What it returns is changed by the next call for the same ticket: look at it and let it go.
    """

    def __init__(self, size: int = 4_096, reckoning: Reckoning | None = None) -> None:
        self._size = size
        self._reckoning = reckoning
        self._known: dict[str, tuple[tuple[Event, ...], Lineage]] = {}

    def fold(self, root: str, events: tuple[Event, ...]) -> Lineage:
        """Return the history that a single ticket's events, which are in fold order, tell."""
        known = self._known.pop(root, None)  # it comes to the end: what goes first is what was not asked for longest
        lineage = _continued(known, events) if known is not None else None
        if lineage is None:
            lineage = fold(root, events, self._reckoning, ordered=True)
            if known is None and len(self._known) >= self._size:
                for oldest in list(islice(self._known, self._size // 4)):
                    del self._known[oldest]
        self._known[root] = (events, lineage)
        return lineage

    def take_without_effect(self, root: str, events: tuple[Event, ...]) -> bool:
        """Take the last of the events if it leaves every fact as it is, and tell whether that was so.

        It has no step, or one that only later events feel; it is foreseen, awaited by nobody, and the history before is known.
        """
        known = self._known.get(root)
        event = events[-1]
        if known is None or event.type in _WITH_EFFECT or event.test or not _is_next(known[0], events):
            return False
        lineage = known[1]
        if lineage.suspended or (lineage.awaited and event.type in ACCEPTING):
            return False
        if not next_state(lineage.tickets[event.ticket_id].state, event.type)[1]:
            return False
        self._known[root] = (events, _appended(lineage, event))
        return True


def _is_next(before: tuple[Event, ...], events: tuple[Event, ...]) -> bool:
    """Tell whether the events are the very same ones and one more at the end."""
    return len(events) == len(before) + 1 and bool(before) and events[:-1] == before


def _continued(known: tuple[tuple[Event, ...], Lineage], events: tuple[Event, ...]) -> Lineage | None:
    before, lineage = known
    if events is before:
        return lineage
    if not _is_next(before, events) or events[-1].type == E.VOIDED:
        return None  # a voided ticket's history is another from the start
    return _appended(lineage, events[-1])


def _appended(lineage: Lineage, event: Event) -> Lineage:
    lineage.events.append(event)
    _apply(lineage, lineage.tickets[event.ticket_id], event)
    return lineage


def _apply(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    ticket.state, expected = next_state(ticket.state, event.type)
    if not expected:
        ticket.unexpected.append(event)
        lineage.unexpected += 1
    if not ticket.known:
        ticket.known = True
        lineage.known += 1
    if event.unit is not None and event.unit_name:
        lineage.unit_names[event.unit] = event.unit_name
    if event.test:
        ticket.test, lineage.claimed, lineage.complains = True, None, None
    if ticket.voided is not None:
        return
    if lineage.awaited and event.type in ACCEPTING:
        limiting.accept(lineage, ticket, event)
    if lineage.suspended:
        limiting.run_on(lineage, ticket, event)
    step = _STEPS.get(event.type)
    if step is not None:
        if event.type in _CHANGES_CLAIMS:
            lineage.claimed = lineage.complains = None
        step(lineage, ticket, event)


def _registered(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    if ticket.registered is None:
        ticket.registered = event
        if lineage.start is None:
            lineage.start = event
        # A complaint made again on an open or settled matter does not start another wait: the root's counts.
        if ticket.ticket_id == lineage.root or lineage.tickets[lineage.root].registered is None:
            _resume_waiting(lineage, ticket, event)
        repeat_of = event.data.get("repeat_of")
        if repeat_of is not None:
            ticket.links.append(repeat_of)
    _amended(lineage, ticket, event)


def _amended(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    data = event.data
    if data.get("request_type", ticket.request_type) != ticket.request_type and speaks(lineage, ticket):
        lineage.retold.append(event)
    lineage.text_facts = None
    for name in _AMENDABLE:
        if name in data:
            setattr(ticket, name, data[name])
    if event.type == E.AMENDED and "repeat_of" in data:
        ticket.links.append(data["repeat_of"])
    if "target_unit" in data:
        ticket.target_unit = data["target_unit"]
        if (target := data.get(JOINED, {}).get(TARGET)) is not None:
            lineage.unit_names.setdefault(data["target_unit"], target[1])
    if "citizens" in data:
        ticket.identified = event
    if "place" in data or "project" in data:
        ticket.located = event
    for name in ("title", "content"):
        if name in data:
            hear(lineage, ticket, event, name, name)


def _sealed(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """Nothing of a case that was sealed is judged here, and it counts as nobody's complaint."""
    if lineage.sealed is None:
        lineage.sealed, lineage.claimed = event, None


def _linked(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    ticket.links.append(event.data["to"])


def _dispatched(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    if event.data.get("assist"):
        return  # what an assisting unit leaves undone is not the lead's overrun
    limiting.lay(lineage, ticket, event, "handling")
    limiting.note_handing_out(lineage, event)
    if event.unit is not None and any(one.unit == event.unit and not one.denied for one in lineage.returns):
        lineage.ping_pong.append(event)
    lineage.holdings.append(Holding(event.unit, event))


def _recalled(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    end_deadlines(lineage, Ending(event, event.unit))
    end_holding(lineage, ticket, event, event.unit)
    limiting.note_recall(lineage, event)


def _return_requested(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    data = event.data
    asked = event.type == E.RETURN_REQUESTED
    designated = lineage.designations[-1].unit if lineage.designations else None
    lineage.returns.append(
        Return(
            event,
            event.unit,
            missing=sum(data.get(item) is False for item in ("contacted", "site_checked", "evidence")),
            after_designation=designated is not None and event.unit == designated,
            after_denial=asked and event.unit is not None and event.unit in lineage.denied_units,
            handed_out_before=len(lineage.holdings),
        )
    )
    if asked:
        limiting.time_return(lineage, ticket, lineage.returns[-1])
    end_deadlines(lineage, Ending(event, event.unit, lineage.returns[-1]))


def _decided_return(lineage: Lineage, ticket: Ticket, event: Event) -> Return | None:
    """Return what a decision is about: the first open request, else the last return, unless the unit got the ticket again since."""
    theirs = [one for one in lineage.returns if concerns(lineage, ticket, one.event, one.unit, event.unit)]
    for one in theirs:
        if one.decision is None:
            return one
    last = theirs[-1] if theirs else None
    if last is not None and all(holding.unit != last.unit for holding in lineage.holdings[last.handed_out_before :]):
        return last
    return None


def _return_approved(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    asked = _decided_return(lineage, ticket, event)
    if asked is None:
        _return_requested(lineage, ticket, event)
        asked = lineage.returns[-1]
    denied, asked.decision, asked.denied = asked.denied, event, False
    if denied:
        limiting.end_after_all(lineage, asked)
    end_holding(lineage, ticket, event, asked.unit)


def _return_denied(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.denials.append(event)
    asked = _decided_return(lineage, ticket, event)
    lineage.denied_units.add(event.unit if asked is None else asked.unit)
    if asked is None:
        return
    asked.decision, asked.denied = event, True
    limiting.reopen_after_denial(lineage, asked)


def _designated(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.designations.append(event)
    lineage.recalled.clear()
    lineage.holdings.append(Holding(event.unit, event))


def _extension_requested(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.extensions_asked.append(event)


def _extension_denied(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.extensions_denied.append(event)


def _extension_approved(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.extensions.append(event)
    limiting.extend(lineage, ticket, event)


def _resolved(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.resolutions.append(event)
    limiting.note_resolution(lineage, ticket, event)
    for deadline in lineage.deadlines:
        deadline.resolved_later = True
    _find_unreasonable(lineage, ticket, event if event.data.get("appeal") == "unreasonable" else None)
    _stop(lineage, ticket, event)


def _find_unreasonable(lineage: Lineage, ticket: Ticket, event: Event | None) -> None:
    if ticket.unreasonable_reviewed:
        lineage.claimed = lineage.complains = None
    ticket.unreasonable, ticket.unreasonable_reviewed = event, False


def _review_unreasonable(lineage: Lineage, ticket: Ticket) -> None:
    """What the hotline's review let pass has been reviewed: an unreasonable demand no longer counts as a complaint."""
    if ticket.unreasonable is not None and not ticket.unreasonable_reviewed:
        ticket.unreasonable_reviewed = True
        lineage.claimed = lineage.complains = None


def _stop(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """End the ticket's time limits and its part in the citizen's wait.

    The root's end is everybody's. A merged child's end is its own: that the child was closed says nothing of its root.
    """
    end_deadlines(lineage, Ending(event, None, stops=True))
    end_holding(lineage, ticket, event, None)
    if ticket.merged is not None:
        return
    for one in lineage.tickets.values() if ticket.ticket_id == lineage.root else (ticket,):
        one.waits = False
    _close_span_if_nobody_waits(lineage, event)


def _archived(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    _review_unreasonable(lineage, ticket)
    _stop(lineage, ticket, event)


def _withdrawn(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    ticket.withdrawn = event
    _stop(lineage, ticket, event)


def _reopened(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    limiting.note_undone(lineage, event)
    _resume_waiting(lineage, ticket, event)


def _review_rejected(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    _find_unreasonable(lineage, ticket, None)
    _handle_again(lineage, ticket, event)


def _redo_ordered(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.redos.append(event)
    _handle_again(lineage, ticket, event)


def _handle_again(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    limiting.note_undone(lineage, event)
    _resume_waiting(lineage, ticket, event)
    limiting.lay(lineage, ticket, event, "redo")
    limiting.take_again(lineage, event)


def _visited(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    # A visit comes after the hotline's review: what the review let pass has been reviewed.
    _review_unreasonable(lineage, ticket)
    result = event.data.get("result")
    dissatisfied = result in DISSATISFIED
    lineage.visits.append(Visit(event, dissatisfied, bool(lineage.redos)))
    if result is not None:
        lineage.ratings[ticket.ticket_id] = event
    # Of a visit that reached nobody, "no contact" says nothing of the unit.
    if event.data.get("contacted") is False and result != "unreachable" and lineage.resolutions:
        lineage.uncontacted.append(event)
    hear(lineage, ticket, event, "comment", event.event_id)
    if dissatisfied:
        _resume_waiting(lineage, ticket, event)


def _satisfaction_changed(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.rating_changes.append(event)
    result, before = event.data.get("result"), lineage.ratings.get(ticket.ticket_id)
    if result in BETTER and before is not None and before.data["result"] in DISSATISFIED:
        lineage.improved.append(Trick(before, event))
    if result is not None:
        lineage.ratings[ticket.ticket_id] = event
    hear(lineage, ticket, event, "comment", event.event_id)


def _merged(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    if ticket.ticket_id == lineage.root:
        return  # its own merge was refused, or is under way: the state above decides, not the fold
    if event.data["into"] == ticket.ticket_id:
        return
    ticket.merged = event
    root = lineage.tickets[lineage.root]
    root.waits, ticket.waits = root.waits or ticket.waits, False


def _resume_waiting(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    """The citizen waits (again), from the original start; a merged child speaks for its root."""
    speaker = lineage.tickets[lineage.root] if ticket.merged is not None else ticket
    speaker.waits = True
    if not lineage.waiting or lineage.waiting[-1].until is not None:
        lineage.waiting.append(WaitingSpan(event))


def _close_span_if_nobody_waits(lineage: Lineage, event: Event) -> None:
    if any(ticket.waits for ticket in lineage.tickets.values()):
        return
    if lineage.waiting and lineage.waiting[-1].until is None:
        lineage.waiting[-1].until = event


def _suspended(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    lineage.suspensions.append(event)
    lineage.pauses.append(Holding(event.unit, event))
    limiting.suspend(lineage, ticket, event)


def _resumed(lineage: Lineage, ticket: Ticket, event: Event) -> None:
    for pause in lineage.pauses:
        if pause.until is None and concerns(lineage, ticket, pause.since, pause.unit, event.unit):
            pause.until = event


def _append_to(name: str) -> Callable[[Lineage, Ticket, Event], None]:
    def append(lineage: Lineage, ticket: Ticket, event: Event) -> None:
        getattr(lineage, name).append(event)

    return append


# What decides whether and as what a ticket counts as a complaint.
_CHANGES_CLAIMS = frozenset({E.REGISTERED, E.AMENDED, E.LINKED, E.WITHDRAWN, E.MERGED})

_STEPS: dict[str, Callable[[Lineage, Ticket, Event], None]] = {
    E.REGISTERED: _registered,
    E.AMENDED: _amended,
    E.LINKED: _linked,
    E.DISPATCHED: _dispatched,
    E.RECALLED: _recalled,
    E.RETURN_REQUESTED: _return_requested,
    E.RETURN_APPROVED: _return_approved,
    E.RETURN_DENIED: _return_denied,
    E.DESIGNATED: _designated,
    E.EXTENSION_REQUESTED: _extension_requested,
    E.EXTENSION_APPROVED: _extension_approved,
    E.EXTENSION_DENIED: _extension_denied,
    E.RESOLVED: _resolved,
    E.DIRECT_CLOSED: _stop,
    E.REJECTED: _stop,
    E.TRANSFERRED: _stop,
    E.ARCHIVED: _archived,
    E.WITHDRAWN: _withdrawn,
    E.REOPENED: _reopened,
    E.REVIEW_REJECTED: _review_rejected,
    E.REDO_ORDERED: _redo_ordered,
    E.VISITED: _visited,
    E.SATISFACTION_CHANGED: _satisfaction_changed,
    E.MERGED: _merged,
    SEALED: _sealed,
    E.SUPERVISED: _append_to("supervised"),
    E.URGED: _append_to("urged"),
    E.SUSPENDED: _suspended,
    E.RESUMED: _resumed,
    E.CONTACTED: _append_to("contacts"),
}
# That somebody was contacted is felt only when the ticket is resolved.
_WITH_EFFECT = (frozenset(_STEPS) | {E.VOIDED}) - {E.CONTACTED}
