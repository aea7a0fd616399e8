"""The deadlines of tickets, the next one first."""

import heapq

Deadline = tuple[int, str]
"""instant in microseconds, ticket"""

#: So many that no longer count are kept before they are looked for.
STALE_MIN = 256


class DeadlineHeap:
    """A heap that forgets deadlines that were moved.

    One that was moved stays in the heap, where it is not worth searching, until it comes up or half as many were moved as are kept:
    then all stale ones go at once. Without this a heap grows with the tickets that were, not with those that are open.
    """

    def __init__(self, deadlines: list[Deadline]) -> None:
        """Take the deadlines that hold now, in any order; the list is kept."""
        self._heap = deadlines
        heapq.heapify(self._heap)
        self._stale: set[Deadline] = set()
        self._moved = 0

    def __len__(self) -> int:
        """Return how many are kept, stale ones included."""
        return len(self._heap)

    def next_due(self) -> int | None:
        """Return the instant of the first one, stale or not."""
        return self._heap[0][0] if self._heap else None

    def pop(self, limit: int) -> Deadline | None:
        """Take out and return the first one up to an instant, which may be stale; None where there is none."""
        if not self._heap or self._heap[0][0] > limit:
            return None
        first = heapq.heappop(self._heap)
        self._stale.discard(first)
        return first

    def move(self, ticket_id: str, before: int | None, after: int | None) -> None:
        """Let a ticket's deadline be another instant, or none."""
        if before == after:
            return
        if after is not None:
            heapq.heappush(self._heap, (after, ticket_id))
            self._stale.discard((after, ticket_id))  # back to where it was; that it now stands there twice does no harm
        if before is not None:
            self._stale.add((before, ticket_id))
            self._moved += 1
            if self._moved > max(STALE_MIN, len(self._heap) // 2):
                self._forget_stale()

    def _forget_stale(self) -> None:
        self._heap = list(set(self._heap) - self._stale)
        heapq.heapify(self._heap)
        self._stale.clear()
        self._moved = 0
