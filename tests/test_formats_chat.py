"""Chat cards as people and robots read them: what they say, that nothing in them acts, robots' signatures and answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any
from urllib.parse import quote_plus

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerting.drills import drill_alert
from alerting.formats import judge_answer, write
from alerting.formats.chat import DIGEST_LINES_MAX, TEXT_BYTES_MAX
from alerting.formats.plain import clip, plain
from alerting.payload import Entry
from models.base import Level, Status
from models.delivery import DeliveryKind, Outcome
from models.secrets import RobotSecret
from models.subscriber import Format, Privacy
from models.times import parse_instant
from tests.alerting_support import make_subscriber
from tests.formats_support import CHATS, SENSIBLE, body, card, entry, written

SIZES = {Format.WECOM: 4096, Format.DINGTALK: 20_000, Format.FEISHU: 20_000}

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
def test_a_drill_says_so_once_in_its_title(form: Format) -> None:
    drill = drill_alert("group", "r-1", parse_instant("2025-06-18T09:00:00+08:00")).model_dump_json().encode()
    text = card(form, Entry(drill, "d-1", 1, DeliveryKind.DRILL, "drill-r-1"))
    title = text.removeprefix("### ").splitlines()[0]
    assert title.startswith("【演练】【预警·蓝】检查预警能否送达")
    assert "演练" in text.split("标记", 1)[1]


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
