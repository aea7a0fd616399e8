"""Two clocks: the units' (承办单位计时), which a suspension, a return or an end stops; the citizen's (群众等待总时长), which no unit stops.

The units' clock runs while any lead unit has the ticket in hand and has not suspended it. The difference is the time that the citizen
waited while nobody's clock ran; that is where stopping a clock shows (停表).
"""

from collections.abc import Iterable
from typing import NamedTuple

from models.times import DAY
from rules.deadlines import near_at
from rules.event import Event
from rules.history import Deadline, Holding, Lineage, Trick
from rules.limiting import concerns
from rules.stopping import NEVER

Span = tuple[int, int]


class Clock(NamedTuple):
    """What a clock shows at an instant: the time counted, and since when it has run on; None where it stands."""

    time: int
    running_since: int | None

    @property
    def days(self) -> int:
        """Return the whole days of 24 hours counted."""
        return self.time // DAY

    def at_days(self, days: int, now: int) -> list[int]:
        """Return when a running clock will have counted so many days; nothing where it stands."""
        return [] if self.running_since is None else [now + days * DAY - self.time]


def unit_clock(lineage: Lineage, now: int) -> Clock:
    """Return the units' clock."""
    held = _united((one for one in (*lineage.holdings, *lineage.again)), now)
    return _clock(_without(held, _united(lineage.pauses, now)), _runs(lineage), now)


def suspension_clock(lineage: Lineage, now: int) -> Clock:
    """Return the clock of the time for which units had the ticket suspended."""
    return _clock(_united(lineage.pauses, now), any(one.until is None for one in lineage.pauses), now)


def idle_clock(lineage: Lineage, now: int) -> Clock:
    """Return the clock of the time for which the citizen waited and no unit's clock ran."""
    start = lineage.start
    if start is None or not lineage.waiting:
        return Clock(0, None)
    until = lineage.waiting[-1].until
    end = now if until is None else min(now, until.at)
    waited = [(start.at, end)] if end > start.at else []
    held = _united((one for one in (*lineage.holdings, *lineage.again)), now)
    counted = _without(waited, _without(held, _united(lineage.pauses, now)))
    return _clock(counted, until is None and not _runs(lineage), now)


def _runs(lineage: Lineage) -> bool:
    """Tell whether the units' clock runs: somebody has the ticket, and nobody has it suspended."""
    held = any(one.until is None for one in (*lineage.holdings, *lineage.again))
    return held and all(one.until is not None for one in lineage.pauses)


def _clock(spans: Iterable[Span], runs: bool, now: int) -> Clock:
    return Clock(sum(end - start for start, end in spans), now if runs else None)


def _united(holdings: Iterable[Holding], now: int) -> list[Span]:
    """Return the time that spans cover together, in order."""
    ends = ((one.since.at, now if one.until is None else min(one.until.at, now)) for one in holdings)
    found: list[Span] = []
    for start, end in sorted(span for span in ends if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _without(spans: list[Span], gaps: list[Span]) -> list[Span]:
    """Return what of some spans lies in none of the gaps; both in order."""
    left: list[Span] = []
    for span_start, span_end in spans:
        start = span_start
        for gap_start, gap_end in gaps:
            if gap_end <= start or gap_start >= span_end:
                continue
            if gap_start > start:
                left.append((start, gap_start))
            start = gap_end
        if start < span_end:
            left.append((start, span_end))
    return left


def suspended_over_due(lineage: Lineage, now: int) -> list[Trick]:
    """Return the suspensions that began when a limit of the unit was near and were not over when it was due."""
    found: list[Trick] = []
    for pause in lineage.pauses:
        ended = pause.until.at if pause.until else now
        ticket = lineage.tickets[pause.since.ticket_id]
        tricks: list[Trick] = []
        for deadline in lineage.deadlines:
            due, incomplete, stood = _due_then(deadline, pause.since)
            ran = deadline.ended_at is None or deadline.ended_at >= due
            if (
                near_at(deadline.start + stood, due) <= pause.since.at < due <= ended
                and ran
                and concerns(lineage, ticket, deadline.event, deadline.unit, pause.unit)
            ):
                tricks.append(Trick(deadline.event, pause.since, incomplete))
        if tricks:  # one suspension is one trick, though it ran over several limits
            found.append(min(tricks, key=lambda one: one.incomplete))
    return found


def _due_then(deadline: Deadline, event: Event) -> tuple[int, bool, int]:
    """Return when a limit was due as things stood at an event, a suspension not counted that it began; whether a work day was counted
    that is not announced; and by how much the limit had been put off because its clock had stood.
    """
    if deadline.stoppable is not None and any(
        one.start < event.at and (one.end is None or event.at < one.end) for one in deadline.stoppable.stood
    ):
        return NEVER, False, 0
    moved = next((one for one in deadline.moved if one.event is event or one.event.at > event.at), None)
    return (deadline.due, deadline.incomplete, deadline.stood) if moved is None else moved[1:]


def run_on(lineage: Lineage) -> list[Event]:
    """Return what let the clocks of limits run on that had stood."""
    stops = [
        one.stop for deadline in lineage.deadlines if deadline.stoppable is not None for one in deadline.stoppable.stood
    ]
    ends = (stop.until if stop.asked is None else stop.asked.decision for stop in stops)
    return [event for event in ends if event is not None]
