"""The worker of the campaign: every event reads and updates its key's state and is forwarded.

    python -m tests.campaign.worker BOOTSTRAP APP_ID DATADIR SOURCE OUTPUT PARTITIONS [DUMP]

With DUMP it writes all states of its table to that file once they are recovered, and exits.

A key's state: the source offset of its last event, how many events, and a hash over all of them in order. Losing,
doubling or reordering an event, or mixing an old state with a new one, gives another hash.
"""

import hashlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streams.bulk import Record, send_many
from streams.faust_app import batch_topic, die, make_app, producer_of, run_worker
from streams.tables import BulkTable
from streams.transport import each_batch

TABLE = "states"
TYPE_ID, SCHEMA = 7, 1

State = dict[str, Any]


def fold(state: State | None, offset: int, value: bytes) -> State | None:
    """The state after an event; None when the state has it already."""
    if state is None:
        state = {"offset": -1, "count": 0, "hash": ""}
    if offset <= state["offset"]:
        return None
    digest = hashlib.sha256(state["hash"].encode() + value).hexdigest()
    return {"offset": offset, "count": state["count"] + 1, "hash": digest}


def plain_run(events: Iterable[tuple[bytes, int, bytes]]) -> dict[bytes, State]:
    """The states after (key, offset, value) events in order: what every run with kills must come to."""
    states: dict[bytes, State] = {}
    for key, offset, value in events:
        after = fold(states.get(key), offset, value)
        if after is not None:
            states[key] = after
    return states


def make_worker(
    bootstrap_servers: str, app_id: str, datadir: Path, source: str, output: str, partitions: int
) -> tuple[Any, BulkTable]:
    app = make_app(
        app_id,
        bootstrap_servers=bootstrap_servers,
        datadir=datadir,
        batch_topics={source},
        max_batch_records=500,
        session_timeout_seconds=6.0,
        commit_interval_seconds=0.5,
    )
    table = app.tables.add(
        BulkTable(
            app,
            name=TABLE,
            partitions=partitions,
            type_id=TYPE_ID,
            schema=SCHEMA,
            die=die,
            alarm=lambda *args: print("ALARM", *args, flush=True),
        )
    )
    counts: dict[int, dict[bytes, int]] = {}

    @table.on_recovered
    def build(partition: int) -> None:
        counts[partition] = {key: json.loads(value)["count"] for key, value in table.partition_items(partition)}

    @table.on_revoked
    def drop(partition: int) -> None:
        del counts[partition]

    async def handle(partition: int, records: list[Any]) -> None:
        outputs = []
        for record in records:
            stored = table.get(partition, record.key)
            before = None if stored is None else json.loads(stored)
            if counts[partition].get(record.key, 0) != (0 if before is None else before["count"]):
                raise RuntimeError("what was built on recovery is not what the table has")
            after = fold(before, record.offset, record.value)
            if after is not None:
                table.put(partition, record.key, json.dumps(after).encode())
                counts[partition][record.key] = after["count"]
            outputs.append(Record(record.key, b"%d" % record.offset))
        producer = producer_of(app)
        await send_many(producer, output, partition, outputs)
        await table.flush(partition, producer)

    @app.agent(batch_topic(app, source), name="states")
    async def states(stream: Any) -> None:
        await each_batch(stream, handle, die)

    return app, table


def main() -> None:
    bootstrap_servers, app_id, datadir, source, output, partitions, *dump = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app, table = make_worker(bootstrap_servers, app_id, Path(datadir), source, output, int(partitions))

    def ready() -> None:
        print("READY", flush=True)
        if dump:
            states = {
                key.decode(): json.loads(value)
                for p in range(int(partitions))
                for key, value in table.partition_items(p)
            }
            Path(dump[0]).write_text(json.dumps(states))
            os.kill(os.getpid(), signal.SIGTERM)

    run_worker(app, loglevel="INFO", on_ready=ready)


if __name__ == "__main__":
    main()
