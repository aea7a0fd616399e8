"""What one partition knows of citizens who are forgotten: their marks, and how far the erasures go that are on their way.

A mark is a key of the table's own, so it is as durable as the states: whatever comes later for a forgotten pseudonym is taken without it.
Until an erasure is done, each state is freed of the pseudonym as it is loaded; a walk over the partition, slice by slice, loads all those
that name it. The walk begins with the batch after the one that set the mark: no state can come to name the citizen any more by then, nor
can what it owes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import orjson

from rules.forgetting import Needle, Removed, mark_of
from streams.partition import RESERVED, Table

_MARK = RESERVED + b"forgotten:"
FORGET_SLICE = 2_000
"""values that are looked at with one batch: some hundredths of a second"""


def mark_key(citizen: str) -> bytes:
    """Return the table's key of a forgotten citizen's mark."""
    return _MARK + mark_of(citizen).encode()


def marks_among(items: Iterable[tuple[bytes, bytes]]) -> dict[str, dict[str, Any]]:
    """Return what the marks among the first of a partition's items say, by mark: a table's own keys come before all others."""
    own = takewhile(lambda item: item[0].startswith(RESERVED), items)
    return {key.removeprefix(_MARK).decode(): orjson.loads(value) for key, value in own if key.startswith(_MARK)}


@dataclass
class Erasure:
    """One erasure on its way through a partition of tickets."""

    request: str
    needle: Needle
    walk: Iterator[tuple[bytes, bytes]] | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("tickets", "events", "repeats", "claims"), 0))


class Erasures:
    """The forgotten of one partition."""

    def __init__(self, partition: int, table: Table) -> None:
        self._partition = partition
        self._table = table
        self._marks = marks_among(table.partition_items(partition))
        self.under_way: dict[str, Erasure] = {}
        """by pseudonym"""

    def __bool__(self) -> bool:
        """Tell whether anybody is forgotten here."""
        return bool(self._marks)

    def knows(self, citizen: str) -> bool:
        """Tell whether a citizen is forgotten."""
        return bool(self._marks) and mark_of(citizen) in self._marks

    def is_done(self, citizen: str, request: str) -> bool:
        """Tell whether this request has gone through the whole partition."""
        mark = self._marks.get(mark_of(citizen), {})
        return bool(mark.get("done")) and mark.get("request") == request

    def set_mark(self, citizen: str, request: str, *, done: bool, **counts: int) -> None:
        """Remember the citizen as forgotten, and how far the request has come."""
        said = {"request": request, "done": done, **counts}
        self._marks[mark_of(citizen)] = said
        self._table.put(self._partition, mark_key(citizen), orjson.dumps(said))

    def begin(self, citizen: str, request: str) -> None:
        """Begin an erasure, or begin it again from the start."""
        self.under_way[citizen] = Erasure(request, Needle(citizen))
        self.set_mark(citizen, request, done=False)

    def count(self, citizen: str, removed: Removed) -> None:
        """Count what one ticket lost."""
        counts = self.under_way[citizen].counts
        counts["tickets"] += 1
        for name, number in removed._asdict().items():
            counts[name] += number

    def next_slice(self, citizen: str) -> tuple[list[str], bool]:
        """Return the next keys that name the citizen, and whether there are no more."""
        erasure = self.under_way[citizen]
        if erasure.walk is None:
            erasure.walk = self._table.partition_items(self._partition)
        keys: list[str] = []
        for _ in range(FORGET_SLICE):
            pair = next(erasure.walk, None)
            if pair is None:
                return keys, True
            if not pair[0].startswith(RESERVED) and erasure.needle.in_value(pair[1]):
                keys.append(pair[0].decode())
        return keys, False

    def end(self, citizen: str) -> None:
        """Note that nothing in the partition names the citizen any more."""
        erasure = self.under_way.pop(citizen)
        self.set_mark(citizen, erasure.request, done=True, **erasure.counts)
