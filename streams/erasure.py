"""Asks that a citizen be forgotten, waits until the tables' owners have done it, and proves it. Synchronous: never on an event loop.

Nothing is written behind a table's back: the request goes to the owner of the citizen's value, who tells the owners of tickets. So it
may be asked again at any time, after a crash of whoever asked too, and comes to the same end.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.erasure import ErasureRecord, ErasureStep
from models.times import format_instant
from rules.forgetting import mark_of
from rules.messages import ErasureMessage, encode
from streams.erasing import mark_key
from streams.erasure_survey import Survey, reading, rows, survey
from streams.kafka_client import TopicPartition
from streams.routes import partition_of
from streams.tables import HEADER_BYTES
from streams.ticking import plain_producer
from streams.topic_log import ClusterUnreachableError, TopicUnreadableError, plain_consumer
from streams.topics import TopicSet

_SEND_SECONDS = 30
ROWS_MAX = 1_000
"""keys that a record on hw.erasures lists; the report that is printed lists all"""
_COUNTS = ("lineages", "complaints", "tickets", "events", "repeats", "claims")


@dataclass(frozen=True)
class Asking:
    """Who asks for what: the pseudonyms of one person, why, when (microseconds)."""

    citizens: tuple[str, ...]
    reason: str
    asked_by: str
    now: int
    request: str = ""

    def numbered(self) -> Asking:
        """Return it with a request id of its own."""
        return Asking(self.citizens, self.reason, self.asked_by, self.now, uuid.uuid4().hex)


class PartitionsDifferError(Exception):
    """The topics have another number of partitions than the settings say: the request would go to the wrong owner."""


Mark = tuple[str, int, bytes]
"""a changelog, a partition, and the key of a mark in it"""


def erase(servers: str, topics: TopicSet, asking: Asking, timeout_seconds: float) -> dict[str, Any]:
    """Have the citizens forgotten; return the proof. `done` in it tells whether nothing is left.

    Raises ClusterUnreachableError, TopicUnreadableError, and PartitionsDifferError before anything is asked.
    """
    _require_partitions(servers, topics)
    asking = asking.numbered()
    before = survey(reading(servers), topics, asking.citizens)
    _record(servers, topics, asking, ErasureStep.ASKED, None)
    sent = _ask(servers, topics, asking)
    told = _remove_reference(servers, topics, before)
    marks = await_marks(servers, topics, asking, before.ends, timeout_seconds)
    after = survey(reading(servers), topics, asking.citizens, before.left.keys())
    report = _report(topics, asking, before, after, marks)
    report |= {"asked": sent, "reference_rows": told}
    step = ErasureStep.DONE if report["done"] else ErasureStep.UNFINISHED
    _record(servers, topics, asking, step, report | {"keys": report["keys"][:ROWS_MAX]})
    return report


def check(servers: str, topics: TopicSet, citizens: Sequence[str], now: int) -> dict[str, Any]:
    """Return who still names the citizens. Raises ClusterUnreachableError, TopicUnreadableError."""
    found = survey(reading(servers), topics, citizens)
    return {"done": not found.left, "left": _left(found), "stays": stays(topics, found, now)}


def _require_partitions(servers: str, topics: TopicSet) -> None:
    named = (topics.citizens, topics.erasures, topics.tickets_changelog, topics.citizens_changelog)
    consumer = plain_consumer(servers)
    try:
        counts = {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in named}
    finally:
        consumer.close()
    for topic, there in counts.items():
        if there not in (0, topics.partitions):  # a topic that is missing is told where it is read
            raise PartitionsDifferError(
                f"{topic} has {there} partitions, and the settings say {topics.partitions}: nothing was asked; give the workers' "
                "own settings (--config, the setting partitions)"
            )


def marks_wanted(topics: TopicSet, citizens: Sequence[str]) -> set[Mark]:
    """Return the marks that must say that they are done."""
    wanted: set[Mark] = set()
    for citizen in citizens:
        key = mark_key(citizen)
        wanted.add((topics.citizens_changelog, partition_of(citizen, topics.partitions), key))
        wanted |= {(topics.tickets_changelog, number, key) for number in range(topics.partitions)}
    return wanted


def await_marks(
    servers: str, topics: TopicSet, asking: Asking, ends: dict[str, dict[int, int]], timeout_seconds: float
) -> dict[Mark, dict[str, Any]]:
    """Return what the marks of this request say, once all are done or the time is over; `ends` is where to read on from."""
    wanted = marks_wanted(topics, asking.citizens)
    found: dict[Mark, dict[str, Any]] = {}
    consumer = plain_consumer(servers)
    try:
        parts = {TopicPartition(topic, partition) for topic, partition, _ in wanted}
        consumer.assign(list(parts))
        for part in parts:
            consumer.seek(part, ends.get(part.topic, {}).get(part.partition, 0))
        deadline = time.monotonic() + timeout_seconds
        while found.keys() < wanted and time.monotonic() < deadline:
            for part, records in consumer.poll(timeout_ms=500).items():
                for record in records:
                    place = (part.topic, part.partition, record.key)
                    if place in wanted and record.value is not None:
                        said = json.loads(record.value[HEADER_BYTES:])
                        if said["request"] == asking.request and said["done"]:
                            found[place] = said
    finally:
        consumer.close()
    return found


def stays(topics: TopicSet, found: Survey, now: int) -> list[dict[str, Any]]:
    """Return what an erasure does not reach, why, and until when it lies there at the latest."""
    until = {
        spec.name: format_instant(now + spec.retention_ms * 1000) for spec in topics.all() if spec.retention_ms > 0
    }
    logs = (
        (
            topics.ticket_events,
            "the hotline platform's own messages, with what they say of the citizen; Kafka's retention",
        ),
        (topics.tickets, "accepted events and repeat facts with the pseudonym; Kafka's retention"),
        (topics.citizens, "claims under the pseudonym, and this request; Kafka's retention"),
    )
    told: list[dict[str, Any]] = [{"where": name, "why": why, "until": until[name]} for name, why in logs]
    for topic, count in found.superseded.items():
        if count:
            why = "older records of the same keys; they go when Kafka compacts the topic, after its newest segment is full"
            told.append({"where": topic, "records": count, "why": why, "until": None})
    told.append(
        {
            "where": topics.alerts,
            "why": "warnings that were issued, and what was pushed of them: they name no citizen, not by pseudonym either",
            "until": until[topics.alerts],
        }
    )
    told.append({"where": "backups", "why": "made before: after a restore, forget again", "until": None})
    return told


def _report(
    topics: TopicSet, asking: Asking, before: Survey, after: Survey, marks: dict[Mark, dict[str, Any]]
) -> dict[str, Any]:
    wanted = marks_wanted(topics, asking.citizens)
    waiting = sorted({(topic, partition) for topic, partition, _ in wanted - marks.keys()})
    removed = {name: sum(said.get(name, 0) for said in marks.values()) for name in _COUNTS}
    # A table names keys in records of its own too, for a while: those are no values of citizens.
    of_citizens = {one.encode() for one in asking.citizens}
    gone = before.left.keys() - after.left.keys()
    removed["values_of_citizens"] = sum(
        topic == topics.citizens_changelog and key in of_citizens for topic, _, key in gone
    )
    return {
        "request": asking.request,
        "done": not after.left and not waiting,
        "citizens": [mark_of(one) for one in asking.citizens],
        "removed": removed,
        "keys": list(rows(before, after)),
        "left": _left(after),
        "waiting_for": [f"{topic}-{partition}" for topic, partition in waiting],
        "ends_before": before.ends,
        "ends_after": after.ends,
        "stays": stays(topics, after, asking.now),
    }


def _left(found: Survey) -> dict[str, int]:
    return {topic: found.left_in(topic) for topic in found.ends}


def _ask(servers: str, topics: TopicSet, asking: Asking) -> list[dict[str, Any]]:
    producer = plain_producer(servers, topics.citizens)
    try:
        sent = [
            producer.send(
                topics.citizens,
                key=citizen.encode(),
                value=encode(ErasureMessage(citizen, asking.request)),
                partition=partition_of(citizen, topics.partitions),
            )
            for citizen in asking.citizens
        ]
        done = [future.get(timeout=_SEND_SECONDS) for future in sent]
    finally:
        producer.close()
    return [{"topic": one.topic, "partition": one.partition, "offset": one.offset} for one in done]


def _remove_reference(servers: str, topics: TopicSet, before: Survey) -> int:
    """Delete the rows of reference data that are about the citizen; return their number. Whoever loads them again has them again."""
    rows_of_it = [(partition, key) for topic, partition, key in before.left if topic == topics.reference]
    if rows_of_it:
        producer = plain_producer(servers, topics.reference)
        try:
            sent = [producer.send(topics.reference, key=key, value=None, partition=part) for part, key in rows_of_it]
            for future in sent:
                future.get(timeout=_SEND_SECONDS)
        finally:
            producer.close()
    return len(rows_of_it)


def _record(servers: str, topics: TopicSet, asking: Asking, step: ErasureStep, report: dict[str, Any] | None) -> None:
    record = ErasureRecord(
        request=asking.request,
        step=step,
        citizens=tuple(mark_of(one) for one in asking.citizens),
        reason=asking.reason,
        asked_by=asking.asked_by,
        at=format_instant(asking.now),
        report=json.loads(json.dumps(report)) if report is not None else None,
    )
    producer = plain_producer(servers, topics.erasures)
    try:
        producer.send(
            topics.erasures,
            key=asking.request.encode(),
            value=record.model_dump_json().encode(),
            partition=partition_of(asking.request, topics.partitions),
        ).get(timeout=_SEND_SECONDS)
    finally:
        producer.close()


__all__ = [
    "Asking",
    "ClusterUnreachableError",
    "PartitionsDifferError",
    "TopicUnreadableError",
    "check",
    "erase",
    "stays",
]
