"""One citizen is forgotten: what of a ticket names that citizen goes, and the ticket is judged as if it never had been there.

The pseudonym stands in the registration and in amendments, in the repeat facts that came back from the citizen's table, and in what was
claimed of it. A hash of it stays as a mark, so that what comes later is folded without it.
"""

import hashlib
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

import orjson

from models.reference import ReferenceTable
from rules.engine import Engine
from rules.event import Event
from rules.messages import EventMessage, MembersMessage, RepeatMessage
from rules.reference import JOINED
from rules.state import TicketState
from rules.tickets import Step, on_time, settle

_DIGEST_BYTES = 16
_PERSON = b"hw-forgotten"


class Removed(NamedTuple):
    """How much of a ticket named a citizen."""

    events: int = 0
    repeats: int = 0
    claims: int = 0

    def __bool__(self) -> bool:
        """Tell whether anything did."""
        return any(self)


def mark_of(citizen: str) -> str:
    """Return the hash that stands for a forgotten pseudonym: enough to know it again, no way back to it."""
    return hashlib.blake2b(citizen.encode(), digest_size=_DIGEST_BYTES, person=_PERSON).hexdigest()


class Needle:
    """Looks for a pseudonym in stored bytes, without decoding them."""

    def __init__(self, citizen: str) -> None:
        once = orjson.dumps(citizen)
        # What a state still owes is JSON within JSON.
        twice = orjson.dumps(once.decode())[1:-1]
        self._found = (once, twice)
        self._plain = citizen.encode()

    def in_value(self, value: bytes) -> bool:
        """Tell whether a table's value names the citizen, in its state or in what it owes."""
        return any(one in value for one in self._found)

    def in_record(self, key: bytes | None, value: bytes | None) -> bool:
        """Tell whether a changelog's record names the citizen, in its key or in its value."""
        return key == self._plain or (value is not None and self.in_value(value))


def event_without(event: Event, forgotten: Callable[[str], bool]) -> Event:
    """Return the event without the citizens that are forgotten; the very same one where it names none of them."""
    citizens = event.data.get("citizens")
    if not citizens or not any(map(forgotten, citizens)):
        return event
    data = {**event.data, "citizens": [one for one in citizens if not forgotten(one)]}
    flags = ReferenceTable.CITIZENS.value
    if flags in data.get(JOINED, ()):  # it was looked up by the pseudonym
        data[JOINED] = {name: said for name, said in data[JOINED].items() if name != flags}
        if not data[JOINED]:
            del data[JOINED]
    return event._replace(data=data)


def events_without(events: Iterable[Event], forgotten: Callable[[str], bool]) -> tuple[Event, ...]:
    """Return the events without the citizens that are forgotten."""
    return tuple(event_without(event, forgotten) for event in events)


def message_without(
    message: EventMessage | MembersMessage | RepeatMessage, forgotten: Callable[[str], bool]
) -> EventMessage | MembersMessage | RepeatMessage | None:
    """Return a message as it may be taken; None where it is about nobody else."""
    match message:
        case EventMessage(event):
            return EventMessage(event_without(event, forgotten))
        case MembersMessage():
            return message._replace(events=events_without(message.events, forgotten))
        case RepeatMessage():
            return None if forgotten(message.citizen) else message


def state_without(state: TicketState, citizens: Container[str]) -> tuple[TicketState, Removed]:
    """Return the state without these citizens, not judged yet, and how much went."""
    forgotten = citizens.__contains__
    events = events_without(state.events, forgotten)
    members = {
        child: (version, events_without(theirs, forgotten)) for child, (version, theirs) in state.members.items()
    }
    changed = sum(new is not old for new, old in zip(events, state.events, strict=True))
    for child, (_, theirs) in state.members.items():
        changed += sum(new is not old for new, old in zip(members[child][1], theirs, strict=True))
    repeats = {citizen: one for citizen, one in state.repeats.items() if citizen not in citizens}
    claims = {citizen: one for citizen, one in state.claims.items() if citizen not in citizens}
    removed = Removed(changed, len(state.repeats) - len(repeats), len(state.claims) - len(claims))
    if not removed:
        return state, removed
    return state._replace(events=events, members=members, repeats=repeats, claims=claims), removed


def forget(engine: Engine, state: TicketState, citizens: Container[str], clock: int) -> tuple[Step, Removed]:
    """Return the step that forgetting makes: the ticket as if these citizens were never named, judged as of the clock."""
    without, removed = state_without(state, citizens)
    if not removed:
        return Step(state, []), removed
    # Not as of the clock's own instant, of which more events may come.
    passed = on_time(engine, without, clock - 1, clock)
    settled = settle(engine, passed.state, max(passed.state.clock, clock - 1), clock)
    return Step(settled.state, passed.outputs + settled.outputs), removed
