"""Sends ticket events for the HTTP door: a batch returns when every in-sync replica has all of it. Synchronous (kafka-python)
and safe to be called from several threads: never on an event loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from kafka.errors import KafkaError, KafkaTimeoutError

from models.event_batch import BatchEvent
from streams.admin import connect
from streams.cluster_errors import ClusterUnreachableError
from streams.kafka_client import KafkaProducer, give_up
from streams.roles import Grant, Operation, Resource
from streams.routes import partition_of

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
SEND_SECONDS = 15.0
_LINGER_MS = 3
"""So long a record waits for company: the events of a batch are handed over one by one, but travel together."""
_PRODUCER_BATCH_BYTES = 128 * 1024


class EventsNotTakenError(Exception):
    """Kafka has not acknowledged all of a batch; some of it may be there. The message says why, for the log."""


class EventSender:
    """Holds one producer, made at the first batch, and a new one after a failure."""

    def __init__(self, bootstrap_servers: str, topic: str, partitions: int) -> None:
        """`partitions`: how many the topic has, as it is declared."""
        self._servers, self._topic, self._partitions = bootstrap_servers, topic, partitions
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._producer: KafkaProducer | None = None

    def send(self, events: Sequence[BatchEvent]) -> None:
        """Send events, each into the partition of its ticket, and return when Kafka has them all. Raises EventsNotTakenError."""
        producer = self._opened()
        deadline = time.monotonic() + SEND_SECONDS
        acknowledged = 0
        try:
            futures = self._handed_over(producer, events)
            for future in futures:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
                acknowledged += 1
        except (KafkaError, OSError, ValueError) as error:
            self._discard(producer)
            cause = type(error).__name__
            raise EventsNotTakenError(
                f"{self._topic} at {self._servers}: {acknowledged} of {len(events)} events were acknowledged ({cause})"
            ) from None

    def _handed_over(self, producer: KafkaProducer, events: Sequence[BatchEvent]) -> list[Any]:
        # One batch after the other: side by side they only take the producer's lock from each other, and all come last.
        if not self._turn.acquire(timeout=SEND_SECONDS):
            raise KafkaTimeoutError
        try:
            return [
                # The library would find the same partition, at a tenth of what sending a record takes.
                producer.send(
                    self._topic,
                    event.value,
                    key=event.ticket_id.encode(),
                    partition=partition_of(event.ticket_id, self._partitions),
                )
                for event in events
            ]
        finally:
            self._turn.release()

    def close(self) -> None:
        """Let go of Kafka. What is on its way fails."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            give_up(producer)

    def _opened(self) -> KafkaProducer:
        # While one asks for Kafka in vain the others do not queue up behind it without end.
        if not self._lock.acquire(timeout=CONNECT_SECONDS):
            raise EventsNotTakenError(f"{self._topic} at {self._servers}: Kafka is being asked for")
        try:
            if self._producer is None:
                self._producer = self._made()
            return self._producer
        except (ClusterUnreachableError, KafkaError, OSError) as error:
            told = str(error) if isinstance(error, ClusterUnreachableError) else type(error).__name__
            raise EventsNotTakenError(f"{self._topic} at {self._servers}: {told}") from None
        finally:
            self._lock.release()

    def _made(self) -> KafkaProducer:
        needs = (Grant(Resource.TOPIC, self._topic, Operation.WRITE),)
        with connect(self._servers, timeout_seconds=CONNECT_SECONDS, needs=needs):
            pass  # says in plain words where nobody answers, and where we may not write
        return KafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=_LINGER_MS,
            batch_size=_PRODUCER_BATCH_BYTES,
            request_timeout_ms=int(SEND_SECONDS * 1000 / 2),
            delivery_timeout_ms=int(SEND_SECONDS * 1000),
            max_block_ms=int(CONNECT_SECONDS * 1000),
            bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
            allow_auto_create_topics=False,
        )

    def _discard(self, producer: KafkaProducer) -> None:
        """Let nobody use the producer any more: what it has not sent is not to arrive after the batch was said to have failed."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        give_up(producer)
