"""What is counted of the flow: records by stage, time by partition, recoveries, health, and warnings by kind of unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from faust.types import TP
from mode import Signal
from prometheus_client import CollectorRegistry

from alerting.directory import Directory
from models.alert import Alert
from models.base import Level, Status
from models.times import parse_instant
from models.units import UnitKind
from rules.pack import default_pack
from streams.dispatch_batch import Batch, accused_kinds
from streams.health import SNAPSHOT_SECONDS_MAX, Health, HealthGauges
from streams.metrics import WorkerMetrics
from streams.metrics_dispatch import UNKNOWN_KIND, DispatchMetrics
from streams.metrics_flow import FlowMetrics, Stage
from tests.alerting_support import TIME, make_alert, make_subscriber
from tests.directory_support import make_directory


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
