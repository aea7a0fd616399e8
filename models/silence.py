"""Silences: which warnings are held back for a while, until when, by whom and why.

A silence holds warnings, it never drops them; it ends by itself, and it is kept for the record afterwards. Red is never
silenced at large: only by case, ticket or unit.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from models.base import Contract, Identifier, Level, Time
from models.subscriber import FamilyChoice, LevelChoice, Name
from models.times import DAY, parse_instant

SILENCE_DAYS_MAX = 90
COMMENT_CHARACTERS_MIN = 4


class SilenceState(StrEnum):
    """Where a silence stands at an instant."""

    PENDING = "pending"
    ACTIVE = "active"
    OVER = "over"
    """Its time is up, or somebody ended it."""


def _no_duplicates(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("an entry stands twice")
    return values


def _long_enough(text: str) -> str:
    if len(text.strip()) < COMMENT_CHARACTERS_MIN:
        raise ValueError(f"say why, in at least {COMMENT_CHARACTERS_MIN} characters")
    return text


_ONE_LINE = r"^[^\p{C}\s][^\p{C}]*$"

SilenceId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$", description="at most 32 letters, digits and hyphens")
]
Person = Annotated[str, Field(min_length=1, max_length=64, pattern=_ONE_LINE)]
Comment = Annotated[str, Field(max_length=500, pattern=_ONE_LINE), AfterValidator(_long_enough)]
Identifiers = Annotated[list[Identifier], Field(min_length=1, max_length=200), AfterValidator(_no_duplicates)]
Levels = Annotated[list[LevelChoice], Field(min_length=1), AfterValidator(_no_duplicates)]
Families = Annotated[list[FamilyChoice], Field(min_length=1), AfterValidator(_no_duplicates)]
Names = Annotated[list[Name], Field(min_length=1, max_length=200), AfterValidator(_no_duplicates)]


class SilenceMatchers(Contract):
    """What a silence is about. Every list that is given must fit the warning; at least one is given.

    Of `units` and `categories`, of which a warning can have several, *all* those of the warning must be in the list: a
    silence of one unit does not hide what is said about another. `tickets` fits where one of the case's tickets is in it.
    """

    rules: Identifiers = Field([])
    categories: Identifiers = Field([])
    families: Families = Field([])
    levels: Levels = Field([])
    units: Identifiers = Field([], description="accused units")
    cases: Identifiers = Field([])
    tickets: Identifiers = Field([])
    subscribers: Names = Field([])
    streets: Identifiers = Field([])
    communities: Identifiers = Field([])

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError(f"give at least one of {', '.join(type(self).model_fields)}")
        if Level.RED in self.levels and not self._narrow:
            raise ValueError("red is silenced only by case, ticket or unit: add one of these, or leave red out")
        return self

    @property
    def _narrow(self) -> bool:
        return bool(self.cases or self.tickets or self.units)

    @property
    def may_cover_red(self) -> bool:
        """Return whether red warnings are meant too: only where cases, tickets or units are named."""
        return self._narrow and (not self.levels or Level.RED in self.levels)


class Silence(Contract):
    """One silence. It holds from `starts_at` until just before `ends_at`, or until somebody ended it before that."""

    id: SilenceId
    matchers: SilenceMatchers
    starts_at: Time
    ends_at: Time
    author: Person
    comment: Comment = Field(description="why; no citizen's name or number: it is kept and shown with what it held")
    created_at: Time
    expired_at: Time | None = Field(None, description="of one that was ended before its time: when")
    expired_by: Person | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        length = parse_instant(self.ends_at) - self.starts
        if length <= 0:
            raise ValueError("ends_at is not after starts_at")
        if length > SILENCE_DAYS_MAX * DAY:
            raise ValueError(f"lasts longer than {SILENCE_DAYS_MAX} days")
        if (self.expired_at is None) != (self.expired_by is None):
            raise ValueError("expired_at and expired_by go together")
        return self

    @property
    def starts(self) -> int:
        """Return the first instant at which it holds."""
        return parse_instant(self.starts_at)

    @property
    def ends(self) -> int:
        """Return the instant from which it does not hold any longer."""
        planned = parse_instant(self.ends_at)
        return planned if self.expired_at is None else min(planned, parse_instant(self.expired_at))

    def state(self, now: int) -> SilenceState:
        """Return where it stands at an instant."""
        if now >= self.ends:
            return SilenceState.OVER
        return SilenceState.ACTIVE if self.starts <= now else SilenceState.PENDING


class SilencesFile(Contract):
    """The silences file, as `hotline-watch silences` keeps it: also those that are over."""

    silences: list[Silence]
