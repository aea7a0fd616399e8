"""Expiry in one partition of a table: once a day of the partition's clock a walk goes through it, a slice with each batch.

A key may go only if all that is in it is committed: a record that came again would find nothing there, and be taken once more. So the
partition is told how far its source is committed, and by when it was opened nothing before its first record comes again.
Most values are passed over by their first bytes. The machine's time plays no part.
"""

from collections.abc import Callable, Container, Iterator

from models.times import DAY
from rules.engine import Engine
from rules.event import Event
from rules.expiry import farewells, is_expired
from rules.messages import EventMessage, FarewellMessage, MembersMessage, RepeatMessage
from rules.state import TicketState, decode_state
from streams.batches import PartitionLostError
from streams.partition import RESERVED, Table
from streams.stored import Stored, head_of, unpack
from streams.tables import TableError

EXPIRY_SLICE = 2_000
"""values that are looked at with one batch: some hundredths of a second"""
JUDGED_SLICE = 500
"""of those, how many are read: where much is old at once, as when expiry is first set, each costs a fold"""


class Walk:
    """Goes through a partition again and again, no more than once a day, and gives what is old enough to be judged."""

    def __init__(self, partition: int, table: Table, first_offset: int, committed: Callable[[], int] | None) -> None:
        """Begin with the next batch. `committed` returns the offset up to which the partition's source is committed."""
        self._partition = partition
        self._table = table
        self._first_offset = first_offset
        self._committed = committed or (lambda: first_offset)
        self._day = 0
        self._items: Iterator[tuple[bytes, bytes]] | None = None

    def next_slice(self, clock: int, keep: int) -> Iterator[tuple[bytes, Stored]]:
        """Yield the keys and values of the next slice that have been at rest for longer than `keep` microseconds, so far as their
        first bytes tell, and that no record comes again for.
        """
        if self._items is None:
            if clock // DAY <= self._day:
                return
            self._day, self._items = clock // DAY, self._table.partition_items(self._partition)
        committed = max(self._first_offset, self._committed())
        judged = 0
        for _ in range(EXPIRY_SLICE):
            if judged == JUDGED_SLICE:
                return
            pair = next(self._items, None)
            if pair is None:
                self._items = None
                return
            if pair[0].startswith(RESERVED) or not _may_go(pair[1], clock - keep, committed):
                continue
            stored = self._table.get(self._partition, pair[0])  # the walk's own value may be a day old
            if stored is not None and _may_go(stored, clock - keep, committed):
                judged += 1
                yield pair[0], unpack(stored)


def _may_go(value: bytes, before: int, committed: int) -> bool:
    head = head_of(value)
    return head.due_at is None and head.offset < committed and (head.since is None or head.since < before)


class TicketExpiry:
    """What is too old to be kept in one partition of tickets."""

    def __init__(self, walk: Walk, keep: int | None) -> None:
        """`keep`: for how many microseconds a ticket that is over is kept; None: for ever."""
        self._walk = walk
        self._keep = keep

    def __bool__(self) -> bool:
        """Tell whether tickets expire at all."""
        return self._keep is not None

    def new(self, ticket_id: str, clock: int) -> TicketState:
        """Return the state of a ticket that is not there. What it tells must count as later than what one of its name told that expired."""
        return TicketState(ticket_id) if self._keep is None else TicketState(ticket_id, told=clock)

    def begun_anew(
        self, state: TicketState, message: EventMessage | MembersMessage | RepeatMessage, clock: int
    ) -> TicketState:
        """Return what a message is for that comes for a child that has parted: a new ticket, unless the message is known."""
        if isinstance(message, RepeatMessage) or (
            isinstance(message, EventMessage) and state.knows(message.event.event_id)
        ):
            return state
        return self.new(state.ticket_id, clock)

    def is_old(self, event: Event, clock: int) -> bool:
        """Tell whether an event lies so far back that its ticket may have expired."""
        return self._keep is not None and event.at < clock - self._keep

    def has_expired(self, engine: Engine, state: TicketState, clock: int) -> bool:
        """Tell whether a ticket is to be taken as one that is not there, whether the walk has come to it or not."""
        return self._keep is not None and is_expired(engine, state, clock - self._keep)

    def before(self, clock: int) -> int | None:
        """Return the instant since which nothing may have happened to what goes; None where nothing goes."""
        return None if self._keep is None else clock - self._keep

    def next_slice(
        self, engine: Engine, clock: int, changed: Container[str], broke: Callable[[Exception], None]
    ) -> tuple[list[str], list[FarewellMessage]]:
        """Return the tickets of the next slice that may go, and what roots ask their children; nothing of those changed just now."""
        gone: list[str] = []
        asked: list[FarewellMessage] = []
        if self._keep is None:
            return gone, asked
        for key, value in self._walk.next_slice(clock, self._keep):
            try:
                state = decode_state(value.body)
                if state.ticket_id in changed:
                    continue
                if is_expired(engine, state, clock - self._keep):
                    gone.append(key.decode())
                else:
                    asked += farewells(engine, state, clock - self._keep)
            except (PartitionLostError, TableError, MemoryError):
                raise
            except Exception as broken:  # it stays
                broke(broken)
        return gone, asked
