"""Merges: which ticket a ticket belongs to, in any order of arrival, and without going round in circles.

A ticket that was merged into another forwards all it knows to it. Of merges that close a circle the latest one is refused; every ticket of
the circle sees all of them and comes to the same answer.
"""

from collections.abc import Iterable

from models.ticket_event import EventType as E
from rules.event import Event, by_time
from rules.state import TicketState


def lineage_events(state: TicketState) -> list[Event]:
    """Return the ticket's own events and its merged children's, each once."""
    if not state.members:
        return list(state.events)
    found = {event.key: event for _, events in state.members.values() for event in events}
    found |= {event.key: event for event in state.events}
    return list(found.values())


def _merges(events: Iterable[Event]) -> dict[str, Event]:
    """Return each ticket's merge: the last one said of it."""
    merges: dict[str, Event] = {}
    for event in sorted(events, key=by_time):
        if event.type == E.MERGED:
            merges[event.ticket_id] = event
    return merges


def own_merge(state: TicketState) -> tuple[Event | None, list[Event]]:
    """Return the merge that takes this ticket into another, if one stands; and this ticket's merges that are refused."""
    own = [event for event in state.events if event.type == E.MERGED]
    if not own:
        return None, []
    refused = [event for event in own if event.data["into"] == state.ticket_id]
    merges = _merges(lineage_events(state))
    merge = merges[state.ticket_id]
    circle = [merge]
    while (following := merges.get(circle[-1].data["into"])) is not None and following not in circle:
        circle.append(following)
    if circle[-1].data["into"] == state.ticket_id and max(circle, key=by_time) is merge:
        if merge not in refused:
            refused.append(merge)
        return None, refused
    return merge, refused
