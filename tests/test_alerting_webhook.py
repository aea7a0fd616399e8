"""The call as a whole: its id, headers and body, and what a receiver must refuse."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from standardwebhooks import Webhook

from alerting.verify import NotVerifiedError, verify_call
from alerting.webhook import USER_AGENT, Call, Entry, build_call, call_id
from models.delivery import bundle_id, delivery_id
from models.secrets import RobotSecret, Rolling, WebhookSecret
from models.subscriber import CHAT_FORMATS, Format
from models.times import HOUR, SECOND
from tests.alerting_support import SECRET, make_alert, make_subscriber

AT = 1_750_000_000 * SECOND
OTHER = WebhookSecret(b"x" * 24)


def now() -> int:
    """The standard's library reads the clock itself."""
    return time.time_ns() // 1000


def entry(number: int = 1, **fields: Any) -> Entry:
    return Entry(make_alert(f"a-{number}", **fields).model_dump_json().encode(), f"d-{number}", number)


def call_at(instant: int, **fields: Any) -> Call:
    return build_call([entry()], make_subscriber(**fields), instant)


def test_the_body_is_the_alert_and_its_delivery() -> None:
    body = orjson.loads(call_at(AT).body)
    assert (body.pop("delivery_sequence"), body.pop("delivery_id")) == (1, "d-1")
    assert body == orjson.loads(entry().alert_json)


def test_the_headers_are_the_formats_and_the_signature() -> None:
    headers = call_at(AT).headers
    assert headers.pop("webhook-signature").startswith("v1,")
    assert headers == {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        "webhook-id": "d-1",
        "webhook-timestamp": "1750000000",
    }


def test_the_call_never_shows_its_address_or_body() -> None:
    call = call_at(AT, url="https://robot.example/send?key=token")
    assert "robot" not in repr(call)
    assert "推诿" not in repr(call)


@pytest.mark.parametrize("form", Format)
def test_the_body_stays_from_attempt_to_attempt(form: Format) -> None:
    secret = RobotSecret(b"SEC12345678") if form is Format.DINGTALK else None
    first, second = (call_at(at, format=form, robot_secret=secret) for at in (AT, AT + HOUR))
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_only_a_signing_feishu_robot_finds_the_attempts_time_in_the_body() -> None:
    def body(at: int) -> dict[str, Any]:
        return dict(orjson.loads(call_at(at, format=Format.FEISHU, robot_secret=RobotSecret(b"12345678")).body))

    first, second = body(AT), body(AT + HOUR)
    assert {name for name in first if first[name] != second[name]} == {"timestamp", "sign"}


@pytest.mark.parametrize("form", Format)
def test_only_a_chat_format_takes_several_deliveries(form: Format) -> None:
    entries = [entry(1), entry(2)]
    subscriber = make_subscriber(format=form)
    if form in CHAT_FORMATS:
        call = build_call(entries, subscriber, AT)
        assert call.headers["webhook-id"] == call_id(entries) == bundle_id(["d-1", "d-2"])
    else:
        with pytest.raises(ValueError, match="one delivery"):
            build_call(entries, subscriber, AT)
    with pytest.raises(ValueError, match="one delivery"):
        build_call([], subscriber, AT)


@pytest.mark.parametrize("form", sorted(CHAT_FORMATS))
def test_a_chat_robot_without_a_secret_gets_no_signature_headers(form: Format) -> None:
    headers = call_at(AT, format=form, secrets=()).headers
    assert not [name for name in headers if name.startswith("webhook-")]
    assert headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("secrets", [(), (Rolling(SECRET, AT),)])
def test_what_must_be_signed_does_not_leave_unsigned(secrets: tuple[Rolling[WebhookSecret], ...]) -> None:
    with pytest.raises(ValueError, match="no secret signs"):
        call_at(AT, secrets=secrets)


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://robot.example/send?access_token=t", {"access_token": ["t"]}),
        ("https://robot.example/send", {}),
    ],
)
def test_a_dingtalk_signature_is_added_to_whatever_query_there_is(url: str, known: dict[str, list[str]]) -> None:
    call = call_at(AT, url=url, format=Format.DINGTALK, robot_secret=RobotSecret(b"SEC12345678"))
    query = parse_qs(urlsplit(call.url).query, strict_parsing=True)
    assert query.pop("timestamp") == ["1750000000000"]
    assert len(query.pop("sign")) == 1
    assert query == known
    assert call_at(AT, url=url, format=Format.DINGTALK).url == url


def test_the_official_library_verifies_what_we_sign() -> None:
    one = Entry(make_alert(headline="疑似推诿").model_dump_json().encode(), delivery_id("platform", "a-1"), 1)
    call = build_call([one], make_subscriber(), now())
    assert Webhook(SECRET.key).verify(call.body, call.headers)["headline"] == "疑似推诿"
    assert verify_call(call.body, call.headers, [SECRET])["delivery_sequence"] == 1


@pytest.mark.parametrize("form", Format)
def test_every_format_is_signed_where_there_is_a_secret(form: Format) -> None:
    call = call_at(now(), format=form)
    assert verify_call(call.body, call.headers, [SECRET]) == orjson.loads(call.body)


def test_either_of_two_secrets_may_have_signed() -> None:
    call = call_at(now())
    assert verify_call(call.body, call.headers, [OTHER, SECRET])["alert_id"] == "a-1"
    with pytest.raises(NotVerifiedError):
        verify_call(call.body, call.headers, [OTHER])


@pytest.mark.parametrize(
    ("changed", "added"),
    [
        ({}, b" "),
        ({"webhook-id": "d-2"}, b""),
        ({"webhook-timestamp": "1700000000"}, b""),
        ({"webhook-timestamp": "yesterday"}, b""),
        ({"webhook-signature": "v1,AAAA"}, b""),
        ({"webhook-signature": "v1"}, b""),
        ({"webhook-signature": ""}, b""),
    ],
)
def test_what_was_changed_on_the_way_is_refused(changed: dict[str, str], added: bytes) -> None:
    call = call_at(now())
    with pytest.raises(NotVerifiedError):
        verify_call(call.body + added, call.headers | changed, [SECRET])


def test_an_old_call_cannot_be_replayed() -> None:
    call = call_at(now() - 301 * SECOND)
    with pytest.raises(NotVerifiedError):
        verify_call(call.body, call.headers, [SECRET])


def test_the_delivery_id_is_stable_and_of_its_own_for_each_subscriber() -> None:
    assert delivery_id("platform", "a-1") == delivery_id("platform", "a-1")
    assert len({delivery_id(name, alert) for name in ("a", "b") for alert in ("1", "2")}) == 4
