"""The dispatch worker on a real Kafka: order, isolation, retries, and what a SIGKILL must not do."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from alerting.receiver import Receiver, Script, serve
from cli.deliveries import app as deliveries_app
from models.alert import Alert
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome, delivery_id
from streams.broker import EmbeddedKafka
from streams.topics import TopicSet
from tests.alerting_support import SECRET, make_alert
from tests.directory_support import delivery_files
from tests.kafka_support import Worker, eventually, produce, read_all

pytestmark = pytest.mark.kafka

CASES = [f"case-{number}" for number in range(12)]
VERSIONS = 5
SCALE = "0.002"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "hook.secret"
    path.write_text("whsec_" + base64.b64encode(SECRET.key).decode())
    return path


def subscribers_file(folder: Path, entries: list[dict[str, Any]]) -> Path:
    """Write a subscribers file; JSON is YAML."""
    common = {"secret": {"file": "hook.secret"}, "allow_http": True, "allow_networks": ["127.0.0.0/8"]}
    path = folder / "subscribers.yaml"
    path.write_bytes(orjson.dumps({"subscribers": [common | entry for entry in entries]}))
    delivery_files(path)
    return path


def story() -> list[Alert]:
    """Return versions of warnings of a dozen cases, interleaved."""
    return [
        make_alert(
            f"{case}.{number}",
            case,
            sequence=number,
            status="raised" if number == 1 else "escalated",
            level="red" if number % 2 == 0 else "yellow",
        )
        for number in range(1, VERSIONS + 1)
        for case in CASES
    ]


def publish(kafka: EmbeddedKafka, topics: TopicSet, alerts: list[Alert]) -> None:
    records = [(alert.case_id.encode(), alert.model_dump_json().encode()) for alert in alerts]
    produce(kafka.bootstrap_servers, topics.alerts, records)


def deliveries(kafka: EmbeddedKafka, topics: TopicSet) -> list[DeliveryRecord]:
    found = read_all(kafka.bootstrap_servers, topics.deliveries)
    return [DeliveryRecord.model_validate_json(record.value or b"") for record in found]


def last_statuses(kafka: EmbeddedKafka, topics: TopicSet) -> dict[tuple[str, str], DeliveryStatus]:
    return {(record.subscriber, record.alert_id): record.status for record in deliveries(kafka, topics)}


class Dispatchers:
    """Starts dispatch workers; each has a datadir of its own."""

    def __init__(self, kafka: EmbeddedKafka, topics: TopicSet, folder: Path) -> None:
        self._kafka, self._topics, self._folder = kafka, topics, folder
        self._numbers = itertools.count()
        self.running: list[Worker] = []

    def start(self, subscribers: Path, datadir: str = "data", scale: str = SCALE) -> Worker:
        arguments = [self._kafka.bootstrap_servers, self._topics.prefix, str(self._topics.partitions)]
        arguments += [str(self._folder / datadir), str(subscribers), scale]
        log = self._folder / f"dispatch-{next(self._numbers)}.log"
        worker = Worker(["-m", "tests.dispatch_process", *arguments], log)
        self.running.append(worker)
        return worker


@pytest.fixture
def dispatchers(kafka: EmbeddedKafka, topics: TopicSet, tmp_path: Path) -> Iterator[Dispatchers]:
    started = Dispatchers(kafka, topics, tmp_path)
    yield started
    for worker in started.running:
        if worker.alive():
            worker.kill()


def refusing(cases: Sequence[str], times: int) -> Script:
    """Return what answers 500 to the first calls for each alert of these cases."""
    ids = {delivery_id("shaky", alert.alert_id) for alert in story() if alert.case_id in cases}
    return lambda webhook_id, call: 500 if webhook_id in ids and call <= times else 200


def received(receiver: Receiver) -> dict[str, list[str]]:
    """Return the alert ids by case, in the order they were accepted."""
    found: dict[str, list[str]] = {}
    for accepted in receiver.accepted:
        found.setdefault(accepted.alert["case_id"], []).append(accepted.alert["alert_id"])
    return found


def expected(alerts: list[Alert], level: str | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for alert in alerts:
        if level is None or alert.level == level:
            found.setdefault(alert.case_id, []).append(alert.alert_id)
    return found


@pytest.mark.usefixtures("secret_file")
def test_two_receivers_one_failing_at_first_get_all_in_order(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()
    steady, shaky = Receiver([SECRET]), Receiver([SECRET], script=refusing(CASES[8:], 2))
    with serve(steady) as steady_url, serve(shaky) as shaky_url:
        path = subscribers_file(
            tmp_path,
            [{"name": "steady", "url": steady_url, "levels": ["red"]}, {"name": "shaky", "url": shaky_url}],
        )
        worker = dispatchers.start(path)
        publish(kafka, topics, [*alerts, *alerts[:7]])  # some of them twice
        publish(kafka, topics, [make_alert("not-pushed", "case-0", push=False)])
        eventually(lambda: received(shaky) == expected(alerts), 60)
        eventually(lambda: received(steady) == expected(alerts, "red"), 10)
        eventually(lambda: set(last_statuses(kafka, topics).values()) == {DeliveryStatus.DELIVERED}, 20)
        assert worker.stop() == 0
    for receiver in (steady, shaky):
        assert (receiver.out_of_order, receiver.not_verified, receiver.duplicates) == ([], 0, [])
    ids = {accepted.webhook_id for accepted in shaky.accepted}
    assert ids == {delivery_id("shaky", alert.alert_id) for alert in alerts}
    history = [record for record in deliveries(kafka, topics) if record.subscriber == "shaky"]
    first = [record for record in history if record.alert_id == "case-11.1"]  # not sent twice
    assert [(record.status, record.attempts, record.outcome) for record in first] == [
        ("pending", 0, None),
        ("pending", 1, "http_5xx"),
        ("pending", 2, "http_5xx"),
        ("delivered", 3, "accepted"),
    ]


@pytest.mark.usefixtures("secret_file")
def test_sigkill_and_a_lost_disk_lose_nothing(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()
    steady, shaky = Receiver([SECRET]), Receiver([SECRET], script=refusing(CASES[8:], 1))
    with serve(steady) as steady_url, serve(shaky) as shaky_url:
        path = subscribers_file(tmp_path, [{"name": "steady", "url": steady_url}, {"name": "shaky", "url": shaky_url}])
        publish(kafka, topics, alerts)
        for goal in (4, 20, 40):  # each time a little further, then SIGKILL, then without its disk
            worker = dispatchers.start(path)
            eventually(lambda goal=goal: len(steady.accepted) >= goal, 60)  # type: ignore[misc]
            worker.kill()
            shutil.rmtree(tmp_path / "data", ignore_errors=True)
        worker = dispatchers.start(path)
        eventually(lambda: received(steady) == expected(alerts), 60)
        eventually(lambda: received(shaky) == expected(alerts), 60)
        eventually(lambda: set(last_statuses(kafka, topics).values()) == {DeliveryStatus.DELIVERED}, 30)
        assert worker.stop() == 0
    for receiver in (steady, shaky):
        assert (receiver.out_of_order, receiver.not_verified) == ([], 0)
        ids = [accepted.webhook_id for accepted in receiver.accepted]
        assert len(ids) == len(set(ids)) == len(alerts)


@pytest.mark.usefixtures("secret_file")
def test_a_hanging_subscriber_holds_nobody_else_up(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()

    async def hang(_: str, call: int) -> int:
        await asyncio.Event().wait()
        return 500

    steady, hanging = Receiver([SECRET]), Receiver([SECRET], script=hang)
    with serve(steady) as steady_url, serve(hanging) as hanging_url:
        path = subscribers_file(
            tmp_path,
            [
                {"name": "hanging", "url": hanging_url, "timeout_seconds": 60},
                {"name": "steady", "url": steady_url},
            ],
        )
        worker = dispatchers.start(path)
        publish(kafka, topics, alerts)
        eventually(lambda: received(steady) == expected(alerts), 60)
        assert len(hanging.calls) == 1  # no more at a time than a subscriber that never answered is given
        worker.kill()


@pytest.mark.usefixtures("secret_file")
def test_gone_keeps_everything_until_the_entry_is_changed(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()
    open_again = threading.Event()
    receiver = Receiver([SECRET], script=lambda *_: 200 if open_again.is_set() else 410)
    with serve(receiver) as url:
        publish(kafka, topics, alerts)
        worker = dispatchers.start(subscribers_file(tmp_path, [{"name": "team", "url": url}]))
        heads = {("team", f"{case}.1") for case in CASES}

        def all_heads_disabled() -> bool:
            found = last_statuses(kafka, topics)
            return {key for key, status in found.items() if status is DeliveryStatus.DISABLED} == heads

        eventually(all_heads_disabled, 60)
        assert len(last_statuses(kafka, topics)) == len(alerts)
        assert sum(receiver.calls.values()) < len(CASES)  # the rest was parked without a call
        assert worker.stop() == 0
        open_again.set()
        dispatchers.start(subscribers_file(tmp_path, [{"name": "team", "url": url, "revision": 2}]))
        eventually(lambda: received(receiver) == expected(alerts), 60)
        assert receiver.out_of_order == []


@pytest.mark.usefixtures("secret_file")
def test_an_unreadable_alert_is_quarantined_and_the_next_one_sent(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    receiver = Receiver([SECRET])
    with serve(receiver) as url:
        good = make_alert("a-1", "case-1")
        bad: list[tuple[bytes | None, bytes | None]] = [(b"case-1", value) for value in (None, b"", b"{}", b"\xff")]
        produce(kafka.bootstrap_servers, topics.alerts, bad)
        publish(kafka, topics, [good])
        dispatchers.start(subscribers_file(tmp_path, [{"name": "team", "url": url}]))
        eventually(lambda: received(receiver) == {"case-1": ["a-1"]}, 60)
        found = read_all(kafka.bootstrap_servers, topics.quarantine)
        assert [orjson.loads(record.value or b"")["reason"] for record in found] == ["unreadable"] * 4


@pytest.mark.usefixtures("secret_file")
def test_two_workers_share_the_partitions_and_one_takes_over(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()
    receiver = Receiver([SECRET], script=lambda ident, call: 503 if call == 1 and ident[0] in "0123" else 200)
    with serve(receiver) as url:
        path = subscribers_file(tmp_path, [{"name": "team", "url": url}])
        first, second = dispatchers.start(path, "one"), dispatchers.start(path, "two")
        first.wait_for("READY")
        second.wait_for("READY")
        publish(kafka, topics, alerts)
        eventually(lambda: len(receiver.accepted) >= 10, 60)
        first.kill()
        eventually(lambda: received(receiver) == expected(alerts), 60)
        assert second.alive()
        assert receiver.out_of_order == []
        outcomes = {record.outcome for record in deliveries(kafka, topics)}
        assert outcomes <= {None, Outcome.ACCEPTED, Outcome.HTTP_5XX}


@pytest.mark.usefixtures("secret_file")
def test_a_kill_between_the_call_and_its_record_repeats_the_call_under_the_same_id(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()
    killed: list[str] = []

    def kill_then_accept(webhook_id: str, call: int) -> int:
        if len(killed) < 3 and webhook_id not in killed:
            killed.append(webhook_id)
            dispatchers.running[-1].kill()
        return 200

    receiver = Receiver([SECRET], script=kill_then_accept)
    with serve(receiver) as url:
        path = subscribers_file(tmp_path, [{"name": "team", "url": url}])
        publish(kafka, topics, alerts)
        while len(killed) < 3:
            worker = dispatchers.start(path)
            eventually(lambda: not worker.alive(), 60)  # noqa: B023 - read at once
        dispatchers.start(path)
        eventually(lambda: received(receiver) == expected(alerts), 60)
    assert set(killed) <= set(receiver.duplicates)
    assert receiver.out_of_order == []


@pytest.mark.usefixtures("secret_file")
def test_sigterm_lets_a_call_under_way_come_to_its_record(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    called, release = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def slow(_: str, call: int) -> int:
        loops.append(asyncio.get_running_loop())
        called.set()
        await release.wait()
        return 200

    receiver = Receiver([SECRET], script=slow)
    with serve(receiver) as url:
        publish(kafka, topics, [make_alert("a-1")])
        worker = dispatchers.start(subscribers_file(tmp_path, [{"name": "team", "url": url}]))
        eventually(called.is_set, 60)
        worker.signal(signal.SIGTERM)
        worker.wait_for("Stopping")
        loops[0].call_soon_threadsafe(release.set)
        assert worker.wait(30) == 0
        assert last_statuses(kafka, topics) == {("team", "a-1"): DeliveryStatus.DELIVERED}
        assert sum(receiver.calls.values()) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("secret_file")
def test_a_worker_that_was_frozen_does_not_undo_what_another_did(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    alerts = story()
    receiver = Receiver([SECRET], script=lambda ident, call: 503 if call == 1 and ident[0] in "0123" else 200)
    with serve(receiver) as url:
        path = subscribers_file(tmp_path, [{"name": "team", "url": url}])
        frozen = dispatchers.start(path, "one")
        publish(kafka, topics, alerts)
        eventually(lambda: len(receiver.accepted) >= 5, 60)
        frozen.signal(signal.SIGSTOP)
        dispatchers.start(path, "two")
        eventually(lambda: received(receiver) == expected(alerts), 90)
        frozen.signal(signal.SIGCONT)
        eventually(lambda: set(last_statuses(kafka, topics).values()) == {DeliveryStatus.DELIVERED}, 30)
        publish(kafka, topics, [make_alert("case-0.6", "case-0", sequence=6, level="red", status="escalated")])
        eventually(lambda: received(receiver)["case-0"][-1] == "case-0.6", 60)
        eventually(lambda: set(last_statuses(kafka, topics).values()) == {DeliveryStatus.DELIVERED}, 30)
    assert receiver.out_of_order == []


@pytest.mark.usefixtures("secret_file")
def test_deliveries_list_shows_what_is_pending_and_why(
    kafka: EmbeddedKafka, topics: TopicSet, dispatchers: Dispatchers, tmp_path: Path
) -> None:
    receiver = Receiver([SECRET], script=lambda *_: 503)
    with serve(receiver) as url:
        dispatchers.start(subscribers_file(tmp_path, [{"name": "team", "url": url}]), scale="1")
        publish(kafka, topics, [make_alert("a-1", "case-1"), make_alert("a-2", "case-1", status="escalated")])
        eventually(lambda: any(record.attempts == 1 for record in deliveries(kafka, topics)), 60)
    where = ["--bootstrap-servers", kafka.bootstrap_servers, "--prefix", topics.prefix]
    result = CliRunner().invoke(deliveries_app, ["list", "--pending", "--json", *where])
    assert result.exit_code == 0, result.output
    listed = json.loads(result.output)
    assert listed["counts"] == {"pending": 2}
    assert [row["why"] for row in listed["deliveries"]] == [
        "last attempt: http_5xx (503)",
        "waits behind number 1 of its case",
    ]
    shown = CliRunner().invoke(deliveries_app, ["list", *where])
    assert "2 pending" in shown.output
    missing = CliRunner().invoke(deliveries_app, ["list", *where[:2], "--prefix", "no-such."])
    assert missing.exit_code == 2
