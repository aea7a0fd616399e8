"""How large a request's body may be and of what kind, route by route. Read before the app sees the request."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.types import Receive, Scope

from console.api.problems import Problem, ProblemCode, forbidden
from models.api_client import Role
from models.decode import Rejected, decode_object
from models.event_batch import BATCH_BYTES_MAX, Framing

BODY_BYTES_MAX = 64 * 1024
BODY_SECONDS_MAX = 15.0
EVENTS_PATH = "/v1/events"
EVENTS_AT_ONCE_MAX = 24
"""Fewer than there are threads for routes: whatever Kafka does, the other routes are answered."""
SENDERS = frozenset({Role.SENDER, Role.ADMIN})

_JSON = "application/json"
_BUSY_RETRY_SECONDS = 1


class BodyRule:
    """What is taken as a body. `roles`: whose body is read at all, None for everybody's who is known."""

    def __init__(
        self,
        *,
        bytes_max: int = BODY_BYTES_MAX,
        media_types: frozenset[str] = frozenset({_JSON}),
        check: Callable[[bytes], None] = lambda _: None,
        roles: frozenset[Role] | None = None,
        at_once_max: int | None = None,
    ) -> None:
        self._bytes_max, self._media_types, self._check = bytes_max, media_types, check
        self._roles, self._at_once_max = roles, at_once_max
        self._at_once = 0

    @contextmanager
    def admitted(self, role: Role | None) -> Iterator[None]:
        """Hold a place while a request is answered. Raises Problem: not for this role, or no place is free."""
        if self._roles is not None and role not in self._roles:
            raise forbidden(self._roles)
        if self._at_once_max is not None and self._at_once >= self._at_once_max:
            detail = "Too many requests of this kind are being answered: send this one again in a moment."
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.BUSY, detail, retry_after_seconds=_BUSY_RETRY_SECONDS
            )
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body, checked. Raises Problem."""
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 9 or int(declared) > self._bytes_max:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        # What has come might read as a whole batch, and nobody is there any more to be told that it is not.
                        detail = "The connection ended before the body did."
                        raise Problem(HTTPStatus.REQUEST_TIMEOUT, ProblemCode.TOO_SLOW, detail)
                    body += message.get("body", b"")
                    if len(body) > self._bytes_max:
                        raise self._too_large()
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            detail = "The body took too long to come."
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, ProblemCode.TOO_SLOW, detail) from None
        if body:
            _refuse_encoded(scope)
            if media_type(scope) not in self._media_types:
                detail = f"Send a body as {' or '.join(sorted(self._media_types))}."
                raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, ProblemCode.MEDIA_TYPE, detail)
            self._check(bytes(body))
        return bytes(body)

    def _too_large(self) -> Problem:
        detail = f"A body has at most {self._bytes_max} bytes."
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ProblemCode.TOO_LARGE, detail)


class BodyRules:
    """The rules of one app."""

    def __init__(self) -> None:
        self._ordinary = BodyRule(check=_check_json)
        # Its JSON is checked event by event, so that the answer can name those at fault.
        self._events = BodyRule(
            bytes_max=BATCH_BYTES_MAX,
            media_types=frozenset(framing.value for framing in Framing),
            roles=SENDERS,
            at_once_max=EVENTS_AT_ONCE_MAX,
        )

    def of(self, scope: Scope) -> BodyRule:
        """Return the rule for a request."""
        return self._events if scope["path"] == EVENTS_PATH and scope["method"] == "POST" else self._ordinary


def media_type(scope: Scope) -> str:
    """Return the media type that a request declares, without its parameters; empty where it declares none."""
    declared: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return declared.partition(b";")[0].strip().lower().decode("latin-1")


def _refuse_encoded(scope: Scope) -> None:
    """Raise Problem for a body that is compressed: unpacking one costs us more than it cost whoever sent it."""
    codings = b",".join(value for name, value in scope["headers"] if name == b"content-encoding").lower().split(b",")
    if any(coding.strip() not in (b"", b"identity") for coding in codings):
        detail = "Send the body as it is, without Content-Encoding: gzip and the like are not unpacked here."
        problem = Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, ProblemCode.MEDIA_TYPE, detail)
        problem.headers["accept-encoding"] = "identity"
        raise problem


def _check_json(body: bytes) -> None:
    try:
        decode_object(body)
    except Rejected as rejected:
        raise Problem(HTTPStatus.BAD_REQUEST, ProblemCode.NOT_JSON, f"The body: {rejected.detail}.") from None
