"""A key is replaced while calls go on: at no instant does a receiver hold a key that fits none of the signatures."""

from __future__ import annotations

from pathlib import Path

import pytest
from standardwebhooks import Webhook

from alerting.retry import utc_of
from alerting.signing import public_key_text, signature_headers
from alerting.subscriber_book import BookError
from alerting.verify import NotVerifiedError, verify_ed25519
from models.secrets import WebhookSecret
from models.subscriber import Subscriber
from models.times import HOUR
from tests.book_support import ENTRY, NOW, SECRET_TEXT, TEXT, book_in, comments, files_in, mode_of, the


def signs(subscriber: Subscriber, secret: WebhookSecret, now: int) -> bool:
    """Return whether a call made at this instant carries the secret's signature."""
    headers = signature_headers("msg-1", b"{}", subscriber, now)
    return Webhook(secret.key).sign("msg-1", utc_of(now), "{}") in headers["webhook-signature"].split(" ")


def test_during_the_overlap_calls_carry_both_signatures(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    book.add(ENTRY)
    old = the(book, "platform").secrets[0].key
    rotated = book.rotate("platform", now=NOW, overlap_hours=24)
    new = WebhookSecret.parse(rotated.file.read_text())
    assert (rotated.file.name, mode_of(rotated.file), rotated.until) == ("platform-2.secret", 0o600, NOW + 24 * HOUR)
    subscriber = the(book, "platform")
    assert [one.key for one in subscriber.secrets] == [new, old]
    for instant, both in ((NOW, True), (NOW + 24 * HOUR - 1, True), (NOW + 24 * HOUR, False)):
        assert signs(subscriber, new, instant)
        assert signs(subscriber, old, instant) is both


def test_a_receiver_that_changes_over_at_any_time_rejects_nothing(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    book.add(ENTRY)
    held = the(book, "platform").secrets[0].key
    for step in range(3):
        now = NOW + step * 30 * HOUR
        rotated = book.rotate("platform", now=now, overlap_hours=24)
        subscriber = the(book, "platform")
        assert signs(subscriber, held, now)
        held = WebhookSecret.parse(rotated.file.read_text())
        assert signs(subscriber, held, now + 23 * HOUR)
        assert len(subscriber.secrets) == 2  # those that have ended are gone
        assert [str(one.file) for one in rotated.ended] == (
            [] if step == 0 else [f"secrets/platform{'' if step == 1 else '-2'}.secret"]
        )


def test_a_signing_key_is_rotated_too_and_its_public_half_is_told(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    book.add(ENTRY)
    first = book.rotate("platform", now=NOW, which="signing_key")
    assert (first.file.name, first.until) == ("platform.key", None)
    second = book.rotate("platform", now=NOW, which="signing_key", overlap_hours=1)
    assert second.file.name == "platform-2.key"
    subscriber = the(book, "platform")
    publics = [first.public_key, second.public_key]
    assert publics == [public_key_text(one.key) for one in reversed(subscriber.signing_keys)]
    for public, instant, verifies in (
        (publics[0], NOW, True),
        (publics[1], NOW, True),
        (publics[0], NOW + HOUR, False),
        (publics[1], NOW + HOUR, True),
    ):
        headers = signature_headers("msg-1", b"{}", subscriber, instant)
        if verifies:
            assert verify_ed25519(b"{}", headers, [str(public)], instant) == {}
        else:
            with pytest.raises(NotVerifiedError):
                verify_ed25519(b"{}", headers, [str(public)], instant)


@pytest.mark.parametrize(
    ("reference", "left"), [("{env: HOOK_SECRET}", "{env: HOOK_SECRET}"), (f"{{inline: {SECRET_TEXT}}}", SECRET_TEXT)]
)
def test_a_secret_of_the_environment_or_of_the_file_itself_is_rotated_into_a_file(
    tmp_path: Path, reference: str, left: str
) -> None:
    text = TEXT.replace("secret: {env: HOOK_SECRET}   #", f"secret: {reference}   #")
    path, book = book_in(tmp_path, text)
    book.rotate("one", now=NOW)
    assert "secret: {file: secrets/one-2.secret}   # from the service's environment" in path.read_text()
    assert left in path.read_text()
    assert the(book, "one").secrets[1].key == WebhookSecret.parse(SECRET_TEXT)
    assert comments(path.read_text()) == comments(TEXT)


def test_a_key_that_somebody_else_still_uses_is_not_called_ended(tmp_path: Path) -> None:
    _, book = book_in(tmp_path, TEXT)
    assert book.rotate("one", now=NOW, overlap_hours=0).ended == ()
    assert [one.env for one in book.rotate("two", now=NOW, overlap_hours=0).ended] == ["HOOK_SECRET"]
    assert len(the(book, "one").secrets) == 1


def test_a_fifth_previous_key_is_refused(tmp_path: Path) -> None:
    path, book = book_in(tmp_path)
    book.add(ENTRY)
    for _ in range(4):
        book.rotate("platform", now=NOW, overlap_hours=24)
    before = (path.read_text(), files_in(tmp_path))
    with pytest.raises(BookError, match="wait until one has ended"):
        book.rotate("platform", now=NOW + HOUR)
    assert (path.read_text(), files_in(tmp_path)) == before
    book.rotate("platform", now=NOW + 24 * HOUR)
    assert len(the(book, "platform").secrets) == 2


@pytest.mark.parametrize("hours", [-1, float("nan"), float("inf"), 24 * 366 + 1])
def test_an_overlap_that_makes_no_sense_is_refused(tmp_path: Path, hours: float) -> None:
    path, book = book_in(tmp_path, TEXT)
    with pytest.raises(BookError, match="overlap"):
        book.rotate("one", now=NOW, overlap_hours=hours)
    assert path.read_text() == TEXT


def test_a_chat_robot_has_no_secret_to_rotate(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    book.add({"name": "group", "url": {"env": "ROBOT_URL"}, "format": "feishu"})
    with pytest.raises(BookError, match="chat robot"):
        book.rotate("group", now=NOW)


def test_names_and_numbers_of_key_files_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    _, book = book_in(tmp_path)
    book.add(ENTRY | {"name": "a"})
    book.rotate("a", now=NOW)
    book.add(ENTRY | {"name": "a-2"})
    book.rotate("a", now=NOW)
    keys = [the(book, name).secrets for name in ("a", "a-2")]
    assert (len(keys[0]), len(keys[1])) == (3, 1)
    assert keys[1][0].key not in [one.key for one in keys[0]]
