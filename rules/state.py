"""The state of one ticket: its events, what it was told, what it has said. Frozen; a step makes a new one."""

from typing import NamedTuple

import orjson

from models.base import Level
from rules.event import Event
from rules.messages import Events, repeat_from
from rules.repeats import Repeat
from rules.warnings import Standing

MAX_EVENTS = 2_000
"""of a ticket, the newest: so many are always kept; rules/size.py bounds their bytes"""
EVENTS_AT_ONCE = 100
"""by how many more a truncated ticket may grow before it is cut back: each cut is a fold from the start"""
PARTED = "parted"
"""in place of the digest of what the root was told: nothing more is"""


class TicketState(NamedTuple):
    """Everything the service knows of one ticket. Of a merged child the root knows it too, and speaks for both."""

    ticket_id: str
    events: Events = ()
    """its own events"""
    members: dict[str, tuple[int, Events]] = {}  # noqa: RUF012
    """by merged child: the version of what it forwarded, below zero once it has parted, and its events"""
    repeats: dict[str, Repeat] = {}  # noqa: RUF012
    """by citizen: what that citizen's table found"""
    standings: dict[str, Standing] = {}  # noqa: RUF012
    """by rule: the last version of its warning"""
    sequence: int = 0
    clock: int = 0
    """the instant up to which it was judged"""
    due_at: int | None = None
    """the next instant at which time alone may change a level"""
    told: int = 0
    """versions of claims and forwards told so far"""
    claims: dict[str, str] = {}  # noqa: RUF012
    """by citizen: the digest of what was claimed last"""
    forwarded: tuple[str, str] | None = None
    """the root that was told last, and the digest of what it was told"""
    refused: tuple[str, ...] = ()
    """merge events that were refused because they close a circle"""
    truncated: bool = False

    @property
    def has_parted(self) -> bool:
        """Tell whether it was merged, and has told its root that it says nothing more."""
        return self.forwarded is not None and self.forwarded[1] == PARTED

    def knows(self, event_id: str) -> bool:
        """Tell whether it has an event of this id."""
        return any(event.event_id == event_id for event in self.events)


def with_events(state: TicketState, events: Events, clock: int, *, truncated: bool) -> TicketState:
    """Return the state with other events and another clock: `_replace`, written out because every event needs it."""
    ticket_id, _, members, repeats, standings, sequence, _, *rest, was_truncated = state
    return TicketState._make(
        (ticket_id, events, members, repeats, standings, sequence, clock, *rest, was_truncated or truncated)
    )


def encode_state(state: TicketState) -> bytes:
    """Return the state as JSON."""
    return orjson.dumps(
        (
            state.ticket_id,
            state.events,
            state.members,
            [(citizen, one.version, one.count, one.complaints, one.others) for citizen, one in state.repeats.items()],
            [(rule, one.alert_id, one.level, one.held) for rule, one in state.standings.items()],
            state.sequence,
            state.clock,
            state.due_at,
            state.told,
            state.claims,
            state.forwarded,
            state.refused,
            state.truncated,
        ),
        default=tuple,
    )


def decode_state(body: bytes) -> TicketState:
    """Return the state that `encode_state` wrote, in this release or in one whose repeats knew no others (schema 1)."""
    parts = orjson.loads(body)
    (
        ticket_id,
        events,
        members,
        repeats,
        standings,
        sequence,
        clock,
        due_at,
        told,
        claims,
        forwarded,
        refused,
        truncated,
    ) = parts
    return TicketState(
        ticket_id,
        _events(events),
        {child: (version, _events(theirs)) for child, (version, theirs) in members.items()},
        {citizen: repeat_from(*told) for citizen, *told in repeats},
        {rule: Standing(alert_id, Level(level) if level else None, held) for rule, alert_id, level, held in standings},
        sequence,
        clock,
        due_at,
        told,
        claims,
        tuple(forwarded) if forwarded else None,
        tuple(refused),
        truncated,
    )


def _events(parts: list[list[object]]) -> Events:
    return tuple([Event(*part) for part in parts])  # type: ignore[arg-type]
