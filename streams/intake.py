"""The intake agent's work: bytes in, an event for `hw.tickets` out, or a quarantine record. Stateless; here identity ends."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, Protocol

from models.decode import Rejected, check_not_ahead, decode_event
from models.quarantine import QuarantineRecord, RejectionReason
from models.sealed import SealedRecord
from models.sender import sender_of
from models.ticket_event import TicketEvent, UnknownEvent
from models.times import format_instant
from rules.event import Event
from rules.intake import NO_READER, Read, Reader, read_texts, to_event
from rules.messages import EventMessage, encode
from rules.pseudonym import PseudonymKey
from rules.sealing import SEALED, Posts
from streams.inflating import INFLATED_BYTES_MAX, MIB, Uninflated
from streams.routes import Out, partition_of
from streams.topics import TopicSet

UNINFLATED = f"a batch of records that ends here inflates beyond {INFLATED_BYTES_MAX // MIB} MiB; none of it was read"


class IntakeWatch(Protocol):
    """Who is told what came in: metrics."""

    def accepted(self, event_type: str, unknown_fields: int) -> None:
        """An event was accepted."""

    def rejected(self, reason: str) -> None:
        """An input was refused."""

    def sealed(self, route: str) -> None:
        """An input was sealed."""

    def screened(self, event: Event) -> None:
        """An event's texts were screened."""


class Joined(Protocol):
    """Reference data as intake joins it to events."""

    def enrich(self, event: Event) -> Event:
        """Return the event with what the tables say of it."""

    def posts(self, own: Posts) -> Posts:
        """Return the installation's own posts and the table's."""


class Intake:
    """Decodes, validates and pseudonymises; never raises on an input."""

    def __init__(
        self,
        topics: TopicSet,
        keys: Sequence[PseudonymKey],
        watch: IntakeWatch,
        reader: Reader = NO_READER,
        reference: Joined | None = None,
    ) -> None:
        self._topics = topics
        self._keys = keys
        self._watch = watch
        self.reader = reader
        self._reference = reference

    def handle(self, partition: int, records: Sequence[Any]) -> list[Out]:
        """Return what a batch of Kafka records becomes: one output a record, and one more for what is sealed."""
        reader = self._reader()
        decoded = [self._decoded(record) for record in records]
        good = [event for event in decoded if not isinstance(event, Rejected)]
        try:
            read: Iterator[Read | None] = iter(read_texts(good, reader))
        except MemoryError:
            raise
        except Exception:
            read = repeat(None)  # whichever broke it: each is read alone, and that one is put aside
        return [
            out
            for record, event in zip(records, decoded, strict=True)
            for out in (
                [self._quarantine(partition, record, event)]
                if isinstance(event, Rejected)
                else self._each(partition, record, event, next(read), reader)
            )
        ]

    def _reader(self) -> Reader:
        """Return who reads texts now: the table of posts may have changed since the batch before."""
        if self._reference is None:
            return self.reader
        posts = self._reference.posts(self.reader.posts)
        return self.reader if posts is self.reader.posts else replace(self.reader, posts=posts)

    def _decoded(self, record: Any) -> TicketEvent | Rejected:
        if isinstance(record.value, Uninflated):
            return Rejected(RejectionReason.TOO_LARGE, UNINFLATED)
        try:
            event = decode_event(record.value, dict(record.headers) if record.headers else None)
            check_not_ahead(event, record.timestamp)
        except Rejected as rejected:
            return rejected
        except MemoryError:
            raise  # ours, not the input's: the process ends, and the batch comes again
        except Exception as broken:
            return _poison(broken)
        return event

    def _each(self, partition: int, record: Any, event: TicketEvent, read: Read | None, reader: Reader) -> list[Out]:
        try:
            known = to_event(event, self._keys, reader, read)
            message = EventMessage(known if self._reference is None else self._reference.enrich(known))
        except Rejected as rejected:
            return [self._quarantine(partition, record, rejected)]
        except MemoryError:
            raise
        except Exception as broken:
            return [self._quarantine(partition, record, _poison(broken))]
        if message.event.type == SEALED:
            self._watch.sealed(message.event.data["route"])
            return [self._passed(message, record), self._shell(message.event, record)]
        if not event.test:  # drills and trials are in no count
            self._watch.accepted("unknown" if type(event) is UnknownEvent else event.type, _unknown_fields(event))
            self._watch.screened(message.event)
        return [self._passed(message, record)]

    def _passed(self, message: EventMessage, record: Any) -> Out:
        topics, key = self._topics, message.key
        return Out(topics.tickets, partition_of(key, topics.partitions), key, encode(message), record.timestamp)

    def _shell(self, event: Event, record: Any) -> Out:
        """Return the empty shell, for whoever hands the complaint over by hand: id, time, route."""
        topics = self._topics
        told = SealedRecord(
            ticket_id=event.ticket_id,
            event_id=event.event_id,
            occurred_at=format_instant(event.at),
            route=event.data["route"],
        )
        where = partition_of(event.ticket_id, topics.partitions)
        return Out(topics.sealed, where, event.ticket_id, told.model_dump_json().encode(), record.timestamp)

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
            source=sender_of(record.value, dict(record.headers or ())),
        )
        return Out(topics.quarantine, partition, told.key, told.model_dump_json().encode(), record.timestamp)


def _poison(broken: Exception) -> Rejected:
    """Return the reason for an input that breaks us. The error's own message might quote the input; its type cannot."""
    return Rejected(RejectionReason.POISON, f"intake broke on it: {type(broken).__name__}")


def _unknown_fields(event: TicketEvent) -> int:
    return len(event.__pydantic_extra__ or ())
