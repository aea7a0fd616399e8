"""A broker, disks and workers as lists and dictionaries. What the workers do with a batch is the service's own code.

A worker has, of each of its partitions: the position that is acknowledged but not committed, the opened partition, and a database that is
its changelog's content up to some record. All but the database goes with a crash, the database with the disk. The broker keeps everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.times import DAY
from rules.engine import Engine
from rules.matter import MatterConfig
from rules.messages import EventMessage, TickMessage, decode, encode
from rules.state import TicketState, decode_state
from streams.citizen_partition import CitizenPartition
from streams.intake import Intake
from streams.partition import Incoming
from streams.routes import Out, partition_of
from streams.stored import unpack
from streams.ticket_partition import TicketPartition
from streams.topics import TopicSet
from tests.builders import KEYS, day, engine, reader
from tests.histories import SPAN_DAYS
from tests.partition_support import Watch
from tests.simulation.delivering import DELIVERY_BUGS, Delivering
from tests.simulation.schedule import KEEP_DAYS, PARTITIONS, WORKERS, Schedule, Step

TOPICS = TopicSet(partitions=PARTITIONS)
UNTIL = SPAN_DAYS + 10
"""the day at which the inputs are in, and time after them"""
DAYS_TO_GO = 12
"""in which merged tickets part, one after the other, and go"""
TAKEN_MS = 1_900_000_000_000
"""when Kafka takes every event: after all of them occurred"""
Name = tuple[str, int]
"""a topic or table, and a partition"""
TABLES = ("tickets", "citizens")
BUGS = frozenset({"acknowledged first", "debts forgotten", "disk first", "debts unnamed", "committed too far"})
"""mistakes that can be planted, to see that they are found"""


class Crash(Exception):
    """The process ends here."""


class Record(NamedTuple):
    """A record as intake gets it."""

    offset: int
    value: bytes
    timestamp: int = TAKEN_MS
    headers: tuple[tuple[str, bytes], ...] = ()


class IntakeWatch(Watch):
    """Counts what intake tells."""

    def accepted(self, event_type: str, unknown_fields: int) -> None:
        self.told.append(("accepted", event_type))

    def rejected(self, reason: str) -> None:
        self.told.append(("rejected", reason))

    def sealed(self, route: str) -> None:
        self.told.append(("sealed", route))

    def screened(self, event: Any) -> None:
        pass


@dataclass
class Disk:
    """One database: values, and up to which record of the changelog."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    applied: int = 0

    def take(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Set or delete keys."""
        for key, value in changes:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value


@dataclass
class Table:
    """A table of one worker over its disks: changes are seen at once, and durable once flushed."""

    name: str
    world: World
    disks: dict[int, Disk] = field(default_factory=dict)
    changes: dict[int, dict[bytes, bytes | None]] = field(default_factory=dict)

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Return a key's value."""
        return self.changes.get(partition, {}).get(key, self.disks[partition].values.get(key))

    def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a key's value."""
        if "debts unnamed" in self.world.bugs and key == b"\0owing":
            value = b"[]"
        self.changes.setdefault(partition, {})[key] = value

    def delete(self, partition: int, key: bytes) -> None:
        """Remove a key."""
        self.changes.setdefault(partition, {})[key] = None

    def partition_items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Return all keys and values of a partition."""
        every = self.disks[partition].values | self.changes.get(partition, {})
        return iter([(key, value) for key, value in every.items() if value is not None])

    def count(self, partition: int) -> int:
        """Return how many keys a partition has."""
        return len(self.disks[partition].values)

    def recover(self, partition: int) -> None:
        """Bring the disk up to the changelog's end."""
        disk = self.disks.setdefault(partition, Disk())
        changelog = self.world.changelogs[self.name, partition]
        disk.take(changelog[disk.applied :])
        disk.applied = len(changelog)

    def flush(self, partition: int, crash: str | None, after: int) -> None:
        """Write the changes to the changelog, then to the disk. Raises Crash after so many keys, or before the disk."""
        changes = self.changes.pop(partition, {})
        changelog, disk = self.world.changelogs[self.name, partition], self.disks[partition]
        if "disk first" in self.world.bugs:
            disk.take(changes.items())
        for number, item in enumerate(changes.items()):
            if crash == "changelog" and number >= after:
                raise Crash
            changelog.append(item)
        if crash == "disk":
            raise Crash
        disk.take(changes.items())
        disk.applied = len(changelog)


@dataclass
class Worker:
    """One process, and its disks, which outlive it."""

    world: World
    tables: dict[str, Table]
    intake: Intake
    engine: Engine
    opened: dict[Name, Any] = field(default_factory=dict)
    acknowledged: dict[Name, int] = field(default_factory=dict)

    def forget(self, partition: int) -> None:
        """Let go of what is in memory of a partition: a rebalance, or the process's end."""
        for topic in ("source", *TABLES):
            self.opened.pop((topic, partition), None)
            self.acknowledged.pop((topic, partition), None)
        for table in self.tables.values():
            table.changes.pop(partition, None)

    def take(self, partition: int) -> None:
        """Become a partition's owner: recover its tables."""
        for table in self.tables.values():
            table.recover(partition)

    def work(self, step: Step) -> None:
        """Do what the service does with the next batch. Raises Crash."""
        name = (step.topic, step.partition)
        log, first = self.world.logs[name], self.position(name)
        values = log[first : first + step.size]
        if not values:
            return
        if "acknowledged first" in self.world.bugs:
            self.world.committed[name] = first + len(values)
        if step.topic == "source":
            records = [Record(first + number, value) for number, value in enumerate(values)]
            pieces: Iterable[list[Out]] = [self.intake.handle(step.partition, records)]
        else:
            pieces = self._judged(name, [Incoming(first + n, value, TAKEN_MS) for n, value in enumerate(values)], step)
        for outs in pieces:
            self.world.send(outs, step.after if step.crash == "outputs" else None)
        if step.crash == "acknowledge":
            raise Crash
        self.acknowledged[name] = first + len(values)

    def position(self, name: Name) -> int:
        """Return the offset of the next record."""
        return self.acknowledged.get(name, self.world.committed[name])

    def _judged(self, name: Name, batch: list[Incoming], step: Step) -> Iterator[list[Out]]:
        if name not in self.opened:
            self.opened[name] = self._open(name, batch[0].offset)
        at_work = self.opened[name]
        if "debts forgotten" not in self.world.bugs:
            self.world.send(at_work.owed, step.after if step.crash == "debts" else None)
        at_work.owed = []
        for outs in at_work.pieces(batch):
            self.tables[name[0]].flush(name[1], step.crash, step.after)
            yield outs

    def _open(self, name: Name, first_offset: int) -> TicketPartition | CitizenPartition:
        topic, partition = name
        keep = KEEP_DAYS * DAY if self.world.schedule.expires else None
        committed: Callable[[], int] = lambda: self.world.committed[name]  # noqa: E731
        table, watch = self.tables[topic], self.world.watch
        if topic == "tickets":
            return TicketPartition(
                partition, table, self.engine, TOPICS, watch, first_offset, keep=keep, committed=committed
            )
        return CitizenPartition(
            partition, table, MatterConfig(), TOPICS, watch, first_offset, keep=keep, committed=committed
        )


class World:
    """Everything, at some point of a schedule."""

    def __init__(self, schedule: Schedule, bugs: frozenset[str] = frozenset()) -> None:
        assert bugs <= BUGS | DELIVERY_BUGS
        self.schedule = schedule
        self.bugs = bugs
        self.watch = IntakeWatch()
        self.happened = Counter[str]()
        names = [(topic, number) for topic in ("source", *TABLES) for number in range(PARTITIONS)]
        self.logs: dict[Name, list[bytes]] = {name: [] for name in names}
        self.committed: dict[Name, int] = dict.fromkeys(names, 0)
        self.changelogs: dict[Name, list[tuple[bytes, bytes | None]]] = {
            (table, number): [] for table in TABLES for number in range(PARTITIONS)
        }
        self.alerts: list[bytes] = []
        self.quarantined: dict[str, bytes] = {}
        self.produced = 0
        self.is_all_in = False
        """every input is in, and all has come of it that follows"""
        self.owner = dict.fromkeys(range(PARTITIONS), 0)
        self.workers = [self._worker() for _ in range(WORKERS)]
        for partition in self.owner:
            self.workers[0].take(partition)
        answers = schedule.answers
        self.delivering = (
            None
            if answers is None
            else Delivering(answers, suppressing=schedule.suppressing, happened=self.happened, bugs=bugs)
        )

    def _worker(self) -> Worker:
        intake = Intake(TOPICS, KEYS, self.watch, reader())
        return Worker(self, {name: Table(name, self) for name in TABLES}, intake, engine())

    # -- the broker

    def send(self, outs: list[Out], stop_after: int | None = None) -> None:
        """Take records. Raises Crash after so many."""
        topics = {TOPICS.tickets: "tickets", TOPICS.citizens: "citizens"}
        for out in outs if stop_after is None else outs[:stop_after]:
            if out.topic == TOPICS.alerts:
                self.alerts.append(out.value)
                if self.delivering is not None:
                    self.delivering.append(out.topic, out.partition, out.key.encode(), out.value)
            elif out.topic == TOPICS.quarantine:
                self.quarantined[out.key] = out.value
            else:
                self.logs[topics[out.topic], out.partition].append(out.value)
        if stop_after is not None:
            raise Crash

    # -- steps

    def do(self, step: Step) -> None:
        """Let one step happen."""
        self.happened[step.kind] += 1
        match step.kind:
            case "produce":
                self.produce(step.size)
            case "work":
                self._work(step)
            case "commit":
                self._commit(step.partition)
            case "crash":
                self._crash(step.worker)
            case "move":
                self._move(step.partition, step.worker)
            case "lose_disk":
                self._crash(step.worker, with_disk=True)
            case "tick":
                self.tick(step.day)
            case "catch_up":
                self.catch_up()
            case _ if self.delivering is not None:
                self.delivering.do(step)

    def produce(self, count: int) -> None:
        """Let the platform send the next inputs, each in the partition of its ticket; what has none, anywhere."""
        for value in self.schedule.inputs[self.produced : self.produced + count]:
            key = value.partition(b'"ticket_id":"')[2].partition(b'"')[0].decode(errors="replace")
            self.logs["source", partition_of(key, PARTITIONS)].append(value)
        self.produced = min(self.produced + count, len(self.schedule.inputs))

    def tick(self, number: float) -> None:
        """Send a tick to every partition. Time may step back; in order, it never leads what the partition has seen."""
        for partition in range(PARTITIONS):
            at = day(number)
            if self.schedule.in_order and not self.is_all_in:
                at = min(at, max(map(_time_of, self.logs["tickets", partition]), default=0))
            self.logs["tickets", partition].append(encode(TickMessage(at)))

    def _work(self, step: Step) -> None:
        try:
            self.workers[self.owner[step.partition]].work(step)
        except Crash:
            self.happened[f"crash at {step.crash}"] += 1
            self._crash(self.owner[step.partition])

    def _commit(self, partition: int) -> None:
        worker = self.workers[self.owner[partition]]
        for topic in ("source", *TABLES):
            name = (topic, partition)
            self.committed[name] = worker.position(name)
            if "committed too far" in self.bugs:
                self.committed[name] = min(self.committed[name] + 1, len(self.logs[name]))

    def _crash(self, number: int, *, with_disk: bool = False) -> None:
        worker = self.workers[number]
        for partition in range(PARTITIONS):
            worker.forget(partition)
        if with_disk:
            for table in worker.tables.values():
                table.disks.clear()
        for partition, owner in self.owner.items():
            if owner == number:
                worker.take(partition)

    def _move(self, partition: int, number: int) -> None:
        if self.owner[partition] == number:
            return
        self.workers[self.owner[partition]].forget(partition)
        self.owner[partition] = number
        self.workers[number].take(partition)

    # -- the end

    def catch_up(self) -> None:
        """Let the rest of the inputs come, and time after them, and everybody be well until nothing is left to do."""
        self.produce(len(self.schedule.inputs))
        self.drain()
        self._tick_all(day(UNTIL))
        self.drain()

    def _tick_all(self, instant: int) -> None:
        for partition in range(PARTITIONS):
            self.logs["tickets", partition].append(encode(TickMessage(instant)))

    def let_years_pass(self, number: int) -> None:
        """Let everybody be well, and days go by, until whatever can expire has expired."""
        for later in range(DAYS_TO_GO):
            self.drain()
            for partition in range(PARTITIONS):
                self._commit(partition)
            self._tick_all(day(number + later))
        self.drain()

    @staticmethod
    def state_of(value: bytes) -> TicketState:
        """Return the state in a stored value."""
        return decode_state(unpack(value).body)

    def drain(self) -> None:
        """Let everybody be well until nothing is left to do."""
        while True:
            left = [name for name in self.logs if self._left(name)]
            if not left:
                return
            for topic, partition in left:
                self._work(Step("work", topic, partition, size=50))

    def _left(self, name: Name) -> bool:
        return self.workers[self.owner[name[1]]].position(name) < len(self.logs[name])


def _time_of(value: bytes) -> int:
    message = decode(value)
    return message.event.at if isinstance(message, EventMessage) else 0
