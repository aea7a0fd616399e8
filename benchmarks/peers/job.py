"""The job that every host runs, as pure functions: who has a ticket handed back, and who complains again.

    ticket event ─decode─► per ticket: returns that stand ──► warnings
                                │ complaints
                                └──► per citizen: complaints of the same category within 90 days ──► warnings

Decoding is the service's own (`models.decode`): strict JSON, then the whole contract of ticket events, every field of it. What it
rejects is dropped. A warning is a function of what made it, its id too: done twice it is the same bytes, and whichever order
the tickets' complaints come in, the same set of warnings comes out (of a citizen with no more than COMPLAINTS_MAX complaints).

States are values: no function here changes what it was given.
"""

from typing import Any, NamedTuple
from uuid import UUID, uuid5

import orjson

from models.decode import Rejected, decode_event
from models.ticket_event import Registered, ReturnDecided, ReturnRequested, TicketEvent
from models.times import DAY, parse_instant

RETURNS_MIN = 1
"""The generator hands few tickets back twice, so the first return that stands warns already."""
WINDOW = 90 * DAY
SEEN_MAX = 64
RETURNS_MAX = 64
COMPLAINTS_MAX = 200
_NAMESPACE = UUID("2f6bd2b8-6d5f-5d0e-9a55-6d1f7f1e7c11")


class Return(NamedTuple):
    """A return that was asked for and not denied."""

    event_id: str
    unit_id: str


class TicketState(NamedTuple):
    """What is known of a ticket: the last event ids, and the returns that stand."""

    seen: tuple[str, ...] = ()
    returns: tuple[Return, ...] = ()


class Claim(NamedTuple):
    """A complaint, for its citizen."""

    citizen: str
    category: str
    at: int
    ticket_id: str
    event_id: str


class CitizenState(NamedTuple):
    """A citizen's complaints, the newest."""

    complaints: tuple[Claim, ...] = ()


class Warned(NamedTuple):
    """A warning as it goes onto the topic: its ticket, and its JSON."""

    key: bytes
    value: bytes


class Step(NamedTuple):
    """What an event makes of a ticket."""

    state: TicketState
    warnings: tuple[Warned, ...] = ()
    claim: Claim | None = None


def decode(value: bytes | None) -> TicketEvent | None:
    """Return the ticket event, None where the contract does not take it."""
    try:
        return decode_event(value)
    except Rejected:
        return None


def on_event(state: TicketState, event: TicketEvent) -> Step:
    """Return what the event makes of its ticket; one that was seen changes nothing."""
    if event.event_id in state.seen:
        return Step(state)
    seen = (*state.seen[1 - SEEN_MAX :], event.event_id)
    if isinstance(event, ReturnRequested):
        returns = (*state.returns[1 - RETURNS_MAX :], Return(event.event_id, event.unit_id or ""))
        return Step(TicketState(seen, returns), _bounced(event, returns))
    if isinstance(event, ReturnDecided) and event.type == "return_denied":
        return Step(TicketState(seen, _without_last_of(event.unit_id or "", state.returns)))
    claim = _claim(event) if isinstance(event, Registered) else None
    return Step(TicketState(seen, state.returns), (), claim)


def _bounced(event: TicketEvent, returns: tuple[Return, ...]) -> tuple[Warned, ...]:
    if len(returns) < RETURNS_MIN:
        return ()
    told = {
        "rule": "bounced",
        "ticket_id": event.ticket_id,
        "returns": len(returns),
        "units": sorted({one.unit_id for one in returns}),
        "trigger": event.event_id,
        "at": parse_instant(event.occurred_at),
    }
    return (_warned(event.ticket_id, f"bounced {event.event_id}", told),)


def _without_last_of(unit_id: str, returns: tuple[Return, ...]) -> tuple[Return, ...]:
    for number in reversed(range(len(returns))):
        if returns[number].unit_id == unit_id:
            return (*returns[:number], *returns[number + 1 :])
    return returns


def _claim(event: Registered) -> Claim | None:
    citizen = event.citizen.key if event.citizen is not None else None
    if event.request_type != "complaint" or not citizen:
        return None
    category = "/".join(event.category or ())
    return Claim(citizen, category, parse_instant(event.occurred_at), event.ticket_id, event.event_id)


def on_claim(state: CitizenState, claim: Claim) -> tuple[CitizenState, tuple[Warned, ...]]:
    """Return the citizen with the complaint, and a warning for each other one that it is near to; one that is known changes nothing."""
    if any(one.event_id == claim.event_id for one in state.complaints):
        return state, ()
    warnings = tuple(
        _repeated(*sorted((one, claim), key=_by_time))
        for one in state.complaints
        if one.category == claim.category and abs(one.at - claim.at) <= WINDOW
    )
    complaints = (*state.complaints, claim)
    if len(complaints) > COMPLAINTS_MAX:
        complaints = tuple(sorted(complaints, key=_by_time)[-COMPLAINTS_MAX:])
    return CitizenState(complaints), warnings


def _by_time(claim: Claim) -> tuple[int, str]:
    return claim.at, claim.event_id


def _repeated(earlier: Claim, later: Claim) -> Warned:
    told = {
        "rule": "repeated",
        "ticket_id": later.ticket_id,
        "earlier": earlier.ticket_id,
        "category": later.category,
        "trigger": later.event_id,
        "at": later.at,
    }
    return _warned(later.ticket_id, f"repeated {earlier.event_id} {later.event_id}", told)


def _warned(ticket_id: str, name: str, told: dict[str, Any]) -> Warned:
    return Warned(ticket_id.encode(), orjson.dumps({"warning_id": str(uuid5(_NAMESPACE, name)), **told}))


# -- as bytes, for stores and topics that keep bytes


def encode_ticket(state: TicketState) -> bytes:
    """Return the state as JSON."""
    return orjson.dumps(state, default=tuple)


def decode_ticket(stored: bytes | None) -> TicketState:
    """Return the state that `encode_ticket` wrote; a new one where there is none."""
    if not stored:
        return TicketState()
    seen, returns = orjson.loads(stored)
    return TicketState(tuple(seen), tuple(Return(*one) for one in returns))


def encode_claim(claim: Claim) -> bytes:
    """Return the complaint as JSON."""
    return orjson.dumps(claim, default=tuple)


def decode_claim(value: bytes) -> Claim:
    """Return the complaint that `encode_claim` wrote."""
    return Claim(*orjson.loads(value))


def encode_citizen(state: CitizenState) -> bytes:
    """Return the state as JSON."""
    return orjson.dumps(state, default=tuple)


def decode_citizen(stored: bytes | None) -> CitizenState:
    """Return the state that `encode_citizen` wrote; a new one where there is none."""
    if not stored:
        return CitizenState()
    return CitizenState(tuple(Claim(*one) for one in orjson.loads(stored)[0]))


def run_alone(lines: list[bytes]) -> list[Warned]:
    """Return the warnings of these events, by plain loops over dicts: what every host's are compared with."""
    tickets: dict[str, TicketState] = {}
    citizens: dict[str, CitizenState] = {}
    warnings: list[Warned] = []
    for line in lines:
        event = decode(line)
        if event is None:
            continue
        step = on_event(tickets.get(event.ticket_id, TicketState()), event)
        tickets[event.ticket_id] = step.state
        warnings += step.warnings
        if step.claim is not None:
            citizen = citizens.get(step.claim.citizen, CitizenState())
            citizens[step.claim.citizen], more = on_claim(citizen, step.claim)
            warnings += more
    return warnings
