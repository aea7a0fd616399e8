"""Who names a citizen: looks through the changelogs of the tables, and the reference data. Synchronous: never on an event loop.

A compacted topic's last record of a key is what a table holds; records before it wait for Kafka to compact them away. Keys are shown as
hashes: a ticket's id is no secret, but a list of one person's tickets would be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rules.forgetting import Needle
from streams.topic_log import read_records
from streams.topics import TopicSet

SURVEY_SECONDS = 1_800.0

Place = tuple[str, int, bytes]
"""a topic, a partition and a key in it"""
Reading = Callable[[str], Iterable[Any]]
"""the records of a topic, to its present end"""


@dataclass(frozen=True, slots=True)
class Found:
    """The last record of a key: where it lies, and the hash of its value; None where it was deleted."""

    offset: int
    sha256: str | None


@dataclass
class Survey:
    """What a look through the compacted topics found."""

    left: dict[Place, Found] = field(default_factory=dict)
    """keys whose last value names the citizen"""
    followed: dict[Place, Found] = field(default_factory=dict)
    """the last records of the keys that were asked after"""
    superseded: dict[str, int] = field(default_factory=dict)
    """by topic: records that name the citizen but are no longer the last of their key: they wait for compaction"""
    ends: dict[str, dict[int, int]] = field(default_factory=dict)
    """by topic and partition: the offset after the last record"""

    def left_in(self, topic: str) -> int:
        """Return how many keys of a topic still name the citizen."""
        return sum(place[0] == topic for place in self.left)


def compacted_topics(topics: TopicSet) -> tuple[str, ...]:
    """Return the topics that are looked through: the tables that know pseudonyms, and reference data, whose keys may be some."""
    return topics.tickets_changelog, topics.citizens_changelog, topics.reference


def reading(bootstrap_servers: str) -> Reading:
    """Return how the topics of a cluster are read."""
    return lambda topic: read_records(bootstrap_servers, topic, SURVEY_SECONDS)


def survey(read: Reading, topics: TopicSet, citizens: Iterable[str], follow: Collection[Place] = ()) -> Survey:
    """Return who names any of the citizens now. Raises what reading raises."""
    needles = [Needle(citizen) for citizen in citizens]
    found = Survey()
    for topic in compacted_topics(topics):
        found.superseded[topic] = 0
        found.ends[topic] = {}
        for record in read(topic):
            _look(found, topic, record, needles, follow)
    return found


def _look(found: Survey, topic: str, record: Any, needles: list[Needle], follow: Collection[Place]) -> None:
    found.ends[topic][record.partition] = record.offset + 1
    if record.key is None:
        return
    place = (topic, record.partition, record.key)
    names = any(needle.in_record(record.key, record.value) for needle in needles)
    if found.left.pop(place, None) is not None:
        found.superseded[topic] += 1
    if names or place in follow:
        now = Found(record.offset, hashlib.sha256(record.value).hexdigest() if record.value is not None else None)
        if place in follow:
            found.followed[place] = now
        if names and record.value is None:
            found.superseded[topic] += 1  # a tombstone, whose key still is the pseudonym
        elif names:
            found.left[place] = now


def key_hash(key: bytes) -> str:
    """Return what a key is called in a report."""
    return hashlib.sha256(key).hexdigest()[:16]


def rows(before: Survey, after: Survey) -> Iterator[dict[str, Any]]:
    """Yield, for each key that named the citizen, its last record before and after."""
    for place, was in sorted(before.left.items()):
        topic, partition, key = place
        now = after.followed.get(place)
        yield {
            "topic": topic,
            "partition": partition,
            "key_sha256": key_hash(key),
            "offset_before": was.offset,
            "value_sha256_before": was.sha256,
            "offset_after": now.offset if now else None,
            "value_sha256_after": now.sha256 if now else None,
            "names_the_citizen": place in after.left,
        }
