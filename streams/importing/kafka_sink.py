"""The sink that sends an import's events to Kafka. Synchronous: never on an event loop."""

import contextlib
from collections.abc import Iterator
from typing import Any

from kafka.errors import KafkaError

from streams.admin import ClusterUnreachableError, connect
from streams.importing.faults import SinkFault
from streams.kafka_client import KafkaProducer, give_up
from streams.roles import Grant, Operation, Resource

CONNECT_SECONDS = 10.0
_DELIVERY_MS = 120_000
_LARGEST_REQUEST = 1_048_576
_IN_FLIGHT_MAX = 50_000  # the client's own buffer has no bound


class KafkaTopic:
    """A Kafka topic that exists; key = ticket id. `acknowledged` counts what all in-sync replicas have."""

    def __init__(self, bootstrap_servers: str, topic: str, *, timeout_seconds: float = CONNECT_SECONDS) -> None:
        self._topic, self._servers = topic, bootstrap_servers
        self.sent = self.acknowledged = 0
        self._failures: list[str] = []
        try:
            needs = (Grant(Resource.TOPIC, topic, Operation.WRITE),)
            with connect(bootstrap_servers, timeout_seconds=timeout_seconds, needs=needs) as admin:
                there = topic in admin.list_topics()
        except ClusterUnreachableError as error:
            raise SinkFault(str(error)) from None
        except (KafkaError, OSError) as error:
            raise self._broken(error) from None
        if not there:
            raise SinkFault(f"topic {topic} does not exist: create it with `hotline-watch topics create`")
        with self._failing():
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap_servers,
                acks="all",
                enable_idempotence=True,
                compression_type="gzip",
                linger_ms=20,
                batch_size=131_072,
                max_request_size=_LARGEST_REQUEST,
                delivery_timeout_ms=_DELIVERY_MS,
                allow_auto_create_topics=False,
            )

    def send(self, ticket_id: str, body: bytes) -> None:
        """Hand one event to the producer; raises as soon as an earlier one is known to have failed."""
        if self._failures:
            raise self._undelivered()
        with self._failing():
            future: Any = self._producer.send(self._topic, body, key=ticket_id.encode())
            self.sent += 1
            future.add_callback(self._on_ack)
            future.add_errback(self._on_failure)
            if self.sent - self.acknowledged >= _IN_FLIGHT_MAX:
                self._producer.flush()

    def close(self) -> None:
        """Wait until every event is acknowledged."""
        try:
            self._producer.flush()
            self._producer.close()
        except (KafkaError, OSError) as error:
            self._on_failure(error)
            self.abort()  # a flush that fails leaves the producer open
        if self._failures or self.acknowledged != self.sent:
            raise self._undelivered()

    def abort(self) -> None:
        """Give up what is not sent yet; what is sent stays: event ids make a second import harmless."""
        give_up(self._producer)

    def _on_ack(self, _: object) -> None:
        self.acknowledged += 1

    def _on_failure(self, error: BaseException) -> None:
        self._failures.append(type(error).__name__)

    def _undelivered(self) -> SinkFault:
        cause = self._failures[0] if self._failures else "no answer"
        return SinkFault(
            f"{self.sent - self.acknowledged} of {self.sent} events not acknowledged by {self._servers} ({cause}): "
            "run the import again, events that are there already have no second effect"
        )

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError) as error:
            raise self._broken(error) from None

    def _broken(self, error: BaseException) -> SinkFault:
        cause = type(error).__name__
        return SinkFault(f"Kafka at {self._servers}: {cause}: check the brokers and run the import again")
