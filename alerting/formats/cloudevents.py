"""CloudEvents 1.0 over HTTP, structured and binary (cloudevents.io). `source` and `id` name a delivery, so a replay is an
event of its own.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson

from alerting.formats.written import JSON, Written
from alerting.payload import Entry, payload, visible
from models.delivery import DeliveryKind
from models.subscriber import Subscriber
from models.times import format_instant, parse_instant

SOURCE = "/hotline-watch"
STRUCTURED_TYPE = "application/cloudevents+json; charset=utf-8"
# What the HTTP binding leaves as it is in a header's value: printable ASCII but space, quote and percent.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def event_type(status: str, kind: DeliveryKind) -> str:
    """Return the event's type; of a drill one that no rule for real warnings matches."""
    return f"cn.hotline-watch.alert.{'drill' if kind is DeliveryKind.DRILL else status}.v1"


def _attributes(entry: Entry, subscriber: Subscriber) -> dict[str, Any]:
    fields = visible(entry, subscriber)
    return {
        "specversion": "1.0",
        "id": entry.delivery_id,
        "source": SOURCE,
        "type": event_type(fields["status"], entry.kind),
        "subject": fields["case_id"],
        "time": format_instant(parse_instant(fields["raised_at"])),
        "deliverysequence": entry.delivery_sequence,
        "hwkind": entry.kind.value,
        "hwlevel": fields["level"],
    }


def write_structured(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return attributes and data as one JSON object."""
    (entry,) = entries
    event = _attributes(entry, subscriber) | {"datacontenttype": JSON, "data": payload(entry, subscriber)}
    return Written(orjson.dumps(event), STRUCTURED_TYPE)


def write_binary(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return the data as the body and the attributes as headers, which no signature covers."""
    (entry,) = entries
    headers = {f"ce-{name}": quote(str(value), safe=_PLAIN) for name, value in _attributes(entry, subscriber).items()}
    return Written(orjson.dumps(payload(entry, subscriber)), JSON, headers)
