"""The job in a bare aiokafka loop with its states in dicts: the floor, and no service. A crash loses every state.

    python -m benchmarks.peers.bare NAME BOOTSTRAP SOURCE PARTITIONS DATADIR

Every send is awaited before the positions are committed.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers import job
from benchmarks.peers.host import COMMIT_SECONDS, FirstRecord, Host
from streams.bulk import Record, send_many
from streams.routes import partition_of

RECORDS_MAX = 2_000


class BareJob:
    """The loop and its dicts."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._first = FirstRecord()
        self._tickets: dict[str, job.TicketState] = {}
        self._citizens: dict[str, job.CitizenState] = {}

    async def run(self, stopping: Callable[[], bool]) -> None:
        """Take what comes until told to stop."""
        host = self._host
        consumer = AIOKafkaConsumer(
            host.source,
            host.citizens,
            bootstrap_servers=host.bootstrap_servers,
            group_id=host.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        producer = AIOKafkaProducer(bootstrap_servers=host.bootstrap_servers, acks="all", enable_idempotence=True)
        async with consumer, producer:
            loop = asyncio.get_running_loop()
            committed_at, done = loop.time(), 0
            while not stopping():
                fetched = await consumer.getmany(timeout_ms=100, max_records=RECORDS_MAX)
                await self._take(producer, [record for records in fetched.values() for record in records])
                done += sum(map(len, fetched.values()))
                if done and loop.time() - committed_at > COMMIT_SECONDS:
                    await consumer.commit()
                    committed_at, done = loop.time(), 0

    async def _take(self, producer: AIOKafkaProducer, records: list[Any]) -> None:
        lanes: dict[tuple[str, int], list[Record]] = {}
        if records:
            self._first()
        for record in records:
            warnings = (
                self._compare(record.value) if record.topic == self._host.citizens else self._judge(record.value, lanes)
            )
            for one in warnings:
                lanes.setdefault((self._host.warnings, record.partition), []).append(Record(one.key, one.value))
        await asyncio.gather(*(send_many(producer, *lane, records) for lane, records in lanes.items()))

    def _judge(self, value: bytes, lanes: dict[tuple[str, int], list[Record]]) -> tuple[job.Warned, ...]:
        event = job.decode(value)
        if event is None:
            return ()
        step = job.on_event(self._tickets.get(event.ticket_id, job.TicketState()), event)
        self._tickets[event.ticket_id] = step.state
        if (claim := step.claim) is not None:
            lane = self._host.citizens, partition_of(claim.citizen, self._host.partitions)
            lanes.setdefault(lane, []).append(Record(claim.citizen.encode(), job.encode_claim(claim)))
        return step.warnings

    def _compare(self, value: bytes) -> tuple[job.Warned, ...]:
        claim = job.decode_claim(value)
        state, warnings = job.on_claim(self._citizens.get(claim.citizen, job.CitizenState()), claim)
        self._citizens[claim.citizen] = state
        return warnings


async def _until_stopped(host: Host) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await BareJob(host).run(stopped.is_set)


def main() -> None:
    """Run the job as the arguments say, until SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(Host.from_arguments()))


if __name__ == "__main__":
    main()
