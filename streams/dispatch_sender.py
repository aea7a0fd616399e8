"""Who sends, and when: for each subscriber a heap of heads, its own tasks, its own connections. Nobody waits for
another subscriber.

Rules
    - A head is here once: waiting in the heap, or in flight. In flight lasts from the start of the attempt until its
      record was folded into the table (`head` is then called with a head that differs), so a delivery is never sent
      twice at a time.
    - Only where a head stands is kept here, and when it is due; what it is, is read from the table when its time has
      come: a dead endpoint may have hundreds of thousands.
    - What is in here is made from the table: built when a partition is recovered, dropped when it is revoked. A revoked
      partition's attempts are cancelled.
    - After a failure one attempt at a time; each success allows one more, up to the subscriber's concurrency: a
      backlog is ramped, not dumped. While the breaker is open nobody is called.
    - What is due together for a chat group goes in one message.
    - Without a directory (the unit registry is missing or broken) nothing starts.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from alerting.breaker import Breaker
from alerting.directory import Directory
from alerting.outbox import due_at, on_this_clock
from alerting.outbox_state import Item
from alerting.rate import Rate
from alerting.record import attempt_record, disabled_record
from alerting.send import Answer, Clock
from alerting.stages import Due, attempt
from alerting.transport import EndpointClient
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome
from models.subscriber import Subscriber
from models.times import SECOND
from streams.batches import PartitionLostError
from streams.failpoints import Failpoint, reached
from streams.metrics_dispatch import DispatchMetrics

log = logging.getLogger(__name__)

Place = tuple[int, str]
"""Partition and case."""
WAIT_SECONDS_MAX = 30.0
STEP_BACK_MIN = 5 * SECOND
"""The least step of the clock backwards that is taken for one."""
"""The wall clock may be set while we wait."""
BUNDLE_MAX = 20
"""Deliveries in one message to a chat group."""


@dataclass(frozen=True, slots=True)
class Shell:
    """What a sender needs of the world around it."""

    clock: Clock
    retry_scale: float
    directory: Callable[[], Directory | None]
    """What is in force now; None: nothing may be sent."""
    queue: Callable[[int, str, str], tuple[Item, ...]]
    """A lane's queue by partition, case and subscriber. Raises PartitionLostError."""
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
        self._waiting: dict[Place, tuple[int, bool]] = {}
        """Number in the heap, and whether it was tried before."""
        self._heap: list[tuple[int, int, Place]] = []
        self._stopped: set[Place] = set()
        """Heads whose endpoint is gone, or whom the guard refuses."""
        self._since: dict[Place, int] = {}
        """When each head was queued, whatever it waits for."""
        self._numbers = itertools.count()
        self._in_flight: dict[Place, frozenset[tuple[str, str, int, str | None]]] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._calling: set[Place] = set()
        self._limit = 1
        self._breaker = Breaker()
        self._rate = Rate(subscriber.rate_per_minute)
        self._gone = False
        self._clock_before = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Return how many deliveries are being tried now."""
        return len(self._calling)

    def oldest(self) -> int | None:
        """Return when the delivery was queued that has waited longest, None where none waits; looks at every head."""
        return min(self._since.values(), default=None)

    def head(self, partition: int, case_id: str, item: Item | None) -> None:
        """Say what the head of a case's lane is now, None where the lane is empty."""
        place = (partition, case_id)
        if item is None:
            self._since.pop(place, None)
        else:
            self._since[place] = item.enqueued_at
        if item is not None and item.try_key in self._in_flight.get(place, ()):
            return  # its attempt is under way, or its record on the way back
        self._in_flight.pop(place, None)
        self._stopped.discard(place)
        if item is None:
            self._waiting.pop(place, None)
            return
        directory = self._shell.directory()
        due = due_at(item, self.subscriber, directory.registry.version if directory else None)
        if due is None:
            self._waiting.pop(place, None)
            self._stopped.add(place)
            if item.status is DeliveryStatus.DISABLED:
                self._set_gone(True)
            return
        self._wait(place, on_this_clock(item, due, self._shell.clock()), item.attempts > 0)

    def _wait(self, place: Place, due: int, tried: bool) -> None:
        number = next(self._numbers)
        self._waiting[place] = (number, tried)
        heapq.heappush(self._heap, (due, number, place))
        self._wake.set()

    def drop(self, partition: int) -> None:
        """Forget a partition and end its attempts."""
        self._waiting = {place: waiting for place, waiting in self._waiting.items() if place[0] != partition}
        self._in_flight = {place: keys for place, keys in self._in_flight.items() if place[0] != partition}
        self._stopped = {place for place in self._stopped if place[0] != partition}
        self._since = {place: since for place, since in self._since.items() if place[0] != partition}
        for place, task in list(self._tasks.items()):
            if place[0] == partition:
                task.cancel()

    def reconfigure(self, subscriber: Subscriber, client: EndpointClient | None) -> None:
        """Go on with another entry, and another client where the endpoint is another; what waits goes on waiting."""
        if client is not None:
            old, self._client = self._client, client
            closing = asyncio.create_task(self._close(old, list(self._tasks.values())))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._breaker = Breaker()
            self._shell.metrics.breaker(subscriber.name, False)
            self._set_gone(False)
        self.subscriber = subscriber
        self._rate = replace(self._rate, per_minute=subscriber.rate_per_minute)
        self.directory_changed()

    @staticmethod
    async def _close(client: EndpointClient, tasks: list[asyncio.Task[None]]) -> None:
        if tasks:
            await asyncio.wait(tasks)
        await client.aclose()

    def directory_changed(self) -> None:
        """Look again at what was stopped: another endpoint, or another registry, may let it go."""
        self._look_again(list(self._stopped))
        self._wake.set()

    def start(self) -> None:
        """Begin to send; does nothing if it has begun."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name=f"send-{self.subscriber.name}")

    async def stop(self, drain_seconds: float) -> None:
        """Start nothing more, let what is under way end for so long, then cancel it."""
        if self._loop is not None:
            self._loop.cancel()
        tasks = list(set(self._tasks.values()))
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._client.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

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
        """Start what is due, as far as endpoint and limits allow, and return for how many seconds to wait."""
        self._look_at_clock()
        if self._shell.directory() is None or not self.subscriber.enabled:
            return WAIT_SECONDS_MAX  # a change of the directory wakes us
        while self._heap:
            due, number, place = self._heap[0]
            waiting = self._waiting.get(place)
            if waiting is None or waiting[0] != number:
                heapq.heappop(self._heap)  # overtaken
                continue
            now = self._shell.clock()
            wait = max(due, self._breaker.ready_at(), self._rate.next_at) - now
            if wait > 0:
                return min(wait / SECOND, WAIT_SECONDS_MAX)
            busy = len({self._tasks[one] for one in self._calling if one in self._tasks})
            if busy >= self._limit or place in self._tasks:
                return WAIT_SECONDS_MAX  # the end of an attempt wakes us
            self._rate = self._rate.after_call(now)
            self._start_attempt(self._take(now))
        return WAIT_SECONDS_MAX

    def _look_at_clock(self) -> None:
        """Where the machine's clock was put back, put back what waits for an instant of it, or it would wait for that much longer."""
        now, before = self._shell.clock(), self._clock_before
        self._clock_before = now
        if before - now < STEP_BACK_MIN:
            return
        log.warning("the clock went back by %d s", (before - now) // SECOND)
        self._breaker = self._breaker.moved(now - before)
        self._rate = replace(self._rate, next_at=max(self._rate.next_at + now - before, 0))
        self._look_again(list(self._waiting))

    def _look_again(self, places: list[Place]) -> None:
        for partition, case_id in places:
            with contextlib.suppress(PartitionLostError):
                queue = self._shell.queue(partition, case_id, self.subscriber.name)
                self.head(partition, case_id, queue[0] if queue else None)

    def _take(self, now: int) -> list[Place]:
        """Return the place to try next; for a chat group all that are due, as many as fit."""
        most = BUNDLE_MAX if self.subscriber.format.is_chat else 1
        places: list[Place] = []
        while self._heap and len(places) < most and self._heap[0][0] <= now:
            _, number, place = self._heap[0]
            waiting = self._waiting.get(place)
            if waiting is not None and waiting[0] == number and place in self._tasks:
                break
            heapq.heappop(self._heap)
            if waiting is not None and waiting[0] == number:
                del self._waiting[place]
                places.append(place)
        return places

    def _start_attempt(self, places: list[Place]) -> None:
        dues = [due for place in places for due in self._due(place)]
        places = list(dict.fromkeys(place for place, _ in dues))
        if not dues:
            return  # delivered before a restart, as the agent is just reading: it will tell us the next head
        self._calling.update(places)
        task = asyncio.create_task(self._attempt(places, dues))
        for place in places:
            self._tasks[place] = task
        task.add_done_callback(lambda ended: self._ended(places, ended))

    def _ended(self, places: list[Place], task: asyncio.Task[None]) -> None:
        for place in places:
            self._tasks.pop(place, None)
            self._calling.discard(place)  # cancelled before it began
            if task.cancelled() and place in self._in_flight:
                # Not by `drop`, which forgets the place first: a future was cancelled under it, no record will come.
                del self._in_flight[place]
                self._wait(place, self._shell.clock(), True)
        self._wake.set()

    async def _attempt(self, places: list[Place], dues: list[tuple[Place, Item]]) -> None:
        try:
            try:
                records = await self._try(dues)
            finally:
                self._calling.difference_update(places)  # the next call need not wait for this one's record
                self._wake.set()
            reached(Failpoint.AFTER_CALL)
            for (partition, _), record in records:
                await self._shell.write(partition, record)
            reached(Failpoint.AFTER_RECORD)
        except PartitionLostError:
            return  # another worker sends it
        except Exception as error:
            self._shell.die(error)

    def _due(self, place: Place) -> list[tuple[Place, Item]]:
        """Return what is to be tried of a lane: its head; for a chat group all of it that waits for nothing else."""
        try:
            queue = self._shell.queue(*place, self.subscriber.name)
        except PartitionLostError:
            return []  # another worker sends it
        chosen = queue[:BUNDLE_MAX] if self.subscriber.format.is_chat else queue[:1]
        self._in_flight[place] = frozenset(item.try_key for item in chosen)
        return [(place, item) for item in chosen]

    async def _try(self, dues: list[tuple[Place, Item]]) -> list[tuple[Place, DeliveryRecord]]:
        subscriber = self.subscriber
        name, endpoint_id = subscriber.name, subscriber.endpoint_id
        if self._gone:
            return [(place, disabled_record(place[1], name, endpoint_id, item)) for place, item in dues]
        found: list[tuple[Place, DeliveryRecord]] = []
        ready: list[tuple[Place, Due]] = []
        for place, item in dues:
            alert_json = self._shell.body(*place, item.alert_id)
            if alert_json is None:
                found.append((place, self._without_body(place, item)))
            else:
                ready.append((place, Due(place[1], item, alert_json)))
        directory = self._shell.directory()
        if not ready or directory is None:
            for place, due in ready:  # the registry went away in between
                self._in_flight.pop(place, None)
                self._wait(place, self._shell.clock(), due.item.attempts > 0)
            return found
        places = {(due.case_id, *due.item.name): place for place, due in ready}
        reached(Failpoint.BEFORE_CALL)
        started_at = self._shell.clock()
        done = await attempt(
            [due for _, due in ready],
            subscriber,
            directory,
            self._client.http,
            self._shell.clock,
            self._shell.retry_scale,
        )
        for record in done.records:
            found.append((places[record.case_id, record.alert_id, record.mark], record))
            if record.outcome is Outcome.CONFLICT:
                log.error("the conflict guard stopped %s on its way to %s", record.alert_id, name)
                self._shell.metrics.refused(name)
        if done.answer is not None:
            self._learn(done.answer, [due.item for _, due in ready], started_at, endpoint_id)
        return found

    def _without_body(self, place: Place, item: Item) -> DeliveryRecord:
        # Never left out in silence: it shows as pending with this outcome, and the alert itself is on hw.alerts.
        log.error("the body of a queued alert is missing: %s", item.alert_id)
        now, subscriber = self._shell.clock(), self.subscriber
        self._shell.metrics.attempted(subscriber.name, Outcome.INTERNAL_ERROR, 0)
        return attempt_record(
            place[1],
            subscriber.name,
            subscriber.endpoint_id,
            item,
            Answer(Outcome.INTERNAL_ERROR),
            now,
            now,
            self._shell.retry_scale,
        )

    def _learn(self, answer: Answer, items: list[Item], started_at: int, endpoint_id: str) -> None:
        now, name = self._shell.clock(), self.subscriber.name
        was_open = self._breaker.is_open
        self._breaker = self._breaker.after(answer.outcome, now, answer.retry_after, self._shell.retry_scale)
        self._shell.metrics.attempted(name, answer.outcome, (now - started_at) / SECOND)
        self._shell.metrics.breaker(name, self._breaker.is_open)
        if answer.outcome is Outcome.ACCEPTED:
            self._limit = min(self._limit + 1, self.subscriber.concurrency)
            self._set_gone(False)
            for item in items:
                if item.source_ts_ms is not None:
                    self._shell.metrics.accepted(name, now / SECOND - item.source_ts_ms / 1000)
            if was_open:
                self._pull_forward(now)
        else:
            self._limit = 1
            if answer.outcome is Outcome.GONE and endpoint_id == self.subscriber.endpoint_id:
                self._set_gone(True)  # not where another endpoint has taken this one's place during the call

    def _pull_forward(self, now: int) -> None:
        """The endpoint is back: what failed with it need not wait for its own schedule."""
        for place, (_, tried) in list(self._waiting.items()):
            if tried:
                self._wait(place, now, True)

    def _set_gone(self, gone: bool) -> None:
        self._gone = gone
        self._shell.metrics.disabled(self.subscriber.name, gone)
