"""Why a rule speaks, and why not: each condition with its values, and which term failed."""

from dataclasses import dataclass

import cel

from models.base import Level
from rules.conditions import ConditionError, compile_condition, terms
from rules.engine import Engine
from rules.fact import Value
from rules.facts import INDEX, as_tree
from rules.pack import Rule
from rules.tickets import Judged


@dataclass(frozen=True)
class TermExplained:
    """One term of a condition, with the values it read."""

    source: str
    holds: bool
    values: dict[str, Value]


@dataclass(frozen=True)
class LevelExplained:
    """One level of a rule: its condition, term by term."""

    level: Level
    condition: str
    holds: bool
    terms: tuple[TermExplained, ...]


@dataclass(frozen=True)
class RuleExplained:
    """One rule: the level it gives, and each level's reasons."""

    rule: Rule
    level: Level | None
    levels: tuple[LevelExplained, ...]
    note: str | None


def explain(engine: Engine, judged: Judged) -> list[RuleExplained]:
    """Return for every rule of the pack why it gives the level it gives."""
    context = cel.Context(as_tree(judged.values))
    levels = dict(zip((rule.id for rule in engine.rules), judged.levels, strict=True))
    return [_explain_rule(rule, levels.get(rule.id), judged, context) for rule in engine.pack.rules]


def _explain_rule(rule: Rule, level: Level | None, judged: Judged, context: cel.Context) -> RuleExplained:
    explained = []
    for candidate, condition in rule.conditions.items():
        told = []
        for source in terms(condition.source):
            try:
                term = compile_condition(source)
            except ConditionError:
                continue  # a piece that does not stand alone, like one side of a ternary
            told.append(
                TermExplained(source, term.holds(context), {path: judged.values[INDEX[path]] for path in term.paths})
            )
        explained.append(LevelExplained(candidate, condition.source, condition.holds(context), tuple(told)))
    return RuleExplained(rule, level, tuple(explained), _note(rule, level, explained, judged))


def _note(rule: Rule, level: Level | None, levels: list[LevelExplained], judged: Judged) -> str | None:
    if rule.status == "off":
        return "规则已停用"
    if judged.merged is not None:
        return f"工单已并入{judged.merged.data['into']},预警由主单发出"
    if judged.lineage.sealed is not None:
        return "工单已移出本平台,不作判断"
    if level is Level.YELLOW and levels and levels[0].level is Level.RED and levels[0].holds:
        return "工作日历不全,红色降为黄色"
    return None
