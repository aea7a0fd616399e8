"""A table in memory that can lose what was not flushed, and an agent that may crash between any two of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.partition import Incoming
from streams.routes import Out

START_TS = 1_740_000_000_000


class DictTable:
    """A table whose changes are seen at once, and durable once flushed; a crash may come after any key of a flush."""

    def __init__(self) -> None:
        self.durable: dict[tuple[int, bytes], bytes] = {}
        self.changes: dict[tuple[int, bytes], bytes | None] = {}
        self.puts: list[bytes] = []

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Return a key's value."""
        name = (partition, key)
        return self.changes[name] if name in self.changes else self.durable.get(name)

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a key's value."""
        self.puts.append(key)
        self.changes[partition, key] = value

    def delete(self, partition: int, key: bytes) -> None:
        """Remove a key."""
        self.changes[partition, key] = None

    def partition_items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Return all keys and values of the partition."""
        for (number, key), value in sorted((self.durable | self.changes).items()):
            if number == partition and value is not None:
                yield key, value

    def count(self, partition: int) -> int:
        """Return how many keys the partition has."""
        return sum(1 for _ in self.partition_items(partition))

    def flush(self, keys: int | None = None) -> None:
        """Make the changes durable, or only the first few of them."""
        for name in list(self.changes)[:keys]:
            value = self.changes[name]
            if value is None:
                self.durable.pop(name, None)
            else:
                self.durable[name] = value
        self.changes.clear()
        self.puts.clear()


class Partition(Protocol):
    """What both partitions are to an agent."""

    owed: list[Out]

    def pieces(self, records: Sequence[Incoming]) -> Iterator[list[Out]]:
        """Apply a batch piece by piece."""


class CrashError(Exception):
    """The process ends here."""


@dataclass
class Watch:
    """Counts what a partition tells."""

    told: list[tuple[str, Any]] = field(default_factory=list)

    def warned(self, alert: Any) -> None:
        self.told.append(("warned", alert))

    def alarmed(self, alarm: Any) -> None:
        self.told.append(("alarmed", alarm))

    def too_late(self) -> None:
        self.told.append(("too_late", None))

    def expired(self, table: str, keys: int) -> None:
        self.told.append(("expired", (table, keys)))

    def ticked(self, at: int) -> None:
        self.told.append(("ticked", at))

    def broke(self, error: Exception) -> None:
        self.told.append(("broke", error))

    def unreadable(self) -> None:
        self.told.append(("unreadable", None))

    def wrote(self, table: str, partition: int, sizes: Mapping[str, int], changes: Mapping[str, int]) -> None:
        self.told.append(("wrote", (table, partition, dict(sizes), dict(changes))))

    def of(self, kind: str) -> list[Any]:
        """Return what was told of one kind."""
        return [what for name, what in self.told if name == kind]


@dataclass
class Agent:
    """Does with a partition what the worker does: debts, state, outputs, acknowledgement; in this order."""

    open_one: Callable[[DictTable, int], Partition]
    log: Sequence[bytes]
    table: DictTable = field(default_factory=DictTable)
    sent: list[Out] = field(default_factory=list)
    acknowledged: int = 0
    at_work: Any = None

    def restart(self) -> None:
        """Lose everything that is not durable."""
        self.table.changes.clear()
        self.table.puts.clear()
        self.at_work = None

    def batch(self, size: int, crash: tuple[str, int] | None = None) -> None:
        """Take the next so many records; crash after so many steps of a kind: keys flushed, debts or outputs sent, nothing acknowledged."""
        first = self.acknowledged
        records = [Incoming(first + n, value, START_TS) for n, value in enumerate(self.log[first : first + size])]
        try:
            self._batch(records, crash)
        except CrashError:
            self.restart()

    def _batch(self, records: list[Incoming], crash: tuple[str, int] | None) -> None:
        step, number = crash or ("never", 0)
        if self.at_work is None:
            self.at_work = self.open_one(self.table, records[0].offset)
        self._send(self.at_work.owed, number if step == "debts" else None)
        self.at_work.owed = []
        for outs in self.at_work.pieces(records):
            if step == "flush":
                self.table.flush(number)
                raise CrashError
            self.table.flush()
            self._send(outs, number if step == "outputs" else None)
        if step == "acknowledge":
            raise CrashError
        self.acknowledged = records[-1].offset + 1

    def _send(self, outs: list[Out], stop_after: int | None) -> None:
        self.sent += outs[:stop_after]
        if stop_after is not None:
            raise CrashError

    def run(self, sizes: Iterable[int] = (), crashes: Iterable[tuple[str, int] | None] = ()) -> Agent:
        """Take the whole log, in batches of these sizes (then one by one), with these crashes (then none)."""
        of_sizes, of_crashes = iter(sizes), iter(crashes)
        while self.acknowledged < len(self.log):
            self.batch(next(of_sizes, 1), next(of_crashes, None))
        return self

    def once(self) -> list[Out]:
        """Return what was sent, each once, in the order of first sending."""
        return list(dict.fromkeys(self.sent))
