"""What the history notes about single events for people who read evidence.

When a limit ends and where it comes from, what was late, what stopped a clock or changed a rating.
"""

from models.times import format_minute
from rules.event import Event
from rules.history import Acceptance, Deadline, Lineage
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
    for acceptance in lineage.acceptances:
        note(acceptance.event, _acceptance_told(acceptance))
    for one in lineage.returns:
        if one.limits_passed and one.allowed_until is not None:
            note(one.event, f"超过退单时限{format_minute(one.allowed_until)}")
        if one.last_minute:
            note(one.event, "办理时限所剩不足一成")
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
    return f"{source}至{format_minute(due.due)}" + (f",{_UNANNOUNCED}" if due.incomplete else "")


def _acceptance_told(acceptance: Acceptance) -> str:
    told = f"按{acceptance.profile.title}:签收{acceptance.limit},至{format_minute(acceptance.due)}"
    return told + (f",{_UNANNOUNCED}" if acceptance.incomplete else "")
