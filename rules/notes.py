"""What the history notes about single events for people who read evidence.

When a limit ends and where it comes from, what was late, what stopped a clock or changed a rating.
"""

from models.times import DAY, HOUR, MINUTE, format_minute
from rules.event import Event
from rules.history import Acceptance, Deadline, Lineage, Return, Stood
from rules.limits import UNIT_TITLES, Counting, Limit
from rules.telling import GRADES

_UNANNOUNCED = "次年工作日历未公布,暂计"


def notes_of(lineage: Lineage) -> dict[tuple[str, str], str]:
    """Return what is noted about each event, by its key, in Chinese."""
    found: dict[tuple[str, str], list[str]] = {}

    def note(event: Event, what: str) -> None:
        found.setdefault(event.key, []).append(what)

    for deadline in lineage.deadlines:
        if deadline.limit is not None:
            note(deadline.event, _limit_told(deadline))
    for stop in dict.fromkeys(span.stop for one in lineage.deadlines if one.stoppable for span in one.stoppable.stood):
        note(stop.since, "办理时限停表" if stop.asked is None else "驳回前办理时限停表")
    for acceptance in lineage.acceptances:
        note(acceptance.event, _acceptance_told(acceptance))
    for one in lineage.returns:
        if one.limits_passed and one.allowed_until is not None:
            note(one.event, f"超过退单时限{format_minute(one.allowed_until)}")
        if one.last_minute:
            note(one.event, "办理时限所剩不足一成" + _stops_told_before(lineage, one))
    for trick in lineage.extended_late:
        note(trick.after, "时限已过才申请延期")
    for trick in lineage.undone:
        note(trick.after, f"{format_minute(trick.before.at)}临期办结后再开")
    for trick in lineage.handed_back:
        note(trick.after, f"{format_minute(trick.before.at)}撤回后再派同一单位,时限重新起算")
    for trick in lineage.improved:
        note(trick.after, f"原评价{GRADES[trick.before.data['result']]}")
    for event in lineage.hasty:
        note(event, "派单后不足30分钟,无联系记录")
    return {key: ";".join(told) for key, told in found.items()}


def _limit_told(deadline: Deadline) -> str:
    due = deadline.moved[0] if deadline.moved else deadline
    source = f"按{deadline.profile.title}:{deadline.limit}," if deadline.profile is not None else ""
    unannounced = f",{_UNANNOUNCED}" if due.incomplete else ""
    return f"{source}至{format_minute(due.due)}{unannounced}{_stops_told(deadline)}"


def _stops_told(deadline: Deadline, before: int | None = None) -> str:
    """Return when the clock of a limit was stopped, for how long, and to when that put it off."""
    spans = deadline.stoppable.stood if deadline.stoppable is not None else []
    return "".join(f";{_stop_told(deadline, one)}" for one in spans if before is None or one.start < before)


def _stop_told(deadline: Deadline, one: Stood) -> str:
    why = "挂起" if one.stop.asked is None else "退单驳回前"
    if one.end is None:
        return f"{why}自{format_minute(one.start)}起停表"
    assert deadline.limit is not None
    assert deadline.profile is not None
    length = length_told(one.amount, deadline.limit, deadline.profile.counting)
    told = f"{why}停表{format_minute(one.start)}至{format_minute(one.end)}({length}),顺延至{format_minute(one.due)}"
    return told + (f",{_UNANNOUNCED}" if deadline.incomplete else "")


def _stops_told_before(lineage: Lineage, asked: Return) -> str:
    theirs = (one for one in lineage.deadlines if one.unit is None or asked.unit is None or one.unit == asked.unit)
    return "".join(_stops_told(one, asked.event.at) for one in theirs)


def length_told(amount: int, limit: Limit, counting: Counting) -> str:
    """Return how much of a limit's kind of time it is for which its clock stood, in Chinese."""
    days = UNIT_TITLES["work_days" if limit.unit == "work_days" else "days"]
    if counting.in_whole_days and limit.unit in ("days", "work_days"):
        return f"{amount}{days}"
    sizes: tuple[tuple[int, str], ...] = ((DAY, days), (HOUR, "小时"), (MINUTE, "分钟"))
    if limit.unit == "work_hours":
        sizes = ((HOUR, UNIT_TITLES["work_hours"]), (MINUTE, "分钟"))
    told = ""
    for size, title in sizes:
        number, amount = divmod(amount, size)
        told += f"{number}{title}" if number else ""
    return told or "不足1分钟"


def _acceptance_told(acceptance: Acceptance) -> str:
    told = f"按{acceptance.profile.title}:签收{acceptance.limit},至{format_minute(acceptance.due)}"
    return told + (f",{_UNANNOUNCED}" if acceptance.incomplete else "")
