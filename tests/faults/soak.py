"""The soak: python -m tests.faults.soak --minutes 30 --per-second 500 --kill-every 60

Events at a steady rate, two workers, dispatch, a hundred endpoints, a kill of one process after another. In the end the
oracle of the campaign, each endpoint's share, and a slope test of memory: the resident size of each life of a process,
fitted by least squares after its warm-up, must not rise.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from benchmarks.generator import generate_events
from models.times import parse_instant
from streams.broker import EmbeddedKafka
from tests.faults import oracle
from tests.faults.campaign import code_version
from tests.faults.load import Load
from tests.faults.world import World, world, write_subscribers
from tests.kafka_support import eventually
from tests.live_support import to_bytes

ENDPOINTS = 100
SAMPLE_SECONDS = 5.0
WARM_UP_SECONDS = 60.0
GROWTH_MB_PER_HOUR_MAX = 60.0
"""What a life's size may seem to rise by: noise of the allocator over some minutes. State is on disk; caches are bounded."""
NAMES = ("worker-1", "worker-2", "dispatch")
PAGE_BYTES = 4096


@dataclass(frozen=True)
class SoakLoad(Load):
    """As many tickets as the rate and the time ask for; one in fifty is a story that warns."""

    events: int = 10_000

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Return the events in the order of time."""
        tickets = self.events // 10
        stories = Load(self.seed, tickets=0, stories=max(self.events // 2_000, 12)).records
        found = [*generate_events(tickets, self.seed, start=date(2025, 3, 3), tickets_per_day=tickets / 30), *stories]
        return sorted(found, key=lambda record: (parse_instant(record["occurred_at"]), record["event_id"]))


@dataclass
class Memory:
    """Resident sizes by life of a process."""

    samples: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def look(self, made: World, since: float) -> None:
        """Take a sample of every process that runs."""
        for name, process in list(made.running.items()):
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            self.samples[name, process.pid].append((time.monotonic() - since, pages * PAGE_BYTES / 1e6))

    def lives(self) -> list[dict[str, Any]]:
        """Return of each life: its peak, and its slope in MB an hour once it is warm (None for a life too short to tell)."""
        found = []
        for (name, pid), samples in self.samples.items():
            warm = [one for one in samples if one[0] - samples[0][0] > WARM_UP_SECONDS]
            slope = round(slope_of(warm) * 3600, 1) if len(warm) >= 12 else None
            found.append(
                {
                    "process": name,
                    "pid": pid,
                    "seconds": round(samples[-1][0] - samples[0][0]),
                    "peak_mb": round(max(size for _, size in samples), 1),
                    "mb_per_hour": slope,
                }
            )
        return found


def slope_of(samples: list[tuple[float, float]]) -> float:
    """Return the slope of a line through the samples by least squares."""
    at, size = (sum(values) / len(samples) for values in zip(*samples, strict=True))
    spread = sum((x - at) ** 2 for x, _ in samples)
    return sum((x - at) * (y - size) for x, y in samples) / spread if spread else 0.0


def peaks_rise(lives: list[dict[str, Any]]) -> dict[str, float]:
    """Return by process how far the peaks of its later lives lie over those of its earlier ones, in MB."""
    found = {}
    for name in NAMES:
        peaks = [life["peak_mb"] for life in lives if life["process"] == name and life["seconds"] > WARM_UP_SECONDS]
        half = len(peaks) // 2
        if half:
            found[name] = round(sum(peaks[-half:]) / half - sum(peaks[:half]) / half, 1)
    return found


def send_steadily(made: World, per_second: int, stop: threading.Event) -> None:
    """Send the load at this rate until it is all sent."""
    values = [
        (one["ticket_id"].encode(), value)
        for one, value in zip(made.load.records, to_bytes(made.load.records), strict=True)
    ]
    producer = KafkaProducer(bootstrap_servers=made.servers, acks="all", linger_ms=5)
    since = time.monotonic()
    for sent, (key, value) in enumerate(values):
        ahead = sent / per_second - (time.monotonic() - since)
        if ahead > 0.02 and stop.wait(ahead):
            break
        producer.send(made.topics.ticket_events, key=key, value=value)
    producer.flush(timeout=60)
    producer.close(timeout=10)


def run(
    kafka: EmbeddedKafka, folder: Path, minutes: float, per_second: int, kill_every: float, seed: int
) -> dict[str, Any]:
    """Run the soak and return what came of it. Raises AssertionError where something was lost, doubled or grew."""
    load = SoakLoad(seed, events=int(minutes * 60 * per_second))
    names = [f"s-{number}" for number in range(ENDPOINTS)]
    memory, chance, kills = Memory(), random.Random(seed), 0
    with world(kafka, folder, f"soak{seed}.", load) as made:
        write_subscribers(folder, made.url, tuple({"name": one, "url": f"{made.url}/{one}"} for one in names))
        made.own_by_office("office", *names)
        made.expects_repeated_calls = True
        made.start_all(*NAMES)
        stop, since = threading.Event(), time.monotonic()
        sending = threading.Thread(target=send_steadily, args=(made, per_second, stop), daemon=True)
        sending.start()
        next_kill = since + kill_every
        while sending.is_alive():
            stop.wait(SAMPLE_SECONDS)
            memory.look(made, since)
            made.mend()
            if time.monotonic() >= next_kill:
                victim = chance.choice(NAMES)
                made.kill(victim)
                made.start(victim)
                kills, next_kill = kills + 1, next_kill + kill_every
        made.sent_parts = 4
        made.heal()
        made.finish()
        figures = oracle.check(made)
        eventually(lambda: each_has_all(made, names), 300, "each endpoint has every warning once")
    lives = memory.lives()
    steep = [life for life in lives if (life["mb_per_hour"] or 0) > GROWTH_MB_PER_HOUR_MAX]
    return {
        "minutes": minutes,
        "per_second": per_second,
        "events": len(load.records),
        "kills": kills,
        "endpoints": ENDPOINTS,
        "effects": figures["effects"],
        "recovery_seconds": round(made.recovery_seconds, 1),
        "ended": made.ended,
        "lives": lives,
        "peaks_rise_mb": peaks_rise(lives),
        "steep": steep,
        "version": code_version(),
    }


def each_has_all(made: World, names: list[str]) -> bool:
    """Return whether every endpoint has every pushed version once."""
    wanted = sorted(one.alert_id for one in made.issued() if one.push)
    lanes: dict[str, list[str]] = {name: [] for name in names}
    for one in made.receiver.accepted:
        if one.lane in lanes:
            lanes[one.lane].append(one.alert["alert_id"])
    return all(sorted(found) == wanted for found in lanes.values())


def main() -> int:
    """Return 0 where nothing was lost, doubled or grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--per-second", type=int, default=500)
    parser.add_argument("--kill-every", type=float, default=60, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"))
    args = parser.parse_args()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch, EmbeddedKafka(Path(scratch) / "kafka") as kafka:
        told = run(kafka, Path(scratch) / "run", args.minutes, args.per_second, args.kill_every, args.seed)
    args.json.write_text(json.dumps(told, indent=1))
    print(json.dumps({key: value for key, value in told.items() if key != "lives"}, indent=1))
    return 1 if told["steep"] else 0


if __name__ == "__main__":
    sys.exit(main())
