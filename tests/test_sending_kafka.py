"""Every door leads to the same place: Kafka by the copied producer, CloudEvents, HTTP; and a kill of the API loses nothing."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from kafka import KafkaProducer

from docs.producers import http_producer
from streams.broker import EmbeddedKafka
from streams.routes import partition_of
from streams.supervisor import free_port
from tests.api_support import TOKENS
from tests.builders import Story
from tests.kafka_support import ROOT, Worker, eventually, read_all
from tests.live_support import Live, driver_run, live, renamed, subscribers_file, to_bytes

pytestmark = pytest.mark.kafka

EVENTS, KILLS = 2_000, 2


def clients_file(folder: Path) -> Path:
    path = folder / "clients.yaml"
    path.touch(0o600)
    path.write_bytes(
        orjson.dumps({"clients": [{"name": "hotline", "token": {"inline": TOKENS["sender"]}, "role": "sender"}]})
    )
    (folder / "token").write_text(TOKENS["sender"])
    return path


@pytest.fixture
def service(kafka: EmbeddedKafka, tmp_path: Path, topic_prefix: str) -> Any:
    files = {
        "SUBSCRIBERS_FILE": str(subscribers_file(tmp_path, "https://platform.example/alerts")),
        "API_CLIENTS_FILE": str(clients_file(tmp_path)),
        "API_PORT": str(free_port()),
    }
    with live(kafka, tmp_path, topic_prefix, **files) as found:
        yield found


def url(service: Live) -> str:
    return f"http://127.0.0.1:{service.settings['API_PORT']}"


def on_topic(service: Live) -> dict[str, list[dict[str, Any]]]:
    """Return what lies on the topic of ticket events by ticket, each in order; every record lies where its ticket belongs."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in read_all(service.servers, service.topics.ticket_events):
        event = orjson.loads(record.value or b"")
        assert record.partition == partition_of(event["ticket_id"], service.topics.partitions)
        found[event["ticket_id"]].append(event)
    return found


def test_what_was_answered_202_is_on_the_topic_though_the_api_is_killed_in_between(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        {"event_id": f"e-{n}", "ticket_id": f"T-{n % 50}", "type": "urged", "occurred_at": "2025-03-03T09:00:00Z"}
        for n in range(EVENTS)
    ]
    waiting = threading.Event()
    monkeypatch.setattr(http_producer.time, "sleep", lambda _: waiting.wait(0.1))
    taken: list[int] = []
    service.start("api")
    service.wait_until_ready()

    def post() -> None:
        door = http_producer.Door(url(service), TOKENS["sender"], try_seconds=120)
        for first in range(0, EVENTS, 20):
            door.send(to_bytes(events[first : first + 20]))
            taken.append(first)
        door._connection.close()

    sender = threading.Thread(target=post)
    sender.start()
    for kill in range(1, KILLS + 1):
        eventually(lambda kill=kill: len(taken) > kill * 30, what="load")
        service.running["api"].kill()
        service.start("api")
    sender.join(120)
    assert len(taken) == EVENTS // 20
    found = on_topic(service)
    for ticket, told in found.items():
        ids = [one["event_id"] for one in told]
        sent = [one["event_id"] for one in events if one["ticket_id"] == ticket]
        assert list(dict.fromkeys(ids)) == sent  # nothing lost, the first of each in order; some may have come twice
    assert sum(map(len, found.values())) < EVENTS + 20 * (KILLS + 1)


def handed_back() -> list[dict[str, Any]]:
    story = Story().complaint(0)
    for at, unit in ((1, "A"), (3, "B"), (5, "C")):
        story(at, "dispatched", unit=unit)(at + 1, "return_requested", unit=unit, contacted=False)
    return story.records


def sent_by(program: str, events: list[dict[str, Any]], folder: Path, **environment: str) -> None:
    """Send events with one of the producers as it would be copied: twice, as if it had forgotten."""
    path = folder / f"{program}.jsonl"
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in events))
    for run in range(2):
        path.with_name(f"{path.name}.sent").unlink(missing_ok=True)
        log = folder / f"{program}-{run}.log"
        with Worker([str(ROOT / "docs" / "producers" / program), str(path)], log, env=environment) as process:
            assert process.wait(60) == 0, log.read_text()
        assert f"sent {len(events)} events" in log.read_text()


def sent_as_cloud_events(service: Live, events: list[dict[str, Any]]) -> None:
    producer = KafkaProducer(bootstrap_servers=service.servers.split(","), acks="all")
    try:
        for number, one in enumerate(events):
            attributes = {
                "id": one["event_id"],
                "source": "/hotline",
                "type": "cn.hotline.ticket",
                "specversion": "1.0",
            }
            event = CloudEvent(attributes | {"datacontenttype": "application/json"}, one)
            message = (to_binary, to_structured)[number % 2](event, JSONFormat())
            headers = list(message.headers.items())
            producer.send(service.topics.ticket_events, message.value, key=one["ticket_id"].encode(), headers=headers)
        producer.flush(timeout=60)
    finally:
        producer.close(timeout=10)


def test_whichever_door_an_event_comes_through_and_however_often_the_warnings_are_the_same(
    service: Live, tmp_path: Path
) -> None:
    stories = {door: renamed(handed_back(), door) for door in ("kafka-", "http-", "cloud-")}
    service.start("worker-1", "api")
    service.wait_until_ready()
    environment = {"KAFKA": service.servers, "TOPIC": service.topics.ticket_events}
    sent_by("producer.py", stories["kafka-"], tmp_path, **environment)
    token = str(tmp_path / "token")
    sent_by("http_producer.py", stories["http-"], tmp_path, URL=url(service), TOKEN_FILE=token)
    sent_as_cloud_events(service, stories["cloud-"] * 2)
    service.idle()
    expected = driver_run([record for story in stories.values() for record in story], "2025-03-20T09:00:00+08:00")
    service.tick("2025-03-20T09:00:00+08:00")
    service.idle()
    assert service.in_force() == expected.in_force
    assert {ticket for ticket, rule in service.in_force() if rule == "P01"} == {f"{door}T-1" for door in stories}
    assert len(service.issued()) == len({one.alert_id for one in expected.alerts})
    assert service.quarantined() == []


def test_a_refused_batch_leaves_nothing_on_the_topic(service: Live) -> None:
    service.start("api")
    service.wait_until_ready()
    events = handed_back()
    headers = {"authorization": f"Bearer {TOKENS['sender']}"}
    with httpx.Client(base_url=url(service), headers=headers, timeout=30, trust_env=False) as client:
        refused = client.post("/v1/events", json={"events": [*events, events[0] | {"seq": "one"}]})
        broken = client.post(
            "/v1/events",
            content=orjson.dumps({"events": events})[:-30],
            headers={"content-type": "application/json"},
        )
        large = client.post("/v1/events", content=b" " * 10_000_000, headers={"content-type": "application/json"})
        stranger = client.post("/v1/events", json={"events": events}, headers={"authorization": "Bearer nobody"})
        assert [one.status_code for one in (refused, broken, large, stranger)] == [422, 400, 413, 401]
        assert [one["index"] for one in refused.json()["errors"]] == [len(events)]
        assert [one["index"] for one in broken.json()["errors"]] == [len(events) - 1]
        assert on_topic(service) == {}
        taken = client.post("/v1/events", json={"events": events})
        assert (taken.status_code, taken.json()) == (202, {"count": len(events)})
    assert on_topic(service) == {"T-1": events}
