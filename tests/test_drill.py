"""Drills: a marked ticket goes the whole way and is timed, is never pushed, and is in no count; where the way ends is told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from alerting.receiver import Receiver, serve
from alerting.subscriber_book import SubscriberBook
from cli.main import app
from models.times import format_instant, parse_instant
from streams.broker import EmbeddedKafka
from streams.drill_service import RETRY_SECONDS_MAX, DrillHealth, DrillMetrics, DrillService
from streams.drilling import Drilled, DrillOutcome, DrillStage, closing_event, drill_events
from streams.health import serve_health
from tests.builders import event_of, run
from tests.kafka_support import Worker, eventually, read_all
from tests.live_support import SECRET, Live, live, subscribers_file

NOW = parse_instant("2025-06-18T09:00:00+08:00")


# --- the ticket


def test_every_event_of_a_drill_is_marked_and_names_nobody() -> None:
    events = [*drill_events("DRILL-1", NOW), closing_event("DRILL-1", NOW)]
    assert all(event["test"] is True for event in events)
    assert len({event["event_id"] for event in events}) == len(events)
    assert {event["ticket_id"] for event in events} == {"DRILL-1"}
    assert max(event["occurred_at"] for event in events) == format_instant(NOW)
    assert not any("citizen" in event or "content" in event for event in events)


def test_its_warning_is_issued_unpushed_and_flagged_and_ends_with_the_drill() -> None:
    found = run([event_of(event) for event in drill_events("DRILL-1", NOW)])
    assert found.in_force == {("DRILL-1", "P01"): "blue"}
    assert all(not alert.push and "test" in alert.flags for alert in found.alerts)
    assert found.alerts[0].trigger == "DRILL-1-3"
    events = [*drill_events("DRILL-1", NOW), closing_event("DRILL-1", NOW)]
    ended = run([event_of(event) for event in events])
    assert ended.in_force == {}
    assert not ended.driver.citizens
    assert not any(alert.push for alert in ended.alerts)


# --- on a schedule

PASSED = Drilled("DRILL-1", DrillOutcome.PASSED, "well", {DrillStage.INTAKE: 0.25, DrillStage.TOTAL: 0.5})
FAILED = Drilled("DRILL-2", DrillOutcome.NO_WARNING, "see the workers", {DrillStage.INTAKE: 0.75})


class Drills:
    """Gives outcomes in turn, and stops the service after the last."""

    def __init__(self, *outcomes: Drilled) -> None:
        self.outcomes, self.stop = list(outcomes), threading.Event()

    def __call__(self) -> Drilled:
        drilled = self.outcomes.pop(0)
        if not self.outcomes:
            self.stop.set()
        return drilled


def test_a_failed_drill_shows_in_health_and_metrics_until_one_passes() -> None:
    registry, health = CollectorRegistry(), DrillHealth()
    drills = Drills(FAILED, PASSED)
    service = DrillService(drills, 24, DrillMetrics(registry), health, first_after_seconds=0)
    url = f"http://127.0.0.1:{serve_health(health, registry, '127.0.0.1', 0)}"

    def answer(path: str) -> httpx.Response:
        return httpx.get(f"{url}{path}", timeout=5, trust_env=False)

    assert answer("/healthz").status_code == 200, "no drill yet is no fault"
    assert 'hw_drills_total{outcome="no_warning"} 0.0' in answer("/metrics").text
    assert service.once() == RETRY_SECONDS_MAX
    told = answer("/healthz")
    assert (told.status_code, told.json()["problems"]) == (
        503,
        ["the last drill failed (no_warning): see the workers"],
    )
    assert "hw_health_problems 1.0" in answer("/metrics").text
    before = time.time()
    assert service.once() == 24 * 3600
    assert answer("/healthz").json() == {
        "problems": [],
        "last": {"ticket": "DRILL-1", "outcome": "passed", "seconds": {"intake": 0.25, "total": 0.5}},
    }
    text = generate_latest(registry).decode()
    for line in (
        'hw_drill_seconds{stage="intake"} 0.25',
        'hw_drill_seconds{stage="total"} 0.5',
        'hw_drills_total{outcome="passed"} 1.0',
        'hw_drills_total{outcome="no_warning"} 1.0',
        "hw_health_problems 0.0",
    ):
        assert line in text
    passed_at = re.search(r"^hw_drill_last_passed_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert passed_at
    assert float(passed_at[1]) >= before - 1


def test_drills_come_until_it_is_stopped() -> None:
    drills = Drills(*[PASSED] * 3)
    DrillService(drills, 1e-9, DrillMetrics(CollectorRegistry()), DrillHealth(), first_after_seconds=0).run(drills.stop)
    assert drills.outcomes == []


# --- the command


def drilled(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["drill", *arguments])
    return result.exit_code, result.stdout + result.stderr


def test_a_broker_that_is_away_ends_it_with_2() -> None:
    status, shown = drilled("--bootstrap-servers", "127.0.0.1:1", "--timeout-seconds", "1")
    assert (status, "no Kafka broker answers at 127.0.0.1:1" in shown) == (2, True), shown


def test_nobody_is_called_whom_the_subscribers_file_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = subscribers_file(tmp_path, "http://127.0.0.1:1/")
    monkeypatch.setenv("HOTLINE_WATCH_SUBSCRIBERS_FILE", str(file))
    for how in (["--subscriber", "nobody"], []):
        monkeypatch.setenv("HOTLINE_WATCH_DRILL_SUBSCRIBER", "nobody")
        status, shown = drilled(*how, "--bootstrap-servers", "127.0.0.1:1")
        assert (status, "there is no subscriber 'nobody': `subscribers list`" in shown) == (2, True)
    SubscriberBook(file).set_enabled("test", False)
    status, shown = drilled("--subscriber", "test", "--bootstrap-servers", "127.0.0.1:1")
    assert (status, "test is disabled" in shown) == (2, True)


def test_recorded_time_is_not_moved_by_a_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_CORE_TIME", "recorded")
    status, shown = drilled()
    assert (status, "would move time" in shown) == (2, True)


# --- the whole way, on a real broker


@pytest.fixture
def receiver() -> Receiver:
    return Receiver([SECRET])


@pytest.fixture
def service(kafka: EmbeddedKafka, tmp_path: Path, topic_prefix: str, receiver: Receiver) -> Iterator[Live]:
    with serve(receiver) as url:
        file = subscribers_file(tmp_path, url)
        with live(kafka, tmp_path, topic_prefix, SUBSCRIBERS_FILE=str(file), CORE_TIME="wall") as found:
            yield found


@pytest.mark.kafka
@pytest.mark.slow
def test_a_drill_goes_the_whole_way_touches_no_count_and_says_where_it_stops(
    service: Live, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in service.environment("drill").items():
        monkeypatch.setenv(name, value)
    status, shown = drilled("--timeout-seconds", "1.5", "--json")
    assert (status, json.loads(shown)["outcome"]) == (1, "no_intake")
    service.start("worker")
    service.wait_until_ready()
    status, shown = drilled("--timeout-seconds", "8", "--json")
    assert (status, json.loads(shown)["outcome"]) == (1, "no_decision")

    service.start("dispatch")
    service.wait_until_ready()
    status, shown = drilled("--subscriber", "test", "--json")
    told = json.loads(shown)
    assert (status, told["outcome"]) == (0, "passed"), shown
    assert set(told["seconds"]) == {"intake", "tickets", "dispatch", "delivery", "total"}
    assert told["seconds"]["total"] == pytest.approx(sum(told["seconds"].values()) / 2, abs=0.01)
    service.idle()
    eventually(lambda: all(alert.status == "retracted" for alert in last_versions(service)), 30)
    # The counts are as if nothing had been.
    assert service.metric("hw_events_total") == service.metric("hw_warnings_total") == 0
    text = service.get("dispatch", "/metrics").text
    assert not re.search(r"^hw_dispatch_(decisions_total\{.*reason=\"not_pushed\"|warnings_total).* [1-9]", text, re.M)
    assert [one.alert["rule"]["id"] for one in receiver.accepted] == ["DRILL"], "only the marked call was made"
    assert service.quarantined() == []

    with Worker(
        ["-m", "cli.main", "drill", "--every", "1", "--first-after", "0"],
        service.folder / "logs" / "drill.log",
        env=service.environment("drill"),
    ) as process:
        process.wait_for("drill ready, http port", 60)
        found = re.search(r"http port (\d+)", process.log())
        assert found
        url = f"http://127.0.0.1:{found[1]}/metrics"
        passed = 'hw_drills_total{outcome="passed"} 1.0'
        eventually(lambda: passed in httpx.get(url, timeout=5, trust_env=False).text, 60)
        assert process.stop(30) == 0
    tickets = {
        json.loads(one.value or b"")["ticket_id"] for one in read_all(service.servers, service.topics.ticket_events)
    }
    assert len(tickets) == 4


def last_versions(service: Live) -> list[object]:
    return list({alert.case_id: alert for alert in service.issued()}.values())
