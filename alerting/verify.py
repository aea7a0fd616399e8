"""The receiver's side: check a call's signature and time. What an integrator writes in a few lines, in one place."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from standardwebhooks import Webhook, WebhookVerificationError

from models.secrets import WebhookSecret


class NotVerifiedError(ValueError):
    """The call is not from us, not for this receiver, changed on its way, or more than five minutes old."""


def verify_call(body: bytes, headers: Mapping[str, str], secrets: Sequence[WebhookSecret]) -> dict[str, Any]:
    """Return the call's JSON object; any of the secrets may have signed it (two while one is being replaced). Raises
    NotVerifiedError.
    """
    for secret in secrets:
        try:
            Webhook(secret.key).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue
        return _object(body)
    raise NotVerifiedError("no secret fits the signature, or the call is too old")


def _object(body: bytes) -> dict[str, Any]:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise NotVerifiedError("the body is no JSON object")
    return found
