"""What one text says by itself: its categories, and the level that a pack's rules give it before anything has happened to a ticket.

Only rules about texts (family T) are asked, and only those that read a fact of a category found in the text; every fact of the
handling has its neutral value. So a rule that adds up text and process (X3) says nothing, whatever its condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import cel

from models.base import LEVEL_RANK, Family, Level
from rules import texts
from rules.engine import Engine, level_of, values_with
from rules.fact import Value
from rules.facts import as_tree
from rules.pack import Rule
from rules.text.result import Finding, Screened
from rules.text.screen import Screener


@dataclass(frozen=True, slots=True)
class TextJudged:
    """What one text gives by itself."""

    findings: tuple[Finding, ...] = ()
    """those that count for this request type, by category"""
    levels: Mapping[str, Level] = field(default_factory=dict)
    """by rule, of the rules that speak; they need not be categories"""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the categories whose own rule gives a level, sorted."""
        found = {finding.category for finding in self.findings}
        return tuple(sorted(rule_id for rule_id in self.levels if rule_id in found))

    @property
    def level(self) -> Level | None:
        """Return the highest level that any rule gives."""
        return max(self.levels.values(), key=LEVEL_RANK.__getitem__, default=None)


class TextJudge:
    """Judges texts alone by the rules of one engine's pack, those on trial too."""

    def __init__(self, engine: Engine) -> None:
        self._rules = tuple((rule, _categories_of(rule)) for rule in engine.rules if rule.family is Family.TEXT)

    def judge(self, screened: Screened, request_type: str | None = None, field: str = "content") -> TextJudged:
        """Return what counts of a screened text, and the level each rule gives it."""
        findings = tuple(
            one
            for one in screened.findings
            if one.category in texts.CATEGORIES and texts.counts(one, request_type, field)
        )
        if not findings:
            return TextJudged()
        found = {one.category for one in findings}
        context = cel.Context(as_tree(values_with(_facts(findings))))
        levels = {}
        for rule, categories in self._rules:
            if not categories.isdisjoint(found) and (level := level_of(rule, context)) is not None:
                levels[rule.id] = level
        return TextJudged(findings, levels)


def _categories_of(rule: Rule) -> frozenset[str]:
    """Return the categories whose facts a rule reads."""
    groups = {path.partition(".")[0].upper() for path in rule.paths}
    return frozenset(groups & set(texts.CATEGORIES))


def _facts(findings: tuple[Finding, ...]) -> dict[str, Value]:
    facts: dict[str, Value] = {}
    for one in findings:
        group = one.category.lower()
        facts[f"{group}.confidence"] = one.confidence
        facts[f"{group}.specificity"] = one.specificity
        facts[f"{group}.severe"] = one.severe and one.confidence >= texts.SURE
    return facts


class FailedText(NamedTuple):
    """A text of a rule's file that does not come out as the file says."""

    rule: str
    kind: Literal["example", "hard_negative"]
    number: int
    """from 1, in its list"""
    expected: Level
    """of an example: the least that its rule must give; of a hard negative: what no rule may give"""
    judged: TextJudged


def failing_texts(rule: Rule, screener: Screener, judge: TextJudge) -> list[FailedText]:
    """Return the texts in a rule's file that come out otherwise; none for a rule without texts or switched off.

    An example must get at least its level from its own rule; a hard negative must stay below yellow by every rule.
    """
    if rule.text is None or rule.status == "off":
        return []
    failed = []
    for number, example in enumerate(rule.text.examples, 1):
        judged = judge.judge(screener.screen(example.text))
        if LEVEL_RANK[judged.levels.get(rule.id)] < LEVEL_RANK[Level(example.level)]:
            failed.append(FailedText(rule.id, "example", number, Level(example.level), judged))
    for number, negative in enumerate(rule.text.hard_negatives, 1):
        judged = judge.judge(screener.screen(negative.text))
        if LEVEL_RANK[judged.level] >= LEVEL_RANK[Level.YELLOW]:
            failed.append(FailedText(rule.id, "hard_negative", number, Level.YELLOW, judged))
    return failed
