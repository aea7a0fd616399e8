"""Who sends, and when: for each subscriber a heap of heads, its own tasks, its own connections. Nobody waits for
another subscriber.

Rules
    - A head is here once: waiting in the heap, or in flight. In flight lasts from the start of the attempt until its
      record was folded into the table (`head` is then called with a head that differs), so a delivery is never sent
      twice at a time.
    - What is in here is made from the table: built when a partition is recovered, dropped when it is revoked. A revoked
      partition's attempts are cancelled.
    - After a failure one attempt at a time; each success allows one more, up to the subscriber's concurrency: a
      backlog is ramped, not dumped.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alerting.outbox import due_at
from alerting.outbox_state import Item
from alerting.record import attempt_record, disabled_record
from alerting.send import Answer, Clock
from alerting.stages import Attempt, attempt
from alerting.transport import EndpointClient
from models.delivery import DeliveryRecord, Outcome
from models.subscriber import Subscriber
from models.times import SECOND
from streams.batches import PartitionLostError
from streams.metrics_dispatch import DispatchMetrics

log = logging.getLogger(__name__)

Place = tuple[int, str]
"""Partition and case."""
WAIT_SECONDS_MAX = 30.0
"""The wall clock may be set while we wait."""


@dataclass(frozen=True, slots=True)
class Shell:
    """What a sender needs of the world around it."""

    clock: Clock
    retry_scale: float
    is_head: Callable[[int, str, str, str], bool]
    """Whether an alert still is the first one: by partition, case, subscriber and alert id. Raises PartitionLostError."""
    body: Callable[[int, str, str], bytes | None]
    """The JSON of an alert by partition, case and alert id. Raises PartitionLostError."""
    write: Callable[[int, DeliveryRecord], Awaitable[None]]
    """Produces a record to hw.deliveries and returns when it is durable."""
    die: Callable[[BaseException], None]
    metrics: DispatchMetrics


class Sender:
    """One subscriber's deliveries on this worker."""

    def __init__(self, subscriber: Subscriber, client: EndpointClient, shell: Shell) -> None:
        self.subscriber, self._client, self._shell = subscriber, client, shell
        self._waiting: dict[Place, tuple[int, Item]] = {}
        self._heap: list[tuple[int, int, Place]] = []
        self._numbers = itertools.count()
        self._in_flight: dict[Place, Item] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._calling: set[Place] = set()
        self._limit = 1
        self._gone = False
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Return how many calls are being made now."""
        return len(self._calling)

    def head(self, partition: int, case_id: str, item: Item | None) -> None:
        """Say what the head of a case's lane is now, None where the lane is empty."""
        place = (partition, case_id)
        if item is not None and self._in_flight.get(place) == item:
            return  # its attempt is under way, or its record on the way back
        self._in_flight.pop(place, None)
        due = None if item is None else due_at(item, self.subscriber)
        if item is None or due is None:
            self._waiting.pop(place, None)
            if item is not None:
                self._set_gone(True)
            return
        waiting = self._waiting.get(place)
        if waiting is not None and waiting[1] == item:
            return
        number = next(self._numbers)
        self._waiting[place] = (number, item)
        heapq.heappush(self._heap, (due, number, place))
        self._wake.set()

    def drop(self, partition: int) -> None:
        """Forget a partition and end its attempts."""
        for place in [place for place in self._waiting if place[0] == partition]:
            del self._waiting[place]
        for place in [place for place in self._in_flight if place[0] == partition]:
            del self._in_flight[place]
        for place, task in list(self._tasks.items()):
            if place[0] == partition:
                task.cancel()

    def start(self) -> None:
        """Begin to send; does nothing if it has begun."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name=f"send-{self.subscriber.name}")

    async def stop(self, drain_seconds: float) -> None:
        """Start nothing more, let what is under way end for so long, then cancel it."""
        if self._loop is not None:
            self._loop.cancel()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._client.aclose()

    async def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                pause = self._start_due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        except Exception as error:
            self._shell.die(error)

    def _start_due(self) -> float:
        """Start what is due, as far as the limit allows, and return for how many seconds to wait for the next."""
        while self._heap:
            due, number, place = self._heap[0]
            waiting = self._waiting.get(place)
            if waiting is None or waiting[0] != number:
                heapq.heappop(self._heap)  # overtaken
                continue
            wait = due - self._shell.clock()
            if wait > 0:
                return min(wait / SECOND, WAIT_SECONDS_MAX)
            if len(self._calling) >= self._limit or place in self._tasks:
                return WAIT_SECONDS_MAX  # the end of an attempt wakes us
            heapq.heappop(self._heap)
            del self._waiting[place]
            self._start_attempt(place, waiting[1])
        return WAIT_SECONDS_MAX

    def _start_attempt(self, place: Place, item: Item) -> None:
        self._in_flight[place] = item
        self._calling.add(place)
        task = asyncio.create_task(self._attempt(place, item))
        self._tasks[place] = task
        task.add_done_callback(lambda ended: self._ended(place, ended))

    def _ended(self, place: Place, task: asyncio.Task[None]) -> None:
        self._tasks.pop(place, None)
        self._calling.discard(place)  # cancelled before it began
        if task.cancelled() and place in self._in_flight:
            # Not by `drop`, which forgets the place first: a future was cancelled under it, and no record will come.
            self.head(*place, self._in_flight.pop(place))
        self._wake.set()

    async def _attempt(self, place: Place, item: Item) -> None:
        partition, case_id = place
        try:
            if not self._shell.is_head(partition, case_id, self.subscriber.name, item.alert_id):
                return  # delivered before a restart, as the agent is just reading: it will tell us the next head
            try:
                record = await self._try(partition, case_id, item)
            finally:
                self._calling.discard(place)  # the next call need not wait for this one's record
                self._wake.set()
            await self._shell.write(partition, record)
        except PartitionLostError:
            return  # another worker sends it
        except Exception as error:
            self._shell.die(error)

    async def _try(self, partition: int, case_id: str, item: Item) -> DeliveryRecord:
        name, endpoint_id = self.subscriber.name, self.subscriber.endpoint_id
        if self._gone:
            return disabled_record(case_id, name, endpoint_id, item)
        alert_json = self._shell.body(partition, case_id, item.alert_id)
        started_at = self._shell.clock()
        if alert_json is None:
            # Never left out in silence: it shows as pending with this outcome, and the alert itself is on hw.alerts.
            log.error("the body of a queued alert is missing: %s", item.alert_id)
            answer = Answer(Outcome.INTERNAL_ERROR)
            record = attempt_record(
                case_id, name, endpoint_id, item, answer, started_at, started_at, self._shell.retry_scale
            )
        else:
            due = Attempt(case_id, item, self.subscriber, alert_json)
            done = await attempt(due, self._client.http, self._shell.clock, self._shell.retry_scale)
            answer, record = done.answer, done.record
        self._learn(answer.outcome, item, started_at)
        return record

    def _learn(self, outcome: Outcome, item: Item, started_at: int) -> None:
        now = self._shell.clock()
        self._shell.metrics.attempted(self.subscriber.name, outcome, (now - started_at) / SECOND)
        if outcome is Outcome.ACCEPTED:
            self._limit = min(self._limit + 1, self.subscriber.concurrency)
            self._set_gone(False)
            if item.source_ts_ms is not None:
                self._shell.metrics.accepted(self.subscriber.name, now / SECOND - item.source_ts_ms / 1000)
        else:
            self._limit = 1
            if outcome is Outcome.GONE:
                self._set_gone(True)

    def _set_gone(self, gone: bool) -> None:
        self._gone = gone
        self._shell.metrics.disabled(self.subscriber.name, gone)
