"""Signing and verifying: the public vector of Standard Webhooks, and what a receiver must refuse."""

from __future__ import annotations

import time

import orjson
import pytest
from standardwebhooks import Webhook

from alerting.verify import NotVerifiedError, verify_call
from alerting.webhook import sign, webhook_body
from models.delivery import delivery_id
from models.secrets import WebhookSecret
from models.times import SECOND
from tests.alerting_support import SECRET, make_alert

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def now() -> int:
    return time.time_ns() // 1000


def test_the_public_vector() -> None:
    call = sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        WebhookSecret.parse(VECTOR_SECRET),
        1614265330 * SECOND,
    )
    assert call.headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert call.headers["webhook-timestamp"] == "1614265330"
    assert call.headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_body_is_the_alert_and_its_delivery_sequence() -> None:
    alert = make_alert()
    body = orjson.loads(webhook_body(alert.model_dump_json().encode(), 7))
    assert body.pop("delivery_sequence") == 7
    assert body == orjson.loads(alert.model_dump_json())


def test_each_attempt_is_signed_anew_under_the_same_id() -> None:
    first, second = (sign("d-1", b"{}", SECRET, instant * SECOND) for instant in (1_700_000_000, 1_700_000_300))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_the_official_library_verifies_what_we_sign() -> None:
    body = webhook_body(make_alert(headline="疑似推诿").model_dump_json().encode(), 1)
    call = sign(delivery_id("platform", "a-1"), body, SECRET, now())
    assert Webhook(SECRET.key).verify(call.body, call.headers)["headline"] == "疑似推诿"
    assert verify_call(call.body, call.headers, [SECRET])["delivery_sequence"] == 1


def test_either_of_two_secrets_may_have_signed() -> None:
    other = WebhookSecret(b"x" * 24)
    call = sign("d-1", b'{"a":1}', SECRET, now())
    assert verify_call(call.body, call.headers, [other, SECRET]) == {"a": 1}
    with pytest.raises(NotVerifiedError):
        verify_call(call.body, call.headers, [other])


@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({}, b'{"a":2}'),
        ({"webhook-id": "d-2"}, b'{"a":1}'),
        ({"webhook-timestamp": "1700000000"}, b'{"a":1}'),
        ({"webhook-timestamp": "yesterday"}, b'{"a":1}'),
        ({"webhook-signature": "v1,AAAA"}, b'{"a":1}'),
        ({"webhook-signature": "v1"}, b'{"a":1}'),
        ({"webhook-signature": ""}, b'{"a":1}'),
    ],
)
def test_what_was_changed_on_the_way_is_refused(changed: dict[str, str], body: bytes) -> None:
    call = sign("d-1", b'{"a":1}', SECRET, now())
    with pytest.raises(NotVerifiedError):
        verify_call(body, call.headers | changed, [SECRET])


def test_an_old_call_cannot_be_replayed() -> None:
    call = sign("d-1", b"{}", SECRET, now() - 301 * SECOND)
    with pytest.raises(NotVerifiedError):
        verify_call(call.body, call.headers, [SECRET])


def test_the_delivery_id_is_stable_and_of_its_own_for_each_subscriber() -> None:
    assert delivery_id("platform", "a-1") == delivery_id("platform", "a-1")
    assert len({delivery_id(name, alert) for name in ("a", "b") for alert in ("1", "2")}) == 4
