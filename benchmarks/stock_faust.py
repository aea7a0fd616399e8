"""The same job on stock Faust, as its documentation would have one write it: the baseline of the pipeline benchmark.

    python -m benchmarks.stock_faust BOOTSTRAP TOPIC PARTITIONS DATADIR

Same core functions, same messages, same event loop, RocksDB tables with changelogs, at least once, offsets committed every
second. It does less than the service: a send is not awaited before the acknowledgement, so a crash may lose it (stock
Faust manages 80 events/s when it is); nothing is owed in the state, nothing is quarantined, nothing is measured.
"""

import heapq
import os
import sys
from collections import defaultdict
from typing import Any

import faust
import uvloop

from models.alert import Alert
from models.decode import Rejected, check_not_ahead, decode_event
from rules import citizens as citizen_rules
from rules import state as ticket_rules
from rules.engine import Engine
from rules.intake import Reader, to_event
from rules.matter import MatterConfig
from rules.messages import ClaimMessage, EventMessage, MembersMessage, RepeatMessage, decode, encode
from rules.pack import default_pack
from rules.pseudonym import PseudonymKey
from rules.text.screen import Screener
from rules.tickets import Step, on_message, on_time

APP_ID = "stock"
TICKETS, CITIZENS, ALERTS = "stock-tickets", "stock-citizens", "stock-alerts"


class StockJob:
    """The three agents. Faust decides the table's partition by the event that is being processed."""

    def __init__(self, app: Any, source: str, partitions: int) -> None:
        pack = default_pack()
        self._engine = Engine(pack)
        self._reader = Reader(Screener(pack.lexicon))
        self._keys = [PseudonymKey("k1", os.urandom(32))]
        self._matter = MatterConfig()
        self._clocks: dict[int, int] = defaultdict(int)
        self._deadlines: dict[int, list[tuple[int, str]]] = defaultdict(list)
        self._source = _topic(app, source, internal=False)
        self._to_tickets, self._to_citizens, self._to_alerts = (
            _topic(app, name, internal=True, partitions=partitions) for name in (TICKETS, CITIZENS, ALERTS)
        )
        self._tickets, self._citizens = (
            app.Table(name, partitions=partitions, key_type=bytes, value_type=bytes) for name in ("tickets", "citizens")
        )
        app.agent(self._source, name="intake")(self._take_in)
        app.agent(self._to_tickets, name="tickets")(self._judge)
        app.agent(self._to_citizens, name="citizens")(self._compare)

    async def _take_in(self, stream: Any) -> None:
        async for event in stream.events():
            try:
                ticket_event = decode_event(event.value)
                check_not_ahead(ticket_event, int(event.message.timestamp * 1000))
            except Rejected:
                continue
            message = EventMessage(to_event(ticket_event, self._keys, self._reader))
            await self._to_tickets.send(key=message.key.encode(), value=encode(message))

    async def _judge(self, stream: Any) -> None:
        async for event in stream.events():
            message = decode(event.value)
            partition = event.message.partition
            if not isinstance(message, EventMessage | MembersMessage | RepeatMessage):
                continue
            if isinstance(message, EventMessage) and message.event.at > self._clocks[partition]:
                await self._let_time_pass(partition, message.event.at - 1)
                self._clocks[partition] = message.event.at
            before = self._state(message.key)
            step = on_message(self._engine, before, message, self._clocks[partition])
            await self._take(partition, before, step)

    async def _let_time_pass(self, partition: int, until: int) -> None:
        heap = self._deadlines[partition]
        while heap and heap[0][0] <= until:
            due_at, ticket_id = heapq.heappop(heap)
            before = self._state(ticket_id)
            if before.due_at == due_at:
                await self._take(partition, before, on_time(self._engine, before, due_at))

    def _state(self, ticket_id: str) -> ticket_rules.TicketState:
        value = self._tickets.get(ticket_id.encode())
        return ticket_rules.decode_state(value) if value else ticket_rules.TicketState(ticket_id)

    async def _take(self, partition: int, before: ticket_rules.TicketState, step: Step) -> None:
        state = step.state
        self._tickets[state.ticket_id.encode()] = ticket_rules.encode_state(state)
        if state.due_at is not None and state.due_at != before.due_at:
            heapq.heappush(self._deadlines[partition], (state.due_at, state.ticket_id))
        for output in step.outputs:
            if isinstance(output, Alert):
                await self._to_alerts.send(key=output.case_id.encode(), value=output.model_dump_json().encode())
            elif isinstance(output, ClaimMessage):
                await self._to_citizens.send(key=output.key.encode(), value=encode(output))
            elif isinstance(output, MembersMessage):
                await self._to_tickets.send(key=output.key.encode(), value=encode(output))

    async def _compare(self, stream: Any) -> None:
        async for event in stream.events():
            claim = decode(event.value)
            if not isinstance(claim, ClaimMessage):
                continue
            value = self._citizens.get(claim.key.encode())
            state = citizen_rules.decode_state(value) if value else citizen_rules.CitizenState(claim.key)
            after, messages = citizen_rules.on_claim(state, claim, self._matter)
            self._citizens[claim.key.encode()] = citizen_rules.encode_state(after)
            for message in messages:
                await self._to_tickets.send(key=message.key.encode(), value=encode(message))


def _topic(app: Any, name: str, **options: Any) -> Any:
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", **options)


def main() -> None:
    """Run a stock worker as the arguments say, until SIGTERM."""
    bootstrap_servers, source, partitions, datadir = sys.argv[1:]
    app = faust.App(
        APP_ID,
        broker=f"kafka://{bootstrap_servers}",
        store="rocksdb://",
        datadir=datadir,
        autodiscover=False,
        topic_partitions=int(partitions),
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    StockJob(app, source, int(partitions))
    _run(app)


def _run(app: Any) -> None:
    worker: Any = app.Worker(loop=uvloop.new_event_loop(), loglevel="WARNING", quiet=True, redirect_stdouts=False)
    worker.spinner = None
    started = worker.on_startup_finished

    async def finished() -> None:
        await started()
        print("stock ready", flush=True)

    worker.on_startup_finished = finished
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
