"""The rule engine: facts in, one level per rule out. Each rule's level is the highest whose condition holds."""

from collections.abc import Mapping
from functools import lru_cache

import cel

from models.base import LEVEL_RANK, Family, Level
from rules.facts import INDEX, NEUTRAL, Values, as_tree
from rules.fold import Histories
from rules.pack import Pack, Rule, RuleCase

Levels = tuple[Level | None, ...]

_COUNTED = "due.overdue_work_days"
_ANNOUNCED = "due.announced_work_days"
SUM_OF = {Family.PROCESS: "process.level", Family.TEXT: "text.level"}
"""the facts that add up the levels of a family's rules; rules that read them come after all others"""
SUMS = tuple(SUM_OF.values())
_MEMO_SIZE = 10_000


class Engine:
    """Evaluates a pack. Ordinary tickets have the same few facts, so what was judged before is remembered; so are some `histories`."""

    def __init__(self, pack: Pack, *, histories: int = 4_096) -> None:
        self.pack = pack
        self.rules = pack.active
        self.thresholds = pack.thresholds
        self._on_calendar = tuple(_COUNTED in rule.paths for rule in self.rules)
        self._adds = tuple(any(path in rule.paths for path in SUMS) for rule in self.rules)
        self._summed = tuple(
            SUM_OF.get(rule.family) if rule.status == "stable" and not adds else None
            for rule, adds in zip(self.rules, self._adds, strict=True)
        )
        self.histories = Histories(histories)
        self.judge = lru_cache(maxsize=_MEMO_SIZE)(self._judge)

    def levels(self, values: Values) -> Levels:
        """Return each rule's level."""
        return self.judge(values)[0]

    def _judge(self, values: Values) -> tuple[Levels, Values]:
        """Return each rule's level, and the facts with the others' levels added up where a rule reads that."""
        found = self._levels_at(values)
        if not any(self._adds):
            return found, values
        sums = dict.fromkeys(SUMS, 0)
        for level, path in zip(found, self._summed, strict=True):
            if path is not None:
                sums[path] = max(sums[path], LEVEL_RANK[level])
        if not any(sums.values()):
            return found, values
        raised = list(values)
        for path, rank in sums.items():
            raised[INDEX[path]] = rank
        context = cel.Context(as_tree(tuple(raised)))
        levels = tuple(
            level_of(rule, context) if adds else level
            for rule, level, adds in zip(self.rules, found, self._adds, strict=True)
        )
        return levels, tuple(raised)

    def _levels_at(self, values: Values) -> Levels:
        context = cel.Context(as_tree(values))
        found = tuple(level_of(rule, context) for rule in self.rules)
        announced = values[INDEX[_ANNOUNCED]]
        if values[INDEX[_COUNTED]] == announced:
            return found
        # Days that nobody has announced yet must not make a warning red: those rules are asked again without them.
        sure = cel.Context(as_tree((*values[: INDEX[_COUNTED]], announced, *values[INDEX[_COUNTED] + 1 :])))
        return tuple(
            Level.YELLOW if level is Level.RED and on_calendar and level_of(rule, sure) is not Level.RED else level
            for rule, level, on_calendar in zip(self.rules, found, self._on_calendar, strict=True)
        )


def level_of(rule: Rule, context: cel.Context) -> Level | None:
    """Return the highest level whose condition holds."""
    for level, condition in rule.conditions.items():
        if condition.holds(context):
            return level
    return None


def values_with(facts: Mapping[str, int | bool | str]) -> Values:
    """Return all facts at their neutral values but the given ones."""
    values = list(NEUTRAL)
    for path, value in facts.items():
        values[INDEX[path]] = value
    if _ANNOUNCED not in facts:
        values[INDEX[_ANNOUNCED]] = values[INDEX[_COUNTED]]
    return tuple(values)


def failing_cases(rule: Rule) -> list[tuple[RuleCase, Level | None]]:
    """Return the rule's own cases that don't come out as they say, with the level that came out."""
    wrong = []
    for case in rule.cases:
        level = level_of(rule, cel.Context(as_tree(values_with(case.facts))))
        if level != (Level(case.level) if case.level else None):
            wrong.append((case, level))
    return wrong
