"""The delivery record: how far one alert has come on its way to one subscriber. It never holds a URL, a secret or an
answer's body.

An alert is delivered to a subscriber once; a reminder, a replay or a drill is a delivery of its own, told apart by its
`mark`.
"""

import uuid
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from models.base import Contract, Time

_NAMESPACE = uuid.UUID("0d1f6a52-5a0e-5b7c-9d0c-6f0f2f1f5a11")


class DeliveryStatus(StrEnum):
    """Where a delivery stands. Only `delivered` is an end: nothing is ever given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    """The retry schedule is used up; it goes on at its last interval, and somebody should look."""
    DISABLED = "disabled"
    """The endpoint said 410 Gone; kept until its entry is changed."""
    REFUSED = "refused"
    """The conflict guard stopped it at the last step; kept, and judged again when the unit registry changes."""


class Outcome(StrEnum):
    """What came of the last attempt: a closed set, and a metric's label."""

    ACCEPTED = "accepted"
    REDIRECT = "redirect"
    HTTP_4XX = "http_4xx"
    GONE = "gone"
    TOO_MANY_REQUESTS = "too_many_requests"
    HTTP_5XX = "http_5xx"
    UNEXPECTED_STATUS = "unexpected_status"
    TIMEOUT = "timeout"
    DNS_FAILED = "dns_failed"
    REFUSED_ADDRESS = "refused_address"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    CONNECTION_LOST = "connection_lost"
    RESPONSE_TOO_LARGE = "response_too_large"
    ROBOT_REFUSED = "robot_refused"
    """A chat robot answered 200, and in its body that it did not take the message."""
    CONFLICT = "conflict"
    """Not called at all: the conflict guard, see `DeliveryStatus.REFUSED`."""
    INTERNAL_ERROR = "internal_error"


class DeliveryKind(StrEnum):
    """What a call is: the first news of an alert, or something that says it again."""

    ALERT = "alert"
    REPEAT = "repeat"
    """A reminder of a warning that is still in force."""
    REPLAY = "replay"
    """Sent again because somebody asked for it."""
    DRILL = "drill"


class DeliveryRecord(Contract):
    """One step of one delivery, on hw.deliveries under the key `subscriber|alert_id[|mark]`; the last one stands."""

    schema_version: Literal[1] = 1
    delivery_id: Annotated[str, Field(description="UUIDv5 of subscriber and alert_id; the webhook-id of every attempt")]
    subscriber: str
    alert_id: str
    case_id: str
    delivery_sequence: Annotated[int, Field(ge=1, description="per subscriber and case, from 1, no gaps")]
    status: DeliveryStatus
    outcome: Outcome | None = Field(None, description="of the last attempt; none before the first")
    http_status: int | None = None
    attempts: Annotated[int, Field(ge=0)] = 0
    enqueued_at: Time
    first_attempt_at: Time | None = None
    last_attempt_at: Time | None = None
    next_attempt_at: Time | None = None
    endpoint_id: str | None = Field(None, description="of a disabled endpoint: which one said so")
    position: Annotated[int, Field(ge=0)] = Field(
        0, description="per subscriber and partition, rising: what a puller's cursor counts; 0 in records of old"
    )
    mark: str = Field("", description="empty for the alert itself; of a reminder, a replay, a drill: which")
    kind: DeliveryKind = DeliveryKind.ALERT
    bundle_id: str | None = Field(None, description="the webhook-id of the message that carried it with others")

    @property
    def key(self) -> bytes:
        """Return the record's Kafka key."""
        return delivery_key(self.subscriber, self.alert_id, self.mark)


def delivery_id(subscriber: str, alert_id: str, mark: str = "") -> str:
    """Return the id of a delivery, the same for all its attempts."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((subscriber, alert_id, mark) if mark else (subscriber, alert_id))))


def bundle_id(delivery_ids: Iterable[str]) -> str:
    """Return the id of a message that carries several deliveries: the same for the same ones in the same order."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join(("bundle", *delivery_ids))))


def delivery_key(subscriber: str, alert_id: str, mark: str = "") -> bytes:
    """Return the Kafka key of a delivery's records; neither a subscriber's name nor a mark has a `|`."""
    return "|".join((subscriber, alert_id, mark) if mark else (subscriber, alert_id)).encode()
