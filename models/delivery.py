"""The delivery record: how far one alert has come on its way to one subscriber. It never holds a URL, a secret or an
answer's body.
"""

import uuid
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
    INTERNAL_ERROR = "internal_error"


class DeliveryRecord(Contract):
    """One step of one delivery, on hw.deliveries under the key `subscriber|alert_id`; the last one stands."""

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

    @property
    def key(self) -> bytes:
        """Return the record's Kafka key."""
        return delivery_key(self.subscriber, self.alert_id)


def delivery_id(subscriber: str, alert_id: str) -> str:
    """Return the id of a delivery, the same for all its attempts."""
    return str(uuid.uuid5(_NAMESPACE, f"{subscriber}\n{alert_id}"))


def delivery_key(subscriber: str, alert_id: str) -> bytes:
    """Return the Kafka key of a delivery's records; a subscriber's name has no `|`."""
    return f"{subscriber}|{alert_id}".encode()
