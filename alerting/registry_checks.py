"""Is a unit registry sound? Checked as a whole: references, times, circles, and who would be told about themselves.

Each check looks through the file in its order and points to the line of the first fault.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from models.strict_yaml import ConfigFileError, Document
from models.times import datetime_of
from models.units import ALWAYS_BEFORE, SUPERVISING_KINDS, Duty, Unit, name_key

DEPTH_MAX = 32
"""Units above one unit. Real trees have six or so; with the bound, whoever goes up the tree comes to an end."""

_REFERENCES = ("parent", "supervised_by", "successor")


def check_registry(document: Document, units: tuple[Unit, ...]) -> None:
    """Return if the units, in the document's order, are sound together. Raises ConfigFileError at the first fault."""
    draft = _Draft(document, units)
    for check in (
        _check_ids,
        _check_references,
        _check_names,
        _check_subscribers,
        _check_duties,
        _check_gaps,
        _check_successors,
        _check_parents,
        _check_supervisors,
    ):
        check(draft)


class _Draft:
    """The units of a file that is being checked."""

    def __init__(self, document: Document, units: tuple[Unit, ...]) -> None:
        self._document = document
        self.units = units
        self.by_id: dict[str, list[Unit]] = {}
        for unit in sorted(units, key=lambda one: one.since):
            self.by_id.setdefault(unit.id, []).append(unit)

    def error(self, index: int, field: str, problem: str) -> ConfigFileError:
        return self._document.error(("units", index, field), f"{self.units[index].id}: {field}: {problem}")

    def at(self, unit_id: str, at: int) -> Unit | None:
        return next((unit for unit in self.by_id.get(unit_id, ()) if unit.valid(at)), None)

    def up(self, unit: Unit, at: int) -> Iterator[Unit]:
        """Yield the unit and those above it at an instant, one more than may be."""
        above: Unit | None = unit
        for _ in range(DEPTH_MAX + 2):
            if above is None:
                return
            yield above
            above = None if above.parent is None else self.at(above.parent, at)

    def supervisor(self, unit: Unit, at: int) -> Unit | None:
        named = next((one.supervised_by for one in self.up(unit, at) if one.supervised_by is not None), None)
        return None if named is None else self.at(named, at)

    def instants(self, unit: Unit, others: Iterable[str]) -> set[int]:
        """Return when, during the unit's validity, something begins for it or for the others."""
        begins = {one.since for unit_id in others for one in self.by_id.get(unit_id, ())}
        return {unit.since} | {at for at in begins if unit.valid(at)}


def _check_ids(draft: _Draft) -> None:
    positions = _positions(draft.units)
    for versions in draft.by_id.values():
        for before, after in pairwise(versions):
            if after.since < before.until:
                index = max(positions[id(before)], positions[id(after)])
                problem = "stands twice at one time; give each entry its valid_from and valid_to"
                raise draft.error(index, "id", problem)


def _check_references(draft: _Draft) -> None:
    for index, unit in enumerate(draft.units):
        for field in _REFERENCES:
            named = getattr(unit, field)
            if named is not None and named not in draft.by_id:
                raise draft.error(index, field, f"there is no unit {named}")


def _check_names(draft: _Draft) -> None:
    """A name or an alias means one unit at a time: nobody is ever chosen by a likeness of names."""
    seen: dict[str, list[Unit]] = {}
    for index, unit in enumerate(draft.units):
        for key in dict.fromkeys(name_key(name) for name in (unit.name, *unit.aliases)):
            others = seen.setdefault(key, [])
            for other in others:
                if other.id != unit.id and other.since < unit.until and unit.since < other.until:
                    field = "name" if name_key(unit.name) == key else "aliases"
                    raise draft.error(index, field, f"{other.id} has the same name at the same time")
            others.append(unit)


def _check_subscribers(draft: _Draft) -> None:
    owners: dict[str, str] = {}
    for index, unit in enumerate(draft.units):
        for name in unit.subscribers:
            owner = owners.setdefault(name, unit.id)
            if owner != unit.id:
                raise draft.error(index, "subscribers", f"the subscriber {name} is of {owner} already")


def _check_duties(draft: _Draft) -> None:
    seen: dict[Duty, list[Unit]] = {}
    for index, unit in enumerate(draft.units):
        if unit.duty is None:
            continue
        others = seen.setdefault(unit.duty, [])
        for other in others:
            if other.since < unit.until and unit.since < other.until:
                raise draft.error(index, "duty", f"{other.id} has the same duty at the same time")
        others.append(unit)


def _check_gaps(draft: _Draft) -> None:
    for index, unit in enumerate(draft.units):
        for field in ("parent", "supervised_by"):
            named = getattr(unit, field)
            missing = None if named is None else _first_gap(unit, draft.by_id[named])
            if missing is not None:
                when = "at its beginning" if missing == ALWAYS_BEFORE else f"on {datetime_of(missing):%Y-%m-%d}"
                raise draft.error(index, field, f"{named} is not valid {when}, while {unit.id} is")


def _first_gap(unit: Unit, versions: list[Unit]) -> int | None:
    covered = unit.since
    for version in versions:
        if version.since <= covered < version.until:
            covered = version.until
    return covered if covered < unit.until else None


def _check_successors(draft: _Draft) -> None:
    """A successor outlives what it succeeds; so there can be no circle of them."""
    for index, unit in enumerate(draft.units):
        if unit.successor is not None and draft.by_id[unit.successor][-1].until <= unit.until:
            problem = f"{unit.successor} does not outlive {unit.id}: a circle, or a valid_to that is wrong"
            raise draft.error(index, "successor", problem)


def _check_parents(draft: _Draft) -> None:
    """A circle is whole when the last of its units begins, so the beginnings are where to look."""
    for index, unit in enumerate(draft.units):
        above = list(draft.up(unit, unit.since))[1:]
        if unit in above:
            raise draft.error(index, "parent", f"a circle: {unit.id} would be above itself")
        if len(above) > DEPTH_MAX:
            raise draft.error(index, "parent", f"more than {DEPTH_MAX} units above it, or below a circle")


def _check_supervisors(draft: _Draft) -> None:
    for index, unit in enumerate(draft.units):
        if unit.supervised_by is None:
            continue
        supervisors = [one for one in draft.by_id[unit.supervised_by] if _overlap(one, unit)]
        if any(one.kind not in SUPERVISING_KINDS for one in supervisors):
            kinds = ", ".join(sorted(SUPERVISING_KINDS))
            raise draft.error(index, "supervised_by", f"{unit.supervised_by} is none of: {kinds}")
        for at in sorted(draft.instants(unit, _bearing_on(draft, unit.id))):
            supervisor = draft.at(unit.supervised_by, at)
            if supervisor is not None and any(one.id == unit.id for one in draft.up(supervisor, at)):
                problem = f"{supervisor.id} is {unit.id} itself or beneath it: in-house staff supervise nobody"
                raise draft.error(index, "supervised_by", problem)
            if _goes_round(draft, unit, at):
                raise draft.error(index, "supervised_by", "a circle: going on from supervisor to supervisor never ends")


def _goes_round(draft: _Draft, unit: Unit, at: int) -> bool:
    """Whether going from supervisor to supervisor never ends. The circle need not hold the unit itself: it may have been led into one."""
    seen: set[str] = set()
    one = draft.supervisor(unit, at)
    while one is not None:
        if one.id in seen:
            return True
        seen.add(one.id)
        one = draft.supervisor(one, at)
    return False


def _bearing_on(draft: _Draft, unit_id: str) -> set[str]:
    """The ids that can change who supervises whom, seen from one unit: everything above it, and above its supervisors."""
    found = {unit_id}
    waiting = [unit_id]
    while waiting:
        for unit in draft.by_id.get(waiting.pop(), ()):
            above = {one for one in (unit.parent, unit.supervised_by) if one is not None} - found
            found |= above
            waiting.extend(above)
    return found


def _overlap(one: Unit, other: Unit) -> bool:
    return one.since < other.until and other.since < one.until


def _positions(units: tuple[Unit, ...]) -> dict[int, int]:
    return {id(unit): index for index, unit in enumerate(units)}
