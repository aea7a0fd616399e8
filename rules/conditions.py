"""Conditions: CEL over facts, kept to a form that can be explained term by term and woken up in time.

A fact that changes as time passes may only be compared with a whole number (`waiting.days >= 30`) or stand alone (`due.overdue`): so the
instants at which it matters are known beforehand.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import cel

from rules.fact import Values
from rules.facts import BY_PATH, NEUTRAL, as_tree

_PATH = re.compile(r"\b([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\b(?!\s*\()")
_NAME = re.compile(r"\b([A-Za-z_][A-Za-z0-9_]*)\b")
_ONES: Values = tuple("x" if isinstance(value, str) else type(value)(1) for value in NEUTRAL)
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_COMPARISON = r"(?:^|\(|\?|:|&&|\|\|)\s*{path}\s*(>=|>)\s*(\d+)\s*(?=$|\)|\?|:|&&|\|\|)"
_UNSAFE = re.compile(r"[*/%{}]|[\w)\]'\"]\s*(?<!\bin)(?<!\bin )\[|\d{10}")


class ConditionError(ValueError):
    """A condition that cannot be taken, and what to write instead."""


@dataclass(frozen=True)
class Condition:
    """A compiled condition."""

    source: str
    program: cel.Program
    paths: tuple[str, ...]
    thresholds: tuple[tuple[str, int], ...]
    """the numbers that clock facts are compared with: a fact and the least value that satisfies it"""

    def holds(self, context: cel.Context) -> bool:
        """Return whether the condition holds in a context made of `as_tree`."""
        return bool(self.program.execute(context))


@lru_cache(maxsize=2048)
def compile_condition(source: str) -> Condition:
    """Return the condition. Raises ConditionError naming the unknown fact, the type or the form that is wrong."""
    bare = _STRING.sub("''", source)
    paths = tuple(dict.fromkeys(".".join(match) for match in _PATH.findall(bare)))
    unknown = [path for path in paths if path not in BY_PATH]
    if unknown:
        raise ConditionError(f"unknown fact {unknown[0]}: docs/facts.md lists them")
    stray = [name for name in _NAME.findall(_PATH.sub("", bare)) if name not in ("true", "false", "in")]
    if stray:
        raise ConditionError(f"unknown name {stray[0]!r}: conditions read facts, numbers, true and false")
    if not paths:
        raise ConditionError("reads no fact")
    if _UNSAFE.search(bare):
        raise ConditionError("may only compare, add and subtract: no * / %, no maps or indexes, numbers to nine digits")
    program = _parse(source)
    # What goes wrong only once the other side of && or || lets it through would stop the service then: try each term.
    for part in (program, *(_parse(term) for term in terms(source) if _stands_alone(term))):
        for values in (NEUTRAL, _ONES):
            if not isinstance(_try(part, values), bool):
                raise ConditionError("gives no yes or no")
    return Condition(source, program, paths, _thresholds(bare, paths))


def _parse(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ConditionError(f"is no CEL condition: {str(error).splitlines()[0][:200]}") from None


def _stands_alone(term: str) -> bool:
    try:
        cel.compile(term)
    except (ValueError, RuntimeError, TypeError):
        return False
    return True


def _try(program: cel.Program, values: Values) -> object:
    try:
        return program.execute(cel.Context(as_tree(values)))
    except (ValueError, RuntimeError, TypeError, LookupError, ArithmeticError) as error:
        raise ConditionError(f"cannot be evaluated: {str(error).splitlines()[0][:200]}") from None


def _thresholds(source: str, paths: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    found: list[tuple[str, int]] = []
    for path in paths:
        fact = BY_PATH[path]
        if not fact.clock or fact.kind != "int":
            continue
        comparisons = re.findall(_COMPARISON.format(path=re.escape(path)), source)
        if len(comparisons) != len(re.findall(rf"\b{re.escape(path)}\b", source)):
            raise ConditionError(f"{path} changes as time passes: compare it with a whole number, by >= or >")
        found += [(path, int(number) + (operator == ">")) for operator, number in comparisons]
    return tuple(found)


def parts(condition: Condition) -> tuple[Condition, ...]:
    """Return the condition's terms, each compiled; the condition itself where one of them does not stand alone."""
    try:
        return tuple(compile_condition(term) for term in terms(condition.source))
    except ConditionError:
        return (condition,)


def terms(source: str) -> list[str]:
    """Return the smallest parts that && and || join, in the order they stand; of a choice (`a ? b : c`) the whole."""
    if "?" in source:
        return [source.strip()]
    found: list[str] = []
    for piece in re.split(r"&&|\|\|", source):
        part = piece.strip()
        while part.count("(") > part.count(")") and part.startswith("("):
            part = part[1:].strip()
        while part.count(")") > part.count("(") and part.endswith(")"):
            part = part[:-1].strip()
        while part.startswith("(") and part.endswith(")"):
            part = part[1:-1].strip()
        found.append(part)
    return found
