"""The receiver of a run: the product's small one, that can also ask for patience and remembers when it was called."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerting.receiver import Receiver, Script
from alerting.verify import NotVerifiedError, verify_call
from models.secrets import WebhookSecret

NEW_SECRET = WebhookSecret(bytes(range(100, 132)))
"""what keys are rotated to"""


class PatientReceiver(Receiver):
    """Adds Retry-After to a 429, and keeps the times of each delivery's calls."""

    def __init__(self, secrets: Sequence[WebhookSecret], script: Script) -> None:
        super().__init__(secrets, script=script)
        self.retry_after_seconds = 1
        self.signed_anew = 0
        """calls that the new secret alone would have verified"""
        self.called_at: defaultdict[str, list[float]] = defaultdict(list)
        self.app = Starlette(routes=[Route("/{path:path}", self._called, methods=["POST"])])

    async def _called(self, request: Request) -> Response:
        self.called_at[request.headers.get("webhook-id", "")].append(time.monotonic())
        with contextlib.suppress(NotVerifiedError):
            verify_call(await request.body(), request.headers, (NEW_SECRET,))
            self.signed_anew += 1
        response = await self._receive(request)
        if response.status_code == 429:
            response.headers["retry-after"] = str(self.retry_after_seconds)
        return response

    def trust_only(self, *secrets: WebhookSecret) -> None:
        """Verify by these secrets from now on."""
        self._secrets = secrets
