"""The soak: python -m tests.faults.soak --minutes 30 --rate 500

Events at a steady rate through two workers and two dispatch processes. Every minute one of each kind in turn is killed and
started again; the other two live through all of it. In the end the oracle of the campaign holds, and the memory of those
that lived on is flat (soak_memory.py).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from benchmarks.arguments import positive
from benchmarks.generator import generate_events
from models.times import parse_instant
from streams.broker import EmbeddedKafka
from tests.faults import oracle
from tests.faults.campaign import code_version
from tests.faults.load import Load
from tests.faults.soak_memory import Memory, told
from tests.faults.world import World, world
from tests.live_support import to_bytes

SAMPLE_SECONDS = 5.0
PATIENCE_SECONDS = 1_200.0
"""for what is left when the last event is sent, and for the deadlines of all tickets at once"""
KILLED = ("worker-1", "dispatch-1")
LIVING = ("worker-2", "dispatch-2")
DAYS = 30
SEEN_EVERY = 50
"""So many records apart are those that are looked through for identities."""


@dataclass(frozen=True)
class SoakLoad(Load):
    """About so many events; some of the tickets are stories with canaries."""

    events: int = 10_000

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Return the events in the order of time."""
        tickets = self.events // 10
        found = list(
            generate_events(tickets, self.seed, start=date(2025, 3, 3), tickets_per_day=max(tickets / DAYS, 1))
        )
        found += Load(self.seed, tickets=0, stories=12).records
        return sorted(found, key=lambda record: (parse_instant(record["occurred_at"]), record["event_id"]))


@dataclass
class Sending(threading.Thread):
    """Sends the load at a steady rate."""

    made: World
    rate: int

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0
        self.failed: list[Any] = []

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Send all of it."""
        load, topic, pause = self.made.load.records, self.made.topics.ticket_events, threading.Event()
        producer = KafkaProducer(bootstrap_servers=self.made.servers, acks="all", linger_ms=5)
        since = time.monotonic()
        for sent, (record, value) in enumerate(zip(load, to_bytes(load), strict=True)):
            ahead = sent / self.rate - (time.monotonic() - since)
            if ahead > 0.02:
                pause.wait(ahead)
            producer.send(topic, key=record["ticket_id"].encode(), value=value).add_errback(self.failed.append)
        producer.flush(timeout=60)
        self.seconds = time.monotonic() - since
        producer.close(timeout=10)


def run(kafka: EmbeddedKafka, folder: Path, minutes: float, rate: int, kill_every: float, seed: int) -> dict[str, Any]:
    """Run the soak; return what came of it. Raises AssertionError where something was lost or doubled."""
    load = SoakLoad(seed, events=int(minutes * 60 * rate))
    with world(kafka, folder, f"soak{seed}.", load) as made:
        made.expects_repeated_calls, made.patience_seconds = True, PATIENCE_SECONDS
        made.start_all(*KILLED, *LIVING)
        memory, sending = Memory(), Sending(made, rate)
        sending.start()
        kills = _kill_in_turn(made, sending, memory, kill_every)
        assert not sending.failed, sending.failed[:1]
        made.sent_parts = 4
        made.heal()
        with _sampled(made, memory):
            made.finish()
        figures = oracle.check(made, every=SEEN_EVERY)
        return {
            "minutes": minutes,
            "events": len(load.records),
            "events_a_second": round(len(load.records) / sending.seconds, 1),
            "kills": kills,
            "ended_by_themselves": made.ended,
            "recovery_seconds": round(made.recovery_seconds, 1),
            **figures,
            "memory": told(memory.lives()),
            "version": code_version(),
        }


def _kill_in_turn(made: World, sending: Sending, memory: Memory, kill_every: float) -> int:
    next_kill, kills, victims = time.monotonic() + kill_every, 0, cycle(KILLED)
    while sending.is_alive():
        sending.join(SAMPLE_SECONDS)
        memory.look(made.running)
        made.mend()
        if time.monotonic() >= next_kill and sending.is_alive():
            victim = next(victims)
            made.kill(victim)
            made.start(victim)
            kills, next_kill = kills + 1, next_kill + kill_every
    return kills


@contextmanager
def _sampled(made: World, memory: Memory) -> Iterator[None]:
    done = threading.Event()

    def look() -> None:
        while not done.wait(SAMPLE_SECONDS):
            memory.look(dict(made.running))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()


def main() -> int:
    """Return 0 where nothing was lost, doubled or grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=positive, default=30)
    parser.add_argument("--rate", type=positive, default=500, help="events a second")
    parser.add_argument("--kill-every", type=positive, default=60, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"))
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path("build/soak"),
        help="the logs, and the tables' changelog where the comparison fails",
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, EmbeddedKafka(Path(scratch) / "kafka") as kafka:
        args.keep.mkdir(parents=True, exist_ok=True)
        folder = Path(scratch) / "run"
        folder.mkdir()
        (folder / "logs").symlink_to(args.keep.absolute())
        try:
            result = run(kafka, folder, args.minutes, args.rate, args.kill_every, args.seed)
        except AssertionError:
            kafka.stop()
            for log in (Path(scratch) / "kafka").rglob("*.hw-worker-tickets-changelog-*"):
                shutil.copytree(log, args.keep / log.name, dirs_exist_ok=True)  # what was compared can be looked at
            raise
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 1 if result["memory"]["grows"] else 0


if __name__ == "__main__":
    sys.exit(main())
