"""Which tickets are over and may be let go of once they have been silent for long enough.

A ticket alone is over when no deadline lies ahead, nobody has anything to do, and the citizen does not wait. What was merged goes as
one. Two partitions hold it, whose clocks may differ, so it takes three messages, and none of them may be lost:

1. The root, silent for long enough with everything it knows of its children, asks each of them: is this all that you told me?
2. A child whose own children have parted, and that has been silent for long enough by its own partition's clock, says yes, and
   forwards nothing from then on. It may go.
3. Once every child has parted, nobody can speak to the root any more. It may go.

What comes for a child that has parted is what comes for a ticket that is not there: see `streams/ticket_partition.py`.
"""

from collections.abc import Iterator

from rules import waiting
from rules.engine import Engine
from rules.event import Event
from rules.fold import fold
from rules.lifecycle import SETTLED
from rules.merging import lineage_events
from rules.messages import FarewellMessage, PartedMessage
from rules.state import PARTED, TicketState
from rules.tickets import Step, at_once, digest_of, for_root


def latest_of(state: TicketState) -> int | None:
    """Return when the last thing happened to the ticket or to what was merged into it, in microseconds; None where nothing is known."""
    return max((event.at for event in _events(state)), default=None)


def _events(state: TicketState) -> Iterator[Event]:
    yield from state.events
    for _, theirs in state.members.values():
        yield from theirs


def unparted(state: TicketState) -> list[str]:
    """Return the merged children that may still speak; one that was taken back is none."""
    return [child for child, (version, events) in state.members.items() if version > 0 and events]


def is_expired(engine: Engine, state: TicketState, before: int) -> bool:
    """Tell whether a ticket may be let go of: it is over, nothing has happened since an instant, and nobody speaks to it.

    So may one of which nothing is known.
    """
    if state.forwarded is not None:
        return state.has_parted
    return not unparted(state) and _is_silent(engine, state, before)


def _is_silent(engine: Engine, state: TicketState, before: int) -> bool:
    if state.due_at is not None:
        return False
    latest = latest_of(state)
    if latest is None:
        return True
    if latest >= before:
        return False
    if state.forwarded is not None:
        return True
    lineage = fold(state.ticket_id, lineage_events(state), engine.reckoning)
    return lineage.tickets[state.ticket_id].state in SETTLED and not waiting.is_running(lineage)


def farewells(engine: Engine, state: TicketState, before: int) -> list[FarewellMessage]:
    """Return what a root asks of its children: nothing before its time is over."""
    children = unparted(state)
    if state.forwarded is not None or not children or not _is_silent(engine, state, before):
        return []
    return [_farewell(state, child) for child in children]


def _farewell(state: TicketState, child: str) -> FarewellMessage:
    return FarewellMessage(child, state.ticket_id, digest_of(state.members[child][1]))


def on_farewell(engine: Engine, state: TicketState, asked: FarewellMessage, before: int) -> Step:
    """Return the step of a child that is asked: it parts, or asks its own children first, or has more to say than its root knows."""
    said = for_root(state, asked.root)
    root_knows_all = state.forwarded == (asked.root, digest_of(said)) and asked.digest == digest_of(at_once(said))
    if not root_knows_all or not _is_silent(engine, state, before):
        return Step(state, [])
    if children := unparted(state):
        return Step(state, [_farewell(state, child) for child in children])
    return Step(state._replace(forwarded=(asked.root, PARTED)), [PartedMessage(asked.root, state.ticket_id)])


def on_parted(state: TicketState, parted: PartedMessage) -> TicketState:
    """Return the root's state once a child has parted."""
    known = state.members.get(parted.child)
    if known is None or known[0] <= 0:
        return state
    return state._replace(members={**state.members, parted.child: (-known[0], known[1])})
