"""What is still to be sent of one case, and what was: the value of the dispatch table, and its encoding.

One value per case; in it one lane per subscriber; in a lane a queue whose head alone may be sent. The alerts' bodies
are not in the value: they lie beside it under keys of their own (see outbox.py), so that a dead endpoint's backlog
makes no value large.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from models.delivery import DeliveryStatus, Outcome

VALUE_TYPE = "dispatch-case"
SCHEMA_VERSION = 1
SEEN_MAX = 512
"""Ids a lane remembers of what was sent: many times more than a redelivery can bring again."""


class StateError(ValueError):
    """Bytes that are no outbox value of a version we know."""


@dataclass(frozen=True, slots=True)
class Item:
    """A delivery that is not done. Instants in microseconds."""

    alert_id: str
    rule_id: str
    delivery_sequence: int
    enqueued_at: int
    next_at: int | None
    """When to try next; None while the endpoint is disabled."""
    source_ts_ms: int | None = None
    """When the ticket event that led here entered Kafka, if known."""
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    outcome: Outcome | None = None
    http_status: int | None = None
    first_attempt_at: int | None = None
    last_attempt_at: int | None = None
    endpoint_id: str | None = None
    """Of a disabled endpoint: which one said 410."""
    record_offset: int = -1
    """Where on hw.deliveries the record lies that made it what it is; -1 before the first attempt."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One subscriber's part of a case."""

    next_sequence: int = 1
    queue: tuple[Item, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    """Rule id → the last alert of it that was queued; a retraction ends it."""
    seen: tuple[str, ...] = ()

    def queued(self) -> frozenset[str]:
        """Return the ids of the alerts on their way."""
        return frozenset(item.alert_id for item in self.queue)


@dataclass(frozen=True, slots=True)
class CaseOutbox:
    """All of one case."""

    case_id: str
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    delivered_offset: int = -1
    """The highest offset on hw.deliveries of a record that took an item off its queue."""

    def queued(self) -> frozenset[str]:
        """Return the ids of the alerts that some lane still needs."""
        return frozenset(item.alert_id for lane in self.lanes.values() for item in lane.queue)


def encode(state: CaseOutbox) -> bytes:
    """Return the value as JSON."""
    return orjson.dumps(
        {
            "type": VALUE_TYPE,
            "schema_version": SCHEMA_VERSION,
            "case_id": state.case_id,
            "lanes": state.lanes,  # orjson writes frozen dataclasses and enums as they are
            "delivered_offset": state.delivered_offset,
        }
    )


def decode(value: bytes) -> CaseOutbox:
    """Return the value in the bytes. Raises StateError."""
    try:
        found = orjson.loads(value)
        if (found["type"], found["schema_version"]) != (VALUE_TYPE, SCHEMA_VERSION):
            raise StateError(f"a value of type {found['type']!r}, version {found['schema_version']!r}")
        lanes = {name: _lane(lane) for name, lane in found["lanes"].items()}
        return CaseOutbox(found["case_id"], lanes, found["delivered_offset"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise StateError("not a dispatch value") from None


def _lane(found: dict[str, object]) -> Lane:
    queue = tuple(_item(item) for item in found["queue"])  # type: ignore[attr-defined]
    return Lane(found["next_sequence"], queue, found["told"], tuple(found["seen"]))  # type: ignore[arg-type]


def _item(found: dict[str, object]) -> Item:
    status = DeliveryStatus(str(found["status"]))
    outcome = None if found["outcome"] is None else Outcome(str(found["outcome"]))
    return Item(**{**found, "status": status, "outcome": outcome})  # type: ignore[arg-type]
