"""Instants as whole microseconds since 1970-01-01T00:00:00Z: exact, sortable, cheap to store.

Hotline systems often write local times without an offset; such a time is read as +08:00 (Asia/Shanghai, which has had no daylight
saving time since 1991), never as the server's own zone.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)?", re.ASCII)


class ImpossibleTimeError(ValueError):
    """The text is no RFC 3339 time, names no real day or hour, or lies outside 1990–2100."""


@lru_cache(maxsize=4096)
def parse_instant(text: str) -> int:
    """Return the instant in microseconds; a time without an offset is +08:00. Raises ImpossibleTimeError."""
    if not _RFC3339.fullmatch(text):
        raise ImpossibleTimeError("not an RFC 3339 time")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ImpossibleTimeError("no such day or time of day") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=CHINA)
    if not EARLIEST <= moment < LATEST:
        raise ImpossibleTimeError("outside the years 1990 to 2100")
    return instant_of(moment)


def instant_of(moment: datetime) -> int:
    """Return an aware datetime as microseconds."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def datetime_of(instant: int) -> datetime:
    """Return the instant as a datetime in China's zone."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(CHINA)


def format_instant(instant: int) -> str:
    """Return the instant as RFC 3339 in +08:00, with a fraction only where there is one."""
    return datetime_of(instant).isoformat()


def format_minute(instant: int) -> str:
    """Return the instant as people read it: `2025-06-18 09:00`."""
    return datetime_of(instant).strftime("%Y-%m-%d %H:%M")
