"""The sealed bypass: which complaints are sealed, and that nothing of them is left but id, time and route."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.sealed import SealedRecord
from models.strict_yaml import ConfigFileError
from rules.driver import Driver
from rules.intake import Reader
from rules.messages import EventMessage, decode
from rules.sealing import SEALED, Posts, Said, load_posts, sealed_route
from streams.intake import Intake
from streams.topics import TopicSet
from tests.builders import KEYS, Story, body, day, engine, event_of, jsonl, reader
from tests.test_backtest_cli import call, told

EXAMPLE = Path(__file__).parent.parent / "deploy" / "posts.example.yaml"
HEAD, CHIEF, HOLDER = "试区纪委书记", "试区区长", "张某某"
UP, OWN = "superior_petition_office", "head_of_office"
POSTS = f"""\
posts:
  - titles: [{HEAD}]
    holders: [{HOLDER}]
    route: {UP}
  - titles: [{CHIEF}]
    route: {OWN}
"""
SECRET_WORDS = "橙色骆驼"
SAID = f"{HEAD}收受红包两万元，{SECRET_WORDS}，来电199-0000-1234"


@pytest.fixture
def posts_file(tmp_path: Path) -> Path:
    path = tmp_path / "posts.yaml"
    path.write_text(POSTS, encoding="utf-8")
    return path


@pytest.fixture
def sealing(posts_file: Path) -> Reader:
    return Reader(reader().screener, load_posts(posts_file))


# --- the file of posts


def test_the_example_of_the_docs_is_taken() -> None:
    assert set(load_posts(EXAMPLE).routes.values()) == {UP, OWN}


def test_titles_and_names_stand_in_plain_form_with_their_routes(posts_file: Path) -> None:
    assert load_posts(posts_file).routes == {HEAD: UP, HOLDER: UP, CHIEF: OWN}


REFUSED = {
    "no posts": ("post: []\n", 1, "posts"),
    "a post without titles": (f"posts:\n  - titles: []\n    route: {UP}\n", 2, "titles"),
    "a title of blanks": (f"posts:\n  - titles: ['　　']\n    route: {UP}\n", 2, "too little"),
    "a title of one character": (f"posts:\n  - titles: [长]\n    route: {UP}\n", 2, "titles"),
    "an unknown route": (f"posts:\n  - titles: [{HEAD}]\n    route: nowhere\n", 3, "route"),
    "an unknown key": (f"posts:\n  - titles: [{HEAD}]\n    route: {UP}\n    phone: 1\n", 4, "phone"),
    "a number for a title": (f"posts:\n  - titles: [12345]\n    route: {UP}\n", 2, "titles"),
    "two routes for one title": (
        f"posts:\n  - titles: [{HEAD}]\n    route: {UP}\n  - titles: [{CHIEF}, {HEAD}]\n    route: {OWN}\n",
        4,
        "stands twice",
    ),
    "a duplicate key": (f"posts:\n  - titles: [{HEAD}]\n    route: {UP}\n    route: {OWN}\n", 4, "stands twice"),
    "an alias": (f"posts:\n  - titles: &a [{HEAD}]\n    route: {UP}\n", 2, "aliases"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_taken_says_where(name: str, tmp_path: Path) -> None:
    text, line, problem = REFUSED[name]
    path = tmp_path / "posts.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigFileError, match=problem) as caught:
        load_posts(path)
    assert f"posts.yaml:{line}:" in str(caught.value)


def test_a_missing_file_is_an_error_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"none\.yaml:1: cannot be read"):
        load_posts(tmp_path / "none.yaml")


# --- what is sealed

ACCUSED = [
    (f"{HEAD}收受红包两万元", "complaint", UP),
    (f"{HEAD}收受红包两万元", None, UP),
    (f"{CHIEF}在会所大吃大喝", "report", OWN),
    ("试區區長收紅包", "report", OWN),
    ("试 区 区 长 收 红 包", "complaint", OWN),
    ("试\u200b区区长收红包", "complaint", OWN),
    (f"{HOLDER}在会所接受老板宴请", "help", UP),
    (f"请问{HEAD}收受红包两万元算不算受贿", "consultation", UP),
    (f"我给{CHIEF}写过信，没人管", "complaint", OWN),
    (f"感谢{CHIEF}收了我家红包才给我办", "praise", OWN),
    (f"感谢{CHIEF}帮我解决了问题。但{HEAD}收受红包", "complaint", UP),
    (f"我向{CHIEF}反映村里问题,他却收了开发商50万元红包", "complaint", OWN),
    (f"请{CHIEF}处理自己收的50万元红包", "complaint", OWN),
    (f"{CHIEF}去年诈骗群众集资款200万元", "complaint", OWN),
    (f"自称清官的{CHIEF}收红包", "complaint", OWN),
    (f"实名举报{CHIEF}冒充专家、收受红包", "report", OWN),
    (f"其实是{CHIEF}收的", None, OWN),
    ("试区王区长收红包", "complaint", OWN),
    ("路灯坏了。" * 5_000 + f"{CHIEF}收红包", "complaint", OWN),
]
NOT_ACCUSED = [
    (f"请{HEAD}查处村书记吃拿卡要", "complaint"),
    (f"向{CHIEF}反映过物业乱收费", "complaint"),
    (f"希望{CHIEF}重视，小区没水", "help"),
    (f"感谢{HEAD}帮我解决了问题", "praise"),
    (f"感谢{CHIEF}。村书记吃拿卡要的事查清了", "praise"),
    (f"{CHIEF}来小区看望过老人，路灯坏了请派人修", "help"),
    (f"{CHIEF}信箱的网址打不开了，请帮忙修复", "help"),
    (f"请问{CHIEF}接待日是哪天", "consultation"),
    (f"自称{CHIEF}的人要好处费", "complaint"),
    ("村书记吃拿卡要", "complaint"),
]


@pytest.mark.parametrize(("text", "request_type", "route"), ACCUSED)
def test_who_is_accused_is_sealed(text: str, request_type: str | None, route: str, sealing: Reader) -> None:
    said = Said(content=text, request_type=request_type)
    assert sealed_route(said, sealing.posts, sealing.screener) == route


@pytest.mark.parametrize(("text", "request_type"), NOT_ACCUSED)
def test_who_is_asked_for_help_thanked_or_only_named_is_not(text: str, request_type: str, sealing: Reader) -> None:
    assert sealed_route(Said(content=text, request_type=request_type), sealing.posts, sealing.screener) is None


@pytest.mark.parametrize("field", ["title", "content", "comment"])
def test_it_is_looked_for_wherever_the_citizen_speaks(field: str, sealing: Reader) -> None:
    assert sealed_route(Said(**{field: f"{HEAD}收受红包"}), sealing.posts, sealing.screener) == UP


def test_the_target_alone_is_enough(sealing: Reader) -> None:
    said = Said(content="三楼没有水", target=f"{CHIEF}办公室", request_type="help")
    assert sealed_route(said, sealing.posts, sealing.screener) == OWN


def test_without_a_screener_whoever_is_named_is_sealed(sealing: Reader) -> None:
    assert sealed_route(Said(content=f"请{HEAD}查处"), sealing.posts, None) == UP


def test_without_posts_nothing_is_sealed() -> None:
    assert sealed_route(Said(content=SAID, request_type="report"), Posts(), reader().screener) is None
    assert event_of(body("T-1", "registered", 0, content=SAID, request_type="report")).type == "registered"


# --- what is left of it

FULL = {
    "seq": 3,
    "citizen": {"name": "李某", "phone": "19900001234", "id_number": "110101190001011009"},
    "title": f"反映{HEAD}",
    "content": SAID,
    "raw_content": SAID,
    "request_type": "report",
    "urgency": "urgent",
    "category": ["纪检监察", SECRET_WORDS],
    "place": {"district": "试区", "street": SECRET_WORDS, "community": SECRET_WORDS, "text": SECRET_WORDS},
    "target": {"name": HEAD, "unit_id": "U-SECRET"},
    "channel": "phone",
    "note": SECRET_WORDS,
}
SPOKEN = {
    "registered": FULL,
    "amended": {"fields": {"content": SAID, "target": {"name": HEAD, "unit_id": "U-SECRET"}}, "unit_id": "U-SECRET"},
    "visited": {"comment": SAID, "result": "dissatisfied", "unit_id": "U-SECRET", "unit_name": SECRET_WORDS},
    "satisfaction_changed": {"comment": SAID, "result": "dissatisfied"},
}


@pytest.mark.parametrize("kind", SPOKEN)
def test_the_shell_has_only_id_time_and_route(kind: str, sealing: Reader) -> None:
    event = event_of(body("T-1", kind, 1, **SPOKEN[kind]), sealing)
    assert (event.event_id, event.ticket_id, event.type, event.at) == ("e-1", "T-1", SEALED, day(1))
    assert (event.unit, event.unit_name, event.data) == (None, None, {"route": UP})


def test_the_shell_has_no_digest_of_what_was_said(sealing: Reader) -> None:
    one = event_of(body("T-1", "registered", 1, **FULL), sealing)
    other = event_of(body("T-1", "registered", 1, **{**FULL, "content": f"{HEAD}大吃大喝", "citizen": None}), sealing)
    assert one == other


def test_the_type_of_a_shell_cannot_come_from_outside() -> None:
    event = event_of(body("T-1", SEALED, 0, route=OWN))
    assert (event.type, event.data) == (f"unknown:{SEALED}", {})


@dataclass
class Kept:
    """A record as Kafka gives it."""

    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = day(9) // 1000
    offset: int = 7
    topic: str = "hotline.ticket-events"


class Watch:
    """Counts what intake says of its inputs."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def accepted(self, kind: str, unknown_fields: Any) -> None:
        self.said.append(("accepted", kind))

    def rejected(self, reason: str) -> None:
        self.said.append(("rejected", reason))

    def sealed(self, route: str) -> None:
        self.said.append(("sealed", route))

    def screened(self, event: Any) -> None:
        self.said.append(("screened", event.type))


def test_intake_sends_a_shell_on_and_one_to_whoever_hands_it_over(
    sealing: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    topics, watch = TopicSet(), Watch()
    out = Intake(topics, KEYS, watch, sealing).handle(
        0, [Kept(orjson.dumps(body("T-1", "registered", 0, **FULL))), Kept(orjson.dumps(body("T-2", "accepted", 0)))]
    )
    assert [(one.topic, one.key) for one in out] == [
        (topics.tickets, "T-1"),
        (topics.sealed, "T-1"),
        (topics.tickets, "T-2"),
    ]
    assert watch.said == [("sealed", UP), ("accepted", "accepted"), ("screened", "accepted")]
    handed = SealedRecord.model_validate_json(out[1].value)
    assert (handed.ticket_id, handed.event_id, handed.route) == ("T-1", "e-1", UP)
    assert set(orjson.loads(out[1].value)) == {"schema_version", "ticket_id", "event_id", "occurred_at", "route"}
    passed = decode(out[0].value)
    assert isinstance(passed, EventMessage)
    assert passed.event.data == {"route": UP}
    everything = b"".join(one.value for one in out).decode() + caplog.text
    assert [
        word for word in (SECRET_WORDS, HEAD, "U-SECRET", "19900001234", "红包", "李某") if word in everything
    ] == []


def test_a_sealed_complaint_that_is_refused_is_quarantined_without_a_word_of_it(sealing: Reader) -> None:
    broken = body("T-1", "registered", 0, **{**FULL, "urgency": SECRET_WORDS})
    (out,) = Intake(TopicSet(), KEYS, Watch(), sealing).handle(0, [Kept(orjson.dumps(broken))])
    assert out.topic == TopicSet().quarantine
    assert SECRET_WORDS not in out.value.decode()
    assert HEAD not in out.value.decode()


# --- the case of it


def _story(sealing: Reader, *, seal_at: float) -> tuple[Driver, list[Any]]:
    story = Story("T-1").complaint(0, content="村书记吃拿卡要，2025年3月在村委会收了我家两万元，有录音")
    for turn in range(3):
        story(1 + turn, "return_requested", unit=f"U-{turn}")
    story(seal_at, "amended", fields={"content": SAID})
    story(8, "return_requested", unit="U-9")(9, "visited", result="dissatisfied", comment="村书记吃拿卡要，还要红包")
    driver = Driver(engine())
    records = sorted(story.records, key=lambda record: record["occurred_at"])
    return driver, [alert for record in records for alert in driver.feed(event_of(record, sealing))]


def test_what_stood_of_a_case_is_taken_back_and_nothing_is_judged_any_more(sealing: Reader) -> None:
    driver, alerts = _story(sealing, seal_at=5)
    last = {one.rule.id: one for one in alerts}
    assert {"C02", "P01"} <= set(last)
    for one in last.values():
        assert (one.status.value, one.reason) == ("retracted", "removed")
        assert "工单已移出本平台" in one.headline
        assert SECRET_WORDS not in one.model_dump_json()
    assert driver.advance(day(200)) == []


def test_a_case_that_begins_sealed_brings_no_warning_and_no_claim(sealing: Reader) -> None:
    driver, alerts = _story(sealing, seal_at=-1)
    assert alerts == []
    assert driver.advance(day(200)) == []
    assert driver.citizens == {}


def test_a_shell_that_comes_late_ends_the_case_too(sealing: Reader) -> None:
    story = Story("T-1").complaint(0)
    for turn in range(3):
        story(1 + turn, "return_requested", unit=f"U-{turn}")
    late = body("T-1", "amended", 0.5, "late", fields={"content": SAID})
    driver = Driver(engine())
    alerts = [alert for record in (*story.records, late) for alert in driver.feed(event_of(record, sealing))]
    assert alerts
    assert {one.rule.id: one.status.value for one in alerts} == {"P01": "retracted"}


def test_the_backtest_seals_too_and_writes_nothing_of_it(posts_file: Path, tmp_path: Path) -> None:
    events, out = tmp_path / "events.jsonl", tmp_path / "alerts.jsonl"
    facts, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    events.write_bytes(jsonl([body("T-1", "registered", 0, **FULL), *Story("T-2").complaint(0).records]))
    files = ("--out", out, "--facts", facts, "--rejects", rejects)
    result = call("backtest", events, "--posts", posts_file, "--json", *files)
    assert told(result)["sealed"] == 1
    written = result.output + "".join(path.read_text(encoding="utf-8") for path in (out, facts, rejects))
    assert SECRET_WORDS not in written
    assert HEAD not in written


def test_a_broken_file_of_posts_is_a_usage_error(tmp_path: Path) -> None:
    events, posts = tmp_path / "events.jsonl", tmp_path / "posts.yaml"
    events.write_bytes(jsonl(Story().complaint(0).records))
    posts.write_text("posts: 3\n", encoding="utf-8")
    assert call("backtest", events, "--posts", posts).exit_code == 2


def test_explain_says_that_it_was_removed_and_nothing_more(posts_file: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(jsonl([body("T-1", "registered", 0, **FULL)]))
    result = call("explain", "T-1", "--events", events, "--posts", posts_file, "--json")
    record = told(result)
    assert [one["what"] for one in record["timeline"]] == ["移出本平台"]
    assert record["texts"] == []
    assert {one["note"] for one in record["rules"]} == {"工单已移出本平台,不作判断"}
    assert SECRET_WORDS not in result.output
