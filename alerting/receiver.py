"""A small receiver, as an integrator would build one: it verifies, deduplicates by webhook-id, and checks the order
within a case.

The demo shows what it accepted; tests script its answers. It holds everything in memory and is no part of the service.
"""

import inspect
import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerting.verify import NotVerifiedError, verify_call
from models.secrets import WebhookSecret

Script = Callable[[str, int], int | Awaitable[int]]
"""Given a webhook-id and how often it has come (1, 2 …), returns the status to answer with; 2xx accepts."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One alert as it was received and verified."""

    webhook_id: str
    alert: dict[str, Any]
    received_at: float
    """Seconds since the epoch."""
    lane: str = ""
    """The last part of the URL's path: several subscribers may share one receiver."""


class Receiver:
    """Collects what comes. Its lists may be read while it runs."""

    def __init__(
        self,
        secrets: Sequence[WebhookSecret],
        on_accepted: Callable[[Accepted], None] | None = None,
        script: Script | None = None,
    ) -> None:
        self.accepted: list[Accepted] = []
        self.duplicates: list[str] = []
        self.not_verified = 0
        self.out_of_order: list[tuple[str, int, int]] = []
        """(case, expected, received) delivery_sequence."""
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._secrets, self._on_accepted, self._script = tuple(secrets), on_accepted, script
        self._known: set[str] = set()
        self._last: dict[tuple[str, str], int] = {}
        self.app = Starlette(routes=[Route("/{path:path}", self._receive, methods=["POST"])])

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        try:
            alert = verify_call(body, request.headers, self._secrets)
        except NotVerifiedError:
            self.not_verified += 1
            return Response(status_code=401)
        webhook_id = request.headers["webhook-id"]
        self.calls[webhook_id] += 1
        if self._script is not None:
            status = self._script(webhook_id, self.calls[webhook_id])
            if inspect.isawaitable(status):
                status = await status
            if not 200 <= int(status) < 300:
                return Response(status_code=int(status))
        if webhook_id in self._known:
            self.duplicates.append(webhook_id)
        else:
            self._accept(webhook_id, alert, request.url.path.rpartition("/")[2])
        return Response(status_code=204)

    def _accept(self, webhook_id: str, alert: dict[str, Any], lane: str) -> None:
        self._known.add(webhook_id)
        case, number = str(alert["case_id"]), int(alert["delivery_sequence"])
        expected = self._last.get((lane, case), 0) + 1
        if number != expected:
            self.out_of_order.append((case, expected, number))
        self._last[lane, case] = number
        accepted = Accepted(webhook_id, alert, time.time(), lane)
        self.accepted.append(accepted)
        if self._on_accepted is not None:
            self._on_accepted(accepted)


@contextmanager
def serve(receiver: Receiver, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve the receiver in a thread of its own and yield its URL. Raises OSError where the port is taken."""
    with socket.create_server((host, port)) as listener:
        config = uvicorn.Config(
            receiver.app, log_config=None, access_log=False, lifespan="off", log_level=logging.CRITICAL
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="receiver", daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}/alerts"
        finally:
            # A call that a script holds open must not hold the caller up.
            server.should_exit = server.force_exit = True
            thread.join(timeout=10)
