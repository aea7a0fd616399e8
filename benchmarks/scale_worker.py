"""The service's worker, with the processor time of each hop's own work kept in a file.

    python -m benchmarks.scale_worker FILE

Only what a hop does with a batch is counted for it (decoding, state, rules, encoding), by the thread's own clock: it is one call without
an await. What moves the records is shared by all hops and is the rest of the process: Kafka client, changelog, RocksDB's writes, threads.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from streams import worker
from streams.citizen_partition import CitizenPartition
from streams.intake import Intake
from streams.metrics_flow import Stage
from streams.settings import Settings
from streams.ticket_partition import TicketPartition

WRITE_SECONDS = 0.2
HOPS: tuple[tuple[type, Stage], ...] = (
    (Intake, Stage.INTAKE),
    (TicketPartition, Stage.TICKETS),
    (CitizenPartition, Stage.CITIZENS),
)


def meter(owner: type, stage: Stage, spent: dict[str, float]) -> None:
    """Let each call of the hop's `handle` add its processor time, in seconds."""
    handle = owner.handle  # type: ignore[attr-defined]
    spent[stage.value] = 0.0

    def metered(self: Any, *arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return handle(self, *arguments)
        finally:
            spent[stage.value] += time.thread_time() - began

    owner.handle = metered  # type: ignore[attr-defined]


def _keep(spent: dict[str, float], file: Path) -> None:
    fresh = file.with_suffix(".new")
    while True:
        fresh.write_bytes(orjson.dumps(spent))
        fresh.replace(file)
        time.sleep(WRITE_SECONDS)


def main() -> None:
    """Run a worker as the environment says, until SIGTERM."""
    spent: dict[str, float] = {}
    for owner, stage in HOPS:
        meter(owner, stage, spent)
    threading.Thread(target=_keep, args=(spent, Path(sys.argv[1])), daemon=True).start()
    worker.run(Settings())


if __name__ == "__main__":
    main()
