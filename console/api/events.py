"""`/v1/events`: ticket events from systems without Kafka. All of a batch is taken or nothing, and what is taken is on Kafka."""

import logging
from collections import Counter
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from console.api.bodies import media_type
from console.api.models import EventsTaken
from console.api.problems import Problem, ProblemCode
from console.api.services import Parts, Sender, unavailable
from models.event_batch import EVENTS_MAX, BatchProblem, Framing, RefusedBatch, read_batch
from streams.event_sender import EventsNotTakenError

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/events", tags=["events"])

RETRY_SECONDS = 5
_ANY_EVENT = {"$ref": "#/components/schemas/TicketEvent"}
_REQUEST_BODY = {
    "required": True,
    "content": {
        Framing.OBJECT.value: {
            "schema": {
                "type": "object",
                "required": ["events"],
                "additionalProperties": False,
                "properties": {"events": {"type": "array", "minItems": 1, "maxItems": EVENTS_MAX, "items": _ANY_EVENT}},
            }
        },
        Framing.LINES.value: {
            "schema": {"type": "string", "description": f"a TicketEvent a line, at most {EVENTS_MAX} lines"}
        },
    },
}
_OF_PROBLEM = {
    BatchProblem.FRAME: (HTTPStatus.BAD_REQUEST, ProblemCode.NOT_JSON),
    BatchProblem.BROKEN: (HTTPStatus.BAD_REQUEST, ProblemCode.NOT_JSON),
    BatchProblem.TOO_MANY: (HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.TOO_MANY),
    BatchProblem.EVENTS: (HTTPStatus.UNPROCESSABLE_ENTITY, ProblemCode.EVENTS_REFUSED),
}


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("", status_code=HTTPStatus.ACCEPTED, openapi_extra={"requestBody": _REQUEST_BODY})
def send_events(body: Annotated[bytes, Depends(_body)], request: Request, client: Sender, parts: Parts) -> EventsTaken:
    """Send ticket events. 202: Kafka has them all, on every replica. Any error: send the same batch again once it is mended.

    An event may come any number of times: one known by its `event_id` changes nothing. Where events are at fault nothing is
    taken, and `errors` names each by its index.
    """
    framing = Framing.LINES if media_type(request.scope) == Framing.LINES else Framing.OBJECT
    try:
        events = read_batch(body, framing, parts.now() // 1000)
    except RefusedBatch as refused:
        reasons = Counter(one.reason for one in refused.refused)
        for reason, count in reasons.items():
            parts.metrics.refused_events.labels(reason.value).inc(count)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or refused.problem.value
        log.info("api: client %s: a batch of events refused: %s", client.name, told)
        raise _refusal(refused) from None
    try:
        parts.send_events(events)
    except EventsNotTakenError as error:
        log.error("events were not taken by Kafka: %s", error)
        detail = "Kafka has not taken all of the batch: send the same one again, what is there already stays as it is."
        raise unavailable(detail, RETRY_SECONDS) from None
    parts.metrics.events.inc(len(events))
    return EventsTaken(count=len(events))


def _refusal(batch: RefusedBatch) -> Problem:
    status, code = _OF_PROBLEM[batch.problem]
    errors = [
        {"index": one.index, "reason": one.reason.value, "field": one.field, "detail": one.detail}
        for one in batch.refused
    ]
    if not errors:
        detail = f"The body: {batch.detail}."
    elif batch.problem is BatchProblem.BROKEN:
        detail = (
            f"Nothing was taken: it is no JSON from event {errors[-1]['index']} on, where reading ended; see errors."
        )
    else:
        count = "1 event is" if len(errors) == 1 else f"{len(errors)} events are"
        detail = f"Nothing was taken: {count} at fault; see errors."
    return Problem(status, code, detail, errors=errors)
