"""Routing: which units get a warning, and why, told in Chinese so that whoever asks "why not us?" has the answer.

The tree is data (`defaults/routing.yaml`, or a file of the operator's); docs/routing.md describes it. A warning is never
routed by likeness of names, and never to nobody in silence: what cannot be routed goes to the human pool, with the reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from alerting.guard import unknown_to
from alerting.registry import Registry
from alerting.routing_load import read_tree
from alerting.routing_recipients import Finder
from alerting.routing_tree import (
    HUMAN_POOL,
    RouteNode,
    RoutingFile,
    Selector,
    Subject,
    Way,
    branch_of,
    path_of,
)
from models.alert import Alert
from models.base import Family, Level
from models.times import datetime_of, parse_instant
from models.units import DUTY_TITLES, KIND_TITLES, LEVEL_TITLES, Duty, Unit

Role = Literal["to", "copy"]

_POOL = (Selector(Way.DUTY, duty=Duty.HUMAN_POOL),)
_ROLES: dict[Role, str] = {"to": "主送", "copy": "抄送"}
_FAMILIES = {Family.PROCESS: "办理过程类", Family.TEXT: "内容类", Family.AGGREGATE: "面上治理类"}
_LEVELS = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.RED: "红色"}
_FLAGS = {"unclear_responsibility": "职责不清"}


@dataclass(frozen=True, slots=True)
class Recipient:
    """A unit that gets a warning, as the registry has it now."""

    unit_id: str
    unit_name: str
    role: Role


class Destination(StrEnum):
    """Where a warning went: a closed set, and a metric's label."""

    RECIPIENTS = "recipients"
    HUMAN_POOL = "human_pool"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a warning goes."""

    branch: str
    """Id of the route taken, `human_pool` if there was none."""
    title: str
    why: tuple[str, ...]
    """Chinese sentences: which branch and why, each recipient and how it was found, or why there is none."""
    recipients: tuple[Recipient, ...]
    """Each unit once. Empty only where not even a human pool could be found."""
    to_pool: bool
    """Whether people have to decide where it belongs."""

    @property
    def destination(self) -> Destination:
        """Return where it goes in all."""
        if not self.recipients:
            return Destination.NOBODY
        return Destination.HUMAN_POOL if self.to_pool else Destination.RECIPIENTS


@dataclass(frozen=True, slots=True)
class RoutingTree:
    """A routing file, checked."""

    version: str
    """First 16 hexadecimal digits of the file's SHA-256."""
    file: RoutingFile

    def route(self, alert: Alert, registry: Registry, now: int) -> Routed:
        """Return where an alert goes at an instant (microseconds). Whether a version may be sent at all is not asked here."""
        unknown = unknown_to(alert, registry)
        accused = _accused(alert, registry)
        finder = Finder(alert, accused, registry, now)
        if unknown:
            day = datetime_of(parse_instant(alert.event_time)).strftime("%Y-%m-%d")
            reason = f"单位名录中没有{'、'.join(unknown)}在{day}的记录;不按名称相近推定单位"
            return _pooled(finder, HUMAN_POOL, DUTY_TITLES[Duty.HUMAN_POOL], (f"{reason}。",))
        subject = _subject(alert, accused, registry)
        path = path_of(self.file.routes, subject)
        branch = branch_of(path)
        if branch == HUMAN_POOL:
            return _pooled(finder, HUMAN_POOL, DUTY_TITLES[Duty.HUMAN_POOL], (_no_branch(path, subject),))
        return self._by(path, subject, finder)

    def _by(self, path: Sequence[RouteNode], subject: Subject, finder: Finder) -> Routed:
        node = path[-1]
        why = [f"分支“{node.title}”({node.id}):{_because(path, subject)}。"]
        recipients: dict[str, Recipient] = {}
        copies = self.file.copies if node.copies is None else node.copies
        asked: tuple[tuple[Role, Sequence[Selector]], ...] = (("to", node.to or ()), ("copy", copies))
        for role, selectors in asked:
            for recipient, sentence in _found(finder, role, selectors):
                why.append(sentence)
                if recipient is not None:
                    recipients.setdefault(recipient.unit_id, recipient)
            if not recipients:
                return _pooled(finder, node.id, node.title, (*why, "主送无人可送。"))
        pool = any(selector.duty is Duty.HUMAN_POOL for selector in node.to or ())
        return Routed(node.id, node.title, tuple(why), tuple(recipients.values()), pool)


def load_tree(path: Path | None, registry: Registry | None = None) -> RoutingTree:
    """Return the routing tree in a file; None: the one that comes with the service.

    It is taken or refused as a whole, and its cases are run. With a registry, the units that the tree names must be in it. Raises
    ConfigFileError (file:line: what is wrong).
    """
    file, version = read_tree(path, registry)
    return RoutingTree(version, file)


def _accused(alert: Alert, registry: Registry) -> tuple[Unit, ...]:
    at = parse_instant(alert.event_time)
    ids = dict.fromkeys(unit.id for unit in alert.units if unit.role == "accused")
    return tuple(unit for unit in (registry.unit(unit_id, at) for unit_id in ids) if unit is not None)


def _subject(alert: Alert, accused: Sequence[Unit], registry: Registry) -> Subject:
    return Subject(
        family=alert.family,
        level=alert.level,
        rule=alert.rule.id,
        categories=frozenset(alert.categories),
        flags=frozenset(alert.flags),
        accused=tuple((unit.kind, unit.level) for unit in accused),
        units=len({registry.lineage(unit.id) for unit in accused}),
    )


def _found(finder: Finder, role: Role, selectors: Sequence[Selector]) -> Iterator[tuple[Recipient | None, str]]:
    for found in finder.find(selectors):
        if found.unit is None:
            yield None, f"{_ROLES[role]}未成:{found.why}。"
        else:
            recipient = Recipient(found.unit.id, found.unit.name, role)
            yield recipient, f"{_ROLES[role]}{found.unit.named}:{found.why}。"


def _pooled(finder: Finder, branch: str, title: str, why: tuple[str, ...]) -> Routed:
    """The human pool and nobody else: until people have decided, no copies widen the circle of those who know."""
    for recipient, sentence in _found(finder, "to", _POOL):
        if recipient is not None:
            return Routed(branch, title, (*why, f"转人工研判。{sentence}"), (recipient,), True)
        why = (*why, f"应转人工研判。{sentence}", "没有可用的人工研判池,暂不投递;请补全单位名录后重新分送。")
    return Routed(branch, title, why, (), True)


def _no_branch(path: Sequence[RouteNode], subject: Subject) -> str:
    said = _said_of(subject)
    if path:
        return f"进入“{path[-1].title}”({path[-1].id})后没有合适的分支:{said}。"
    return f"没有合适的分支:{said}。"


def _said_of(subject: Subject) -> str:
    return "、".join((_FAMILIES[subject.family], *_units_phrases(subject)))


def _units_phrases(subject: Subject) -> Iterator[str]:
    if not subject.accused:
        yield "没有责任单位"
        return
    kinds = dict.fromkeys(KIND_TITLES[kind] for kind, _ in subject.accused)
    yield f"责任单位{subject.units}个({';'.join(kinds)})"


def _because(path: Sequence[RouteNode], subject: Subject) -> str:
    """Say what of the warning the conditions on the way looked at."""
    asked = {field for node in path for field, value in node.when if value is not None}
    phrases: list[str] = []
    if "families" in asked:
        phrases.append(_FAMILIES[subject.family])
    if "levels" in asked:
        phrases.append(f"级别为{_LEVELS[subject.level]}")
    if "rules" in asked:
        phrases.append(f"规则{subject.rule}")
    if "categories" in asked:
        phrases.append(f"问题类型{'、'.join(sorted(subject.categories))}")
    if "flags" in asked:
        phrases += [f"标记“{_FLAGS.get(flag, flag)}”" for flag in sorted(subject.flags)]
    if asked & {"accused_kinds", "any_accused_kinds", "units_min", "units_max"}:
        phrases += _units_phrases(subject)
    if "accused_levels" in asked:
        levels = dict.fromkeys(LEVEL_TITLES[level] for _, level in subject.accused)
        phrases.append(f"单位层级为{'、'.join(levels)}")
    return ",".join(phrases) or "不设条件"
