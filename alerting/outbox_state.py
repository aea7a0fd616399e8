"""What is still to be sent of one case, and what was: the value of the dispatch table, and its encoding.

One value per case; in it one lane per subscriber; in a lane a queue whose head alone may be sent, and what suppression
holds back. The alerts' bodies are not in the value: they lie beside it under keys of their own (see outbox.py), so that
a dead endpoint's backlog makes no value large.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from alerting.suppress import SuppressReason
from alerting.told import Told
from models.base import Family, Level
from models.delivery import DeliveryKind, DeliveryStatus, Outcome

VALUE_TYPE = "dispatch-case"
SCHEMA_VERSION = 2
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
    """When to try next; None while the endpoint is disabled, or the guard refuses."""
    source_ts_ms: int | None = None
    """When the ticket event that led here entered Kafka, if known."""
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    outcome: Outcome | None = None
    http_status: int | None = None
    first_attempt_at: int | None = None
    last_attempt_at: int | None = None
    endpoint_id: str | None = None
    """Of a disabled endpoint: which one said 410; of a refusal: the version of the registry that it rests on."""
    record_offset: int = -1
    """Where on hw.deliveries the record lies that made it what it is; -1 before the first attempt."""
    position: int = 0
    kind: DeliveryKind = DeliveryKind.ALERT
    mark: str = ""

    @property
    def name(self) -> tuple[str, str]:
        """Return what tells the delivery from others of the lane."""
        return self.alert_id, self.mark

    @property
    def try_key(self) -> tuple[str, str, int, str | None]:
        """Return what tells the next attempt from others of the lane; parked without a call, an item has as many attempts as before."""
        return self.alert_id, self.mark, self.attempts, self.endpoint_id


@dataclass(frozen=True, slots=True)
class Held:
    """An alert that suppression holds back; it has no number yet. Instants in microseconds."""

    alert_id: str
    rule_id: str
    since: int
    reason: SuppressReason
    until: int | None = None
    """When it is judged again; None: when the case changes."""
    detail: str | None = None
    source_ts_ms: int | None = None
    sequence: int | None = None
    """The version's number in its case."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One subscriber's part of a case."""

    next_sequence: int = 1
    queue: tuple[Item, ...] = ()
    held: tuple[Held, ...] = ()
    told: Mapping[str, Told] = field(default_factory=dict)
    """Rule id → the last alert of it that was queued; a retraction ends it."""
    seen: tuple[str, ...] = ()
    """What was queued before: alert ids, and `alert|mark` of what was said again."""

    def queued(self) -> frozenset[str]:
        """Return the ids of the alerts on their way."""
        return frozenset(item.alert_id for item in self.queue if not item.mark)

    def newest(self, rule_id: str) -> int:
        """Return the number of the newest version of a rule that is in force for the subscriber or held back from it, 0 where none is."""
        versions = [held.sequence for held in self.held if held.rule_id == rule_id]
        versions += [self.told[rule_id].sequence] if rule_id in self.told else []
        return max((version for version in versions if version is not None), default=0)

    def holds(self, rule_id: str) -> Held | None:
        """Return what is held of a rule."""
        return next((held for held in self.held if held.rule_id == rule_id), None)


@dataclass(frozen=True, slots=True)
class CaseOutbox:
    """All of one case."""

    case_id: str
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    delivered_offset: int = -1
    """The highest offset on hw.deliveries of a record that took an item off its queue."""
    at: int = 0
    """When it last changed, microseconds; 0: a release that did not say so wrote it."""

    def is_idle(self, before: int) -> bool:
        """Tell whether nothing is queued or held, and nothing has changed since an instant."""
        return 0 < self.at < before and not any(lane.queue or lane.held for lane in self.lanes.values())

    def needed(self, repeating: Collection[str] = ()) -> frozenset[str]:
        """Return the ids of the alerts whose bodies are still needed: queued, held, or to be repeated to one of
        `repeating` (subscribers' names).
        """
        found: set[str] = set()
        for name, lane in self.lanes.items():
            found.update(item.alert_id for item in lane.queue)
            found.update(held.alert_id for held in lane.held)
            if name in repeating:
                found.update(told.alert_id for told in lane.told.values())
        return frozenset(found)


def encode(state: CaseOutbox) -> bytes:
    """Return the value as JSON."""
    return orjson.dumps(
        {
            "type": VALUE_TYPE,
            "schema_version": SCHEMA_VERSION,
            "case_id": state.case_id,
            "lanes": state.lanes,  # orjson writes frozen dataclasses and enums as they are
            "delivered_offset": state.delivered_offset,
            "at": state.at,
        }
    )


def decode(value: bytes) -> CaseOutbox:
    """Return the value in the bytes, also of the version before. Raises StateError."""
    try:
        found = orjson.loads(value)
        if found["type"] != VALUE_TYPE or found["schema_version"] not in (1, SCHEMA_VERSION):
            raise StateError(f"a value of type {found['type']!r}, version {found['schema_version']!r}")
        lanes = {name: _lane(lane) for name, lane in found["lanes"].items()}
        return CaseOutbox(found["case_id"], lanes, found["delivered_offset"], found.get("at", 0))
    except StateError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StateError("not a dispatch value") from None


def _lane(found: dict[str, Any]) -> Lane:
    return Lane(
        found["next_sequence"],
        tuple(_item(item) for item in found["queue"]),
        tuple(
            Held(**{**held, "reason": SuppressReason(held["reason"])}) for held in found.get("held", ())
        ),  # none before version 2
        {rule: _told(told) for rule, told in found["told"].items()},
        tuple(found["seen"]),
    )


def _told(found: Any) -> Told:
    if isinstance(found, str):  # version 1 knew the alert alone
        return Told(found, None, None)
    level = None if found["level"] is None else Level(found["level"])
    family = None if found.get("family") is None else Family(found["family"])
    return Told(found["alert_id"], level, found["at"], found["repeats"], family, found.get("sequence"))


def _item(found: dict[str, Any]) -> Item:
    changed: dict[str, Any] = {"status": DeliveryStatus(found["status"])}
    if found["outcome"] is not None:
        changed["outcome"] = Outcome(found["outcome"])
    if "kind" in found:
        changed["kind"] = DeliveryKind(found["kind"])
    return Item(**{**found, **changed})
