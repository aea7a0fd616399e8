"""Merges: which ticket a ticket belongs to, in any order of arrival, and without going round in circles.

A ticket that was merged into another forwards all it knows to it. Of merges that close a circle the latest one is refused; every ticket of
the circle sees all of them and comes to the same answer.
"""

from models.ticket_event import EventType as E
from rules.event import Event, by_time
from rules.state import TicketState

_MERGED: str = E.MERGED.value


def lineage_events(state: TicketState) -> list[Event]:
    """Return the ticket's own events and its merged children's, each once."""
    if not state.members:
        return list(state.events)
    found = {event.key: event for _, events in state.members.values() for event in events}
    found |= {event.key: event for event in state.events}
    return list(found.values())


def own_merge(state: TicketState) -> tuple[Event | None, list[Event]]:
    """Return the merge that takes this ticket into another, if one stands; and this ticket's merges that are refused.

    All merges that are known are taken in the order of time, each in place of what its ticket was merged into before; one that would
    close a circle is refused and leaves things as they were.
    """
    for event in state.events:
        if event.type == _MERGED:
            break
    else:
        return None, []
    into: dict[str, Event] = {}
    refused: list[Event] = []
    for event in sorted(lineage_events(state), key=by_time):
        if event.type != E.MERGED:
            continue
        if _closes_circle(event, into):
            if event.ticket_id == state.ticket_id:
                refused.append(event)
        else:
            into[event.ticket_id] = event
    return into.get(state.ticket_id), refused


def _closes_circle(merge: Event, into: dict[str, Event]) -> bool:
    target = merge.data["into"]
    seen = set()
    while target not in seen:
        if target == merge.ticket_id:
            return True
        seen.add(target)
        following = into.get(target)
        if following is None:
            return False
        target = following.data["into"]
    return False
