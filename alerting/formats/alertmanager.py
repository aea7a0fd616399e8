"""Prometheus Alertmanager's webhook, version 4: what its receivers read. One call is one group of one alert.

A warning of one rule on one case is one group and keeps its fingerprint through all its versions, so that its retraction
resolves what its first version opened, whatever the level was in between.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from alerting.formats.written import Written
from alerting.payload import Entry, payload, visible
from models.base import Level, Status
from models.delivery import DeliveryKind
from models.subscriber import Subscriber
from models.times import format_instant, parse_instant

SEVERITIES = {Level.RED: "critical", Level.YELLOW: "warning", Level.BLUE: "info"}
STILL_FIRING = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for an end that has not come."""


def write(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return a group of one alert: firing, or resolved where it is a retraction."""
    (entry,) = entries
    fields, times = payload(entry, subscriber), visible(entry, subscriber)
    resolved = fields["status"] == Status.RETRACTED
    status = "resolved" if resolved else "firing"
    group = {"alertname": fields["rule"]["id"], "case": fields["case_id"]}
    if entry.kind is DeliveryKind.DRILL:
        group["drill"] = "true"
    labels = group | {
        "family": fields["family"],
        "level": fields["level"],
        "severity": SEVERITIES[Level(fields["level"])],
    }
    annotations = _annotations(fields, entry)
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": _time(times["event_time"]),
        "endsAt": _time(times["raised_at"]) if resolved else STILL_FIRING,
        "generatorURL": "",
        "fingerprint": _fingerprint(group),
    }
    call = {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f"{name}={_quoted(value)}" for name, value in group.items()) + "}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": subscriber.name,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }
    return Written(orjson.dumps(call))


def _annotations(fields: dict[str, Any], entry: Entry) -> dict[str, str]:
    """Return the payload as texts, which is all that an annotation may be; nothing for what the payload lacks."""
    place = fields.get("place") or {}
    condition = fields.get("thresholds", {}).get(fields["level"])
    found = {
        "summary": fields.get("headline"),
        "title": fields["rule"].get("title"),
        "why": condition and f"{condition};{orjson.dumps(fields['facts']).decode()}",
        "description": "\n".join(f"{one['occurred_at']} {one['what']}" for one in fields.get("evidence", ())),
        "accused_units": _names(fields, "accused"),
        "involved_units": _names(fields, "involved"),
        "tickets": "、".join(fields.get("tickets", ())),
        "place": "".join(place[part] for part in ("district", "street", "community") if place.get(part)),
        "categories": "、".join(fields.get("categories", ())),
        "flags": "、".join(fields.get("flags", ())),
        "reason": fields.get("reason"),
        "change": fields["status"],
        "sequence": str(fields["sequence"]),
        "alert_id": fields["alert_id"],
        "delivery_id": entry.delivery_id,
        "delivery_sequence": str(entry.delivery_sequence),
        "kind": entry.kind.value,
        "mark": entry.mark,
        "fetch": fields.get("fetch"),
    }
    return {name: text for name, text in found.items() if text}


def _names(fields: dict[str, Any], role: str) -> str:
    return "、".join(unit.get("name") or unit["id"] for unit in fields.get("units", ()) if unit["role"] == role)


def _time(text: str) -> str:
    return format_instant(parse_instant(text))


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _fingerprint(group: dict[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(group, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
