"""The rule engine: facts in, one level per rule out. Each rule's level is the highest whose condition holds."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import cel

from models.base import LEVEL_RANK, Family, Level
from rules.fact import Values
from rules.facts import FIRST_OF_TEXTS, INDEX, LAST_OF_TEXTS, NEUTRAL, OF_TEXTS, as_tree, plan, tree_of
from rules.fold import Histories
from rules.pack import Pack, Rule, RuleCase
from rules.reckoning import Reckoning, plain_reckoning
from rules.size import Sizes

Levels = tuple[Level | None, ...]

_COUNTED = "due.overdue_work_days"
_ANNOUNCED = "due.announced_work_days"
SUM_OF = {Family.PROCESS: "process.level", Family.TEXT: "text.level"}
"""the facts that add up the levels of a family's rules; rules that read them come after all others"""
SUMS = tuple(SUM_OF.values())
_MEMO_SIZE = 10_000


class _Asked(NamedTuple):
    """Some rules, by their place in the pack, and the facts that they read."""

    rules: tuple[tuple[int, Rule], ...]
    paths: tuple[str, ...]


class Engine:
    """Evaluates a pack by a reckoning of time: both together are all that judges.

    Ordinary tickets have the same few facts, so what was judged before is remembered; so are some `histories`.
    """

    def __init__(self, pack: Pack, reckoning: Reckoning | None = None, *, histories: int = 4_096) -> None:
        self.pack = pack
        self.reckoning = reckoning or plain_reckoning()
        self.rules = pack.active
        self.thresholds = pack.thresholds
        self.plan = plan(path for rule in self.rules for path in (*rule.paths, *rule.told))
        """the facts that judging and telling need; who looks at a ticket may want them all"""
        self._adds = tuple(any(path in rule.paths for path in SUMS) for rule in self.rules)
        self._summed = tuple(
            SUM_OF.get(rule.family) if rule.status == "stable" and not adds else None
            for rule, adds in zip(self.rules, self._adds, strict=True)
        )
        every = range(len(self.rules))
        self._every = self._asked(every)
        self._adding = self._asked(index for index in every if self._adds[index])
        self._unless_texts = self._asked(index for index in every if not OF_TEXTS.issuperset(self.rules[index].paths))
        self._silent = self._answers(self._every, NEUTRAL, [None] * len(self.rules))
        self.histories = Histories(histories, self.reckoning)
        self.sizes = Sizes()
        self.judge = lru_cache(maxsize=_MEMO_SIZE)(self._judge)

    def levels(self, values: Values, sure: Values | None = None) -> Levels:
        """Return each rule's level."""
        return self.judge(values, sure)[0]

    def _judge(self, values: Values, sure: Values | None = None) -> tuple[Levels, Values]:
        """Return each rule's level, and the facts with the others' levels added up where a rule reads that.

        `sure` are the facts as announced work days alone bear them out, where that may be less: what is red only by days that nobody
        has announced is yellow.
        """
        levels, values = self._judged(values)
        if sure is not None and sure != values and Level.RED in levels:
            by_sure = self.judge(sure)[0]
            levels = tuple(
                Level.YELLOW if level is Level.RED and other is not Level.RED else level
                for level, other in zip(levels, by_sure, strict=True)
            )
        return levels, values

    def _judged(self, values: Values) -> tuple[Levels, Values]:
        # Most tickets' texts tell of nothing: rules that read nothing else then say what they always say.
        tells = any(values[FIRST_OF_TEXTS:LAST_OF_TEXTS])
        found = self._answers(self._every if tells else self._unless_texts, values, self._silent)
        if not self._adding.rules:
            return tuple(found), values
        sums = dict.fromkeys(SUMS, 0)
        for level, path in zip(found, self._summed, strict=True):
            if path is not None and level is not None:
                sums[path] = max(sums[path], LEVEL_RANK[level])
        if not any(sums.values()):
            return tuple(found), values
        raised = list(values)
        for path, rank in sums.items():
            raised[INDEX[path]] = rank
        values = tuple(raised)
        return tuple(self._answers(self._adding, values, found)), values

    def _asked(self, indexes: Iterable[int]) -> _Asked:
        rules = tuple((index, self.rules[index]) for index in indexes)
        return _Asked(rules, tuple(dict.fromkeys(path for _, rule in rules for path in rule.paths)))

    def _answers(self, asked: _Asked, values: Values, before: Sequence[Level | None]) -> list[Level | None]:
        """Return the levels as they were before but for the rules that are asked anew."""
        found = list(before)
        context = cel.Context(tree_of(asked.paths, values))
        for index, rule in asked.rules:
            found[index] = level_of(rule, context)
        return found


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
