"""Bad input through the live service: each is quarantined once with its reason, and the good event after it is processed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from models.quarantine import QuarantineRecord
from models.times import format_instant
from rules.messages import EventMessage, decode
from streams.broker import EmbeddedKafka
from tests.builders import Story, body
from tests.kafka_support import produce, read_all
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka

SECRET_TEXT = "不可外传的话19900001234"
GOOD = body("T-bad", "registered", 0, event_id="bad", title=SECRET_TEXT)
TEXT = json.dumps(GOOD, ensure_ascii=False)
MICROS = 1_000_000


def _with(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields, ensure_ascii=False).encode()


def _raw(name: str, value: str) -> bytes:
    """Return an event with a field whose JSON is written by hand."""
    return f'{TEXT[:-1]},"{name}":{value}}}'.encode()


def _ahead() -> bytes:
    return _with(occurred_at=format_instant(int(time.time() + 4 * 3600) * MICROS))


REFUSED: dict[str, tuple[bytes | None, str]] = {
    "nothing": (None, "empty"),
    "empty": (b"", "empty"),
    "null": (b"null", "not_an_object"),
    "an array": (b"[]", "not_an_object"),
    "truncated": (TEXT.encode()[:-3], "not_json"),
    "trailing text": (TEXT.encode() + SECRET_TEXT.encode(), "not_json"),
    "0xFF": (b"\xff", "not_utf8"),
    "0xFF inside": (TEXT.encode().replace(b"T-bad", b"T-\xff"), "not_utf8"),
    "UTF-16": (TEXT.encode("utf-16"), "byte_order_mark"),
    "a byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), "byte_order_mark"),
    "a lone surrogate": (_raw("note", '"\\ud800"'), "bad_text"),
    "a NUL in an id": (_raw("ticket", '"T\\u0000"'), "bad_text"),
    "NaN": (_raw("seq", "NaN"), "bad_number"),
    "1e999": (_raw("note", "1e999"), "bad_number"),
    "an integer of 5,000 digits": (_raw("seq", "9" * 5000), "bad_number"),
    "depth 100,000": (_raw("note", "[" * 100_000 + "]" * 100_000), "too_deep"),
    "2 MB": (_with(content="字" * 700_000), "too_large"),
    "duplicate keys": (_raw("event_id", '"other"'), "duplicate_key"),
    "a wrong schema version": (_with(schema_version=2), "unsupported_version"),
    "a boolean for an integer": (_with(seq=True), "invalid_field"),
    "an impossible time": (_with(occurred_at="2025-02-30T09:00:00+08:00"), "impossible_time"),
    "two hours ahead": (_ahead(), "in_the_future"),
    "an event id of 129 characters": (_with(event_id="e" * 129), "invalid_field"),
    "a ticket id of 129 characters": (_with(ticket_id="t" * 129), "invalid_field"),
    "no ticket id": (json.dumps({k: v for k, v in GOOD.items() if k != "ticket_id"}).encode(), "missing_field"),
}


@dataclass
class Sent:
    """Where each bad input lies, and the good event that was sent after it in the same partition."""

    service: Live
    where: dict[str, tuple[int, int]] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    quarantined: dict[tuple[int, int], list[dict[str, Any]]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def service(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("bad-input"), "bad.", LOG_LEVEL="debug") as installation:
        installation.start("worker-1")
        installation.wait_until_ready()
        yield installation


def _keys(service: Live, topic: str) -> set[str]:
    return {(one.key or b"").decode() for one in read_all(service.servers, topic)}


@pytest.fixture(scope="module")
def sent(service: Live) -> Sent:
    found = Sent(service)
    for number, (name, (value, _)) in enumerate(REFUSED.items()):
        ticket = f"after-{number}"
        good = orjson.dumps(body(ticket, "registered", 0, event_id=ticket))
        partition = number % 4
        places = produce(
            service.servers, service.topics.ticket_events, [(b"key", value), (b"key", good)], partition=partition
        )
        found.where[name], found.after[name] = places[0], ticket
    service.idle()
    found.taken = _keys(service, service.topics.tickets)
    found.stored = _keys(service, service.topics.tickets_changelog)
    for record in service.quarantined():
        found.quarantined.setdefault((record["partition"], record["offset"]), []).append(record)
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_each_is_quarantined_once_with_its_reason_and_without_its_text(sent: Sent, name: str) -> None:
    value, reason = REFUSED[name]
    records = sent.quarantined.get(sent.where[name], [])
    assert len(records) == 1
    record = QuarantineRecord.model_validate_json(orjson.dumps(records[0]))
    assert record.reason == reason
    assert record.topic == sent.service.topics.ticket_events
    assert record.sha256 == hashlib.sha256(value or b"").hexdigest()
    assert record.size_bytes == len(value or b"")
    told = orjson.dumps(records[0]).decode()
    assert SECRET_TEXT not in told
    assert "19900001234" not in told
    assert "T-bad" not in told
    assert len(told) < 800


@pytest.mark.parametrize("name", REFUSED)
def test_the_good_event_after_it_is_processed(sent: Sent, name: str) -> None:
    assert sent.after[name] in sent.taken
    assert sent.after[name] in sent.stored


def test_nothing_else_is_quarantined_and_all_is_counted_by_reason(sent: Sent) -> None:
    mine = {place for place in sent.quarantined if place in sent.where.values()}
    assert mine == set(sent.where.values())
    reasons = [reason for _, reason in REFUSED.values()]
    for reason in set(reasons):
        assert sent.service.metric(f'hw_rejections_total{{reason="{reason}"}}') == reasons.count(reason), reason
    assert SECRET_TEXT not in sent.service.logs()


def test_a_closure_before_its_creation_is_held_as_late(service: Live) -> None:
    story = Story("late")(0, "registered")(0.1, "dispatched", unit="U", due_at="2025-03-05T18:00:00+08:00")
    story(1, "resolved", unit="U")
    service.send(to_bytes(story.records[::-1]))
    service.idle()
    service.tick("2025-03-20T00:00:00+08:00")
    service.idle()
    assert ("late", "P06") not in service.in_force()
    open_one = Story("open")(0, "registered")(0.1, "dispatched", unit="U", due_at="2025-03-05T18:00:00+08:00")
    service.send(to_bytes(open_one.records))
    service.idle()
    service.tick("2025-03-20T00:00:00+08:00")
    service.idle()
    assert service.in_force()["open", "P06"] == "red", "without its closure the same ticket is overdue"


def test_an_unknown_unit_is_taken(service: Live) -> None:
    story, before = Story("unknown-unit"), len(service.quarantined())
    for number in range(3):
        story(number, "return_requested", unit="no-such-unit-in-any-registry", unit_name="不在册的单位")
    service.send(to_bytes(story.records))
    service.idle()
    assert service.in_force()["unknown-unit", "P01"] == "yellow"
    assert len(service.quarantined()) == before


def test_another_body_under_a_known_id_raises_an_alarm_and_the_first_stays(service: Live) -> None:
    before = service.metric('hw_security_alarms_total{kind="conflicting_body"}')
    first = body("twice", "return_requested", 0, event_id="same", unit="A")
    second = body("twice", "return_requested", 1, event_id="same", unit="B", reason=SECRET_TEXT)
    after = body("twice", "return_requested", 2, event_id="another", unit="A")
    service.send(to_bytes([first, first, second, after]))
    service.idle()
    assert service.metric('hw_security_alarms_total{kind="conflicting_body"}') == before + 1
    assert service.in_force()["twice", "P01"] == "blue", "two returns of one unit: the first body stood"
    assert "security alarm" in service.logs()
    assert SECRET_TEXT not in service.logs()


def test_what_is_no_message_on_the_internal_topics_is_quarantined(service: Live) -> None:
    topics = service.topics
    for topic in (topics.tickets, topics.citizens):
        places = produce(service.servers, topic, [(b"x", b'{"what":"19900001234"}'), (b"x", None)], partition=3)
        service.idle()
        told = [one for one in service.quarantined() if (one["topic"], one["partition"]) == (topic, 3)]
        assert [(one["partition"], one["offset"], one["reason"]) for one in told] == [
            (*place, "unreadable") for place in places
        ]
    story = Story("still-there")(0, "return_requested", unit="A")(1, "return_requested", unit="B")
    service.send(to_bytes(story.records))
    service.idle()
    assert service.in_force()["still-there", "P01"] == "yellow"


def test_an_event_from_long_ago_and_one_just_now_are_taken(service: Live) -> None:
    now = format_instant(int(time.time() + 3600) * MICROS)  # an hour ahead is a clock that is a little wrong
    records = [
        body("old", "registered", "1999-01-01T00:00:00+08:00", event_id="old"),
        body("new", "urged", now, event_id="new"),
    ]
    service.send(to_bytes(records))
    service.idle()
    assert {"old", "new"} <= _keys(service, service.topics.tickets)
    kept = [one.value for one in read_all(service.servers, service.topics.tickets) if one.key == b"old"]
    message = decode(kept[0] or b"")
    assert isinstance(message, EventMessage)
    assert message.event.event_id == "old"
