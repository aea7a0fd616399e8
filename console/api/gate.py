"""The gate before every route: who calls, how much and what kind of body, and the headers of every answer.

Its order matters: nothing of a stranger's body is read, and nothing but JSON that every parser reads alike goes on.
"""

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.auth import FailureLimiter
from console.api.bodies import BodyRules
from console.api.metrics import OTHER, ApiMetrics
from console.api.problems import Problem, ProblemCode, unauthorized
from models.api_client import TOKEN_BYTES_MAX, ApiClient, client_of

OPEN_PATHS = frozenset({"/healthz", "/metrics"})
CLIENT_KEY = "hotline_watch.client"
"""Where in the scope the routes find who calls."""

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)


class Gate:
    """Wraps the app. `clients` returns who is known now."""

    def __init__(
        self,
        app: ASGIApp,
        clients: Callable[[], Sequence[ApiClient]],
        limiter: FailureLimiter,
        metrics: ApiMetrics,
    ) -> None:
        self._app, self._clients, self._limiter, self._metrics = app, clients, limiter, metrics
        self._bodies = BodyRules()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        started, status = time.monotonic(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        try:
            await self._passed(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._metrics.answered(scope["method"], route, status, time.monotonic() - started)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            role = None
            if scope["path"] not in OPEN_PATHS:
                scope[CLIENT_KEY] = client = self._client(scope)
                role = client.role
            rule = self._bodies.of(scope)
            with rule.admitted(role):
                body = await rule.read(scope, receive)
                await self._app(scope, _replayed(body, receive), send)
        except Problem as problem:  # of ours: the app answers its own
            await problem.response()(scope, receive, send)

    def _client(self, scope: Scope) -> ApiClient:
        address = scope["client"][0] if scope.get("client") else ""
        wait = self._limiter.wait_seconds(address)
        if wait:
            self._metrics.limited.inc()
            detail = "Too many requests without a known token came from this address: wait, then try again."
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, ProblemCode.TOO_MANY_FAILURES, detail, retry_after_seconds=wait)
        token = _token(scope)
        client = None if token is None else client_of(token, self._clients())
        if client is None:
            self._limiter.failed(address)
            self._metrics.failures.inc()
            raise unauthorized()
        return client


def _token(scope: Scope) -> bytes | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" and len(token) <= TOKEN_BYTES_MAX else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
