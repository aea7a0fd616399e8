"""The alert: one version of one warning of one case. A warning is not a finding: it says 疑似 and shows its evidence."""

from typing import Annotated, Any, Literal

from pydantic import Field

from models.base import Contract, Family, Level, Status, Time

TEST_FLAG = "test"
"""flag of a warning about a ticket that was made for trying out"""


class RuleRef(Contract):
    """Which rule, in which version, speaks."""

    id: str
    version: int
    title: str


class UnitRef(Contract):
    """A unit the warning speaks of: `accused` is what it is about, `involved` merely had a part in the ticket."""

    id: str
    name: str | None = None
    role: Literal["accused", "involved"]


class Evidence(Contract):
    """One event that bears the warning out, told in plain Chinese, with no citizen's words."""

    event_id: str
    occurred_at: Time
    what: str


class AlertPlace(Contract):
    """Where, no finer than the community."""

    district: str | None = None
    street: str | None = None
    community: str | None = None


class Alert(Contract):
    """One version of a warning. Versions of one case are numbered by `sequence`; the last one of a rule is in force unless retracted."""

    schema_version: Literal[1] = 1
    alert_id: Annotated[
        str, Field(description="UUIDv5 of case, rule, rule version, level, status, trigger and previous_alert_id")
    ]
    case_id: str
    sequence: Annotated[int, Field(ge=1)]
    status: Status
    family: Family
    rule: RuleRef
    level: Level = Field(description="the level in force; of a retraction, the level that was in force")
    categories: tuple[str, ...] = ()
    units: tuple[UnitRef, ...] = ()
    headline: str
    tickets: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    facts: dict[str, Any] = Field(description="the values that the rule read, by fact")
    thresholds: dict[str, str] = Field(description="the rule's condition for each level")
    flags: tuple[str, ...] = ()
    trigger: str = Field(description="an event's id, or deadline:<event_id>:<instant>")
    reason: str | None = Field(
        None, description="why it was retracted, where that is not the rule itself: voided, merged_into"
    )
    previous_alert_id: str | None = None
    place: AlertPlace | None = None
    calendar_version: str
    push: bool = Field(
        True, description="false: a test ticket, a rule on trial, or history not yet touched by a live event"
    )
    event_time: Time = Field(description="when the trigger happened")
    as_of: Time = Field(description="the instant up to which the facts were computed")
    raised_at: Time = Field(description="the core's time when this version was issued")
