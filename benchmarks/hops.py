"""Processor time of each hop's own work on its batches, in one process with no broker: what a profile of the core is made of.

    python -m benchmarks.hops [--events 60000] [--batch 500]
    py-spy record -o flame.svg -r 250 -- python -m benchmarks.hops

Events go through intake, the tickets' and the citizens' partitions in the batches that a worker would take, and what one hop puts out is
the next one's input. Measured is the process's own time inside each hop; tables are dictionaries, and nothing is sent.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from benchmarks.arguments import positive
from benchmarks.generator import generate_lines
from benchmarks.memory_table import MemoryTable
from rules.engine import Engine
from rules.intake import Reader
from rules.matter import MatterConfig
from rules.pack import default_pack
from rules.pseudonym import PseudonymKey
from rules.sealing import Posts
from rules.text.screen import Screener
from streams.citizen_partition import CitizenPartition
from streams.intake import Intake
from streams.metrics import WorkerMetrics
from streams.partition import Incoming
from streams.routes import Out, partition_of
from streams.ticket_partition import TicketPartition
from streams.topics import TopicSet

EVENTS_PER_TICKET = 10
PARTITIONS = 8
TAKEN_MS = 1_900_000_000_000
KEYS = (PseudonymKey("bench", b"only for states that nobody is in"),)
Name = tuple[str, int]


class Hops:
    """The three hops over lists."""

    def __init__(self) -> None:
        topics, pack = TopicSet(partitions=PARTITIONS), default_pack()
        self.topics = topics
        metrics, engine = WorkerMetrics(pack, CollectorRegistry()), Engine(pack)
        self.intake = Intake(topics, KEYS, metrics, Reader(Screener(pack.lexicon), Posts()))
        tickets, citizens, every = MemoryTable(), MemoryTable(), range(PARTITIONS)
        self.partitions: dict[Name, Any] = {
            **{(topics.tickets, n): TicketPartition(n, tickets, engine, topics, metrics, 0) for n in every},
            **{(topics.citizens, n): CitizenPartition(n, citizens, MatterConfig(), topics, metrics, 0) for n in every},
        }
        self.waiting: dict[Name, list[bytes]] = defaultdict(list)
        self.offsets: dict[Name, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self.warnings = 0

    def run(self, lines: Sequence[bytes], batch: int) -> None:
        """Let all events through."""
        by_partition: dict[int, list[Any]] = defaultdict(list)
        for line in lines:
            where = partition_of(orjson.loads(line)["ticket_id"], PARTITIONS)
            record = SimpleNamespace(value=line, headers=(), timestamp=TAKEN_MS, offset=len(by_partition[where]))
            by_partition[where].append(record)
        longest = max(map(len, by_partition.values()))
        for first in range(0, longest, batch):
            for where, records in by_partition.items():
                if chunk := records[first : first + batch]:
                    self._take(self._timed("intake", self.intake.handle, where, chunk))
            while any(self.waiting.values()):
                for name in list(self.partitions):
                    self._judge(name)

    def _judge(self, name: Name) -> None:
        values, self.waiting[name] = self.waiting[name], []
        if not values:
            return
        first = self.offsets[name]
        self.offsets[name] += len(values)
        records = [Incoming(first + number, value, TAKEN_MS) for number, value in enumerate(values)]
        self._take(self._timed(name[0].rpartition(".")[2], self.partitions[name].handle, records))

    def _take(self, outs: Iterable[Out]) -> None:
        for out in outs:
            self.warnings += out.topic == self.topics.alerts
            if (out.topic, out.partition) in self.partitions:
                self.waiting[out.topic, out.partition].append(out.value)

    def _timed(self, hop: str, work: Callable[..., list[Out]], *arguments: Any) -> list[Out]:
        began = time.process_time()
        outs = work(*arguments)
        self.seconds[hop] += time.process_time() - began
        return outs


def main() -> None:
    """Print the processor time of each hop."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hops")
    parser.add_argument("--events", type=positive, default=60_000)
    parser.add_argument("--batch", type=positive, default=500, help="records at a time")
    options = parser.parse_args()
    lines = list(generate_lines(options.events // EVENTS_PER_TICKET, 2025, start=date(2025, 1, 6), identity="phone"))
    hops = Hops()
    hops.run(lines, options.batch)
    for hop, seconds in hops.seconds.items():
        print(f"{hop:10} {seconds / len(lines) * 1e6:7.1f} µs/event")
    print(f"{len(lines):,} events, {hops.warnings:,} versions of warnings")


if __name__ == "__main__":
    main()
