"""Processes that die, stop, freeze, come and go."""

from __future__ import annotations

import random
import shutil
import signal

from streams.failpoints import Failpoint
from tests.faults.matrix import fault
from tests.faults.world import WAIT_SECONDS, World
from tests.kafka_support import eventually

WORKER_POINTS = (
    Failpoint.INTAKE_SENT,
    Failpoint.WORKER_BEFORE_STATE,
    Failpoint.WORKER_AFTER_STATE,
    Failpoint.WORKER_BEFORE_ACK,
)
JOINS = 5


@fault(0, "nothing fails (control)", "the run is compared like every other")
def nothing(world: World) -> None:
    """The unfaulted live run: what the oracle says of it is what it must say of all."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.heal()


@fault(1, "SIGKILL of a worker mid-batch", "exit by SIGKILL at a failpoint between two steps of a batch")
def kill_mid_batch(world: World) -> None:
    """Of a worker, at a boundary that the seed chooses; in half of the runs the table's disk is gone as well."""
    point = WORKER_POINTS[world.load.seed % len(WORKER_POINTS)]
    killed_at(world, "worker-1", point, 1 + world.load.seed // 4 % 3, disk_too=world.load.seed // 12 % 2 == 1)


@fault(2, "kill after the POST, before its record", "exit by SIGKILL at the failpoint after_call")
def kill_after_post(world: World) -> None:
    """At a call that the seed chooses: the receiver has it, nobody has written so, and it comes again under its id."""
    world.expects_repeated_calls = True
    killed_at(world, "dispatch", Failpoint.AFTER_CALL, 1 + world.load.seed % 9)


@fault(3, "kill before the POST", "exit by SIGKILL at the failpoint before_call")
def kill_before_post(world: World) -> None:
    """At a call that the seed chooses. Other attempts may be under way, so their calls may come again."""
    world.expects_repeated_calls = True
    killed_at(world, "dispatch", Failpoint.BEFORE_CALL, 1 + world.load.seed % 9)


def killed_at(world: World, name: str, point: Failpoint, time: int, *, disk_too: bool = False) -> None:
    """Let a process kill itself the n-th time it reaches a boundary, and start it again without."""
    world.own[name] = {"FAILPOINT": f"{point}:{time}"}
    world.start("worker-1", "dispatch")
    world.send_part(0)
    world.send_part(1)

    def gone() -> bool:
        if not world.running[name].alive():
            world.own.pop(name, None)
            if disk_too:
                shutil.rmtree(world.data_dir(name))
        world.mend()
        return name not in world.own

    eventually(gone, WAIT_SECONDS, f"{name} kills itself at {point}")
    assert (name, -signal.SIGKILL) in world.ended
    world.observed = {"failpoint": f"{point}:{time}", "disk_too": disk_too}
    world.heal()


@fault(4, "SIGSTOP past the session timeout", "the other worker takes over; the frozen one ends itself when it wakes")
def freeze(world: World) -> None:
    """The frozen worker loses its partitions and must not write into them when it wakes."""
    world.start_all("worker-1", "worker-2", "dispatch")
    world.flows()
    world.send_part(1)
    world.running["worker-1"].signal(signal.SIGSTOP)
    world.send_part(2)
    world.idle()  # the other one has its partitions, and all is done
    world.running["worker-1"].signal(signal.SIGCONT)
    eventually(lambda: world.has_ended("worker-1"), WAIT_SECONDS, "the frozen worker ends itself")
    assert "did not run for" in world.logs()
    world.heal()


@fault(5, "SIGTERM under load", "status 0 within 30 s, the drain")
def terminate(world: World) -> None:
    """Worker and dispatch are asked to stop while events flow, one after the other."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    for part, name in ((1, "worker-1"), (2, "dispatch")):
        world.send_part(part)
        world.down.add(name)
        assert world.running[name].stop(30) == 0, f"{name} did not end in order"
        world.start(name)
    world.heal()


@fault(6, "a worker joins and leaves again and again", f"{JOINS} joins and leaves a run, each assigned and revoked")
def join_and_leave(world: World) -> None:
    """Half of the leaves are orderly, half are kills."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    chance = random.Random(world.load.seed)
    for records in world.load.middle(JOINS):
        world.start_all("worker-2")
        world.send_records(records)
        world.down.add("worker-2")
        if chance.random() < 0.5:
            assert world.running["worker-2"].stop(30) == 0
        else:
            world.kill("worker-2")
    del world.running["worker-2"]
    world.sent_parts = 3
    world.observed = {"joins": JOINS}
    world.heal()


@fault(7, "more workers than partitions", "five workers on four partitions; one has none, and takes over")
def too_many_workers(world: World) -> None:
    """A worker that has nothing to do takes over when another one is killed."""
    names = [f"worker-{number}" for number in range(1, 6)]
    world.start_all(*names, "dispatch")
    world.flows()
    assigned: dict[str, int] = {}

    def spread() -> bool:
        assigned.update((name, assigned_partitions(world, name)) for name in names)
        return sorted(assigned.values()) == [0, 1, 1, 1, 1]

    eventually(spread, WAIT_SECONDS, "four workers have a partition each, and one has none")
    busy = next(name for name, count in assigned.items() if count)
    world.send_part(1)
    world.kill(busy)
    world.send_part(2)
    world.heal()


def assigned_partitions(world: World, name: str) -> int:
    """Return how many partitions of `hw.tickets` a worker says it has."""
    lines = world.metrics(name).splitlines()
    found = [line for line in lines if line.startswith("hw_partitions{") and "hw.tickets" in line]
    return sum(int(float(line.split()[-1])) for line in found)
