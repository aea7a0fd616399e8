"""A worker with a million open tickets and nine million citizens: how soon it is back, and what memory it takes.

The changelogs are written straight, with states that the service's own steps made of a few generated tickets, under as many names as
wanted: to send all those events through the pipeline would take an hour and give the same bytes. Then real workers start over them.
"""

import asyncio
import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from benchmarks.generator import START
from benchmarks.memory import EVENTS_PER_TICKET, TIMEOUT_SECONDS, first_events
from benchmarks.memory_table import MemoryTable
from benchmarks.result import Result, Row
from benchmarks.support import Installation, Usage, lag_watch, scratch
from models.decode import decode_event
from models.times import parse_instant
from rules.engine import Engine
from rules.intake import to_event
from rules.matter import MatterConfig
from rules.messages import EventMessage, encode
from rules.migrations import STATE_SCHEMA
from rules.pack import default_pack
from rules.pseudonym import PseudonymKey
from streams.bulk import Record, send_many
from streams.citizen_partition import CitizenPartition
from streams.metrics import WorkerMetrics
from streams.partition import OWING_KEY, RESERVED, Incoming
from streams.stored import pack, unpack
from streams.ticket_partition import TicketPartition
from streams.ticking import send_ticks
from streams.topics import TopicSet
from streams.worker import CITIZENS_TYPE, TICKETS_TYPE

TICKETS, QUICK_TICKETS = 1_000_000, 20_000
CITIZENS, QUICK_CITIZENS = 9_000_000, 20_000
SHAPES = 64
CHUNK = 10_000
OWN_DISK_SECONDS, LOST_DISK_SECONDS, TARGET_MB = 15, 120, 1_000
KEYS = (PseudonymKey("bench", b"only for states that nobody is in"),)
Shape = tuple[bytes, bytes]
"""a key and its value"""


def shapes() -> tuple[list[Shape], list[Shape]]:
    """Return the states of some open tickets and of their citizens, as the service's own steps make them."""
    topics, rules = TopicSet(partitions=1), default_pack()
    watch = WorkerMetrics(rules, CollectorRegistry())
    tickets, citizens = MemoryTable(), MemoryTable()
    tickets_at_work = TicketPartition(0, tickets, Engine(rules), topics, watch, 0)
    citizens_at_work = CitizenPartition(0, citizens, MatterConfig(), topics, watch, 0)
    events = (to_event(decode_event(line), KEYS) for line in islice(first_events(SHAPES), SHAPES * EVENTS_PER_TICKET))
    batch = [Incoming(number, encode(EventMessage(event)), None) for number, event in enumerate(events)]
    claims = [out.value for out in tickets_at_work.handle(batch) if out.topic == topics.citizens]
    citizens_at_work.handle([Incoming(number, value, None) for number, value in enumerate(claims)])
    kept = (table.partition_items(0) for table in (tickets, citizens))
    of_tickets, of_citizens = (
        [(key, pack(unpack(value)._replace(pending=()))) for key, value in items if not key.startswith(RESERVED)]
        for items in kept
    )
    return of_tickets, of_citizens


def many(shape: list[Shape], number: int, header: bytes, partitions: int) -> Iterator[Record]:
    """Yield so many changelog records: the shapes in turn, each time under a name of its own as long as the first.

    All that they had to send was sent; of each partition a record says so before them.
    """
    yield from [Record(OWING_KEY, header + b"[]")] * partitions
    named = [(key, len(key) - len(key.rstrip(b"0123456789")), value) for key, value in shape]
    for count in range(number):
        key, digits, value = named[count % len(named)]
        name = b"%s%0*d" % (key[:-digits], digits, count)
        yield Record(name, header + value.replace(key, name))


def run(quick: bool = False, tickets: int | None = None, citizens: int | None = None) -> Result:
    """Return times and memory. Raises BenchmarkError where the worker does not come up."""
    tickets = tickets or (QUICK_TICKETS if quick else TICKETS)
    citizens = citizens if citizens is not None else (QUICK_CITIZENS if quick else CITIZENS)
    of_tickets, of_citizens = shapes()
    with scratch() as installation:
        topics = installation.topics
        _fill(
            installation,
            topics.tickets_changelog,
            many(of_tickets, tickets, bytes((TICKETS_TYPE, STATE_SCHEMA)), topics.partitions),
        )
        lost = _start(installation)
        own = _start(installation)
        rows = [
            Row("disk lost: from start to ready, tables rebuilt", lost.ready, "s", at_most=LOST_DISK_SECONDS),
            Row("disk lost: from start until every partition has handled a tick", lost.ticked, "s"),
            Row("own disk: from start to ready", own.ready, "s", at_most=OWN_DISK_SECONDS),
            Row("own disk: from start until every partition has handled a tick", own.ticked, "s"),
            Row("memory while the tables were rebuilt, at most", lost.used.rss_peak_mb, "MB", at_most=TARGET_MB),
            Row("memory after a restart, every partition opened", own.used.rss_mb, "MB", at_most=TARGET_MB),
        ]
        if citizens:
            _fill(
                installation,
                topics.citizens_changelog,
                many(of_citizens, citizens, bytes((CITIZENS_TYPE, STATE_SCHEMA)), topics.partitions),
            )
            shutil.rmtree(installation.directory / "worker-1")
            both = _start(installation)
            again = _start(installation)
            rows += [
                Row("with the citizens, disk lost: from start to ready", both.ready, "s"),
                Row("with the citizens, own disk: from start to ready", again.ready, "s"),
                Row("with the citizens: memory while rebuilt, at most", both.used.rss_peak_mb, "MB", at_most=TARGET_MB),
                Row("with the citizens: memory after a restart", again.used.rss_peak_mb, "MB", at_most=TARGET_MB),
            ]
    return Result(
        "recovery",
        f"One worker with {tickets:,} open tickets and {citizens:,} citizens",
        tuple(rows),
        {"tickets": tickets, "citizens": citizens, "partitions": installation.topics.partitions},
        quick=quick,
    )


class _Started(NamedTuple):
    ready: float
    ticked: float
    used: Usage


def _start(installation: Installation) -> _Started:
    """Start the worker, let a tick open every partition, stop it; return the seconds from its start, and what it used."""
    began = time.monotonic()
    worker, _ = installation.worker()
    ready = worker.wait_for("worker ready", TIMEOUT_SECONDS)
    topics = installation.topics
    send_ticks(installation.bootstrap_servers, topics, parse_instant(f"{START}T00:00:00+08:00"))
    with lag_watch(installation.bootstrap_servers, topics.worker_app_id, (topics.tickets,)) as watch:
        watch.wait(worker.check, TIMEOUT_SECONDS)
    ticked = time.monotonic() - began
    used = worker.usage()
    worker.stop()
    return _Started(ready, ticked, used)


def _fill(installation: Installation, changelog: str, records: Iterable[Record]) -> None:
    """Write a changelog. In which partition a key lies is nothing to recovery: they are dealt out in turn."""
    asyncio.run(_send(installation.bootstrap_servers, changelog, installation.topics.partitions, records))


async def _send(servers: str, topic: str, partitions: int, records: Iterable[Record]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", max_batch_size=512 * 1024, max_request_size=4 * 1024 * 1024
    )
    await producer.start()
    try:
        waiting = iter(records)
        while chunk := list(islice(waiting, CHUNK)):
            await asyncio.gather(
                *(send_many(producer, topic, number, chunk[number::partitions]) for number in range(partitions))
            )
    finally:
        await producer.stop()
