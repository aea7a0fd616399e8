"""`/v1/alerts`: pull since a cursor, and why."""

import logging
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from alerting.guard import refusal
from alerting.payload import Entry, payload
from alerting.registry import Registry
from alerting.why import why
from console.api.cursor import CursorError, decode_cursor, encode_cursor
from console.api.models import PulledAlert, PulledPage, PullQuery, WhyView
from console.api.problems import Problem, ProblemCode, not_found
from console.api.services import Admin, Parts, Puller, Services
from console.ledger_pages import Pulled
from models.alert import Alert
from models.api_client import ApiClient, Role
from models.delivery import DeliveryKind, DeliveryStatus
from models.subscriber import Payload, Subscriber

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

AHEAD_RETRY_SECONDS = 2
AlertId = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("")
def pull_alerts(query: Annotated[PullQuery, Query()], client: Puller, parts: Parts) -> PulledPage:
    """Return what was queued for a subscriber since a cursor, delivered or not: beside the calls, or in place of them.

    Within a case the order is that of `delivery_sequence`. The same delivery may come again: know it by `delivery_id`.
    """
    subscriber = parts.subscriber(_whose(query, client))
    if not subscriber.enabled:
        raise Problem(HTTPStatus.FORBIDDEN, ProblemCode.FORBIDDEN, "The subscriber is disabled; its alerts are kept.")
    registry = parts.registry_in_force()
    try:
        after = {} if query.after is None else decode_cursor(query.after, subscriber.name, parts.partitions)
    except CursorError:
        detail = "`after` is not a cursor that this subscriber was given. Without one the pull begins at the beginning."
        raise Problem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_CURSOR, detail) from None
    if not after and not parts.feed_state().is_open:
        raise _not_yet(ProblemCode.CATCHING_UP, "The ledger is being read: try again.")
    page = parts.ledger.page(subscriber.name, after, query.limit)
    if page.ahead:
        detail = "The cursor is ahead of what is known here: try again. If that lasts, the topics were made anew: pull without one."
        raise _not_yet(ProblemCode.CURSOR_AHEAD, detail)
    full = replace(subscriber, payload=Payload.FULL)
    shown = [_shown(one, one.alert_json, full) for one in page.deliveries if _may_be_shown(one, full, registry, parts)]
    parts.metrics.pulled.inc(len(shown))
    return PulledPage(alerts=shown, next=encode_cursor(subscriber.name, page.next), more=page.more)


def _whose(query: PullQuery, client: ApiClient) -> str:
    if client.role is Role.SUBSCRIBER:
        assert client.subscriber is not None
        if query.subscriber not in (None, client.subscriber):
            raise not_found("There is no such subscriber.")  # whether there is one is not this client's to know
        return client.subscriber
    if query.subscriber is None:
        detail = "query.subscriber: an admin says whose alerts"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.INVALID, detail)
    return query.subscriber


def _not_yet(code: ProblemCode, detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, retry_after_seconds=AHEAD_RETRY_SECONDS)


def _may_be_shown(pulled: Pulled, subscriber: Subscriber, registry: Registry, parts: Services) -> bool:
    """Whether the guard lets the subscriber see it by the registry as it is now, whatever it let pass when it was queued."""
    record = pulled.record
    if pulled.alert_json is None:
        parts.metrics.missing.inc()
        return False
    reason = "refused" if record.status is DeliveryStatus.REFUSED else None
    if reason is None and record.kind is not DeliveryKind.DRILL:  # a drill is made up, about nobody
        found = refusal(Alert.model_validate_json(pulled.alert_json), subscriber, registry, parts.now())
        reason = None if found is None else found.reason.value
    if reason is not None:
        parts.metrics.refused.inc()
        log.warning("kept from a puller: subscriber %s, alert %s, %s", subscriber.name, record.alert_id, reason)
    return reason is None


def _shown(pulled: Pulled, alert_json: bytes | None, subscriber: Subscriber) -> PulledAlert:
    record = pulled.record
    entry = Entry(alert_json or b"", record.delivery_id, record.delivery_sequence, record.kind, record.mark)
    return PulledAlert(
        delivery_id=record.delivery_id,
        delivery_sequence=record.delivery_sequence,
        kind=record.kind,
        mark=record.mark,
        status_of_delivery=record.status,
        alert=payload(entry, subscriber),
    )


@router.get("/{alert_id}/why")
def why_alert(alert_id: AlertId, client: Admin, parts: Parts) -> WhyView:
    """Return why each subscriber got an alert, or did not."""
    alert = parts.ledger.alert(alert_id)
    answer = why(alert, parts.ledger.decisions(alert_id), parts.ledger.deliveries(alert_id))
    if answer.alert_id is None:
        raise not_found("There is no such alert, or it is not kept any longer.")
    log.info("api: client %s asked why: alert %s", client.name, answer.alert_id)
    told: dict[str, Any] = asdict(answer)
    return WhyView.model_validate(told)
