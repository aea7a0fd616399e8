"""What a process that owns partitions counts of its flow, worker and dispatch alike. Labels are stages, tables and partition numbers."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge


class Stage(StrEnum):
    """Where records are taken and done."""

    INTAKE = "intake"
    TICKETS = "tickets"
    CITIZENS = "citizens"
    DISPATCH = "dispatch"


class RecoveringTable(Protocol):
    """What is watched of a table."""

    name: str

    @property
    def ready_partitions(self) -> frozenset[int]:
        """Return the partitions that can be used."""

    def on_recovered(self, hook: Callable[[int], None]) -> Callable[[int], None]:
        """Call the hook with each partition that can be used from now on."""


class FlowMetrics:
    """Records by stage, how far time has come by partition, and how long tables took to recover."""

    def __init__(
        self, stages: Iterable[Stage], registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._rebalance_at = clock()
        self._tables: list[RecoveringTable] = []
        self._shown: set[int] = set()
        self._records = Counter("hw_records", "Records done, by stage", ["stage"], registry=registry)
        self._watermark = Gauge(
            "hw_watermark_timestamp_seconds",
            "How far the core time of a partition of hw.tickets has come",
            ["partition"],
            registry=registry,
        )
        self._recovered = Gauge(
            "hw_recovered_partitions", "Partitions of a table that can be used here", ["table"], registry=registry
        )
        self._recovery = Gauge(
            "hw_recovery_seconds",
            "From the last rebalance that brought partitions of a table until they could be used",
            ["table"],
            registry=registry,
        )
        for stage in stages:
            self._records.labels(stage.value)

    def done(self, stage: Stage, count: int) -> None:
        """Count records that are done."""
        self._records.labels(stage.value).inc(count)

    def follow(self, app: Any, tables: Sequence[RecoveringTable]) -> None:
        """Watch the app's rebalances and the recoveries of its tables."""
        self._tables += tables
        for table in tables:
            self._recovered.labels(table.name).set(0)
            self._recovery.labels(table.name).set(0)
            table.on_recovered(self._timing(table.name))

        async def rebalancing(*_: Any, **__: Any) -> None:
            self._rebalance_at = self._clock()

        app.on_partitions_revoked.connect(rebalancing)  # the beginning of every rebalance, the first one too

    def _timing(self, table: str) -> Callable[[int], None]:
        def recovered(partition: int) -> None:
            self._recovery.labels(table).set(self._clock() - self._rebalance_at)

        return recovered

    def observe(self, watermarks: Mapping[int, int]) -> None:
        """Show what can be used, and the core time of each partition, in microseconds; 0: it has had nothing yet."""
        for table in self._tables:
            self._recovered.labels(table.name).set(len(table.ready_partitions))
        reached = {partition: at for partition, at in watermarks.items() if at > 0}
        for partition in self._shown - reached.keys():
            self._watermark.remove(str(partition))  # another process shows it now, or nobody does
        for partition, at in reached.items():
            self._watermark.labels(str(partition)).set(at / 1_000_000)
        self._shown = set(reached)
