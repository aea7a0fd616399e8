"""The subscribers file: taken as a whole or refused with file:line, never showing a secret."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from alerting.registration import load_subscribers
from models.base import Family, Level
from models.secrets import Rolling, WebhookSecret
from models.strict_yaml import ConfigFileError
from models.subscriber import Subscriber

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
        assert load(tmp_path, text, mode)[0].secret == WebhookSecret.parse(SECRET_TEXT)
        return
    with pytest.raises(ConfigFileError, match=r":4: .*others can read") as refused:
        load(tmp_path, text, mode)
    assert SECRET_TEXT not in str(refused.value)


def test_nothing_shows_a_secret_or_a_url(tmp_path: Path) -> None:
    text = ENTRY.replace("{env: HOOK_SECRET}", "{inline: " + SECRET_TEXT + "}").replace("/hook", "/hook?token=abc123")
    subscriber = load(tmp_path, text)[0]
    shown = f"{subscriber!r} {subscriber} {subscriber.secret!r} {subscriber.endpoint_id}"
    assert SECRET_TEXT not in shown
    assert "abc123" not in shown


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


def test_the_example_is_taken(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "subscribers.example.yaml").read_text(encoding="utf-8")
    (tmp_path / "secrets").mkdir()
    for name in ("platform", "team-jiaozhou", "complaints-office"):
        (tmp_path / "secrets" / name).write_text(SECRET_TEXT)
    path = write(tmp_path, example, 0o644)
    subscribers = load_subscribers(path, {"WARNINGS_DEMO_SECRET": SECRET_TEXT})
    assert [subscriber.name for subscriber in subscribers] == ["platform", "team-jiaozhou", "complaints-office", "demo"]
