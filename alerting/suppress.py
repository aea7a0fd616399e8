"""Is an alert that a subscriber is to get held back for now? One pure function; its answer is a reason.

The rules:
- Suppression holds, it never drops. What is held is judged again at `until`, when its case changes, and when silences
  change.
- The order of the checks is silence, inhibition, quiet hours, group wait; the first that holds speaks.
- A follow-up (an escalation, correction or retraction of what the subscriber knows) is never silenced, inhibited or
  grouped: who was told has a right to know what became of it. Only quiet hours hold it; those hold every correction and
  retraction, whatever its level: it gives nobody anything to do at night.
- Red is silenced only by case, ticket or unit, see models/silence.py.

Drills are not asked about here: nothing holds them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alerting.quiet_hours import quiet_until
from alerting.suppression_policy import SuppressionPolicy, inhibiting
from alerting.told import Told
from models.alert import Alert
from models.base import LEVEL_RANK, Level, Status
from models.silence import Silence, SilenceState
from models.subscriber import Subscriber
from models.times import HOUR, SECOND, datetime_of, format_minute

_LEVEL_TITLES = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.RED: "红色"}


class SuppressReason(StrEnum):
    """Why an alert is held back: a closed set, and a metric's label."""

    NONE = "none"
    GROUP_WAIT = "group_wait"
    INHIBITED = "inhibited"
    SILENCED = "silenced"
    QUIET_HOURS = "quiet_hours"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an alert is held back, why, and until when (microseconds)."""

    reason: SuppressReason
    until: int | None = None
    """When it is to be judged again. None with a reason: when the case changes."""
    detail: str | None = None
    """Which silence, by whom and why; which alert inhibits; which hours. In plain Chinese."""

    @property
    def holds(self) -> bool:
        """Return whether the alert is held back."""
        return self.reason is not SuppressReason.NONE


_SENDS = Verdict(SuppressReason.NONE)


def suppress(
    alert: Alert,
    subscriber: Subscriber,
    told: Mapping[str, Told],
    policy: SuppressionPolicy,
    silences: Sequence[Silence],
    since: int,
    now: int,
    *,
    follow_up: bool,
) -> Verdict:
    """Return whether an alert is held back from a subscriber at `now`.

    `told`: by rule, what the subscriber was told about the case and is in force; `since`: when the alert was first
    judged; `follow_up`: the subscriber was told an earlier version of it. Every `until` lies after `now`.
    """
    verdict = None
    if not follow_up:
        verdict = _silenced(alert, subscriber, silences, now) or _inhibited(alert, told, policy)
    verdict = verdict or _quiet(alert, subscriber, now)
    if verdict is None and not follow_up:
        verdict = _grouped(alert, subscriber, policy, since, now)
    return verdict or _SENDS


def _silenced(alert: Alert, subscriber: Subscriber, silences: Sequence[Silence], now: int) -> Verdict | None:
    found = [one for one in silences if one.state(now) is SilenceState.ACTIVE and covers(one, alert, subscriber.name)]
    if not found:
        return None
    last = max(found, key=lambda one: (one.ends, one.id))  # whichever of them ended before, this one would go on
    return Verdict(SuppressReason.SILENCED, last.ends, f"{last.id} {last.author}:{last.comment}")


def covers(silence: Silence, alert: Alert, subscriber: str) -> bool:
    """Return whether a silence is about an alert to a subscriber, whatever the time."""
    given, place = silence.matchers, alert.place
    if alert.level is Level.RED and not given.may_cover_red:
        return False
    accused = [unit.id for unit in alert.units if unit.role == "accused"]
    return (
        _one_of(alert.rule.id, given.rules)
        and _one_of(alert.family, given.families)
        and _one_of(alert.level, given.levels)
        and _one_of(alert.case_id, given.cases)
        and _one_of(subscriber, given.subscribers)
        and _one_of(place and place.street, given.streets)
        and _one_of(place and place.community, given.communities)
        and (not given.tickets or not set(given.tickets).isdisjoint(alert.tickets))
        and _all_of(accused, given.units)
        and _all_of(alert.categories, given.categories)
    )


def _one_of(value: object, given: Collection[object]) -> bool:
    return not given or value in given


def _all_of(values: Collection[str], given: Collection[str]) -> bool:
    return not given or (bool(values) and set(given).issuperset(values))


def _inhibited(alert: Alert, told: Mapping[str, Told], policy: SuppressionPolicy) -> Verdict | None:
    sources = sorted(told.items(), key=lambda item: (-LEVEL_RANK[item[1].level], item[0]))
    for inhibition in inhibiting(policy, alert.level, alert.family, alert.rule.id):
        for rule, one in sources:
            if rule != alert.rule.id and one.level and inhibition.source.fits(one.level, one.family, rule):
                detail = f"{rule} {_LEVEL_TITLES[one.level]}预警 {one.alert_id},抑制规则 {inhibition.id}"
                return Verdict(SuppressReason.INHIBITED, None, detail)
    return None


def _quiet(alert: Alert, subscriber: Subscriber, now: int) -> Verdict | None:
    quiet = subscriber.quiet_hours
    takes_back = alert.status in (Status.CORRECTED, Status.RETRACTED)
    if quiet is None or not (takes_back or alert.level in quiet.levels):
        return None
    until = quiet_until(quiet, now)
    return None if until is None else Verdict(SuppressReason.QUIET_HOURS, until, f"{quiet.start}–{quiet.end}")


def _grouped(alert: Alert, subscriber: Subscriber, policy: SuppressionPolicy, since: int, now: int) -> Verdict | None:
    if alert.level in policy.urgent_levels:
        return None
    wait = round(subscriber.group_wait_seconds * SECOND)
    if not 0 <= now - since < wait:  # below zero the clock was set back: nobody knows how long it has waited
        return None
    return Verdict(SuppressReason.GROUP_WAIT, since + wait, f"{subscriber.group_wait_seconds:g} 秒")


def repeat_at(told: Told, subscriber: Subscriber) -> int | None:
    """Return when a warning that is still in force is to be told again, None where it is not."""
    if subscriber.repeat_hours is None or told.at is None:
        return None
    return told.at + round(subscriber.repeat_hours * HOUR)


def explain_verdict(verdict: Verdict) -> str:
    """Return a verdict as a Chinese sentence."""
    detail = verdict.detail or ""
    until = format_minute(verdict.until) if verdict.until is not None else "案件有变化"
    match verdict.reason:
        case SuppressReason.NONE:
            return "不暂缓,立即发送。"
        case SuppressReason.SILENCED:
            silence, _, why = detail.partition(" ")
            return f"静默 {silence} 至 {until}({why})。"
        case SuppressReason.INHIBITED:
            return f"已有更要紧的预警({detail}),暂缓至{until}时再判断。"
        case SuppressReason.QUIET_HOURS:
            return f"免打扰时段({detail}),暂缓至 {until}。"
        case SuppressReason.GROUP_WAIT:
            second = f"{datetime_of(verdict.until):%Y-%m-%d %H:%M:%S}" if verdict.until is not None else until
            return f"等待同一案件的其他预警({detail}),暂缓至 {second}。"
