"""Drills: a made-up alert about nobody that goes the whole way to one subscriber, marked at every step."""

from models.alert import Alert, Evidence, RuleRef
from models.base import Family, Level, Status
from models.redelivery import RedeliveryKind, RedeliveryRequest
from models.times import format_instant

DRILL_FLAG = "drill"
_RULE = RuleRef(id="DRILL", version=1, title="演练")


def drill_request(subscriber: str, request_id: str, now: int, requested_by: str = "") -> RedeliveryRequest:
    """Return the request of one drill, made at the instant `now`; `request_id`: letters, digits and hyphens, new for each."""
    return RedeliveryRequest(
        request_id=request_id,
        kind=RedeliveryKind.DRILL,
        subscriber=subscriber,
        alert=drill_alert(subscriber, request_id, now),
        requested_at=format_instant(now),
        requested_by=requested_by,
    )


def drill_mark(request_id: str) -> str:
    """Return the mark that the delivery of a drill bears."""
    return f"{RedeliveryKind.DRILL}-{request_id}"


def drill_alert(subscriber: str, request_id: str, now: int) -> Alert:
    """Return the made-up alert: blue, about no unit, and it says in every text that it is a drill."""
    at = format_instant(now)
    return Alert(
        alert_id=f"drill-{request_id}",
        case_id=f"drill:{subscriber}",
        sequence=1,
        status=Status.RAISED,
        family=Family.PROCESS,
        rule=_RULE,
        level=Level.BLUE,
        headline="【演练】检查预警能否送达,不涉及任何单位和工单",
        tickets=(f"DRILL-{request_id}",),
        evidence=(Evidence(event_id=f"drill-{request_id}", occurred_at=at, what="演练:由管理员发起,无须处置"),),
        facts={},
        thresholds={},
        flags=(DRILL_FLAG,),
        trigger=f"drill-{request_id}",
        calendar_version="none",
        push=True,
        event_time=at,
        as_of=at,
        raised_at=at,
    )
