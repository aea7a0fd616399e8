"""Quarantine as work: what is open, what to tell the sender, sending again, giving up; and that nothing of an input is shown."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from typer.testing import CliRunner

from cli.main import app
from models.quarantine import QuarantineAction, QuarantineDecision, QuarantineRecord, RejectionReason
from models.quarantine_advice import ADVICE, Duty
from models.sender import sender_of
from models.times import DAY, parse_instant
from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.intake import Intake
from streams.quarantine_log import UNNAMED, EntryState, assembled, counts_of, source_of
from streams.replaying import Input, kept_until, refused_again
from streams.topics import TopicSet
from tests.builders import KEYS, body
from tests.kafka_support import Record, produce, read_all

TOPICS = TopicSet()
CANARIES = ("张某三", "19900001234", "金丝雀")
NOW = parse_instant("2026-06-01T00:00:00+08:00")


def record(offset: int, reason: RejectionReason = RejectionReason.NOT_JSON, **fields: Any) -> QuarantineRecord:
    told = {
        "reason": reason,
        "detail": "Expecting value at character 3",
        "topic": TOPICS.ticket_events,
        "partition": 3,
        "offset": offset,
        "size_bytes": 12,
        "sha256": hashlib.sha256(str(offset).encode()).hexdigest(),
        "quarantined_at": f"2025-06-18T09:00:{offset % 60:02}+08:00",
    }
    return QuarantineRecord.model_validate(told | fields)


def decision(of: QuarantineRecord, action: QuarantineAction, **fields: Any) -> QuarantineDecision:
    place = {name: getattr(of, name) for name in ("topic", "partition", "offset", "sha256")}
    told = {"action": action, "decided_by": "ops", "decided_at": "2025-06-19T09:00:00+08:00"}
    return QuarantineDecision.model_validate(place | told | fields)


def raw(*told: QuarantineRecord | QuarantineDecision) -> list[bytes]:
    return [one.model_dump_json().encode() for one in told]


# --- who sent it


@pytest.mark.parametrize("source", ["hotline", "city-12345", "urn:hotline:east", "a/b.c_d"])
def test_the_sender_is_the_source_that_the_input_names(source: str) -> None:
    event = {"source": source, "type": 7}
    assert sender_of(orjson.dumps(event)) == source
    assert sender_of(orjson.dumps({"specversion": "1.0", "source": "outer", "data": event})) == source
    assert sender_of(orjson.dumps({"specversion": "1.0", "source": source, "data": {}})) == source
    assert sender_of(b"{", {"ce_source": source.encode()}) == source


@pytest.mark.parametrize(
    "source", ["张某三", "19900001234", "tel:1990000", "a 1 9 9 0 0", "z.1-9-9-0-0-0-0", "", "x" * 65, 7, None, "a\nb"]
)
def test_what_may_be_a_citizens_is_no_sender(source: object) -> None:
    assert sender_of(orjson.dumps({"source": source})) is None


@given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda text: json.dumps({"source": text}).encode())))
def test_asking_for_the_sender_never_breaks_and_gives_no_long_number(value: bytes) -> None:
    found = sender_of(value)
    assert found is None or (found.isascii() and sum(map(str.isdigit, found)) <= 64 and " " not in found)


# --- what is open


def test_each_input_stands_once_by_time_with_the_last_decision_about_it() -> None:
    one, two, three = record(1), record(2), record(3)
    found = assembled(
        raw(three, one, two, one),
        [
            *raw(decision(one, QuarantineAction.DROPPED, because="resent"), decision(two, QuarantineAction.DROPPED)),
            *raw(decision(two, QuarantineAction.REPLAYED, sent_to=9)),
            b"",
            b"{}",
        ],
    )
    assert [entry.record.offset for entry in found.entries] == [1, 2, 3]
    assert [entry.state for entry in found.entries] == [EntryState.DROPPED, EntryState.REPLAYED, EntryState.OPEN]
    assert found.unreadable == 1


def test_a_decision_about_an_earlier_topic_of_the_name_is_not_about_this_input() -> None:
    old = decision(record(1), QuarantineAction.DROPPED, sha256="0" * 64)
    assert [entry.state for entry in assembled(raw(record(1)), raw(old)).entries] == [EntryState.OPEN]


def test_an_entry_is_found_by_its_key_and_by_a_short_name_that_is_unique() -> None:
    inner = record(1, topic="hw.tickets")
    found = assembled(raw(record(1), record(2), inner), [])
    assert found.named("hw.tickets-3-1").record == inner  # type: ignore[union-attr]
    assert found.named("3-2").record.offset == 2  # type: ignore[union-attr]
    assert found.named("3-1") is None
    assert found.named("3-77") is None


def test_counts_are_by_reason_and_source_the_most_first() -> None:
    poison = record(9, RejectionReason.POISON, topic="hw.tickets")
    entries = assembled(raw(record(1, source="east"), record(2, source="east"), record(3), poison), []).entries
    assert counts_of(entries, TOPICS) == [
        ("not_json", "east", 2),
        ("not_json", UNNAMED, 1),
        ("poison", "hw.tickets", 1),
    ]
    assert source_of(entries[0], TOPICS) == "east"


def test_every_reason_has_a_text_in_chinese_that_says_what_to_do() -> None:
    assert set(ADVICE) == set(RejectionReason)
    for reason, advice in ADVICE.items():
        assert any("一" <= character <= "鿿" for character in advice.title), reason
        assert len(advice.tell) >= 15
    ours = {reason for reason, advice in ADVICE.items() if advice.duty is Duty.OURSELVES}
    assert ours == {RejectionReason.UNREADABLE, RejectionReason.POISON, RejectionReason.TOO_LATE}


def test_what_would_be_refused_again_is_told_before_it_is_sent() -> None:
    good = Input(b"k", orjson.dumps(body("T-1", "registered", 0)), [])
    assert refused_again(TOPICS, TOPICS.ticket_events, good, NOW) is None
    assert refused_again(TOPICS, TOPICS.ticket_events, good, parse_instant("2024-01-01T00:00:00Z")) == (
        "in_the_future (occurred_at)"
    )
    assert refused_again(TOPICS, TOPICS.ticket_events, good._replace(value=b"{"), NOW) == "not_json"
    assert refused_again(TOPICS, TOPICS.ticket_events, good._replace(value=None), NOW) == "empty"
    assert refused_again(TOPICS, TOPICS.tickets, good, NOW) == "unreadable"
    assert refused_again(TOPICS, TOPICS.tickets, good._replace(value=b'["tick",5]'), NOW) is None


def test_an_input_can_be_sent_again_for_thirty_days_and_an_effect_never() -> None:
    refused = record(1)
    until = kept_until(TOPICS, refused)
    assert until == parse_instant(refused.quarantined_at) + 30 * DAY
    assert kept_until(TOPICS, record(1, topic=TOPICS.alerts)) is None


# --- on a real broker


class _Watch:
    def accepted(self, event_type: str, unknown_fields: int) -> None: ...
    def rejected(self, reason: str) -> None: ...
    def sealed(self, route: str) -> None: ...
    def screened(self, event: object) -> None: ...


class _Taken:
    """A record as intake gets it."""

    def __init__(self, at: Record) -> None:
        self.value, self.offset, self.timestamp, self.headers = at.value, at.offset, at.timestamp_ms, ()


BROKEN = {
    "late": orjson.dumps(body("T-9", "registered", "2098-01-01T00:00:00+08:00", source="east", content="金丝雀")),
    "no_time": orjson.dumps({"event_id": "e", "ticket_id": "T", "type": "visited", "source": "east", "x": "金丝雀"}),
    "not_json": '{"content": "张某三 19900001234'.encode(),
    "large": orjson.dumps({"content": "张" * 100_000}),
}


class Service:
    """The commands over one installation's topics, with intake run by hand."""

    def __init__(self, kafka: EmbeddedKafka, topics: TopicSet) -> None:
        self.servers, self.topics = kafka.bootstrap_servers, topics
        self.shown = ""

    def refuse_all(self) -> None:
        """Let intake take what is on the topic, and write what it refuses."""
        intake = Intake(self.topics, KEYS, _Watch())
        for one in read_all(self.servers, self.topics.ticket_events):
            outs = intake.handle(one.partition, [_Taken(one)])
            told = [(out.key.encode(), out.value) for out in outs if out.topic == self.topics.quarantine]
            produce(self.servers, self.topics.quarantine, told, partition=one.partition)

    def run(self, *arguments: str) -> tuple[int, str]:
        common = ["--bootstrap-servers", self.servers, "--prefix", self.topics.prefix]
        result = CliRunner().invoke(app, ["quarantine", *arguments, *common])
        self.shown += result.stdout + result.stderr
        return result.exit_code, result.stdout + result.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json")[1])


@pytest.fixture
def service(kafka: EmbeddedKafka, topics: TopicSet) -> Service:
    found = Service(kafka, topics)
    produce(found.servers, topics.ticket_events, [(b"k", value) for value in BROKEN.values()], partition=1)
    found.refuse_all()
    return found


@pytest.mark.kafka
def test_what_was_refused_is_listed_counted_told_and_given_up_without_a_word_of_it(service: Service) -> None:
    listed = service.json("list")
    events = service.topics.ticket_events
    assert [entry["entry"] for entry in listed["entries"]] == [f"{events}-1-{offset}" for offset in range(4)]
    assert sorted(tuple(one.values()) for one in listed["counts"]) == [
        ("in_the_future", "east", 1),
        ("missing_field", "east", 1),
        ("not_json", UNNAMED, 1),
        ("too_large", UNNAMED, 1),
    ]
    assert [one["entry"] for one in service.json("list", "--reason", "not_json")["entries"]] == [f"{events}-1-2"]
    status, shown = service.run("show", "1-1")
    assert status == 0
    assert "missing_field 缺少必填字段" in shown
    assert "it would be refused again: missing_field (occurred_at)" in shown
    assert "kept    until about 20" in shown
    letters = service.json("tell")["letters"]
    assert set(letters) == {"east", UNNAMED}
    assert "字段 occurred_at(1)" in letters["east"]
    assert service.run("drop", "1-2", "--because", "  ")[0] == 2
    assert service.run("drop", "--because", "said twice", "1-2", "--all")[0] == 2
    assert service.run("drop", "1-2", "--because", "已请对方重发,电话19900001234") == (0, "1 dropped\n")
    kept = read_all(service.servers, service.topics.quarantine_decisions)
    assert "19900001234" not in (kept[0].value or b"").decode()
    assert json.loads(kept[0].value or b"")["because"].startswith("已请对方重发")
    assert len(service.json("list")["entries"]) == 3
    assert [one["state"] for one in service.json("list", "--all")["entries"]].count("dropped") == 1
    assert not [canary for canary in CANARIES if canary in service.shown]


@pytest.mark.kafka
def test_an_input_is_sent_again_as_it_was_once_it_would_be_taken(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = service.topics.ticket_events
    status, shown = service.run("replay", "--all")
    assert status == 1
    assert "4 still_refused" in shown
    assert len(read_all(service.servers, events)) == 4, "nothing was sent"
    monkeypatch.setattr("cli.quarantine_work.now", lambda: parse_instant("2098-01-01T01:00:00+08:00"))
    assert service.json("replay", "1-0", "--dry-run")["counts"] == {"there": 1}
    replayed = service.json("replay", "--reason", "in_the_future")
    assert replayed["results"][0]["sent_to"] == 4
    again = read_all(service.servers, events)[-1]
    assert (again.partition, again.key, again.value) == (1, b"k", BROKEN["late"])
    (entry,) = (one for one in service.json("list", "--all")["entries"] if one["state"] == "replayed")
    assert (entry["offset"], entry["decision"]["sent_to"]) == (0, 4)


@pytest.mark.kafka
def test_what_the_topic_no_longer_keeps_is_said_to_be_gone(service: Service) -> None:
    with connect(service.servers) as admin:
        admin.delete_records({TopicPartition(service.topics.ticket_events, 1): 2})
    status, shown = service.run("replay", "1-0")
    assert status == 1
    assert "the input is gone" in shown
    assert "ask the sender" in shown
    assert service.json("show", "1-1")["input"] == "gone"
    assert service.json("show", "1-2")["input"] == "still_refused"


@pytest.mark.kafka
def test_what_no_single_record_is_to_blame_for_is_not_sent(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    produce(kafka.bootstrap_servers, topics.tickets, [(b"tick", b'["tick",5]')], partition=0)
    where = {"topic": topics.tickets, "partition": 0}
    poison = record(0, RejectionReason.POISON, **where)  # its hash is that of a ticket's id
    mended = record(0, RejectionReason.POISON, **where, sha256=hashlib.sha256(b'["tick",5]').hexdigest())
    dispatch = record(0, RejectionReason.UNREADABLE, topic=topics.alerts)
    produce(kafka.bootstrap_servers, topics.quarantine, [(b"k", value) for value in raw(poison, mended, dispatch)])
    service = Service(kafka, topics)
    assert service.json("replay", "--all")["counts"] == {"another": 1, "sent": 1, "not_an_input": 1}
    assert [one.value for one in read_all(kafka.bootstrap_servers, topics.tickets)] == [b'["tick",5]'] * 2


@pytest.mark.kafka
def test_whether_a_ticket_has_room_now_is_not_promised(kafka: EmbeddedKafka, topics: TopicSet) -> None:
    value = b'["tick",5]'
    produce(kafka.bootstrap_servers, topics.tickets, [(b"tick", value)], partition=0)
    where = {"topic": topics.tickets, "partition": 0, "sha256": hashlib.sha256(value).hexdigest()}
    produce(kafka.bootstrap_servers, topics.quarantine, [(b"k", *raw(record(0, RejectionReason.TOO_LARGE, **where)))])
    service = Service(kafka, topics)
    shown = service.json("show", "0-0")
    assert (shown["input"], "would be taken" in shown["said"]) == ("there", False)
    assert "whether there is room for it now shows when it is sent" in shown["said"]


def test_a_broker_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topic_log.connect", partial(connect, timeout_seconds=0.3))
    result = CliRunner().invoke(app, ["quarantine", "list", "--bootstrap-servers", "127.0.0.1:1"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no Kafka broker answers at 127.0.0.1:1" in result.stderr
