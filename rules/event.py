"""The event as everything after intake sees it: validated, pseudonymised, without a word of anybody's free text."""

from typing import Any, NamedTuple


class Event(NamedTuple):
    """One ticket event. `at` is in microseconds; `data` holds the type's own facts; `digest` tells two bodies under one id apart."""

    event_id: str
    ticket_id: str
    type: str
    at: int
    seq: int | None
    unit: str | None
    unit_name: str | None
    backfill: bool
    test: bool
    digest: str
    data: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """Return what makes the event one and the same: its ticket and its id."""
        return (self.ticket_id, self.event_id)

    @property
    def moment(self) -> tuple[int, str]:
        """Return the event's place in the order of time."""
        return (self.at, self.event_id)


def by_time(event: Event) -> tuple[int, str, str]:
    """Sort key: when it occurred, then its id."""
    return (event.at, event.event_id, event.ticket_id)


def _by_seq(event: Event) -> tuple[int, int, str]:
    return (event.seq or 0, event.at, event.event_id)


def with_event(events: tuple[Event, ...], event: Event) -> tuple[Event, ...]:
    """Return a ticket's events, which are in fold order, with one more in its place."""
    if event.seq is None and (not events or by_time(events[-1]) <= by_time(event)) and not _numbered(events):
        return (*events, event)
    return tuple(in_fold_order([*events, event]))


def _numbered(events: tuple[Event, ...]) -> bool:
    return bool(events) and events[0].seq is not None and all(event.seq is not None for event in events)


def in_fold_order(events: list[Event]) -> list[Event]:
    """Return the events as they are folded: by `seq` where every event of a single ticket has one, else by time and id."""
    numbered = bool(events) and all(event.seq is not None for event in events)
    if numbered and all(event.ticket_id == events[0].ticket_id for event in events):
        return sorted(events, key=_by_seq)
    return sorted(events, key=by_time)
