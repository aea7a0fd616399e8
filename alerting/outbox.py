"""The outbox of one case: pure transitions, value + input → new value and what follows from it.

The rules:
- A lane's `delivery_sequence` counts what was queued: 1, 2, 3 …, no gaps, never reused.
- Only the head of a lane may be sent. What follows waits, however long; other lanes and other cases do not.
- An item leaves its queue by one thing alone: a record that says `delivered`.
- What suppression holds has no number yet: it gets one when it is released, so the numbers have no gaps. A newer version
  of the same rule takes its place; a retraction of what nobody was told ends it.
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

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from alerting.dedup import DedupReason
from alerting.directory import Directory
from alerting.outbox_state import SEEN_MAX, CaseOutbox, Held, Item, Lane
from alerting.record import queued_record
from alerting.routing import Routed
from alerting.stages import Decision, decide
from alerting.suppress import repeat_at, suppress
from alerting.told import Told
from models.alert import Alert
from models.base import Status
from models.delivery import DeliveryKind, DeliveryRecord, DeliveryStatus, Outcome
from models.subscriber import Subscriber
from models.times import MINUTE, parse_instant

Numbering = Callable[[str], int]
"""Returns a subscriber's next position."""
Bodies = Callable[[str], Alert | None]
"""Returns an alert that is kept, None where it is missing."""
NEVER = 2**63 - 1
LOOK_AGAIN = MINUTE


@dataclass(frozen=True, slots=True)
class Offered:
    """What an alert did: the new value, how it was routed, and the decision for each subscriber."""

    state: CaseOutbox
    queued: tuple[tuple[str, Item], ...]
    """Subscriber and item, wherever the alert is in a queue now: its record is to be written."""
    decisions: tuple[Decision, ...]
    routed: Routed | None = None
    superseded: tuple[tuple[str, str], ...] = ()
    """Subscriber and alert id of what was held and gave way."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a record did: the new value, and a correction to be produced."""

    state: CaseOutbox
    correction: DeliveryRecord | None = None


@dataclass(frozen=True, slots=True)
class Woken:
    """What time, or another directory, did to a case."""

    state: CaseOutbox
    queued: tuple[tuple[str, Item], ...] = ()
    changed: tuple[tuple[str, Held], ...] = ()
    """What stays held, for another reason or until another time than before."""


def offer(
    state: CaseOutbox,
    alert: Alert,
    directory: Directory,
    now: int,
    number: Numbering,
    source_ts_ms: int | None = None,
    only: str | None = None,
) -> Offered:
    """Queue or hold an alert for each subscriber that is to get it and has not got it; `only`: for one of them."""
    routed = directory.tree.route(alert, directory.reached, now) if alert.push else None
    recipients = _names(routed, directory, now)
    lanes = dict(state.lanes)
    queued: list[tuple[str, Item]] = []
    decisions: list[Decision] = []
    superseded: list[tuple[str, str]] = []
    for subscriber in directory.subscribers:
        if only is not None and subscriber.name != only:
            continue
        lane = lanes.get(subscriber.name)
        decision = decide(alert, subscriber, lane, directory, recipient=subscriber.name in recipients, now=now)
        decisions.append(decision)
        if decision.dedup is not DedupReason.NEW:
            queued += (
                [(subscriber.name, item) for item in lane.queue if item.name == (alert.alert_id, "")] if lane else []
            )
            continue
        given_way = None if lane is None else lane.holds(alert.rule.id)
        if lane is not None and given_way is not None and alert.push and (given_way.sequence or 0) <= alert.sequence:
            superseded.append((subscriber.name, given_way.alert_id))
            # Remembered: read again, it must not come back after what took its place.
            seen = (*lane.seen, given_way.alert_id)[-SEEN_MAX:]
            lane = lanes[subscriber.name] = replace(_without(lane, alert.rule.id), seen=seen)
        if decision.queues:
            item = _item(alert.alert_id, alert.rule.id, lane, now, number(subscriber.name), source_ts_ms)
            lanes[subscriber.name] = _enqueued(lane or Lane(), alert, item)
            queued.append((subscriber.name, item))
        elif decision.holds and decision.verdict is not None:
            verdict = decision.verdict
            held = Held(
                alert_id=alert.alert_id,
                rule_id=alert.rule.id,
                since=now,
                reason=verdict.reason,
                until=verdict.until,
                detail=verdict.detail,
                source_ts_ms=source_ts_ms,
                sequence=alert.sequence,
            )
            lane = lane or Lane()
            lanes[subscriber.name] = replace(lane, held=(*lane.held, held))
    return Offered(replace(state, lanes=lanes), tuple(queued), tuple(decisions), routed, tuple(superseded))


def _names(routed: Routed | None, directory: Directory, now: int) -> frozenset[str]:
    if routed is None:
        return frozenset()
    return frozenset(name for one in routed.recipients for name in directory.registry.subscribers_of(one.unit_id, now))


def _item(
    alert_id: str, rule_id: str, lane: Lane | None, now: int, position: int, source_ts_ms: int | None = None
) -> Item:
    return Item(
        alert_id=alert_id,
        rule_id=rule_id,
        delivery_sequence=1 if lane is None else lane.next_sequence,
        enqueued_at=now,
        next_at=now,
        source_ts_ms=source_ts_ms,
        position=position,
    )


def _enqueued(lane: Lane, alert: Alert, item: Item) -> Lane:
    told = {rule: one for rule, one in lane.told.items() if rule != alert.rule.id}
    if alert.status is not Status.RETRACTED:
        told[alert.rule.id] = Told(
            alert.alert_id, alert.level, item.enqueued_at, family=alert.family, sequence=alert.sequence
        )
    return replace(_again(lane, item), told=told)


def _again(lane: Lane, item: Item) -> Lane:
    """Return the lane with an item more, and nobody told anything new."""
    seen = f"{item.alert_id}|{item.mark}" if item.mark else item.alert_id
    return replace(
        lane, next_sequence=lane.next_sequence + 1, queue=(*lane.queue, item), seen=(*lane.seen, seen)[-SEEN_MAX:]
    )


def _without(lane: Lane, rule_id: str) -> Lane:
    return replace(lane, held=tuple(held for held in lane.held if held.rule_id != rule_id))


def say_again(
    state: CaseOutbox, alert: Alert, name: str, kind: DeliveryKind, mark: str, now: int, number: Numbering
) -> tuple[CaseOutbox, Item | None]:
    """Queue an alert once more for a subscriber, as a replay or a drill; the item where it is in the queue now, None
    where it came before.

    A replay is for those who were sent the alert; the caller has seen to that.
    """
    lane = state.lanes.get(name) or Lane()
    waiting = next((item for item in lane.queue if item.name == (alert.alert_id, mark)), None)
    if waiting is not None or f"{alert.alert_id}|{mark}" in lane.seen:
        return state, waiting
    item = replace(_item(alert.alert_id, alert.rule.id, lane, now, number(name)), kind=kind, mark=mark)
    return _with_lane(state, name, _again(lane, item)), item


def wake(state: CaseOutbox, bodies: Bodies, directory: Directory, now: int, number: Numbering) -> Woken:
    """Judge again what is held, and remind of what is still in force and due to be said again."""
    queued: list[tuple[str, Item]] = []
    changed: list[tuple[str, Held]] = []
    for name, lane in state.lanes.items():
        subscriber = directory.by_name.get(name)
        if subscriber is None:
            continue
        for held in lane.held:
            lane, item, still = _judged_again(lane, held, subscriber, bodies, directory, now, number)
            queued += [(name, item)] if item is not None else []
            changed += [(name, still)] if still is not None else []
        lane, reminders = _reminded(lane, subscriber, bodies, directory, now, number)
        queued += [(name, item) for item in reminders]
        state = _with_lane(state, name, lane)
    return Woken(state, tuple(queued), tuple(changed))


def _judged_again(
    lane: Lane,
    held: Held,
    subscriber: Subscriber,
    bodies: Bodies,
    directory: Directory,
    now: int,
    number: Numbering,
) -> tuple[Lane, Item | None, Held | None]:
    alert = bodies(held.alert_id)
    if alert is None:
        return lane, None, None  # never sent without having been read; it stays to be seen
    follow_up = held.rule_id in lane.told
    verdict = suppress(
        alert,
        subscriber,
        lane.told,
        directory.policy,
        directory.silences,
        since=held.since,
        now=now,
        follow_up=follow_up,
    )
    if verdict.holds:
        still = replace(held, reason=verdict.reason, until=verdict.until, detail=verdict.detail)
        kept = tuple(still if one is held else one for one in lane.held)
        return replace(lane, held=kept), None, still if still != held else None
    item = _item(held.alert_id, held.rule_id, lane, now, number(subscriber.name), held.source_ts_ms)
    return _enqueued(_without(lane, held.rule_id), alert, item), item, None


def _reminded(
    lane: Lane, subscriber: Subscriber, bodies: Bodies, directory: Directory, now: int, number: Numbering
) -> tuple[Lane, list[Item]]:
    items: list[Item] = []
    for rule_id, told in lane.told.items():
        due = repeat_at(told, subscriber)
        if due is None or due > now or any(item.rule_id == rule_id for item in lane.queue):
            continue
        alert = bodies(told.alert_id)
        if alert is None or _quiet(alert, subscriber, lane, directory, now) is not None:
            continue
        mark = f"repeat-{told.repeats + 1}"
        item = replace(
            _item(told.alert_id, rule_id, lane, now, number(subscriber.name)), kind=DeliveryKind.REPEAT, mark=mark
        )
        said = {**lane.told, rule_id: replace(told, at=now, repeats=told.repeats + 1)}
        lane = replace(_again(lane, item), told=said)
        items.append(item)
    return lane, items


def _quiet(alert: Alert, subscriber: Subscriber, lane: Lane, directory: Directory, now: int) -> int | None:
    """Return until when a reminder has to wait, None where it need not."""
    verdict = suppress(
        alert, subscriber, lane.told, directory.policy, directory.silences, since=0, now=now, follow_up=True
    )
    return (verdict.until or NEVER) if verdict.holds else None


def wake_at(state: CaseOutbox, directory: Directory) -> int | None:
    """Return the instant at which the case is to be looked at again though nothing has come; None: at none."""
    times: list[int] = []
    for name, lane in state.lanes.items():
        subscriber = directory.by_name.get(name)
        times += [NEVER if held.until is None else held.until for held in lane.held]
        if subscriber is not None and subscriber.repeat_hours is not None:
            times += [due for told in lane.told.values() if (due := repeat_at(told, subscriber)) is not None]
    return min(times, default=None)


def next_look(state: CaseOutbox, directory: Directory, now: int) -> int | None:
    """Return when the case is to be looked at again after it was looked at now; None: not until something comes.

    A reminder that is due and has to wait (quiet hours, one that is still on its way) is not looked at all the time.
    """
    at = wake_at(state, directory)
    return at if at is None or at > now else now + LOOK_AGAIN


def fold(state: CaseOutbox, record: DeliveryRecord, offset: int) -> Folded:
    """Take an outcome into the value; `offset`: the record's own on hw.deliveries."""
    lane = state.lanes.get(record.subscriber)
    if lane is None:
        return Folded(state)
    name = (record.alert_id, record.mark)
    item = next((item for item in lane.queue if item.name == name), None)
    if item is None:
        seen = f"{record.alert_id}|{record.mark}" if record.mark else record.alert_id
        late = offset > state.delivered_offset and seen in lane.seen
        stale = late and record.status is not DeliveryStatus.DELIVERED
        return Folded(state, _correction(record) if stale else None)
    if record.status is DeliveryStatus.DELIVERED:
        queue = tuple(other for other in lane.queue if other is not item)
        state = _with_lane(state, record.subscriber, replace(lane, queue=queue))
        return Folded(replace(state, delivered_offset=max(offset, state.delivered_offset)))
    stopped = record.status in (DeliveryStatus.DISABLED, DeliveryStatus.REFUSED)
    if record.attempts > item.attempts or (stopped and record.attempts == item.attempts):
        queue = tuple(_attempted(item, record, offset) if other is item else other for other in lane.queue)
        return Folded(_with_lane(state, record.subscriber, replace(lane, queue=queue)))
    differs = record.attempts != item.attempts or record.status is not item.status
    late = differs and offset > item.record_offset
    return Folded(state, correction=queued_record(state.case_id, record.subscriber, item) if late else None)


def _with_lane(state: CaseOutbox, name: str, lane: Lane) -> CaseOutbox:
    return replace(state, lanes={**state.lanes, name: lane})


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


def due_at(item: Item, subscriber: Subscriber, registry_version: str | None) -> int | None:
    """Return the instant from which a head may be sent, None while its endpoint is gone or the guard refuses. Another
    endpoint, or another registry, may be tried at once.
    """
    if item.status is DeliveryStatus.DISABLED:
        return None if item.endpoint_id == subscriber.endpoint_id else item.enqueued_at
    if item.status is DeliveryStatus.REFUSED:
        return None if item.endpoint_id == registry_version else item.enqueued_at
    return item.next_at


def on_this_clock(item: Item, due: int, now: int) -> int:
    """Return when an item is due at the latest by a clock that may have gone back since: a wait is never longer than it was meant.

    Instants in microseconds.
    """
    since = item.enqueued_at if item.last_attempt_at is None else item.last_attempt_at
    return due if since <= now else min(due, now + max(due - since, 0))
