"""Reads hw.sealed to its present end: what is to be handed over by hand. Synchronous (kafka-python): never on an event loop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from models.sealed import SealedRecord
from models.times import parse_instant
from streams.topic_log import ClusterUnreachableError, TopicUnreadableError, read_values


@dataclass(frozen=True, slots=True)
class Shells:
    """The shells on a topic, each once, by the time of the event."""

    records: tuple[SealedRecord, ...]
    unreadable: int
    """records that are no shells"""


def read_shells(bootstrap_servers: str, topic: str) -> Shells:
    """Return all shells in the topic. Raises ClusterUnreachableError, TopicUnreadableError."""
    return shells(read_values(bootstrap_servers, topic))


def shells(values: Iterable[bytes]) -> Shells:
    """Return the shells among some records; one that was sealed again after a restart stands once."""
    found: dict[tuple[str, str], SealedRecord] = {}
    unreadable = 0
    for value in values:
        try:
            record = SealedRecord.model_validate_json(value)
        except ValidationError:
            unreadable += 1
            continue
        found[record.ticket_id, record.event_id] = record
    ordered = sorted(found.values(), key=lambda one: (parse_instant(one.occurred_at), one.ticket_id, one.event_id))
    return Shells(tuple(ordered), unreadable)


__all__ = ["ClusterUnreachableError", "Shells", "TopicUnreadableError", "read_shells", "shells"]
