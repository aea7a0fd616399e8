"""A worker that recovers a table: python -m tests.recovery_worker BOOTSTRAP APP_ID DATADIR [unanswered]

With `unanswered` nobody answers its question how far the changelogs reach.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from streams.faust_app import die, run_worker
from streams.tables import BulkTable
from streams.transport import BatchConsumer
from tests.faust_support import quick_app


async def unanswered(*_: Any) -> None:
    await asyncio.Event().wait()


def main() -> None:
    bootstrap_servers, app_id, datadir, *mode = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    settings = {"broker_request_timeout": 6.0} if mode else {}
    app = quick_app(bootstrap_servers, app_id, Path(datadir), set(), **settings)
    app.tables.add(BulkTable(app, name="states", partitions=2, type_id=3, schema=2, die=die))
    if mode:
        BatchConsumer.highwaters = unanswered  # type: ignore[assignment,method-assign]
    run_worker(app, on_ready=lambda: print("READY", flush=True))


if __name__ == "__main__":
    main()
