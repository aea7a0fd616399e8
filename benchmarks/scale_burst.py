"""A burst of ten times the steady pace, for one worker: how far it falls behind, and how long until it has caught up."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.pipeline import broker_usage, whole_tickets
from benchmarks.result import Row
from benchmarks.support import BenchmarkError, Installation, lag_watch
from streams.bulk import Record, send_many
from streams.routes import partition_of
from streams.topics import TopicSet

STEADY_PER_SECOND, BURST_PER_SECOND = 200, 2_000
STEADY_SECONDS, BURST_SECONDS = 20, 30
QUICK_SECONDS = 5
CATCH_UP_SECONDS = 300
YEAR = 2026
SEND_EVERY_SECONDS = 0.05
POLL_SECONDS = 0.25
WARM_UP_SECONDS = 2.0


class Seen(NamedTuple):
    """How many records were not acknowledged at a moment, and the processor time used by then; seconds since the beginning."""

    at: float
    lag: int
    worker_seconds: float = 0.0
    broker_seconds: float = 0.0


class Cost(NamedTuple):
    """Processor time by event, in microseconds."""

    worker_us: float
    broker_us: float


def _cost(first: Seen, last: Seen, events: float) -> Cost:
    worker, broker = last.worker_seconds - first.worker_seconds, last.broker_seconds - first.broker_seconds
    return Cost(worker / events * 1e6, broker / events * 1e6)


class Surge(NamedTuple):
    """What was seen before, during and after a burst."""

    seen: tuple[Seen, ...]
    began_at: float
    ended_at: float
    steady_per_second: int = STEADY_PER_SECOND
    burst_per_second: int = BURST_PER_SECOND

    @property
    def steady(self) -> Cost:
        """Return what an event costs at the steady pace, from the second on which the worker has taken up."""
        before = [one for one in self.seen if WARM_UP_SECONDS <= one.at < self.began_at]
        return _cost(before[0], before[-1], self.steady_per_second * (before[-1].at - before[0].at))

    @property
    def in_burst(self) -> Cost:
        """Return what an event costs from the burst's beginning until nothing is left of it."""
        first = next(one for one in self.seen if one.at >= self.began_at)
        after = self.seen[-1].at - self.ended_at
        events = self.burst_per_second * (self.ended_at - first.at) + self.steady_per_second * after
        return _cost(first, self.seen[-1], events)

    @property
    def steady_lag(self) -> int:
        """Return the most that was behind at the steady pace: acknowledged once a second, some always are."""
        return max(one.lag for one in self.seen if one.at < self.began_at)

    @property
    def lag_max(self) -> int:
        """Return the most that was behind at all."""
        return max(one.lag for one in self.seen)

    @property
    def catch_up_seconds(self) -> float:
        """Return how long after the burst's end as little was behind as before it. Raises BenchmarkError where it never was."""
        for one in self.seen:
            if one.at >= self.ended_at and one.lag <= self.steady_lag:
                return one.at - self.ended_at
        raise BenchmarkError(f"the lag was not gone {self.seen[-1].at - self.ended_at:.0f} s after the burst")

    def rows(self) -> tuple[Row, ...]:
        """Return the figures."""
        return (
            Row("processor time of the worker in the burst", self.in_burst.worker_us, "µs/event"),
            Row("processor time of the broker in the burst", self.in_burst.broker_us, "µs/event"),
            Row("records not acknowledged at the steady pace, at most", self.steady_lag),
            Row("records not acknowledged in or after the burst, at most", self.lag_max),
            Row("from the burst's end until no more were than before it", self.catch_up_seconds, "s"),
        )

    def parameters(self) -> dict[str, str | int | float]:
        """Return how the burst was."""
        seconds = round(self.ended_at - self.began_at)
        return {"steady events/s": STEADY_PER_SECOND, "burst events/s": BURST_PER_SECOND, "seconds of burst": seconds}


class _Sender:
    """Sends at a pace, whatever becomes of what was sent, until told to stop."""

    def __init__(
        self, bootstrap_servers: str, topics: TopicSet, written: Sequence[bytes], stretches: Sequence[tuple[int, float]]
    ) -> None:
        self._bootstrap_servers, self._topics, self._written, self._stretches = (
            bootstrap_servers,
            topics,
            written,
            stretches,
        )
        self.began = 0.0
        self.stop = threading.Event()
        self.failed: BaseException | None = None
        self._keys = [line[line.index(b'"ticket_id":"') + 13 :].split(b'"', 1)[0] for line in written]

    def due(self, seconds: float) -> int:
        """Return how many are to be sent by then."""
        total = 0.0
        for per_second, lasting in self._stretches:
            total += per_second * min(seconds, lasting)
            seconds = max(0.0, seconds - lasting)
        return min(len(self._written), int(total))

    def run(self) -> None:
        """Send all, in this thread."""
        try:
            asyncio.run(self._send())
        except BaseException as error:
            self.failed = error
            raise

    async def _send(self) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap_servers, acks="all") as producer:
            self.began, done = time.monotonic(), 0
            while not self.stop.is_set() and done < len(self._written):
                upto = self.due(time.monotonic() - self.began)
                lanes: dict[int, list[Record]] = {}
                for number in range(done, upto):
                    key = self._keys[number]
                    where = partition_of(key.decode(), self._topics.partitions)
                    lanes.setdefault(where, []).append(Record(key, self._written[number]))
                await asyncio.gather(
                    *(send_many(producer, self._topics.ticket_events, *lane) for lane in lanes.items())
                )
                done = upto
                await asyncio.sleep(SEND_EVERY_SECONDS)


def burst(installation: Installation, *, quick: bool) -> Surge:
    """Return what one worker's lag did. Raises BenchmarkError where it never caught up."""
    steady, lasting = (QUICK_SECONDS, QUICK_SECONDS) if quick else (STEADY_SECONDS, BURST_SECONDS)
    stretches = ((STEADY_PER_SECOND, steady), (BURST_PER_SECOND, lasting), (STEADY_PER_SECOND, CATCH_UP_SECONDS))
    total = sum(per_second * seconds for per_second, seconds in stretches)
    topics = installation.topics
    sender = _Sender(installation.bootstrap_servers, topics, whole_tickets(int(total), YEAR, "B"), stretches)
    worker, _ = installation.worker(f"{topics.prefix}worker")
    worker.wait_for("worker ready")
    thread = threading.Thread(target=sender.run)
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    seen: list[Seen] = []
    with lag_watch(installation.bootstrap_servers, topics.worker_app_id, watched) as watch:
        watch.wait(worker.check, 60.0)
        thread.start()
        try:
            while not sender.began and sender.failed is None:
                time.sleep(0.01)
            while not _over(seen, steady, lasting) and sender.failed is None:
                worker.check()
                at, worker_used, broker_used = (
                    time.monotonic() - sender.began,
                    worker.usage(),
                    broker_usage(installation),
                )
                seen.append(Seen(at, watch.remaining(), worker_used.cpu_seconds, broker_used.cpu_seconds))
                time.sleep(POLL_SECONDS)
        finally:
            sender.stop.set()
            thread.join()
    worker.stop()
    if sender.failed is not None:
        raise BenchmarkError(f"the sender failed: {sender.failed}")
    return Surge(tuple(seen), steady, steady + lasting)


def _over(seen: Sequence[Seen], steady: float, lasting: float) -> bool:
    """Return whether the lag is gone after the burst, or will not go."""
    if not seen or seen[-1].at < steady + lasting:
        return False
    before = max((one.lag for one in seen if one.at < steady), default=0)
    return seen[-1].lag <= before or seen[-1].at > steady + lasting + CATCH_UP_SECONDS
