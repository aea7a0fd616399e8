"""The stages of a delivery, composed in one place.

    decide:   dedup → route → guard → suppress      pure, once per alert and subscriber, when the alert is read;
                                                    then it is queued, or held and judged again
    attempt:  guard → write → sign → send → record  once per try, when its time has come

The guard stands twice: nothing is queued for whom it refuses, and what was queued before the registry changed is stopped
as the last step before a byte leaves. Nothing switches it off.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from alerting.dedup import DedupReason, dedup
from alerting.directory import Directory
from alerting.guard import refusal
from alerting.outbox_state import Item, Lane
from alerting.record import attempt_record, refused_record
from alerting.route import RouteReason, route
from alerting.send import Answer, Clock, send
from alerting.suppress import SuppressReason, Verdict, suppress
from alerting.webhook import Entry, build_call, call_id
from models.alert import Alert
from models.delivery import DeliveryKind, DeliveryRecord, Outcome, delivery_id
from models.subscriber import Subscriber

_NO_LANE = Lane()
SUPERSEDED = "superseded"
"""What is held gives way to a newer version of the same rule."""
RELEASED = "released"
"""What was held is queued."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with one alert for one subscriber, and why."""

    subscriber: str
    dedup: DedupReason
    route: RouteReason | None = None
    """Asked only for what is new."""
    verdict: Verdict | None = None
    """Asked only for what goes on."""
    detail: str | None = None

    @property
    def queues(self) -> bool:
        """Return whether the alert is queued."""
        return self.verdict is not None and not self.verdict.holds

    @property
    def holds(self) -> bool:
        """Return whether the alert is held."""
        return self.verdict is not None and self.verdict.holds

    @property
    def reason(self) -> str:
        """Return the one reason that decided, out of `DECISION_REASONS`."""
        if self.route is None:
            return self.dedup.value
        return self.verdict.reason.value if self.verdict is not None and self.verdict.holds else self.route.value


DECISION_REASONS = (
    *RouteReason,
    *(reason for reason in SuppressReason if reason is not SuppressReason.NONE),
    *(reason for reason in DedupReason if reason is not DedupReason.NEW),
    SUPERSEDED,
)
COUNTED_REASONS = (*DECISION_REASONS, RELEASED, *(kind for kind in DeliveryKind if kind is not DeliveryKind.ALERT))
"""What is counted: decisions, and what is queued without a new one."""


def decide(
    alert: Alert,
    subscriber: Subscriber,
    lane: Lane | None,
    directory: Directory,
    *,
    recipient: bool,
    now: int,
) -> Decision:
    """Return what is to be done with the alert for the subscriber, given its lane of the case so far; `recipient`:
    whether the routing tree leads to it.
    """
    lane = lane or _NO_LANE
    found = dedup(alert.alert_id, lane.queued(), [held.alert_id for held in lane.held], lane.seen)
    if found is not DedupReason.NEW:
        return Decision(subscriber.name, found)
    # Versions come in order. What is older than one it was told, or waits for, was judged before and is only read again.
    outdated = lane.newest(alert.rule.id) > alert.sequence
    told = alert.rule.id in lane.told and not outdated
    waiting = lane.holds(alert.rule.id) is not None and not outdated
    reason = route(alert, subscriber, recipient=recipient, told=told, waiting=waiting)
    if not reason.goes_on:
        return Decision(subscriber.name, found, reason)
    if outdated:
        return Decision(subscriber.name, DedupReason.SEEN)
    # The guard is asked last: of the many subscribers, most warnings go to few.
    refused = refusal(alert, subscriber, directory.registry, now)
    if refused is not None:
        return Decision(subscriber.name, found, RouteReason.CONFLICT, detail=f"{refused.reason}: {refused.detail}")
    verdict = suppress(
        alert,
        subscriber,
        lane.told,
        directory.policy,
        directory.silences,
        since=now,
        now=now,
        follow_up=reason is RouteReason.FOLLOW_UP,
    )
    return Decision(subscriber.name, found, reason, verdict, verdict.detail)


@dataclass(frozen=True, slots=True)
class Due:
    """One delivery that is due, and its alert as it was published."""

    case_id: str
    item: Item
    alert_json: bytes


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of a call, and the records of all that it carried, or that was refused."""

    answer: Answer | None
    """None: nothing was called, the guard refused all."""
    records: tuple[DeliveryRecord, ...]


async def attempt(
    dues: Sequence[Due],
    subscriber: Subscriber,
    directory: Directory,
    http: httpx.AsyncClient,
    clock: Clock,
    retry_scale: float,
) -> Attempted:
    """Make one call and return the records to be written. Raises nothing but cancellation, and what a body that is no
    alert raises.
    """
    started_at = clock()
    refused = [due for due in dues if _is_refused(due, subscriber, directory, started_at)]
    kept = [due for due in dues if due not in refused]
    version = directory.registry.version
    records = [refused_record(due.case_id, subscriber.name, version, due.item) for due in refused]
    if not kept:
        return Attempted(None, tuple(records))
    entries = [
        Entry(
            alert_json=due.alert_json,
            delivery_id=delivery_id(subscriber.name, due.item.alert_id, due.item.mark),
            delivery_sequence=due.item.delivery_sequence,
            kind=due.item.kind,
            mark=due.item.mark,
        )
        for due in kept
    ]
    answer = await send(http, build_call(entries, subscriber, started_at), subscriber, clock)
    ended_at, bundle = clock(), call_id(entries) if len(entries) > 1 else None
    for due in kept:
        record = attempt_record(
            due.case_id, subscriber.name, subscriber.endpoint_id, due.item, answer, started_at, ended_at, retry_scale
        )
        records.append(record if bundle is None else record.model_copy(update={"bundle_id": bundle}))
    return Attempted(answer, tuple(records))


def _is_refused(due: Due, subscriber: Subscriber, directory: Directory, now: int) -> bool:
    if due.item.kind is DeliveryKind.DRILL:
        return False  # made up, about nobody
    return refusal(Alert.model_validate_json(due.alert_json), subscriber, directory.registry, now) is not None


__all__ = [
    "COUNTED_REASONS",
    "DECISION_REASONS",
    "RELEASED",
    "SUPERSEDED",
    "Attempted",
    "Decision",
    "Due",
    "Outcome",
    "attempt",
    "decide",
]
