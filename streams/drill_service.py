"""Drills on a schedule: a small process of its own, with their outcome in its health and their latency in its metrics."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from streams.drilling import Course, Drilled, DrillOutcome, DrillStage, run_drill
from streams.health import serve_health
from streams.metrics_certificates import watch_certificates

log = logging.getLogger(__name__)

HOUR_SECONDS = 3600.0
RETRY_SECONDS_MAX = 600.0
"""After a failed drill the next one comes at least so soon: what was mended is seen to be."""


class DrillMetrics:
    """What is counted of drills."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Gauge(
            "hw_drill_seconds", "How long the last drill that came through took, by stage", ["stage"], registry=registry
        )
        self.drills = Counter("hw_drills", "Drills, by outcome", ["outcome"], registry=registry)
        self.passed_at = Gauge(
            "hw_drill_last_passed_timestamp_seconds",
            "When a drill last went the whole way; 0: never",
            registry=registry,
        )
        self.next_at = Gauge("hw_drill_next_timestamp_seconds", "When the next drill is due", registry=registry)
        self.problems = Gauge("hw_health_problems", "What /healthz finds wrong; 0: all is well", registry=registry)
        for outcome in DrillOutcome:
            self.drills.labels(outcome.value)

    def observe(self, drilled: Drilled, now_seconds: float) -> None:
        """Take a drill's outcome."""
        self.drills.labels(drilled.outcome.value).inc()
        self.problems.set(0 if drilled.passed else 1)
        for stage in DrillStage:
            if stage in drilled.seconds:
                self.seconds.labels(stage.value).set(drilled.seconds[stage])
        if drilled.passed:
            self.passed_at.set(now_seconds)


class DrillHealth:
    """What the last drill says; read from the thread that serves it."""

    def __init__(self) -> None:
        self.recovered = True
        self.last: Drilled | None = None

    def problems(self) -> list[str]:
        """Return why the last drill failed; empty where it did not, or none has been made."""
        last = self.last
        return [] if last is None or last.passed else [f"the last drill failed ({last.outcome}): {last.said}"]

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON."""
        last = self.last
        told = (
            None
            if last is None
            else {
                "ticket": last.ticket_id,
                "outcome": last.outcome,
                "seconds": {stage.value: took for stage, took in last.seconds.items()},
            }
        )
        return {"problems": self.problems(), "last": told}


class DrillService:
    """Makes a drill now and then. `run` returns once `stop` is set."""

    def __init__(
        self,
        drill: Callable[[], Drilled],
        every_hours: float,
        metrics: DrillMetrics,
        health: DrillHealth,
        *,
        first_after_seconds: float,
    ) -> None:
        self._drill, self._metrics, self._health = drill, metrics, health
        self._every_seconds, self._first_after = every_hours * HOUR_SECONDS, first_after_seconds

    def run(self, stop: threading.Event) -> None:
        """Make drills until `stop` is set."""
        wait = self._first_after
        self._metrics.next_at.set(time.time() + wait)
        while not stop.wait(wait):
            wait = self.once()
            self._metrics.next_at.set(time.time() + wait)

    def once(self) -> float:
        """Make one drill; return after how many seconds the next is due."""
        drilled = self._drill()
        self._health.last = drilled
        self._metrics.observe(drilled, time.time())
        if drilled.passed:
            log.info("drill %s passed in %.3f s", drilled.ticket_id, drilled.seconds.get(DrillStage.TOTAL, 0.0))
            return self._every_seconds
        log.error("drill %s failed (%s): %s", drilled.ticket_id, drilled.outcome, drilled.said)
        return min(self._every_seconds, RETRY_SECONDS_MAX)


def serve_drills(
    course: Course, every_hours: float, host: str, port: int, stop: threading.Event, first_after_seconds: float
) -> None:
    """Make drills until `stop` is set, and answer /metrics, /healthz and /readyz meanwhile. Raises OSError where it cannot listen."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    watch_certificates(course.bootstrap_servers, registry)
    metrics, health = DrillMetrics(registry), DrillHealth()
    bound = serve_health(health, registry, host, port)
    print(f"drill ready, http port {bound}", flush=True)  # noqa: T201
    service = DrillService(
        lambda: run_drill(course, uuid.uuid4().hex[:16], wall_clock),
        every_hours,
        metrics,
        health,
        first_after_seconds=first_after_seconds,
    )
    service.run(stop)


def wall_clock() -> int:
    """Return the present instant in microseconds."""
    return time.time_ns() // 1000
