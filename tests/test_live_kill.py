"""SIGKILL of detection workers mid-stream: nothing is lost, and nothing reaches the receiver twice in effect."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from alerting.receiver import Receiver, serve
from benchmarks.generator import generate_events
from cli.demo_stories import demo_events
from models.times import parse_instant
from streams.broker import EmbeddedKafka
from streams.lag import lag_of
from tests.builders import Run
from tests.kafka_support import eventually, read_all
from tests.live_support import SECRET, Live, Records, delivered, driver_run, live, own_ids, subscribers_file, to_bytes

pytestmark = pytest.mark.kafka

UNTIL = "2025-08-01T12:00:00+08:00"
SEED = 7


def _records() -> list[dict[str, Any]]:
    """Return the demo's stories among generated tickets, in the order of time."""
    records = [*demo_events(), *generate_events(250, SEED)]
    return sorted(records, key=lambda record: parse_instant(record["occurred_at"]))


@dataclass
class Survived:
    """What stands after the kills."""

    service: Live
    receiver: Receiver
    records: Records
    driver: Run
    waiting_at_kill: list[int]


def _kill(service: Live, name: str, *, disk_too: bool) -> int:
    """SIGKILL a worker, delete its disk if asked, start it again; return how many records it left unacknowledged."""
    service.running[name].kill()
    watched = (service.topics.ticket_events, service.topics.tickets, service.topics.citizens)
    waiting = lag_of(service.servers, service.topics.worker_app_id, watched)
    if disk_too:
        shutil.rmtree(service.data_dir(name))
    service.start(name)
    return waiting


@pytest.fixture(scope="module")
def survived(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    folder = tmp_path_factory.mktemp("kill")
    receiver = Receiver([SECRET])
    records = _records()
    parts = [records[number * len(records) // 4 : (number + 1) * len(records) // 4] for number in range(4)]
    chance = random.Random(SEED)
    with (
        serve(receiver) as url,
        live(kafka, folder, "kill.", SUBSCRIBERS_FILE=str(subscribers_file(folder, url))) as service,
    ):
        service.start("worker-1", "worker-2", "dispatch")
        service.wait_until_ready()
        service.send(to_bytes(parts[0]))
        eventually(lambda: receiver.accepted, 60)  # warnings flow
        waiting = []
        for part, name, disk_too in ((parts[1], "worker-1", False), (parts[2], "worker-2", True)):
            again = chance.sample(parts[0], 50)  # a platform that sends some of it twice
            service.send(to_bytes([*part, *again]))
            waiting.append(_kill(service, name, disk_too=disk_too))
            service.wait_until_ready()
        service.send(to_bytes(parts[3]))
        service.idle()
        service.tick(UNTIL)
        service.idle()
        delivered(service, receiver)
        yield Survived(service, receiver, records, driver_run(records, UNTIL), waiting)


def test_the_kills_came_while_records_were_waiting(survived: Survived) -> None:
    assert all(waiting > 0 for waiting in survived.waiting_at_kill)


def test_every_event_is_taken_and_none_is_quarantined(survived: Survived) -> None:
    topics, servers = survived.service.topics, survived.service.servers
    keys = {one.key for one in read_all(servers, topics.tickets)} - {b"tick"}
    assert keys >= {record["ticket_id"].encode() for record in survived.records}
    assert survived.service.quarantined() == []


def test_the_warnings_in_force_are_the_drivers(survived: Survived) -> None:
    assert survived.service.in_force() == survived.driver.in_force
    assert len(survived.driver.in_force) > 20


def test_the_alert_ids_are_the_drivers(survived: Survived) -> None:
    merged = {"YH-3", "YH-4"}
    for_ids = [
        [one for one in alerts if one.case_id.removeprefix("case:") not in merged]
        for alerts in (survived.service.issued(), survived.driver.alerts)
    ]
    assert own_ids(for_ids[0]) == own_ids(for_ids[1])


def test_no_number_of_a_case_was_given_to_two_versions(survived: Survived) -> None:
    numbers: dict[str, list[int]] = {}
    for one in survived.service.issued():
        numbers.setdefault(one.case_id, []).append(one.sequence)
    for case, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), case


def test_the_receiver_has_each_version_once_and_in_order(survived: Survived) -> None:
    receiver = survived.receiver
    assert (receiver.not_verified, receiver.out_of_order) == (0, [])
    received: dict[str, list[int]] = {}
    for accepted in receiver.accepted:
        received.setdefault(accepted.alert["case_id"], []).append(accepted.alert["sequence"])
    expected: dict[str, list[int]] = {}
    for one in survived.service.issued():
        expected.setdefault(one.case_id, []).append(one.sequence)
    assert received == expected
    assert len({one.webhook_id for one in receiver.accepted}) == len(receiver.accepted)
    assert receiver.duplicates == []  # dispatch was never killed: not even the same call twice


def test_the_workers_go_on_living(survived: Survived) -> None:
    assert all(worker.alive() for worker in survived.service.running.values())
    assert [worker.stop() for worker in survived.service.running.values()] == [0, 0, 0]
