"""One detection worker: the composition root of intake, tickets and citizens."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, Protocol, cast

import faust
from prometheus_client import CollectorRegistry, ProcessCollector

from models.times import DAY
from rules.engine import Engine
from rules.intake import Reader
from rules.messages import ReviewMessage, TickMessage, encode
from rules.migrations import CITIZEN_STEPS, STATE_SCHEMA, TICKET_STEPS, Steps
from rules.pack import Pack, default_pack, load_pack
from rules.reckoning import Reckoning, load_reckoning
from rules.sealing import Posts, load_posts
from rules.text.screen import Screener
from streams.allocator import give_back, share_arenas
from streams.batches import PartitionLostError, each_batch
from streams.bounded_batches import on_refused
from streams.bulk import Record, send_many
from streams.citizen_partition import CitizenPartition
from streams.failpoints import Failpoint, reached
from streams.faust_app import batch_topic, die, make_app, producer_of, run_worker
from streams.health import Health, HealthGauges, serve_health
from streams.intake import Intake
from streams.metrics import WorkerMetrics
from streams.metrics_certificates import watch_certificates
from streams.metrics_flow import FlowMetrics, Stage
from streams.partition import OWING_KEY, Incoming, position_in_source
from streams.reference_feed import ReferenceFeed
from streams.reloading import PackWatcher, ReckoningWatcher
from streams.roles import Role
from streams.routes import SOURCE_TS, Out, source_ts_of
from streams.settings import Settings
from streams.state_upgrade import upgrades
from streams.tables import BulkTable
from streams.ticket_partition import KEPT_TICKETS, TicketPartition
from streams.topics_admin import require_topics
from streams.transport import BatchConsumer

log = logging.getLogger(__name__)

TICKETS_TYPE, CITIZENS_TYPE = 1, 2
RELOAD_SECONDS = 5.0
IDLE_TICK_SECONDS = 30.0
GIVE_BACK_SECONDS = 15.0
"""Under load some 20 MB pile up in a minute."""
TICK_AHEAD = 10_000_000
"""Microseconds by which another worker's clock may be ahead of ours."""


def wall_clock() -> int:
    """Return the machine's time in microseconds. The only clock of the service; everything below takes time as an argument."""
    return time.time_ns() // 1000


class _Partition(Protocol):
    owed: list[Out]
    keys: int

    def pieces(self, records: Sequence[Incoming]) -> Iterator[list[Out]]: ...


class Worker:
    """Wires the agents of one worker process."""

    def __init__(self, settings: Settings, *, clock: Callable[[], int] = wall_clock) -> None:
        self.settings = settings
        self.topics = settings.topics
        self.clock = clock
        # Looked at before it is read: what changes in between is then seen as a change.
        self._watcher = PackWatcher(settings.rules_dir) if settings.rules_dir else None
        files = (settings.calendar_file, settings.limits_file)
        self._reckoning_watcher = ReckoningWatcher(*files) if any(files) else None
        pack = load_pack(settings.rules_dir) if settings.rules_dir else default_pack()
        self._posts = load_posts(settings.posts_file) if settings.posts_file else Posts()
        self.engine = _engine(pack, load_reckoning(*files))
        self.metrics = WorkerMetrics(pack, CollectorRegistry())
        on_refused(self.metrics.inflated)
        self._show_reckoning()
        watch_certificates(settings.bootstrap_servers, self.metrics.registry)
        self.flow = FlowMetrics((Stage.INTAKE, Stage.TICKETS, Stage.CITIZENS), self.metrics.registry)
        self.reference = ReferenceFeed(settings.bootstrap_servers, self.topics.reference, die)
        self.intake = Intake(self.topics, settings.load_keys(), self.metrics, self._reader(pack), self.reference)
        self.app = self._make_app()
        self.tickets = self._make_table("tickets", TICKETS_TYPE, TICKET_STEPS)
        self.citizens = self._make_table("citizens", CITIZENS_TYPE, CITIZEN_STEPS)
        self.ticket_partitions: dict[int, TicketPartition] = {}
        self.citizen_partitions: dict[int, CitizenPartition] = {}
        self._last_tick: dict[int, int] = {}
        self.health = Health(self.app, HealthGauges(self.metrics.registry), stall_seconds=settings.stall_seconds)
        self._wire()

    @property
    def pack(self) -> Pack:
        """Return the rules in force."""
        return self.engine.pack

    def _reader(self, pack: Pack) -> Reader:
        return Reader(Screener(pack.lexicon) if pack.lexicon.categories else None, self._posts)

    def _make_app(self) -> faust.App:
        topics, settings = self.topics, self.settings
        return make_app(
            topics.worker_app_id,
            bootstrap_servers=settings.bootstrap_servers,
            datadir=settings.data_dir,
            batch_topics=(topics.ticket_events, topics.tickets, topics.citizens),
            session_timeout_seconds=settings.session_timeout_seconds,
            commit_interval_seconds=settings.commit_interval_seconds,
        )

    def _make_table(self, name: str, type_id: int, steps: Steps) -> BulkTable:
        table = BulkTable(
            self.app,
            name=name,
            partitions=self.topics.partitions,
            type_id=type_id,
            schema=STATE_SCHEMA,
            upgrade=upgrades(steps),
            die=die,
            alarm=self.metrics.table_alarm,
            position=position_in_source,
            hints=frozenset({OWING_KEY}),
        )
        self.app.tables.add(table)
        return table

    def _wire(self) -> None:
        app, topics = self.app, self.topics
        self.flow.follow(app, (self.tickets, self.citizens))
        for table, opened in ((self.tickets, self.ticket_partitions), (self.citizens, self.citizen_partitions)):
            for hook in (table.on_recovered, table.on_revoked):
                hook(_dropping(opened))

        async def intake(stream: Any) -> None:
            await each_batch(stream, self._take_in, die)

        async def tickets(stream: Any) -> None:
            await each_batch(stream, self._judge, die)

        async def citizens(stream: Any) -> None:
            await each_batch(stream, self._compare, die)

        for topic, agent in ((topics.ticket_events, intake), (topics.tickets, tickets), (topics.citizens, citizens)):
            app.agent(batch_topic(app, topic), name=f"{topic}-agent", concurrency=1)(agent)
        if self.settings.core_time == "wall":
            app.timer(self.settings.tick_seconds)(self._tick)
        app.timer(1.0)(self._observe)
        app.timer(1.0)(self._review)
        app.timer(GIVE_BACK_SECONDS)(self._give_back)
        if self._watcher is not None:
            app.timer(RELOAD_SECONDS)(self._reload)
        if self._reckoning_watcher is not None:
            app.timer(RELOAD_SECONDS)(self._reload_reckoning)

    # -- the agents

    async def _take_in(self, partition: int, records: list[Any]) -> None:
        await self._send(self.intake.handle(partition, records))
        reached(Failpoint.INTAKE_SENT)
        self._done(Stage.INTAKE, records)

    async def _judge(self, partition: int, records: list[Any]) -> None:
        await self._work(self.tickets, self.ticket_partitions, self._open_tickets, partition, records)

    async def _compare(self, partition: int, records: list[Any]) -> None:
        await self._work(self.citizens, self.citizen_partitions, self._open_citizens, partition, records)

    def _open_tickets(self, partition: int, first_offset: int) -> TicketPartition:
        latest = (lambda: self.clock() + TICK_AHEAD) if self.settings.core_time == "wall" else None
        return TicketPartition(
            partition,
            self.tickets,
            self.engine,
            self.topics,
            self.metrics,
            first_offset,
            latest=latest,
            lateness=_span(self.settings.allowed_lateness_days),
            keep=_span(self.settings.keep_closed_days),
            committed=self._committed(self.topics.tickets, partition),
        )

    def _open_citizens(self, partition: int, first_offset: int) -> CitizenPartition:
        return CitizenPartition(
            partition,
            self.citizens,
            self.settings.matter.config(),
            self.topics,
            self.metrics,
            first_offset,
            keep=_span(self.settings.keep_complaints_days),
            committed=self._committed(self.topics.citizens, partition),
        )

    def _committed(self, topic: str, partition: int) -> Callable[[], int]:
        consumer = cast(BatchConsumer, self.app.consumer)
        return lambda: consumer.committed_offset(topic, partition)

    async def _work(
        self,
        table: BulkTable,
        opened: dict[int, Any],
        open_one: Callable[[int, int], Any],
        partition: int,
        records: list[Any],
    ) -> None:
        """State first, with what it owes; then the outputs; then, by returning, the acknowledgement."""
        if partition not in opened:
            opened[partition] = open_one(partition, records[0].offset)
        at_work: _Partition = opened[partition]
        if at_work.owed:
            # Before this batch writes anything: the debts of the keys that it touches are overwritten.
            await self._send(at_work.owed)
            if opened.get(partition) is not at_work:
                raise PartitionLostError(f"{table.name}-{partition} went away while its debts were paid")
            at_work.owed = []
        batch = [
            Incoming(record.offset, record.value or b"", source_ts_of(record.headers, record.timestamp))
            for record in records
        ]
        for outs in at_work.pieces(batch):
            reached(Failpoint.WORKER_BEFORE_STATE)
            await table.flush(partition, producer_of(self.app))
            reached(Failpoint.WORKER_AFTER_STATE)
            await self._send(outs)
            reached(Failpoint.WORKER_BEFORE_ACK)
            if opened.get(partition) is not at_work:  # before another piece is written over whatever is there now
                raise PartitionLostError(f"{table.name}-{partition} went away while a batch was done")
        self._done(Stage(table.name), records)

    def _done(self, stage: Stage, records: list[Any]) -> None:
        self.flow.done(stage, len(records))
        self.health.progressed()

    async def _send(self, outs: list[Out]) -> None:
        """Send all outputs and wait until every one is durable. Raises SendError: the worker stops without acknowledging."""
        lanes: dict[tuple[str, int], list[Record]] = {}
        for out in outs:
            headers = ((SOURCE_TS, str(out.source_ts).encode()),) if out.source_ts is not None else ()
            lanes.setdefault((out.topic, out.partition), []).append(Record(out.key.encode(), out.value, headers))
        producer = producer_of(self.app)
        await asyncio.gather(
            *(send_many(producer, topic, partition, records) for (topic, partition), records in lanes.items())
        )
        self.metrics.sent(outs, self.topics)

    # -- time

    async def _tick(self) -> None:
        """Produce a tick for each partition in which a deadline is due, and now and then for the others: their clock moves too."""
        try:
            now = self.clock()
            for partition in self.tickets.ready_partitions:
                at_work = self.ticket_partitions.get(partition)
                due = at_work.next_due() if at_work is not None else None
                idle = now - self._last_tick.get(partition, 0) > IDLE_TICK_SECONDS * 1_000_000
                if (
                    at_work is None
                    or idle
                    or (due is not None and due <= now and due > self._last_tick.get(partition, 0))
                ):
                    self._last_tick[partition] = now
                    await self._send([Out(self.topics.tickets, partition, "tick", encode(TickMessage(now)), None)])
        except Exception as error:  # a timer that raises would leave the app half alive
            die(error)

    async def _reload(self) -> None:
        """Take rules that were changed. A ticket is judged by them from its next event or deadline on."""
        try:
            assert self._watcher is not None
            found = await asyncio.to_thread(self._watcher.changed)
            if found is None:
                return
            self.metrics.reloaded(isinstance(found, Pack))
            if isinstance(found, Pack):
                self.metrics.knows(found)
                self.intake.reader = self._reader(found)
                self._use(_engine(found, self.engine.reckoning))
                log.info("rules taken anew: %s, %d rules", found.name, len(found.rules))
        except Exception as error:
            die(error)

    async def _reload_reckoning(self) -> None:
        """Take a calendar or limits that were changed. Every ticket is judged by them soon, and corrected where that is due."""
        try:
            assert self._reckoning_watcher is not None
            found = await asyncio.to_thread(self._reckoning_watcher.changed)
            if found is None:
                return
            self.metrics.reloaded(isinstance(found, Reckoning))
            if isinstance(found, Reckoning):
                self._use(_engine(self.pack, found))
                log.info("calendar and limits taken anew: %s", found.version)
        except Exception as error:
            die(error)

    def _show_reckoning(self) -> None:
        self.metrics.reckons(self.engine.reckoning.calendar.known_until(self.clock()))

    def _use(self, engine: Engine) -> None:
        self.engine = engine
        self._show_reckoning()
        for opened in self.ticket_partitions.values():
            opened.use(engine)

    async def _review(self) -> None:
        """Begin a review of each partition whose tickets may have been judged by another calendar or other limits."""
        try:
            for partition, opened in list(self.ticket_partitions.items()):
                if opened.reckons_otherwise and not opened.reviewing:
                    opened.reviewing = True
                    await self._send([Out(self.topics.tickets, partition, "review", encode(ReviewMessage()), None)])
        except Exception as error:  # a timer that raises would leave the app half alive
            die(error)

    async def _give_back(self) -> None:
        give_back()

    async def _observe(self) -> None:
        try:
            states: dict[str, Iterable[_Partition]] = {
                "tickets": self.ticket_partitions.values(),
                "citizens": self.citizen_partitions.values(),
            }
            for table, partitions in states.items():
                self.metrics.states.labels(table).set(sum(one.keys for one in partitions))
            self.flow.observe({number: one.clock for number, one in self.ticket_partitions.items()})
            reference = self.reference.state()
            self.metrics.refers(reference)
            self.health.notices = [reference.problem] if reference.problem else []
            await self.health.observe()
        except Exception as error:
            die(error)


def _span(days: int | None) -> int | None:
    """Return days in microseconds."""
    return None if days is None else days * DAY


def _engine(pack: Pack, reckoning: Reckoning) -> Engine:
    return Engine(pack, reckoning, histories=KEPT_TICKETS)


def _dropping(opened: dict[int, Any]) -> Callable[[int], None]:
    def drop(partition: int) -> None:
        opened.pop(partition, None)

    return drop


def run(settings: Settings, *, on_ready: Callable[[], None] | None = None) -> NoReturn:
    """Check the topics and run a worker until SIGTERM. Raises SettingsError, TopicMismatch and BrokerError before it starts."""
    share_arenas()  # before the threads that allocate: RocksDB's, Kafka's, HTTP's
    settings.arm_failpoint()
    settings.make_data_dir()
    require_topics(settings.bootstrap_servers, settings.topics, role=Role.WORKER)
    worker = Worker(settings)
    worker.reference.start()
    ProcessCollector(registry=worker.metrics.registry)
    port = serve_health(worker.health, worker.metrics.registry, settings.http_host, settings.http_port)

    def ready() -> None:
        # What is there now stays; what comes refers to nothing that refers to it. Looking for cycles took a fifth of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 20, 100)
        worker.health.recovered = True
        print(f"worker ready, http port {port}", flush=True)  # noqa: T201
        if on_ready is not None:
            on_ready()

    run_worker(worker.app, on_ready=ready, loglevel=settings.log_level.upper())
