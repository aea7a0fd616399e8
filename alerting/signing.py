"""Signs calls after Standard Webhooks: `v1` (HMAC-SHA256) with each secret in use, `v1a` (ed25519) with each key in use.

While a key is being replaced a call carries the signature of the old one too, so that a receiver may change over
whenever it likes.
"""

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from alerting.retry import utc_of
from models.secrets import SigningKey
from models.subscriber import Subscriber

PUBLIC_KEY_PREFIX = "whpk_"
ED25519_VERSION = "v1a"


def signature_headers(message_id: str, body: bytes, subscriber: Subscriber, now: int) -> dict[str, str]:
    """Return the headers that sign a call made at the instant `now`; none where the subscriber has no key that signs."""
    moment = utc_of(now)
    timestamp = str(int(moment.timestamp()))
    text = body.decode()
    signatures = [
        Webhook(one.key.key).sign(msg_id=message_id, timestamp=moment, data=text)
        for one in subscriber.secrets
        if one.signs(now)
    ]
    message = signed_content(message_id, timestamp, body)
    signatures += [_ed25519(one.key, message) for one in subscriber.signing_keys if one.signs(now)]
    if not signatures:
        return {}
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def signed_content(message_id: str, timestamp: str, body: bytes) -> bytes:
    """Return the bytes that a signature of either kind is made over; `timestamp` in seconds, as in its header."""
    return b".".join((message_id.encode(), timestamp.encode(), body))


def public_key_text(key: SigningKey) -> str:
    """Return the public half of a signing key as receivers write it: `whpk_` and its base64."""
    public = Ed25519PrivateKey.from_private_bytes(key.key).public_key().public_bytes_raw()
    return PUBLIC_KEY_PREFIX + base64.b64encode(public).decode()


def _ed25519(key: SigningKey, message: bytes) -> str:
    signature = Ed25519PrivateKey.from_private_bytes(key.key).sign(message)
    return f"{ED25519_VERSION},{base64.b64encode(signature).decode()}"
