"""The dispatch side: processes that run the service's own dispatch worker and senders, over topics that are lists and receivers that lie.

Time is the wall clock's: it passes when a step says so, and jumps both ways. A partition may be taken from a process that does not know of
it yet, and whose senders go on for a while.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import orjson
from prometheus_client import CollectorRegistry

from alerting.outbox import heads
from alerting.outbox_state import CaseOutbox, Item, decode
from models.delivery import DeliveryStatus, delivery_id
from models.subscriber import Subscriber
from models.times import SECOND
from streams.batches import PartitionLostError
from streams.dispatch import Dispatch
from streams.dispatch_batch import case_of
from streams.metrics_dispatch import DispatchMetrics
from streams.topics import TopicSet
from tests.builders import day
from tests.simulation.endpoints import Answers, Caller, Receiver
from tests.simulation.process import Book, Changelog, Life, Producer, Stored, task_of_its_life
from tests.simulation.schedule import PARTITIONS, WORKERS, Step
from tests.simulation.subscribers import Source, directory_of, renewed
from tests.simulation.virtual import VirtualLoop

TOPICS = TopicSet(partitions=PARTITIONS)
WAIT_SECONDS = 31.0
"""Longer than a sender waits before it looks at the clock again."""
_ROUNDS_MAX = 60
_JUMP_SECONDS = 7 * 3600
"""After some of them it is day."""
DELIVERY_BUGS = frozenset(
    {
        "calls acknowledged first",
        "what was queued forgotten",
        "records forgotten",
        "newest first",
        "another id each time",
        "410 ignored",
        "Retry-After ignored",
        "one call at a time",
    }
)
"""mistakes of delivery that can be planted"""
SCALE = 0.01
"""Of the retry schedule: what takes days comes within minutes, beside the other waits."""


class Record(NamedTuple):
    """A record as dispatch gets it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    """When the broker took it, in milliseconds."""
    headers: tuple[tuple[str, bytes], ...] = ()


@cache
def _metrics() -> DispatchMetrics:
    return DispatchMetrics((), CollectorRegistry())


class _App:
    """What of an app the worker needs here: somebody who never tells it of a rebalance."""

    def __init__(self) -> None:
        self.on_partitions_revoked = self

    def connect(self, hook: Any) -> None:
        pass


class _Dispatch(Dispatch):
    """The service's worker, over what stands for Kafka, disks and the network."""

    def __init__(self, process: Process) -> None:
        self._process = process
        side = process.side
        super().__init__(
            _App(),
            TOPICS,
            side.source,  # type: ignore[arg-type]
            retry_scale=SCALE,
            registry=CollectorRegistry(),
            clock=side.clock,
        )
        self._shell = replace(self._shell, die=process.died.append)

    def _new_metrics(self, registry: CollectorRegistry) -> DispatchMetrics:
        return _metrics()  # thousands of series, which nobody looks at here

    def _new_table(self) -> Any:
        return self._process.table

    def _new_client(self, subscriber: Subscriber) -> Any:
        side = self._process.side
        receiver = side.receivers[subscriber.name]
        caller = Caller(
            process=self._process.number,
            subscriber=subscriber,
            receiver=receiver,
            answers=side.answers,
            reach=self._process.life.reach,
            elapsed=side.clock.elapsed,
            bugs=side.bugs,
            line=self._process.line,
        )
        self._process.callers.setdefault(subscriber.name, []).append(caller)
        return caller

    def _producer(self) -> Any:
        return self._process.producer

    def _queue(self, partition: int, case_id: str, name: str) -> tuple[Item, ...]:
        queue = super()._queue(partition, case_id, name)
        return queue[::-1] if "newest first" in self._process.side.bugs else queue

    def _build(self, partition: int) -> None:
        if "what was queued forgotten" in self._process.side.bugs:
            self._start_senders()
            return
        super()._build(partition)
        if "records forgotten" in self._process.side.bugs:
            self._unwritten.pop(partition, None)


class Process:
    """One dispatch worker from its start to its end. Its disks are given to it and outlive it."""

    def __init__(self, side: Delivering, disks: dict[int, Stored]) -> None:
        self.side = side
        self.number = next(side.births)
        self.life = Life(side.loop)
        self.disks = disks
        self.died: list[BaseException] = []
        self.acknowledged: dict[tuple[str, int], int] = {}
        self.callers: dict[str, list[Caller]] = {}
        """By subscriber; the last one has the present address."""
        self.line = asyncio.Lock()
        self.table = Book("dispatch", side.changelogs, self.life.reach, disks)
        self.producer = Producer(self._append, self.life.reach)
        self.dispatch = self.life.run(lambda: _Dispatch(self))

    def _append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> int:
        if topic == TOPICS.deliveries and key is not None and value is not None:
            record = orjson.loads(value)
            self.side.receivers[record["subscriber"]].known_to[record["delivery_id"]].add(self.number)
        return self.side.append(topic, partition, key, value)

    def take(self, partition: int) -> None:
        """Become a partition's owner."""
        self._run(self._take(partition))

    async def _take(self, partition: int) -> None:
        self.table.take(partition)

    def drop(self, partition: int) -> None:
        """Hear that a partition went away."""
        self.life.run(lambda: self.table.drop(partition))
        for caller in (one for callers in self.callers.values() for one in callers):
            caller.taken.clear()  # it may get the partition back before the records of these calls are read
        for topic in self.side.read:
            self.acknowledged.pop((topic, partition), None)

    def position(self, name: tuple[str, int]) -> int:
        """Return the offset of the next record."""
        return self.acknowledged.get(name, self.side.committed[name])

    def work(self, partition: int, records: list[Record]) -> None:
        """Handle a batch, and acknowledge it; with no records: what time has made due."""
        self._run(self._work(partition, records))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.life.spawn(work)
        self.side.settle()
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            self.died.append(error)

    async def _work(self, partition: int, records: list[Record]) -> None:
        if "calls acknowledged first" in self.side.bugs:
            for record in records:
                self.side.committed[record.topic, partition] = record.offset + 1
        try:
            await self.dispatch.handle(partition, records)
        except PartitionLostError:
            return
        await self.life.reach("acknowledge")
        for record in records:
            self.acknowledged[record.topic, partition] = record.offset + 1

    def cases(self, partition: int) -> Iterator[CaseOutbox]:
        """Yield the value of each case of a partition."""
        for key, value in self.table.partition_items(partition):
            if case_of(key) is not None:
                yield decode(value)

    def changed(self) -> None:
        """Hear that the files changed."""

        async def hear() -> None:
            self.dispatch.directory_changed()

        self._run(hear())


@dataclass
class _Wall:
    """The clock on the wall."""

    loop: VirtualLoop
    ahead: int = 0
    skipped: int = 0
    """All jumps forwards together."""

    def __call__(self) -> int:
        return day(0.1) + self.ahead + round(self.loop.time() * SECOND)

    def elapsed(self) -> float:
        """Return how many seconds are over for whoever looks at this clock, jumps forwards and all."""
        return self.skipped + self.loop.time()

    def jump(self, seconds: int) -> None:
        """Be set on, or back."""
        self.ahead += seconds * SECOND
        self.skipped += max(seconds, 0)


class Delivering:
    """Topics, processes and receivers, at some point of a schedule."""

    def __init__(
        self, answers: tuple[str, ...], *, suppressing: bool, happened: Counter[str], bugs: frozenset[str] = frozenset()
    ) -> None:
        self.bugs = bugs
        self.happened = happened
        self.loop = VirtualLoop()
        self.loop.set_task_factory(task_of_its_life)
        self.clock = _Wall(self.loop)
        self.read = (TOPICS.alerts, TOPICS.deliveries)
        self.topics: dict[tuple[str, int], list[Record]] = {
            (topic, number): []
            for topic in (*self.read, TOPICS.decisions, TOPICS.quarantine)
            for number in range(PARTITIONS)
        }
        self.committed = dict.fromkeys(((topic, number) for topic in self.read for number in range(PARTITIONS)), 0)
        self.changelogs: dict[int, Changelog] = {number: [] for number in range(PARTITIONS)}
        self.directory = directory_of(suppressing=suppressing)
        self.source = Source(self.directory)
        self.receivers = {one.name: Receiver(one.name) for one in self.directory.subscribers}
        self.answers = Answers(list(answers), happened)
        self.births = itertools.count()
        self.errors: list[BaseException] = []
        self.idle: list[str] = []
        """Who was not called though nothing was in the way."""
        self.owner = dict.fromkeys(range(PARTITIONS), 0)
        self.unaware: set[tuple[int, int]] = set()
        """Process and partition: taken away, and not known there yet."""
        self.processes = [Process(self, {}) for _ in range(WORKERS)]
        for partition in self.owner:
            self.processes[0].take(partition)

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            self.errors += process.died
            process.life.end()
        self.loop.settle()
        self.loop.close()

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, then bury who died in it."""
        self.loop.settle(seconds)
        for number, process in enumerate(self.processes):
            if process.life.ended_at is not None:
                self.happened[f"crash before {process.life.ended_at.removeprefix('record on ')}"] += 1
                self.restart(number)

    # -- the broker

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> int:
        """Take a record."""
        log = self.topics[topic, partition]
        log.append(Record(topic, partition, len(log), key, value, self.clock() // 1000))
        return len(log) - 1

    # -- the end

    def drain(self) -> None:
        """Let everybody be well until nothing is left to do; where that never comes, it shows in what is left."""
        self.answers.left.clear()
        self.source.current = self.directory
        for process in self.processes:
            process.life.left = None
        self.notice()
        for number in range(_ROUNDS_MAX):
            while self._behind() and not any(process.died for process in self.processes):
                for partition in range(PARTITIONS):
                    self.deliver(partition, 50)
            self.wait(WAIT_SECONDS)
            if number == 0:
                self.renew()  # who is gone is not called until then
            if not self._behind() and not self._waiting():
                return
            if not self._behind():
                self.jump(_JUMP_SECONDS)

    def states(self) -> Iterator[CaseOutbox]:
        """Yield every case's value, as its owner has it."""
        for partition, owner in self.owner.items():
            yield from self.processes[owner].cases(partition)

    def written(self) -> list[bytes]:
        """Return everything that this side wrote or told."""
        found = [one.value or b"" for log in self.topics.values() for one in log]
        found += [value or b"" for changelog in self.changelogs.values() for _, value in changelog]
        return found + [orjson.dumps(call) for receiver in self.receivers.values() for call in receiver.kept]

    def _behind(self) -> bool:
        """Whether there are records that were not read."""
        return any(
            self.processes[self.owner[number]].position((topic, number)) < len(self.topics[topic, number])
            for topic in self.read
            for number in range(PARTITIONS)
        )

    def _waiting(self) -> bool:
        lanes = [lane for state in self.states() for lane in state.lanes.values()]
        return any(lane.queue or any(one.reason != "inhibited" for one in lane.held) for lane in lanes)

    # -- steps

    def do(self, step: Step) -> None:
        """Let one step happen."""
        owner = self.processes[self.owner[step.partition]]
        match step.kind:
            case "deliver":
                if step.crash is not None:
                    owner.life.left = step.effects
                self.deliver(step.partition, step.size)
            case "wait":
                self.wait(step.wait_seconds)
            case "jump":
                self.jump(step.jump_seconds)
            case "confirm":
                for topic in self.read:
                    self.committed[topic, step.partition] = owner.position((topic, step.partition))
            case "kill":
                owner.life.left = step.effects
            case "wipe":
                self.processes[step.worker].life.end()
                self.processes[step.worker].disks.clear()
                self.settle()
            case "hand_over":
                self.hand_over(step.partition, step.worker, known=step.at_once)
            case "renew":
                self.renew()
            case "registry":
                self.source.current = None if self.source.current else self.directory
                self.tell()

    def deliver(self, partition: int, size: int) -> None:
        """Let a partition's owner take what it has not seen of each topic."""
        process = self.processes[self.owner[partition]]
        if self.source.current is None:
            return  # it waits
        names = [(topic, partition) for topic in self.read]
        records = [one for name in names for one in self.topics[name][process.position(name) :][:size]]
        if records:
            process.work(partition, records)

    def wait(self, seconds: float) -> None:
        """Let time pass, and what it makes due be done."""
        self.settle(seconds)
        if self.source.current is None:
            return
        for process in self.processes:
            for partition in process.dispatch.due_partitions():
                if process is self.processes[self.owner[partition]]:
                    process.work(partition, [])
        self._see_who_is_idle()

    def _see_who_is_idle(self) -> None:
        """Whoever answered well so far and is not being called has nothing to come, whatever others do."""
        if self.source.current is None:
            return
        for partition, owner in self.owner.items():
            process = self.processes[owner]
            if partition in process.dispatch.due_partitions():
                continue
            tried = self._tried(partition, process)
            for state in process.cases(partition):
                for name, item in heads(state):
                    callers = process.callers[name]
                    trouble = callers[-1].failed or any(one.running for one in callers)
                    known = tried.union(*(one.called for one in callers))
                    fresh = item.attempts == 0 and item.status is DeliveryStatus.PENDING
                    if fresh and not trouble and delivery_id(name, item.alert_id, item.mark) not in known:
                        self.idle.append(
                            f"{name} is not told of {state.case_id} {item.alert_id}: nothing is in the way"
                        )

    def _tried(self, partition: int, process: Process) -> set[str]:
        """Return the deliveries that were tried, or parked, and whose records were not read yet."""
        name = (TOPICS.deliveries, partition)
        records = [orjson.loads(one.value or b"") for one in self.topics[name][process.position(name) :]]
        return {one["delivery_id"] for one in records if one["attempts"] or one["status"] != "pending"}

    def jump(self, seconds: int) -> None:
        """Set the clock on the wall."""
        self.clock.jump(seconds)
        self.wait(WAIT_SECONDS)

    def hand_over(self, partition: int, number: int, *, known: bool) -> None:
        """Give a partition to a process. Who had it hears of it at once, or goes on with its calls for a while."""
        self.notice()
        before = self.owner[partition]
        if before == number:
            return
        self.owner[partition] = number
        if known:
            self.processes[before].drop(partition)
        else:
            self.unaware.add((before, partition))
        self.processes[number].take(partition)

    def notice(self) -> None:
        """Let every process hear of what was taken from it."""
        for number, partition in sorted(self.unaware):
            self.processes[number].drop(partition)
        self.unaware.clear()

    def renew(self) -> None:
        """Let the operators give new addresses to those whose endpoint is gone."""
        gone = {name for name, one in self.receivers.items() if one.gone}
        subscribers = tuple(renewed(one) if one.name in gone else one for one in self.directory.subscribers)
        self.directory = replace(self.directory, subscribers=subscribers)
        self.source.subscribers = subscribers
        if self.source.current is not None:
            self.source.current = self.directory
        self.tell()

    def tell(self) -> None:
        """Let every process read the files."""
        for process in self.processes:
            process.changed()

    def restart(self, number: int) -> None:
        """Bury a process; another starts on its disks, and owns what it owned."""
        old = self.processes[number]
        old.life.end()
        self.errors += old.died
        self.unaware = {one for one in self.unaware if one[0] != number}
        self.processes[number] = Process(self, old.disks)
        for partition, owner in self.owner.items():
            if owner == number:
                self.processes[number].take(partition)
