"""Time limits of a city (`limits_file`): how long a unit has to take a ticket in hand, to hand it back, to handle it, to handle it again.

There is no national value (domain brief §1.5), so nothing is set by default: without a file a ticket has the limits that its events
carry, and no other. A profile holds rows by request type and urgency, the first that fits counts, and says how its limits are counted: from
the dispatch or from the acceptance, with the first day or without, to the same time of day or to the end of the day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from models.base import Contract
from models.strict_yaml import Document, KeyPath, read_yaml
from models.ticket_event import RequestType
from models.times import HOUR, MINUTE
from rules.calendar import OfficeHours
from rules.calendar_file import ShortLine, VersionName, version_of

Kind = Literal["acceptance", "returning", "handling", "redo"]
Unit = Literal["work_days", "work_hours", "days", "hours", "minutes"]
Urgency = Literal["normal", "urgent", "critical"]

KINDS: tuple[Kind, ...] = get_args(Kind)
UNIT_TITLES: dict[str, str] = {
    "work_days": "个工作日",
    "work_hours": "个工作小时",
    "days": "天",
    "hours": "小时",
    "minutes": "分钟",
}
_OFFICE_HOURS = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"


class LimitFile(Contract):
    """A length of time."""

    value: Annotated[int, Field(gt=0, le=10_000)]
    unit: Unit


class RowFile(Contract):
    """A limit for some request types and urgencies; one that names none holds for all."""

    request_type: Annotated[list[RequestType], Field(min_length=1)] | None = None
    urgency: Annotated[list[Urgency], Field(min_length=1)] | None = None
    limit: Annotated[LimitFile | None, Field(description="null: no limit")]


class CountingFile(Contract):
    """How limits are counted."""

    count_from: Literal["dispatched", "accepted"] = "dispatched"
    first_day: Literal["next", "same"] = "next"
    ends: Literal["same_time", "end_of_day", "close_of_work"] = "same_time"
    office_hours: Annotated[list[Annotated[str, Field(pattern=_OFFICE_HOURS)]], Field(max_length=6)] = []  # noqa: RUF012
    suspension_stops: Annotated[bool, Field(description="the handling limit's clock stands while it is suspended")] = (
        False
    )
    denied_return_stops: Annotated[bool, Field(description="and from asking for a return to its denial")] = False


class ProfileFile(Contract):
    """The limits of one city or district."""

    name: ShortLine
    basis: ShortLine
    districts: Annotated[
        list[ShortLine], Field(description="as tickets name them; none = all that no other profile names")
    ]
    counting: CountingFile = CountingFile()
    acceptance: list[RowFile] = []  # noqa: RUF012
    returning: list[RowFile] = []  # noqa: RUF012
    handling: list[RowFile] = []  # noqa: RUF012
    redo: list[RowFile] = []  # noqa: RUF012


class LimitsFile(Contract):
    """What `limits_file` says."""

    version: VersionName
    profiles: Annotated[list[ProfileFile], Field(min_length=1, max_length=500)]


class Limit(NamedTuple):
    """A length of time in a unit of work time or natural time."""

    value: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.value}{UNIT_TITLES[self.unit]}"


class Counting(NamedTuple):
    """How a profile's limits are counted (计时口径)."""

    from_acceptance: bool = False
    with_first_day: bool = False
    ends: str = "same_time"
    office_hours: OfficeHours = ()
    suspension_stops: bool = False
    denied_return_stops: bool = False

    @property
    def in_whole_days(self) -> bool:
        """Return whether limits in days end with a day."""
        return self.ends != "same_time"


class Row(NamedTuple):
    """One row of a profile; an empty set holds for all."""

    request_types: frozenset[str]
    urgencies: frozenset[str]
    limit: Limit | None

    def fits(self, request_type: str | None, urgency: str | None) -> bool:
        """Tell whether the row is for such tickets; one whose urgency was not said is an ordinary one."""
        return (not self.request_types or request_type in self.request_types) and (
            not self.urgencies or (urgency or "normal") in self.urgencies
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """The limits of one city or district."""

    name: str
    version: str
    counting: Counting
    rows: Mapping[str, tuple[Row, ...]]

    @property
    def title(self) -> str:
        """Return how evidence names where a limit comes from."""
        return f"{self.name}时限配置{self.version}版"

    def limit(self, kind: Kind, request_type: str | None, urgency: str | None) -> Limit | None:
        """Return the limit of the first row that fits; None where there is none."""
        for row in self.rows[kind]:
            if row.fits(request_type, urgency):
                return row.limit
        return None


@dataclass(frozen=True, slots=True)
class Limits:
    """The profiles of an installation."""

    version: str = ""
    default: Profile | None = None
    """the profile of all tickets whose district no other names"""
    by_district: Mapping[str, Profile] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Return whether any profile is configured."""
        return self.default is not None or bool(self.by_district)

    def profile_for(self, district: str | None) -> Profile | None:
        """Return the profile that holds in a district."""
        return self.by_district.get(district or "", self.default)


NO_LIMITS = Limits()


def load_limits(path: Path | None) -> Limits:
    """Return the limits in a file; none without one. Raises ConfigFileError with file:line."""
    return NO_LIMITS if path is None else limits_of(read_yaml(path))


def limits_of(document: Document) -> Limits:
    """Return the limits that a parsed file gives. Raises ConfigFileError at the first thing that is wrong or can mean nothing."""
    file = document.validate(LimitsFile)
    default: Profile | None = None
    by_district: dict[str, Profile] = {}
    names: set[str] = set()
    for index, one in enumerate(file.profiles):
        where: KeyPath = ("profiles", index)
        if one.name in names:
            raise document.error((*where, "name"), "two profiles have this name")
        names.add(one.name)
        profile = _profile(document, where, one, file.version)
        if not one.districts and default is not None:
            raise document.error(
                (*where, "districts"), "a second profile that names no district: only one can hold for the rest"
            )
        default = default or (None if one.districts else profile)
        for number, district in enumerate(one.districts):
            if district in by_district:
                raise document.error((*where, "districts", number), "this district stands twice")
            by_district[district] = profile
    return Limits(version_of(document), default, by_district)


def _profile(document: Document, where: KeyPath, file: ProfileFile, version: str) -> Profile:
    rows: dict[str, tuple[Row, ...]] = {kind: _rows(document, (*where, kind), getattr(file, kind)) for kind in KINDS}
    counting = _counting(document, (*where, "counting"), file.counting)
    if not any(rows.values()):
        raise document.error(where, "sets no limit: give acceptance, returning, handling or redo")
    if counting.from_acceptance and not rows["acceptance"]:
        raise document.error(
            (*where, "counting"),
            "count_from: accepted needs acceptance limits, else a unit that never accepts has no limit",
        )
    needs_hours = counting.ends == "close_of_work" or any(
        row.limit is not None and row.limit.unit == "work_hours" for kind in rows.values() for row in kind
    )
    if needs_hours and not counting.office_hours:
        raise document.error(
            (*where, "counting"),
            "work_hours and close_of_work need office_hours, such as ['09:00-12:00', '13:00-18:00']",
        )
    return Profile(file.name, version, counting, rows)


def _rows(document: Document, where: KeyPath, files: list[RowFile]) -> tuple[Row, ...]:
    rows: list[Row] = []
    for index, file in enumerate(files):
        for name in ("request_type", "urgency"):
            named = getattr(file, name) or ()
            if len(set(named)) < len(named):
                raise document.error((*where, index, name), f"{name}: one stands twice")
        limit = Limit(file.limit.value, file.limit.unit) if file.limit is not None else None
        row = Row(frozenset(file.request_type or ()), frozenset(file.urgency or ()), limit)
        if all(any(above.fits(*case) for above in rows) for case in _cases(row)):
            raise document.error((*where, index), "can never be reached: the rows above take all that it names")
        rows.append(row)
    return tuple(rows)


def _cases(row: Row) -> Iterator[tuple[str | None, str | None]]:
    """Yield every kind of ticket that a row names."""
    for request_type in row.request_types or (None, *get_args(RequestType)):
        for urgency in row.urgencies or get_args(Urgency):
            yield request_type, urgency


def _counting(document: Document, where: KeyPath, file: CountingFile) -> Counting:
    if file.first_day == "same" and file.ends == "same_time":
        raise document.error(
            where, "first_day: same needs ends: end_of_day or close_of_work, else one work day would be no time at all"
        )
    hours: list[tuple[int, int]] = []
    for index, text in enumerate(file.office_hours):
        start, end = (_time_of_day(part) for part in text.split("-"))
        if start >= end or (hours and start < hours[-1][1]):
            raise document.error(
                (*where, "office_hours", index), "office hours must run forward, one span after the other"
            )
        hours.append((start, end))
    return Counting(
        file.count_from == "accepted",
        file.first_day == "same",
        file.ends,
        tuple(hours),
        file.suspension_stops,
        file.denied_return_stops,
    )


def _time_of_day(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * HOUR + int(minutes) * MINUTE
