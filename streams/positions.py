"""The consumer's thread: where partitions are read, and where their positions are moved.

See the theory at the head of transport.py.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka.consumer.subscription_state import TopicPartitionState
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

log = logging.getLogger(__name__)

#: What says whether a partition was moved: the assignment it belongs to, and how often it was sought.
Token = tuple[Any, int]

FETCH_MAX_WAIT_MS = 250


class Fetched(NamedTuple):
    """Records as they left aiokafka, with each partition's token at that moment."""

    records: Mapping[TP, list[Any]]
    tokens: Mapping[TP, Token]


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread, which counts the moves of each partition."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._moves: dict[TP, int] = defaultdict(int)

    def token(self, tp: TP) -> Token:
        subscription = self._ensure_consumer()._subscription.subscription
        return (subscription and subscription.assignment), self._moves.get(tp, 0)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # A fetch that waits at the broker delays the reading of partitions resumed meanwhile; Faust fixes it at 1.5 s.
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Look whether a partition is stuck, and if so say so in the log.

        Stock Faust's look crashes the worker where a partition is being moved just then and has no position: after a
        rebalance, on a machine that is slow.
        """
        try:
            super().verify_event_path(now, tp)
        except (AssertionError, AttributeError) as exc:
            log.info("%s-%d is being moved: not looked at (%s)", tp.topic, tp.partition, type(exc).__name__)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(*args, **kwargs)
        if not records:
            return None
        # No await since the records left the fetcher: the tokens are those of this very moment.
        records = {ensure_TP(tp): batch for tp, batch in records.items()}
        return Fetched(records, {tp: self.token(tp) for tp in records})

    def position_now(self, tp: TP) -> int | None:
        """Return the offset that is read next; None where the partition is not assigned, or where that is not known yet."""
        assignment, _ = self.token(tp)
        state: TopicPartitionState | None = assignment and assignment.state_value(driver.ensure_aiokafka_TP(tp))
        return None if state is None else state._position  # one read: the thread may change it meanwhile

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        for tp in partitions:
            self._moves[ensure_TP(tp)] += 1
        await super()._seek_wait(consumer, partitions)

    async def seek_now(self, tp: TP, offset: int) -> None:
        """Move one partition; to be called in the thread."""
        self._moves[tp] += 1
        self._ensure_consumer().seek(driver.ensure_aiokafka_TP(tp), offset)

    async def seek_back(self, tp: TP, token: Token, offset: int) -> None:
        """Move one partition back to an offset, unless it was moved since the token was taken; to be called in the thread."""
        if self.token(tp) == token:
            await self.seek_now(tp, offset)

    async def seek_to_committed(self) -> Mapping[TP, Any]:
        """Move all partitions but the changelogs to their committed offset, or to their beginning; return the committed
        offsets.
        """
        offsets: Mapping[TP, int | None] = await self.call_thread(self._seek_sources)
        return offsets

    async def _seek_sources(self) -> Mapping[TP, int | None]:
        consumer = self._ensure_consumer()
        changelogs = self.app.tables.changelog_topics
        tps = [tp for tp in consumer.assignment() if tp.topic not in changelogs]
        committed = dict(zip(tps, await asyncio.gather(*(consumer.committed(tp) for tp in tps)), strict=True))
        for tp, offset in committed.items():
            if offset is not None:
                self._moves[ensure_TP(tp)] += 1
                consumer.seek(tp, offset)
        fresh = [tp for tp, offset in committed.items() if offset is None]
        if fresh:
            for tp in fresh:
                self._moves[ensure_TP(tp)] += 1
            await consumer.seek_to_beginning(*fresh)
        return {ensure_TP(tp): offset for tp, offset in committed.items()}
