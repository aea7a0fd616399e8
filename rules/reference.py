"""Reference tables in memory, and how intake joins them to an event (docs/reference-data.md).

What was joined becomes part of the event, with the version of its table: whatever is judged from it afterwards, now or in a replay of
`hw.tickets`, does not look here again. A row is met by its key as of the day on which the event occurred.

It is the one thing at intake that changes: `put` and `remove`, by whoever reads the topic or a file. Rows are kept small: a citizen's flag
costs its key and a place in a table, since equal flags are one value.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from itertools import product
from typing import Any, NamedTuple

from models.reference import (
    ReferenceRecord,
    ReferenceTable,
    Values,
    row_version,
    sum_of,
    table_version,
    values_of,
)
from models.times import CHINA, instant_of
from models.units import ALWAYS_BEFORE, NEVER_AFTER
from rules.event import Event
from rules.masking import mask_label, without_house
from rules.sealing import SEALED, Posts, Route
from rules.text.normalize import normalize

JOINED = "reference"
"""the field of an event's data that holds what was joined: by table its version, then the values"""
TARGET = "target"
LEAST_CHARACTERS = 2
"""of a post's title or holder, as in `posts_file`"""
_SHARED_MAX = 100_000

Place = tuple[str | None, str | None, str | None]


class Held(NamedTuple):
    """One row: its validity as it was said and in microseconds, and its values."""

    valid_from: str | None
    valid_to: str | None
    since: int
    until: int
    values: Values


@dataclass(slots=True)
class Table:
    """The rows of one table, by key; a key with several validities has a list of rows."""

    name: ReferenceTable
    rows: dict[str, Held | list[Held]] = field(default_factory=dict)
    count: int = 0
    total: int = 0
    """the sum of the rows' versions"""
    version: str = ""

    def __post_init__(self) -> None:
        self.version = table_version(self.name, 0)

    def put(self, key: str, held: Held, row: str) -> None:
        """Take a row of this version in place of the key's row with the same first day."""
        self.remove(key, held.valid_from)
        before = self.rows.get(key)
        if before is None:
            self.rows[key] = held
        else:
            self.rows[key] = sorted([*_listed(before), held], key=lambda one: one.since)
        self._counted(1, row)

    def remove(self, key: str, valid_from: str | None) -> Held | None:
        """Forget and return the key's row with this first day, if there is one."""
        before = self.rows.get(key)
        gone = next((one for one in _listed(before) if one.valid_from == valid_from), None)
        if gone is None:
            return None
        left = [one for one in _listed(before) if one is not gone]
        if left:
            self.rows[key] = left if len(left) > 1 else left[0]
        else:
            del self.rows[key]
        self._counted(-1, row_version(self.name, key, (gone.valid_from, gone.valid_to), gone.values))
        return gone

    def at(self, key: str, instant: int) -> Values | None:
        """Return what the key's row says that is valid at an instant."""
        found = self.rows.get(key)
        if found is None:
            return None
        for one in (found,) if isinstance(found, Held) else found:
            if one.since <= instant < one.until:
                return one.values
        return None

    def _counted(self, sign: int, row: str) -> None:
        self.count += sign
        self.total = sum_of(self.total, row, sign)
        self.version = table_version(self.name, self.total)


def _listed(rows: Held | list[Held] | None) -> list[Held]:
    if rows is None:
        return []
    return [rows] if isinstance(rows, Held) else rows


class Reference:
    """All tables."""

    def __init__(self, records: Iterable[ReferenceRecord] = ()) -> None:
        self.tables = {table: Table(table) for table in ReferenceTable}
        self._units = self.tables[ReferenceTable.UNITS]
        self._citizens = self.tables[ReferenceTable.CITIZENS]
        self._projects = self.tables[ReferenceTable.PROJECTS]
        self._posts = self.tables[ReferenceTable.POSTS]
        self._at_place: dict[tuple[Place, tuple[str, ...]], list[str]] = {}
        """by place and category: the keys of projects, in order"""
        self._shared: dict[Held, Held] = {}
        self._sealing: tuple[Posts, int, Posts] | None = None
        for record in records:
            self.put(record)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return sum(table.count for table in self.tables.values())

    @property
    def versions(self) -> dict[str, str]:
        """Return the version of each table that has rows."""
        return {name.value: table.version for name, table in self.tables.items() if table.count}

    def put(self, record: ReferenceRecord) -> None:
        """Take a row in place of the one with the same key and first day."""
        table = ReferenceTable(record.table)
        self.remove(table, record.key, record.valid_from)
        held = Held(
            record.valid_from,
            record.valid_to,
            ALWAYS_BEFORE if record.valid_from is None else _start_of(record.valid_from),
            NEVER_AFTER if record.valid_to is None else _start_of(record.valid_to),
            tuple(str(one) if isinstance(one, StrEnum) else one for one in values_of(record.fields)),
        )
        if table is ReferenceTable.CITIZENS:
            held = self._one_for_all(held)
        self.tables[table].put(record.key, held, record.version)
        if table is ReferenceTable.PROJECTS and (place := _place_of(held.values)) is not None:
            keys = self._at_place.setdefault(place, [])
            if record.key not in keys:
                keys.append(record.key)
                keys.sort()

    def remove(self, table: ReferenceTable, key: str, valid_from: str | None) -> None:
        """Forget a row."""
        gone = self.tables[table].remove(key, valid_from)
        if gone is None or table is not ReferenceTable.PROJECTS:
            return
        place = _place_of(gone.values)
        still = (_place_of(one.values) for one in _listed(self._projects.rows.get(key)))
        if place is not None and place not in still:
            keys = self._at_place[place]
            keys.remove(key)
            if not keys:
                del self._at_place[place]

    def _one_for_all(self, held: Held) -> Held:
        if len(self._shared) >= _SHARED_MAX:
            self._shared.clear()
        return self._shared.setdefault(held, held)

    # -- what intake asks

    def posts(self, own: Posts) -> Posts:
        """Return the posts to seal for: the installation's own, and the table's. Of two routes for one word its own stands."""
        table = self._posts
        if not table.count:
            return own
        if self._sealing is None or self._sealing[0] is not own or self._sealing[1] != table.total:
            routes: dict[str, Route] = {}
            for title in sorted(table.rows):
                for held in _listed(table.rows[title]):
                    for word in words_of_post(title, held.values):
                        routes.setdefault(word, held.values[0])
            self._sealing = (own, table.total, Posts(routes | own.routes))
        return self._sealing[2]

    def enrich(self, event: Event) -> Event:
        """Return the event with what the tables say of its unit, citizen and project; of a sealed one nothing is looked up."""
        if event.type == SEALED:
            return event
        found: dict[str, list[Any]] = {}
        unit_name = event.unit_name
        if event.unit is not None and (row := self._units.at(event.unit, event.at)) is not None:
            found[ReferenceTable.UNITS.value] = [self._units.version, row[1], row[2], not unit_name]
            unit_name = unit_name or row[0]
        data = event.data
        if "target_unit" in data and (row := self._units.at(data["target_unit"], event.at)) is not None:
            found[TARGET] = [self._units.version, row[0]]
        for citizen in data.get("citizens", ()):
            if (row := self._citizens.at(citizen, event.at)) is not None:
                found[ReferenceTable.CITIZENS.value] = [self._citizens.version, row[0], row[1] or 0]
                break
        if self._projects.count and (project := self._project_of(data, event.at)) is not None:
            found[ReferenceTable.PROJECTS.value] = [self._projects.version, *project]
        return event._replace(unit_name=unit_name, data={**data, JOINED: found}) if found else event

    def _project_of(self, data: dict[str, Any], at: int) -> tuple[str, str, str | None] | None:
        """Return key, name and kind of the project: by its id, else that of the finest place, then of the longest category."""
        named = data.get("project")
        if named is not None and (row := self._projects.at(named, at)) is not None:
            return named, row[0], row[1]
        if "place" not in data or not self._at_place:
            return None
        category = tuple(data.get("category", ()))
        for place in _coarser(data["place"]):
            for length in range(len(category), -1, -1):
                for key in self._at_place.get((place, category[:length]), ()):
                    row = self._projects.at(key, at)
                    # A project that moved has a row for each place: the one of that day may be of another.
                    moved = isinstance(self._projects.rows[key], list)
                    if row is not None and not (moved and _place_of(row) != (place, category[:length])):
                        return key, row[0], row[1]
        return None


def words_of_post(title: str, values: Values) -> list[str]:
    """Return the words that name a post in a text, in plain form: its title, and its holder. What says too little names nothing."""
    words = [normalize(word).text for word in (title, values[1]) if word is not None]
    return [word for word in words if len(word) >= LEAST_CHARACTERS]


def _coarser(place: dict[str, str]) -> Iterable[Place]:
    """Yield a place and all that it lies in: what names the community first, then the street, then the district."""
    district, street, community = (place.get(name) for name in ("district", "street", "community"))
    for chosen in product(*((one, None) if one else (None,) for one in (community, street, district))):
        if any(chosen):
            yield chosen[2], chosen[1], chosen[0]


def _place_of(values: Values) -> tuple[Place, tuple[str, ...]] | None:
    """Return where a project's tickets come from, written as intake writes a ticket's place; None where it names no place."""
    _, _, district, street, community, category = values
    plain = tuple(mask_label(one.strip()) if one else None for one in (district, street))
    place = (*plain, without_house(mask_label(community.strip())) or None if community else None)
    return (place, tuple(mask_label(level) for level in category)) if any(place) else None  # type: ignore[return-value]


def _start_of(day: str) -> int:
    return instant_of(datetime.combine(date.fromisoformat(day), time(), CHINA))
