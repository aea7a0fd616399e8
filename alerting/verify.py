"""The receiver's side: check a call's signature and time. What an integrator writes in a few lines, in one place."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from alerting.signing import ED25519_VERSION, PUBLIC_KEY_PREFIX, signed_content
from models.secrets import WebhookSecret
from models.times import MINUTE, SECOND

TOLERANCE = 5 * MINUTE
"""How far a call's time may be from the receiver's clock, in microseconds."""
_HMAC_VERSION = "v1"


class NotVerifiedError(ValueError):
    """The call is not from us, not for this receiver, changed on its way, or more than five minutes old."""


def verify_call(body: bytes, headers: Mapping[str, str], secrets: Sequence[WebhookSecret]) -> dict[str, Any]:
    """Return the call's JSON object; any of the secrets may have signed it (two while one is being replaced). Raises
    NotVerifiedError.
    """
    lowered = _lowered(headers)
    # The library gives up at the first signature that is not written as it expects.
    signatures = _signatures(lowered, _HMAC_VERSION)
    lowered["webhook-signature"] = " ".join(f"{_HMAC_VERSION},{one}" for one in signatures)
    for secret in secrets:
        try:
            Webhook(secret.key).verify(body, lowered, json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue
        return _object(body)
    raise NotVerifiedError("no secret fits the signature, or the call is too old")


def verify_ed25519(body: bytes, headers: Mapping[str, str], public_keys: Sequence[str], now: int) -> dict[str, Any]:
    """Return the call's JSON object; any of the public keys (`whpk_…`) may fit. `now`: the receiver's clock, in
    microseconds. Raises NotVerifiedError, and ValueError for a key that is none.
    """
    keys = [_public_key(text) for text in public_keys]
    lowered = _lowered(headers)
    message_id, timestamp = lowered.get("webhook-id", ""), lowered.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotVerifiedError("webhook-id or webhook-timestamp is missing or unreadable")
    if abs(int(timestamp) * SECOND - now) > TOLERANCE:
        raise NotVerifiedError("the call is too old, or from the future")
    message = signed_content(message_id, timestamp, body)
    for signature in _signatures(lowered, ED25519_VERSION):
        if any(_fits(key, signature, message) for key in keys):
            return _object(body)
    raise NotVerifiedError("no public key fits the signature")


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _signatures(headers: Mapping[str, str], version: str) -> list[str]:
    """Return the signatures of one version that are base64; what else stands in the header is somebody else's."""
    found = []
    for one in headers.get("webhook-signature", "").split(" "):
        name, _, signature = one.partition(",")
        if name == version and _base64(signature) is not None:
            found.append(signature)
    return found


def _fits(key: Ed25519PublicKey, signature: str, message: bytes) -> bool:
    try:
        key.verify(_base64(signature) or b"", message)
    except InvalidSignature:
        return False
    return True


def _public_key(text: str) -> Ed25519PublicKey:
    raw = _base64(text.strip().removeprefix(PUBLIC_KEY_PREFIX))
    if not text.strip().startswith(PUBLIC_KEY_PREFIX) or raw is None or len(raw) != 32:
        raise ValueError(f"a public key is written as {PUBLIC_KEY_PREFIX} and the base64 of its 32 bytes")
    return Ed25519PublicKey.from_public_bytes(raw)


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise NotVerifiedError("the body is no JSON object")
    return found
