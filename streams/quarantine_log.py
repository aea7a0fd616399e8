"""Reads hw.quarantine and what was decided about it: which refused inputs are still open. Synchronous (kafka-python): never on an
event loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.quarantine import QuarantineAction, QuarantineDecision, QuarantineRecord
from models.times import parse_instant
from streams.topic_log import ClusterUnreachableError, TopicUnreadableError, read_values
from streams.topics import TopicSet

UNNAMED = "(unnamed)"
"""The source of an input that names none, or that could not be read so far."""

Model = TypeVar("Model", bound=BaseModel)


class EntryState(StrEnum):
    """What has become of a refused input."""

    OPEN = "open"
    REPLAYED = "replayed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Entry:
    """One refused input, and what was decided about it last."""

    record: QuarantineRecord
    decision: QuarantineDecision | None = None

    @property
    def key(self) -> str:
        """Return what it is called by."""
        return self.record.key

    @property
    def state(self) -> EntryState:
        """Return what has become of it."""
        if self.decision is None:
            return EntryState.OPEN
        replayed = self.decision.action is QuarantineAction.REPLAYED
        return EntryState.REPLAYED if replayed else EntryState.DROPPED


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Every refused input that the topic still holds, each once, the oldest first."""

    entries: tuple[Entry, ...]
    unreadable: int
    """records of either topic that are none of ours"""

    def named(self, key: str) -> Entry | None:
        """Return the entry with this key; `3-1042` is short for partition and offset of the one topic where that is unique."""
        found = [
            entry for entry in self.entries if key in (entry.key, f"{entry.record.partition}-{entry.record.offset}")
        ]
        exact = [entry for entry in found if entry.key == key]
        return exact[0] if exact else found[0] if len(found) == 1 else None


def read_quarantine(bootstrap_servers: str, topics: TopicSet) -> Quarantine:
    """Return the quarantine as it is now. Raises ClusterUnreachableError, TopicUnreadableError."""
    return assembled(
        read_values(bootstrap_servers, topics.quarantine), read_values(bootstrap_servers, topics.quarantine_decisions)
    )


def assembled(records: Iterable[bytes], decisions: Iterable[bytes]) -> Quarantine:
    """Return the quarantine that the values of both topics make. An input that was refused again after a crash stands once."""
    unreadable = [0]
    # A topic that was made anew gives its offsets a second time: the hash tells the inputs apart.
    found = {(one.key, one.sha256): one for one in _read(records, QuarantineRecord, unreadable)}
    decided = {(one.key, one.sha256): one for one in _read(decisions, QuarantineDecision, unreadable)}
    entries = [Entry(record, decided.get(name)) for name, record in found.items()]
    entries.sort(
        key=lambda one: (
            parse_instant(one.record.quarantined_at),
            one.record.topic,
            one.record.partition,
            one.record.offset,
        )
    )
    return Quarantine(tuple(entries), unreadable[0])


def source_of(entry: Entry, topics: TopicSet) -> str:
    """Return where an input came from: the sender that it names, or the internal topic."""
    record = entry.record
    if record.topic != topics.ticket_events:
        return record.topic.removeprefix(topics.prefix)
    return record.source or UNNAMED


def counts_of(entries: Sequence[Entry], topics: TopicSet) -> list[tuple[str, str, int]]:
    """Return how many there are as (reason, source, count), the most first."""
    counted = Counter((entry.record.reason.value, source_of(entry, topics)) for entry in entries)
    return sorted(
        ((reason, source, count) for (reason, source), count in counted.items()), key=lambda one: (-one[2], one)
    )


def _read(values: Iterable[bytes], model: type[Model], unreadable: list[int]) -> Iterable[Model]:
    for value in values:
        if not value:
            continue  # a probe of `doctor`'s
        try:
            yield model.model_validate_json(value)
        except ValidationError:
            unreadable[0] += 1


__all__ = [
    "UNNAMED",
    "ClusterUnreachableError",
    "Entry",
    "EntryState",
    "Quarantine",
    "TopicUnreadableError",
    "assembled",
    "counts_of",
    "read_quarantine",
    "source_of",
]
