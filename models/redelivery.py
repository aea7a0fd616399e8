"""What somebody asks the dispatch worker to do with an alert: send it again, judge it again, or send a drill.

On hw.redeliveries, in the partition of the alert's case, so that whoever owns the case does it.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from models.alert import Alert
from models.base import Contract, Time


class RedeliveryKind(StrEnum):
    """What is asked."""

    REPLAY = "replay"
    """Send it again to a subscriber who was sent it before, marked as a replay."""
    REROUTE = "reroute"
    """Decide again, for subscribers who were not sent it: after the registry, a route or a filter was mended."""
    DRILL = "drill"
    """Send a made-up alert to one subscriber, marked as a drill."""


class RedeliveryRequest(Contract):
    """One request, for one alert."""

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    kind: RedeliveryKind
    subscriber: str | None = Field(None, description="for this one only; of a drill always given")
    alert: Alert
    requested_at: Time
    requested_by: Annotated[str, Field(max_length=64)] = ""
