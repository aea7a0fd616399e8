"""Edits of the subscribers file: whole or not at all, comments kept, no secret shown, nobody's edit lost."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from alerting.subscriber_book import BookError, BookProblem, SubscriberBook
from models.secrets import SigningKey, WebhookSecret
from models.subscriber import Format
from tests.book_support import ENTRY, ENVIRON, NOW, SECRET_TEXT, TEXT, book_in, comments, files_in, mode_of, the

# --- add ---


def test_the_first_one_makes_the_file_and_a_secret_that_only_the_owner_can_read(tmp_path: Path) -> None:
    path, book = book_in(tmp_path)
    assert (book.subscribers(), book.entries()) == ((), [])
    entry = book.add(ENTRY)
    assert entry.secret is not None
    assert entry.secret.file == "secrets/platform.secret"
    secret = tmp_path / "secrets" / "platform.secret"
    assert [mode_of(one) for one in (path, secret.parent, secret)] == [0o600, 0o700, 0o600]
    text = secret.read_text().strip()
    assert text.startswith("whsec_")
    assert len(base64.b64decode(text.removeprefix("whsec_"))) == 32
    assert the(book, "platform").secrets[0].key == WebhookSecret.parse(text)
    assert text not in path.read_text()
    assert path.read_text().startswith("# Who gets which warnings")
    assert book.entries() == [entry] == [book.entry("platform")]


def test_two_new_secrets_differ(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    book.add(ENTRY)
    book.add(ENTRY | {"name": "team"})
    assert the(book, "platform").secrets != the(book, "team").secrets


def test_an_entry_goes_to_the_end_and_nothing_else_moves(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    book.add(ENTRY | {"secret": {"env": "HOOK_SECRET"}, "levels": ["red"], "headers": {"X-Area": "no"}})
    new = """\
  - name: platform
    url: 'https://receiver.example/hook'
    secret: {env: HOOK_SECRET}
    levels: [red]
    headers: {X-Area: 'no'}
"""
    before, after = TEXT.split("\n# Names that")
    assert path.read_text() == f"{before}{new}\n# Names that{after}"
    assert files_in(tmp_path) == [".subscribers.yaml.lock", "subscribers.yaml"]
    assert [one.name for one in book.subscribers()] == ["one", "two", "platform"]


def test_every_field_of_an_entry_can_be_given(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    given: dict[str, Any] = {
        "format": Format.CLOUDEVENTS_BINARY,
        "payload": "thin",
        "privacy": "minimal",
        "enabled": False,
        "units": ("U-1", "no", "12"),
        "owner_units": ["U-9"],
        "families": ["P"],
        "allow_http": None,
        "allow_networks": ["10.20.0.0/16"],
        "timeout_seconds": 5,
        "concurrency": 2,
        "rate_per_minute": 30,
        "group_wait_seconds": 1.5,
        "repeat_hours": 24.0,
        "quiet_hours": {"start": "22:00", "end": "07:00"},
        "revision": 3,
        "secret": {"inline": SECRET_TEXT},
    }
    entry = book.add(ENTRY | given)
    assert entry.units == ["U-1", "no", "12"]
    assert entry.quiet_hours is not None
    assert the(book, "platform").rate_per_minute == 30
    assert SECRET_TEXT not in f"{entry!r}{book.entries()!r}{book.subscribers()!r}"


def test_a_chat_robot_needs_no_secret_and_gets_none(tmp_path: Path) -> None:
    path, book = book_in(tmp_path)
    entry = book.add({"name": "group", "url": {"env": "ROBOT_URL"}, "format": "wecom"})
    assert entry.secret is None
    assert not (tmp_path / "secrets").exists()
    assert "robot-token" not in path.read_text()


def test_a_signing_key_is_made_on_wish(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    entry = book.add(ENTRY, new_signing_key=True)
    assert entry.signing_key is not None
    assert entry.signing_key.file == "secrets/platform.key"
    key = tmp_path / "secrets" / "platform.key"
    assert mode_of(key) == 0o600
    assert the(book, "platform").signing_keys[0].key == SigningKey.parse(key.read_text())
    with pytest.raises(BookError, match="signing_key"):
        book.add(ENTRY | {"name": "b", "signing_key": {"file": "secrets/platform.key"}}, new_signing_key=True)


def test_keys_may_be_kept_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "conf").mkdir()
    book = SubscriberBook(tmp_path / "conf" / "subscribers.yaml", tmp_path / "keys", ENVIRON)
    entry = book.add(ENTRY)
    assert entry.secret is not None
    assert entry.secret.file == str(tmp_path / "keys" / "platform.secret")
    assert the(book, "platform").secrets


def test_a_key_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o700)
    mine = tmp_path / "secrets" / "platform.secret"
    mine.write_text("somebody's own")
    _, book = book_in(tmp_path)
    entry = book.add(ENTRY)
    assert entry.secret is not None
    assert entry.secret.file == "secrets/platform-2.secret"
    assert mine.read_text() == "somebody's own"


def test_no_key_goes_into_a_folder_that_everybody_may_write(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets").chmod(0o777)
    _, book = book_in(tmp_path)
    with pytest.raises(BookError, match="chmod 700") as refused:
        book.add(ENTRY)
    assert refused.value.problem is BookProblem.FILE
    assert not (tmp_path / "subscribers.yaml").exists()


ENDPOINTS_REFUSED = [
    "http://receiver.example/hook",
    "https://user@receiver.example/hook",
    "https://user:hunter2@receiver.example/hook",
    "https://receiver.example:80@10.0.0.1/",
    "file:///etc/passwd",
    "ftp://receiver.example/hook",
    "//receiver.example/hook",
    "receiver.example/hook",
    "https://",
    "https://127.0.0.1/hook",
    "https://127.1/hook",
    "https://2130706433/hook",
    "https://0x7f000001/hook",
    "https://0177.0.0.1/hook",
    "https://127。0。0。1/hook",
    "https://[::1]/hook",
    "https://[::ffff:127.0.0.1]/hook",
    "https://[64:ff9b::a00:1]/hook",
    "https://[2002:a00:1::]/hook",
    "https://[fec0::1]/hook",
    "https://[fd00::1]/hook",
    "https://10.0.0.1/hook",
    "https://169.254.169.254/latest/meta-data",
    "https://224.0.0.1/hook",
    "https://receiver.example:99999/hook",
    "https://receiver.example:0/hook",
    "https://receiver.example\r\nX-Injected: 1/hook",
    "https://receiver.example/hook\n",
    "https://receiver.example/ hook",
    "https://receiver.example\\@10.0.0.1/hook",
    "https://receiver.example/hook#fragment",
    "",
    "https://receiver.example/" + "a" * 2048,
]


@pytest.mark.parametrize("url", ENDPOINTS_REFUSED)
def test_an_endpoint_that_may_not_be_called_is_refused_and_leaves_no_trace(tmp_path: Path, url: str) -> None:
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError) as refused:
        book.add(ENTRY | {"url": url})
    assert refused.value.problem is BookProblem.ENTRY
    assert str(refused.value).endswith("; nothing was written")
    assert "hunter2" not in str(refused.value)
    assert path.read_text() == TEXT
    assert files_in(tmp_path) == [".subscribers.yaml.lock", "subscribers.yaml"] or len(url) in (0, 2073)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "line break"),
        ({"headers": {"X-A\n": "a"}}, "line break"),
        ({"headers": {"Authorization": "Bearer hunter2"}}, "secret into the file"),
        ({"levels": ["yelow"]}, "levels"),
        ({"levels": []}, "levels"),
        ({"levels": ["red", "red"]}, "twice"),
        ({"families": ["X"]}, "families"),
        ({"allow_networks": ["0.0.0.0/0"]}, "wide"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": 0}, "concurrency"),
        ({"enabled": "no"}, "enabled"),
        ({"quiet_hours": {"start": "22:00", "end": "22:00"}}, "same"),
        ({"quiet_hours": {"start": "25:00", "end": "22:00"}}, "time of day"),
        ({"secret": {"env": "NOT_THERE"}}, "NOT_THERE"),
        ({"secret": {"file": "missing"}}, "cannot be read"),
        ({"secret": {"inline": "hunter2"}}, "24"),
        ({"secret": SECRET_TEXT}, "secret"),
        ({"secret": {}}, "exactly one"),
        ({"robot_secret": {"env": "HOOK_SECRET"}}, "robot_secret"),
        ({"format": "wecom", "payload": "thin"}, "payload"),
        ({"format": "xml"}, "format"),
        ({"ca_file": "missing.pem"}, "ca_file"),
        ({"client_certificate": {"cert_file": "missing.pem", "key_file": "missing.pem"}}, "client_certificate"),
        ({"surprise": 1}, "surprise"),
        ({"url": None}, "url"),
    ],
)
def test_an_entry_that_cannot_be_taken_says_which_field_and_shows_no_secret(
    tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError, match=says) as refused:
        book.add(ENTRY | fields)
    assert refused.value.problem is BookProblem.ENTRY
    assert "hunter2" not in str(refused.value)
    assert SECRET_TEXT not in str(refused.value)
    assert path.read_text() == TEXT
    assert not [name for name in files_in(tmp_path) if "secret" in name or name.endswith(".new")]


@pytest.mark.parametrize(
    "name", ["", "One", "a b", "a/b", "../a", "a.b", "-a", "a\n", "a|b", "名字", "a" * 64, "a\x00", "*a", "&a", None, 1]
)
def test_a_name_with_odd_characters_is_refused_before_it_names_a_file(tmp_path: Path, name: Any) -> None:
    _, book = book_in(tmp_path)
    with pytest.raises(BookError, match="name"):
        book.add({"name": name, "url": "https://receiver.example/hook"})
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["no", "null", "1", "0x1", "1e5", "12-30", "y", "2025-06-18", "a" * 63])
def test_a_name_that_yaml_would_read_as_something_else_stays_a_name(tmp_path: Path, name: str) -> None:
    _, book = book_in(tmp_path, TEXT)
    book.add(ENTRY | {"name": name})
    book.set_enabled(name, False)
    assert the(book, name).enabled is False
    book.remove(name)
    assert [one.name for one in book.entries()] == ["one", "two"]
    with pytest.raises(BookError, match="removed"):
        book.add(ENTRY | {"name": name})


@pytest.mark.parametrize(("name", "problem"), [("one", BookProblem.NAME_TAKEN), ("old", BookProblem.NAME_REMOVED)])
def test_a_name_is_never_given_twice(tmp_path: Path, name: str, problem: BookProblem) -> None:
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError, match="choose another") as refused:
        book.add(ENTRY | {"name": name})
    assert refused.value.problem is problem
    assert path.read_text() == TEXT


def test_an_inline_secret_is_refused_in_a_file_that_others_can_read(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT, 0o644)
    with pytest.raises(BookError, match="others can read") as refused:
        book.add(ENTRY | {"secret": {"inline": SECRET_TEXT}})
    assert SECRET_TEXT not in str(refused.value)
    assert path.read_text() == TEXT


def test_a_check_that_finds_something_ends_the_edit(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError, match="leads to this machine") as refused:
        book.add(ENTRY, check=lambda subscriber: f"{subscriber.name} leads to this machine")
    assert refused.value.problem is BookProblem.ENDPOINT
    assert path.read_text() == TEXT
    assert not (tmp_path / "secrets" / "platform.secret").exists()
    asked: list[str] = []
    book.add(ENTRY, check=lambda subscriber: asked.append(subscriber.url))
    assert asked == ["https://receiver.example/hook"]


# --- the other edits ---


def test_enabling_and_disabling_change_one_line_and_nothing_where_it_is_so(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    book.set_enabled("one", True)
    assert path.read_text() == TEXT
    book.set_enabled("one", False)
    assert path.read_text() == TEXT.replace("# its name\n", "# its name\n    enabled: false\n")
    assert the(book, "one").enabled is False
    book.set_enabled("one", True)
    assert the(book, "one").enabled is True
    assert comments(path.read_text()) == comments(TEXT)


def test_a_revision_makes_it_another_endpoint(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    before = the(book, "two").endpoint_id
    assert [book.revise("two"), book.revise("two")] == [2, 3]
    assert the(book, "two").endpoint_id != before
    assert comments(path.read_text()) == comments(TEXT)


def test_removing_leaves_the_name_behind_and_the_others_comments(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT)
    book.remove("one")
    text = path.read_text()
    assert "removed: [old, one]" in text
    assert comments(text) == ["# Kept by the duty office", "# A posted team", "# Names that were in use"]
    book.remove("two")
    assert book.entries() == []
    book.add(ENTRY)
    assert [one.name for one in book.entries()] == ["platform"]


def test_the_first_removed_name_makes_the_list(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT[: TEXT.index("\n# Names")] + "# the end\n")
    book.remove("two")
    assert path.read_text().endswith("# the end\nremoved: [two]\n")


@pytest.mark.parametrize("edit", ["rotate", "enable", "revise", "remove"])
def test_an_edit_of_nobody_says_so(tmp_path: Path, edit: str) -> None:
    edits = {
        "rotate": lambda book: book.rotate("nobody", now=NOW),
        "enable": lambda book: book.set_enabled("nobody", True),
        "revise": lambda book: book.revise("nobody"),
        "remove": lambda book: book.remove("nobody"),
    }
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError, match="nobody") as refused:
        edits[edit](book)
    assert refused.value.problem is BookProblem.UNKNOWN
    assert path.read_text() == TEXT
    missing = SubscriberBook(tmp_path / "missing.yaml", environ=ENVIRON)
    with pytest.raises(BookError, match="subscribers add"):
        edits[edit](missing)


def test_what_does_not_load_can_still_be_removed(tmp_path: Path) -> None:
    path, book = book_in(tmp_path, TEXT.replace("{env: HOOK_SECRET}   #", "{env: NOT_SET}   #"))
    with pytest.raises(BookError, match="the environment has no NOT_SET"):
        book.revise("two")
    book.remove("one")
    assert [one.name for one in book.subscribers()] == ["two"]
    assert "NOT_SET" not in path.read_text()


# --- the file ---


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("subscribers: &a []\n", 1),
        ("subscribers: []\nsubscribers: []\n", 2),
        ("subscribers: !!python/none []\n", 1),
        ("subscribers: []\n---\nsubscribers: []\n", 2),
        ("subscribers: []\nsurprise: 1\n", 2),
        ("subscribers: [\n", 2),
        ("", 1),
        ("subscribers: {}\n", 1),
    ],
)
def test_a_file_that_the_service_would_not_take_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path, book = book_in(tmp_path, text)
    for edit in (lambda: book.add(ENTRY), lambda: book.revise("one"), book.entries, book.subscribers):
        with pytest.raises(BookError) as refused:
            edit()
        assert refused.value.problem is BookProblem.FILE
        assert str(refused.value).startswith(f"{path}:{line}: ")
    assert path.read_text() == text


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_mode_and_owner_stay(tmp_path: Path, mode: int) -> None:
    path, book = book_in(tmp_path, TEXT, mode)
    owner = (12345, 12346) if os.geteuid() == 0 else (path.stat().st_uid, path.stat().st_gid)
    os.chown(path, *owner)
    book.add(ENTRY)
    secrets = tmp_path / "secrets"
    assert mode_of(path) == mode
    for one in (path, secrets, secrets / "platform.secret", tmp_path / ".subscribers.yaml.lock"):
        assert (one.stat().st_uid, one.stat().st_gid) == owner


def test_windows_line_ends_stay(tmp_path: Path) -> None:
    path, book = book_in(tmp_path)
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    book.add(ENTRY)
    book.remove("one")
    book.rotate("two", now=NOW)
    raw = path.read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") > 0
    assert [one.name for one in book.subscribers()] == ["two", "platform"]


@pytest.mark.parametrize(
    "text",
    [
        "{subscribers: [{name: one, url: 'https://one.example', secret: {env: HOOK_SECRET}}]}\n",
        '{\n"subscribers": [\n{"name": "one", "url": "https://one.example", "secret": {"env": "HOOK_SECRET"}}\n]\n}\n',
        "subscribers:\n- url: https://one.example\n  secret:\n    env: HOOK_SECRET\n  name: one\n",
        "# a\nsubscribers: \n  -\n    name: one\n    url: https://one.example\n    secret: {env: HOOK_SECRET}",
        "removed: []\nsubscribers:\n  - {name: one, url: https://one.example, secret: {env: HOOK_SECRET}}\n",
    ],
)
def test_a_file_of_any_style_is_edited(tmp_path: Path, text: str) -> None:
    _, book = book_in(tmp_path, text)
    book.set_enabled("one", False)
    book.revise("one")
    book.rotate("one", now=NOW)
    book.rotate("one", now=NOW)
    book.add(ENTRY)
    subscriber = the(book, "one")
    assert (subscriber.enabled, subscriber.revision, len(subscriber.secrets)) == (False, 2, 3)
    book.remove("one")
    book.remove("platform")
    assert book.entries() == []


def test_a_form_that_cannot_be_edited_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = TEXT[: TEXT.index("\n# Names")] + "...\n"  # an end of the document, behind which no key may stand
    path, book = book_in(tmp_path, text)
    with pytest.raises(BookError, match="by hand") as refused:
        book.remove("one")
    assert refused.value.problem is BookProblem.FILE
    assert path.read_text() == text
    book.add(ENTRY)
    assert [one.name for one in book.subscribers()] == ["one", "two", "platform"]


def test_a_link_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    path, _ = book_in(tmp_path, TEXT)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    with pytest.raises(BookError, match="symbolic link"):
        SubscriberBook(link, environ=ENVIRON).revise("one")
    assert link.is_symlink()
    assert path.read_text() == TEXT


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="No such file or directory"):
        SubscriberBook(tmp_path / "no" / "subscribers.yaml", environ=ENVIRON).add(ENTRY)
