"""The suppression policy: which warning inhibits which, and which levels never wait. Read strictly, and refused as a
whole where it contradicts itself.

Inhibition needs a direction. Where each of two warnings could hold the other back, whichever came first would win, and
what a subscriber learns would hang on the order of arrival; such entries are refused, alone or in pairs.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from models.base import LEVEL_RANK, Contract, Family, Level
from models.silence import Families, Identifiers, Levels
from models.strict_yaml import Document, read_yaml
from models.subscriber import LevelChoice, Name

Chosen = TypeVar("Chosen", bound=str)


class SideEntry(Contract):
    """Which warnings an entry speaks of, as its file says it; families and rules: any where they are left out."""

    levels: Levels
    families: Families = Field([])
    rules: Identifiers = Field([])


class InhibitEntry(Contract):
    """What inhibits what, as its file says it."""

    id: Name
    source: SideEntry
    target: SideEntry


class SuppressionFile(Contract):
    """The suppression file."""

    urgent_levels: list[LevelChoice] = Field([Level.RED])
    inhibit: list[InhibitEntry] = Field([], max_length=200)


@dataclass(frozen=True, slots=True)
class Side:
    """Which warnings an entry speaks of. No families or no rules: any."""

    levels: frozenset[Level]
    families: frozenset[Family] = frozenset()
    rules: frozenset[str] = frozenset()

    def fits(self, level: Level | None, family: Family | None, rule: str) -> bool:
        """Return whether a warning is meant; what is not known of it fits nothing that is asked for."""
        return (
            level in self.levels
            and (not self.families or family in self.families)
            and (not self.rules or rule in self.rules)
        )

    def common(self, other: "Side") -> "Side | None":
        """Return what both sides speak of, None where that is nothing."""
        families = _both(self.families, other.families)
        rules = _both(self.rules, other.rules)
        levels = self.levels & other.levels
        return None if not levels or families is None or rules is None else Side(levels, families, rules)


def _both(first: frozenset[Chosen], second: frozenset[Chosen]) -> "frozenset[Chosen] | None":
    """Return what is in both, where empty stands for any; None where nothing is."""
    return (first & second or None) if first and second else first or second


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While a source is in force that the subscriber was told, a target of the same case is held back."""

    id: str
    source: Side
    target: Side


@dataclass(frozen=True, slots=True)
class SuppressionPolicy:
    """What holds warnings back of its own accord."""

    version: str
    """Of what it says, not of how it is written: the beginning of a SHA-256."""
    urgent_levels: frozenset[Level] = frozenset({Level.RED})
    inhibitions: tuple[Inhibition, ...] = ()


def load_policy(path: Path | None = None) -> SuppressionPolicy:
    """Return the policy in a file, or the default one. Raises ConfigFileError (`file:line: what is wrong`)."""
    if path is None:
        with resources.as_file(resources.files("alerting") / "defaults" / "suppression.yaml") as default:
            return _load(read_yaml(default))
    return _load(read_yaml(path))


def _load(document: Document) -> SuppressionPolicy:
    file = document.validate(SuppressionFile)
    urgent = frozenset(file.urgent_levels)
    _check_urgent(document, urgent)
    found: list[Inhibition] = []
    for index, entry in enumerate(file.inhibit):
        at = ("inhibit", index)
        if any(entry.id == one.id for one in found):
            raise document.error((*at, "id"), f"the id {entry.id} stands twice")
        found.append(Inhibition(entry.id, _side(entry.source), _side(entry.target)))
        if problem := _problem(found, urgent):
            raise document.error(at, f"inhibit {entry.id}: {problem}")
    version = hashlib.sha256(file.model_dump_json().encode()).hexdigest()[:12]
    return SuppressionPolicy(version, urgent, tuple(found))


def _side(entry: SideEntry) -> Side:
    return Side(frozenset(entry.levels), frozenset(entry.families), frozenset(entry.rules))


def _check_urgent(document: Document, urgent: frozenset[Level]) -> None:
    for level in urgent:
        for higher in Level:
            if LEVEL_RANK[higher] > LEVEL_RANK[level] and higher not in urgent:
                problem = f"{level} is urgent and {higher}, which is above it, is not"
                raise document.error(("urgent_levels",), f"{problem}: add {higher}, or leave {level} out")


def _problem(found: list[Inhibition], urgent: frozenset[Level]) -> str | None:
    """Return what is wrong with the last one, given those before it."""
    last = found[-1]
    if both := sorted(last.target.levels & urgent):
        return f"target holds back {both[0]}, which is urgent: take it out of target or of urgent_levels"
    if len(last.source.rules | last.target.rules) == 1 and last.source.rules and last.target.rules:
        return "source and target are the same one rule, and a rule never inhibits itself: this would never speak"
    for other in found:
        if _mutual(last, other):
            also = "" if other is last else f" and {other.id}"
            return f"by {last.id}{also} each of two warnings could hold the other back: set source and target apart"
    return None


def _mutual(one: Inhibition, other: Inhibition) -> bool:
    """Return whether there can be two warnings of different rules each of which inhibits the other."""
    first, second = one.target.common(other.source), other.target.common(one.source)
    if first is None or second is None:
        return False
    return not (len(first.rules) == 1 and first.rules == second.rules)  # the same rule: never inhibits itself


def inhibiting(policy: SuppressionPolicy, level: Level, family: Family, rule: str) -> Iterator[Inhibition]:
    """Yield what could hold a warning back, in the file's order."""
    return (one for one in policy.inhibitions if one.target.fits(level, family, rule))
