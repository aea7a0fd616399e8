"""Feeds the ledger from Kafka, in a thread of its own: a consumer without a group, whose offsets stand in the ledger.

A round decides what pullers may see (see ledger.py, rule 3): hw.deliveries read to an end that was asked for a moment
ago, then hw.alerts to an end asked for after that. A round that took long is not believed: compaction may meanwhile have
moved a delivery behind the end that was asked for; the next round is quick.

What a topic is, is Kafka's own id of it: one that was deleted and made again has another, and the ledger begins again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from kafka.errors import KafkaError

from console.ledger import Ledger, LedgerError, Source
from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.roles import Grant, Operation, Resource
from streams.topics import TopicSet

log = logging.getLogger(__name__)

POLL_MS = 200
POLL_RECORDS = 1000
ENDS_EVERY_SECONDS = 1.0
ENDS_TIMEOUT_MS = 10_000
ROUND_SECONDS_MAX = 10.0
RETRY_SECONDS = 2.0

Ends = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far the feed is."""

    lag: int | None
    """Records not read yet; None before the first look."""
    seconds_since_contact: float | None
    """Since Kafka last answered; None before it ever did."""
    is_open: bool
    """Whether pullers see what was in the topics when this process started, or later."""
    problem: str | None = None


class _Phase(Enum):
    IDLE = auto()
    DELIVERIES = auto()
    ALERTS = auto()


class LedgerFeed:
    """The feeding thread. `start`, and `stop` when done; `state` may be asked from any thread."""

    def __init__(
        self,
        ledger: Ledger,
        bootstrap_servers: str,
        topics: TopicSet,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds that never go back."""
        self._ledger, self._servers, self._clock = ledger, bootstrap_servers, clock
        self._names = {
            Source.ALERTS: topics.alerts,
            Source.DELIVERIES: topics.deliveries,
            Source.DECISIONS: topics.decisions,
            Source.REDELIVERIES: topics.redeliveries,
        }
        self._needs = [Grant(Resource.TOPIC, name, Operation.READ) for name in self._names.values()]
        self._sources = {name: source for source, name in self._names.items()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-feed", daemon=True)
        self._lag: int | None = None
        self._contact_at: float | None = None
        self._is_open = False
        self._problem: str | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 15.0) -> None:
        """End the thread after what it is applying."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def state(self) -> FeedState:
        """Return how far it is."""
        contact = self._contact_at
        since = None if contact is None else round(self._clock() - contact, 1)
        return FeedState(self._lag, since, self._is_open, self._problem)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
            except (KafkaError, ClusterUnreachableError, LedgerError, AssertionError) as error:
                self._failed(str(error) if isinstance(error, LedgerError | ClusterUnreachableError) else "")
            except Exception:  # a full disk, say: what is there can still be asked, and health tells
                log.exception("the ledger cannot be fed; trying again")
                self._problem = "the ledger cannot be written or Kafka cannot be read: see the log"
            self._stopping.wait(RETRY_SECONDS)

    def _failed(self, said: str) -> None:
        problem = said or "Kafka does not answer, or not as expected; trying again"
        if problem != self._problem:
            log.warning("the ledger is not fed: %s", problem)
        self._problem = problem

    def _session(self) -> None:
        """Read until told to stop. Raises what Kafka and SQLite raise."""
        parts = self._prepare()
        consumer = KafkaConsumer(
            bootstrap_servers=self._servers,
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_poll_records=POLL_RECORDS,
        )
        with closing(consumer):
            consumer.assign(list(parts))
            self._seek(consumer, parts)
            rounds = _Rounds(self._ledger, consumer, self._of(parts), self._clock)
            looked_at = -ENDS_EVERY_SECONDS
            while not self._stopping.is_set():
                batches = consumer.poll(timeout_ms=POLL_MS)
                if batches:
                    self._apply(batches)
                if any(self._sources[part.topic] is Source.DELIVERIES for part in batches):
                    rounds.due = True
                self._is_open = rounds.step() or self._is_open
                if self._clock() - looked_at >= ENDS_EVERY_SECONDS:
                    self._look(consumer, parts)
                    looked_at = self._clock()

    def _apply(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        with self._ledger.writing():
            for part, records in batches.items():
                for record in records:
                    self._ledger.apply(self._sources[part.topic], part.partition, record.offset, record.value)

    def _prepare(self) -> list[TopicPartition]:
        """Return the partitions to read; begin again where a topic is another one than was read. Raises LedgerError."""
        with connect(self._servers, needs=self._needs) as admin:
            described = {
                one["name"]: one for one in admin.describe_topics(list(self._names.values())) if not one["error_code"]
            }
        missing = [name for name in self._sources if name not in described]
        if missing:
            raise LedgerError(f"there is no topic {missing[0]}: create it with `hotline-watch topics create`")
        ids = {source: str(described[name]["topic_id"]) for source, name in self._names.items()}
        known = self._ledger.topic_ids()
        if known != ids:
            if known:
                log.warning("topics were made anew: the ledger is begun again")
            self._ledger.begin_again(ids)
        return [
            TopicPartition(name, partition["partition_index"])
            for name, topic in described.items()
            for partition in topic["partitions"]
        ]

    def _seek(self, consumer: KafkaConsumer, parts: Collection[TopicPartition]) -> None:
        begins, ends = self._beginnings(consumer, parts), _ends(consumer, parts)
        known = self._ledger.next_offsets()
        if any(known.get(self._key(part), 0) > ends[part] for part in parts):
            log.warning("the topics end before what the ledger has read of them: it is begun again")
            self._ledger.begin_again(self._ledger.topic_ids())
            known = {}
        for part in parts:
            consumer.seek(part, max(known.get(self._key(part), 0), begins[part]))

    @staticmethod
    def _beginnings(consumer: KafkaConsumer, parts: Collection[TopicPartition]) -> Ends:
        found: Ends = consumer.beginning_offsets(list(parts), timeout_ms=ENDS_TIMEOUT_MS)
        return found

    def _look(self, consumer: KafkaConsumer, parts: Collection[TopicPartition]) -> None:
        ends = _ends(consumer, parts)
        self._lag = sum(max(0, end - _position(consumer, part)) for part, end in ends.items())
        self._contact_at = self._clock()
        self._problem = None

    def _key(self, part: TopicPartition) -> tuple[Source, int]:
        return self._sources[part.topic], part.partition

    def _of(self, parts: Collection[TopicPartition]) -> Mapping[Source, list[TopicPartition]]:
        return {source: [part for part in parts if part.topic == name] for source, name in self._names.items()}


class _Rounds:
    """Opens to pullers what is complete, round after round. `due`: there is something new to open."""

    def __init__(
        self,
        ledger: Ledger,
        consumer: KafkaConsumer,
        parts: Mapping[Source, list[TopicPartition]],
        clock: Callable[[], float],
    ) -> None:
        self.due = True
        self._ledger, self._consumer, self._clock = ledger, consumer, clock
        self._deliveries = parts[Source.DELIVERIES]
        self._bodies = [*parts[Source.ALERTS], *parts[Source.REDELIVERIES]]
        self._phase = _Phase.IDLE
        self._goal: Ends = {}
        self._since = 0.0

    def step(self) -> bool:
        """Go as far as what was read allows; return whether a round came to its end."""
        if self._phase is _Phase.IDLE:
            if not self.due:
                return False
            self.due = False
            self._aim(_Phase.DELIVERIES, self._deliveries)
        if self._phase is _Phase.DELIVERIES and self._reached():
            if self._clock() - self._since > ROUND_SECONDS_MAX:
                self._aim(_Phase.DELIVERIES, self._deliveries)
                return False
            self._ledger.mark()
            self._aim(_Phase.ALERTS, self._bodies)
        if self._phase is _Phase.ALERTS and self._reached():
            self._ledger.open_marked()
            self._phase = _Phase.IDLE
            return True
        return False

    def _aim(self, phase: _Phase, parts: list[TopicPartition]) -> None:
        self._since = self._clock()
        self._goal = _ends(self._consumer, parts)
        self._phase = phase

    def _reached(self) -> bool:
        return all(_position(self._consumer, part) >= end for part, end in self._goal.items())


def _position(consumer: KafkaConsumer, part: TopicPartition) -> int:
    return consumer.position(part, timeout_ms=ENDS_TIMEOUT_MS) or 0


def _ends(consumer: KafkaConsumer, parts: Collection[TopicPartition]) -> Ends:
    found: Ends = consumer.end_offsets(list(parts), timeout_ms=ENDS_TIMEOUT_MS)
    return found
