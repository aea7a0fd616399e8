"""Warnings: when a rule's level changes, one numbered version of the case's warning says so, with its reasons and a deterministic id."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid5

import cel

from models.alert import Alert, AlertPlace, Evidence, RuleRef, UnitRef
from models.base import LEVEL_RANK, Family, Level, Status
from models.times import format_instant, format_minute
from rules import texts
from rules.conditions import Condition, parts
from rules.engine import SUM_OF, SUMS
from rules.event import Event
from rules.fact import Values
from rules.facts import BY_PATH, INDEX, as_mapping, tree_of
from rules.history import Lineage
from rules.joined import FREQUENT_CALLER, counts_callers, is_frequent_caller, reference_evidence
from rules.notes import notes_of
from rules.pack import Rule
from rules.repeats import RepeatedComplaint
from rules.telling import REASONS, evidence_of, tell_event, tell_finding, tell_warning
from rules.views import Cause, View, complained_again, last_minute_returns, late_returns

MAX_EVIDENCE = 60
_OF_REPEATS = frozenset({"repeat.count", "sham.complained_again", "sham.signs"})

_NAMESPACE = UUID("6f3f1a6e-5d55-5c51-9a3b-0d4d4c5f7a10")


@dataclass(frozen=True, slots=True)
class Standing:
    """The last version of one rule's warning of one case."""

    alert_id: str
    level: Level | None
    """in force; None where retracted"""
    held: str | None = None
    """the version as JSON, where it was issued unpushed and may still be pushed"""


def case_id_of(root: str) -> str:
    """Return the case of a ticket lineage: one for each root ticket."""
    return f"case:{root}"


def status_of(before: Level | None, now: Level | None) -> Status:
    """Return what a change of level is. Precondition: it is a change."""
    if now is None:
        return Status.RETRACTED
    if before is None:
        return Status.RAISED
    return Status.ESCALATED if LEVEL_RANK[now] > LEVEL_RANK[before] else Status.CORRECTED


@dataclass(frozen=True, slots=True)
class Change:
    """One rule's change of level, and what is needed to tell of it."""

    rule: Rule
    before: Level | None
    now: Level | None
    previous: Standing | None
    sequence: int
    issued_at: int
    """the core's time, in microseconds"""
    view: View
    values: Values
    ended_by: Event | None
    """what voided the lineage or merged it away"""
    reason: str | None
    flags: tuple[str, ...]
    push: bool
    levels: tuple[tuple[Rule, Level | None], ...] = ()
    """every rule, and its level after the change"""
    reckoned_anew: bool = False
    """another calendar or other limits changed it, and nothing that happened"""

    @property
    def summed(self) -> tuple[tuple[Rule, Level | None], ...]:
        """Return the rules whose levels this one adds up, speaking or not; none where it reads no sum."""
        families = {family for family, path in SUM_OF.items() if path in self.rule.paths}
        if not families:
            return ()
        return tuple(
            (rule, level)
            for rule, level in self.levels
            if rule.family in families and rule.status == "stable" and not any(path in rule.paths for path in SUMS)
        )

    @property
    def added(self) -> tuple[tuple[Rule, Level], ...]:
        """Return those of them that speak."""
        return tuple((rule, level) for rule, level in self.summed if level is not None)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rule and those it adds up."""
        return (self.rule, *(rule for rule, _ in self.added))


def make_alert(change: Change) -> Alert:
    """Return the version of the warning that tells of the change."""
    rule, view = change.rule, change.view
    lineage = view.lineage
    status = status_of(change.before, change.now)
    level = change.now or change.before
    assert level is not None
    facts = {path: change.values[INDEX[path]] for path in rule.paths}
    cause = _cause(change, status)
    previous = change.previous.alert_id if change.previous else None
    case_id = case_id_of(lineage.root)
    name = "\n".join((case_id, rule.id, str(rule.version), level, status, cause.trigger, previous or ""))
    return Alert(
        alert_id=str(uuid5(_NAMESPACE, name)),
        case_id=case_id,
        sequence=change.sequence,
        status=status,
        family=rule.family,
        rule=RuleRef(id=rule.id, version=rule.version, title=rule.title),
        level=level,
        categories=_categories(change),
        units=tuple(_units(change)),
        headline=_headline(change, cause, status, level),
        tickets=tuple(sorted({lineage.root, *lineage.tickets}, key=lambda ticket: (ticket != lineage.root, ticket))),
        evidence=tuple(_evidence(change, cause)),
        facts=facts,
        thresholds={level.value: condition.source for level, condition in rule.conditions.items()},
        flags=_flags(change),
        trigger=cause.trigger,
        reason=change.reason,
        previous_alert_id=previous,
        place=_place(lineage),
        calendar_version=lineage.reckoning.version,
        push=change.push,
        event_time=format_instant(cause.at),
        as_of=format_instant(view.now),
        raised_at=format_instant(change.issued_at),
    )


def _categories(change: Change) -> tuple[str, ...]:
    rule = change.rule
    if rule.family is not Family.TEXT:
        return ()
    return (rule.id,) if rule.text is not None else tuple(change.view.telling)


def _flags(change: Change) -> tuple[str, ...]:
    rule = change.rule
    hinted = rule.text is not None and texts.only_hinted(change.view.telling.get(rule.id, ()))
    called = counts_callers(_paths(change)) and is_frequent_caller(change.view.lineage)
    return (*change.flags, *("euphemism_only",) * hinted, *(FREQUENT_CALLER,) * called)


def _paths(change: Change) -> tuple[str, ...]:
    """Return the facts that the rule reads, and those it adds up."""
    return tuple(dict.fromkeys(path for rule in change.rules for path in rule.paths))


def _cause(change: Change, status: Status) -> Cause:
    """Return the last cause, in fold order, of what satisfied the condition; of a fall, the last event that took something off."""
    view = change.view
    if change.ended_by is not None:
        return Cause(change.ended_by.at, change.ended_by.event_id)
    if status in (Status.RAISED, Status.ESCALATED):
        assert change.now is not None
        causes = [cause for cause, _ in _satisfying(change, change.rule, change.now)]
    else:
        causes = [Cause(event.at, event.event_id) for event in _altering(change)]
    if not causes:
        causes = [Cause(event.at, event.event_id) for event in view.lineage.events[-1:]]
    if len(causes) == 1:
        return causes[0]
    places = {event.event_id: index for index, event in enumerate(view.lineage.events)}
    return max(
        causes, key=lambda cause: _place_in_fold(cause, places, view.lineage), default=Cause(view.now, "unknown")
    )


def _altering(change: Change) -> list[Event]:
    """Return the events that may have taken something off the rule's facts."""
    rules = (change.rule, *(rule for rule, _ in change.summed))
    return [event for rule in rules for path in rule.paths for event in BY_PATH[path].altered(change.view)]


def _place_in_fold(cause: Cause, places: dict[str, int], lineage: Lineage) -> tuple[float, int, str]:
    """Return where a cause stands in fold order; a deadline, and another ticket's event, by its time among the events."""
    index = places.get(cause.trigger)
    place = float(index) if index is not None else sum(event.at <= cause.at for event in lineage.events) - 0.5
    return place, cause.at, cause.trigger


def _headline(change: Change, cause: Cause, status: Status, level: Level) -> str:
    rule = change.rule
    words = rule.headlines.get(level, rule.headline)
    return tell_warning(rule.title, words, status, level, as_mapping(change.values), _because(change, cause))


def _because(change: Change, cause: Cause) -> str:
    """Return why a warning was retracted: what ended the case, the event that took it off, or that time is reckoned otherwise."""
    if change.reason is not None:
        return REASONS[change.reason]
    if change.reckoned_anew:
        return "工作日历或时限配置已更新"
    lineage = change.view.lineage
    event = next((event for event in _altering(change) if event.event_id == cause.trigger), None)
    if event is None:
        return "更新后的事实不再符合规则"
    return f"{format_minute(event.at)} {tell_event(event, lineage.unit_names)}"


def _satisfying(change: Change, rule: Rule, level: Level) -> Iterable[tuple[Cause, Rule]]:
    """Yield the causes of every term of the satisfied condition that holds, with the rule; of a sum, those of its rules."""
    condition, context = _condition(change, rule, level)
    for term in parts(condition):
        if not term.holds(context):
            continue
        for path in term.paths:
            fact = BY_PATH[path]
            if path in SUMS:
                for one, its_level in change.added:
                    if SUM_OF[one.family] == path:
                        yield from _satisfying(change, one, its_level)
            elif fact.causes is None:
                yield from ((Cause(event.at, event.event_id), rule) for event in fact.support(change.view))
            else:
                for number in [number for name, number in term.thresholds if name == path] or [0]:
                    yield from ((cause, rule) for cause in fact.causes(change.view, number))


def _condition(change: Change, rule: Rule, level: Level) -> tuple[Condition, cel.Context]:
    """Return the condition that gave a level: the level's own, or that of a higher one which an incomplete calendar capped."""
    context = cel.Context(tree_of(rule.paths, change.values))
    own = rule.conditions.get(level)
    if own is not None and own.holds(context):
        return own, context
    every = rule.conditions.values()
    return next((one for one in every if one.holds(context)), next(iter(every))), context


def _evidence(change: Change, cause: Cause) -> list[Evidence]:
    view, lineage = change.view, change.view.lineage
    events: dict[tuple[str, str], Event] = {}
    for path in _paths(change):
        for event in (*BY_PATH[path].support(view), *BY_PATH[path].altered(view)):
            events[event.key] = event
    if change.ended_by is not None:
        events[change.ended_by.key] = change.ended_by
    ordered = [event for event in lineage.events if event.key in events]
    told = evidence_of(ordered, lineage.unit_names, notes_of(lineage), several=len(lineage.tickets) > 1)
    if any(path in rule.paths for rule in change.rules for path in _OF_REPEATS):
        told += _repeat_evidence(change, {event.event_id for event in ordered})
    told += _text_evidence(change)
    told += reference_evidence(lineage, ordered, _paths(change), change.rule.family)
    if cause.trigger.startswith("deadline:"):
        told.append(
            Evidence(event_id=cause.trigger, occurred_at=format_instant(cause.at), what=_deadline_told(change, cause))
        )
    told.sort(key=lambda one: one.occurred_at)
    return told if len(told) <= MAX_EVIDENCE else [*told[: MAX_EVIDENCE // 2], *told[-MAX_EVIDENCE // 2 :]]


def _text_evidence(change: Change) -> list[Evidence]:
    """Return what texts tell of: of a retraction nothing, for what no longer counts need not be read again."""
    if change.rule.family is not Family.TEXT or change.now is None:
        return []
    return [
        Evidence(
            event_id=spoken.event.event_id,
            occurred_at=format_instant(spoken.event.at),
            what=tell_finding(spoken.field, finding),
        )
        for category in _categories(change)
        for spoken, finding in change.view.telling.get(category, ())
    ]


def _deadline_told(change: Change, cause: Cause) -> str:
    rule, paths = change.rule, change.rule.paths
    if change.now is not None:
        if change.added:
            rule = next((one for found, one in _satisfying(change, rule, change.now) if found == cause), rule)
        condition, context = _condition(change, rule, change.now)
        # What holds is told first, then whatever else of the rule time changes.
        held = (path for term in parts(condition) if term.holds(context) for path in term.paths)
        paths = (*held, *rule.paths)
    return next((tell(change.view) for path in paths if (tell := BY_PATH[path].passing)), "时限已到")


def _repeat_evidence(change: Change, already: set[str]) -> list[Evidence]:
    paths = {path for rule in change.rules for path in rule.paths}
    found: dict[str, Evidence] = {}
    said: dict[str, Iterable[RepeatedComplaint]] = {
        "投诉": (one for repeat in change.view.repeats.values() for one in repeat.complaints)
        if "repeat.count" in paths
        else (),
        "在办结后7日内再次投诉": complained_again(change.view) if paths & _OF_REPEATS - {"repeat.count"} else (),
    }
    # Of very many complaints only some are named: the last of these says so.
    unnamed = {
        repeat.complaints[-1].event_id: f";同期共{repeat.count}件,此处列出其中{len(repeat.complaints)}件"
        for repeat in change.view.repeats.values()
        if len(repeat.complaints) not in (0, repeat.count)
    }
    for what, complaints in said.items():
        for one in complaints:
            if one.event_id not in already:
                more = unnamed.get(one.event_id, "") if what == "投诉" else ""
                found[one.event_id] = Evidence(
                    event_id=one.event_id,
                    occurred_at=format_instant(one.at),
                    what=f"同一诉求人就同一事项{what}(工单{one.ticket_id};{one.why}{more})",
                )
    return list(found.values())


def _accused(rule: Rule, view: View) -> set[str]:
    lineage = view.lineage
    returns = lineage.returns
    worst = max((one.missing for one in returns), default=0)
    leads = {one.unit for one in lineage.holdings} | {event.unit for event in lineage.resolutions}
    named: dict[str, set[str | None]] = {
        "returning": {one.unit for one in returns if not one.denied},
        "blind": {one.unit for one in returns if one.missing and one.missing == worst},
        "repeated_return": {one.unit for one in returns if one.after_denial or one.after_designation},
        "late_return": {one.unit for one in (*late_returns(view), *last_minute_returns(view))},
        "not_accepting": {one.unit for one, times in view.not_accepted if times},
        "overdue": {one.unit for one, found in view.reached if found.near},
        "resolving": {event.unit for event in lineage.resolutions},
        "extended": {event.unit for event in lineage.extensions},
        "redone": {event.unit for event in lineage.redos} or leads,
        "visited": leads,
        "lead": leads,
        "target": {ticket.target_unit for ticket in lineage.tickets.values()},
        "none": set(),
    }
    return {unit for unit in named[rule.accused] if unit is not None}


def _units(change: Change) -> Iterable[UnitRef]:
    """Yield everybody who had a part. A unit complained of is among them though it did nothing: by this it is kept from its own warning."""
    lineage = change.view.lineage
    accused = set().union(*(_accused(rule, change.view) for rule in change.rules))
    everybody = dict.fromkeys(event.unit for event in lineage.events if event.unit is not None)
    everybody |= dict.fromkeys(sorted(accused))
    for unit in everybody:
        yield UnitRef(id=unit, name=lineage.unit_names.get(unit), role="accused" if unit in accused else "involved")


def _place(lineage: Lineage) -> AlertPlace | None:
    ticket = lineage.tickets.get(lineage.root) or next(iter(lineage.tickets.values()), None)
    if ticket is None or not ticket.place:
        return None
    names = {name: ticket.place[name] for name in ("district", "street", "community") if name in ticket.place}
    return AlertPlace(**names) if names else None
