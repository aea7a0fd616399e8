"""The call: an alert and its delivery_sequence as a body, signed as Standard Webhooks asks (HMAC-SHA256)."""

from dataclasses import dataclass

import orjson
from standardwebhooks import Webhook

from alerting.retry import utc_of
from models.secrets import WebhookSecret

USER_AGENT = "hotline-watch"


@dataclass(frozen=True, slots=True)
class Call:
    """One signed request, ready to leave."""

    headers: dict[str, str]
    body: bytes


def webhook_body(alert_json: bytes, delivery_sequence: int) -> bytes:
    """Return the alert's own JSON object with `delivery_sequence` added: the same bytes at every attempt."""
    return orjson.dumps({**orjson.loads(alert_json), "delivery_sequence": delivery_sequence})


def sign(delivery_id: str, body: bytes, secret: WebhookSecret, now: int) -> Call:
    """Return the call for one attempt at the instant `now`: the id stays from attempt to attempt, time and signature
    are new.
    """
    moment = utc_of(now)
    signature = Webhook(secret.key).sign(msg_id=delivery_id, timestamp=moment, data=body.decode())
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }
    return Call(headers, body)
