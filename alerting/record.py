"""What is written down of a delivery: when it is queued, after each attempt, and when its endpoint is known to be
gone.
"""

from alerting.outbox_state import Item
from alerting.retry import Verdict, judge
from alerting.send import Answer
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome, delivery_id
from models.times import format_instant


def queued_record(case_id: str, subscriber: str, item: Item) -> DeliveryRecord:
    """Return the record of a delivery as it stands in the queue."""
    return DeliveryRecord(
        delivery_id=delivery_id(subscriber, item.alert_id, item.mark),
        subscriber=subscriber,
        alert_id=item.alert_id,
        case_id=case_id,
        delivery_sequence=item.delivery_sequence,
        status=item.status,
        outcome=item.outcome,
        http_status=item.http_status,
        attempts=item.attempts,
        enqueued_at=format_instant(item.enqueued_at),
        first_attempt_at=_optional(item.first_attempt_at),
        last_attempt_at=_optional(item.last_attempt_at),
        next_attempt_at=_optional(item.next_at),
        endpoint_id=item.endpoint_id,
        position=item.position,
        mark=item.mark,
        kind=item.kind,
    )


def attempt_record(
    case_id: str, subscriber: str, endpoint_id: str, item: Item, answer: Answer, started_at: int, now: int, scale: float
) -> DeliveryRecord:
    """Return the record of one more attempt, with the instant of the next one."""
    attempts = item.attempts + 1
    ident = delivery_id(subscriber, item.alert_id, item.mark)
    verdict: Verdict = judge(ident, attempts, answer.outcome, now, answer.retry_after, scale)
    first = started_at if item.first_attempt_at is None else item.first_attempt_at
    return queued_record(case_id, subscriber, item).model_copy(
        update={
            "status": verdict.status,
            "outcome": answer.outcome,
            "http_status": answer.http_status,
            "attempts": attempts,
            "first_attempt_at": format_instant(first),
            "last_attempt_at": format_instant(started_at),
            "next_attempt_at": _optional(verdict.next_at),
            "endpoint_id": endpoint_id if verdict.status is DeliveryStatus.DISABLED else None,
        }
    )


def disabled_record(case_id: str, subscriber: str, endpoint_id: str, item: Item) -> DeliveryRecord:
    """Return the record of a delivery that is not attempted, since its endpoint has said that it is gone."""
    return queued_record(case_id, subscriber, item).model_copy(
        update={
            "status": DeliveryStatus.DISABLED,
            "outcome": Outcome.GONE,
            "next_attempt_at": None,
            "endpoint_id": endpoint_id,
        }
    )


def refused_record(case_id: str, subscriber: str, registry_version: str, item: Item) -> DeliveryRecord:
    """Return the record of a delivery that the conflict guard stopped at the last step."""
    return queued_record(case_id, subscriber, item).model_copy(
        update={
            "status": DeliveryStatus.REFUSED,
            "outcome": Outcome.CONFLICT,
            "next_attempt_at": None,
            "endpoint_id": registry_version,
        }
    )


def _optional(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
