"""The subscribers file: taken as a whole or refused with file:line, never showing a secret."""

from __future__ import annotations

import base64
import re
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerting.directory import loose_ends
from alerting.registration import load_subscribers
from alerting.registry import load_registry
from alerting.subscriber_book import SubscriberBook
from models.base import Family, Level
from models.secrets import RobotSecret, Rolling, SigningKey, WebhookSecret
from models.strict_yaml import ConfigFileError
from models.subscriber import Format, Payload, Privacy, Subscriber
from models.times import parse_instant

ROOT = Path(__file__).resolve().parent.parent
SECRET_TEXT = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk"
ENVIRON = {"HOOK_SECRET": SECRET_TEXT, "SHORT": "too-short-a-secret", "BROKEN": "whsec_not base64 at all, not at all"}


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "subscribers.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    path.chmod(mode)
    return path


def load(folder: Path, text: str, mode: int = 0o600) -> tuple[Subscriber, ...]:
    return load_subscribers(write(folder, text, mode), ENVIRON)


def test_a_full_entry(tmp_path: Path) -> None:
    (tmp_path / "hook.secret").write_text(SECRET_TEXT + "\n")
    first, second = load(
        tmp_path,
        """
        subscribers:
          - name: platform
            url: https://10.20.0.5:8443/hooks/warnings
            secret: {file: hook.secret}
            levels: [yellow, red]
            families: [P]
            units: [U-1, U-2]
            owner_units: [U-9]
            allow_networks: [10.20.0.0/16]
            timeout_seconds: 5
            headers: {X-County: test}
          - name: team-1
            url: https://receiver.example/hook
            secret: {env: HOOK_SECRET}
        """,
        mode=0o644,
    )
    assert first.levels == {Level.YELLOW, Level.RED}
    assert first.families == {Family.PROCESS}
    assert (first.units, first.owner_units, first.timeout_seconds) == ({"U-1", "U-2"}, {"U-9"}, 5)
    assert second.levels == set(Level)
    assert second.secrets == first.secrets == (Rolling(WebhookSecret.parse(SECRET_TEXT)),)
    assert len(first.secrets[0].key.key) == 30


def test_nobody_is_a_valid_answer(tmp_path: Path) -> None:
    assert load(tmp_path, "subscribers: []\n") == ()


ENTRY = "subscribers:\n  - name: one\n    url: https://receiver.example/hook\n    secret: {env: HOOK_SECRET}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("{}\n", 1, "subscribers"),
        ("subscribers: nobody\n", 1, "list"),
        (ENTRY + "  - name: one\n    url: https://b.example/\n    secret: {env: HOOK_SECRET}\n", 5, "twice"),
        (ENTRY + "    levels: [yelow]\n", 5, "levels"),
        (ENTRY + "    levels: []\n", 5, "levels"),
        (ENTRY + "    levels: [red, red]\n", 5, "twice"),
        (ENTRY + "    families: [P, X]\n", 5, "families"),
        (ENTRY + "    units: [no]\n", 5, "units"),  # YAML's no
        (ENTRY + "    allow_networks: [10.0.0.1/8]\n", 5, "network"),
        (ENTRY + "    allow_networks: [0.0.0.0/0]\n", 5, "wide"),
        (ENTRY + "    allow_http: 1\n", 5, "allow_http"),
        (ENTRY + "    timeout_seconds: 0\n", 5, "timeout_seconds"),
        (ENTRY + "    timeout_seconds: .nan\n", 5, "timeout_seconds"),
        (ENTRY + "    timeout_seconds: 3600\n", 5, "timeout_seconds"),
        (ENTRY + "    concurrency: true\n", 5, "concurrency"),
        (ENTRY + '    headers: {X-A: "a\\r\\nX-B: b"}\n', 5, "line break"),
        (ENTRY + '    headers: {"X-A\\n": a}\n', 5, "line break"),
        (ENTRY + "    headers: {webhook-id: a}\n", 5, "service's own"),
        (ENTRY + "    headers: {Authorization: Bearer-abc}\n", 5, "secret into the file"),
        (ENTRY + "    ca_file: missing.pem\n", 5, "ca_file"),
        (ENTRY + "    lvels: [red]\n", 5, "lvels"),
        (ENTRY + "    name: two\n", 5, "twice"),
        (ENTRY.replace("name: one", "name: One|x"), 2, "name"),
        (ENTRY.replace("https:", "http:"), 3, "allow_http"),
        (ENTRY.replace("receiver.example", "user:pw@receiver.example"), 3, "user or a password"),
        (ENTRY.replace("receiver.example", "169.254.169.254"), 3, "link-local"),
        (ENTRY.replace("receiver.example", "127.1"), 3, "number"),
        (ENTRY.replace("receiver.example", "receiver.example:99999"), 3, "port"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{env: NOT_THERE}"), 4, "NOT_THERE"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{env: SHORT}"), 4, "24"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{env: BROKEN}"), 4, "base64"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{file: missing}"), 4, "cannot be read"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{}"), 4, "exactly one"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{env: HOOK_SECRET, file: x}"), 4, "exactly one"),
        (ENTRY.replace("{env: HOOK_SECRET}", SECRET_TEXT), 4, "secret"),
        (ENTRY.replace("{env: HOOK_SECRET}", "{inline: short}"), 4, "24"),
        (ENTRY + "---\nsubscribers: []\n", 5, "document"),
        ("subscribers: &a []\nother: *a\n", 1, "aliases"),
    ],
)
def test_refused_with_its_line_and_without_its_values(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigFileError) as refused:
        load_subscribers(path, ENVIRON)
    message = str(refused.value)
    assert message.startswith(f"{path}:{line}: ")
    assert says in message
    for secret in (*ENVIRON.values(), SECRET_TEXT, "user:pw", "Bearer-abc"):
        assert secret not in message


@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o400, True), (0o640, False), (0o644, False)])
def test_an_inline_secret_only_in_a_file_that_others_cannot_read(tmp_path: Path, mode: int, taken: bool) -> None:
    text = ENTRY.replace("{env: HOOK_SECRET}", "{inline: " + SECRET_TEXT + "}")
    if taken:
        assert load(tmp_path, text, mode)[0].secrets == (Rolling(WebhookSecret.parse(SECRET_TEXT)),)
        return
    with pytest.raises(ConfigFileError, match=r":4: .*others can read") as refused:
        load(tmp_path, text, mode)
    assert SECRET_TEXT not in str(refused.value)


def test_nothing_shows_a_secret_or_a_url(tmp_path: Path) -> None:
    text = ENTRY.replace("{env: HOOK_SECRET}", "{inline: " + SECRET_TEXT + "}").replace("/hook", "/hook?token=abc123")
    subscriber = load(tmp_path, text)[0]
    shown = f"{subscriber!r} {subscriber} {subscriber.secrets!r} {subscriber.endpoint_id}"
    assert SECRET_TEXT not in shown
    assert "abc123" not in shown


@pytest.mark.parametrize("text", ["whpk_" + "A" * 44, "whsk_" + "A" * 44, "WHSEC_" + "QUJD" * 8])
def test_a_key_of_another_kind_is_no_secret(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, ENTRY)
    with pytest.raises(ConfigFileError, match="another kind of key") as refused:
        load_subscribers(path, ENVIRON | {"HOOK_SECRET": text})
    assert text[6:] not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "size"), [("a" * 24, 24), ("whsec_" + "QUJD" * 8, 24), ("whsec_" + "QUJD" * 8 + "QQ", 25)]
)
def test_secrets_raw_and_encoded_with_and_without_padding(text: str, size: int) -> None:
    assert len(WebhookSecret.parse(text).key) == size


def test_the_endpoint_changes_with_its_url_and_revision(tmp_path: Path) -> None:
    endpoints = {
        load(tmp_path, text)[0].endpoint_id
        for text in (
            ENTRY,
            ENTRY.replace("/hook", "/other"),
            ENTRY + "    revision: 2\n",
            ENTRY + "    levels: [red]\n",
        )
    }
    assert len(endpoints) == 3  # levels do not make it another endpoint


# --- formats, references, keys in rotation, certificates, quiet hours, removed names ---

KEY_TEXT = "whsk_" + base64.b64encode(bytes(range(32))).decode()
ROBOT = """\
subscribers:
  - name: group
    url: https://qyapi.example/send?key=robot-token
    format: dingtalk
"""


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (ENTRY + "    format: xml\n", 5, "format"),
        (ENTRY + "    payload: half\n", 5, "payload"),
        (ENTRY + "    privacy: none\n", 5, "privacy"),
        (ENTRY + "    robot_secret: {env: HOOK_SECRET}\n", 2, "only DingTalk and Feishu"),
        (ENTRY.replace("    secret: {env: HOOK_SECRET}\n", ""), 2, "every subscriber but a chat robot"),
        (ROBOT + "    payload: thin\n", 2, "chat group"),
        (ROBOT.replace("dingtalk", "wecom") + "    robot_secret: {env: HOOK_SECRET}\n", 2, "only DingTalk and Feishu"),
        (ROBOT + "    robot_secret: {env: TINY}\n", 5, "robot_secret"),
        (
            ENTRY.replace("https://receiver.example/hook", "{env: NOT_THERE}"),
            3,
            "url: the environment has no NOT_THERE",
        ),
        (ENTRY.replace("https://receiver.example/hook", "{file: missing}"), 3, "url: the file cannot be read"),
        (ENTRY.replace("https://receiver.example/hook", "{env: URL_HTTP}"), 3, "allow_http"),
        (ENTRY.replace("https://receiver.example/hook", "{env: URL_HERE}"), 3, "not public"),
        (ENTRY.replace("https://receiver.example/hook", "{}"), 3, "url"),
        (ENTRY.replace("https://receiver.example/hook", "['https://receiver.example/hook']"), 3, "url"),
        (ENTRY + "    signing_key: {env: HOOK_SECRET}\n", 5, "whsk_"),
        (ENTRY + "    signing_key: {env: SHORT_KEY}\n", 5, "32"),
        (ENTRY + "    signing_key: {file: missing}\n", 5, "signing_key"),
        (ENTRY + "    previous_secrets: [{secret: {env: HOOK_SECRET}}]\n", 5, "until"),
        (ENTRY + "    previous_secrets: [{secret: {env: HOOK_SECRET}, until: tomorrow}]\n", 5, "RFC 3339"),
        (ENTRY + "    previous_secrets: [{secret: {env: SHORT}, until: 2025-06-18T09:00:00Z}]\n", 5, "24"),
        (ENTRY + "    previous_secrets: [{secret: {env: GONE}, until: 2025-06-18T09:00:00Z}]\n", 5, "GONE"),
        (
            ENTRY
            + f"    previous_secrets: [{', '.join(5 * ['{secret: {env: HOOK_SECRET}, until: 2025-06-18T09:00:00Z}'])}]\n",
            5,
            "at most 4",
        ),
        (ENTRY + "    previous_signing_keys: [{secret: {env: KEY}, until: 2025-06-18T09:00:00Z}]\n", 2, "none in use"),
        (
            ROBOT + "    previous_secrets: [{secret: {env: HOOK_SECRET}, until: 2025-06-18T09:00:00Z}]\n",
            2,
            "none in use",
        ),
        (ENTRY + "    quiet_hours: {start: '22:00'}\n", 5, "end"),
        (ENTRY + "    quiet_hours: {start: '24:00', end: '07:00'}\n", 5, "time of day"),
        (ENTRY + "    quiet_hours: {start: '7:00', end: '22:00'}\n", 5, "time of day"),
        (ENTRY + "    quiet_hours: {start: 22:00, end: 07:00}\n", 5, "in quotes"),  # YAML's number to the base of 60
        (ENTRY + "    quiet_hours: {start: '22:00', end: '22:00'}\n", 5, "the same"),
        (ENTRY + "    quiet_hours: {start: '22:00', end: '07:00', levels: []}\n", 5, "levels"),
        (ENTRY + "    rate_per_minute: 0\n", 5, "rate_per_minute"),
        (ENTRY + "    group_wait_seconds: -1\n", 5, "group_wait_seconds"),
        (ENTRY + "    group_wait_seconds: .inf\n", 5, "group_wait_seconds"),
        (ENTRY + "    repeat_hours: 0.5\n", 5, "repeat_hours"),
        (ENTRY + "    enabled: 'no'\n", 5, "enabled"),
        (ENTRY + "    revision: 0\n", 5, "revision"),
        (ENTRY + "    client_certificate: {cert_file: a.pem}\n", 5, "key_file"),
        (ENTRY + "    client_certificate: {cert_file: a.pem, key_file: b.pem}\n", 5, "cannot be read as a PEM"),
        (ENTRY + "removed: [one]\n", 2, "was removed"),
        (ENTRY + "removed: [One]\n", 5, "removed"),
        (ENTRY + "removed: one\n", 5, "removed"),
    ],
)
def test_a_newer_field_is_refused_with_its_line_and_without_its_values(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    environ = ENVIRON | {
        "KEY": KEY_TEXT,
        "SHORT_KEY": "whsk_QUJDREVGR0g=",
        "TINY": "SEC123",
        "URL_HTTP": "http://receiver.example/hook?token=hidden",
        "URL_HERE": "https://127.0.0.1/hook?token=hidden",
    }
    path = write(tmp_path, text)
    with pytest.raises(ConfigFileError) as refused:
        load_subscribers(path, environ)
    message = str(refused.value)
    assert message.startswith(f"{path}:{line}: ")
    assert says in message
    for hidden in (*environ.values(), "robot-token", "hidden"):
        assert hidden not in message


def test_what_a_format_brings_with_it(tmp_path: Path) -> None:
    plain = load(tmp_path, ENTRY)[0]
    assert (plain.format, plain.payload, plain.privacy) == (Format.JSON, Payload.FULL, Privacy.FULL)
    assert plain.rate_per_minute is None
    robot = load(tmp_path, ROBOT + "    robot_secret: {env: HOOK_SECRET}\n")[0]
    assert (robot.format.is_chat, robot.privacy, robot.rate_per_minute) == (True, Privacy.STANDARD, 20)
    assert robot.secrets == ()
    assert robot.robot_secret == RobotSecret.parse(SECRET_TEXT)
    said = load(tmp_path, ROBOT + "    privacy: minimal\n    rate_per_minute: 5\n    secret: {env: HOOK_SECRET}\n")[0]
    assert (said.privacy, said.rate_per_minute, len(said.secrets)) == (Privacy.MINIMAL, 5, 1)


@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o640, False), (0o644, False)])
def test_a_chat_robots_url_only_in_a_file_that_others_cannot_read(tmp_path: Path, mode: int, taken: bool) -> None:
    if taken:
        assert load(tmp_path, ROBOT, mode)[0].url.endswith("robot-token")
        return
    with pytest.raises(ConfigFileError, match=r":3: .*chmod 600") as refused:
        load(tmp_path, ROBOT, mode)
    assert "robot-token" not in str(refused.value)
    (tmp_path / "group.url").write_text("https://qyapi.example/send?key=robot-token\n")
    by_reference = ROBOT.replace("https://qyapi.example/send?key=robot-token", "{file: group.url}")
    assert load(tmp_path, by_reference, mode)[0].url == "https://qyapi.example/send?key=robot-token"


def test_a_url_by_reference_is_the_same_endpoint(tmp_path: Path) -> None:
    by_reference = write(tmp_path, ENTRY.replace("https://receiver.example/hook", "{env: URL}"))
    environ = ENVIRON | {"URL": " https://receiver.example/hook\n"}
    endpoint = load_subscribers(by_reference, environ)[0].endpoint_id
    assert endpoint == load(tmp_path, ENTRY)[0].endpoint_id


@pytest.mark.parametrize("text", ["", " \n", "https://receiver.example/" + "a" * 2048])
def test_a_url_by_reference_has_the_bounds_of_a_written_one(tmp_path: Path, text: str) -> None:
    by_reference = write(tmp_path, ENTRY.replace("https://receiver.example/hook", "{env: URL}"))
    with pytest.raises(ConfigFileError, match="url: a URL has 1 to 2048 characters"):
        load_subscribers(by_reference, ENVIRON | {"URL": text})


def test_a_client_certificate_without_tls_is_refused(tmp_path: Path) -> None:
    write_certificate(tmp_path, "ours")
    plain = ENTRY.replace("https://receiver.example/hook", "http://receiver.example/hook")
    text = plain + "    allow_http: true\n    client_certificate: {cert_file: ours.pem, key_file: ours.key.pem}\n"
    with pytest.raises(ConfigFileError, match="client_certificate: only an https endpoint asks for one"):
        load(tmp_path, text)


def test_keys_in_rotation_come_with_their_end_the_current_one_first(tmp_path: Path) -> None:
    (tmp_path / "old.key").write_text(KEY_TEXT)
    text = (
        ENTRY
        + "    previous_secrets:\n"
        + "      - secret: {env: OLD}\n        until: 2025-06-18T09:00:00+08:00\n"
        + "    signing_key: {env: KEY}\n"
        + "    previous_signing_keys: [{secret: {file: old.key}, until: 2025-06-18T01:00:00Z}]\n"
    )
    both = "whsk_" + base64.b64encode(bytes(range(32, 96))).decode()  # the seed, and the public key behind it
    environ = ENVIRON | {"OLD": "o" * 24, "KEY": both}
    subscriber = load_subscribers(write(tmp_path, text), environ)[0]
    until = parse_instant("2025-06-18T09:00:00+08:00")
    assert subscriber.secrets == (
        Rolling(WebhookSecret.parse(SECRET_TEXT)),
        Rolling(WebhookSecret(b"o" * 24), until),
    )
    assert subscriber.signing_keys == (
        Rolling(SigningKey(bytes(range(32, 64)))),
        Rolling(SigningKey(bytes(range(32))), until),
    )
    previous = subscriber.secrets[1]
    assert (previous.signs(until - 1), previous.signs(until), subscriber.secrets[0].signs(until)) == (True, False, True)


def test_quiet_hours_and_the_rest_of_what_paces_calls(tmp_path: Path) -> None:
    more = "    quiet_hours: {start: '22:00', end: '07:00'}\n    group_wait_seconds: 30\n    repeat_hours: 24\n    enabled: false\n"
    subscriber = load(tmp_path, ENTRY + more)[0]
    assert subscriber.quiet_hours is not None
    assert subscriber.quiet_hours.levels == [Level.BLUE, Level.YELLOW]
    assert (subscriber.group_wait_seconds, subscriber.repeat_hours, subscriber.enabled) == (30, 24, False)


def test_removed_names_are_kept_and_do_not_hinder_others(tmp_path: Path) -> None:
    assert [one.name for one in load(tmp_path, ENTRY + "removed: [two, three]\n")] == ["one"]


def write_certificate(folder: Path, name: str, password: bytes | None = None) -> None:
    """Write `<name>.pem` and its key `<name>.key.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    day = timedelta(days=1)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + day)
    lock = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    (folder / f"{name}.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    )


@pytest.mark.parametrize(
    ("cert", "key", "taken"),
    [
        ("ours.pem", "ours.key.pem", True),
        ("ours.pem", "other.key.pem", False),  # not a pair
        ("ours.key.pem", "ours.pem", False),
        ("ours.pem", "locked.key.pem", False),
        ("locked.pem", "locked.key.pem", False),  # nobody is there to type its passphrase
        ("ours.pem", "missing.pem", False),
        ("ours.pem", "text.pem", False),
    ],
)
def test_a_client_certificate_is_taken_with_its_own_key_alone(tmp_path: Path, cert: str, key: str, taken: bool) -> None:
    write_certificate(tmp_path, "ours")
    write_certificate(tmp_path, "other")
    write_certificate(tmp_path, "locked", b"passphrase")
    (tmp_path / "text.pem").write_text("hunter2")
    text = ENTRY + f"    client_certificate: {{cert_file: {cert}, key_file: {key}}}\n"
    if taken:
        assert load(tmp_path, text)[0].client_certificate == (str(tmp_path / cert), str(tmp_path / key))
        return
    with pytest.raises(ConfigFileError, match=r":5: one: client_certificate: cannot be read") as refused:
        load(tmp_path, text)
    assert "hunter2" not in str(refused.value)


def test_the_example_is_taken(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "subscribers.example.yaml").read_text(encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    for name in re.findall(r"file: secrets/(\S+)\.secret", example):
        (tmp_path / "secrets" / f"{name}.secret").write_text(SECRET_TEXT)
    (tmp_path / "secrets" / "platform.key").write_text(KEY_TEXT)
    (tmp_path / "secrets" / "duty-group.url").write_text("https://oapi.example.org/robot/send?access_token=t")
    path = write(tmp_path, example, 0o644)
    subscribers = load_subscribers(path, {"WARNINGS_DEMO_SECRET": SECRET_TEXT})
    assert {"platform", "team-jiaozhou", "complaints-office", "duty-group", "demo"} < {one.name for one in subscribers}
    assert loose_ends(load_registry(ROOT / "deploy" / "units.example.yaml"), subscribers) == ()


def test_the_example_can_be_edited(tmp_path: Path) -> None:
    test_the_example_is_taken(tmp_path)
    path = tmp_path / "subscribers.yaml"
    before = path.read_text(encoding="utf-8")
    book = SubscriberBook(path, environ={"WARNINGS_DEMO_SECRET": SECRET_TEXT})
    for entry in book.entries():
        book.revise(entry.name)
        book.set_enabled(entry.name, False)
    book.rotate("platform", now=parse_instant("2025-06-18T09:00:00+08:00"))
    after = path.read_text(encoding="utf-8")
    assert [
        line for line in after.splitlines() if "#" in line and "revision" not in line and "secrets/" not in line
    ] == [line for line in before.splitlines() if "#" in line and "revision" not in line and "secrets/" not in line]
    assert not any(one.enabled for one in book.subscribers())
