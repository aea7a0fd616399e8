"""`/v1/replays`: send again what was delivered."""

import logging
from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Header

from alerting.replaying import REPLAYS_MAX, replay_id_of, requests_for
from console.api.models import Accepted, ReplayOrder
from console.api.problems import Problem, ProblemCode
from console.api.sending import send_or_refuse
from console.api.services import Admin, Parts
from models.times import parse_instant

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/replays", tags=["replays"])

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[!-~]+$")]


@router.post("", status_code=HTTPStatus.ACCEPTED)
def replay(order: ReplayOrder, client: Admin, parts: Parts, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Send again what was delivered, each marked as a replay: after a receiver has lost it, say.

    With an `Idempotency-Key` the same order may be sent twice: the second time nothing new comes of it.
    """
    if order.subscriber is not None:
        parts.subscriber(order.subscriber)
    since, until = (None if time is None else parse_instant(time) for time in (order.since, order.until))
    found = parts.ledger.attempted(
        subscriber=order.subscriber, alert_id=order.alert_id, since=since, until=until, limit=REPLAYS_MAX + 1
    )
    if len(found) > REPLAYS_MAX:
        detail = f"More than {REPLAYS_MAX} deliveries: narrow it down by subscriber or time."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.TOO_MANY, detail)
    replay_id = (
        str(uuid4())
        if idempotency_key is None
        else replay_id_of(client.name, idempotency_key, order.model_dump_json(exclude={"reason"}))
    )
    requests = requests_for(
        parts.ledger.alerts(dict.fromkeys(record.alert_id for record in found)),
        found,
        subscriber=order.subscriber,
        alert_id=order.alert_id,
        since=since,
        until=until,
        replay_id=replay_id,
        requested_by=client.name,
        now=parts.now(),
    )
    send_or_refuse(parts, requests)
    log.info(
        "api: client %s: replay %s of %s deliveries, subscriber %s, because: %s",
        client.name,
        replay_id,
        len(requests),
        order.subscriber or "any",
        order.reason,
    )
    return Accepted(replay_id=replay_id, count=len(requests))
