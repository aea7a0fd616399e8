"""Whom a branch's `to` and `copy` come to: units of the registry, each with the sentence that says how it was found.

The accused are the units as they were when the alert's event happened; who gets the warning is asked of the registry as it is now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alerting.guard import conflict
from alerting.registry import Registry
from alerting.routing_tree import Selector, Way
from models.alert import Alert
from models.times import parse_instant
from models.units import DUTY_TITLES, TEAM_KINDS, Duty, Unit, UnitKind


@dataclass(frozen=True, slots=True)
class Found:
    """A recipient, or nobody, and why, in Chinese."""

    unit: Unit | None
    why: str


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds recipients for one alert at one instant (microseconds)."""

    alert: Alert
    accused: tuple[Unit, ...]
    """As they were when the event happened."""
    registry: Registry
    now: int

    def find(self, selectors: Sequence[Selector]) -> Iterator[Found]:
        """Yield what the selectors come to, in their order: units that are there, may be told and have subscribers."""
        for selector in selectors:
            for found in self._candidates(selector):
                yield self._usable(found)

    def _candidates(self, selector: Selector) -> Iterator[Found]:
        if selector.way is Way.SUPERVISOR:
            yield from (self._supervisor(unit) for unit in self.accused)
            if not self.accused:
                yield Found(None, "预警没有责任单位,无从确定其监督机构")
        elif selector.way is Way.ONE_LEVEL_UP:
            teams = [unit for unit in self.accused if unit.kind in TEAM_KINDS]
            yield from (self._one_level_up(team) for team in teams)
            if not teams:
                yield Found(None, "被反映单位中没有派驻组、纪工委,无从上提一级")
        elif selector.duty is not None:
            title = DUTY_TITLES[selector.duty]
            unit = self.registry.with_duty(selector.duty, self.now)
            yield Found(unit, f"承担“{title}”职责") if unit else Found(None, f"没有单位承担“{title}”职责")
        elif selector.unit_id is not None:
            unit = self.registry.unit(selector.unit_id, self.now)
            why = "由该分支指定" if unit else f"该分支指定的{selector.unit_id}目前不在单位名录中"
            yield Found(unit, why)

    def _usable(self, found: Found) -> Found:
        unit = found.unit
        if unit is None:
            return found
        refused = conflict(self.alert, unit, self.registry)
        if refused is not None:
            return Found(
                None, f"{unit.named}{found.why},但与被反映单位是同一单位或有隶属关系,应当回避({refused.reason})"
            )
        if not self.registry.subscribers_of(unit.id, self.now):
            return Found(None, f"{unit.named}{found.why},但没有登记接收账号")
        return found

    def _stands_as(self, accused: Unit) -> tuple[Unit, int]:
        """Return the accused unit as it is now, or as it last was, and an instant at which it was so."""
        unit = self.registry.current(accused, self.now)
        if unit is None:
            return accused, parse_instant(self.alert.event_time)
        return unit, max(unit.since, self.now)

    def _supervisor(self, accused: Unit) -> Found:
        unit, at = self._stands_as(accused)
        supervisor = self.registry.supervisor_of(unit.id, at)
        supervisor = supervisor and self.registry.current(supervisor, self.now)
        now_is = "" if unit.id == accused.id and unit.name == accused.name else f"(现为{unit.named})"
        if supervisor is None:
            return Found(None, f"{accused.named}{now_is}没有登记监督机构")
        return Found(supervisor, f"监督{accused.named}{now_is}")

    def _one_level_up(self, team: Unit) -> Found:
        """The department that supervises cadres, of the office above a team that is accused; else the nearest office above it.

        Offices that the warning is about, or that lie within the team, are passed over.
        """
        unit, at = self._stands_as(team)
        above = (self.registry.current(one, self.now) for one in self.registry.ancestors(unit.id, at))
        offices = [one for one in above if one is not None and self._is_office(one)]
        cadres = self.registry.with_duty(Duty.CADRE_SUPERVISION, self.now)
        if cadres is not None and self._is_office(cadres):
            within = next((one for one in offices if one.id in (cadres.id, cadres.parent)), None)
            if within is not None:
                return Found(cadres, f"是{team.named}上一级{within.named}的干部监督部门")
        if offices:
            return Found(offices[0], f"是{team.named}的上一级纪检监察机关")
        if cadres is not None:
            return Found(cadres, f"承担干部监督职责({team.named}没有登记上一级纪检监察机关)")
        return Found(None, f"{team.named}没有登记上一级纪检监察机关,也没有干部监督部门")

    def _is_office(self, unit: Unit) -> bool:
        return unit.kind is UnitKind.DISCIPLINE_OFFICE and conflict(self.alert, unit, self.registry) is None
