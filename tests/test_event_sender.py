"""What stands between the HTTP door and Kafka: a batch returns when all of it is acknowledged, and a failure is not carried on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import IllegalStateError, KafkaTimeoutError
from kafka.partitioner.default import murmur2

from models.event_batch import BatchEvent
from streams import event_sender
from streams.cluster_errors import AccessRefusedError, ClusterUnreachableError
from streams.event_sender import EventSender, EventsNotTakenError
from streams.roles import Grant, Operation, Resource

TOPIC, PARTITIONS = "hotline.ticket-events", 8
BATCH = [BatchEvent(f"T-{number}", b"{}") for number in range(5)]


class Future:
    """The acknowledgement of one record."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def get(self, timeout: float) -> None:
        assert timeout <= event_sender.SEND_SECONDS
        if self.error is not None:
            raise self.error


class Producer:
    """Stands for kafka-python's; `fails_at`: which record is not acknowledged."""

    made: list[Producer]
    fails_at: int | None = None

    def __init__(self, **settings: Any) -> None:
        assert (settings["acks"], settings["enable_idempotence"]) == ("all", True)
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.given_up = False
        Producer.made.append(self)

    def send(self, topic: str, value: bytes, key: bytes, partition: int) -> Future:
        assert partition == murmur2(key) % 2**31 % PARTITIONS  # where every other producer puts it
        if self.given_up:
            raise IllegalStateError("closed")
        self.sent.append((topic, value, key))
        return Future(KafkaTimeoutError() if len(self.sent) - 1 == self.fails_at else None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Grant, ...]]:
    """Put a Kafka in memory in place of the real one; return what was asked for at each connection."""
    found: list[tuple[Grant, ...]] = []

    @contextlib.contextmanager
    def connect(_: str, *, timeout_seconds: float, needs: tuple[Grant, ...]) -> Iterator[None]:
        found.append(needs)
        yield

    Producer.made, Producer.fails_at = [], None
    monkeypatch.setattr(event_sender, "connect", connect)
    monkeypatch.setattr(event_sender, "KafkaProducer", Producer)
    monkeypatch.setattr(event_sender, "give_up", lambda producer: setattr(producer, "given_up", True))
    return found


@pytest.mark.usefixtures("asked")
def test_events_go_to_the_partition_of_their_ticket_in_their_order() -> None:
    EventSender("a:1", TOPIC, PARTITIONS).send(BATCH)
    assert Producer.made[0].sent == [(TOPIC, b"{}", f"T-{number}".encode()) for number in range(5)]


def test_one_producer_serves_all_batches_and_asks_for_its_right_once(asked: list[tuple[Grant, ...]]) -> None:
    sender = EventSender("a:1", TOPIC, PARTITIONS)
    for _ in range(3):
        sender.send(BATCH)
    assert len(Producer.made) == 1
    assert asked == [(Grant(Resource.TOPIC, TOPIC, Operation.WRITE),)]
    sender.close()
    assert Producer.made[0].given_up
    sender.close()


@pytest.mark.usefixtures("asked")
def test_after_a_failure_what_was_not_sent_is_given_up_and_the_next_batch_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = EventSender("a:1", TOPIC, PARTITIONS)
    monkeypatch.setattr(Producer, "fails_at", 3)
    with pytest.raises(EventsNotTakenError, match=r"3 of 5 events were acknowledged \(KafkaTimeoutError\)"):
        sender.send(BATCH)
    assert Producer.made[0].given_up
    monkeypatch.setattr(Producer, "fails_at", None)
    sender.send(BATCH)
    assert [producer.given_up for producer in Producer.made] == [True, False]


@pytest.mark.usefixtures("asked")
def test_a_batch_that_meets_a_producer_just_given_up_fails_alone() -> None:
    sender = EventSender("a:1", TOPIC, PARTITIONS)
    sender.send(BATCH)
    Producer.made[0].given_up = True
    with pytest.raises(EventsNotTakenError, match="IllegalStateError"):
        sender.send(BATCH)
    sender.send(BATCH)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ClusterUnreachableError("a:1", "Connection refused"), "no Kafka broker answers at a:1"),
        (AccessRefusedError("a:1", "User:x", [Grant(Resource.TOPIC, TOPIC, Operation.WRITE)]), "kafka-acls"),
        (KafkaTimeoutError(), "KafkaTimeoutError"),
    ],
)
def test_where_kafka_is_not_to_be_had_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(event_sender, "connect", connect)
    with pytest.raises(EventsNotTakenError, match=told):
        EventSender("a:1", TOPIC, PARTITIONS).send(BATCH)


def test_while_one_asks_for_kafka_the_others_do_not_wait_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asking, go_on = threading.Event(), threading.Event()

    def connect(*_: object, **__: object) -> None:
        asking.set()
        go_on.wait(60)
        raise KafkaTimeoutError

    monkeypatch.setattr(event_sender, "connect", connect)
    monkeypatch.setattr(event_sender, "CONNECT_SECONDS", 0.05)
    sender = EventSender("a:1", TOPIC, PARTITIONS)
    errors: list[str] = []

    def send() -> None:
        with pytest.raises(EventsNotTakenError) as caught:
            sender.send(BATCH)
        errors.append(str(caught.value))

    first = threading.Thread(target=send)
    first.start()
    asking.wait(60)
    send()
    go_on.set()
    first.join(60)
    assert "Kafka is being asked for" in errors[0]
    assert "KafkaTimeoutError" in errors[1]
