"""The job on the engine under the service: batches of a partition, bulk tables in RocksDB, every effect durable before its record is
acknowledged.

    python -m benchmarks.peers.ours NAME BOOTSTRAP SOURCE PARTITIONS DATADIR

Warnings and claims go out first, then the state that remembers them: a crash in between does both again, under the same ids.
"""

import asyncio
import gc
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.peers import job
from benchmarks.peers.host import CITIZENS, COMMIT_SECONDS, TICKETS, FirstRecord, Host
from streams.allocator import share_arenas
from streams.batches import each_batch
from streams.bulk import Record, send_many
from streams.faust_app import batch_topic, die, make_app, producer_of, run_worker
from streams.routes import partition_of
from streams.tables import BulkTable


class OurJob:
    """The two agents."""

    def __init__(self, host: Host, *, on_death: Callable[[BaseException], Any] = die, **settings: Any) -> None:
        """`settings` are those of `make_app`; `on_death` is called when nothing may be committed any more."""
        self._host = host
        self._first = FirstRecord()
        self.app = make_app(
            host.group,
            bootstrap_servers=host.bootstrap_servers,
            datadir=host.datadir,
            batch_topics=(host.source, host.citizens),
            commit_interval_seconds=COMMIT_SECONDS,
            **settings,
        )
        self._tickets, self._citizens = (
            self._table(name, number, on_death) for number, name in enumerate((TICKETS, CITIZENS), 1)
        )

        async def judge(stream: Any) -> None:
            await each_batch(stream, self._judge, on_death)

        async def compare(stream: Any) -> None:
            await each_batch(stream, self._compare, on_death)

        for topic, agent in ((host.source, judge), (host.citizens, compare)):
            self.app.agent(batch_topic(self.app, topic), name=f"{topic}-agent", concurrency=1)(agent)

    def _table(self, name: str, type_id: int, on_death: Callable[[BaseException], Any]) -> BulkTable:
        table = BulkTable(
            self.app, name=name, partitions=self._host.partitions, type_id=type_id, schema=1, die=on_death
        )
        self.app.tables.add(table)
        return table

    async def _judge(self, partition: int, records: list[Any]) -> None:
        self._first()
        states: dict[str, job.TicketState] = {}
        warnings: list[job.Warned] = []
        claims: list[job.Claim] = []
        for record in records:
            event = job.decode(record.value)
            if event is None:
                continue
            state = states.get(event.ticket_id)
            if state is None:
                state = job.decode_ticket(self._tickets.get(partition, event.ticket_id.encode()))
            step = job.on_event(state, event)
            states[event.ticket_id] = step.state
            warnings += step.warnings
            if step.claim is not None:
                claims.append(step.claim)
        await self._send(partition, warnings, claims)
        for key, state in states.items():
            self._tickets.put(partition, key.encode(), job.encode_ticket(state))
        await self._tickets.flush(partition, producer_of(self.app))

    async def _compare(self, partition: int, records: list[Any]) -> None:
        states: dict[str, job.CitizenState] = {}
        warnings: list[job.Warned] = []
        for record in records:
            claim = job.decode_claim(record.value)
            state = states.get(claim.citizen)
            if state is None:
                state = job.decode_citizen(self._citizens.get(partition, claim.citizen.encode()))
            states[claim.citizen], more = job.on_claim(state, claim)
            warnings += more
        await self._send(partition, warnings, ())
        for key, state in states.items():
            self._citizens.put(partition, key.encode(), job.encode_citizen(state))
        await self._citizens.flush(partition, producer_of(self.app))

    async def _send(self, partition: int, warnings: list[job.Warned], claims: Iterable[job.Claim]) -> None:
        lanes: dict[tuple[str, int], list[Record]] = {}
        if warnings:
            lanes[self._host.warnings, partition] = [Record(one.key, one.value) for one in warnings]
        for claim in claims:
            lane = self._host.citizens, partition_of(claim.citizen, self._host.partitions)
            lanes.setdefault(lane, []).append(Record(claim.citizen.encode(), job.encode_claim(claim)))
        producer = producer_of(self.app)
        await asyncio.gather(*(send_many(producer, *lane, records) for lane, records in lanes.items()))


def _settle() -> None:
    """Look for cycles rarely, as the service's worker does: what is there now stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def main() -> None:
    """Run the job as the arguments say, until SIGTERM."""
    share_arenas()
    run_worker(OurJob(Host.from_arguments()).app, on_ready=_settle)


if __name__ == "__main__":
    main()
