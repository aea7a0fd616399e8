"""A Faust transport whose agents receive one event per fetched batch of a partition.

Rules
    - `event.value` of a batch topic is a list of aiokafka ConsumerRecords of one partition, in order, bounded in
      records and bytes. The topic is declared with key_serializer="raw", value_serializer="raw". `await
      stream.ack(event)` acknowledges them all. Other topics work as in stock Faust.
    - Use `each_batch` as an agent's body: nothing escapes it, a failure ends the process without committing.
    - One agent actor per topic (concurrency 1). Offsets are committed up to the first delivery that is not
      acknowledged.
    - A changelog of a table with `changelog_in_batches` is recovered in batches too. Standbys and global tables are
      refused.

Theory
    Reading moves a partition's position; so do seeks, a new assignment and the reset to a committed offset. All of
    these happen in the consumer's thread. Records are *valid* as long as nothing but reading has moved their partition
    since they were taken: then they follow exactly what was taken before. Each fetch therefore takes a *token* (the
    assignment and the number of seeks) in the same step of the thread's loop in which the records leave aiokafka.
    1. Valid records are delivered, or the position goes back to the committed offset before anything else is read
       (`_must_seek`).
    2. Records that are no longer valid are dropped: whoever moved the position did so to read something else.
    3. A delivery whose token is new starts a new row of deliveries, so that an acknowledgement from before a move never
       commits past what was not yet read again.
    Changelog partitions never go back to a committed offset (they have none): recovery seeks them itself after every
    rebalance. It does so while a fetch may be under way, so that valid records may come before recovery takes any: they
    cannot be delivered, and the position goes back to the first of them, unless somebody has moved it meanwhile.

Warnings, each of them a loss of records in an earlier version or in stock Faust
    - aiokafka's `seek_to_committed` does not move a partition that has no committed offset: go to its beginning
      instead.
    - Streams are resumed while the seek to the committed offsets is still on its way: nothing read before it may be
      delivered.
    - An empty set of active partitions makes aiokafka's fetcher return records of *every* partition.
    - A delivery that a rebalance interrupts was not delivered.
    - Faust stops the flow before a rebalance only where there were partitions: a worker that had none would read those
      it is given before recovery has sought them, and wait for their records for ever.
    - Stock Faust compares offsets with a number that is the next offset after a seek and the last one after reading,
      and counts the record after a gap as acknowledged. Here nothing is compared.
    - Without its C extension, Faust acknowledges records that it skipped during a rebalance: `ack` takes only what a
      stream has taken up.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

import streams.bounded_batches  # noqa: F401  # bounds what a compressed batch may inflate to, in this whole process
from streams.batches import BatchMessage, PartitionLostError, batch_message, each_batch, split_batch
from streams.faust_internals import check_internals
from streams.positions import BatchConsumerThread, Fetched, Token

__all__ = ["BatchConsumer", "BatchMessage", "PartitionLostError", "Transport", "each_batch", "split_batch"]

log = logging.getLogger(__name__)

check_internals()

FETCH_SECONDS = 1.0
IDLE_SECONDS = 0.05


class BatchConsumer(driver.Consumer):
    """Faust's consumer, delivering batches. See the head of this module."""

    app: Any
    transport: Any
    _thread: BatchConsumerThread
    can_resume_flow: Any
    suspend_flow: Any

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        conf = transport.app.conf
        if conf.consumer_auto_offset_reset != "earliest":
            raise ValueError(
                "consumer_auto_offset_reset must be 'earliest': a new group reads topics from their beginning"
            )
        if conf.table_standby_replicas:
            raise ValueError("table_standby_replicas must be 0: standbys are not supported")
        super().__init__(transport, *args, **kwargs)
        self._deliveries: dict[TP, deque[tuple[int, Any]]] = defaultdict(deque)
        self._delivery_token: dict[TP, Token] = {}
        self._next_offset: dict[TP, int] = {}
        self._abandoned: dict[TP, Token] = {}
        self._must_seek = False
        self._sought_generation: int | None = None
        self._fetch: asyncio.Future[Fetched | None] | None = None
        self._durable_offset: dict[TP, int] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- reading

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                elif self._must_seek:
                    await self._seek_again()
                else:
                    await self._read_once()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            self._must_seek = True  # what was being delivered, should reading start again
            if not self.transport.app.should_stop:
                raise
        except Exception:
            log.exception("reading stopped")
            raise

    async def _read_once(self) -> None:
        active = set(self._get_active_partitions())  # Faust goes on changing its own
        if not active:
            await self.sleep(IDLE_SECONDS)
            return
        # Should this task be cancelled, the thread still takes records out of the fetcher: whoever reads next must see
        # them.
        self._fetch = self._fetch or asyncio.ensure_future(self._get_fetched(active))
        fetched = await asyncio.shield(self._fetch)
        self._fetch = None
        if not fetched or self.should_stop:
            return
        generation = self.app.consumer_generation_id
        refused: set[TP] = set()
        for tp, message in self._messages(fetched, generation):
            if tp in refused:
                continue  # never a later record without the earlier ones
            if not await self._deliver(tp, message, fetched.tokens[tp], generation):
                refused.add(tp)
                if self._is_changelog_tp(tp):
                    await self._thread.call_thread(
                        self._thread.seek_back, tp, fetched.tokens[tp], _first_offset(message)
                    )
                else:
                    self._must_seek = True

    async def _get_fetched(self, active: set[TP]) -> Fetched | None:
        fetched: Any = await self._getmany(active_partitions=active, timeout=FETCH_SECONDS)
        return fetched or None

    async def _seek_again(self) -> None:
        try:
            await self.commit()  # what is done need not be read again
            await self.perform_seek()
        except Exception as exc:
            # A rebalance is on its way, or the coordinator is being looked for.
            log.info("cannot seek to the committed offsets yet: %s", type(exc).__name__)
            await self.sleep(IDLE_SECONDS)

    def _messages(self, fetched: Fetched, generation: int) -> Iterator[tuple[TP, Any]]:
        transport = self.transport
        single: dict[TP, list[Any]] = {}
        for tp, records in fetched.records.items():
            changelog = self.app.tables._changelogs.get(tp.topic)
            if changelog is not None and getattr(changelog, "changelog_in_batches", False):
                # Recovery reads a changelog event's offset as "applied up to here".
                yield tp, batch_message(tp, records, generation, offset=records[-1].offset)
            elif tp.topic in transport.batch_topics:
                for chunk in split_batch(records, transport.max_batch_records, transport.max_batch_bytes):
                    yield tp, batch_message(tp, chunk, generation, offset=chunk[0].offset)
            else:
                single[tp] = records
        for tp, record in self.scheduler.iterate(single):
            yield tp, self._to_message(tp, record)

    async def _deliver(self, tp: TP, message: Any, token: Token, generation: int) -> bool:
        """Hand a message to its streams. False: it was valid but could not be delivered, so that its partition must be
        sought again.
        """
        if self._thread.token(tp) != token:
            return True  # moved: these are not the records to read next
        acking = self.app.topics.acks_enabled_for(tp.topic)
        if not self._may_deliver(tp, generation, acking):
            return False
        if acking:
            self._expect(tp, message, token)
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        await self.wait_first(self.callback(message), self.suspend_flow.wait())
        return self.flow_active and generation == self.app.consumer_generation_id

    def _may_deliver(self, tp: TP, generation: int, acking: bool) -> bool:
        return (
            self.flow_active
            and generation == self.app.consumer_generation_id
            and (not acking or self._sought_generation == generation)
            and (tp in self._get_active_partitions() or tp in self._buffered_partitions)
        )

    def _expect(self, tp: TP, message: Any, token: Token) -> None:
        """Enter a message among those that are to be acknowledged."""
        row = self._deliveries[tp]
        if self._delivery_token.get(tp) != token:
            row.clear()
            self._delivery_token[tp] = token
            self._abandoned.pop(tp, None)
        message.token = token
        last = getattr(message, "last_offset", message.offset)
        first = message.offset
        row.append((last, message))
        expected = self._next_offset.get(tp)
        if expected is not None and first > expected:
            self.transport.on_gap(tp, expected, first)
        self._next_offset[tp] = last + 1

    # -- position

    def has_read(self, tp: TP, offset: int) -> bool:
        """Whether reading is past an offset, be there a record or not: the last ones may have been compacted away."""
        position = self._thread.position_now(tp)
        return position is not None and position > offset

    async def perform_seek(self) -> None:
        """Go back to the committed offsets; what was read but not delivered is read again from there."""
        self._must_seek = False
        generation = self.app.consumer_generation_id
        try:
            committed: Mapping[TP, Any] = await self.seek_to_committed()
        except BaseException:
            self._must_seek = True
            raise
        for tp, offset in committed.items():
            self._read_offset[tp] = self._committed_offset[tp] = offset
            if offset is None:
                self._next_offset.pop(tp, None)
            else:
                self._next_offset[tp] = offset
        self._sought_generation = generation

    async def _seek(self, partition: TP, offset: int) -> None:
        tp = ensure_TP(partition)
        await self._thread.call_thread(self._thread.seek_now, tp, offset)
        self._next_offset[tp] = offset

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.stop_flow()  # recovery lets it run again
        self._deliveries.clear()
        self._delivery_token.clear()
        self._next_offset.clear()
        self._abandoned.clear()
        self._durable_offset.clear()
        self._buffered_partitions.clear()  # Faust keeps them, and would take a paused partition's records for wanted
        await super().on_partitions_assigned(assigned, generation_id)

    # -- acknowledging and committing

    def committed_offset(self, topic: str, partition: int) -> int:
        """Return up to which offset a partition is known to be committed since it was assigned: nothing before it comes again.

        What Faust remembers of commits includes those that failed.
        """
        return self._durable_offset.get(TP(topic, partition), 0)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done: bool = await super()._commit(offsets)
        if done:
            self._durable_offset.update(offsets)
        return done

    def ack(self, message: Any) -> bool:
        """Mark a message as processed: its offset, and all before it once they are marked too, may be committed."""
        with ack_lock:
            if message.acked or not message.tracked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            acking: bool = self.app.topics.acks_enabled_for(message.topic)
            if acking:
                self._acked[message.tp]  # commits look at the partitions of this mapping
            if isinstance(message, BatchMessage):
                message.value = None  # the records may go before the commit
            notify(self._waiting_for_ack)
            return acking

    def abandon(self, event: Any) -> None:
        """Let go of an event that cannot be processed now: a rebalance does not wait for it.

        If the partition is still this worker's, it is read again from the committed offset.
        """
        message = event.message
        token = getattr(message, "token", None)
        if token is not None and not self.is_obsolete(event):
            self._abandoned[message.tp] = token
            self._must_seek = True
        self._unacked_messages.discard(event.message)
        notify(self._waiting_for_ack)

    def is_obsolete(self, event: Any) -> bool:
        """Whether the event comes again, after earlier ones: its partition was moved, or an earlier event was let go."""
        tp, token = event.message.tp, getattr(event.message, "token", None)
        return token is not None and (token != self._delivery_token.get(tp) or token == self._abandoned.get(tp))

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        row = self._deliveries.get(tp)
        offset = None
        while row and row[0][1].acked:
            offset = row.popleft()[0] + 1
        return offset


def _first_offset(message: Any) -> int:
    first: int = message.value[0].offset if isinstance(message, BatchMessage) else message.offset
    return first


class IdempotentProducer(driver.Producer):
    """Faust's producer, with acks from all replicas and no duplicates from its own retries."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class Transport(driver.Transport):
    """The transport of one app, with the topics that its agents read in batches."""

    Consumer = BatchConsumer
    Producer = IdempotentProducer

    batch_topics: frozenset[str] = frozenset()
    max_batch_records = 2000
    max_batch_bytes = 4 * 1024 * 1024

    @classmethod
    def for_topics(
        cls, app: Any, topics: Iterable[str], *, max_records: int = 2000, max_bytes: int = 4 * 1024 * 1024
    ) -> "Transport":
        """Make the app read these topics in batches of at most so many records and bytes. To be called before the app
        starts.
        """
        transport = cls(app.conf.broker_consumer, app)
        transport.batch_topics = frozenset(topics)
        transport.max_batch_records = max_records
        transport.max_batch_bytes = max_bytes
        app.transport = transport
        return transport

    def on_gap(self, tp: TP, expected: int, found: int) -> None:
        """Records are missing before `found`: compacted, a transaction's marker, or deleted by retention before they
        were read.
        """
        log.warning("gap in %s-%d: expected offset %d, found %d", tp.topic, tp.partition, expected, found)
