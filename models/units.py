"""Units of the registry: who handles tickets, who supervises whom, who reads which warnings.

Days are days in Asia/Shanghai; a validity is half-open: a unit valid to 2024-01-01 is gone on that day. What kinds of unit there are, and
whom a posted team or a discipline committee answers to, follows the Supervision Law (art. 12): a posted team answers to the commission
that posted it and not to the department it sits in, while a department's own party committee or discipline staff is part of the department.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from models.base import Contract, Identifier
from models.subscriber import Name
from models.times import CHINA, instant_of

ALWAYS_BEFORE = -(2**63)
NEVER_AFTER = 2**63 - 1
"""The ends of a validity that the registry leaves open, in microseconds."""


class UnitLevel(StrEnum):
    """Where in the administration a unit stands."""

    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    TOWNSHIP = "township"


class UnitKind(StrEnum):
    """What a unit is."""

    GOVERNMENT = "government"
    DEPARTMENT = "department"
    SUBDISTRICT = "subdistrict"
    TOWNSHIP = "township"
    PARK = "park"
    COMMUNITY = "community"
    ENTERPRISE = "enterprise"
    IN_HOUSE = "in_house"
    HOTLINE = "hotline"
    POSTED_TEAM = "posted_team"
    DISCIPLINE_COMMITTEE = "discipline_committee"
    DISCIPLINE_OFFICE = "discipline_office"
    OTHER = "other"


class Duty(StrEnum):
    """What one unit of the discipline commission, or the hotline, does for all."""

    PARTY_CONDUCT = "party_conduct"
    COMPLAINTS = "complaints"
    CADRE_SUPERVISION = "cadre_supervision"
    PLATFORM = "platform"
    HUMAN_POOL = "human_pool"
    HOTLINE = "hotline"


LEVEL_TITLES = {
    UnitLevel.PROVINCE: "省级",
    UnitLevel.CITY: "市级",
    UnitLevel.COUNTY: "区县级",
    UnitLevel.TOWNSHIP: "乡镇街道级",
}

KIND_TITLES = {
    UnitKind.GOVERNMENT: "政府",
    UnitKind.DEPARTMENT: "市、区直部门",
    UnitKind.SUBDISTRICT: "街道",
    UnitKind.TOWNSHIP: "乡镇",
    UnitKind.PARK: "园区",
    UnitKind.COMMUNITY: "社区、村",
    UnitKind.ENTERPRISE: "企业",
    UnitKind.IN_HOUSE: "内设机构(机关党委、内设纪检、承办科室)",
    UnitKind.HOTLINE: "热线机构",
    UnitKind.POSTED_TEAM: "派驻纪检监察组",
    UnitKind.DISCIPLINE_COMMITTEE: "街道纪工委、乡镇纪委",
    UnitKind.DISCIPLINE_OFFICE: "纪委监委及其内设室",
    UnitKind.OTHER: "其他",
}

DUTY_TITLES = {
    Duty.PARTY_CONDUCT: "党风政风监督室",
    Duty.COMPLAINTS: "信访室",
    Duty.CADRE_SUPERVISION: "干部监督部门",
    Duty.PLATFORM: "监督平台",
    Duty.HUMAN_POOL: "人工研判池",
    Duty.HOTLINE: "热线机构",
}

TEAM_KINDS = frozenset({UnitKind.POSTED_TEAM, UnitKind.DISCIPLINE_COMMITTEE})
"""Those who supervise on the spot; a warning about one of them goes one level up."""

SUPERVISING_KINDS = TEAM_KINDS | {UnitKind.DISCIPLINE_OFFICE}

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _checked_day(text: str) -> str:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day such as 2024-01-31") from None
    return text


def _no_duplicates(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("an entry stands twice")
    return values


Day = Annotated[str, AfterValidator(_checked_day)]


class UnitEntry(Contract):
    """One unit, for one validity, as the registry file says it."""

    id: Identifier
    name: Identifier
    kind: Annotated[UnitKind, Field(strict=False)]
    level: Annotated[UnitLevel, Field(strict=False)]
    aliases: Annotated[list[Identifier], AfterValidator(_no_duplicates)] = Field([])
    parent: Identifier | None = Field(None, description="id of the unit it is a part of, or answers to")
    supervised_by: Identifier | None = Field(
        None, description="id of its posted team or committee; default: that of the nearest unit above that has one"
    )
    duty: Annotated[Duty | None, Field(strict=False)] = None
    valid_from: Day | None = Field(None, description="its first day")
    valid_to: Day | None = Field(None, description="the first day on which it is no more")
    successor: Identifier | None = Field(None, description="id of what it was renamed or merged into")
    subscribers: Annotated[list[Name], AfterValidator(_no_duplicates)] = Field([])

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.valid_from is not None and self.valid_to is not None and self.valid_from >= self.valid_to:
            raise ValueError("valid_to: not after valid_from (it is the first day on which the unit is no more)")
        if self.successor is not None and self.valid_to is None:
            raise ValueError("successor: a unit that has one has ended; say when in valid_to")
        if self.duty is Duty.HOTLINE and self.kind is not UnitKind.HOTLINE:
            raise ValueError("duty: only a unit of kind hotline has the duty hotline")
        if self.duty not in (None, Duty.HOTLINE) and self.kind is not UnitKind.DISCIPLINE_OFFICE:
            raise ValueError("duty: only a unit of kind discipline_office has this duty")
        return self


class UnitsFile(Contract):
    """The registry file. An empty registry is refused: with it every warning would be held."""

    units: list[UnitEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit during one validity."""

    id: str
    name: str
    kind: UnitKind
    level: UnitLevel
    since: int
    """First instant, microseconds."""
    until: int
    """First instant at which it is no more, microseconds."""
    aliases: tuple[str, ...] = ()
    parent: str | None = None
    supervised_by: str | None = None
    duty: Duty | None = None
    successor: str | None = None
    subscribers: tuple[str, ...] = ()

    def valid(self, at: int) -> bool:
        """Return whether the unit is there at an instant (microseconds)."""
        return self.since <= at < self.until

    @property
    def named(self) -> str:
        """Return it as a sentence speaks of it: name and id."""
        return f"“{self.name}”({self.id})"


def unit_of(entry: UnitEntry) -> Unit:
    """Return the unit that an entry describes."""
    return Unit(
        id=entry.id,
        name=entry.name,
        kind=entry.kind,
        level=entry.level,
        since=ALWAYS_BEFORE if entry.valid_from is None else _instant_of_day(entry.valid_from),
        until=NEVER_AFTER if entry.valid_to is None else _instant_of_day(entry.valid_to),
        aliases=tuple(entry.aliases),
        parent=entry.parent,
        supervised_by=entry.supervised_by,
        duty=entry.duty,
        successor=entry.successor,
        subscribers=tuple(entry.subscribers),
    )


def name_key(name: str) -> str:
    """Return what two spellings of one name share: widths of brackets and digits, and letters' case, do not count."""
    return unicodedata.normalize("NFKC", name).casefold()


def _instant_of_day(day: str) -> int:
    return instant_of(datetime.combine(date.fromisoformat(day), time(), CHINA))
