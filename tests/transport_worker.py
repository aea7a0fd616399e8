"""A worker that forwards what it reads: python -m tests.transport_worker BOOTSTRAP APP_ID DATADIR SOURCE OUTPUT [hold]

With `hold` it never finishes the batch that has offset 10 of partition 0.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import streams.faust_app
from streams.bulk import Record, send_many
from streams.faust_app import die, producer_of, run_worker
from tests.faust_support import add_batch_agent, quick_app


class Deadly(list[BaseException]):
    def append(self, exc: BaseException) -> None:
        die(exc)


def main() -> None:
    bootstrap_servers, app_id, datadir, source, output, *mode = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    streams.faust_app.STOP_SECONDS = 3.0
    app = quick_app(bootstrap_servers, app_id, Path(datadir), {source}, max_batch_records=5)

    async def forward(partition: int, records: list[Any]) -> None:
        if mode and partition == 0 and any(record.offset == 10 for record in records):
            print("HOLDING", flush=True)
            await asyncio.Event().wait()
        await send_many(producer_of(app), output, partition, [Record(record.key, record.value) for record in records])

    add_batch_agent(app, source, forward, Deadly())
    run_worker(app, on_ready=lambda: print("READY", flush=True))


if __name__ == "__main__":
    main()
