"""How calls are written: CloudEvents and Alertmanager as their own readers want them, chat cards as people and robots do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jsonschema
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerting.formats import Written, judge_answer, write
from alerting.formats.chat import DIGEST_LINES_MAX, TEXT_BYTES_MAX
from alerting.formats.plain import clip, plain
from alerting.payload import FIELD_PRIVACY, Entry, payload
from models.alert import Alert
from models.base import Level, Status
from models.delivery import DeliveryKind, Outcome
from models.secrets import RobotSecret
from models.subscriber import CHAT_FORMATS, Format, Payload, Privacy, Subscriber
from models.times import SECOND
from tests.alerting_support import make_alert, make_subscriber

AT = 1_750_000_000 * SECOND
CHATS = sorted(CHAT_FORMATS)
SIZES = {Format.WECOM: 4096, Format.DINGTALK: 20_000, Format.FEISHU: 20_000}
SENSIBLE: dict[str, Any] = {
    "case_id": "case:T-1",
    "headline": "疑似多次退单:工单被退回3次,涉及2个单位",
    "level": "red",
    "place": {"district": "甲区", "street": "乙街道"},
    "units": [
        {"id": "U-A", "name": "甲街道办事处", "role": "accused"},
        {"id": "U-B", "name": "乙局", "role": "involved"},
    ],
    "evidence": [
        {"event_id": f"e-{day}", "occurred_at": f"2025-06-{day:02}T09:00:00+08:00", "what": f"第{day}件事"}
        for day in range(1, 9)
    ],
}


def entry(number: int = 1, kind: DeliveryKind = DeliveryKind.ALERT, mark: str = "", **fields: Any) -> Entry:
    alert = make_alert(f"a-{number}", **{"case_id": f"case:T-{number}", **fields})
    return Entry(alert.model_dump_json().encode(), f"d-{number}", number, kind, mark)


def written(form: Format, *entries: Entry, **fields: Any) -> Written:
    return write(entries or (entry(**SENSIBLE),), make_subscriber(format=form, **fields), AT)


def body(form: Format, *entries: Entry, **fields: Any) -> dict[str, Any]:
    return dict(orjson.loads(written(form, *entries, **fields).body))


def card(form: Format, *entries: Entry, **fields: Any) -> str:
    """Return what people read of a chat message."""
    found = body(form, *entries, **fields)
    if form is Format.WECOM:
        return str(found["markdown"]["content"])
    if form is Format.DINGTALK:
        return str(found["markdown"]["text"])
    texts = [found["card"]["header"]["title"]["content"]]
    for element in found["card"]["elements"]:
        texts += [one["content"] for one in element.get("elements", [element.get("text")])]
    return "\n".join(texts)


# --- CloudEvents


@pytest.mark.parametrize("form", [Format.CLOUDEVENTS_STRUCTURED, Format.CLOUDEVENTS_BINARY])
@pytest.mark.parametrize("case_id", ["case:T-1", 'case:工单 "1" 50%'])
@pytest.mark.parametrize("said", Payload)
def test_the_cloudevents_sdk_reads_both_modes(form: Format, case_id: str, said: Payload) -> None:
    one = entry(case_id=case_id)
    call = written(form, one, payload=said)
    event = from_http_event(HTTPMessage({"content-type": call.content_type, **call.headers}, call.body))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == "d-1"
    assert event.get_source() == "/hotline-watch"
    assert event.get_type() == "cn.hotline-watch.alert.raised.v1"
    assert event.get_subject() == case_id
    assert event.get_time() == datetime.fromisoformat(make_alert().raised_at)
    assert event.get_datacontenttype() == "application/json"
    assert str(event.get_extension("deliverysequence")) == "1"
    assert event.get_extension("hwkind") == "alert"
    assert event.get_extension("hwlevel") == "yellow"
    assert event.get_data() == payload(one, make_subscriber(payload=said))


def test_a_header_of_a_binary_event_is_plain_ascii() -> None:
    headers = written(Format.CLOUDEVENTS_BINARY, entry(case_id='case:工单 "1"\t%')).headers
    assert headers["ce-subject"] == "case:%E5%B7%A5%E5%8D%95%20%221%22%09%25"
    assert all(re.fullmatch(r"[!-~]+", value) for value in headers.values())


def test_the_media_types_tell_the_modes_apart() -> None:
    structured, binary = (written(form) for form in (Format.CLOUDEVENTS_STRUCTURED, Format.CLOUDEVENTS_BINARY))
    assert structured.content_type == "application/cloudevents+json; charset=utf-8"
    assert (binary.content_type, binary.headers["ce-specversion"]) == ("application/json", "1.0")


@pytest.mark.parametrize("status", Status)
def test_a_drill_is_no_event_of_a_real_alert(status: Status) -> None:
    def kind(kind: DeliveryKind) -> str:
        return str(body(Format.CLOUDEVENTS_STRUCTURED, entry(status=status, kind=kind))["type"])

    assert kind(DeliveryKind.DRILL) == "cn.hotline-watch.alert.drill.v1"
    assert kind(DeliveryKind.ALERT) == kind(DeliveryKind.REPLAY) == f"cn.hotline-watch.alert.{status}.v1"


# --- Alertmanager

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
RFC3339 = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
STATUS = {"enum": ["firing", "resolved"]}
ALERTMANAGER_CALL = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    ],
    "properties": {
        "version": {"const": "4"},
        "groupKey": {"type": "string", "minLength": 1},
        "truncatedAlerts": {"type": "integer", "minimum": 0},
        "status": STATUS,
        "receiver": {"type": "string", "minLength": 1},
        "groupLabels": TEXTS,
        "commonLabels": TEXTS,
        "commonAnnotations": TEXTS,
        "externalURL": {"type": "string"},
        "alerts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "status",
                    "labels",
                    "annotations",
                    "startsAt",
                    "endsAt",
                    "generatorURL",
                    "fingerprint",
                ],
                "properties": {
                    "status": STATUS,
                    "labels": {
                        **TEXTS,
                        "required": ["alertname"],
                        "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
                    },
                    "annotations": TEXTS,
                    "startsAt": RFC3339,
                    "endsAt": RFC3339,
                    "generatorURL": {"type": "string"},
                    "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                },
            },
        },
    },
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("privacy", Privacy)
@pytest.mark.parametrize("said", Payload)
@pytest.mark.parametrize("kind", DeliveryKind)
def test_an_alertmanager_call_has_the_documented_shape(
    status: Status, privacy: Privacy, said: Payload, kind: DeliveryKind
) -> None:
    one = entry(status=status, kind=kind, mark="" if kind is DeliveryKind.ALERT else f"{kind}-1")
    call = body(Format.ALERTMANAGER, one, privacy=privacy, payload=said)
    jsonschema.validate(call, ALERTMANAGER_CALL)
    (alert,) = call["alerts"]
    resolved = status is Status.RETRACTED
    assert call["status"] == alert["status"] == ("resolved" if resolved else "firing")
    assert (alert["endsAt"] == "0001-01-01T00:00:00Z") is not resolved
    assert call["groupLabels"].items() <= call["commonLabels"].items() == alert["labels"].items()


def test_a_retraction_resolves_what_the_first_version_opened() -> None:
    def ids(**fields: Any) -> tuple[str, str]:
        call = body(Format.ALERTMANAGER, entry(**fields))
        return call["groupKey"], call["alerts"][0]["fingerprint"]

    opened = ids(level="yellow")
    assert ids(level="red", status="escalated") == ids(level="red", status="retracted", sequence=3) == opened
    assert len({opened, ids(case_id="case:T-2"), ids(kind=DeliveryKind.DRILL)}) == 3
    assert ids(rule={"id": "P02", "version": 1, "title": "盲退"}) != opened


def test_an_alertmanager_alert_says_what_and_why() -> None:
    (alert,) = body(Format.ALERTMANAGER, entry(**SENSIBLE))["alerts"]
    assert alert["labels"] == {
        "alertname": "P01",
        "case": "case:T-1",
        "family": "P",
        "level": "red",
        "severity": "critical",
    }
    assert alert["annotations"]["summary"] == SENSIBLE["headline"]
    assert alert["annotations"]["accused_units"] == "甲街道办事处"
    assert alert["annotations"]["description"].count("\n") == 7


# --- chat cards


@pytest.mark.parametrize("form", CHATS)
def test_a_card_tells_what_happened_to_whom_and_that_it_is_no_finding(form: Format) -> None:
    text = card(form, privacy=Privacy.STANDARD)
    for told in ("【预警·红】", "疑似多次退单", "P01 多次退单", "新预警", "甲街道办事处", "乙局", "甲区 乙街道", "T-1"):
        assert told in text
    assert "2025-06-18 09:00" in text
    assert "系统提示线索,不是结论;以核查为准" in text
    assert "证据" not in text


@pytest.mark.parametrize("form", CHATS)
def test_a_card_shows_the_last_five_pieces_of_evidence_to_those_who_may_have_them(form: Format) -> None:
    text = card(form, privacy=Privacy.FULL)
    assert [f"第{day}件事" in text for day in range(1, 9)] == [False] * 3 + [True] * 5
    assert "另有 3 条见平台" in text


@pytest.mark.parametrize("form", CHATS)
def test_a_card_of_minimal_privacy_tells_the_rule_alone(form: Format) -> None:
    text = card(form, privacy=Privacy.MINIMAL)
    assert "【预警·红】疑似多次退单" in text
    assert not [secret for secret in ("3次", "甲街道", "乙局", "甲区", "工单") if secret in text]


@pytest.mark.parametrize("form", CHATS)
@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [
        (DeliveryKind.ALERT, "escalated", "【预警升级·红】"),
        (DeliveryKind.ALERT, "corrected", "【预警更正·红】"),
        (DeliveryKind.ALERT, "retracted", "【预警撤回·红】"),
        (DeliveryKind.REPLAY, "raised", "【重发】【预警·红】"),
        (DeliveryKind.REPEAT, "raised", "【提醒】【预警·红】"),
        (DeliveryKind.DRILL, "raised", "【演练】【预警·红】"),
    ],
)
def test_a_title_says_what_kind_of_message_it_is(form: Format, kind: DeliveryKind, status: str, start: str) -> None:
    text = card(form, entry(**SENSIBLE, kind=kind, status=status))
    assert text.removeprefix("### ").startswith(start)
    assert ("演练消息" in text) is (kind is DeliveryKind.DRILL)


@pytest.mark.parametrize("form", CHATS)
def test_a_digest_groups_by_case_and_begins_with_the_most_severe(form: Format) -> None:
    entries = [
        entry(1, level="blue", headline="一"),
        entry(2, level="yellow", headline="二"),
        entry(3, case_id="case:T-1", level="yellow", headline="三"),
        entry(4, level="red", headline="四", status="retracted"),
        entry(5, case_id="case:T-2", level="red", headline="五", status="escalated"),
    ]
    text = card(form, *entries)
    assert "汇总:5 条预警" in text
    assert re.findall("case:T-\\d|[一二三四五](?=\\()", text) == [
        *("case:T-2", "二", "五"),
        *("case:T-1", "一", "三"),
        *("case:T-4", "四"),
    ]
    assert "系统提示线索" in text


@pytest.mark.parametrize("form", CHATS)
@pytest.mark.parametrize("count", [2, 50, 51, 400])
def test_a_digest_that_is_too_long_says_how_many_are_left(form: Format, count: int) -> None:
    text = card(form, *(entry(number, headline="疑似久拖不决" * 9) for number in range(1, count + 1)))
    shown = text.count("【预警·黄】")
    told = re.search(r"其余 (\d+) 条见平台", text)
    assert shown + (int(told[1]) if told else 0) == count
    assert 0 < shown <= DIGEST_LINES_MAX
    assert f"汇总:{count} 条预警" in text
    assert "系统提示线索" in text


def test_a_digest_of_one_kind_says_so_in_its_title() -> None:
    drills = [entry(number, kind=DeliveryKind.DRILL, mark="drill-1") for number in (1, 2)]
    assert "【演练】汇总:2 条预警" in card(Format.WECOM, *drills)
    assert "### 汇总:2 条预警" in card(Format.WECOM, drills[0], entry(2))


@pytest.mark.parametrize(
    ("level", "status", "template"),
    [("red", "raised", "red"), ("blue", "raised", "blue"), ("red", "retracted", "grey")],
)
def test_a_feishu_card_has_the_levels_colour(level: str, status: str, template: str) -> None:
    assert body(Format.FEISHU, entry(level=level, status=status))["card"]["header"]["template"] == template


def test_a_dingtalk_message_mentions_nobody() -> None:
    assert body(Format.DINGTALK)["at"] == {"atMobiles": [], "atUserIds": [], "isAtAll": False}


# --- sizes and injection

NASTY = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from('<>[]()*_`~#@|!\\&"\n\r\t -.:/aA1中\u202e\u200b\u2028'), max_size=80),
    st.sampled_from(
        [
            "<@all>",
            "<@U1001> 请看",
            "@所有人",
            "<at id=all></at>",
            '<at user_id="all">所有人</at>',
            '<font color="warning">',
            "[点此](https://evil.example/x)",
            "![图](http://evil.example/x.png)",
            "www.evil.example/x",
            "evil.cn",
            "http://10.0.0.1/x",
            "weixin://dl/chat",
            "&lt;at id=all&gt;",
            "\n# 假标题\n> 假引用\n---\n",
            "```\n代码",
            "长" * 3_000,
            "\U0001f600" * 1_500,
            '"' * 5_000,
        ]
    ),
)
# What our own cards hold of markup; whatever else is left of it would be an alert's.
OURS = re.compile(r'^(### |> |- |\n)|</?font(?: color="[a-z]+")?>|\*\*', re.MULTILINE)


@st.composite
def nasty_alerts(draw: st.DrawFn) -> Entry:
    some = st.lists(NASTY, max_size=8)
    number = draw(st.integers(1, 10**9))
    return entry(
        number,
        draw(st.sampled_from(DeliveryKind)),
        level=draw(st.sampled_from(Level)),
        status=draw(st.sampled_from(Status)),
        case_id=draw(NASTY),
        rule={"id": draw(NASTY), "version": 1, "title": draw(NASTY)},
        headline=draw(NASTY),
        units=[{"id": one, "name": draw(NASTY | st.none()), "role": draw(ROLES)} for one in draw(some)],
        tickets=draw(some),
        flags=draw(some),
        place={"district": draw(NASTY), "street": draw(NASTY), "community": draw(NASTY)},
        evidence=[{"event_id": "e", "occurred_at": "2025-06-18T09:00:00+08:00", "what": one} for one in draw(some)],
    )


ROLES = st.sampled_from(["accused", "involved"])


@settings(max_examples=60, deadline=None)
@given(st.lists(nasty_alerts(), min_size=1, max_size=12), st.sampled_from(CHATS), st.sampled_from(Privacy))
def test_no_text_of_an_alert_breaks_a_card_or_reaches_out_of_it(
    entries: list[Entry], form: Format, privacy: Privacy
) -> None:
    fields: dict[str, Any] = {"privacy": privacy}
    if form is not Format.WECOM:
        fields["robot_secret"] = RobotSecret(b"x" * 512)
    call = written(form, *entries, **fields)
    call.body.decode()  # no character is split
    text = card(form, *entries, **fields)
    size = len(text.encode()) if form is Format.WECOM else len(call.body)
    assert size <= SIZES[form]
    assert "系统提示线索,不是结论;以核查为准" in text
    bare = OURS.sub("", text)
    assert not set(bare) & set("<>[]{}*_`~#@|!\\&\"'$^\r\t\u202e\u200b\u2028"), bare
    assert "//" not in bare
    assert not re.search(r"\w\.[a-z]{2}", bare, re.IGNORECASE)
    heads = r"案件|规则:|等级:|状态:|时间:|案件:|被反映:|涉及:|地点:|工单:|标记:|证据:|系统提示|演练消息|其余|内容较长|汇总|【"
    for line in filter(None, bare.splitlines()):
        assert re.match(heads, line), line


@given(NASTY)
@example("a.b.example")
@example("x\uff0ecn")
@example("1.2.3.4")
def test_plain_text_is_one_line_and_stays_what_it_is(text: str) -> None:
    told = plain(text)
    assert told == plain(told)
    assert told == " ".join(told.split())
    assert len(told) <= len(text)


def test_plain_text_keeps_what_people_need_to_read() -> None:
    for text in ("疑似多次退单:工单被退回3次,涉及2个单位", "T-2025-001", "2025-06-18 09:00", "可信度0.85", "甲·乙"):
        assert plain(text) == text


@given(st.text(), st.integers(3, 40))
def test_clipped_text_keeps_to_its_bytes_and_splits_no_character(text: str, limit: int) -> None:
    cut = clip(text, limit)
    assert len(cut.encode()) <= limit
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


@pytest.mark.parametrize("form", CHATS)
def test_a_card_that_is_too_long_says_so(form: Format) -> None:
    long = "长" * TEXT_BYTES_MAX
    fields = {
        **SENSIBLE,
        "case_id": long,
        "tickets": [long],
        "headline": long,
        "rule": {"id": "P01", "version": 1, "title": long},
    }
    units = [{"id": long, "name": None, "role": role} for role in ("accused", "involved")]
    evidence = [{"event_id": "e", "occurred_at": "2025-06-18T09:00:00+08:00", "what": long}] * 5
    text = card(form, entry(**{**fields, "units": units, "evidence": evidence}))
    assert ("其余见平台" in text) is (form is Format.WECOM)


# --- privacy

RANK = {Privacy.MINIMAL: 0, Privacy.STANDARD: 1, Privacy.FULL: 2}


def sentinel_alert() -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return an alert with a word of its own in each field that can hold one, and the words by field."""
    names = (
        "headline",
        "categories",
        "units",
        "tickets",
        "place",
        "flags",
        "reason",
        "evidence",
        "facts",
        "thresholds",
    )
    words = {
        name: [f"WORD{name.upper()}{index}" for index in range(5)] for name in (*names, "trigger", "calendar_version")
    }
    fields: dict[str, Any] = {
        "headline": words["headline"][0],
        "categories": words["categories"][:2],
        "units": [
            {"id": words["units"][0], "name": words["units"][1], "role": "accused"},
            {"id": words["units"][2], "name": words["units"][3], "role": "involved"},
            {"id": words["units"][4], "name": None, "role": "accused"},
        ],
        "tickets": words["tickets"],
        "place": dict(zip(("district", "street", "community"), words["place"], strict=False)),
        "flags": words["flags"],
        "reason": words["reason"][0],
        "evidence": [
            {"event_id": words["evidence"][0], "occurred_at": "2031-01-02T03:04:05+08:00", "what": words["evidence"][1]}
        ],
        "facts": {words["facts"][0]: words["facts"][1]},
        "thresholds": {"yellow": words["thresholds"][0]},
        "trigger": words["trigger"][0],
        "calendar_version": words["calendar_version"][0],
        "as_of": "2032-02-03T04:05:06+08:00",
    }
    return fields, words | {"as_of": ["2032-02-03"], "evidence": [*words["evidence"], "2031-01-02"]}


def whole_request(form: Format, entries: list[Entry], subscriber: Subscriber) -> str:
    """Return everything that leaves, readable."""
    call = write(entries, subscriber, AT)
    said = json.dumps(orjson.loads(call.body), ensure_ascii=False)
    return f"{said} {dict(call.headers)} {call.query}"


@pytest.mark.parametrize("form", Format)
@given(
    privacy=st.sampled_from(Privacy),
    said=st.sampled_from(Payload),
    status=st.sampled_from(Status),
    kind=st.sampled_from(DeliveryKind),
    count=st.integers(1, 3),
)
def test_no_format_lets_a_field_out_above_its_privacy_level(
    form: Format, privacy: Privacy, said: Payload, status: Status, kind: DeliveryKind, count: int
) -> None:
    fields, words = sentinel_alert()
    thin = said is Payload.THIN and form not in CHAT_FORMATS
    count = count if form in CHAT_FORMATS else 1
    entries = [entry(number, kind, status=status, **fields) for number in range(1, count + 1)]
    subscriber = make_subscriber(format=form, privacy=privacy, payload=Payload.THIN if thin else Payload.FULL)
    leaves = whole_request(form, entries, subscriber)
    allowed = {name for name in words if not thin and RANK[FIELD_PRIVACY[name]] <= RANK[privacy]}
    out = {name for name, secret in words.items() if any(word in leaves for word in secret)}
    assert out <= allowed
    if form is Format.JSON:
        assert out == allowed


def test_the_privacy_test_has_a_word_in_every_field_above_minimal() -> None:
    _, words = sentinel_alert()
    above = {name for name, privacy in FIELD_PRIVACY.items() if privacy is not Privacy.MINIMAL}
    assert above - set(words) == {"push"}  # a yes or no
    assert set(words) <= set(Alert.model_fields)


# --- robots' own signatures and answers


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=80), st.integers(0, 2**33))
def test_robots_signatures_are_those_of_their_makers_recipes(secret: str, milliseconds: int) -> None:
    subscriber = make_subscriber(robot_secret=RobotSecret.parse(secret), format=Format.DINGTALK)
    digest = hmac.digest(secret.encode(), f"{milliseconds}\n{secret}".encode(), hashlib.sha256)
    found = write([entry()], subscriber, milliseconds * 1000)
    assert found.query == f"timestamp={milliseconds}&sign={quote_plus(base64.b64encode(digest))}"
    seconds = milliseconds // 1000
    digest = hmac.digest(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256)
    subscriber = make_subscriber(robot_secret=RobotSecret.parse(secret), format=Format.FEISHU)
    said = orjson.loads(write([entry()], subscriber, milliseconds * 1000).body)
    assert (said["timestamp"], said["sign"]) == (str(seconds), base64.b64encode(digest).decode())


def test_robots_signatures_are_the_known_ones() -> None:
    """Computed apart, with `openssl dgst -sha256 -hmac` and with `-mac HMAC -macopt hexkey`."""
    secret = RobotSecret(b"SEC0123456789abcdef")
    assert (
        written(Format.DINGTALK, robot_secret=secret).query
        == "timestamp=1750000000000&sign=qj7%2BHMOWplfdmj0XPT95TtR8xNwuTNWfl8unyd1PnuE%3D"
    )
    assert body(Format.FEISHU, robot_secret=secret)["sign"] == "3zbNqASXBkFEmJJpHQZND8ieiUVGhEr2x/PHMIyaRDk="


def test_a_robot_without_a_secret_is_not_signed_for() -> None:
    assert written(Format.DINGTALK).query == ""
    assert set(body(Format.FEISHU)) == {"msg_type", "card"}


@pytest.mark.parametrize(
    ("form", "status", "answer", "outcome"),
    [
        (Format.WECOM, 200, b'{"errcode":0,"errmsg":"ok"}', None),
        (Format.WECOM, 200, b'{"errcode":45009,"errmsg":"api freq out of limit"}', Outcome.TOO_MANY_REQUESTS),
        (Format.WECOM, 200, b'{"errcode":93000,"errmsg":"invalid webhook url"}', Outcome.ROBOT_REFUSED),
        (Format.WECOM, 200, b'{"code":0}', Outcome.ROBOT_REFUSED),
        (Format.DINGTALK, 200, b'{"errcode":0,"errmsg":"ok"}', None),
        (Format.DINGTALK, 200, b'{"errcode":130101,"errmsg":"send too fast"}', Outcome.TOO_MANY_REQUESTS),
        (Format.DINGTALK, 200, b'{"errcode":410100}', Outcome.TOO_MANY_REQUESTS),
        (Format.DINGTALK, 200, b'{"errcode":310000,"errmsg":"sign not match"}', Outcome.ROBOT_REFUSED),
        (Format.FEISHU, 200, b'{"code":0,"msg":"success","data":{}}', None),
        (Format.FEISHU, 200, b'{"Extra":null,"StatusCode":0,"StatusMessage":"success"}', None),
        (Format.FEISHU, 200, b'{"code":11232,"msg":"frequency limited psm"}', Outcome.TOO_MANY_REQUESTS),
        (Format.FEISHU, 200, b'{"code":9499,"msg":"too many request"}', Outcome.TOO_MANY_REQUESTS),
        (Format.FEISHU, 200, b'{"code":9499,"msg":"Bad Request"}', Outcome.ROBOT_REFUSED),
        (Format.FEISHU, 200, b'{"code":19021,"msg":"sign match fail"}', Outcome.ROBOT_REFUSED),
        (Format.FEISHU, 400, b'{"code":99991400,"msg":"request trigger frequency limit"}', Outcome.TOO_MANY_REQUESTS),
        (Format.FEISHU, 400, b'{"code":9499,"msg":"Bad Request"}', None),
        (Format.WECOM, 502, b"<html>", None),
        *((form, 200, answer, Outcome.ROBOT_REFUSED) for form in CHATS for answer in (b"", b"<html>", b"[]", b"null")),
        *(
            (form, 200, b'{"errcode":%s,"code":%s}' % (no, no), Outcome.ROBOT_REFUSED)
            for form in CHATS
            for no in (b"false", b"[]", b'"0"')
        ),
        *((form, 200, answer, None) for form in Format if not form.is_chat for answer in (b"", b'{"errcode":1}')),
    ],
)
def test_a_robots_answer_is_read(form: Format, status: int, answer: bytes, outcome: Outcome | None) -> None:
    assert judge_answer(form, status, answer) is outcome


@given(st.sampled_from(Format), st.integers(100, 599), st.binary(max_size=40))
def test_no_answer_is_too_odd_to_be_judged(form: Format, status: int, answer: bytes) -> None:
    assert judge_answer(form, status, answer) in (None, Outcome.ROBOT_REFUSED, Outcome.TOO_MANY_REQUESTS)


# --- the page for integrators

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"


def page_entries() -> list[Entry]:
    """Return the deliveries that the page's examples show."""
    fields = {
        **SENSIBLE,
        "case_id": "case:GD-2025-0001",
        "tickets": ["GD-2025-0001"],
        "evidence": [
            {
                "event_id": "e-3",
                "occurred_at": "2025-06-18T09:00:00+08:00",
                "what": "甲街道办事处申请退单(理由R2:非法定职责、未先行联系)",
            }
        ],
    }
    other = {"case_id": "case:GD-2025-0002", "headline": "疑似办理超期:办理时限已过,未见办结"}
    first = make_alert("5b0c1f0e-3f0a-5d57-8a33-3f8d5b1f7a10", **fields)
    second = make_alert("9d2a7c44-6a0b-5f0e-b7a1-0c2f6f1b2e33", **other)
    return [
        Entry(first.model_dump_json().encode(), "0f5e7d1c-58a6-5c0e-9a51-6a2f4a6b8c01", 1),
        Entry(second.model_dump_json().encode(), "c1a9b3e2-77d4-5b9f-8e21-4d0f9a7c6b02", 1),
    ]


def page_examples() -> dict[str, str]:
    """Return the page's examples by name."""
    first, second = page_entries()
    standard = {"privacy": Privacy.STANDARD}

    def shown(form: Format, *entries: Entry, **fields: Any) -> str:
        call = written(form, *(entries or (first,)), **fields)
        text = json.dumps(orjson.loads(call.body), ensure_ascii=False, indent=2)
        heads = "".join(f"{name}: {value}\n" for name, value in call.headers.items())
        return f"content-type: {call.content_type}\n{heads}\n{text}" if call.headers else text

    return {
        "json": shown(Format.JSON),
        "thin": shown(Format.JSON, payload=Payload.THIN),
        "cloudevents-structured": shown(Format.CLOUDEVENTS_STRUCTURED, **standard),
        "cloudevents-binary": shown(Format.CLOUDEVENTS_BINARY, privacy=Privacy.MINIMAL),
        "alertmanager": shown(Format.ALERTMANAGER, **standard),
        "wecom": card(Format.WECOM, first, **standard).rstrip("\n"),
        "dingtalk": card(Format.DINGTALK, first, second, **standard).rstrip("\n"),
        "feishu": shown(Format.FEISHU, **standard),
    }


@pytest.mark.parametrize("name", ["json", "thin", *sorted({*Format} - {Format.JSON})])
def test_an_example_on_the_page_is_current(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w*\n(.*?)\n```\n", page, re.DOTALL)
    assert found, name
    assert found[1] == page_examples()[name]


def test_the_page_lists_every_field_under_its_privacy_level() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for privacy in Privacy:
        row = re.search(rf"^\| `{privacy}` \| ([^|]*) \|$", page, re.MULTILINE)
        assert row
        assert set(re.findall(r"`(\w+)`", row[1])) == {
            name for name, level in FIELD_PRIVACY.items() if level is privacy
        }
