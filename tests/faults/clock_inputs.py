"""Memory, clocks, inputs and topics that are not as they should be."""

from __future__ import annotations

import re
import resource
import threading
from pathlib import Path

import orjson
from kafka import TopicPartition

from streams.admin import connect
from streams.topics import TopicSet
from streams.topics_admin import create_topics
from tests.faults.matrix import fault
from tests.faults.world import WAIT_SECONDS, World
from tests.kafka_support import committed, end_offsets, eventually, produce

HOUR = 3600
POISON: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b'{"event_id": "x", "ticket_id": "T',
    b"\xff\xfe",
    b"{" * 100_000,
    b'{"a": NaN}',
    b'{"a": 1, "a": 2}',
    b'{"a": ' + b"9" * 5_000 + b"}",
    orjson.dumps(
        {"event_id": "x\x00", "ticket_id": "T", "type": "visited", "occurred_at": "2025-03-03T09:00:00+08:00"}
    ),
    orjson.dumps({"event_id": True, "ticket_id": "T", "type": "visited", "occurred_at": "2025-03-03T09:00:00+08:00"}),
    orjson.dumps({"event_id": "x", "ticket_id": "T", "type": "visited", "occurred_at": "2025-02-30T09:00:00+08:00"}),
    b"x" * (2 * 1024 * 1024),
)


@fault(14, "partitions added to a topic", "the worker refuses to start and names the topic")
def partitions_added(world: World) -> None:
    """The topic of events gets a fifth partition while the worker is down; it is made anew, and the events sent again."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    topic = world.topics.ticket_events
    world.down.add("worker-1")
    assert world.running["worker-1"].stop() == 0
    with connect(world.servers) as admin:
        admin.create_partitions({topic: 5})
    world.start("worker-1")
    world.down.add("worker-1")
    status = world.running["worker-1"].wait(60)
    assert status not in (0, -9), status
    assert topic in world.running["worker-1"].log()
    world.observed = {"status": status}
    make_anew(world, topic)
    world.send_part(0)
    world.send_part(1)
    world.start("worker-1")
    world.heal()


def make_anew(world: World, topic: str) -> None:
    """Delete a topic and make it as it is declared."""
    with connect(world.servers) as admin:
        admin.delete_topics([topic])
        eventually(lambda: topic not in admin.list_topics(), WAIT_SECONDS, "the topic is gone")
    create_topics(world.servers, TopicSet(prefix=world.topics.prefix, partitions=4))


@fault(15, "retention passed the offset", "records are gone before they were read, and the worker says so")
def retention_passed(world: World) -> None:
    """What was deleted unread is lost to the worker: it must say so, and the platform sends it again."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.idle()
    topic = world.topics.ticket_events
    world.kill("worker-1")
    world.send_part(1)
    before, ends = committed(world.servers, world.topics.worker_app_id, topic), end_offsets(world.servers, topic)
    assert sum(ends.values()) > sum(before.values())
    with connect(world.servers) as admin:
        admin.delete_records({TopicPartition(topic, number): end for number, end in ends.items()})
    world.start_all("worker-1")
    world.send_part(1)  # the platform sends again what was not acknowledged to it
    world.idle()
    assert re.search(rf"gap in {re.escape(topic)}-\d: expected offset \d+, found \d+", world.logs()), "no alarm"
    world.observed = {"deleted_unread": sum(ends.values()) - sum(before.values())}
    world.heal()


@fault(20, "memory cap", "prlimit leaves the worker no address space; it ends or copes", needs=("prlimit",))
def memory_cap(world: World) -> None:
    """The caps are put at what the worker has just now: it can map nothing more, and its heaps cannot grow."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    pid = world.running["worker-1"].pid
    status = Path(f"/proc/{pid}/status").read_text()
    caps = {}
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        caps[name] = int(re.search(rf"{name}:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]
        resource.prlimit(pid, limit, (caps[name], caps[name]))
        assert resource.prlimit(pid, limit)[0] == caps[name]
    world.send_part(1)
    world.send(
        [orjson.dumps({"event_id": f"big-{n}", "ticket_id": f"big-{n}", "pad": "x" * 200_000}) for n in range(60)]
    )
    world.expects_quarantine += 60
    world.send_part(2)
    eventually(lambda: world.has_ended("worker-1") or world.waiting() == 0, WAIT_SECONDS, "it ends or copes")
    world.observed = {"caps": caps, "ended": world.has_ended("worker-1")}
    if not world.has_ended("worker-1"):
        world.kill("worker-1")
        world.start("worker-1")
    world.heal()


@fault(21, "clock ±1 h, also backwards", "the processes' clock is moved while they run")
def clock_moves(world: World) -> None:
    """An hour ahead, then an hour behind, then right again: calls signed at a wrong time are refused, and come again."""
    clock = world.folder / "clock"
    clock.write_text("0")
    for name in ("worker-1", "dispatch"):
        world.clocked[name] = clock
    world.expects_unverified = world.expects_repeated_calls = True
    world.start_all("worker-1", "dispatch")
    world.flows()
    for part, offset in ((1, HOUR), (2, -HOUR)):
        _set(clock, offset)
        world.send_part(part)
        refused = world.receiver.not_verified
        eventually(lambda refused=refused: world.mend() or world.receiver.not_verified > refused, WAIT_SECONDS)  # type: ignore[misc]
        world.idle()
    world.observed = {"refused": world.receiver.not_verified}
    _set(clock, 0)
    world.heal()


def _set(clock: Path, offset: int) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(str(offset))
    fresh.replace(clock)
    threading.Event().wait(0.2)  # a process looks ten times a second


@fault(22, "poison events", "a record in quarantine for each, under its offset; the next event proceeds")
def poison(world: World) -> None:
    """Every bad input of the list, in every partition, among good ones."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    for partition in range(4):
        places = produce(
            world.servers, world.topics.ticket_events, [(b"p", one) for one in POISON], partition=partition
        )
        world.expects_quarantine += len(places)
    world.send_part(1)
    world.send_part(2)
    world.idle()
    eventually(lambda: len(world.quarantined()) >= world.expects_quarantine, WAIT_SECONDS, "each is in quarantine")
    world.observed = {"poison": world.expects_quarantine}
    world.heal()
