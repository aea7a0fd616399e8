"""The unit registry: which units there are and were, who supervises them, and who reads their warnings.

Whoever asks names an instant (microseconds): ids and names are used again, units are renamed, merged and moved. Only two questions have no
instant, because they keep a warning from the wrong people and therefore count everything that ever held: `is_under` and `lineage`.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from alerting.registry_checks import check_registry
from alerting.registry_csv import parse_csv
from models.strict_yaml import MAX_FILE_BYTES, ConfigFileError, Document, parse_yaml, read_plain
from models.units import Duty, Unit, UnitsFile, unit_of

MAX_CSV_BYTES = 8 * MAX_FILE_BYTES

_Parser = Callable[[str, str], Document]
_FORMATS: dict[str, tuple[_Parser, int]] = {
    ".yaml": (parse_yaml, MAX_FILE_BYTES),
    ".yml": (parse_yaml, MAX_FILE_BYTES),
    ".csv": (parse_csv, MAX_CSV_BYTES),
}


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """Everything a registry file says, indexed."""

    version: str
    """First 16 hexadecimal digits of the file's SHA-256."""
    units: tuple[Unit, ...]
    """In the file's order; an id stands once for each of its validities."""
    _by_id: Mapping[str, tuple[Unit, ...]]
    _parents: Mapping[str, tuple[str, ...]]
    """Every unit an id was ever directly under."""
    _lineages: Mapping[str, frozenset[str]]
    _readers: Mapping[str, str]
    """Subscriber to unit id."""
    _duties: Mapping[Duty, tuple[Unit, ...]]

    def knows(self, unit_id: str) -> bool:
        """Return whether the id stands in the registry, for whatever time."""
        return unit_id in self._by_id

    def unit(self, unit_id: str, at: int) -> Unit | None:
        """Return the unit that had this id at an instant."""
        return next((unit for unit in self._by_id.get(unit_id, ()) if unit.valid(at)), None)

    def current(self, unit: Unit, at: int) -> Unit | None:
        """Return what a unit had become by an instant, through renaming and merging; none if it ended without a successor."""
        found: Unit | None = unit
        while found is not None and found.until <= at:
            found = self._next(found)
        return found

    def owner_of(self, subscriber: str, at: int) -> Unit | None:
        """Return the unit whose people a subscriber is at an instant."""
        unit_id = self._readers.get(subscriber)
        unit = None if unit_id is None else self.unit(unit_id, at)
        return unit if unit is not None and subscriber in unit.subscribers else None

    def subscribers_of(self, unit_id: str, at: int) -> tuple[str, ...]:
        """Return the names of a unit's subscribers at an instant; none if there is no such unit then."""
        unit = self.unit(unit_id, at)
        return () if unit is None else unit.subscribers

    def ancestors(self, unit_id: str, at: int) -> tuple[Unit, ...]:
        """Return the units above a unit at an instant, the nearest first."""
        found: list[Unit] = []
        unit = self.unit(unit_id, at)
        while unit is not None and unit.parent is not None:
            unit = self.unit(unit.parent, at)
            if unit is not None:
                found.append(unit)
        return tuple(found)

    def supervisor_of(self, unit_id: str, at: int) -> Unit | None:
        """Return who supervises a unit at an instant: its own supervisor, or that of the nearest unit above that has one."""
        unit = self.unit(unit_id, at)
        if unit is None:
            return None
        named = (one.supervised_by for one in (unit, *self.ancestors(unit_id, at)))
        supervisor = next((one for one in named if one is not None), None)
        return None if supervisor is None else self.unit(supervisor, at)

    def with_duty(self, duty: Duty, at: int) -> Unit | None:
        """Return the one unit that has a duty at an instant."""
        return next((unit for unit in self._duties.get(duty, ()) if unit.valid(at)), None)

    def ever_above(self, unit_id: str) -> frozenset[str]:
        """Return every id that was above this one at any time, also by steps that held at different times."""
        found: set[str] = set()
        waiting = list(self._parents.get(unit_id, ()))
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting.extend(self._parents.get(one, ()))
        return frozenset(found)

    def is_under(self, unit_id: str, other_id: str) -> bool:
        """Return whether the first was beneath the second at any time. No unit is beneath itself."""
        return unit_id != other_id and other_id in self.ever_above(unit_id)

    def lineage(self, unit_id: str) -> frozenset[str]:
        """Return the unit and every id tied to it by renaming or merging, in whatever direction and at whatever time.

        Units merged into one are therefore of one lineage. Of an unknown id the lineage is the id alone.
        """
        return self._lineages.get(unit_id, frozenset({unit_id}))

    def names(self) -> frozenset[str]:
        """Return every name and alias that was ever in use."""
        return frozenset(name for unit in self.units for name in (unit.name, *unit.aliases))

    def subscriber_names(self) -> frozenset[str]:
        """Return every subscriber that the registry gives to a unit, at whatever time."""
        return frozenset(self._readers)

    def reaching(self, subscribers: Collection[str]) -> "Registry":
        """Return the registry as it is for whoever sends: of the subscribers it names, only these are there."""
        if self._readers.keys() <= set(subscribers):
            return self
        kept = (
            replace(unit, subscribers=tuple(one for one in unit.subscribers if one in subscribers))
            for unit in self.units
        )
        return registry_of(kept, self.version)

    def _next(self, unit: Unit) -> Unit | None:
        """What followed a unit: its successor, or the same id taken on without a gap (a new name, a new parent)."""
        if unit.successor is not None:
            return next((one for one in self._by_id[unit.successor] if one.until > unit.until), None)
        return next((one for one in self._by_id[unit.id] if one.since == unit.until), None)


def load_registry(path: Path) -> Registry:
    """Return the registry in a file, `.yaml` or `.csv`.

    It is taken or refused as a whole. Raises ConfigFileError (file:line: what is wrong).
    """
    parse, bytes_max = _FORMATS.get(path.suffix.lower(), (None, 0))
    if parse is None:
        raise ConfigFileError(str(path), 1, "neither YAML nor CSV: name it .yaml or .csv")
    content = _read(path, bytes_max)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(str(path), line, "is not UTF-8 (in a spreadsheet: save as CSV UTF-8)") from None
    document = parse(text, str(path))
    units = tuple(unit_of(entry) for entry in document.validate(UnitsFile).units)
    check_registry(document, units)
    return registry_of(units, hashlib.sha256(content).hexdigest()[:16])


def registry_of(units: Iterable[Unit], version: str) -> Registry:
    """Return the registry of units that are known to be sound together; `load_registry` checks that of a file."""
    units = tuple(units)
    by_id: dict[str, list[Unit]] = {}
    duties: dict[Duty, list[Unit]] = {}
    for unit in sorted(units, key=lambda one: one.since):
        by_id.setdefault(unit.id, []).append(unit)
        if unit.duty is not None:
            duties.setdefault(unit.duty, []).append(unit)
    parents: dict[str, dict[str, None]] = {}
    for unit in units:
        if unit.parent is not None:
            parents.setdefault(unit.id, {})[unit.parent] = None
    return Registry(
        version,
        units,
        MappingProxyType({unit_id: tuple(found) for unit_id, found in by_id.items()}),
        MappingProxyType({unit_id: tuple(found) for unit_id, found in parents.items()}),
        MappingProxyType(_lineages(units)),
        MappingProxyType({name: unit.id for unit in units for name in unit.subscribers}),
        MappingProxyType({duty: tuple(found) for duty, found in duties.items()}),
    )


def _lineages(units: Iterable[Unit]) -> dict[str, frozenset[str]]:
    """The ids that have one, grouped: two ids belong together if one succeeded the other."""
    groups: dict[str, set[str]] = {}
    for unit in units:
        if unit.successor is not None:
            pair = (groups.setdefault(unit_id, {unit_id}) for unit_id in (unit.id, unit.successor))
            small, large = sorted(pair, key=len)
            if small is not large:
                large |= small
                groups.update(dict.fromkeys(small, large))
    frozen = {id(group): frozenset(group) for group in {id(group): group for group in groups.values()}.values()}
    return {unit_id: frozen[id(group)] for unit_id, group in groups.items()}


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        content = read_plain(path, bytes_max)
    except OSError as error:
        raise ConfigFileError(str(path), 1, f"cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise ConfigFileError(str(path), 1, f"over {bytes_max} bytes, which is all that is read of this format")
    return content
