"""Why did this subscriber get this warning, or not? A pure function over what was recorded: one line a subscriber.

A delivery tells more than the decision that led to it, and of decisions the last one that says something counts:
`seen` and `queued` only say that the alert came to the worker once more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.alert import Alert
from models.decision import DecisionRecord, SubscriberDecision
from models.delivery import DeliveryKind, DeliveryRecord, DeliveryStatus, Outcome
from models.times import ImpossibleTimeError, format_minute, parse_instant


class WhyCode(StrEnum):
    """Where an alert stands with a subscriber: a closed set."""

    DELIVERED = "delivered"
    QUEUED = "queued"
    RETRYING = "retrying"
    EXHAUSTED = "exhausted"
    ENDPOINT_GONE = "endpoint_gone"
    REFUSED = "refused"
    HELD = "held"
    NOT_SENT = "not_sent"
    NOT_ROUTED = "not_routed"
    DECIDED = "decided"
    """To be sent, but nothing is recorded of a delivery yet."""


REASONS = {
    "wanted": "符合订阅条件",
    "follow_up": "此前收到过该预警,更正、撤回一并送达",
    "not_pushed": "测试工单、试运行规则或历史数据,不推送",
    "conflict": "订阅方属于预警所指单位或其下级,一律不投",
    "never_told": "此前没有收到过该预警,更正、撤回不必告知",
    "level": "级别不在订阅范围内",
    "family": "类别不在订阅范围内",
    "unit": "所指单位不在订阅范围内",
    "not_routed": "分送规则没有指向该订阅方",
    "seen": "此前已经发送,不重复",
    "queued": "已在发送队列中",
    "held": "此前已暂缓,尚未到再次判断的时间",
    "group_wait": "等待与同一案件的其他预警一并发送",
    "inhibited": "同一案件已有更要紧的预警",
    "silenced": "静默期内",
    "quiet_hours": "免打扰时段内",
    "superseded": "已被同一预警的新版本取代",
}
"""What a decision's reason means to people; a reason of a later version is shown as its code."""

_SENDS = frozenset({"wanted", "follow_up"})
_SAYS_NOTHING_NEW = frozenset({"seen", "queued", "held"})

_OUTCOMES = {
    Outcome.ACCEPTED: "对方已接收",
    Outcome.REDIRECT: "对方要求转到别的地址",
    Outcome.HTTP_4XX: "对方拒绝",
    Outcome.GONE: "对方声明该地址已停用",
    Outcome.TOO_MANY_REQUESTS: "对方要求放慢",
    Outcome.HTTP_5XX: "对方出错",
    Outcome.UNEXPECTED_STATUS: "对方应答异常",
    Outcome.TIMEOUT: "超时",
    Outcome.DNS_FAILED: "域名无法解析",
    Outcome.REFUSED_ADDRESS: "该地址不允许访问",
    Outcome.CONNECT_FAILED: "无法连接",
    Outcome.TLS_FAILED: "加密连接未能建立",
    Outcome.CONNECTION_LOST: "连接中断",
    Outcome.RESPONSE_TOO_LARGE: "对方应答过大,不视为接收",
    Outcome.ROBOT_REFUSED: "群机器人未接收",
    Outcome.CONFLICT: "回避核对未通过",
    Outcome.INTERNAL_ERROR: "本系统内部错误",
}
_KINDS = {DeliveryKind.REPEAT: "提醒", DeliveryKind.REPLAY: "重发", DeliveryKind.DRILL: "演练"}


@dataclass(frozen=True, slots=True)
class WhyLine:
    """One subscriber's answer."""

    subscriber: str
    code: WhyCode
    reason: str
    """Of the decision or of the last attempt; the codes of those sets, or a later version's."""
    sentence: str
    until: str | None = None
    """Of what is held or tried again: when."""
    further: tuple[str, ...] = ()
    """Reminders, replays and drills, a sentence each."""


@dataclass(frozen=True, slots=True)
class Why:
    """The whole answer."""

    alert_id: str | None
    case_id: str | None
    headline: str | None
    summary: str
    routing: tuple[str, ...] = ()
    """How the alert was routed, in the words of the last decision that says it."""
    lines: tuple[WhyLine, ...] = ()


def why(alert: Alert | None, decisions: Sequence[DecisionRecord], deliveries: Sequence[DeliveryRecord]) -> Why:
    """Return what became of one alert for each subscriber, by name. All arguments are about that alert."""
    ordered = sorted(decisions, key=lambda record: parse_instant(record.decided_at))
    names = sorted(
        {record.subscriber for record in deliveries}
        | {one.subscriber for record in ordered for one in record.decisions}
        | {name for record in ordered for name in record.not_routed}
    )
    lines = tuple(_line(name, ordered, [one for one in deliveries if one.subscriber == name]) for name in names)
    known: list[DecisionRecord | DeliveryRecord | Alert] = [*([alert] if alert else []), *ordered, *deliveries]
    return Why(
        alert_id=known[0].alert_id if known else None,
        case_id=known[0].case_id if known else None,
        headline=alert.headline if alert else None,
        summary=_summary(alert, ordered, lines),
        routing=next((record.why for record in reversed(ordered) if record.why), ()),
        lines=lines,
    )


def _summary(alert: Alert | None, decisions: Sequence[DecisionRecord], lines: Sequence[WhyLine]) -> str:
    if lines:
        sent = sum(line.code is WhyCode.DELIVERED for line in lines)
        held = sum(line.code is WhyCode.HELD for line in lines)
        return f"涉及 {len(lines)} 个订阅方:已送达 {sent} 个" + (f",暂缓 {held} 个。" if held else "。")
    if alert is None and not decisions:
        return "没有这条预警的记录:编号有误,或已超过保存期限。"
    if alert is not None and not alert.push:
        return f"没有投给任何订阅方:{REASONS['not_pushed']}。"
    return "没有投给任何订阅方。" if decisions else "投递服务还没有处理这条预警,或没有留下记录。"


def _line(name: str, decisions: Sequence[DecisionRecord], deliveries: Sequence[DeliveryRecord]) -> WhyLine:
    own = sorted(deliveries, key=lambda record: (parse_instant(record.enqueued_at), record.mark))
    first = next((record for record in own if record.kind is DeliveryKind.ALERT), None)
    further = tuple(_further(record) for record in own if record is not first)
    if first is not None:
        return _delivery_line(first, further)
    decided = _last_that_says_something(name, decisions)
    if decided is not None:
        return _decision_line(decided, further)
    if own:  # a drill, say, which nobody decided on
        return _delivery_line(own[-1], further[:-1])
    return WhyLine(name, WhyCode.NOT_ROUTED, "not_routed", f"未投:{REASONS['not_routed']}。", further=further)


def _last_that_says_something(name: str, decisions: Sequence[DecisionRecord]) -> SubscriberDecision | None:
    own = [one for record in decisions for one in record.decisions if one.subscriber == name]
    telling = [one for one in own if one.reason not in _SAYS_NOTHING_NEW]
    return telling[-1] if telling else own[-1] if own else None


def _decision_line(decided: SubscriberDecision, further: tuple[str, ...]) -> WhyLine:
    text = REASONS.get(decided.reason, decided.reason)
    detail = f"({decided.detail})" if decided.detail else ""
    if decided.reason in _SENDS:
        code, sentence = WhyCode.DECIDED, f"决定投送({text}),还没有投递记录。"
    elif decided.until is not None or decided.reason in ("held", "group_wait", "inhibited", "silenced", "quiet_hours"):
        when = f",{_minute(decided.until)} 再次判断" if decided.until else ",案件有变化时再次判断"
        code, sentence = WhyCode.HELD, f"暂缓:{text}{detail}{when}。"
    elif decided.reason == "not_routed":
        code, sentence = WhyCode.NOT_ROUTED, f"未投:{text}。"
    else:
        code, sentence = WhyCode.NOT_SENT, f"未投:{text}{detail}。"
    return WhyLine(decided.subscriber, code, decided.reason, sentence, decided.until, further)


_CODES = {
    DeliveryStatus.DELIVERED: WhyCode.DELIVERED,
    DeliveryStatus.EXHAUSTED: WhyCode.EXHAUSTED,
    DeliveryStatus.DISABLED: WhyCode.ENDPOINT_GONE,
    DeliveryStatus.REFUSED: WhyCode.REFUSED,
}


def _delivery_line(record: DeliveryRecord, further: tuple[str, ...]) -> WhyLine:
    fallback = WhyCode.RETRYING if record.attempts else WhyCode.QUEUED
    code = _CODES.get(record.status, fallback)
    reason = record.outcome.value if record.outcome is not None else "queued"
    return WhyLine(record.subscriber, code, reason, _told(record), record.next_attempt_at, further)


def _told(record: DeliveryRecord) -> str:
    tries = f"第 {record.attempts} 次尝试"
    answered = _OUTCOMES[record.outcome] if record.outcome is not None else ""
    if record.http_status is not None:
        answered += f",应答 {record.http_status}"
    following = f";下次 {_minute(record.next_attempt_at)}" if record.next_attempt_at else ""
    if record.status is DeliveryStatus.DELIVERED:
        return f"{_minute(record.last_attempt_at)} 送达({tries}{',' + answered if answered else ''})。"
    if record.status is DeliveryStatus.REFUSED:
        return "未投:回避核对未通过,单位名录变动后再次判断。"
    if record.status is DeliveryStatus.DISABLED:
        return "未投:对方声明该地址已停用,改登记或提高 revision 后再投。"
    if not record.attempts:
        return f"{_minute(record.enqueued_at)} 进入发送队列,还没有尝试{following}。"
    exhausted = ",重试已用尽,请人工查看" if record.status is DeliveryStatus.EXHAUSTED else ""
    return f"未送达:{_minute(record.last_attempt_at)} {tries},{answered}{exhausted}{following}。"


def _further(record: DeliveryRecord) -> str:
    return f"{_KINDS.get(record.kind, record.kind.value)}:{_told(record)}"


def _minute(time: str | None) -> str:
    try:
        return format_minute(parse_instant(time)) if time else "时间不详"
    except ImpossibleTimeError:
        return "时间不详"


def lines_of(answer: Why) -> Iterable[str]:
    """Yield the answer as lines of text, for a terminal."""
    yield answer.summary
    yield from answer.routing
    for line in answer.lines:
        yield f"{line.subscriber}:{line.sentence}"
        yield from (f"  {sentence}" for sentence in line.further)
