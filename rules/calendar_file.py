"""The file of work days (`calendar_file`): years that the library does not know yet, and single days that a city moved.

A year is given as a whole, as the State Council's notice gives it, and replaces the library's; a single day is changed in a year that is
announced. The calendar's version names the library, the file's own version and a digest of what the file says, so that a result tells which
days it was reckoned with.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import AfterValidator, Field

from models.base import Contract
from models.strict_yaml import Document, KeyPath, read_yaml
from rules.calendar import BUILT_IN_VERSION, Calendar, Year, built_in_calendar, built_in_years

_FIRST_YEAR, _LAST_YEAR = 1991, 2099
_MUST_BE_OFF = ((1, 1), (5, 1), (10, 1))
_FEWEST_DAYS_OFF = 20
_LONGEST_SPAN_DAYS = 31
_WORK_DAYS = range(200, 281)
"""every year since 2004 had 248 to 252; one that has far more or fewer is half typed, or would put every limit off"""
_SPAN = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:/([0-9]{4}-[0-9]{2}-[0-9]{2}))?")


def _one_line(text: str) -> str:
    if (
        text.strip() != text
        or not text
        or any(unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" for char in text)
    ):
        raise ValueError("write one line of text, with no space at either end and no control character")
    return text


ShortLine = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
VersionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
DaySpan = Annotated[str, Field(max_length=30, description="a day 2027-01-01, or a span 2027-02-05/2027-02-11")]


class YearFile(Contract):
    """One announced year."""

    year: Annotated[int, Field(ge=_FIRST_YEAR, le=_LAST_YEAR)]
    holidays: Annotated[list[DaySpan], Field(min_length=1, max_length=100)]
    work_days: Annotated[list[DaySpan], Field(max_length=100)]


class DayFile(Contract):
    """One day that is another than its year says."""

    date: DaySpan
    work: bool
    why: ShortLine


class CalendarFile(Contract):
    """What `calendar_file` says."""

    version: VersionName
    source: ShortLine
    years: Annotated[list[YearFile], Field(max_length=110)] = []  # noqa: RUF012
    days: Annotated[list[DayFile], Field(max_length=1_000)] = []  # noqa: RUF012


def load_calendar(path: Path | None) -> Calendar:
    """Return the calendar with a file's years and days in it; the built-in one without a file. Raises ConfigFileError with file:line."""
    return built_in_calendar() if path is None else calendar_of(read_yaml(path))


def calendar_of(document: Document) -> Calendar:
    """Return the calendar that a parsed file makes of the built-in one. Raises ConfigFileError."""
    file = document.validate(CalendarFile)
    if not file.years and not file.days:
        raise document.error((), "says nothing: give years, days or both")
    years, given = built_in_years(), set()
    for index, one in enumerate(file.years):
        if one.year in given:
            raise document.error(("years", index), f"the year {one.year} stands twice")
        given.add(one.year)
        years[one.year] = _year(document, index, one)
    return Calendar(f"{BUILT_IN_VERSION}+{version_of(document)}", years, _days(document, file, years))


def version_of(document: Document) -> str:
    """Return a configuration file's own version and a digest of what it says: two files that say the same are the same."""
    body = orjson.dumps(document.data, option=orjson.OPT_SORT_KEYS)
    return f"{document.data['version']}.{hashlib.blake2b(body, digest_size=4).hexdigest()}"


def remarks_on(path: Path) -> list[str]:
    """Return what looks wrong in a file that can be taken, each as `file:line: …`. Raises ConfigFileError where it cannot."""
    document = read_yaml(path)
    calendar_of(document)
    file, known = document.validate(CalendarFile), built_in_years()
    found: list[str] = []
    for index, one in enumerate(file.years):
        year, where = _year(document, index, one), ("years", index)
        if not one.work_days:
            found.append(_at(document, where, f"{one.year} has no make-up work day; every year since 2004 had some"))
        if len(year.holidays) < _FEWEST_DAYS_OFF:
            found.append(_at(document, where, f"{one.year} has {len(year.holidays)} days off; no year had so few"))
        if one.year in known:
            differ = sorted(day for day in _days_of(one.year) if year.works(day) != known[one.year].works(day))
            told = ", ".join(day.isoformat() for day in differ[:5])
            if differ:
                found.append(_at(document, where, f"{one.year} is not as {BUILT_IN_VERSION} has it: {told}"))
    return found


def _at(document: Document, path: KeyPath, remark: str) -> str:
    return f"{document.source}:{document.line_of(path)}: {remark}"


def _days_of(year: int) -> Iterator[date]:
    day = date(year, 1, 1)
    while day.year == year:
        yield day
        day += timedelta(days=1)


def _year(document: Document, index: int, file: YearFile) -> Year:
    where: KeyPath = ("years", index)
    off = _dates(document, (*where, "holidays"), file.holidays, file.year)
    made_up = _dates(document, (*where, "work_days"), file.work_days, file.year)
    for day, place in made_up.items():
        if day in off:
            raise document.error(place, f"{day} stands among the holidays too")
        if day.weekday() < 5:
            raise document.error(place, f"{day} is no Saturday or Sunday: it is a work day anyway")
    for month, number in _MUST_BE_OFF:
        if date(file.year, month, number) not in off:
            raise document.error(
                (*where, "holidays"), f"{file.year}-{month:02}-{number:02} is missing: give the whole year"
            )
    year = Year(frozenset(off), frozenset(made_up))
    work_days = sum(map(year.works, _days_of(file.year)))
    if work_days not in _WORK_DAYS:
        raise document.error(
            where, f"{file.year} would have {work_days} work days; every year since 2004 had 248 to 252"
        )
    return year


def _days(document: Document, file: CalendarFile, years: dict[int, Year]) -> dict[date, bool]:
    days: dict[date, bool] = {}
    for index, one in enumerate(file.days):
        for day, place in _dates(document, ("days", index, "date"), [one.date], None).items():
            where = place[:-1]
            if day in days:
                raise document.error(where, f"{day} stands twice among the days")
            if day.year not in years:
                raise document.error(where, f"{day.year} is not announced: give that year as a whole under years")
            days[day] = one.work
    return days


def _span(text: str) -> tuple[date, date]:
    """Return the first and the last day of a span. Raises ValueError; other forms that `fromisoformat` takes are a slip here."""
    parts = _SPAN.fullmatch(text)
    if parts is None:
        raise ValueError
    first = date.fromisoformat(parts[1])
    return first, date.fromisoformat(parts[2]) if parts[2] else first


def _dates(document: Document, where: KeyPath, spans: list[str], year: int | None) -> dict[date, KeyPath]:
    """Return each day of some spans, with its place in the file."""
    found: dict[date, KeyPath] = {}
    for index, span in enumerate(spans):
        place = (*where, index)
        try:
            first, last = _span(span)
        except ValueError:
            raise document.error(place, f"{span!r} is no day: write 2027-01-01, or 2027-02-05/2027-02-11") from None
        if not 0 <= (last - first).days < _LONGEST_SPAN_DAYS:
            raise document.error(place, f"{span} does not run forward, or is longer than {_LONGEST_SPAN_DAYS} days")
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if year is not None and day.year != year:
                raise document.error(place, f"{day} is no day of {year}")
            if day in found:
                raise document.error(place, f"{day} stands twice")
            found[day] = place
    return found
