"""Quiet hours: is it now, and until when?

Hours of the day are Asia/Shanghai's, which has had no daylight saving time since 1991: plain arithmetic over days of 24
hours, so that no leap day or year's end is a special case.
"""

from models.subscriber import QuietHours
from models.times import DAY, HOUR, MINUTE

_CHINA_OFFSET = 8 * HOUR


def quiet_until(quiet: QuietHours, now: int) -> int | None:
    """Return the instant at which the present quiet period ends, None where it is none now.

    A period lasts from its start until just before its end; one whose end is not after its start ends on the next day.
    """
    midnight = now - (now + _CHINA_OFFSET) % DAY
    start, end = midnight + _of_day(quiet.start), midnight + _of_day(quiet.end)
    if start < end:
        return end if start <= now < end else None
    if now < end:
        return end
    return end + DAY if now >= start else None


def _of_day(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * HOUR + int(minutes) * MINUTE
