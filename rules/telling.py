"""Tells events, facts and warnings in plain Chinese, for people who don't have the system at hand. No citizen's words, no unit's words."""

import re
from collections.abc import Iterable, Mapping

from models.alert import Evidence
from models.base import Level, Status
from models.ticket_event import EventType as E
from models.times import format_instant, format_minute
from rules.event import Event
from rules.fact import Value
from rules.sealing import SEALED
from rules.text.result import Finding

LEVEL_TITLES = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.RED: "红色"}

RETURN_CODES = {
    "R0": "其他",
    "R1": "非本行政区域",
    "R2": "非法定职责",
    "R3": "权属不清或未移交",
    "R4": "职能交叉",
    "R5": "要素不全",
    "R6": "重复或在办",
    "R7": "属法定途径",
    "R8": "超出行政范围",
    "R9": "派错下级",
}
GRADES = {
    "very_satisfied": "非常满意",
    "satisfied": "满意",
    "basically_satisfied": "基本满意",
    "neutral": "一般",
    "dissatisfied": "不满意",
    "very_dissatisfied": "非常不满意",
    "not_rated": "未评价",
    "unreachable": "未联系上",
}
SOLVED = {"yes": "已解决", "partly": "部分解决", "no": "未解决"}
REASONS = {"voided": "工单已作废", "merged_into": "工单已并入其他工单", "removed": "工单已移出本平台"}

_PLAIN: dict[str, str] = {
    SEALED: "移出本平台",
    E.REGISTERED: "登记受理",
    E.DIRECT_CLOSED: "直接答复办结",
    E.REJECTED: "不予受理",
    E.TRANSFERRED: "转专线或告知法定途径",
    E.RECALLED: "撤回对{unit}的派单",
    E.ACCEPTED: "{unit}签收",
    E.SUB_DISPATCHED: "{unit}转办下级",
    E.CONTACTED: "{unit}联系诉求人",
    E.SITE_CHECKED: "{unit}现场核实",
    E.PROGRESS: "{unit}报告办理进展",
    E.URGED: "诉求人催办",
    E.RETURN_APPROVED: "{unit}的退单获同意",
    E.RETURN_DENIED: "{unit}的退单被驳回",
    E.DESIGNATED: "指定{unit}承办",
    E.EXTENSION_REQUESTED: "{unit}申请延期",
    E.EXTENSION_DENIED: "{unit}的延期申请被驳回",
    E.SUSPENDED: "{unit}挂起工单",
    E.RESUMED: "{unit}恢复办理",
    E.SUPERVISED: "列入督办",
    E.ARCHIVED: "归档",
    E.REOPENED: "重新打开",
    E.WITHDRAWN: "诉求人撤诉",
    E.MERGED: "并入工单{into}",
    E.LINKED: "与工单{to}关联",
    E.AMENDED: "更正登记内容",
    E.VOIDED: "作废",
}
_PLACEHOLDER = re.compile(r"\{([a-z0-9_.]+)\}")


def unit_title(unit: str | None, names: Mapping[str, str]) -> str:
    """Return how a unit is called: its name where one was said, else its id."""
    if unit is None:
        return "承办单位"
    return names.get(unit, f"单位{unit}")


def tell_event(event: Event, names: Mapping[str, str], notes: Mapping[tuple[str, str], str] | None = None) -> str:
    """Return what an event says, in one Chinese clause, with what `notes_of` its history notes about it."""
    note = notes.get(event.key) if notes else None
    return _tell_event(event, names) + (f"({note})" if note else "")


def _tell_event(event: Event, names: Mapping[str, str]) -> str:
    unit = unit_title(event.unit, names)
    data = event.data
    match event.type:
        case E.DISPATCHED:
            role = "协办" if data.get("assist") else "主办"
            return f"派单给{unit}({role}){_limit(event)}"
        case E.RETURN_REQUESTED:
            return f"{unit}申请退单({'、'.join(_return_details(event))})"
        case E.EXTENSION_APPROVED:
            until = data.get("until")
            return f"{unit}的延期获批准" + (f",延至{format_minute(until)}" if until else "")
        case E.RESOLVED:
            solved = SOLVED.get(data.get("solved", ""), "未注明是否解决")
            unreasonable = ",诉求认定不合理" if data.get("appeal") == "unreasonable" else ""
            return f"{unit}办结({solved}{unreasonable})"
        case E.REVIEW_REJECTED:
            return f"审核退回{unit}{_limit(event)}"
        case E.REDO_ORDERED:
            return f"责令{unit}重办{_limit(event)}"
        case E.VISITED:
            contacted = ",反映无人联系" if data.get("contacted") is False else ""
            return f"回访:办理结果{GRADES.get(data.get('result', ''), '未注明')}{contacted}"
        case E.SATISFACTION_CHANGED:
            return f"改评价:办理结果改为{GRADES.get(data.get('result', ''), '未注明')}"
    return _PLAIN.get(event.type, "其他事件").format(unit=unit, into=data.get("into", ""), to=data.get("to", ""))


def _limit(event: Event) -> str:
    due, work_days = event.data.get("due"), event.data.get("work_days")
    if due:
        return f",时限{format_minute(due)}"
    return f",时限{work_days}个工作日" if work_days else ""


def _return_details(event: Event) -> list[str]:
    code = event.data.get("code")
    details = [f"理由{code}:{RETURN_CODES[code]}" if code else "未注明理由"]
    for item, lacking, done in (
        ("contacted", "未先行联系", "已先行联系"),
        ("site_checked", "未现场核实", "已现场核实"),
        ("evidence", "无佐证材料", "有佐证材料"),
    ):
        said = event.data.get(item)
        if said is not None:
            details.append(done if said else lacking)
    return details


def evidence_of(
    events: Iterable[Event], names: Mapping[str, str], notes: Mapping[tuple[str, str], str], *, several: bool
) -> list[Evidence]:
    """Return the events as evidence; with several tickets in the lineage each line names its own."""
    return [
        Evidence(
            event_id=event.event_id,
            occurred_at=format_instant(event.at),
            what=(f"工单{event.ticket_id}:" if several else "") + tell_event(event, names, notes),
        )
        for event in events
    ]


TEXT_FIELDS = {"title": "诉求标题", "content": "诉求内容", "comment": "回访意见"}
ACTOR_TITLES = {
    "official": "公职主体",
    "staff": "公职主体(结合单位名称)",
    "implicit": "说法本身指向公职",
    "unknown": "行为人未说明",
}


def tell_finding(field: str, finding: Finding) -> str:
    """Return what a text was found to tell of: a masked piece, and how it was judged."""
    layer = (
        "委婉说法,由语义层提示,最高为蓝"
        if finding.layer == "euphemism"
        else ACTOR_TITLES.get(finding.actor, "行为人未说明")
    )
    details = f";具体性{finding.specificity}({finding.details})" if finding.details else f";具体性{finding.specificity}"
    return f"{TEXT_FIELDS[field]}:“{finding.quote}”({layer};可信度{finding.confidence}{details})"


def fill(headline: str, facts: Mapping[str, Value]) -> str:
    """Return a headline with the facts' values in it."""
    return _PLACEHOLDER.sub(lambda match: str(facts[match.group(1)]), headline)


def tell_warning(
    title: str, headline: str, status: Status, level: Level, facts: Mapping[str, Value], because: str
) -> str:
    """Return the warning's headline. It always says 疑似: a warning is not a finding."""
    if status is Status.RETRACTED:
        return f"撤回预警:此前“疑似{title}”的{LEVEL_TITLES[level]}预警不再成立({because})"
    told = fill(headline, facts)
    return f"更正为{LEVEL_TITLES[level]}:{told}" if status is Status.CORRECTED else told
