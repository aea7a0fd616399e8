"""One attempt: POST, judge the answer, never hang, never read much. What comes back is an outcome of the closed set.

A call is accepted when a 2xx answer has come *whole*: where the connection breaks after the status line, nobody knows
what the receiver kept, and a repeated call (same webhook-id) is safe while a lost one is not. An answer of more than
16 kB is no receiver's (a portal's page, perhaps) and is not taken for one.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from alerting.addresses import RefusedEndpointError, ResolutionFailedError
from alerting.formats import judge_answer
from alerting.retry import parse_retry_after
from alerting.webhook import Call
from models.delivery import Outcome
from models.subscriber import Subscriber

RESPONSE_BYTES_MAX = 16 * 1024

Clock = Callable[[], int]
"""Returns the current instant in microseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt; `retry_after` in microseconds from the answer."""

    outcome: Outcome
    http_status: int | None = None
    retry_after: int | None = None


def outcome_of_status(status: int) -> Outcome:
    """Return what a status code means."""
    if 200 <= status < 300:
        return Outcome.ACCEPTED
    if 300 <= status < 400:
        return Outcome.REDIRECT
    if status == 410:
        return Outcome.GONE
    if status == 429:
        return Outcome.TOO_MANY_REQUESTS
    if 400 <= status < 500:
        return Outcome.HTTP_4XX
    if 500 <= status < 600:
        return Outcome.HTTP_5XX
    return Outcome.UNEXPECTED_STATUS


async def send(http: httpx.AsyncClient, call: Call, subscriber: Subscriber, clock: Clock) -> Answer:
    """POST once and return what came of it, within the subscriber's time in all. Raises nothing but cancellation."""
    answer: Answer | None = None
    try:
        # httpx bounds each read, not the whole: an answer of a byte a second would never end.
        async with (
            asyncio.timeout(subscriber.timeout_seconds),
            http.stream("POST", call.url, content=call.body, headers=call.headers) as response,
        ):
            status = response.status_code
            retry_after = parse_retry_after(response.headers.get("retry-after"), clock())
            answer = Answer(outcome_of_status(status), status, retry_after)
            body = await _drain(response)
        if answer.outcome is not Outcome.ACCEPTED:
            return answer
        if body is None:
            return Answer(Outcome.RESPONSE_TOO_LARGE, status)
        said = judge_answer(subscriber.format, status, body)  # a chat robot refuses with 200
        return answer if said is None else Answer(said, status, retry_after)
    except Exception as error:
        if answer is not None and answer.outcome is not Outcome.ACCEPTED:
            return answer  # a refusal stays one, however its body ends
        return Answer(outcome_of_error(error), answer.http_status if answer else None)


async def _drain(response: httpx.Response) -> bytes | None:
    """Return the raw answer, never unpacked, None where it is over the limit."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > RESPONSE_BYTES_MAX:
            return None
    return bytes(body)


def outcome_of_error(error: BaseException) -> Outcome:
    """Return what an exception of an attempt means."""
    if isinstance(error, RefusedEndpointError):
        return Outcome.REFUSED_ADDRESS
    if isinstance(error, ResolutionFailedError):
        return Outcome.DNS_FAILED
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return Outcome.TIMEOUT
    if isinstance(error, httpx.ConnectError):
        return Outcome.TLS_FAILED if _caused_by_tls(error) else Outcome.CONNECT_FAILED
    if isinstance(error, httpx.TransportError | OSError):
        return Outcome.CONNECTION_LOST
    return Outcome.INTERNAL_ERROR


def _caused_by_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
