"""What of an alert a subscriber may have, and how a call says it. Every format writes from here and reads nothing else.

An allow-list: a field that `FIELD_PRIVACY` does not name never leaves. No field holds an unmasked word of a citizen; the
masked pieces that bear a text warning out are in `evidence` alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from models.delivery import DeliveryKind
from models.subscriber import Payload, Privacy, Subscriber

FIELD_PRIVACY: Mapping[str, Privacy] = {
    "schema_version": Privacy.MINIMAL,
    "alert_id": Privacy.MINIMAL,
    "case_id": Privacy.MINIMAL,
    "sequence": Privacy.MINIMAL,
    "status": Privacy.MINIMAL,
    "family": Privacy.MINIMAL,
    "rule": Privacy.MINIMAL,
    "level": Privacy.MINIMAL,
    "previous_alert_id": Privacy.MINIMAL,
    "event_time": Privacy.MINIMAL,
    "raised_at": Privacy.MINIMAL,
    "headline": Privacy.STANDARD,
    "categories": Privacy.STANDARD,
    "units": Privacy.STANDARD,
    "tickets": Privacy.STANDARD,
    "place": Privacy.STANDARD,
    "flags": Privacy.STANDARD,
    "reason": Privacy.STANDARD,
    "evidence": Privacy.FULL,
    "facts": Privacy.FULL,
    "thresholds": Privacy.FULL,
    "trigger": Privacy.FULL,
    "calendar_version": Privacy.FULL,
    "push": Privacy.FULL,
    "as_of": Privacy.FULL,
}
"""The least privacy level at which a subscriber has the field."""

THIN_FIELDS = ("schema_version", "alert_id", "case_id", "sequence", "status", "level", "family")
"""What a thin call says of the alert, beside its rule's id."""
FETCH_PATH = "/v1/alerts"
"""Where the rest of a thin call is fetched, on the address the operator names."""

_RANK = {Privacy.MINIMAL: 0, Privacy.STANDARD: 1, Privacy.FULL: 2}
_REPLAY_MARK = "replay-"


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery in a call."""

    alert_json: bytes
    """The alert as it was published."""
    delivery_id: str
    delivery_sequence: int
    kind: DeliveryKind = DeliveryKind.ALERT
    mark: str = ""
    """Which reminder, replay or drill; empty for the alert itself."""


def visible(entry: Entry, subscriber: Subscriber) -> dict[str, Any]:
    """Return the alert's fields that the subscriber may have, in the alert's order."""
    rank = _RANK[subscriber.privacy]
    found: dict[str, Any] = orjson.loads(entry.alert_json)
    return {
        name: value for name, value in found.items() if name in FIELD_PRIVACY and _RANK[FIELD_PRIVACY[name]] <= rank
    }


def payload(entry: Entry, subscriber: Subscriber) -> dict[str, Any]:
    """Return what a call says: the allowed fields (or, thin, that there is an alert) and which delivery it is."""
    fields = visible(entry, subscriber)
    thin = subscriber.payload is Payload.THIN
    if thin:
        fields = {name: fields[name] for name in THIN_FIELDS} | {"rule": {"id": fields["rule"]["id"]}}
    fields |= {"delivery_id": entry.delivery_id, "delivery_sequence": entry.delivery_sequence}
    if thin or entry.kind is not DeliveryKind.ALERT:
        fields["kind"] = entry.kind.value
    if entry.mark:
        fields["mark"] = entry.mark
    if entry.kind is DeliveryKind.REPLAY:
        fields["replay_id"] = entry.mark.removeprefix(_REPLAY_MARK)
    if entry.kind is DeliveryKind.DRILL:
        fields["drill"] = True
    if thin:
        fields["fetch"] = FETCH_PATH
    return fields
