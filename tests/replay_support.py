"""A recorded stream through the real partitions, with no broker: any number of them, batches of any size, any interleaving."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from models.alert import Alert
from rules.event import Event
from rules.matter import MatterConfig
from rules.messages import EventMessage, TickMessage, encode
from streams.citizen_partition import CitizenPartition
from streams.routes import Out, partition_of
from streams.ticket_partition import TicketPartition
from streams.topics import TopicSet
from tests.builders import engine
from tests.partition_support import Agent, DictTable, Partition, Watch

Recorded = Event | int
"""an event, or the instant of a tick"""


@dataclass
class Partitions:
    """Agents over every partition of both tables; what one says to another lies in that one's log at once."""

    count: int = 4
    watch: Watch = field(default_factory=Watch)
    alerts: list[Alert] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topics = TopicSet(partitions=self.count)
        self.logs: dict[tuple[str, int], list[bytes]] = {}
        self.agents: dict[tuple[str, int], Agent] = {}
        for number in range(self.count):
            for topic in (self.topics.tickets, self.topics.citizens):
                log: list[bytes] = []
                self.logs[topic, number] = log
                self.agents[topic, number] = Agent(self._opener(topic, number), log)

    def _opener(self, topic: str, number: int) -> Callable[[DictTable, int], Partition]:
        judge = engine()

        def open_one(table: DictTable, first_offset: int) -> TicketPartition | CitizenPartition:
            if topic == self.topics.tickets:
                return TicketPartition(number, table, judge, self.topics, self.watch, first_offset)
            return CitizenPartition(number, table, MatterConfig(), self.topics, self.watch, first_offset)

        return open_one

    def put(self, one: Recorded) -> None:
        """Append an event to its ticket's partition, or a tick to every partition."""
        if isinstance(one, Event):
            number = partition_of(one.ticket_id, self.count)
            self.logs[self.topics.tickets, number].append(encode(EventMessage(one)))
            return
        for number in range(self.count):
            self.logs[self.topics.tickets, number].append(encode(TickMessage(one)))

    def work(self, name: tuple[str, int], size: int) -> None:
        """Let one agent take a batch, and hand on what it says."""
        agent = self.agents[name]
        if agent.acknowledged == len(agent.log):
            return
        agent.batch(size)
        for out in agent.sent:
            self._hand_on(out)
        agent.sent.clear()

    def _hand_on(self, out: Out) -> None:
        if out.topic == self.topics.alerts:
            self.alerts.append(Alert.model_validate_json(out.value))
        elif (out.topic, out.partition) in self.logs:
            self.logs[out.topic, out.partition].append(out.value)

    def waiting(self) -> list[tuple[str, int]]:
        """Return who has something to do."""
        return [name for name, agent in self.agents.items() if agent.acknowledged < len(agent.log)]

    def move(self, name: tuple[str, int]) -> None:
        """Let another worker open the partition, from what is durable."""
        self.agents[name].restart()


def replay(recorded: Iterable[Recorded], seed: int, *, batch_max: int = 500, partitions: int = 4) -> Partitions:
    """Return the partitions after the stream, put into the logs piece by piece while agents work in an order drawn from the seed."""
    chance = random.Random(seed)
    world = Partitions(partitions)
    rest: Sequence[Recorded] = list(recorded)
    while rest:
        piece = chance.randint(1, batch_max)
        for one in rest[:piece]:
            world.put(one)
        rest = rest[piece:]
        for name in chance.sample(world.waiting(), k=len(world.waiting())):
            if chance.random() < 0.05:
                world.move(name)
            world.work(name, chance.randint(1, batch_max))
    while names := world.waiting():
        world.work(chance.choice(names), batch_max)
    return world
