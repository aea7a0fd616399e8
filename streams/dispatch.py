"""The dispatch worker: hw.alerts → signed webhooks, with outcome records on hw.deliveries. A Faust app of its own.

One agent reads alerts and the outcome records of its own senders, and is the one writer of the `dispatch` table; the
senders (dispatch_sender.py) live beside it and only produce. What may happen before what is said at the head of
alerting/outbox.py.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import REGISTRY, CollectorRegistry

from alerting.addresses import Resolver
from alerting.directory import DeliveryFiles, Directory
from alerting.outbox import heads, next_look, wake_at
from alerting.outbox_state import CaseOutbox, Item, decode
from alerting.send import Clock
from alerting.transport import EndpointClient
from models.delivery import DeliveryRecord
from models.subscriber import Subscriber
from models.times import SECOND
from streams.batches import PartitionLostError
from streams.bulk import Record, send_each, send_many
from streams.directories import DirectorySource
from streams.dispatch_batch import Batch, accused_kinds, body_key, case_key, case_of
from streams.dispatch_expiring import CaseExpiry
from streams.dispatch_lanes import Lanes
from streams.dispatch_positions import Confirmed, Unwritten
from streams.dispatch_sender import Sender, Shell
from streams.failpoints import Failpoint, reached
from streams.faust_app import die, make_app, producer_of, run_worker
from streams.metrics_dispatch import UNKNOWN_KIND, DispatchMetrics
from streams.metrics_flow import FlowMetrics, Stage
from streams.roles import Role
from streams.tables import BulkTable
from streams.topics import TopicSet

log = logging.getLogger(__name__)

TABLE = "dispatch"
TYPE_ID, SCHEMA = 3, 1
BATCH_RECORDS_MAX = 500
DRAIN_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How often the files are looked at, and what is held."""


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
    held_because: str | None = None
    """Why nothing is sent at all, None where it is."""
    unread_seconds: float = 0.0
    """For how long the files are being read just now."""


class Dispatch:
    """The app, its table and its senders. `build_dispatch` makes one, `run_dispatch` runs one."""

    def __init__(
        self,
        app: Any,
        topics: TopicSet,
        directories: DirectorySource,
        *,
        retry_scale: float = 1.0,
        registry: CollectorRegistry = REGISTRY,
        clock: Clock = wall_clock,
        resolve: Resolver | None = None,
        keep: int | None = None,
    ) -> None:
        self.app, self.topics, self.directories = app, topics, directories
        self.metrics = self._new_metrics(registry)
        self._show_directory()
        self.table = self._new_table()
        self._expiry = CaseExpiry(self.table, keep)
        self.flow = FlowMetrics((Stage.DISPATCH,), registry)
        self.flow.follow(app, (self.table,))
        self._clock, self._resolve = clock, resolve
        self._shell = Shell(clock, retry_scale, self._sending, self._queue, self._body, self._write, die, self.metrics)
        self._senders: dict[str, Sender] = {}
        self._backlog: dict[int, Counter[str]] = {}
        self._held: dict[int, Counter[str]] = {}
        self._wakes: dict[int, dict[str, int]] = {}
        self._unwritten: dict[int, dict[tuple[str, str, tuple[str, str]], Unwritten]] = {}
        self._batches = 0
        self._last_batch_at: int | None = None
        self._released = asyncio.Event()
        self.table.on_recovered(self._build)
        self.table.on_revoked(self._drop)

    def _new_metrics(self, registry: CollectorRegistry) -> DispatchMetrics:
        return DispatchMetrics((subscriber.name for subscriber in self.directories.subscribers), registry)

    def _new_table(self) -> BulkTable:
        table: BulkTable = self.app.tables.add(
            BulkTable(self.app, name=TABLE, partitions=self.topics.partitions, type_id=TYPE_ID, schema=SCHEMA, die=die)
        )
        return table

    def _new_client(self, subscriber: Subscriber) -> EndpointClient:
        return EndpointClient(subscriber, self._resolve)

    def _producer(self) -> Any:
        return producer_of(self.app)

    def progress(self) -> DispatchProgress:
        """Return how the worker gets on."""
        pending: Counter[str] = Counter({subscriber.name: 0 for subscriber in self.directories.subscribers})
        for backlog in self._backlog.values():
            pending.update(backlog)
        return DispatchProgress(
            ready_partitions=self.table.ready_partitions,
            batches=self._batches,
            last_batch_at=self._last_batch_at,
            attempts_running=sum(sender.running for sender in self._senders.values()),
            pending=dict(pending),
            held_because=self.directories.problem,
            unread_seconds=self.directories.reading_seconds(),
        )

    async def handle(self, partition: int, records: list[Any]) -> None:
        """Take one batch; return when all it comes to is durable. With no directory it waits: nothing is decided
        without one, and nothing acknowledged.
        """
        directory = await self._directory()
        unwritten = tuple(self._unwritten.get(partition, {}).values())
        newest = max((record.timestamp for record in records), default=0) * 1000
        batch = Batch(partition, self.table, directory, self._clock(), unwritten, newest)
        takers = {
            self.topics.alerts: batch.take_alert,
            self.topics.deliveries: batch.take_outcome,
            self.topics.redeliveries: batch.take_request,
        }
        for record in records:
            takers[record.topic](record)
        for case_id in self._due_cases(partition, batch.now):
            batch.wake(case_id)
        reached(Failpoint.BEFORE_STATE)
        for key, value in batch.changes():
            if value is None:
                self.table.delete(partition, key)
            else:
                self.table.put(partition, key, value)
        self.metrics.expired(self._expiry.apply(batch))
        await self._make_durable(partition, batch)
        reached(Failpoint.AFTER_STATE)
        self._publish(partition, batch, directory)
        self.flow.done(Stage.DISPATCH, len(records))
        reached(Failpoint.BEFORE_ACK)

    async def _make_durable(self, partition: int, batch: Batch) -> None:
        producer = self._producer()
        await self.table.flush(partition, producer)
        reached(Failpoint.BEFORE_RECORDS)
        deliveries = [Record(one.key, one.model_dump_json().encode()) for one in batch.deliveries]
        decided = [Record(one.case_id.encode(), one.model_dump_json().encode()) for one in batch.decided]
        refused = [Record(None, one.model_dump_json().encode()) for one in batch.quarantine]
        await asyncio.gather(
            send_each(producer, self.topics.deliveries, partition, deliveries),  # as the senders do, at any time
            send_many(producer, self.topics.decisions, partition, decided),
            send_many(producer, self.topics.quarantine, partition, refused),
        )

    async def _directory(self) -> Directory:
        while (directory := self.directories.current) is None:
            if not self.app.consumer.flow_active:
                raise PartitionLostError("a rebalance or the end does not wait for a directory")
            self._released.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._released.wait()
        return directory

    def directory_changed(self) -> None:
        """Go on with what the files say now: other senders, and everything held is judged again."""
        directory = self.directories.current
        self._show_directory()
        if directory is None:
            return
        self._reconfigure(directory)
        for cases in self._wakes.values():
            cases.update(dict.fromkeys(cases, 0))
        self._released.set()

    def _show_directory(self) -> None:
        self.metrics.held_because(self.directories.problem)
        self.metrics.file_rejected(self.directories.rejected)

    def _reconfigure(self, directory: Directory) -> None:
        added = set()
        for subscriber in directory.subscribers:
            sender = self._senders.get(subscriber.name)
            if sender is None:
                added.add(subscriber.name)
            elif sender.subscriber != subscriber:
                sender.reconfigure(subscriber, self._new_client(subscriber))
            else:
                sender.directory_changed()
        for name in self._senders.keys() - directory.by_name.keys():
            gone = replace(self._senders[name].subscriber, enabled=False)
            self._senders[name].reconfigure(gone, None)
        if added and self.table.ready_partitions:
            self._start_senders()
            for partition in self.table.ready_partitions:
                for _, state in self._cases(partition):
                    self._show_heads(partition, state, added)

    def due_partitions(self) -> list[int]:
        """Return the partitions in which a case is to be looked at though nothing has come."""
        now = self._clock()
        due = {partition for partition, cases in self._wakes.items() if any(at <= now for at in cases.values())}
        return sorted(due | self._unwritten.keys())

    def _due_cases(self, partition: int, now: int) -> list[str]:
        return [case_id for case_id, at in self._wakes.get(partition, {}).items() if at <= now]

    def _publish(self, partition: int, batch: Batch, directory: Directory) -> None:
        """Let the senders see what is durable by now."""
        self._unwritten.pop(partition, None)
        for name, case_id, item in batch.heads():
            if name in self._senders:
                self._senders[name].head(partition, case_id, item)
        for name, queued, held in batch.backlog_changes():
            self._count(partition, name, queued, held)
        for case_id, state in batch.states.items():
            self._wake_later(partition, case_id, self._look_again_at(state, directory, batch.now))
        for name, reason in batch.decisions:
            self.metrics.decided(name, reason)
        for alert in batch.warned:
            for kind in accused_kinds(alert, directory.registry):
                self.metrics.warned(kind or UNKNOWN_KIND, alert.level, alert.status)
        for destination in batch.destinations:
            self.metrics.routed(destination)
        for refused in batch.quarantine:
            log.error("%s-%d: the record at %d is unreadable", refused.topic, refused.partition, refused.offset)
            self.metrics.unreadable(refused.topic.removeprefix(self.topics.prefix).removeprefix("hw."))
        self._batches += 1
        self._last_batch_at = self._clock()

    def show_oldest(self) -> None:
        """Show for how long each subscriber's oldest delivery has waited."""
        now = self._clock()
        for name, sender in self._senders.items():
            since = sender.oldest()
            self.metrics.oldest(name, 0.0 if since is None else (now - since) / SECOND)

    def _look_again_at(self, state: CaseOutbox, directory: Directory, now: int) -> int | None:
        at = next_look(state, directory, now)
        # 0: the files it was decided by were replaced while it was being written.
        return 0 if at is not None and directory is not self.directories.current else at

    def _wake_later(self, partition: int, case_id: str, at: int | None) -> None:
        cases = self._wakes.setdefault(partition, {})
        if at is None:
            cases.pop(case_id, None)
        else:
            cases[case_id] = at

    def _count(self, partition: int, name: str, queued: int, held: int) -> None:
        if queued:
            self._backlog.setdefault(partition, Counter())[name] += queued
            self.metrics.pending(name, queued)
        if held:
            self._held.setdefault(partition, Counter())[name] += held
            self.metrics.held(name, held)

    def _build(self, partition: int) -> None:
        self._start_senders()
        directory = self.directories.current
        confirmed = Confirmed(self.table, partition)
        for case_id, state in self._cases(partition):
            for name, lane in state.lanes.items():
                self._count(partition, name, len(lane.queue), len(lane.held))
            # What is held may no longer be, by files that changed while no worker ran. And without a directory nobody knows
            # who is to be reminded when: everything is looked at once there is one.
            held = any(lane.held for lane in state.lanes.values())
            self._wake_later(partition, case_id, 0 if held or directory is None else wake_at(state, directory))
            for one in confirmed.unwritten_of(state):
                self._unwritten.setdefault(partition, {})[case_id, one.subscriber, one.item.name] = one
            self._show_heads(partition, state)

    def _cases(self, partition: int) -> Iterator[tuple[str, CaseOutbox]]:
        for key, value in self.table.partition_items(partition):
            case_id = case_of(key)
            if case_id is not None:
                yield case_id, decode(value)

    def _show_heads(self, partition: int, state: CaseOutbox, names: Collection[str] | None = None) -> None:
        waiting = self._unwritten.get(partition, {})
        for name, item in heads(state):
            # What may have no record yet is not sent before it has: a later position must not be seen first.
            first = not any((state.case_id, name, one.name) in waiting for one in state.lanes[name].queue)
            if first and name in self._senders and (names is None or name in names):
                self._senders[name].head(partition, state.case_id, item)

    def _drop(self, partition: int) -> None:
        for sender in self._senders.values():
            sender.drop(partition)
        for name, count in self._backlog.pop(partition, Counter()).items():
            self.metrics.pending(name, -count)
        for name, count in self._held.pop(partition, Counter()).items():
            self.metrics.held(name, -count)
        self._wakes.pop(partition, None)
        self._unwritten.pop(partition, None)
        self._expiry.drop(partition)

    def _start_senders(self) -> None:
        for subscriber in self.directories.subscribers:
            if subscriber.name not in self._senders:
                self.metrics.known(subscriber.name)
                sender = Sender(subscriber, self._new_client(subscriber), self._shell)
                self._senders[subscriber.name] = sender
                sender.start()

    def _sending(self) -> Directory | None:
        return self.directories.current

    def _queue(self, partition: int, case_id: str, name: str) -> tuple[Item, ...]:
        stored = self.table.get(partition, case_key(case_id))
        lane = None if stored is None else decode(stored).lanes.get(name)
        return () if lane is None else lane.queue

    def _body(self, partition: int, case_id: str, alert_id: str) -> bytes | None:
        found: bytes | None = self.table.get(partition, body_key(case_id, alert_id))
        return found

    async def _write(self, partition: int, record: DeliveryRecord) -> None:
        value = record.model_dump_json().encode()
        # With the producer's own batches: several senders' records leave together.
        await self._producer().send_and_wait(self.topics.deliveries, value=value, key=record.key, partition=partition)

    async def stop(self) -> None:
        """End the senders, letting attempts that are under way come to their record."""
        await asyncio.gather(*(sender.stop(DRAIN_SECONDS) for sender in self._senders.values()))


def build_dispatch(
    *,
    bootstrap_servers: str,
    topics: TopicSet,
    datadir: Path,
    directories: DirectorySource,
    retry_scale: float = 1.0,
    registry: CollectorRegistry = REGISTRY,
    clock: Clock = wall_clock,
    resolve: Resolver | None = None,
    keep: int | None = None,
    **app_settings: Any,
) -> Dispatch:
    """Return a dispatch worker, not started. `datadir` is its alone; `keep`: quiet cases, microseconds; `app_settings` go to `make_app`."""
    names = (topics.alerts, topics.deliveries, topics.redeliveries)
    app = make_app(
        topics.dispatch_app_id,
        bootstrap_servers=bootstrap_servers,
        datadir=datadir,
        batch_topics=names,
        **{"max_batch_records": BATCH_RECORDS_MAX, **app_settings},
    )
    dispatch = Dispatch(
        app, topics, directories, retry_scale=retry_scale, registry=registry, clock=clock, resolve=resolve, keep=keep
    )
    source = app.topic(
        *names, key_serializer="raw", value_serializer="raw", key_type=None, value_type=None, internal=False
    )
    lanes: list[Lanes] = []

    @app.agent(source, name="dispatch")
    async def agent(stream: Any) -> None:
        lanes[:] = [Lanes(stream, dispatch.handle, die)]
        await lanes[0].run()

    async def look() -> None:
        try:
            if await asyncio.to_thread(directories.look):
                dispatch.directory_changed()
            for partition in dispatch.due_partitions():
                for running in lanes:
                    running.poke(partition)
        except Exception as error:
            die(error)

    app.timer(LOOK_SECONDS)(look)

    @app.on_before_shutdown.connect
    async def stop(*_: Any, **__: Any) -> None:
        await dispatch.stop()

    return dispatch


def run_dispatch(
    *,
    bootstrap_servers: str,
    topics: TopicSet,
    datadir: Path,
    files: DeliveryFiles,
    retry_scale: float = 1.0,
    registry: CollectorRegistry = REGISTRY,
    loglevel: str = "WARNING",
    on_built: Callable[[Dispatch], None] | None = None,
    on_ready: Callable[[], None] | None = None,
    **app_settings: Any,
) -> NoReturn:
    """Run a dispatch worker until SIGTERM or SIGINT; ends the process.

    `on_built` is given the worker before it starts (for a health server), `on_ready` is called when recovery is done.
    Raises ConfigFileError, TopicMismatch and ClusterUnreachableError before anything starts; without a sound unit
    registry it starts, and holds everything.
    """
    from streams.topics_admin import require_topics

    directories = DirectorySource(files)
    require_topics(bootstrap_servers, topics, role=Role.DISPATCH)
    if not directories.subscribers:
        log.warning("the subscribers file names nobody: no warning will be sent")
    dispatch = build_dispatch(
        bootstrap_servers=bootstrap_servers,
        topics=topics,
        datadir=datadir,
        directories=directories,
        retry_scale=retry_scale,
        registry=registry,
        **app_settings,
    )
    if on_built is not None:
        on_built(dispatch)
    run_worker(dispatch.app, loglevel=loglevel, on_ready=on_ready)
