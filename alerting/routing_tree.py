"""The routing tree as its file says it, and which branch a warning takes.

Of sibling nodes the first that fits is taken, then its children are asked; where none of them fits, the node's own
recipients stand. Nothing here looks into the unit registry: a warning comes as a `Subject`, so that the cases beside the
tree need no registry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from models.base import Contract, Family, Level
from models.units import Duty, UnitKind, UnitLevel

HUMAN_POOL = "human_pool"
"""Where a warning goes that no branch takes; no node may have this id."""

Item = TypeVar("Item")


def _once_each(values: list[Item]) -> list[Item]:
    if len(set(values)) != len(values):
        raise ValueError("an entry stands twice")
    return values


RuleId = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,3}$", description="as in P01, X3")]
CategoryId = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,3}$", description="as in C01")]
Flag = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,62}$", description="as in unclear_responsibility")]
NodeId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="lower-case letters, digits and hyphens")]
AnyFamily = Annotated[Family, Field(strict=False)]
AnyLevel = Annotated[Level, Field(strict=False)]
AnyKind = Annotated[UnitKind, Field(strict=False)]
AnyUnitLevel = Annotated[UnitLevel, Field(strict=False)]
Choice = Annotated[list[Item], Field(min_length=1), AfterValidator(_once_each)]
Count = Annotated[int, Field(ge=0, le=1000)]


class Way(StrEnum):
    """How a recipient is found."""

    SUPERVISOR = "supervisor"
    ONE_LEVEL_UP = "one_level_up"
    DUTY = "duty"
    UNIT = "unit"


@dataclass(frozen=True, slots=True)
class Selector:
    """One entry of `to` or `copy`."""

    way: Way
    duty: Duty | None = None
    unit_id: str | None = None


def _selector(value: object) -> object:
    match value:
        case "supervisor":
            return Selector(Way.SUPERVISOR)
        case "one_level_up":
            return Selector(Way.ONE_LEVEL_UP)
        case {"duty": str() as duty, **rest} if not rest:
            if duty not in set(Duty):
                raise ValueError(f"unknown duty; one of {', '.join(Duty)}")
            return Selector(Way.DUTY, duty=Duty(duty))
        case {"unit": str() as unit_id, **rest} if not rest:
            return Selector(Way.UNIT, unit_id=unit_id)
    raise ValueError("none of: supervisor, one_level_up, {duty: ...}, {unit: ...}")


Selectors = Annotated[list[Annotated[Selector, BeforeValidator(_selector)]], AfterValidator(_once_each)]


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a warning decides on its branch."""

    family: Family
    level: Level
    rule: str | None = None
    categories: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    accused: tuple[tuple[UnitKind, UnitLevel], ...] = ()
    units: int = 0
    """Distinct accused units; what was renamed or merged into one counts as one."""


class When(Contract):
    """What must hold, all of it, for a node to fit. Nothing said: it always fits."""

    families: Choice[AnyFamily] | None = None
    levels: Choice[AnyLevel] | None = None
    rules: Choice[RuleId] | None = None
    categories: Choice[CategoryId] | None = Field(None, description="one of the warning's categories is among these")
    flags: Choice[Flag] | None = Field(None, description="one of the warning's flags is among these")
    accused_kinds: Choice[AnyKind] | None = Field(None, description="somebody is accused, and all are of these kinds")
    any_accused_kinds: Choice[AnyKind] | None = Field(None, description="one of the accused is of these kinds")
    accused_levels: Choice[AnyUnitLevel] | None = Field(
        None, description="somebody is accused, and all stand at these levels"
    )
    units_min: Count | None = None
    units_max: Count | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.units_min is not None and self.units_max is not None and self.units_min > self.units_max:
            raise ValueError("units_min is above units_max: it never fits")
        return self

    def fits(self, subject: Subject) -> bool:
        """Return whether everything that is said holds of a warning."""
        kinds = [kind for kind, _ in subject.accused]
        levels = [level for _, level in subject.accused]
        return (
            (self.families is None or subject.family in self.families)
            and (self.levels is None or subject.level in self.levels)
            and (self.rules is None or subject.rule in self.rules)
            and (self.categories is None or not subject.categories.isdisjoint(self.categories))
            and (self.flags is None or not subject.flags.isdisjoint(self.flags))
            and (self.accused_kinds is None or _all_among(kinds, self.accused_kinds))
            and (self.any_accused_kinds is None or not set(kinds).isdisjoint(self.any_accused_kinds))
            and (self.accused_levels is None or _all_among(levels, self.accused_levels))
            and (self.units_min is None or subject.units >= self.units_min)
            and (self.units_max is None or subject.units <= self.units_max)
        )


def _all_among(found: Sequence[Item], choice: Sequence[Item]) -> bool:
    return bool(found) and all(one in choice for one in found)


class RouteNode(Contract):
    """A node of the tree."""

    id: NodeId
    title: Annotated[str, Field(min_length=1, max_length=60)]
    when: When = When()
    to: Annotated[Selectors, Field(min_length=1)] | None = None
    copies: Selectors | None = Field(None, alias="copy", description="none said: the file's own `copy`; []: nobody")
    routes: "list[RouteNode]" = Field([])

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.to is None and not self.routes:
            raise ValueError("leads nowhere: it has neither `to` nor `routes`")
        if self.to is None and self.copies is not None:
            raise ValueError("copy: there is no `to` that it would go with")
        return self


class CaseUnit(Contract):
    """An accused unit of a case; each one stands for a unit of its own."""

    kind: AnyKind
    level: AnyUnitLevel = UnitLevel.COUNTY


class RouteCase(Contract):
    """A proof: a warning like this takes that branch."""

    name: Annotated[str, Field(min_length=1)]
    family: AnyFamily
    level: AnyLevel = Level.YELLOW
    rule: RuleId | None = None
    categories: Annotated[list[CategoryId], AfterValidator(_once_each)] = Field([])
    flags: Annotated[list[Flag], AfterValidator(_once_each)] = Field([])
    accused: list[CaseUnit] = Field([])
    branch: NodeId | Literal["human_pool"]

    @property
    def subject(self) -> Subject:
        """Return the warning that the case describes."""
        return Subject(
            self.family,
            self.level,
            self.rule,
            frozenset(self.categories),
            frozenset(self.flags),
            tuple((unit.kind, unit.level) for unit in self.accused),
            len(self.accused),
        )


class RoutingFile(Contract):
    """The routing file."""

    version: Literal[1]
    copies: Selectors = Field([], alias="copy", description="for every branch that says no `copy` of its own")
    routes: list[RouteNode] = Field(min_length=1)
    cases: list[RouteCase] = Field(min_length=1)


def path_of(nodes: Sequence[RouteNode], subject: Subject) -> tuple[RouteNode, ...]:
    """Return the nodes that a warning passes, the outermost first; empty if none fits."""
    for node in nodes:
        if node.when.fits(subject):
            return (node, *path_of(node.routes, subject))
    return ()


def branch_of(path: Sequence[RouteNode]) -> str:
    """Return the id of the branch at which a path ends, `human_pool` if it ends at a node without recipients."""
    return path[-1].id if path and path[-1].to is not None else HUMAN_POOL
