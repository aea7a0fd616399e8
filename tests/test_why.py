"""Why did a subscriber get a warning, or not: one line each, from what was recorded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.replaying import replay_id_of, requests_for
from alerting.stages import DECISION_REASONS
from alerting.why import REASONS, WhyCode, lines_of, why
from models.delivery import DeliveryStatus, Outcome
from models.times import HOUR, parse_instant
from tests.alerting_support import TIME, make_alert
from tests.api_support import NOW, decision, delivered, delivery

LATER = "2025-06-18T21:00:00+08:00"


def said(reason: str, subscriber: str = "platform", **fields: Any) -> dict[str, Any]:
    return {"subscriber": subscriber, "reason": reason, **fields}


def answer_of(decisions: list[Any], deliveries: list[Any]) -> tuple[WhyCode, str, str]:
    (line,) = why(make_alert(), decisions, deliveries).lines
    return line.code, line.reason, line.sentence


@pytest.mark.parametrize(
    ("decided", "code", "sentence"),
    [
        (said("level"), WhyCode.NOT_SENT, "未投:级别不在订阅范围内。"),
        (said("never_told"), WhyCode.NOT_SENT, "未投:此前没有收到过该预警,更正、撤回不必告知。"),
        (
            said("conflict", detail="under_accused: owner=U-B accused=U-A"),
            WhyCode.NOT_SENT,
            "未投:订阅方属于预警所指单位或其下级,一律不投(under_accused: owner=U-B accused=U-A)。",
        ),
        (said("not_routed"), WhyCode.NOT_ROUTED, "未投:分送规则没有指向该订阅方。"),
        (said("silenced", until=LATER), WhyCode.HELD, "暂缓:静默期内,2025-06-18 21:00 再次判断。"),
        (
            said("inhibited", detail="a-0"),
            WhyCode.HELD,
            "暂缓:同一案件已有更要紧的预警(a-0),案件有变化时再次判断。",
        ),
        (said("wanted"), WhyCode.DECIDED, "决定投送(符合订阅条件),还没有投递记录。"),
        (said("a_reason_of_tomorrow"), WhyCode.NOT_SENT, "未投:a_reason_of_tomorrow。"),
    ],
)
def test_a_decision_is_told(decided: dict[str, Any], code: WhyCode, sentence: str) -> None:
    assert answer_of([decision(decisions=[decided])], []) == (code, decided["reason"], sentence)


@pytest.mark.parametrize(
    ("record", "code", "sentence"),
    [
        (delivered(), WhyCode.DELIVERED, "2025-06-18 09:00 送达(第 1 次尝试,对方已接收,应答 204)。"),
        (delivery(), WhyCode.QUEUED, "2025-06-18 09:00 进入发送队列,还没有尝试。"),
        (
            delivery(attempts=2, outcome="http_5xx", http_status=503, last_attempt_at=TIME, next_attempt_at=LATER),
            WhyCode.RETRYING,
            "未送达:2025-06-18 09:00 第 2 次尝试,对方出错,应答 503;下次 2025-06-18 21:00。",
        ),
        (
            delivery(status="exhausted", attempts=10, outcome="timeout", last_attempt_at=TIME),
            WhyCode.EXHAUSTED,
            "未送达:2025-06-18 09:00 第 10 次尝试,超时,重试已用尽,请人工查看。",
        ),
        (
            delivery(status="disabled", outcome="gone"),
            WhyCode.ENDPOINT_GONE,
            "未投:对方声明该地址已停用,改登记或提高 revision 后再投。",
        ),
        (
            delivery(status="refused", outcome="conflict"),
            WhyCode.REFUSED,
            "未投:回避核对未通过,单位名录变动后再次判断。",
        ),
    ],
)
def test_a_delivery_tells_more_than_its_decision(record: Any, code: WhyCode, sentence: str) -> None:
    found = answer_of([decision(decisions=[said("wanted")])], [record])
    assert (found[0], found[2]) == (code, sentence)


def test_the_last_decision_that_says_something_counts() -> None:
    first = decision(decisions=[said("quiet_hours", until=LATER)])
    again = decision(decided_at=LATER, decisions=[said("held")])
    assert answer_of([again, first], [])[:2] == (WhyCode.HELD, "quiet_hours")
    gone = decision(decided_at=LATER, decisions=[said("superseded", detail="a-2")])
    assert answer_of([gone, first], [])[:2] == (WhyCode.NOT_SENT, "superseded")


def test_reminders_replays_and_drills_stand_below_the_first_news() -> None:
    repeat = delivered(mark="repeat-1", kind="repeat", enqueued_at=LATER, sequence=2)
    replay = delivery(mark="replay-x", kind="replay", enqueued_at=LATER, sequence=3)
    (line,) = why(make_alert(), [], [replay, repeat, delivered()]).lines
    assert line.code is WhyCode.DELIVERED
    assert [sentence[:3] for sentence in line.further] == ["提醒:", "重发:"]
    (drill,) = why(None, [], [delivered(mark="drill-x", kind="drill")]).lines
    assert (drill.code, drill.further) == (WhyCode.DELIVERED, ())


def test_everybody_has_a_line_and_the_routing_is_told() -> None:
    record = decision(decisions=[said("wanted", "b")], not_routed=["c"], why=["主送:甲街道纪工委"], branch="street")
    found = why(make_alert(), [record], [delivered(subscriber="b"), delivery(subscriber="a")])
    assert [(line.subscriber, line.code) for line in found.lines] == [
        ("a", WhyCode.QUEUED),
        ("b", WhyCode.DELIVERED),
        ("c", WhyCode.NOT_ROUTED),
    ]
    assert found.routing == ("主送:甲街道纪工委",)
    assert list(lines_of(found))[:2] == ["涉及 3 个订阅方:已送达 1 个。", "主送:甲街道纪工委"]


def test_where_nobody_was_asked_that_is_said() -> None:
    assert why(None, [], []).summary == "没有这条预警的记录:编号有误,或已超过保存期限。"
    assert why(make_alert(), [], []).summary == "投递服务还没有处理这条预警,或没有留下记录。"
    assert why(make_alert(push=False), [], []).summary.startswith("没有投给任何订阅方:测试工单")
    assert why(make_alert(), [decision()], []).summary == "没有投给任何订阅方。"


def test_every_reason_of_today_is_told_in_words() -> None:
    assert {str(reason) for reason in DECISION_REASONS} <= set(REASONS)


@given(
    status=st.sampled_from(DeliveryStatus),
    outcome=st.none() | st.sampled_from(Outcome),
    attempts=st.integers(0, 12),
    reason=st.text(max_size=12),
)
def test_whatever_is_recorded_has_an_answer(
    status: DeliveryStatus, outcome: Outcome | None, attempts: int, reason: str
) -> None:
    record = delivery(status=status, outcome=outcome, attempts=attempts)
    assert answer_of([decision(decisions=[said(reason)])], [record])[2]
    assert answer_of([decision(decisions=[said(reason)])], [])[2]


# --- what is sent again ---

ALERTS = [make_alert("a-2", sequence=2), make_alert("a-1"), make_alert("b-1", "case-0")]
SENT = [
    delivered("a-1"),
    delivered("a-1", subscriber="other"),
    delivered("a-2", last_attempt_at=LATER),
    delivered("b-1", case_id="case-0"),
    delivered("b-1", mark="drill-x", kind="drill", subscriber="drilled"),
    delivered("b-1", mark="replay-x", kind="replay", subscriber="replayed"),
    delivery("b-1", subscriber="waiting"),
    delivered("gone"),
]


def chosen(**which: Any) -> list[tuple[str, str | None]]:
    found = requests_for(ALERTS, SENT, replay_id="r-1", requested_by="op", now=NOW, **which)
    assert {(one.request_id, one.kind.value, one.requested_by) for one in found} <= {("r-1", "replay", "op")}
    return [(one.alert.alert_id, one.subscriber) for one in found]


def test_what_was_delivered_is_asked_for_once_a_subscriber_in_the_order_of_versions() -> None:
    assert chosen() == [("b-1", "platform"), ("a-1", "other"), ("a-1", "platform"), ("a-2", "platform")]


def test_a_replay_is_narrowed_by_subscriber_alert_and_time() -> None:
    assert chosen(subscriber="other") == [("a-1", "other")]
    assert chosen(alert_id="a-2") == [("a-2", "platform")]
    later = parse_instant(LATER)
    assert chosen(since=later) == [("a-2", "platform")]
    assert chosen(until=later, alert_id="a-2") == []
    assert chosen(since=later, until=later + HOUR) == [("a-2", "platform")]


def test_a_replay_that_has_come_is_one_delivery_and_no_further_request() -> None:
    with_repeat = [*SENT, delivered("a-1", mark="repeat-1", kind="repeat")]
    found = requests_for(ALERTS, with_repeat, replay_id="r", requested_by="op", now=NOW, subscriber="platform")
    assert len(found) == 3


def test_the_id_of_a_replay_is_that_of_its_parts() -> None:
    assert replay_id_of("a", "b") == replay_id_of("a", "b")
    assert len({replay_id_of("a", "b"), replay_id_of("ab", ""), replay_id_of("a\nb"), replay_id_of("b", "a")}) == 4
