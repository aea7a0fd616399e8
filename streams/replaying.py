"""Sends refused inputs through once more: each is read again where it lies, looked at, and sent as it was. Synchronous
(kafka-python): never on an event loop.

1. What is sent is what was refused, byte for byte, with its key and headers: the hash is compared first.
2. What would be refused again is not sent.
3. First the input is durable, then the decision: after a crash in between, a replay of the same entry sends it once more,
   which does no harm (an event counts once, by its id).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from kafka.errors import KafkaError

from models.decode import Rejected, check_not_ahead, decode_event
from models.quarantine import QuarantineAction, QuarantineDecision, QuarantineRecord, RejectionReason
from models.times import format_instant, parse_instant
from rules.messages import WireError, decode
from streams.admin import ClusterUnreachableError, connect
from streams.inflating import Uninflated
from streams.kafka_client import BatchTooLargeError, KafkaConsumer, KafkaProducer, TopicPartition
from streams.quarantine_log import Entry
from streams.roles import Grant, Operation, Resource
from streams.ticking import plain_producer
from streams.topic_log import TopicUnreadableError
from streams.topics import MIB, TopicSet

_SEND_SECONDS = 30
_READ_SECONDS = 20.0
_POLL_MS = 500
_SKIP_MAX = 500
"""How many records are read over rather than sought past."""
_REQUEST_BYTES_MAX = 8 * MIB
_CHUNK = 200


class Found(StrEnum):
    """What an entry's input was found to be."""

    SENT = "sent"
    GONE = "gone"
    """Past the topic's retention."""
    ANOTHER = "another"
    """Another record lies there now, or none was ever at fault."""
    STILL_REFUSED = "still_refused"
    NOT_AN_INPUT = "not_an_input"
    """On a topic whose records are not sent again."""
    THERE = "there"
    """It lies there still; nothing was sent."""


class Replay(NamedTuple):
    """What came of one entry; `sent_to`: the offset at which the input lies now; `said`: in a line."""

    entry: Entry
    found: Found
    said: str
    sent_to: int | None = None


class Input(NamedTuple):
    """A record as it lies in Kafka."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class By:
    """Who decides, when (microseconds), and why."""

    name: str
    now: int
    because: str = ""


def replayable_topics(topics: TopicSet) -> frozenset[str]:
    """Return the topics whose records may be sent again: what went wrong there was done to nobody's state."""
    return frozenset({topics.ticket_events, topics.tickets, topics.citizens})


def kept_until(topics: TopicSet, record: QuarantineRecord) -> int | None:
    """Return about until when an input can be sent again, in microseconds; None where it never can."""
    if record.topic not in replayable_topics(topics):
        return None
    (retention_ms,) = (spec.retention_ms for spec in topics.all() if spec.name == record.topic)
    return parse_instant(record.quarantined_at) + retention_ms * 1000


def look(bootstrap_servers: str, topics: TopicSet, entry: Entry, now: int) -> Replay:
    """Return whether an entry's input is still there, and whether it would be taken now. Raises as `replay`."""
    ((_, found),) = _inputs(bootstrap_servers, topics, [entry], now)
    if isinstance(found, Replay):
        return found
    if entry.record.reason is RejectionReason.TOO_LARGE and entry.record.topic != topics.ticket_events:
        return Replay(entry, Found.THERE, "it is still there; whether there is room for it now shows when it is sent")
    return Replay(entry, Found.THERE, "it is still there, and would be taken now")


def replay(bootstrap_servers: str, topics: TopicSet, entries: Sequence[Entry], by: By) -> Iterator[Replay]:
    """Send entries' inputs again, each into the topic and partition that it came from; yield what came of each.

    Raises ClusterUnreachableError, TopicUnreadableError; what was yielded by then is done and recorded.
    """
    with _producers(bootstrap_servers) as producer_for:
        waiting: list[tuple[Entry, Any]] = []
        for entry, found in _inputs(bootstrap_servers, topics, entries, by.now):
            if isinstance(found, Replay):
                yield found
                continue
            waiting.append((entry, _send(producer_for(entry.record.topic), entry.record, found)))
            if len(waiting) == _CHUNK:
                yield from _sent(producer_for, topics, waiting, by)
                waiting = []
        yield from _sent(producer_for, topics, waiting, by)


def drop(bootstrap_servers: str, topics: TopicSet, entries: Iterable[Entry], by: By) -> int:
    """Record that entries are given up; return how many. The reason is kept for good, so it must not name a citizen.

    Raises ClusterUnreachableError, TopicUnreadableError.
    """
    with _producers(bootstrap_servers) as producer_for:
        decisions = [_decision(entry, QuarantineAction.DROPPED, by, None) for entry in entries]
        _record(producer_for, topics, decisions)
        return len(decisions)


def refused_again(topics: TopicSet, topic: str, found: Input, now: int) -> str | None:
    """Return why an input would be refused by this version, None where it would be taken so far as can be told from here."""
    if isinstance(found.value, Uninflated):
        return RejectionReason.TOO_LARGE.value
    if topic == topics.ticket_events:
        try:
            check_not_ahead(decode_event(found.value, dict(found.headers) or None), now // 1000)
        except Rejected as rejected:
            return f"{rejected.reason}{f' ({rejected.field})' if rejected.field else ''}"
        return None
    try:
        decode(found.value or b"")
    except WireError:
        return "unreadable"
    return None


def _inputs(
    servers: str, topics: TopicSet, entries: Sequence[Entry], now: int
) -> Iterator[tuple[Entry, Input | Replay]]:
    """Yield each entry with its input, or with why there is none to send."""
    allowed = replayable_topics(topics)
    by_part: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        record = entry.record
        if record.topic not in allowed:
            yield entry, Replay(entry, Found.NOT_AN_INPUT, f"records of {record.topic} are not sent again")
        else:
            by_part.setdefault((record.topic, record.partition), []).append(entry)
    for (topic, partition), wanted in sorted(by_part.items()):
        wanted.sort(key=lambda one: one.record.offset)
        for entry, found in _read(servers, topic, partition, wanted):
            yield entry, _judged(topics, entry, found, now)


def _judged(topics: TopicSet, entry: Entry, found: Input | None, now: int) -> Input | Replay:
    record = entry.record
    if found is None:
        return Replay(
            entry,
            Found.GONE,
            f"the input is gone: {record.topic} keeps its records for a limited time; ask the sender to send it again",
        )
    if hashlib.sha256(found.value or b"").hexdigest() != record.sha256:
        return Replay(entry, Found.ANOTHER, "no single record is at fault, or another lies there now: nothing to send")
    again = refused_again(topics, record.topic, found, now)
    if again is not None:
        return Replay(entry, Found.STILL_REFUSED, f"it would be refused again: {again}; not sent")
    return found


def _read(servers: str, topic: str, partition: int, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Input | None]]:
    """Yield each entry with the record at its offset, None where it is no longer there. The entries come by offset."""
    needs = (Grant(Resource.TOPIC, topic, Operation.READ),)
    with connect(servers, needs=needs):
        pass  # says in plain words where nobody answers, and where we may not read
    consumer = KafkaConsumer(
        bootstrap_servers=servers, group_id=None, enable_auto_commit=False, allow_auto_create_topics=False
    )
    try:
        part = TopicPartition(topic, partition)
        if partition not in (consumer.partitions_for_topic(topic) or ()):
            raise TopicUnreadableError(f"there is no partition {partition} of {topic}: is this the same cluster?")
        consumer.assign([part])
        first, end = consumer.beginning_offsets([part])[part], consumer.end_offsets([part])[part]
        records = _Reader(consumer, part, end)
        for entry in entries:
            offset = entry.record.offset
            yield entry, records.at(offset) if first <= offset < end else None
    except KafkaError as error:
        raise TopicUnreadableError(f"{topic} cannot be read: {type(error).__name__}") from error
    finally:
        consumer.close()


class _Reader:
    """Reads single records of a partition at rising offsets."""

    def __init__(self, consumer: Any, part: TopicPartition, end: int) -> None:
        self._consumer, self._part, self._end = consumer, part, end
        self._fetched: list[Any] = []
        self._next: int | None = None

    def at(self, offset: int) -> Input | None:
        """Return the record at an offset below the end, None where there is none."""
        if self._next is None or not self._next <= offset <= self._next + _SKIP_MAX:
            self._fetched, self._next = [], offset
            self._consumer.seek(self._part, offset)
        polls = 0
        while self._next <= offset:
            if not self._fetched:
                polls += 1
                try:
                    polled = self._consumer.poll(timeout_ms=_POLL_MS)
                except BatchTooLargeError:
                    self._next = None
                    return Input(None, Uninflated(), [])
                self._fetched = list(reversed(polled.get(self._part, [])))
                if not self._fetched and polls * _POLL_MS > _READ_SECONDS * 1000:
                    raise TopicUnreadableError(f"{self._part.topic} was not read in {_READ_SECONDS:g} s")
                continue
            record = self._fetched.pop()
            self._next = record.offset + 1
            if record.offset == offset:
                return Input(record.key, record.value, list(record.headers or ()))
        return None


@contextmanager
def _producers(servers: str) -> Iterator[Callable[[str], KafkaProducer]]:
    """Yield a function that gives a producer for a topic, checked that it may be written; all are closed at the end."""
    made: dict[str, KafkaProducer] = {}

    def producer_for(topic: str) -> KafkaProducer:
        if topic not in made:
            made[topic] = plain_producer(servers, topic, max_request_size=_REQUEST_BYTES_MAX)
        return made[topic]

    try:
        yield producer_for
    except KafkaError as error:
        raise TopicUnreadableError(f"Kafka takes no more records: {type(error).__name__}") from error
    finally:
        for producer in made.values():
            producer.close(timeout=_SEND_SECONDS)


def _send(producer: KafkaProducer, record: QuarantineRecord, found: Input) -> Any:
    return producer.send(
        record.topic, key=found.key, value=found.value, headers=found.headers, partition=record.partition
    )


def _sent(
    producer_for: Callable[[str], KafkaProducer], topics: TopicSet, waiting: Sequence[tuple[Entry, Any]], by: By
) -> list[Replay]:
    """Return the replays of inputs that are on their way, once they and the decisions about them are durable."""
    done = [(entry, int(future.get(timeout=_SEND_SECONDS).offset)) for entry, future in waiting]
    if done:
        decisions = [_decision(entry, QuarantineAction.REPLAYED, by, offset) for entry, offset in done]
        _record(producer_for, topics, decisions)
    return [Replay(entry, Found.SENT, f"sent again, to offset {offset}", offset) for entry, offset in done]


def _decision(entry: Entry, action: QuarantineAction, by: By, sent_to: int | None) -> QuarantineDecision:
    record = entry.record
    return QuarantineDecision(
        action=action,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        sha256=record.sha256,
        because=by.because,
        decided_by=by.name,
        decided_at=format_instant(by.now),
        sent_to=sent_to,
    )


def _record(
    producer_for: Callable[[str], KafkaProducer], topics: TopicSet, decisions: Iterable[QuarantineDecision]
) -> None:
    producer = producer_for(topics.quarantine_decisions)
    sent = [
        producer.send(
            topics.quarantine_decisions,
            key=decision.key.encode(),
            value=decision.model_dump_json().encode(),
            partition=decision.partition % topics.partitions,
        )
        for decision in decisions
    ]
    for future in sent:
        future.get(timeout=_SEND_SECONDS)


__all__ = [
    "By",
    "ClusterUnreachableError",
    "Found",
    "Replay",
    "TopicUnreadableError",
    "drop",
    "kept_until",
    "look",
    "replay",
    "replayable_topics",
]
