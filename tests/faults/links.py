"""The link between a worker and its broker: cut, silent, slow, without answers."""

from __future__ import annotations

from tests.faults.brokers_kit import ProxiedKafka
from tests.faults.matrix import fault
from tests.faults.processes import assigned_partitions
from tests.faults.proxy import Proxy
from tests.faults.world import WAIT_SECONDS, World
from tests.kafka_support import eventually

SLOW_SECONDS = 0.3
TURNS = 6
READ_ON = "broke off the reading of its changelog"


def _through_proxy(world: World, *names: str) -> Proxy:
    assert isinstance(world.kafka, ProxiedKafka)
    for name in names:
        world.own[name] = {"BOOTSTRAP_SERVERS": world.kafka.proxied}
    proxy = world.kafka.proxy
    world.closing.append(proxy.heal)
    return proxy


@fault(11, "worker–broker link cut", "the proxy cut standing connections; the other worker took over")
def cut(world: World) -> None:
    """Cut, in every third run silent instead, past the session; the other worker goes on alone. Every third run: merely slow."""
    proxy = _through_proxy(world, "worker-1")
    world.start_all("worker-1", "worker-2", "dispatch")
    world.flows()
    way = ("cut", "silent", "slow")[world.load.seed % 3]
    world.observed = {"way": way}
    world.send_part(1)
    if way == "slow":
        proxy.delay_seconds = 0.3
        world.send_part(2)
        world.idle()
    else:
        if way == "cut":
            proxy.cut_now()
        proxy.silent = way == "silent"
        world.send_part(2)
        world.idle()  # by the other worker alone: nothing comes through
        assert way != "cut" or proxy.cuts > 0
    proxy.heal()
    world.heal()


@fault(12, "produce acknowledgements lost", "the proxy swallowed answers to produce requests, each with its connection")
def acks_lost(world: World) -> None:
    """The broker has the records, the producer does not know: it sends again, and nothing is there twice."""
    proxy = _through_proxy(world, "worker-1", "dispatch")
    world.start_all("worker-1", "dispatch")
    world.flows()
    before = proxy.swallowed
    for part in (1, 2):
        proxy.swallow_produce_answers = 3
        world.send_part(part)
        eventually(lambda: proxy.swallow_produce_answers == 0 or world.mend(), WAIT_SECONDS, "answers are swallowed")
    world.observed = {"swallowed": proxy.swallowed - before}
    assert proxy.swallowed - before == 6
    world.heal()


@fault(36, "a rebalance while a changelog is read", "the worker's log: reading was broken off, and went on")
def rebalance_while_reading(world: World) -> None:
    """One worker dies; over a slow link the other one reads what it never had, and meanwhile the first one comes back."""
    proxy = _through_proxy(world, "worker-1")
    world.start_all("worker-2", "dispatch")
    world.flows()
    world.start_all("worker-1")
    pieces, turns = world.load.middle(TURNS), 0
    while turns < TURNS and READ_ON not in world.running["worker-1"].log():
        world.send_records(pieces[turns])
        world.idle()
        proxy.delay_seconds = SLOW_SECONDS
        world.kill("worker-2")
        eventually(
            lambda: assigned_partitions(world, "worker-1") == world.topics.partitions,
            WAIT_SECONDS,
            "worker-1 has all partitions",
        )
        world.start_all("worker-2")
        proxy.heal()
        turns += 1
    assert READ_ON in world.running["worker-1"].log()
    for records in pieces[turns:]:
        world.send_records(records)
    world.sent_parts = 3
    world.observed = {"turns": turns}
    world.heal()
