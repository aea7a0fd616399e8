"""What is mended in kafka-python: nothing stays open after a failure."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from streams.broker import EmbeddedKafka


def test_a_refused_connection_leaves_no_socket_behind() -> None:
    from streams.kafka_client import KafkaConsumer

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        # Port 9 (discard) is never a Kafka broker here.
        with pytest.raises(Exception, match=r"."):
            KafkaConsumer(bootstrap_servers="127.0.0.1:9", bootstrap_timeout_ms=300)
        gc.collect()
    assert not [str(one.message) for one in caught if "('0.0.0.0'" in str(one.message)]


@pytest.mark.kafka
def test_a_producer_that_is_given_up_ends_with_its_thread(new_kafka: Callable[..., EmbeddedKafka]) -> None:
    from streams.admin import connect
    from streams.kafka_client import KafkaProducer, give_up

    broker = new_kafka()
    with connect(broker.bootstrap_servers) as admin:
        admin.create_topics({"given-up": {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics(["given-up"])
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, linger_ms=60_000)
    delivery = producer.send("given-up", b"never sent")
    broker.stop()
    before = threading.active_count()
    give_up(producer)
    assert delivery.failed()
    assert producer._closed
    assert threading.active_count() < before
