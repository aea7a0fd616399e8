"""Signatures: the public vector, rotation, and receivers that are not ours, in Python and in JavaScript."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from standardwebhooks import Webhook, WebhookVerificationError

from alerting.signing import public_key_text, signature_headers
from alerting.verify import NotVerifiedError, verify_call, verify_ed25519
from models.secrets import Rolling, SigningKey, WebhookSecret
from models.subscriber import Subscriber
from models.times import HOUR, MINUTE, SECOND
from tests.alerting_support import SECRET, make_subscriber

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_TIME = 1614265330 * SECOND
VECTOR_BODY = b'{"test": 2432232314}'
NEW = WebhookSecret(b"n" * 24)
OLD = WebhookSecret(b"o" * 24)
KEY = SigningKey(bytes(range(32)))
OLD_KEY = SigningKey(bytes(range(32, 64)))
BODY = '{"a":"疑似推诿"}'.encode()
JS = Path(__file__).parent / "js"
AT = VECTOR_TIME

Node = Callable[[str, list[dict[str, Any]]], list[Any]]


def now() -> int:
    """The official libraries read the clock themselves."""
    return time.time_ns() // 1000


def whsec(secret: WebhookSecret) -> str:
    return "whsec_" + base64.b64encode(secret.key).decode()


def signed(at: int, **fields: Any) -> dict[str, str]:
    return signature_headers("d-1", BODY, make_subscriber(**fields), at)


def test_the_public_vector_of_standard_webhooks_is_reproduced() -> None:
    subscriber = make_subscriber(secrets=(Rolling(WebhookSecret.parse(VECTOR_SECRET)),))
    assert signature_headers(VECTOR_ID, VECTOR_BODY, subscriber, VECTOR_TIME) == {
        "webhook-id": VECTOR_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_subscriber_without_keys_gets_no_signature_headers() -> None:
    assert signature_headers("d-1", BODY, Subscriber("group", "https://robot.example/send"), AT) == {}


def test_each_attempt_is_signed_anew_under_the_same_id() -> None:
    first, second = signed(AT), signed(AT + 5 * MINUTE)
    assert first["webhook-id"] == second["webhook-id"] == "d-1"
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert first["webhook-signature"] != second["webhook-signature"]


def test_the_current_secret_signs_first_and_keys_come_after_secrets() -> None:
    headers = signed(
        AT,
        secrets=(Rolling(NEW), Rolling(OLD, AT + HOUR)),
        signing_keys=(Rolling(KEY), Rolling(OLD_KEY, AT + HOUR)),
    )
    versions = [one.partition(",")[0] for one in headers["webhook-signature"].split(" ")]
    assert versions == ["v1", "v1", "v1a", "v1a"]
    alone = signed(AT, secrets=(Rolling(NEW),))["webhook-signature"]
    assert headers["webhook-signature"].split(" ")[0] == alone


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_during_an_overlap_both_secrets_verify(secret: WebhookSecret) -> None:
    headers = signed(now(), secrets=(Rolling(NEW), Rolling(OLD, now() + HOUR)))
    assert verify_call(BODY, headers, [secret]) == {"a": "疑似推诿"}
    assert Webhook(secret.key).verify(BODY, headers) == {"a": "疑似推诿"}


def test_after_the_overlap_only_the_new_secret_verifies() -> None:
    headers = signed(now(), secrets=(Rolling(NEW), Rolling(OLD, now() - SECOND)))
    assert verify_call(BODY, headers, [NEW])
    with pytest.raises(NotVerifiedError):
        verify_call(BODY, headers, [OLD])
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD.key).verify(BODY, headers)


def test_an_old_secret_signs_until_its_end_and_not_at_it() -> None:
    def count(at: int) -> int:
        return len(signed(at, secrets=(Rolling(NEW), Rolling(OLD, AT)))["webhook-signature"].split(" "))

    assert [count(AT - 1), count(AT), count(AT + 1)] == [2, 1, 1]


@pytest.mark.parametrize(("at", "fits"), [(AT - SECOND, [True, True]), (AT, [True, False])])
def test_signing_keys_roll_over_in_the_same_way(at: int, fits: list[bool]) -> None:
    headers = signed(at, signing_keys=(Rolling(KEY), Rolling(OLD_KEY, AT)))
    found = []
    for key in (KEY, OLD_KEY):
        try:
            found.append(verify_ed25519(BODY, headers, [public_key_text(key)], at) == {"a": "疑似推诿"})
        except NotVerifiedError:
            found.append(False)
    assert found == fits


def test_signatures_of_other_versions_and_broken_ones_are_passed_over() -> None:
    headers = signed(now(), signing_keys=(Rolling(KEY),))
    headers["webhook-signature"] = f"v9,a,b v1 v1,%% v1a,!! {headers['webhook-signature']} v2,AAAA"
    assert verify_call(BODY, headers, [SECRET])
    assert verify_ed25519(BODY, headers, [public_key_text(KEY)], now())


@given(st.binary(max_size=300).map(base64.b64encode), st.integers(0, 2**31))
def test_another_implementation_of_ed25519_verifies_ours(content: bytes, seconds: int) -> None:
    subscriber = make_subscriber(signing_keys=(Rolling(KEY),))
    headers = signature_headers("d-1", content, subscriber, seconds * SECOND)
    signature = base64.b64decode(headers["webhook-signature"].split(" v1a,")[1])
    public = VerifyKey(base64.b64decode(public_key_text(KEY).removeprefix("whpk_")))
    message = f"d-1.{seconds}.{content.decode()}".encode()
    public.verify(message, signature)
    with pytest.raises(BadSignatureError):
        public.verify(message + b"x", signature)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "d-2"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(AT // SECOND + 1)},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": "v1a,AAAA"},
        {"webhook-signature": ""},
    ],
)
def test_a_changed_call_does_not_verify_by_its_public_key(changed: dict[str, str]) -> None:
    headers = signed(AT, signing_keys=(Rolling(KEY),)) | changed
    with pytest.raises(NotVerifiedError):
        verify_ed25519(BODY, headers, [public_key_text(KEY)], AT)


@pytest.mark.parametrize("late", [-6 * MINUTE, 6 * MINUTE])
def test_a_call_far_from_the_receivers_clock_does_not_verify(late: int) -> None:
    headers = signed(AT, signing_keys=(Rolling(KEY),))
    with pytest.raises(NotVerifiedError):
        verify_ed25519(BODY, headers, [public_key_text(KEY)], AT + late)


@pytest.mark.parametrize("text", ["", "whpk_", "whpk_AAAA", "whpk_!", base64.b64encode(bytes(32)).decode()])
def test_what_is_no_public_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="whpk_") as caught:
        verify_ed25519(BODY, signed(AT, signing_keys=(Rolling(KEY),)), [text], AT)
    assert not isinstance(caught.value, NotVerifiedError)


@pytest.mark.parametrize("body", [b"[1]", b"not json"])
def test_a_signed_body_that_is_no_object_is_refused(body: bytes) -> None:
    subscriber = make_subscriber(signing_keys=(Rolling(KEY),))
    headers = signature_headers("d-1", body, subscriber, now())
    with pytest.raises(NotVerifiedError, match="JSON object"):
        verify_call(body, headers, [SECRET])
    with pytest.raises(NotVerifiedError, match="JSON object"):
        verify_ed25519(body, headers, [public_key_text(KEY)], now())


def test_neither_headers_nor_a_public_key_show_what_signs() -> None:
    shown = str(signed(AT, signing_keys=(Rolling(KEY),))) + public_key_text(KEY)
    for secret in (SECRET.key, KEY.key):
        assert base64.b64encode(secret).decode() not in shown


def _cannot(why: str) -> None:
    """A laptop skips the test, CI fails it."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Runs a script of tests/js on a list of calls; its packages are installed outside the tree, as locked."""
    programs = [shutil.which(name) for name in ("node", "npm")]
    if None in programs:
        _cannot("node and npm are not installed")
    folder = tmp_path_factory.mktemp("js")
    for path in JS.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    installed = subprocess.run(
        [str(programs[1]), "ci", *options, "--prefix", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if installed.returncode != 0:
        _cannot("the packages of tests/js cannot be installed")

    def run(script: str, calls: list[dict[str, Any]]) -> list[Any]:
        done = subprocess.run(
            [str(programs[0]), str(folder / script)],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return list(json.loads(done.stdout))

    return run


def test_the_official_javascript_library_verifies_what_we_sign(node: Node) -> None:
    headers = signed(
        now(), secrets=(Rolling(NEW), Rolling(OLD, now() + HOUR)), signing_keys=(Rolling(KEY), Rolling(OLD_KEY))
    )
    call = {"headers": headers, "body": BODY.decode()}
    calls = [call | {"secret": whsec(one)} for one in (NEW, OLD, SECRET)]
    calls.append(call | {"secret": whsec(NEW), "body": BODY.decode() + " "})
    assert node("verify_hmac.mjs", calls) == [{"a": "疑似推诿"}, {"a": "疑似推诿"}, None, None]


def test_nodes_own_ed25519_verifies_what_we_sign(node: Node) -> None:
    headers = signed(AT, signing_keys=(Rolling(KEY), Rolling(OLD_KEY, AT + HOUR)))
    call = {"headers": headers, "body": BODY.decode()}
    keys = (KEY, OLD_KEY, SigningKey(bytes(32)))
    calls = [call | {"publicKey": public_key_text(key)} for key in keys]
    calls.append(call | {"publicKey": public_key_text(KEY), "body": BODY.decode() + " "})
    assert node("verify_ed25519.mjs", calls) == [True, True, False, False]


def test_the_lock_file_names_no_address() -> None:
    assert "resolved" not in (JS / "package-lock.json").read_text(encoding="utf-8")
