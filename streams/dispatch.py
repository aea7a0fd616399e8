"""The dispatch worker: hw.alerts → signed webhooks, with outcome records on hw.deliveries. A Faust app of its own.

One agent reads alerts and the outcome records of its own senders, and is the one writer of the `dispatch` table; the
senders (dispatch_sender.py) live beside it and only produce. What may happen before what is said at the head of
alerting/outbox.py.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import REGISTRY, CollectorRegistry

from alerting.addresses import Resolver
from alerting.outbox import heads
from alerting.outbox_state import decode
from alerting.registration import load_subscribers
from alerting.send import Clock
from alerting.transport import EndpointClient
from models.delivery import DeliveryRecord
from models.subscriber import Subscriber
from streams.bulk import Record, send_many
from streams.dispatch_batch import Batch, body_key, case_key, case_of
from streams.dispatch_lanes import Lanes
from streams.dispatch_sender import Sender, Shell
from streams.faust_app import die, make_app, producer_of, run_worker
from streams.metrics_dispatch import DispatchMetrics
from streams.tables import BulkTable
from streams.topics import TopicSet

log = logging.getLogger(__name__)

TABLE = "dispatch"
TYPE_ID, SCHEMA = 3, 1
BATCH_RECORDS_MAX = 500
DRAIN_SECONDS = 15.0


def wall_clock() -> int:
    """Return the present instant in microseconds."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class DispatchProgress:
    """How the worker gets on; for health and readiness."""

    ready_partitions: frozenset[int]
    """Recovered here: this worker sends for them."""
    batches: int
    """Batches done since the start."""
    last_batch_at: int | None
    """The instant the last one was done."""
    attempts_running: int
    pending: dict[str, int]
    """Undelivered, by subscriber, on this worker."""


class Dispatch:
    """The app, its table and its senders. `build_dispatch` makes one, `run_dispatch` runs one."""

    def __init__(
        self,
        app: Any,
        topics: TopicSet,
        subscribers: Iterable[Subscriber],
        *,
        retry_scale: float = 1.0,
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = wall_clock,
        resolve: Resolver | None = None,
    ) -> None:
        self.app, self.topics, self.subscribers = app, topics, tuple(subscribers)
        self.metrics = DispatchMetrics((subscriber.name for subscriber in self.subscribers), registry)
        self.table = app.tables.add(
            BulkTable(app, name=TABLE, partitions=topics.partitions, type_id=TYPE_ID, schema=SCHEMA, die=die)
        )
        self._clock, self._resolve = clock, resolve
        self._shell = Shell(clock, retry_scale, self._is_head, self._body, self._write, die, self.metrics)
        self._senders: dict[str, Sender] = {}
        self._backlog: dict[int, Counter[str]] = {}
        self._batches = 0
        self._last_batch_at: int | None = None
        self.table.on_recovered(self._build)
        self.table.on_revoked(self._drop)

    def progress(self) -> DispatchProgress:
        """Return how the worker gets on."""
        pending: Counter[str] = Counter({subscriber.name: 0 for subscriber in self.subscribers})
        for backlog in self._backlog.values():
            pending.update(backlog)
        return DispatchProgress(
            ready_partitions=self.table.ready_partitions,
            batches=self._batches,
            last_batch_at=self._last_batch_at,
            attempts_running=sum(sender.running for sender in self._senders.values()),
            pending=dict(pending),
        )

    async def handle(self, partition: int, records: list[Any]) -> None:
        """Take one batch of hw.alerts or hw.deliveries; return when all it comes to is durable."""
        batch = Batch(partition, self.table, self.subscribers, self._clock())
        for record in records:
            if record.topic == self.topics.alerts:
                batch.take_alert(record)
            else:
                batch.take_outcome(record)
        for key, value in batch.changes():
            if value is None:
                self.table.delete(partition, key)
            else:
                self.table.put(partition, key, value)
        records = [Record(record.key, record.model_dump_json().encode()) for record in batch.deliveries]
        refused = [Record(None, record.model_dump_json().encode()) for record in batch.quarantine]
        producer = producer_of(self.app)
        await asyncio.gather(
            self.table.flush(partition, producer),
            send_many(producer, self.topics.deliveries, partition, records),
            send_many(producer, self.topics.quarantine, partition, refused),
        )
        self._publish(partition, batch)

    def _publish(self, partition: int, batch: Batch) -> None:
        """Let the senders see what is durable by now."""
        for name, case_id, item in batch.heads():
            if name in self._senders:
                self._senders[name].head(partition, case_id, item)
        for name, change in batch.backlog_changes():
            self._count(partition, name, change)
        for name, reason in batch.decisions:
            self.metrics.decided(name, reason)
        for refused in batch.quarantine:
            log.error("%s-%d: the record at %d is unreadable", refused.topic, refused.partition, refused.offset)
            self.metrics.unreadable("alerts" if refused.topic == self.topics.alerts else "deliveries")
        self._batches += 1
        self._last_batch_at = self._clock()

    def _count(self, partition: int, name: str, change: int) -> None:
        if change:
            self._backlog.setdefault(partition, Counter())[name] += change
            self.metrics.pending(name, change)

    def _build(self, partition: int) -> None:
        self._start_senders()
        for key, value in self.table.partition_items(partition):
            case_id = case_of(key)
            if case_id is None:
                continue
            state = decode(value)
            for name, lane in state.lanes.items():
                self._count(partition, name, len(lane.queue))
            for name, item in heads(state):
                if name in self._senders:
                    self._senders[name].head(partition, case_id, item)

    def _drop(self, partition: int) -> None:
        for sender in self._senders.values():
            sender.drop(partition)
        for name, count in self._backlog.pop(partition, Counter()).items():
            self.metrics.pending(name, -count)

    def _start_senders(self) -> None:
        for subscriber in self.subscribers:
            if subscriber.name not in self._senders:
                sender = Sender(subscriber, EndpointClient(subscriber, self._resolve), self._shell)
                self._senders[subscriber.name] = sender
                sender.start()

    def _is_head(self, partition: int, case_id: str, name: str, alert_id: str) -> bool:
        stored = self.table.get(partition, case_key(case_id))
        first = None if stored is None else dict(heads(decode(stored))).get(name)
        return first is not None and first.alert_id == alert_id

    def _body(self, partition: int, case_id: str, alert_id: str) -> bytes | None:
        found: bytes | None = self.table.get(partition, body_key(case_id, alert_id))
        return found

    async def _write(self, partition: int, record: DeliveryRecord) -> None:
        value = record.model_dump_json().encode()
        # With the producer's own batches: several senders' records leave together.
        await producer_of(self.app).send_and_wait(
            self.topics.deliveries, value=value, key=record.key, partition=partition
        )

    async def stop(self) -> None:
        """End the senders, letting attempts that are under way come to their record."""
        await asyncio.gather(*(sender.stop(DRAIN_SECONDS) for sender in self._senders.values()))


def build_dispatch(
    *,
    bootstrap_servers: str,
    topics: TopicSet,
    datadir: Path,
    subscribers: Iterable[Subscriber],
    retry_scale: float = 1.0,
    registry: CollectorRegistry = REGISTRY,
    clock: Clock = wall_clock,
    resolve: Resolver | None = None,
    **app_settings: Any,
) -> Dispatch:
    """Return a dispatch worker, not started. `datadir` is this worker's alone; `app_settings` go to `make_app`."""
    names = (topics.alerts, topics.deliveries)
    app = make_app(
        topics.dispatch_app_id,
        bootstrap_servers=bootstrap_servers,
        datadir=datadir,
        batch_topics=names,
        **{"max_batch_records": BATCH_RECORDS_MAX, **app_settings},
    )
    dispatch = Dispatch(
        app, topics, subscribers, retry_scale=retry_scale, registry=registry, clock=clock, resolve=resolve
    )
    source = app.topic(
        *names, key_serializer="raw", value_serializer="raw", key_type=None, value_type=None, internal=False
    )

    @app.agent(source, name="dispatch")
    async def agent(stream: Any) -> None:
        await Lanes(stream, dispatch.handle, die).run()

    @app.on_before_shutdown.connect
    async def stop(*_: Any, **__: Any) -> None:
        await dispatch.stop()

    return dispatch


def run_dispatch(
    *,
    bootstrap_servers: str,
    topics: TopicSet,
    datadir: Path,
    subscribers_path: Path,
    retry_scale: float = 1.0,
    registry: CollectorRegistry = REGISTRY,
    loglevel: str = "WARNING",
    on_built: Callable[[Dispatch], None] | None = None,
    on_ready: Callable[[], None] | None = None,
    **app_settings: Any,
) -> NoReturn:
    """Run a dispatch worker until SIGTERM or SIGINT; ends the process.

    `on_built` is given the worker before it starts (for a health server), `on_ready` is called when recovery is done.
    Raises ConfigFileError, TopicMismatch and ClusterUnreachableError before anything starts.
    """
    from streams.topics_admin import require_topics

    subscribers = load_subscribers(subscribers_path)
    require_topics(bootstrap_servers, topics)
    if not subscribers:
        log.warning("the subscribers file names nobody: no warning will be sent")
    dispatch = build_dispatch(
        bootstrap_servers=bootstrap_servers,
        topics=topics,
        datadir=datadir,
        subscribers=subscribers,
        retry_scale=retry_scale,
        registry=registry,
        **app_settings,
    )
    if on_built is not None:
        on_built(dispatch)
    run_worker(dispatch.app, loglevel=loglevel, on_ready=on_ready)
