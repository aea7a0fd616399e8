"""What agents send each other through `hw.tickets` and `hw.citizens`, and how it is written on the wire."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from rules.event import Event
from rules.repeats import Complaint, Repeat, RepeatedComplaint

Events = tuple[Event, ...]


class EventMessage(NamedTuple):
    """A ticket event that passed intake."""

    event: Event

    @property
    def key(self) -> str:
        """Return the ticket it is for."""
        return self.event.ticket_id


class MembersMessage(NamedTuple):
    """All events of a merged child and of what was merged into it, for its root; replaces what that child said before."""

    key: str
    child: str
    version: int
    events: Events


class RepeatMessage(NamedTuple):
    """What a citizen's table found about a lineage; replaces what it said before."""

    key: str
    citizen: str
    repeat: Repeat


class TickMessage(NamedTuple):
    """Time has come to an instant; for every ticket of the partition."""

    at: int


class ReviewMessage(NamedTuple):
    """Time is reckoned otherwise than before: the partition's tickets are to be judged again, some at a time."""


class ErasureMessage(NamedTuple):
    """A citizen is to be forgotten: said to the citizen's table, then to every partition of tickets, which is gone through in slices."""

    key: str
    """the citizen's pseudonym"""
    request: str
    """which request asks for it"""
    goes_on: bool = False
    """the next slice of one that was begun"""


class FarewellMessage(NamedTuple):
    """A root whose time is over asks a merged child whether it has anything more to say."""

    key: str
    """the child"""
    root: str
    digest: str
    """of what the root was told by it last"""


class PartedMessage(NamedTuple):
    """A merged child tells its root that it has said everything, and says nothing more."""

    key: str
    """the root"""
    child: str


class ClaimMessage(NamedTuple):
    """A lineage's complaints by one citizen, for that citizen's table; replaces what the lineage said before."""

    key: str
    root: str
    version: int
    complaints: tuple[Complaint, ...]


TicketMessage = (
    EventMessage
    | MembersMessage
    | RepeatMessage
    | TickMessage
    | ReviewMessage
    | ErasureMessage
    | FarewellMessage
    | PartedMessage
)


class WireError(ValueError):
    """Bytes on an internal topic that no agent of this version wrote."""


def encode(message: TicketMessage | ClaimMessage) -> bytes:
    """Return the message as one JSON array, its kind first."""
    match message:
        case EventMessage(event):
            return orjson.dumps(("event", event), default=tuple)
        case MembersMessage(key, child, version, events):
            return orjson.dumps(("members", key, child, version, events), default=tuple)
        case RepeatMessage(key, citizen, repeat):
            return orjson.dumps(
                ("repeat", key, citizen, repeat.version, repeat.count, repeat.complaints, repeat.others),
                default=tuple,
            )
        case TickMessage(at):
            return orjson.dumps(("tick", at), default=tuple)
        case ReviewMessage():
            return orjson.dumps(("review",))
        case ErasureMessage(key, request, goes_on):
            return orjson.dumps(("erasure", key, request, goes_on))
        case FarewellMessage(key, root, digest):
            return orjson.dumps(("farewell", key, root, digest))
        case PartedMessage(key, child):
            return orjson.dumps(("parted", key, child))
        case ClaimMessage(key, root, version, complaints):
            return orjson.dumps(("claim", key, root, version, complaints), default=tuple)


def decode(value: bytes) -> TicketMessage | ClaimMessage:
    """Return the message. Raises WireError."""
    try:
        kind, *rest = orjson.loads(value)
        match kind:
            case "event":
                return EventMessage(Event(*rest[0]))
            case "members":
                return MembersMessage(rest[0], rest[1], rest[2], tuple(Event(*event) for event in rest[3]))
            case "repeat":
                return RepeatMessage(rest[0], rest[1], repeat_from(*rest[2:]))
            case "tick":
                return TickMessage(rest[0])
            case "review":
                return ReviewMessage()
            case "erasure":
                return ErasureMessage(rest[0], rest[1], rest[2])
            case "farewell":
                return FarewellMessage(rest[0], rest[1], rest[2])
            case "parted":
                return PartedMessage(rest[0], rest[1])
            case "claim":
                return ClaimMessage(rest[0], rest[1], rest[2], tuple(complaint_from(one) for one in rest[3]))
    except (orjson.JSONDecodeError, TypeError, ValueError, IndexError):
        raise WireError("not a message of ours") from None
    raise WireError("a message of an unknown kind")


def complaint_from(parts: list[Any]) -> Complaint:
    """Return a complaint from its JSON array."""
    parts[3], parts[8], parts[9] = tuple(parts[3]), tuple(parts[8]), tuple(parts[9])
    return Complaint(*parts)


def repeat_from(version: int, count: int, complaints: list[list[Any]], others: Sequence[list[Any]] = ()) -> Repeat:
    """Return a repeat fact from its JSON parts; before state schema 2 there were no others."""
    found, more = (tuple(RepeatedComplaint(*one) for one in part) for part in (complaints, others))
    return Repeat(version, count, found, more)
