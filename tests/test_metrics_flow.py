"""What is counted of the flow: records by stage, time by partition, recoveries, health, warnings by kind of unit and destination.

And what tells in time that something ends or is late: the oldest delivery, the next drill, calendar and certificates.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP
from mode import Signal
from prometheus_client import CollectorRegistry

from alerting.directory import Directory
from alerting.outbox_state import Item
from alerting.routing import Destination
from alerting.transport import EndpointClient
from models.alert import Alert
from models.base import Level, Status
from models.delivery import DeliveryStatus
from models.times import SECOND, parse_instant
from models.units import UnitKind
from rules.calendar import Calendar, Year, built_in_calendar
from rules.pack import default_pack
from streams.broker_certificates import Authority
from streams.cluster_errors import SecurityFilesError
from streams.dispatch_batch import Batch, accused_kinds
from streams.dispatch_sender import Sender, Shell
from streams.drill_service import DrillHealth, DrillMetrics, DrillService
from streams.drilling import Drilled, DrillOutcome
from streams.health import SNAPSHOT_SECONDS_MAX, Health, HealthGauges
from streams.metrics import WorkerMetrics
from streams.metrics_certificates import watch_certificates
from streams.metrics_dispatch import UNKNOWN_KIND, DispatchMetrics
from streams.metrics_flow import FlowMetrics, Stage
from streams.own_certificate import read_own
from streams.security import Cluster, Protocol, Security
from tests.alerting_support import TIME, make_alert, make_subscriber
from tests.directory_support import make_directory
from tests.secure_support import now


class Table:
    """A table whose recoveries the test makes."""

    def __init__(self, name: str) -> None:
        self.name, self.ready_partitions = name, frozenset[int]()
        self._hooks: list[Callable[[int], None]] = []

    def on_recovered(self, hook: Callable[[int], None]) -> Callable[[int], None]:
        self._hooks.append(hook)
        return hook

    def recover(self, partition: int) -> None:
        self.ready_partitions |= {partition}
        for hook in self._hooks:
            hook(partition)


class App:
    """An app of which only the beginning of rebalances is known."""

    class Consumer:
        """A consumer with a highwater for each partition that it was given."""

        def __init__(self) -> None:
            self.ends: dict[TP, int] = {}
            self._committed_offset: dict[TP, int] = {}
            self._read_offset: dict[TP, int] = {}

        def assignment(self) -> set[TP]:
            return set(self.ends)

        def highwater(self, tp: TP) -> int:
            return self.ends[tp]

    def __init__(self) -> None:
        self.on_partitions_revoked: Any = Signal()
        self.consumer = self.Consumer()


class Flow:
    """The metrics under test, over a clock, an app and a table of the test's own."""

    def __init__(self) -> None:
        self.now, self.app, self.table = 100.0, App(), Table("tickets")
        self.registry = CollectorRegistry()
        self.metrics = FlowMetrics((Stage.INTAKE, Stage.TICKETS), self.registry, clock=lambda: self.now)
        self.metrics.follow(self.app, (self.table,))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def flow() -> Flow:
    return Flow()


def test_each_stage_is_there_before_its_first_record(flow: Flow) -> None:
    assert flow.value("hw_records_total", stage="intake") == 0
    flow.metrics.done(Stage.INTAKE, 500)
    flow.metrics.done(Stage.INTAKE, 3)
    assert flow.value("hw_records_total", stage="intake") == 503
    assert flow.value("hw_records_total", stage="tickets") == 0


def test_a_partition_shows_how_far_its_time_has_come_and_only_while_it_is_here(flow: Flow) -> None:
    flow.metrics.observe({0: 1_750_000_000_500_000, 1: 0})
    assert flow.value("hw_watermark_timestamp_seconds", partition="0") == 1_750_000_000.5
    assert flow.value("hw_watermark_timestamp_seconds", partition="1") is None, "it has had nothing yet"
    flow.metrics.observe({1: 1_750_000_001_000_000})
    assert flow.value("hw_watermark_timestamp_seconds", partition="0") is None, "another worker has it"
    assert flow.value("hw_watermark_timestamp_seconds", partition="1") == 1_750_000_001


async def test_a_recovery_is_timed_from_the_beginning_of_its_rebalance(flow: Flow) -> None:
    flow.now += 4
    flow.table.recover(0)
    assert flow.value("hw_recovery_seconds", table="tickets") == 4, "the first one counts from the start"
    flow.now += 100
    await flow.app.on_partitions_revoked.send(flow.app, set())
    flow.now += 7
    flow.table.recover(1)
    assert flow.value("hw_recovery_seconds", table="tickets") == 7
    assert flow.value("hw_recovered_partitions", table="tickets") == 0
    flow.metrics.observe({})
    assert flow.value("hw_recovered_partitions", table="tickets") == 2


async def test_lag_is_told_by_partition_and_forgotten_with_it() -> None:
    app, registry = App(), CollectorRegistry()
    health = Health(app, HealthGauges(registry), stall_seconds=30)
    app.consumer.ends = {TP("events", 0): 10, TP("events", 1): 4, TP("hw-tickets-changelog", 0): 99}
    app.consumer._committed_offset = {TP("events", 0): 7, TP("events", 1): 4}

    def lag(partition: str) -> float | None:
        return registry.get_sample_value("hw_partition_lag_records", {"topic": "events", "partition": partition})

    await health.observe()
    assert (lag("0"), lag("1")) == (3, 0)
    del app.consumer.ends[TP("events", 0)]
    await health.observe()
    assert (lag("0"), lag("1")) == (None, 0)


async def test_the_number_of_problems_is_asked_when_it_is_scraped() -> None:
    now, registry = [0.0], CollectorRegistry()
    app = App()
    health = Health(app, HealthGauges(registry), stall_seconds=30, clock=lambda: now[0])
    app.consumer.ends = {TP("events", 0): 0}
    await health.observe()
    assert registry.get_sample_value("hw_health_problems") == 0
    now[0] += SNAPSHOT_SECONDS_MAX + 1  # the event loop stands still: nobody observes
    assert registry.get_sample_value("hw_health_problems") == 1


def test_a_series_is_there_before_its_first_warning_also_of_rules_taken_later() -> None:
    pack, registry = default_pack(), CollectorRegistry()
    metrics = WorkerMetrics(pack, registry)
    for status in Status:
        labels = {"rule": "P01", "level": "red", "status": status.value}
        assert registry.get_sample_value("hw_warnings_total", labels) == 0
    for kind in ("foreign_record", "second_writer"):
        assert registry.get_sample_value("hw_table_alarms_total", {"kind": kind}) == 0
    category = next(iter(pack.lexicon.categories))
    assert registry.get_sample_value("hw_text_findings_total", {"category": category, "layer": "cue"}) == 0
    metrics.knows(pack)  # again: nothing is lost, and nothing is there twice


# --- warnings by kind of the accused units ---


def _registry_directory() -> Directory:
    units = (
        {"id": "U-A", "name": "甲街道", "kind": "subdistrict", "level": "township"},
        {"id": "U-B", "name": "乙局", "kind": "department", "level": "county"},
        {"id": "U-C", "name": "丙局", "kind": "department", "level": "county"},
    )
    return make_directory(make_subscriber(), units=units)


def _accusing(*units: tuple[str, str], **fields: Any) -> Alert:
    return make_alert(units=[{"id": one, "name": None, "role": role} for one, role in units], **fields)


@pytest.mark.parametrize(
    ("units", "kinds"),
    [
        ((("U-A", "accused"),), {UnitKind.SUBDISTRICT}),
        ((("U-B", "accused"), ("U-C", "accused")), {UnitKind.DEPARTMENT}),
        ((("U-A", "accused"), ("U-B", "accused")), {UnitKind.SUBDISTRICT, UnitKind.DEPARTMENT}),
        ((("U-A", "involved"),), {None}),
        ((("U-X", "accused"),), {None}),
        ((("U-X", "accused"), ("U-A", "accused")), {None, UnitKind.SUBDISTRICT}),
        ((), {None}),
    ],
)
def test_only_accused_units_count_each_kind_once(units: tuple[tuple[str, str], ...], kinds: set[Any]) -> None:
    assert accused_kinds(_accusing(*units), _registry_directory().registry) == kinds


class Stored:
    """A table without anything in it."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        return None


class Record:
    """A record of hw.alerts."""

    topic, partition, offset, headers = "hw.alerts", 0, 1, ()

    def __init__(self, alert: Alert) -> None:
        self.value = alert.model_dump_json().encode()


def test_a_version_to_be_pushed_is_counted_and_one_that_is_not_is_not() -> None:
    batch = Batch(0, Stored(), _registry_directory(), parse_instant(TIME))
    pushed, silent = _accusing(("U-A", "accused")), _accusing(("U-A", "accused"), push=False, alert_id="silent")
    for alert in (pushed, silent):
        batch.take_alert(Record(alert))
    assert [one.alert_id for one in batch.warned] == [pushed.alert_id]


def test_every_kind_level_and_status_is_there_before_the_first_warning() -> None:
    registry = CollectorRegistry()
    metrics = DispatchMetrics([], registry)
    metrics.warned(UnitKind.PARK, Level.RED, Status.ESCALATED)

    def value(kind: str, level: str, status: str) -> float | None:
        labels = {"unit_kind": kind, "level": level, "status": status}
        return registry.get_sample_value("hw_dispatch_warnings_total", labels)

    assert value("park", "red", "escalated") == 1
    assert value(UNKNOWN_KIND, "blue", "raised") == 0
    assert {value(kind, "yellow", "raised") for kind in UnitKind} == {0}
    for which in ("alerts", "deliveries", "redeliveries"):
        assert registry.get_sample_value("hw_dispatch_unreadable_records_total", {"topic": which}) == 0


# --- where warnings went


@pytest.mark.parametrize(
    ("subscribers", "units", "destination"),
    [
        ((make_subscriber(),), (("U-A", "accused"),), Destination.RECIPIENTS),
        ((make_subscriber(),), (("U-X", "accused"),), Destination.HUMAN_POOL),
        ((), (("U-X", "accused"),), Destination.NOBODY),
    ],
)
def test_a_version_is_counted_once_by_where_it_went(
    subscribers: tuple[Any, ...], units: tuple[tuple[str, str], ...], destination: Destination
) -> None:
    batch = Batch(0, Stored(), make_directory(*subscribers), parse_instant(TIME))
    for alert in (_accusing(*units), _accusing(*units, push=False, alert_id="silent")):
        batch.take_alert(Record(alert))
    assert batch.destinations == [destination]
    registry = CollectorRegistry()
    metrics = DispatchMetrics([], registry)
    for one in batch.destinations:
        metrics.routed(one)
    counted = {
        one: registry.get_sample_value("hw_dispatch_routed_total", {"destination": one.value}) for one in Destination
    }
    assert counted == {one: float(one is destination) for one in Destination}


# --- how long the oldest delivery waits


async def test_the_oldest_delivery_is_that_which_was_queued_first_whatever_it_waits_for() -> None:
    at = parse_instant(TIME)
    subscriber = make_subscriber()
    sender = Sender(subscriber, EndpointClient(subscriber), _shell(at))
    assert sender.oldest() is None

    def head(partition: int, case_id: str, age: int, **fields: Any) -> None:
        item = Item(case_id, "P01", 1, enqueued_at=at - age * SECOND, next_at=at, **fields)
        sender.head(partition, case_id, item)

    head(0, "new", 5)
    head(0, "refused", 70, status=DeliveryStatus.REFUSED, endpoint_id="an older registry")
    head(1, "moves", 300)
    assert sender.oldest() == at - 300 * SECOND
    sender.drop(1)
    assert sender.oldest() == at - 70 * SECOND, "another worker has the partition"
    sender.head(0, "refused", None)
    assert sender.oldest() == at - 5 * SECOND
    head(0, "new", 2)
    assert sender.oldest() == at - 2 * SECOND, "the next of its lane"
    await sender.stop(0)


def _shell(at: int) -> Shell:
    async def write(*_: Any) -> None:
        raise AssertionError("nothing is sent")

    def die(error: BaseException) -> None:
        raise error

    return Shell(
        lambda: at,
        1.0,
        _registry_directory,
        lambda *_: (),
        lambda *_: None,
        write,
        die,
        DispatchMetrics([], CollectorRegistry()),
    )


def test_nothing_waits_before_the_first_delivery_and_a_name_that_is_gone_is_not_shown() -> None:
    registry = CollectorRegistry()
    metrics = DispatchMetrics(["one"], registry)
    assert registry.get_sample_value("hw_dispatch_oldest_pending_seconds", {"subscriber": "one"}) == 0
    metrics.oldest("one", 61.5)
    metrics.oldest("gone", 99)
    assert registry.get_sample_value("hw_dispatch_oldest_pending_seconds", {"subscriber": "one"}) == 61.5
    assert registry.get_sample_value("hw_dispatch_oldest_pending_seconds", {"subscriber": "gone"}) is None


# --- what is due, and what ends


def test_work_days_are_known_to_the_end_of_the_years_that_follow_each_other() -> None:
    calendar = Calendar("test", {year: Year(frozenset(), frozenset()) for year in (2024, 2025, 2027)})
    for instant, until in (
        ("2024-01-01T00:00:00+08:00", "2026-01-01T00:00:00+08:00"),
        ("2025-12-31T23:59:59+08:00", "2026-01-01T00:00:00+08:00"),
        ("2026-01-01T00:00:00+08:00", "2026-01-01T00:00:00+08:00"),
        ("2026-07-01T00:00:00+08:00", "2026-01-01T00:00:00+08:00"),
        ("2027-07-01T00:00:00+08:00", "2028-01-01T00:00:00+08:00"),
    ):
        assert calendar.known_until(parse_instant(instant)) == parse_instant(until), instant
    registry = CollectorRegistry()
    until = built_in_calendar().known_until(parse_instant("2025-06-18T09:00:00+08:00"))
    WorkerMetrics(default_pack(), registry).reckons(until)
    assert registry.get_sample_value("hw_calendar_until_timestamp_seconds") == until / SECOND


def test_when_the_next_drill_is_due_is_known_before_the_first_and_after_each() -> None:
    registry, stop, seen = CollectorRegistry(), threading.Event(), list[float]()

    def due_in() -> float:
        due = registry.get_sample_value("hw_drill_next_timestamp_seconds")
        assert due is not None
        return due - time.time()

    def drill() -> Drilled:
        seen.append(due_in())
        stop.set()
        return Drilled("DRILL-1", DrillOutcome.PASSED, "well")

    DrillService(drill, 2, DrillMetrics(registry), DrillHealth(), first_after_seconds=0).run(stop)
    assert -60 < seen[0] <= 0
    assert 7140 < due_in() <= 7200


def test_certificates_for_kafka_show_when_they_end_and_only_where_there_are_some(tmp_path: Path) -> None:
    authority = Authority("the house", now())
    (tmp_path / "ca.crt").write_text(authority.certificate)
    certificate, key = authority.issue("worker").write(tmp_path, "worker")
    registry = CollectorRegistry()
    security = Security(Protocol.TLS, tmp_path / "ca.crt", cert_file=certificate, key_file=key)
    watch_certificates(Cluster("kafka-1:9093", security), registry)
    for setting, path in (("kafka_cert_file", certificate), ("kafka_ca_file", tmp_path / "ca.crt")):
        shown = registry.get_sample_value("hw_kafka_certificate_until_timestamp_seconds", {"setting": setting})
        assert shown == read_own(path).until.timestamp()
    without = CollectorRegistry()
    watch_certificates("127.0.0.1:9092", without)
    watch_certificates(Cluster("kafka-1:9093", Security(Protocol.TLS)), without)
    assert list(without.collect()) == []
    (tmp_path / "ca.crt").write_text("none")
    with pytest.raises(SecurityFilesError, match=r"kafka_ca_file: .*ca\.crt has no certificate in PEM"):
        watch_certificates(Cluster("kafka-1:9093", security), without)
