"""The outbox of one case: pure transitions, value + input → new value and what follows from it.

The rules:
- A lane's `delivery_sequence` counts what was queued: 1, 2, 3 …, no gaps, never reused.
- Only the head of a lane may be sent. What follows waits, however long; other lanes and other cases do not.
- An item leaves its queue by one thing alone: a record that says `delivered`.
- Every input may come again (at least once). Alerts are known by id, records by their number of attempts; the same
  input twice changes nothing the second time.

Who writes what, and in which order, so that a crash anywhere loses nothing (the dispatch worker keeps to it):
1. alerts read → values, bodies and `queued` records written and acknowledged → only now may a head be sent → offsets
   acked. A crash before the last ack reads the alerts again: what is in a queue by then has its record written again.
2. head sent → its outcome produced and acknowledged → read back → folded → the next head.
   A crash in between repeats the call with the same webhook-id.
A record may so come after a later one: written again on redelivery, or by a stale worker. `fold` answers it with a
correction, so that the last record of a delivery's key on the (compacted) topic is right in the end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from alerting.dedup import DedupReason
from alerting.outbox_state import SEEN_MAX, CaseOutbox, Item, Lane
from alerting.record import queued_record
from alerting.stages import Decision, decide
from models.alert import Alert
from models.base import Status
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome
from models.subscriber import Subscriber
from models.times import parse_instant


@dataclass(frozen=True, slots=True)
class Offered:
    """What an alert did: the new value, and the decision for each subscriber."""

    state: CaseOutbox
    queued: tuple[tuple[str, Item], ...]
    """Subscriber and item, wherever the alert is in a queue now: its record and its body are to be written."""
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """What a record did: the new value, the alert whose body nobody needs any longer, and a correction to be
    produced.
    """

    state: CaseOutbox
    released: str | None = None
    correction: DeliveryRecord | None = None


def offer(
    state: CaseOutbox, alert: Alert, subscribers: Iterable[Subscriber], now: int, source_ts_ms: int | None = None
) -> Offered:
    """Queue an alert for each subscriber that wants it and has not got it."""
    lanes = dict(state.lanes)
    queued: list[tuple[str, Item]] = []
    decisions: list[Decision] = []
    for subscriber in subscribers:
        lane = lanes.get(subscriber.name)
        decision = decide(alert, subscriber, lane)
        decisions.append(decision)
        if decision.queues:
            lanes[subscriber.name], item = _enqueue(lane or Lane(), alert, now, source_ts_ms)
            queued.append((subscriber.name, item))
        elif lane is not None and decision.dedup is DedupReason.QUEUED:
            queued += [(subscriber.name, item) for item in lane.queue if item.alert_id == alert.alert_id]
    return Offered(replace(state, lanes=lanes), tuple(queued), tuple(decisions))


def _enqueue(lane: Lane, alert: Alert, now: int, source_ts_ms: int | None) -> tuple[Lane, Item]:
    item = Item(
        alert_id=alert.alert_id,
        rule_id=alert.rule.id,
        delivery_sequence=lane.next_sequence,
        enqueued_at=now,
        next_at=now,
        source_ts_ms=source_ts_ms,
    )
    told = {rule: alert_id for rule, alert_id in lane.told.items() if rule != alert.rule.id}
    if alert.status is not Status.RETRACTED:
        told[alert.rule.id] = alert.alert_id
    changed = Lane(
        next_sequence=lane.next_sequence + 1,
        queue=(*lane.queue, item),
        told=told,
        seen=(*lane.seen, alert.alert_id)[-SEEN_MAX:],
    )
    return changed, item


def fold(state: CaseOutbox, record: DeliveryRecord, offset: int) -> Folded:
    """Take an outcome into the value; `offset`: the record's own on hw.deliveries."""
    lane = state.lanes.get(record.subscriber)
    if lane is None:
        return Folded(state)
    item = next((item for item in lane.queue if item.alert_id == record.alert_id), None)
    if item is None:
        late = offset > state.delivered_offset and record.alert_id in lane.seen
        stale = late and record.status is not DeliveryStatus.DELIVERED
        return Folded(state, _released(state, record.alert_id), _correction(record) if stale else None)
    if record.status is DeliveryStatus.DELIVERED:
        queue = tuple(other for other in lane.queue if other is not item)
        state = _with_lane(state, record.subscriber, replace(lane, queue=queue))
        state = replace(state, delivered_offset=max(offset, state.delivered_offset))
        return Folded(state, _released(state, record.alert_id))
    if record.attempts > item.attempts or (
        record.status is DeliveryStatus.DISABLED and record.attempts == item.attempts
    ):
        queue = tuple(_attempted(item, record, offset) if other is item else other for other in lane.queue)
        return Folded(_with_lane(state, record.subscriber, replace(lane, queue=queue)))
    differs = record.attempts != item.attempts or record.status is not item.status
    late = differs and offset > item.record_offset
    return Folded(state, correction=queued_record(state.case_id, record.subscriber, item) if late else None)


def _with_lane(state: CaseOutbox, name: str, lane: Lane) -> CaseOutbox:
    return replace(state, lanes={**state.lanes, name: lane})


def _released(state: CaseOutbox, alert_id: str) -> str | None:
    return None if alert_id in state.queued() else alert_id


def _attempted(item: Item, record: DeliveryRecord, offset: int) -> Item:
    return replace(
        item,
        status=record.status,
        attempts=record.attempts,
        outcome=record.outcome,
        http_status=record.http_status,
        first_attempt_at=_instant(record.first_attempt_at),
        last_attempt_at=_instant(record.last_attempt_at),
        next_at=_instant(record.next_attempt_at),
        endpoint_id=record.endpoint_id,
        record_offset=offset,
    )


def _correction(record: DeliveryRecord) -> DeliveryRecord:
    return record.model_copy(
        update={
            "status": DeliveryStatus.DELIVERED,
            "outcome": Outcome.ACCEPTED,
            "http_status": None,
            "next_attempt_at": None,
            "endpoint_id": None,
        }
    )


def _instant(time: str | None) -> int | None:
    return None if time is None else parse_instant(time)


def heads(state: CaseOutbox) -> Iterator[tuple[str, Item]]:
    """Yield each subscriber's name and the one item that may be sent to it."""
    for name, lane in state.lanes.items():
        if lane.queue:
            yield name, lane.queue[0]


def due_at(item: Item, subscriber: Subscriber) -> int | None:
    """Return the instant from which a head may be sent, None while its endpoint is gone. Another endpoint may be
    tried at once.
    """
    if item.status is DeliveryStatus.DISABLED:
        return None if item.endpoint_id == subscriber.endpoint_id else item.enqueued_at
    return item.next_at
