"""Which deliveries are sent again: a selection over what was delivered, as requests to the dispatch worker. Pure.

What is asked for is asked per alert and subscriber: the conflict guard judges each again before it leaves.
"""

import uuid
from collections.abc import Iterable

from models.alert import Alert
from models.delivery import DeliveryKind, DeliveryRecord, DeliveryStatus
from models.redelivery import RedeliveryKind, RedeliveryRequest
from models.times import format_instant, parse_instant

REPLAYS_MAX = 10_000
"""Requests of one replay; more is a mistake, or is done in parts."""
_NAMESPACE = uuid.UUID("6a1c3f7e-0b52-5d0e-8a54-7f5f0c4b9e21")
_FIRST_NEWS = frozenset({DeliveryKind.ALERT, DeliveryKind.REPEAT})


def replay_id_of(*parts: str) -> str:
    """Return the id of a replay, the same for the same parts: who asks, their key, and what is asked for."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join(f"{len(part)}:{part}" for part in parts)))


def requests_for(
    alerts: Iterable[Alert],
    deliveries: Iterable[DeliveryRecord],
    *,
    subscriber: str | None = None,
    alert_id: str | None = None,
    since: int | None = None,
    until: int | None = None,
    replay_id: str,
    requested_by: str,
    now: int,
) -> list[RedeliveryRequest]:
    """Return one request for each alert and subscriber to which it was delivered, each case's in the order of its
    versions.

    `since` (inclusive) and `until` (exclusive) bound when it was delivered, in microseconds. Drills and what was itself
    a replay are left out, and so is what is no longer among `alerts`.
    """
    sent = {
        (record.alert_id, record.subscriber)
        for record in deliveries
        if record.kind in _FIRST_NEWS
        and record.status is DeliveryStatus.DELIVERED
        and subscriber in (None, record.subscriber)
        and alert_id in (None, record.alert_id)
        and _within(record, since, until)
    }
    known = {alert.alert_id: alert for alert in alerts}
    chosen = sorted(
        ((known[one], name) for one, name in sent if one in known),
        key=lambda pair: (pair[0].case_id, pair[0].sequence, pair[0].alert_id, pair[1]),
    )
    return [
        RedeliveryRequest(
            request_id=replay_id,
            kind=RedeliveryKind.REPLAY,
            subscriber=name,
            alert=alert,
            requested_at=format_instant(now),
            requested_by=requested_by,
        )
        for alert, name in chosen
    ]


def _within(record: DeliveryRecord, since: int | None, until: int | None) -> bool:
    at = parse_instant(record.last_attempt_at or record.enqueued_at)
    return (since is None or since <= at) and (until is None or at < until)
