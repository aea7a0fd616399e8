"""The job on stock Faust, as its documentation would have one write it.

    python -m benchmarks.peers.stock_faust NAME BOOTSTRAP SOURCE PARTITIONS DATADIR

RocksDB tables with changelogs, at least once by name. A send is not awaited before the acknowledgement, so a crash may lose it.
"""

from typing import Any

import faust
import uvloop

from benchmarks.peers import job
from benchmarks.peers.host import CITIZENS, COMMIT_SECONDS, TICKETS, FirstRecord, Host


class StockJob:
    """The two agents. Faust decides the table's partition by the event that is being processed."""

    def __init__(self, app: Any, host: Host) -> None:
        self._first = FirstRecord()
        source = _topic(app, host.source)
        self._to_citizens, self._to_warnings = (_topic(app, name) for name in (host.citizens, host.warnings))
        self._tickets, self._citizens = (
            app.Table(name, partitions=host.partitions, key_type=bytes, value_type=bytes)
            for name in (TICKETS, CITIZENS)
        )
        app.agent(source, name="judge")(self._judge)
        app.agent(self._to_citizens, name="compare")(self._compare)

    async def _judge(self, stream: Any) -> None:
        async for value in stream:
            self._first()
            event = job.decode(value)
            if event is None:
                continue
            key = event.ticket_id.encode()
            step = job.on_event(job.decode_ticket(self._tickets.get(key)), event)
            self._tickets[key] = job.encode_ticket(step.state)
            await self._warn(step.warnings)
            if step.claim is not None:
                await self._to_citizens.send(key=step.claim.citizen.encode(), value=job.encode_claim(step.claim))

    async def _compare(self, stream: Any) -> None:
        async for value in stream:
            claim = job.decode_claim(value)
            key = claim.citizen.encode()
            state, warnings = job.on_claim(job.decode_citizen(self._citizens.get(key)), claim)
            self._citizens[key] = job.encode_citizen(state)
            await self._warn(warnings)

    async def _warn(self, warnings: tuple[job.Warned, ...]) -> None:
        for one in warnings:
            await self._to_warnings.send(key=one.key, value=one.value)


def _topic(app: Any, name: str) -> Any:
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def main() -> None:
    """Run the job as the arguments say, until SIGTERM."""
    host = Host.from_arguments()
    app = faust.App(
        host.group,
        broker=f"kafka://{host.bootstrap_servers}",
        store="rocksdb://",
        datadir=str(host.datadir),
        autodiscover=False,
        topic_partitions=host.partitions,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=COMMIT_SECONDS,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    StockJob(app, host)
    worker: Any = app.Worker(loop=uvloop.new_event_loop(), loglevel="WARNING", quiet=True, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
