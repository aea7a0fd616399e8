"""The decision record: what was decided about one alert for each subscriber, and by which configuration.

One record an alert and decision, on hw.decisions under the case's key: the answer to "why did this subscriber not get it?".
"""

from typing import Annotated

from pydantic import Field

from models.base import Contract, Time


class SubscriberDecision(Contract):
    """What was decided for one subscriber; `reason` is one of the closed set of alerting/stages.py."""

    subscriber: str
    reason: str
    detail: str | None = Field(None, description="which silence, which inhibiting or superseding alert")
    until: Time | None = Field(None, description="of what is held: when it is judged again")


class DecisionRecord(Contract):
    """How one alert was routed, and what became of it for each subscriber."""

    alert_id: str
    case_id: str
    decided_at: Time
    occasion: Annotated[str, Field(description="alert, release, reroute, repeat")] = "alert"
    branch: str | None = Field(None, description="the routing branch taken; none where routing was not asked")
    why: tuple[str, ...] = Field((), description="in plain Chinese: which branch, which recipients, and why those")
    registry_version: str | None = None
    routing_version: str | None = None
    decisions: tuple[SubscriberDecision, ...] = ()
    not_routed: tuple[str, ...] = Field((), description="subscribers that the branch does not lead to")
