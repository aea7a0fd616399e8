"""Repeats (同人同事): what a ticket says of its complaints to the citizens' tables, and what comes back."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rules.history import Ticket
from rules.sketch import Sketch, merge, unpack_sketch

_KEPT_SKETCHES = 1_024
"""5 kB each: a complaint is compared with all others of its citizen, and they with the next one"""
_ENQUIRY_WORDS = ("查询", "进度")


class Complaint(NamedTuple):
    """One complaint of one citizen: enough to tell whether another is about the same matter, and no word of its text."""

    ticket_id: str
    event_id: str
    at: int
    category: tuple[str, ...]
    """its first two levels"""
    district: str
    street: str
    community: str
    spot: str
    sketches: tuple[str, ...]
    """of its title and its content"""
    links: tuple[str, ...]
    test: bool

    @property
    def text(self) -> Sketch:
        """Return the sketch of its title and content taken together."""
        return _merged(self.sketches)


@lru_cache(_KEPT_SKETCHES)
def _merged(sketches: tuple[str, ...]) -> Sketch:
    return merge(unpack_sketch(sketch) for sketch in sketches)


class RepeatedComplaint(NamedTuple):
    """One complaint that counts, and why it is held to be about the same matter."""

    ticket_id: str
    event_id: str
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """How many complaints one citizen made on the lineage's matter within the busiest 90 days, and which."""

    version: int
    count: int
    complaints: tuple[RepeatedComplaint, ...]
    others: tuple[RepeatedComplaint, ...] = ()
    """complaints about the matter from the lineage's first one on that lie outside those 90 days"""


def is_status_enquiry(ticket: Ticket) -> bool:
    """Tell whether the citizen only asks how a ticket is going: a consultation whose category or title says 查询 or 进度."""
    if ticket.request_type != "consultation":
        return False
    return ticket.title_asks or any(word in level for level in ticket.category for word in _ENQUIRY_WORDS)


def counts_as_complaint(ticket: Ticket) -> bool:
    """Tell whether a ticket counts as a complaint: praise, status enquiries, withdrawn and voided ones don't, nor unreasonable demands."""
    if ticket.registered is None or ticket.voided or ticket.withdrawn or ticket.unreasonable_reviewed:
        return False
    return ticket.request_type != "praise" and not is_status_enquiry(ticket)


def what_is_claimed(ticket: Ticket) -> tuple[object, ...]:
    """Return everything that a ticket's complaint is made from: while it is equal, the complaint is."""
    assert ticket.registered is not None
    first = ticket.registered
    said = (ticket.category, ticket.place, ticket.title, ticket.content, ticket.links)
    return (ticket.ticket_id, first.event_id, first.at, *said, ticket.test)


def complaint_of(ticket: Ticket) -> Complaint:
    """Return the ticket's complaint as the citizens' table needs it."""
    assert ticket.registered is not None
    place = ticket.place
    return Complaint(
        ticket.ticket_id,
        ticket.registered.event_id,
        ticket.registered.at,
        tuple(ticket.category[:2]),
        place.get("district", ""),
        place.get("street", ""),
        place.get("community", ""),
        place.get("spot", ""),
        tuple(sketch for sketch in (ticket.title, ticket.content) if sketch),
        tuple(dict.fromkeys(ticket.links)),
        ticket.test,
    )
