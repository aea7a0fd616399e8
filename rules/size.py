"""How large a ticket may become. Its value in the table, and whatever it owes, must stay far below what Kafka takes as one record (4 MiB).

A ticket that is full takes no large event any more, and small ones only for as long as the reserve lasts: it can still be closed. What it
does not take is refused, and stands in quarantine. Numbers are of bytes as the state is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import orjson

from rules.event import Event
from rules.messages import Events
from rules.repeats import Complaint, Repeat

MAX_HISTORY_BYTES = 1_250 * 1024
"""of a ticket's own events and those of its merged children together"""
RESERVE_BYTES = 250 * 1024
"""beyond it for small events"""
SMALL_EVENT_BYTES = 1_024
MAX_FORWARDED_BYTES = 512 * 1024
"""of what a merged child tells its root at once: its newest events"""
MAX_CLAIMED = 200
MAX_CLAIMED_BYTES = 256 * 1024
"""of what a lineage claims of one citizen: its newest complaints"""
MAX_REPEAT_ROWS = 400
"""complaints that a lineage knows by name, of all its citizens"""
_FEW = 24
"""events, the largest that intake lets through, that are never too many"""

Members = Mapping[str, tuple[int, Events]]
Item = TypeVar("Item", Event, Complaint)


def size_of(what: object) -> int:
    """Return how many bytes something takes in a state or a message."""
    return len(orjson.dumps(what, default=tuple))


class Sizes:
    """Remembers how large the histories of tickets lately grown are, so that one more event is not the measuring of all."""

    def __init__(self, size: int = 1_024) -> None:
        self._size = size
        self._known: dict[str, tuple[Events, Members, int]] = {}

    def has_room(self, ticket_id: str, before: Events, members: Members, events: Events, event: Event) -> bool:
        """Tell whether a ticket has room for an event; `events` are those before and this one, less what was let go for it."""
        if len(events) <= _FEW and not members:
            return True
        known = self._known.pop(ticket_id, None)
        added = size_of(event)
        if known is not None and known[0] is before and known[1] is members and len(events) == len(before) + 1:
            size = known[2] + added + 1
        else:
            size = size_of((events, members))
        fits = size <= MAX_HISTORY_BYTES + (RESERVE_BYTES if added <= SMALL_EVENT_BYTES else 0)
        self._known[ticket_id] = (events, members, size) if fits else (before, members, size - added - 1)
        if len(self._known) > self._size:
            del self._known[next(iter(self._known))]
        return fits


def have_room(events: Events, before: Members, members: Members) -> bool:
    """Tell whether a root has room for what a merged child tells; always for less than the child told before."""
    if sum(len(theirs) for _, theirs in members.values()) + len(events) <= _FEW:
        return True
    size = size_of((events, members))
    return size <= MAX_HISTORY_BYTES or size <= size_of((events, before))


def newest_that_fit(items: Sequence[Item], most: int, room: int) -> tuple[Item, ...]:
    """Return all of the items, or the newest of them: at most so many, and so many bytes."""
    if len(items) <= most and size_of(items) <= room:
        return tuple(items)
    items = sorted(items, key=lambda one: one.at)[-most:]
    start = len(items)
    while start and (room := room - size_of(items[start - 1]) - 1) >= 0:
        start -= 1
    return tuple(items[start:])


def bounded_repeats(repeats: Mapping[str, Repeat]) -> tuple[dict[str, Repeat], bool]:
    """Return what citizens' tables told, and whether anything went: of too many citizens only the busiest keep names, all their counts."""
    left = MAX_REPEAT_ROWS
    if _rows(repeats.values()) <= left:
        return dict(repeats), False
    kept: dict[str, Repeat] = {}
    for citizen, one in sorted(repeats.items(), key=lambda item: (-item[1].count, item[0])):
        left -= _rows([one])
        kept[citizen] = one if left >= 0 else Repeat(one.version, one.count, ())
    return {citizen: kept[citizen] for citizen in repeats}, True


def _rows(repeats: Iterable[Repeat]) -> int:
    return sum(len(one.complaints) + len(one.others) for one in repeats)
