"""Asks the dispatch worker to send something again, and waits for what comes of it. Synchronous (kafka-python): never on an
event loop.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka.errors import KafkaError
from pydantic import ValidationError

from models.delivery import DeliveryRecord, DeliveryStatus
from models.redelivery import RedeliveryRequest
from streams.admin import ClusterUnreachableError, connect
from streams.kafka_client import KafkaConsumer, TopicPartition
from streams.roles import Grant, Operation, Resource
from streams.routes import partition_of
from streams.ticking import plain_producer
from streams.topic_log import TopicUnreadableError
from streams.topics import TopicSet

Ends = Mapping[int, int]
"""The offset behind the last record of each partition."""

_SEND_SECONDS = 30
_POLL_SECONDS = 0.5


def send_request(bootstrap_servers: str, topics: TopicSet, request: RedeliveryRequest) -> None:
    """Send one request and wait for the broker. Raises as `send_requests`."""
    send_requests(bootstrap_servers, topics, (request,))


def send_requests(bootstrap_servers: str, topics: TopicSet, requests: Iterable[RedeliveryRequest]) -> int:
    """Send requests, each into the partition of its alert's case, and wait for the broker; return their number.

    Raises ClusterUnreachableError, TopicUnreadableError where there is no such topic; some may have been sent then, and
    sending them once more does no harm.
    """
    topic = topics.redeliveries
    producer = plain_producer(bootstrap_servers, topic)
    try:
        sent = []
        partitions = 0
        for request in requests:
            partitions = partitions or len(producer.partitions_for(topic) or ())
            if not partitions:
                raise _missing(topic)
            case_id = request.alert.case_id
            value = request.model_dump_json().encode()
            partition = partition_of(case_id, partitions)  # as its alerts, and so its state
            sent.append(producer.send(topic, key=case_id.encode(), value=value, partition=partition))
        for future in sent:
            future.get(timeout=_SEND_SECONDS)
        return len(sent)
    except KafkaError as error:
        raise TopicUnreadableError(f"{topic} takes no requests: {type(error).__name__}") from error
    finally:
        producer.close(timeout=_SEND_SECONDS)


def delivery_ends(bootstrap_servers: str, topics: TopicSet) -> Ends:
    """Return where the topic of deliveries ends now, for `await_outcome` to begin there. Raises ClusterUnreachableError,
    TopicUnreadableError.
    """
    with _consumer(bootstrap_servers, topics.deliveries) as (consumer, parts):
        return {part.partition: offset for part, offset in consumer.end_offsets(parts).items()}


def await_outcome(
    bootstrap_servers: str,
    topics: TopicSet,
    subscriber: str,
    mark: str,
    timeout_seconds: float,
    since: Ends | None = None,
) -> DeliveryRecord | None:
    """Return the delivery with this mark as it stands once it has been attempted or refused; as it was seen last where
    time runs out, None where it was not seen.

    `since`: where the topic ended before it was asked for; without it the whole topic is read. Raises
    ClusterUnreachableError, TopicUnreadableError.
    """
    deadline = time.monotonic() + timeout_seconds
    last: DeliveryRecord | None = None
    with _consumer(bootstrap_servers, topics.deliveries) as (consumer, parts):
        for part in parts:
            if since is None:
                consumer.seek_to_beginning(part)
            else:
                consumer.seek(part, since.get(part.partition, 0))
        while (left := deadline - time.monotonic()) > 0 and not (last is not None and is_answered(last)):
            polled = consumer.poll(timeout_ms=max(1, int(1000 * min(left, _POLL_SECONDS))))
            values = (record.value or b"" for batch in polled.values() for record in batch)
            last = last_word(values, subscriber, mark, last)
    return last


def last_word(
    values: Iterable[bytes], subscriber: str, mark: str, before: DeliveryRecord | None = None
) -> DeliveryRecord | None:
    """Return the first record of the delivery that answers, else the last one; `before` where there is none."""
    for value in values:
        if before is not None and is_answered(before):
            break
        if mark.encode() not in value:  # most are not ours: they are not even read
            continue
        try:
            record = DeliveryRecord.model_validate_json(value)
        except ValidationError:
            continue  # the dispatch worker quarantines it
        if (record.subscriber, record.mark) == (subscriber, mark):
            before = record
    return before


def is_answered(record: DeliveryRecord) -> bool:
    """Return whether there is news of the delivery: accepted, or tried and not accepted, or refused, or kept."""
    return record.status is not DeliveryStatus.PENDING or record.outcome is not None


@contextlib.contextmanager
def _consumer(bootstrap_servers: str, topic: str) -> Iterator[tuple[Any, list[TopicPartition]]]:
    with connect(bootstrap_servers, needs=(Grant(Resource.TOPIC, topic, Operation.READ),)):
        pass  # says in plain words where nobody answers, and where we may not read
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
        )
    except KafkaError as error:
        raise ClusterUnreachableError(bootstrap_servers, type(error).__name__) from None
    try:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise _missing(topic)
        parts = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(parts)
        yield consumer, parts
    except KafkaError as error:
        raise TopicUnreadableError(f"{topic} cannot be read: {type(error).__name__}") from error
    finally:
        consumer.close()


def _missing(topic: str) -> TopicUnreadableError:
    return TopicUnreadableError(f"there is no topic {topic}: create it with `hotline-watch topics create`")


__all__ = [
    "ClusterUnreachableError",
    "TopicUnreadableError",
    "await_outcome",
    "delivery_ends",
    "is_answered",
    "last_word",
    "send_request",
    "send_requests",
]
