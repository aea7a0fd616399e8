"""Canary identities through the live service: after intake nothing has them, no topic, log, metric, table or webhook."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaConsumer, TopicPartition

from alerting.receiver import Receiver, serve
from rules.masking import fold_digits
from rules.messages import decode
from streams.broker import EmbeddedKafka
from streams.rocks import RocksLimits, RocksOptions
from tests.builders import KEYS, Story
from tests.kafka_support import produce
from tests.live_support import SECRET, Live, delivered, live, subscribers_file, to_bytes

pytestmark = pytest.mark.kafka

PHONE = "19900001234"
ID_NUMBER = "110101190001011009"
NAMES = ("张某某", "李某某")
SENTENCE = "紫色的河马在三号楼顶唱了整夜的歌"
CANARIES = {
    "a phone": PHONE,
    "a phone with blanks": "199 0000 1234",
    "a phone with hyphens": "199-0000-1234",
    "a phone in full width": "１９９００００１２３４",
    "a phone in numerals": "幺九九〇〇〇〇幺二三四",
    "a phone with a country code": "+86 199 0000 1234",
    "a phone with format characters": "199\u200b0000\u200b1234",
    "an ID number": ID_NUMBER,
    "an ID number with blanks": "110101 19000101 1009",
    "an ID number in full width": "１１０１０１１９０００１０１１００９",
    "an e-mail address": "canary-hw@example.com",
    "a chat account": "微信canary_hw_99",
    "a name": NAMES[0],
    "another name": NAMES[1],
    "a sentence": SENTENCE,
}
HEAD = "试区纪委书记"
SEALED_SENTENCE = "橙色的骆驼在会所里收了两万元红包"
SEALED_UNIT = "U-SEALED-CANARY"
SEALED = {"what is sealed": SEALED_SENTENCE, "who is accused": HEAD, "a unit of it": SEALED_UNIT}
POSTS = f"posts:\n  - titles: [{HEAD}]\n    route: superior_petition_office\n"
PSEUDONYM_SECRET = KEYS[0].secret.decode()
LONG = "，".join(CANARIES.values())
UNTIL = "2025-06-01T00:00:00+08:00"


def _complaint(ticket: str, day: float, citizen: dict[str, str]) -> Story:
    story = Story(ticket).complaint(
        day,
        citizen=citizen,
        title=f"{SENTENCE} {citizen['name']} {PHONE}",
        content=f"来电人{citizen['name']}反映：{LONG}",
        raw_content=f"原话：{LONG}",
        category=["城乡建设", "供水", f"水压 {PHONE}"],
        place={
            "district": "试区",
            "street": f"试街道{PHONE}",
            "community": f"{citizen['name']}家园 {CANARIES['a phone in numerals']}",
            "text": f"{SENTENCE}旁{citizen['name']}家{PHONE}",
        },
        target={"name": f"{NAMES[1]}的公司{PHONE}", "unit_id": "U-9"},
        channel="phone",
        note=LONG,
    )
    story.records[-1]["event_id"] = f"{ticket}-registered"
    return story


def _events() -> list[dict[str, Any]]:
    """Return two citizens' stories that bring many warnings, with canaries in every field that takes text."""
    records: list[dict[str, Any]] = []
    citizens = [{"name": NAMES[0], "phone": PHONE}, {"name": NAMES[1], "id_number": ID_NUMBER, "phone": PHONE}]
    for number, citizen in enumerate(citizens):
        for again in range(3):
            story = _complaint(f"canary-{number}-{again}", again * 5, citizen)
            named = {"unit_name": f"甲街道 {PHONE} {ID_NUMBER}"}
            for turn in range(4):
                start = again * 5 + turn + 0.1
                story(start, "dispatched", unit=f"U-{turn}", limit={"value": 2, "unit": "days"}, note=LONG, **named)
                said = {
                    "reason": LONG,
                    "reason_code": "R3",
                    "approver": NAMES[0],
                    "evidence": [LONG[:200]],
                    "contacted": False,
                }
                story(start + 0.5, "return_requested", unit=f"U-{turn}", **said, **named)
            story(again * 5 + 5, "designated", unit="U-0", basis=LONG, **named)
            story(again * 5 + 6, "resolved", unit="U-0", reply=LONG, solved="yes", **named)
            story(again * 5 + 7, "visited", result="dissatisfied", attitude="neutral", comment=LONG)
            story(again * 5 + 8, "redo_ordered", unit="U-0", round=1, reason=LONG)
            story(again * 5 + 8.5, "amended", fields={"title": LONG, "citizen": citizen, "content": LONG, "note": LONG})
            story(again * 5 + 9, "brainstormed", note=LONG, citizen=citizen)
            records += story.records
    gone = Story("canary-gone").complaint(0, citizen=citizens[0])(1, "voided", reason=LONG)(2, "withdrawn", reason=LONG)
    return records + gone.records


def _accusing() -> list[dict[str, Any]]:
    """Return a complaint that text rules warn of, with the citizen's identity in every disguise close around its cues."""
    citizen = {"name": NAMES[0], "phone": PHONE, "id_number": ID_NUMBER}
    story = Story("canary-text")
    for number, words in enumerate(CANARIES[name] for name in CANARIES if name not in ("another name", "a sentence")):
        said = f"{words}村书记吃拿卡要{words}，2025年3月收了我家两万元，有录音，{words}"
        if number == 0:
            story.complaint(0, citizen=citizen, title="反映村书记", content=said)
        else:
            story(number / 10, "amended", fields={"content": said, "citizen": citizen})
    return story(3, "dispatched", unit="U-1")(4, "visited", result="dissatisfied", comment=LONG_CLAIM).records


LONG_CLAIM = f"城管不作为，{PHONE}，一拖再拖，{CANARIES['a phone in numerals']}，只说在走流程"


def _sealed() -> list[dict[str, Any]]:
    """Return a complaint about the head of the office, told in every field and by every event in which citizens speak."""
    said = f"{HEAD}，{SEALED_SENTENCE}"
    story = Story("canary-sealed").complaint(
        0,
        request_type="report",
        title=said,
        content=said,
        raw_content=said,
        category=["纪检监察", SEALED_SENTENCE],
        place={"district": "试区", "community": SEALED_SENTENCE, "text": SEALED_SENTENCE},
        target={"name": HEAD, "unit_id": SEALED_UNIT},
        note=said,
    )
    story(1, "amended", fields={"content": said, "target": {"name": HEAD, "unit_id": SEALED_UNIT}})
    return story(2, "visited", result="dissatisfied", comment=said)(3, "satisfaction_changed", comment=said).records


def _broken(good: dict[str, Any]) -> list[bytes]:
    """Return inputs that are refused, each with canaries at the very place that is at fault."""
    text = orjson.dumps(good).decode()
    return [
        LONG.encode(),
        f"{LONG[:100]}{{".encode(),
        text.encode()[:-1],
        text.encode("utf-16"),
        text.encode() + LONG.encode(),
        f'{text[:-1]},"{PHONE}":1,"{PHONE}":2}}'.encode(),
        f'{text[:-1]},"{SENTENCE}":NaN}}'.encode(),
        orjson.dumps(good | {"type": [LONG]}),
        orjson.dumps(good | {"occurred_at": PHONE}),
        orjson.dumps(good | {"event_id": f"{PHONE}\n{NAMES[0]}"}),
        orjson.dumps(good | {"ticket_id": LONG * 10}),
        orjson.dumps(good | {"citizen": LONG}),
        orjson.dumps(good | {"citizen": {"phone": [PHONE]}}),
        orjson.dumps(good | {"citizen": {"phone": PHONE * 10}}),
        orjson.dumps(good | {"request_type": NAMES[0]}),
        orjson.dumps(good | {"schema_version": PHONE}),
        orjson.dumps([good]),
    ]


@dataclass
class Streamed:
    """The service after everything went through it."""

    service: Live
    receiver: Receiver
    bodies: list[bytes]


@pytest.fixture(scope="module")
def streamed(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streamed]:
    folder = tmp_path_factory.mktemp("privacy")
    bodies: list[bytes] = []
    receiver = Receiver([SECRET], on_accepted=lambda one: bodies.append(orjson.dumps(one.alert)))
    secret_file = folder / "pseudonym.secret"
    secret_file.write_text(PSEUDONYM_SECRET)
    posts_file = folder / "posts.yaml"
    posts_file.write_text(POSTS, encoding="utf-8")
    keys = orjson.dumps([{"id": "k1", "secret_file": str(secret_file)}]).decode()
    records = _events()
    with (
        serve(receiver) as url,
        live(
            kafka,
            folder,
            "privacy.",
            SUBSCRIBERS_FILE=str(subscribers_file(folder, url)),
            PSEUDONYM_KEYS=keys,
            POSTS_FILE=str(posts_file),
            LOG_LEVEL="debug",
        ) as service,
    ):
        service.start("worker-1", "dispatch")
        service.wait_until_ready()
        service.send(to_bytes(records + _accusing() + _sealed()))
        service.send(to_bytes([records[0] | {"title": f"又是{LONG}"}]))  # an id that is known, with another body
        broken = [(PHONE.encode(), value) for value in _broken(records[0])]
        produce(service.servers, service.topics.ticket_events, broken)
        service.idle()
        service.tick(UNTIL)
        service.idle()
        delivered(service, receiver)
        yield Streamed(service, receiver, bodies)


def _found(raw: bytes) -> list[str]:
    """Return which canaries are in some bytes, as UTF-8 or as JSON's escapes, in any disguise of their digits."""
    text = raw.decode("utf-8", errors="ignore")
    if "\\u" in text:
        text += re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    hits = [name for name, canary in (CANARIES | SEALED).items() if canary in text]
    digits = re.sub(r"[\s\-]", "", fold_digits(text, numerals=False)[0])
    hits += [f"the digits of {number}" for number in (PHONE, ID_NUMBER) if number in digits]
    return hits


def _everything_in(service: Live, topic: str) -> list[bytes]:
    """Return the keys, values and headers of a topic's records."""
    consumer = KafkaConsumer(
        bootstrap_servers=service.servers, auto_offset_reset="earliest", enable_auto_commit=False, group_id=None
    )
    found: list[bytes] = []
    try:
        parts = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(timeout_ms=200).values():
                for one in records:
                    found += [
                        one.key or b"",
                        one.value or b"",
                        *(name.encode() + b"=" + value for name, value in one.headers),
                    ]
    finally:
        consumer.close()
    return found


def test_the_canaries_are_what_is_looked_for(streamed: Streamed) -> None:
    source = b"\n".join(_everything_in(streamed.service, streamed.service.topics.ticket_events))
    assert set(CANARIES | SEALED) <= set(_found(source))
    assert _found("电话１９９-００００ 1234".encode()) == ["the digits of 19900001234"]


def test_no_topic_but_the_first_has_them(streamed: Streamed) -> None:
    service = streamed.service
    topics = [spec.name for spec in service.topics.all() if not spec.personal]
    sizes = {}
    for topic in topics:
        records = _everything_in(service, topic)
        sizes[topic] = len(records)
        for record in records:
            assert _found(record) == [], topic
    used = {"hw.tickets", "hw.citizens", "hw.alerts", "hw.deliveries", "hw.quarantine", "hw.sealed"}
    assert used <= {topic.removeprefix("privacy.") for topic, size in sizes.items() if size > 0}
    changelogs = [
        service.topics.tickets_changelog,
        service.topics.citizens_changelog,
        service.topics.dispatch_changelog,
    ]
    assert all(sizes[name] > 0 for name in changelogs)


def test_every_broken_input_is_quarantined_without_a_word_of_it(streamed: Streamed) -> None:
    told = streamed.service.quarantined()
    assert len(told) == len(_broken(_events()[0]))
    assert all(_found(orjson.dumps(record)) == [] for record in told)
    assert {"not_json", "invalid_field", "duplicate_key", "impossible_time", "not_an_object"} <= {
        one["reason"] for one in told
    }


def test_no_log_has_them_or_the_secret(streamed: Streamed) -> None:
    logs = streamed.service.logs()
    assert '"level": "debug"' in logs or "debug" in logs, "debug logging must be on"
    assert len(logs) > 1000
    assert _found(logs.encode()) == []
    assert PSEUDONYM_SECRET not in logs


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize("name", ["worker-1", "dispatch"])
def test_no_answer_of_the_health_server_has_them(streamed: Streamed, name: str, path: str) -> None:
    answer = streamed.service.get(name, path)
    assert answer.status_code == 200
    assert _found(answer.content) == []
    assert "canary" not in answer.text, "not even a ticket's id"


def test_no_database_has_them(streamed: Streamed, tmp_path: Path) -> None:
    data = shutil.copytree(streamed.service.folder / "data", tmp_path / "data")  # as the files are on the disk now
    raw = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    # RocksDB may pack its files, so what is in them is also read.
    databases = sorted(path.parent for path in data.rglob("CURRENT"))
    assert {path.name.rpartition("-")[0] for path in databases} >= {"tickets", "citizens", "dispatch"}
    for path in databases:
        database = RocksOptions(RocksLimits()).open(path)
        raw |= {f"{path.name} {key!r}": key + value for key, value in database.items()}
        database.close()
    assert any(b"canary-0-0" in content for content in raw.values()), "what is stored must be readable to this search"
    for name, content in raw.items():
        assert _found(content) == [], name
        assert PSEUDONYM_SECRET.encode() not in content


def test_no_webhook_has_them(streamed: Streamed) -> None:
    assert len(streamed.bodies) > 10
    for body in streamed.bodies:
        assert _found(body) == []
        assert b"k1:" not in body, "not even the pseudonym"


def test_the_citizen_goes_on_as_a_keyed_pseudonym(streamed: Streamed) -> None:
    service = streamed.service
    keys = set(_everything_in(service, service.topics.citizens))
    by_phone, by_id = KEYS[0].pseudonym("phone", PHONE), KEYS[0].pseudonym("id", ID_NUMBER)
    assert {by_phone.encode(), by_id.encode()} <= keys
    assert re.fullmatch(r"k1:[0-9a-f]{32}", by_phone)
    assert all(b"k1:" not in record for record in _everything_in(service, service.topics.alerts))


def test_the_same_citizen_is_still_recognised(streamed: Streamed) -> None:
    repeats = [one for one in streamed.service.issued() if one.rule.id == "P08"]
    assert {one.case_id.rpartition("-")[0] for one in repeats} == {"case:canary-0", "case:canary-1"}


def test_the_other_body_under_a_known_id_raised_an_alarm(streamed: Streamed) -> None:
    assert streamed.service.metric("hw_security_alarms_total") == 1


def test_texts_were_quoted_or_the_search_above_proves_little(streamed: Streamed) -> None:
    told = [one for one in streamed.service.issued() if one.case_id == "case:canary-text"]
    quotes = [piece.what for one in told for piece in one.evidence if "可信度" in piece.what]
    assert {"C02", "C04"} <= {one.rule.id for one in told}
    assert any("〔电话〕" in quote for quote in quotes)
    assert any("吃拿卡要" in quote for quote in quotes)


def test_of_what_is_sealed_a_shell_is_left_for_whoever_hands_it_over(streamed: Streamed) -> None:
    service = streamed.service
    shells = [orjson.loads(value) for value in _everything_in(service, service.topics.sealed) if value[:1] == b"{"]
    sent = _sealed()
    assert shells == [
        {
            "schema_version": 1,
            "ticket_id": "canary-sealed",
            "event_id": one["event_id"],
            "occurred_at": one["occurred_at"],
            "route": "superior_petition_office",
        }
        for one in sent
    ]
    assert service.metric("hw_sealed_total") == len(sent)


def test_what_is_sealed_goes_on_empty_and_is_judged_by_nobody(streamed: Streamed) -> None:
    service = streamed.service
    passed = [decode(value) for value in _everything_in(service, service.topics.tickets) if b"hw.sealed" in value]
    assert [message.event.data for message in passed] == [{"route": "superior_petition_office"}] * len(_sealed())
    assert not [one for one in service.issued() if "canary-sealed" in one.tickets]
    assert not [body for body in streamed.bodies if b"canary-sealed" in body]
