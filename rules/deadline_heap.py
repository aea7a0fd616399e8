"""The deadlines of tickets, the next one first."""

import heapq
from collections.abc import Iterable

Deadline = tuple[int, str]
"""instant in microseconds, ticket"""

#: So many that no longer count are kept before they are looked for.
STALE_MIN = 256

_INSTANT_BYTES = 8
_ZERO = 2**63  # so that an instant before 1970 sorts before a later one


class DeadlineHeap:
    """A heap that forgets deadlines that were moved.

    One that was moved stays in the heap, where it is not worth searching, until it comes up or a quarter as many were moved as are
    kept: then all stale ones go at once. Without this a heap grows with the tickets that were, not with those that are open.

    A worker keeps one for every open ticket, so each is one object of bytes, the instant before the ticket: less than half the memory of
    a pair, in the same order.
    """

    def __init__(self, deadlines: Iterable[Deadline]) -> None:
        """Take the deadlines that hold now, in any order."""
        self._heap = [_packed(*deadline) for deadline in deadlines]
        heapq.heapify(self._heap)
        self._stale: set[bytes] = set()
        self._moved = 0

    def __len__(self) -> int:
        """Return how many are kept, stale ones included."""
        return len(self._heap)

    def next_due(self) -> int | None:
        """Return the instant of the first one, stale or not."""
        return _instant_of(self._heap[0]) if self._heap else None

    def pop(self, limit: int) -> Deadline | None:
        """Take out and return the first one up to an instant, which may be stale; None where there is none."""
        if not self._heap or _instant_of(self._heap[0]) > limit:
            return None
        first = heapq.heappop(self._heap)
        self._stale.discard(first)
        return _instant_of(first), first[_INSTANT_BYTES:].decode()

    def move(self, ticket_id: str, before: int | None, after: int | None) -> None:
        """Let a ticket's deadline be another instant, or none."""
        if before == after:
            return
        if after is not None:
            now = _packed(after, ticket_id)
            heapq.heappush(self._heap, now)
            self._stale.discard(now)  # back to where it was; that it now stands there twice does no harm
        if before is not None:
            self._stale.add(_packed(before, ticket_id))
            self._moved += 1
            if self._moved > max(STALE_MIN, len(self._heap) // 4):
                self._forget_stale()

    def _forget_stale(self) -> None:
        self._heap = list(set(self._heap) - self._stale)
        heapq.heapify(self._heap)
        self._stale = set()  # one that is cleared keeps its room
        self._moved = 0


def _packed(at: int, ticket_id: str) -> bytes:
    return (at + _ZERO).to_bytes(_INSTANT_BYTES, "big") + ticket_id.encode()


def _instant_of(packed: bytes) -> int:
    return int.from_bytes(packed[:_INSTANT_BYTES], "big") - _ZERO
