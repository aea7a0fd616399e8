"""Health of a worker: assignment and progress, not "the process is alive". Faust can stall in silence; this notices.

`/healthz` is 200 while the process has its partitions and either nothing waits or something was done lately; the answers come from a
thread of their own, so that a stuck event loop shows. `/readyz` is 200 once recovery is done.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import uvicorn
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

log = logging.getLogger(__name__)

SNAPSHOT_SECONDS_MAX = 15.0


class Gauges(Protocol):
    """The gauges that observation sets."""

    lag: Any
    partition_lag: Any
    partitions: Any
    problems: Any


class HealthGauges:
    """Gauges of their own, for a process whose metrics have none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge("hw_lag_records", "Records not yet acknowledged", ["topic"], registry=registry)
        self.partition_lag = Gauge(
            "hw_partition_lag_records",
            "Records not yet acknowledged, by partition",
            ["topic", "partition"],
            registry=registry,
        )
        self.partitions = Gauge("hw_partitions", "Partitions assigned", ["topic"], registry=registry)
        self.problems = Gauge("hw_health_problems", "What /healthz finds wrong; 0: all is well", registry=registry)


class Health:
    """What is known of the worker's progress. `observe` runs on the event loop; the rest may be read from any thread."""

    def __init__(
        self, app: Any, gauges: Gauges, *, stall_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` gives seconds that never go back."""
        self.recovered = False
        self._clock = clock
        self._app = app
        self._gauges = gauges
        self._stall_seconds = stall_seconds
        self._progress_at = self._clock()
        self._observed_at = self._clock()
        self.notices: list[str] = []
        """What the process itself knows to be wrong."""
        self._lag: dict[str, int] = {}
        self._partition_lag: dict[tuple[str, str], int] = {}
        self._assigned: dict[str, int] = {}
        gauges.problems.set_function(lambda: len(self.problems()))  # asked when it is scraped: a stuck event loop shows

    def progressed(self) -> None:
        """A batch is done."""
        self._progress_at = self._clock()

    async def observe(self) -> None:
        """Take a snapshot of assignment and lag."""
        consumer = self._app.consumer
        lag: dict[str, int] = {}
        partition_lag: dict[tuple[str, str], int] = {}
        assigned: dict[str, int] = {}
        for tp in consumer.assignment():
            if tp.topic.endswith("-changelog"):
                continue
            assigned[tp.topic] = assigned.get(tp.topic, 0) + 1
            waiting = (consumer.highwater(tp) or 0) - (
                consumer._committed_offset.get(tp) or consumer._read_offset.get(tp) or 0
            )
            partition_lag[tp.topic, str(tp.partition)] = max(waiting, 0)
            lag[tp.topic] = lag.get(tp.topic, 0) + max(waiting, 0)
        for topic in self._assigned.keys() | assigned.keys():  # what went away is zero, not what it was last
            self._gauges.partitions.labels(topic).set(assigned.get(topic, 0))
            self._gauges.lag.labels(topic).set(lag.get(topic, 0))
        for labels in self._partition_lag.keys() - partition_lag.keys():
            self._gauges.partition_lag.remove(*labels)  # whoever has it now shows it
        for labels, waiting in partition_lag.items():
            self._gauges.partition_lag.labels(*labels).set(waiting)
        self._lag, self._partition_lag, self._assigned = lag, partition_lag, assigned
        if not any(lag.values()):
            self.progressed()
        self._observed_at = self._clock()

    def problems(self) -> list[str]:
        """Return what is wrong, each in a sentence; empty where all is well."""
        now = self._clock()
        found = list(self.notices)
        if now - self._observed_at > SNAPSHOT_SECONDS_MAX:
            found.append("the event loop has not answered for some time")
        if self.recovered and not self._assigned:
            found.append("no partition is assigned: more workers than partitions, or the group was left")
        if any(self._lag.values()) and now - self._progress_at > self._stall_seconds:
            found.append(f"records wait and none was handled for {self._stall_seconds:g} s")
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "recovered": self.recovered,
            "problems": self.problems(),
            "partitions": self._assigned,
            "lag": self._lag,
            "seconds_since_progress": round(self._clock() - self._progress_at, 1),
        }


class Healthy(Protocol):
    """What is asked of a process."""

    recovered: bool

    def problems(self) -> list[str]:
        """Return what is wrong, each in a sentence."""

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON."""


def serve_health(health: Healthy, registry: CollectorRegistry, host: str, port: int) -> int:
    """Serve /metrics, /healthz and /readyz from a thread; return the port."""

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    def healthz(_: Request) -> Response:
        return JSONResponse(health.snapshot(), status_code=503 if health.problems() else 200)

    def readyz(_: Request) -> Response:
        return JSONResponse({"ready": health.recovered}, status_code=200 if health.recovered else 503)

    web = Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])
    listener = socket.create_server((host, port))
    server = uvicorn.Server(uvicorn.Config(web, log_level="warning", lifespan="off", access_log=False))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="health", daemon=True).start()
    bound: int = listener.getsockname()[1]
    return bound
