"""The service's own JSON: the alert's fields and which delivery it is."""

from collections.abc import Sequence

import orjson

from alerting.formats.written import Written
from alerting.payload import Entry, payload
from models.subscriber import Subscriber


def write(entries: Sequence[Entry], subscriber: Subscriber, now: int) -> Written:
    """Return the payload as it is."""
    (entry,) = entries
    return Written(orjson.dumps(payload(entry, subscriber)))
