"""The stages of a delivery, composed in one place.

    decide:   dedup → route          pure, once per alert and subscriber, when the alert is read; then it is queued
    (outbox.py) attempt:  body → sign → send → record    once per try, when its time has come

Suppression (grouping, silences, quiet hours) belongs after `route`, a check against the unit registry right before
`sign`.
"""

from dataclasses import dataclass

import httpx

from alerting.dedup import DedupReason, dedup
from alerting.outbox_state import Item, Lane
from alerting.record import attempt_record
from alerting.route import RouteReason, route
from alerting.send import Answer, Clock, send
from alerting.webhook import sign, webhook_body
from models.alert import Alert
from models.delivery import DeliveryRecord, delivery_id
from models.subscriber import Subscriber

_NO_LANE = Lane()


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with one alert for one subscriber, and why."""

    subscriber: str
    dedup: DedupReason
    route: RouteReason | None = None
    """Asked only for what is new."""

    @property
    def queues(self) -> bool:
        """Return whether the alert is queued."""
        return self.route is not None and self.route.sends

    @property
    def reason(self) -> str:
        """Return the one reason that decided, out of the closed sets of dedup and routing."""
        return self.dedup.value if self.route is None else self.route.value


DECISION_REASONS = (*RouteReason, DedupReason.QUEUED, DedupReason.SEEN)


def decide(alert: Alert, subscriber: Subscriber, lane: Lane | None) -> Decision:
    """Return whether the alert is to be queued for the subscriber, given its lane of the case so far."""
    lane = lane or _NO_LANE
    found = dedup(alert.alert_id, lane.queued(), lane.seen)
    if found is not DedupReason.NEW:
        return Decision(subscriber.name, found)
    return Decision(subscriber.name, found, route(alert, subscriber, told=alert.rule.id in lane.told))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that is due: which delivery, to whom, and the alert as it was published."""

    case_id: str
    item: Item
    subscriber: Subscriber
    alert_json: bytes


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of a try, and the record of it."""

    answer: Answer
    record: DeliveryRecord


async def attempt(due: Attempt, http: httpx.AsyncClient, clock: Clock, retry_scale: float) -> Attempted:
    """Make one try and return the record to be written. Raises nothing but cancellation."""
    subscriber, item = due.subscriber, due.item
    started_at = clock()
    body = webhook_body(due.alert_json, item.delivery_sequence)
    call = sign(delivery_id(subscriber.name, item.alert_id), body, subscriber.secrets[0].key, started_at)
    answer = await send(http, subscriber.url, call, subscriber.timeout_seconds, clock)
    record = attempt_record(
        due.case_id, subscriber.name, subscriber.endpoint_id, item, answer, started_at, clock(), retry_scale
    )
    return Attempted(answer, record)
