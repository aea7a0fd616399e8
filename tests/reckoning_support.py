"""What the tests of calendars and limits share: a city's limits, and calendars with a year that did not come yet."""

from __future__ import annotations

from functools import cache

from models.strict_yaml import parse_yaml
from rules.calendar import Calendar, built_in_calendar
from rules.calendar_file import calendar_of
from rules.limits import Limits, limits_of
from rules.reckoning import Reckoning

CITY = """\
version: "1"
profiles:
  - name: 试市
    basis: 试办法
    districts: []
    counting: {office_hours: ["09:00-12:00", "13:00-18:00"]}
    acceptance:
      - urgency: [critical]
        limit: {value: 15, unit: minutes}
      - urgency: [urgent]
        limit: {value: 2, unit: work_hours}
      - limit: {value: 1, unit: work_days}
    returning:
      - limit: {value: 1, unit: work_days}
    handling:
      - urgency: [critical, urgent]
        limit: {value: 24, unit: hours}
      - request_type: [praise]
        limit: null
      - request_type: [consultation]
        limit: {value: 1, unit: work_days}
      - limit: {value: 10, unit: work_days}
    redo:
      - limit: {value: 3, unit: work_days}
"""
STOPPED = CITY.replace("{office", "{suspension_stops: true, denied_return_stops: true, office")
"""the same, with clocks that a suspension and a denied return stop"""
YEAR_2027 = """\
version: "2027-1"
source: 虚构,不是任何通知
years:
  - year: 2027
    holidays: [2027-01-01, 2027-01-04/2027-01-08, 2027-05-01, 2027-10-01]
    work_days: [2027-01-17]
"""


def limits(text: str = CITY) -> Limits:
    """Return the limits that a file with this text gives."""
    return limits_of(parse_yaml(text, "limits.yaml"))


@cache
def calendar(text: str = YEAR_2027) -> Calendar:
    """Return the calendar that a file with this text gives."""
    return calendar_of(parse_yaml(text, "calendar.yaml"))


@cache
def city(text: str = CITY) -> Reckoning:
    """Return the built-in calendar and a city's limits."""
    return Reckoning(built_in_calendar(), limits(text))


@cache
def with_2027(text: str | None = CITY) -> Reckoning:
    """Return a calendar with a made-up 2027, and a city's limits or none."""
    return Reckoning(calendar()) if text is None else Reckoning(calendar(), limits(text))
