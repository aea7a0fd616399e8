"""The ticket event: what the hotline platform says happened to a ticket.

The platform's fields vary from city to city, so an unknown type or field is kept and counted, never refused; a known field of the wrong
type is refused. The base record and the ticket's life are described in docs/design.md.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from models.base import Identifier, Incoming, LongText, ShortText, Time

Grade = Literal[
    "very_satisfied",
    "satisfied",
    "basically_satisfied",
    "neutral",
    "dissatisfied",
    "very_dissatisfied",
    "not_rated",
    "unreachable",
]
Degree = Literal["yes", "partly", "no"]
RequestType = Literal["consultation", "help", "complaint", "report", "suggestion", "praise", "other"]


class EventType(StrEnum):
    """Every type of ticket event the service knows."""

    REGISTERED = "registered"
    DIRECT_CLOSED = "direct_closed"
    REJECTED = "rejected"
    TRANSFERRED = "transferred"
    DISPATCHED = "dispatched"
    RECALLED = "recalled"
    ACCEPTED = "accepted"
    SUB_DISPATCHED = "sub_dispatched"
    CONTACTED = "contacted"
    SITE_CHECKED = "site_checked"
    PROGRESS = "progress"
    URGED = "urged"
    RETURN_REQUESTED = "return_requested"
    RETURN_APPROVED = "return_approved"
    RETURN_DENIED = "return_denied"
    DESIGNATED = "designated"
    EXTENSION_REQUESTED = "extension_requested"
    EXTENSION_APPROVED = "extension_approved"
    EXTENSION_DENIED = "extension_denied"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    RESOLVED = "resolved"
    REVIEW_REJECTED = "review_rejected"
    REDO_ORDERED = "redo_ordered"
    VISITED = "visited"
    SATISFACTION_CHANGED = "satisfaction_changed"
    SUPERVISED = "supervised"
    ARCHIVED = "archived"
    REOPENED = "reopened"
    WITHDRAWN = "withdrawn"
    MERGED = "merged"
    LINKED = "linked"
    AMENDED = "amended"
    VOIDED = "voided"


class Citizen(Incoming):
    """Who complains. Replaced by a keyed pseudonym at intake; nothing else of it goes further."""

    key: Identifier | None = Field(
        None, description="pseudonym given by the platform's own gateway; passes through unchanged"
    )
    phone: Annotated[str, Field(max_length=64)] | None = None
    id_number: Annotated[str, Field(max_length=64)] | None = None
    name: Annotated[str, Field(max_length=128)] | None = None
    anonymous: bool | None = None


class Place(Incoming):
    """Where it happened."""

    district: ShortText | None = None
    street: ShortText | None = None
    community: ShortText | None = None
    text: ShortText | None = None


class Target(Incoming):
    """Who or what is complained about."""

    name: ShortText | None = None
    kind: ShortText | None = None
    unit_id: Identifier | None = None


class Limit(Incoming):
    """A time limit as the platform gives it, counted from the event that carries it."""

    value: Annotated[int, Field(gt=0, le=100_000)]
    unit: Literal["work_days", "days", "hours", "minutes"]


class Base(Incoming):
    """What every event carries."""

    event_id: Identifier
    ticket_id: Identifier
    type: Annotated[str, Field(min_length=1, max_length=64)]
    occurred_at: Time = Field(description="RFC 3339; without offset it is +08:00")
    source: ShortText | None = None
    seq: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(
        None, description="order within the ticket; used where every event has one"
    )
    backfill: bool | None = Field(None, description="history: changes state, its warnings stay unpushed")
    test: bool | None = Field(None, description="a test ticket: never pushed")


class _OfUnit(Base):
    unit_id: Identifier | None = None
    unit_name: ShortText | None = None


class _WithLimit(_OfUnit):
    round: int | None = None
    due_at: Time | None = None
    limit: Limit | None = None


class RegisteredFields(Incoming):
    """The fields that registration sets and an amendment may change."""

    citizen: Citizen | None = None
    request_type: RequestType | None = None
    category: Annotated[list[ShortText], Field(max_length=4)] | None = None
    title: LongText | None = None
    content: LongText | None = None
    place: Place | None = None
    channel: ShortText | None = None
    urgency: Literal["normal", "urgent", "critical"] | None = None
    target: Target | None = None
    repeat_of: Identifier | None = None
    project_id: Identifier | None = Field(None, description="key of the reference table `projects`")
    raw_content: LongText | None = None
    confidential: bool | None = None


class Registered(RegisteredFields, Base):
    type: Literal["registered"]


class DirectClosed(_OfUnit):
    type: Literal["direct_closed", "rejected", "transferred", "voided"]
    reason: LongText | None = None


class Dispatched(_WithLimit):
    type: Literal["dispatched"]
    role: Literal["lead", "assist"] | None = None


class UnitStep(_OfUnit):
    type: Literal[
        "recalled",
        "accepted",
        "sub_dispatched",
        "contacted",
        "site_checked",
        "progress",
        "urged",
        "suspended",
        "resumed",
        "supervised",
        "archived",
        "reopened",
        "withdrawn",
    ]


class ReturnRequested(_OfUnit):
    type: Literal["return_requested"]
    reason_code: Literal["R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9"] | None = None
    reason: LongText | None = None
    contacted: bool | None = Field(None, description="absent = unknown, false = the citizen was not contacted")
    site_checked: bool | None = None
    evidence: bool | Annotated[list[Any], Field(max_length=1_000)] | None = Field(
        None, description="false or an empty list = none"
    )
    approver: ShortText | None = None


class ReturnDecided(_OfUnit):
    type: Literal["return_approved", "return_denied"]
    reason: LongText | None = None


class Designated(_OfUnit):
    type: Literal["designated"]
    basis: LongText | None = None


class Extension(_OfUnit):
    type: Literal["extension_requested", "extension_approved", "extension_denied"]
    until: Time | None = None


class Resolved(_OfUnit):
    type: Literal["resolved"]
    solved: Degree | None = None
    reply: LongText | None = None
    fact_confirmed: Degree | None = None
    appeal_confirmed: Literal["reasonable", "partly", "unreasonable"] | None = None


class Redo(_WithLimit):
    type: Literal["review_rejected", "redo_ordered"]
    reason: LongText | None = None


class Visited(_OfUnit):
    type: Literal["visited", "satisfaction_changed"]
    result: Grade | None = None
    attitude: Grade | None = None
    contacted: bool | None = None
    solved: Degree | None = None
    comment: LongText | None = None


class Merged(_OfUnit):
    type: Literal["merged"]
    into: Identifier


class Linked(_OfUnit):
    type: Literal["linked"]
    to: Identifier


class Amended(_OfUnit):
    type: Literal["amended"]
    fields: RegisteredFields


class UnknownEvent(_OfUnit):
    """An event of a type the service does not know: kept, folded without effect, counted."""


KnownEvent = (
    Registered
    | DirectClosed
    | Dispatched
    | UnitStep
    | ReturnRequested
    | ReturnDecided
    | Designated
    | Extension
    | Resolved
    | Redo
    | Visited
    | Merged
    | Linked
    | Amended
)
TicketEvent = KnownEvent | UnknownEvent


def _types_of(model: type[Base]) -> tuple[str, ...]:
    literal = model.model_fields["type"].annotation
    return tuple(literal.__args__)  # type: ignore[union-attr]


MODEL_BY_TYPE: dict[str, type[Base]] = {name: model for model in KnownEvent.__args__ for name in _types_of(model)}
