"""Health is assignment and progress: what is a problem and what is none, and how it is served."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry, generate_latest

from alerting.receiver import Receiver, serve
from cli.demo_stories import UNTIL, demo_events
from streams.broker import EmbeddedKafka
from streams.health import SNAPSHOT_SECONDS_MAX, Health, HealthGauges, serve_health
from tests.live_support import SECRET, Live, delivered, live, subscribers_file, to_bytes

STALL_SECONDS = 30.0
EVENTS, TICKETS = TP("events", 0), TP("tickets", 0)


class Consumer:
    """What health looks at of a consumer: assignment, ends, and what was committed."""

    def __init__(self) -> None:
        self.ends: dict[TP, int | None] = {}
        self._committed_offset: dict[TP, int | None] = {}
        self._read_offset: dict[TP, int | None] = {}

    def assignment(self) -> set[TP]:
        return set(self.ends)

    def highwater(self, tp: TP) -> int | None:
        return self.ends[tp]

    def assign(self, tp: TP, *, end: int, committed: int | None) -> None:
        self.ends[tp], self._committed_offset[tp] = end, committed


class App:
    def __init__(self) -> None:
        self.consumer = Consumer()


class Clock:
    """Seconds of a monotonic clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A health over an app and a clock of the test's own."""

    def __init__(self) -> None:
        self.app, self.clock, self.registry = App(), Clock(), CollectorRegistry()
        self.consumer = self.app.consumer
        self.health = Health(self.app, HealthGauges(self.registry), stall_seconds=STALL_SECONDS, clock=self.clock)

    async def after(self, seconds: float) -> list[str]:
        """Let time pass with an observation a second, as the worker's timer makes them, and return the problems."""
        for _ in range(round(seconds)):
            self.clock.now += 1
            await self.health.observe()
        return self.health.problems()


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_a_worker_that_has_done_everything_is_well_for_ever(watched: Watched) -> None:
    watched.health.recovered = True
    watched.consumer.assign(EVENTS, end=7, committed=7)
    assert await watched.after(10 * STALL_SECONDS) == []


async def test_work_that_waits_without_progress_is_a_problem_only_after_a_while(watched: Watched) -> None:
    watched.health.recovered = True
    watched.consumer.assign(EVENTS, end=9, committed=7)
    assert await watched.after(STALL_SECONDS) == []
    assert await watched.after(2) == ["records wait and none was handled for 30 s"]
    watched.health.progressed()
    assert await watched.after(STALL_SECONDS) == []


async def test_a_worker_that_works_is_well_however_much_waits(watched: Watched) -> None:
    watched.health.recovered = True
    watched.consumer.assign(EVENTS, end=1_000_000, committed=0)
    for _ in range(20):
        watched.health.progressed()
        assert await watched.after(STALL_SECONDS - 1) == []


async def test_one_stalled_partition_is_not_hidden_by_another_that_is_done(watched: Watched) -> None:
    watched.health.recovered = True
    watched.consumer.assign(EVENTS, end=5, committed=5)
    watched.consumer.assign(TICKETS, end=5, committed=4)
    assert await watched.after(STALL_SECONDS + 2) != []


async def test_no_assignment_is_a_problem_once_recovered(watched: Watched) -> None:
    assert await watched.after(5) == []  # it starts
    watched.health.recovered = True
    assert await watched.after(1) == ["no partition is assigned: more workers than partitions, or the group was left"]
    watched.consumer.assign(EVENTS, end=0, committed=None)
    assert await watched.after(1) == []
    watched.consumer.ends.clear()
    assert len(await watched.after(1)) == 1


async def test_a_changelog_is_no_assignment(watched: Watched) -> None:
    watched.health.recovered = True
    watched.consumer.assign(TP("hw-worker-tickets-changelog", 0), end=50, committed=None)
    assert len(await watched.after(1)) == 1
    assert watched.health.snapshot()["lag"] == {}


async def test_an_event_loop_that_no_longer_answers_is_a_problem(watched: Watched) -> None:
    watched.health.recovered = True
    watched.consumer.assign(EVENTS, end=1, committed=1)
    assert await watched.after(1) == []
    watched.clock.now += SNAPSHOT_SECONDS_MAX + 1  # and nobody observes
    assert watched.health.problems() == ["the event loop has not answered for some time"]


async def test_a_partition_that_was_never_read_has_everything_waiting(watched: Watched) -> None:
    watched.consumer.assign(EVENTS, end=12, committed=None)
    watched.consumer.assign(TP("events", 1), end=8, committed=5)
    await watched.after(1)
    assert watched.health.snapshot()["lag"] == {"events": 15}
    assert watched.health.snapshot()["partitions"] == {"events": 2}


async def test_the_gauges_forget_what_is_no_longer_assigned(watched: Watched) -> None:
    watched.consumer.assign(EVENTS, end=12, committed=2)
    await watched.after(1)
    assert 'hw_lag_records{topic="events"} 10.0' in generate_latest(watched.registry).decode()
    watched.consumer.ends.clear()
    await watched.after(1)
    text = generate_latest(watched.registry).decode()
    assert 'hw_lag_records{topic="events"} 0.0' in text
    assert 'hw_partitions{topic="events"} 0.0' in text


async def test_it_is_served_with_a_status_that_a_supervisor_understands(watched: Watched) -> None:
    port = serve_health(watched.health, watched.registry, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert (await client.get("/readyz")).status_code == 503
        watched.health.recovered = True
        watched.consumer.assign(EVENTS, end=3, committed=1)
        await watched.after(1)
        assert (await client.get("/readyz")).json() == {"ready": True}
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()["problems"]) == (200, [])
        assert answer.json()["lag"] == {"events": 2}
        await watched.after(STALL_SECONDS + 2)
        answer = await client.get("/healthz")
        assert (answer.status_code, len(answer.json()["problems"])) == (503, 1)
        assert (await client.get("/metrics")).headers["content-type"].startswith("text/plain")
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/healthz")).status_code == 405


def test_a_port_that_is_taken_is_an_error_at_the_start(watched: Watched) -> None:
    port = serve_health(watched.health, watched.registry, "127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        serve_health(watched.health, watched.registry, "127.0.0.1", port)


WORKER_METRICS = {
    "events by type": 'hw_events_total{type="registered"}',
    "unknown fields": "hw_unknown_fields_total",
    "rejections by reason": 'hw_rejections_total{reason="not_json"}',
    "security alarms": 'hw_security_alarms_total{kind="conflicting_body"}',
    "warnings by rule and level": 'hw_warnings_total{level="red",rule="P01",status="escalated"}',
    "event-to-warning latency": "hw_event_to_warning_seconds_bucket",
    "ticks": "hw_ticks_total",
    "the last tick": "hw_last_tick_timestamp_seconds",
    "lag": "hw_lag_records",
    "assignment": "hw_partitions",
    "state sizes": 'hw_states{table="tickets"}',
    "citizens": 'hw_states{table="citizens"}',
    "poison": "hw_poison_total",
}
DISPATCH_METRICS = {
    "deliveries by outcome": 'hw_dispatch_attempts_total{outcome="accepted",subscriber="test"}',
    "event-to-webhook latency": 'hw_dispatch_event_to_webhook_seconds_bucket{le="0.025",subscriber="test"}',
    "pending": 'hw_dispatch_pending{subscriber="test"}',
    "lag": "hw_lag_records",
    "assignment": "hw_partitions",
}


@pytest.fixture(scope="module")
def service(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The demo's sample, done and delivered."""
    folder, receiver = tmp_path_factory.mktemp("health"), Receiver([SECRET])
    with (
        serve(receiver) as url,
        live(kafka, folder, "health.", SUBSCRIBERS_FILE=str(subscribers_file(folder, url))) as installation,
    ):
        installation.start("worker-1", "dispatch")
        installation.wait_until_ready()
        stories = [event for event in demo_events() if not event["ticket_id"].startswith("P-")]
        installation.send(to_bytes(stories))
        installation.idle()
        installation.tick(UNTIL)
        installation.idle()
        delivered(installation, receiver)
        yield installation


def _value(service: Live, name: str, metric: str) -> float:
    lines = [line for line in service.get(name, "/metrics").text.splitlines() if line.startswith(metric)]
    assert lines, metric
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.kafka
@pytest.mark.parametrize("what", WORKER_METRICS)
def test_a_live_worker_has_the_metric(service: Live, what: str) -> None:
    assert _value(service, "worker-1", WORKER_METRICS[what]) >= 0


@pytest.mark.kafka
@pytest.mark.parametrize("what", DISPATCH_METRICS)
def test_a_live_dispatch_has_the_metric(service: Live, what: str) -> None:
    assert _value(service, "dispatch", DISPATCH_METRICS[what]) >= 0


@pytest.mark.kafka
def test_the_metrics_say_what_happened(service: Live) -> None:
    assert _value(service, "worker-1", WORKER_METRICS["events by type"]) == 12
    assert _value(service, "worker-1", WORKER_METRICS["warnings by rule and level"]) >= 1
    assert _value(service, "worker-1", WORKER_METRICS["ticks"]) == 4
    assert _value(service, "worker-1", "hw_warnings_total{") == len(service.issued())
    assert _value(service, "dispatch", DISPATCH_METRICS["deliveries by outcome"]) == len(service.issued())


@pytest.mark.kafka
@pytest.mark.parametrize("name", ["worker-1", "dispatch"])
def test_a_live_process_is_healthy_and_ready(service: Live, name: str) -> None:
    healthz = service.get(name, "/healthz")
    assert (healthz.status_code, healthz.json()["problems"]) == (200, [])
    assert set(healthz.json()["partitions"].values()) == {4}
    assert service.get(name, "/readyz").status_code == 200


@pytest.mark.kafka
def test_no_label_is_a_ticket_or_a_citizen(service: Live) -> None:
    for name in ("worker-1", "dispatch"):
        text = service.get(name, "/metrics").text
        for word in ("JZ-1", "YH-3", "citizen", "case:"):
            assert word not in text.replace('"citizens"', "").replace("hw.citizens", ""), word
