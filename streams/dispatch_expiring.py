"""What dispatch keeps of cases that have been quiet for long: it goes, a slice of a partition with each batch, once a day.

A case goes when nothing of it is queued or held and nothing has changed for longer than closed tickets are kept. What comes of it later
is the first of a new case: its numbers begin with 1, and a retraction of what was told before is not sent. A change is dated by the
broker's clock or this machine's, whichever is ahead, and its age is told by the one that is behind: no clock alone lets go of anything.
"""

from collections.abc import Iterator
from dataclasses import replace

from alerting.outbox_state import CaseOutbox, decode, encode
from models.times import DAY
from streams.dispatch_batch import Batch, case_key, case_of
from streams.partition import Table

SLICE = 2_000
"""keys that are looked at with one batch"""


class CaseExpiry:
    """The walks of one worker through its partitions."""

    def __init__(self, table: Table, keep: int | None) -> None:
        """`keep`: for how many microseconds a quiet case is kept; None: for ever."""
        self._table = table
        self._keep = keep
        self._days: dict[int, int] = {}
        self._walks: dict[int, Iterator[tuple[bytes, bytes]]] = {}

    def drop(self, partition: int) -> None:
        """Forget a partition: it is another worker's, or is recovered anew."""
        self._days.pop(partition, None)
        self._walks.pop(partition, None)

    def apply(self, batch: Batch) -> int:
        """Delete what has been quiet for too long and the batch has nothing to do with; return how many cases."""
        if self._keep is None:
            return 0
        now = min(batch.now, batch.newest)
        gone = 0
        for case_id, state in self._next_slice(batch.partition, now):
            if case_id in batch.states:
                continue
            if not state.at:  # an earlier release did not say when: from now on
                self._table.put(batch.partition, case_key(case_id), encode(replace(state, at=now)))
            elif state.is_idle(now - self._keep):
                gone += 1
                for key in batch.keys_of(state):
                    self._table.delete(batch.partition, key)
        return gone

    def _next_slice(self, partition: int, now: int) -> Iterator[tuple[str, CaseOutbox]]:
        walk = self._walks.get(partition)
        if walk is None:
            if now // DAY <= self._days.get(partition, 0):
                return
            self._days[partition] = now // DAY
            walk = self._walks[partition] = self._table.partition_items(partition)
        for _ in range(SLICE):
            pair = next(walk, None)
            if pair is None:
                del self._walks[partition]
                return
            case_id = case_of(pair[0])
            stored = self._table.get(partition, pair[0]) if case_id is not None else None
            if case_id is not None and stored is not None:  # the walk's own value may be a day old
                yield case_id, decode(stored)
