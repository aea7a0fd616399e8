"""The deadlines of one partition, the next one first."""

import heapq

Deadline = tuple[int, str]
"""instant in microseconds, ticket"""

#: So many that no longer count are kept before they are looked for.
STALE_MIN = 256


class Deadlines:
    """A heap that forgets deadlines that were moved.

    One that was moved stays in the heap, where it is not worth searching, until it comes up or as many are stale as count: then all
    stale ones go at once. Without this a heap grows with the tickets that were, not with those that are open.
    """

    def __init__(self, deadlines: list[Deadline]) -> None:
        """Take the deadlines that hold now, in any order; the list is kept."""
        self._heap = deadlines
        heapq.heapify(self._heap)
        self._stale: set[Deadline] = set()
        self._doubles = 0
        self._taken: Deadline | None = None

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
        self._taken = heapq.heappop(self._heap)
        self._stale.discard(self._taken)
        return self._taken

    def move(self, ticket_id: str, before: int | None, after: int | None) -> None:
        """Let a ticket's deadline be another instant, or none."""
        if before == after:
            return
        if after is not None:
            heapq.heappush(self._heap, (after, ticket_id))
            if (after, ticket_id) in self._stale:  # back to where it was; that it now stands there twice does no harm
                self._stale.remove((after, ticket_id))
                self._doubles += 1
        if before is not None and (before, ticket_id) != self._taken:
            self._stale.add((before, ticket_id))
            if len(self._stale) + self._doubles > max(STALE_MIN, len(self._heap) // 2):
                self._heap = list(set(self._heap) - self._stale)
                heapq.heapify(self._heap)
                self._stale.clear()
                self._doubles = 0
