"""Where a city lets the clock of a limit be stopped (停表): for how long it stood, and to when the limit is put off by that.

A limit is reckoned anew from what it was laid with, in order of time: each approved extension moves it to the time that it names, each
span for which its clock stands puts off what was not due by then. So the end is the same in whatever order it was told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rules.event import Event
from rules.history import Deadline, Moved, Stood, Stop
from rules.limits import Counting, Limit
from rules.reckoning import Reckoning

NEVER = 1 << 62
"""when a limit is due whose clock stands: later than any instant"""


@dataclass(slots=True)
class _Run:
    """A limit as it runs through what moves it."""

    reckoning: Reckoning
    deadline: Deadline
    due: int
    incomplete: bool
    put_off: int = 0
    runs_since: int = 0
    moved: list[Moved] = field(default_factory=list)
    stood: list[Stood] = field(default_factory=list)

    def extend(self, event: Event, until: int) -> None:
        """Move the limit to the time that an approved extension names, if that is later."""
        if self.due < until:
            self._note(event)
            self.due, self.incomplete, self.put_off = until, False, 0

    def stand(self, stop: Stop, start: int, end: int | None) -> None:
        """Let the clock stand; what was due by then stays due."""
        if start >= self.due:
            return
        self._note(stop.since)
        if end is None:
            self.stood.append(Stood(stop, start, None))
            self.due, self.incomplete = NEVER, False
            return
        limit, profile = self.deadline.limit, self.deadline.profile
        assert limit is not None
        assert profile is not None
        amount, due, complete = put_off(self.reckoning, self.due, (start, end), limit, profile.counting)
        self.stood.append(Stood(stop, start, end, amount, due))
        self.put_off += due - self.due
        self.due, self.incomplete, self.runs_since = due, self.incomplete or not complete, end

    def _note(self, event: Event) -> None:
        self.moved.append(Moved(event, self.due, self.incomplete, self.put_off))


def put_off(
    reckoning: Reckoning, due: int, span: tuple[int, int], limit: Limit, counting: Counting
) -> tuple[int, int, bool]:
    """Return how much of the limit's kind of time lies in a span for which its clock stands; when it is due then; whether all work days
    between are announced. Precondition: it was not due when the span began.
    """
    amount = reckoning.stood(*span, limit, counting)
    later, complete = reckoning.later(due, amount, limit, counting)
    # Where nothing was left that counts, as between two office hours, it is due when the clock runs on.
    return amount, max(later, span[1]), complete


def reckon(reckoning: Reckoning, deadline: Deadline) -> None:
    """Reckon anew when a limit is due whose clock can be stopped."""
    laid = deadline.stoppable
    assert laid is not None
    run = _Run(reckoning, deadline, laid.due, laid.incomplete)
    extensions = sorted(laid.extensions, key=lambda one: one[0].at)
    place = 0
    for stop, start, end in _spans(deadline, [event.at for event, _ in extensions]):
        while place < len(extensions) and extensions[place][0].at <= start:
            run.extend(*extensions[place])
            place += 1
        run.stand(stop, start, end)
    for extension in extensions[place:]:
        run.extend(*extension)
    deadline.due, deadline.incomplete, deadline.moved = run.due, run.incomplete, run.moved
    deadline.stood, deadline.runs_since, laid.stood = run.put_off, run.runs_since, run.stood


def _spans(deadline: Deadline, cuts: list[int]) -> Iterator[tuple[Stop, int, int | None]]:
    """Yield the spans for which the clock stands while the limit lasts, in order, none twice, each cut where an extension was approved."""
    assert deadline.stoppable is not None
    last, ended = deadline.start, deadline.ended_at
    found = [(stop, *times) for stop in deadline.stoppable.stops if (times := _times(stop)) is not None]
    for stop, start, until in sorted(found, key=lambda one: one[1]):
        end = ended if until is None or (ended is not None and ended < until) else until
        start = max(start, last)
        if end is not None and end <= start:
            continue
        for cut in cuts:
            if start < cut and (end is None or cut < end):
                yield stop, start, cut
                start = cut
        yield stop, start, end
        if end is None:
            return
        last = end


def _times(stop: Stop) -> tuple[int, int | None] | None:
    """Return since when and until when a stop holds; None of a return that is not denied."""
    if stop.asked is None:
        return stop.since.at, stop.until.at if stop.until is not None else None
    if stop.asked.decision is None or not stop.asked.denied:
        return None
    return stop.since.at, stop.asked.decision.at
