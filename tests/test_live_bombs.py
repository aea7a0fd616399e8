"""Batches on the real Kafka that stand for far more than they are: the worker's memory stays bounded, and it goes on."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import orjson
import pytest

from models.quarantine import QuarantineRecord
from streams.broker import EmbeddedKafka
from streams.quarantine_log import Entry
from streams.replaying import Found, look
from streams.routes import partition_of
from tests.bombs import bomb, send_batch
from tests.builders import Story
from tests.kafka_support import read_all
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka

BOMB_MIB = 700
GROWTH_MIB_MAX = 260
"""what one refused batch may cost at most: the bound of 64 MiB, a few times over, and what a busy worker takes anyway"""


def _highest_mib(service: Live, name: str) -> int:
    """Return the most memory that a process ever had."""
    status = Path(f"/proc/{service.running[name].pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


def _send_bomb(service: Live, topic: str, partition: int) -> int:
    batch = bomb("zstd", BOMB_MIB, timestamp_ms=int(time.time() * 1000))
    assert len(batch) < 100_000, "the broker lets it in"
    return asyncio.run(send_batch(service.servers, topic, partition, batch))


def test_a_bomb_on_each_topic_is_refused_alone_and_the_worker_goes_on(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    with live(kafka, tmp_path, "bombs.") as service:
        service.start("worker-1")
        service.wait_until_ready()
        topics, ticket = service.topics, "after-the-bomb"
        partition = partition_of(ticket, topics.partitions)
        before = Story(ticket)(0, "return_requested", unit="A")
        after = Story(ticket)(1, "return_requested", event_id="second", unit="B")
        service.send(to_bytes(before.records))
        service.idle()
        used = _highest_mib(service, "worker-1")

        sent = {
            name: _send_bomb(service, name, partition)
            for name in (topics.ticket_events, topics.tickets, topics.citizens)
        }
        service.send(to_bytes(after.records))
        service.idle()
        assert service.in_force()[ticket, "P01"] == "yellow", "the event behind the bomb was taken"
        refused = {one["topic"]: one for one in service.quarantined()}
        assert {name: one["offset"] for name, one in refused.items()} == sent
        assert {name: one["reason"] for name, one in refused.items()} == {
            topics.ticket_events: "too_large",
            topics.tickets: "unreadable",
            topics.citizens: "unreadable",
        }
        assert service.metric('hw_security_alarms_total{kind="inflated_batch"}') == len(sent)
        assert _highest_mib(service, "worker-1") - used < GROWTH_MIB_MAX
        assert "inflates beyond 64 MiB" in service.logs()

        entry = Entry(QuarantineRecord.model_validate_json(orjson.dumps(refused[topics.ticket_events])))
        assert look(service.servers, topics, entry, time.time_ns() // 1000).found is Found.STILL_REFUSED

        service.running["worker-1"].stop()
        service.start("worker-1")
        service.wait_until_ready()
        service.idle()
        assert len(read_all(service.servers, topics.quarantine)) == len(sent), "none is read again after a restart"
