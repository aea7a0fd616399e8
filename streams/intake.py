"""The intake agent's work: bytes in, an event for `hw.tickets` out, or a quarantine record. Stateless; here identity ends."""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from models.decode import Rejected, check_not_ahead, decode_event
from models.quarantine import QuarantineRecord, RejectionReason
from models.ticket_event import TicketEvent, UnknownEvent
from models.times import format_instant
from rules.intake import to_event
from rules.messages import EventMessage, encode
from rules.pseudonym import PseudonymKey
from streams.routes import Out, partition_of
from streams.topics import TopicSet


class IntakeWatch(Protocol):
    """Who is told what came in: metrics."""

    def accepted(self, event_type: str, unknown_fields: int) -> None:
        """An event was accepted."""

    def rejected(self, reason: str) -> None:
        """An input was refused."""


class Intake:
    """Decodes, validates and pseudonymises; never raises on an input."""

    def __init__(self, topics: TopicSet, keys: Sequence[PseudonymKey], watch: IntakeWatch) -> None:
        self._topics = topics
        self._keys = keys
        self._watch = watch

    def handle(self, partition: int, records: Sequence[Any]) -> list[Out]:
        """Return what a batch of Kafka records becomes, one output a record."""
        return [self._one(partition, record) for record in records]

    def _one(self, partition: int, record: Any) -> Out:
        topics = self._topics
        try:
            event = decode_event(record.value, dict(record.headers) if record.headers else None)
            check_not_ahead(event, record.timestamp)
            message = EventMessage(to_event(event, self._keys))
        except Rejected as rejected:
            return self._quarantine(partition, record, rejected)
        except Exception as broken:
            # Its own message might quote the input; its type cannot.
            return self._quarantine(
                partition, record, Rejected(RejectionReason.POISON, f"intake broke on it: {type(broken).__name__}")
            )
        self._watch.accepted("unknown" if type(event) is UnknownEvent else event.type, _unknown_fields(event))
        key = message.key
        return Out(topics.tickets, partition_of(key, topics.partitions), key, encode(message), record.timestamp)

    def _quarantine(self, partition: int, record: Any, rejected: Rejected) -> Out:
        self._watch.rejected(rejected.reason)
        topics = self._topics
        value = record.value or b""
        told = QuarantineRecord(
            reason=rejected.reason,
            detail=rejected.detail,
            field=rejected.field,
            topic=topics.ticket_events,
            partition=partition,
            offset=record.offset,
            size_bytes=len(value),
            sha256=hashlib.sha256(value).hexdigest(),
            quarantined_at=format_instant(record.timestamp * 1000),
        )
        key = f"{topics.ticket_events}-{partition}-{record.offset}"
        return Out(topics.quarantine, partition, key, told.model_dump_json().encode(), record.timestamp)


def _unknown_fields(event: TicketEvent) -> int:
    return len(event.__pydantic_extra__ or ())
