"""How long the citizen has waited, in whole days of 24 hours since the lineage's first registration (自首次登记自然日).

Nothing a unit does stops this clock but an end of the ticket; a dissatisfied visit, a rejected review, a redo or a reopening lets it run on
*from the original start*. Stopped, the days stay what they were.
"""

from models.times import DAY, format_instant
from rules.history import Lineage


def is_running(lineage: Lineage) -> bool:
    """Tell whether the citizen is waiting now."""
    return bool(lineage.waiting) and lineage.waiting[-1].until is None


def days_waited(lineage: Lineage, now: int) -> int:
    """Return the whole days from the first registration to now, or to where the wait ended."""
    start = lineage.start
    if start is None or not lineage.waiting:
        return 0
    until = lineage.waiting[-1].until
    end = now if until is None else min(now, until.at)
    return max(end - start.at, 0) // DAY


def wakes(lineage: Lineage, days: tuple[int, ...]) -> list[int]:
    """Return the instants at which a running wait reaches the given numbers of days."""
    start = lineage.start
    if start is None or not is_running(lineage):
        return []
    return [start.at + count * DAY for count in days]


def reached_by(lineage: Lineage, days: int) -> tuple[str, int] | None:
    """Return what brought the wait to so many days, as (trigger, instant): the passing of time, or the event that let it run on."""
    start = lineage.start
    if start is None:
        return None
    instant = start.at + days * DAY
    for span in lineage.waiting:
        if span.until is None or span.until.at >= instant:
            if span.since.at > instant:
                return span.since.event_id, span.since.at
            return f"deadline:{start.event_id}:{format_instant(instant)}", instant
    return None
