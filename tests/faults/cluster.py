"""Brokers that die, move and lose their controller: three of them, every topic on all three, two in sync needed."""

from __future__ import annotations

from kafka import KafkaAdminClient, TopicPartition

from streams.admin import connect
from tests.faults.matrix import fault
from tests.faults.world import WAIT_SECONDS, World
from tests.kafka_support import eventually

PREFERRED = 0
"""Kafka's number of the election that makes a partition's first replica its leader"""


@fault(8, "SIGKILL of a partition's leader among three brokers", "another broker leads the partition", cluster="three")
def leader_dies(world: World) -> None:
    """The leader of the partition of `hw.tickets` that the seed chooses."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    partition = world.load.seed % 4
    old = _leader(world, partition)
    world.kafka.kill(old - 1)
    world.closing.append(lambda: _back(world, old))
    world.send_part(1)
    eventually(lambda: world.mend() or _leader(world, partition) != old, WAIT_SECONDS, "another broker leads")
    world.send_part(2)
    world.observed = {"led": [old, _leader(world, partition)]}
    world.heal()  # two of three are enough: the third comes back while the rest is done
    _back(world, old)


@fault(9, "all brokers down", "nobody listens for some seconds; then the same cluster again", cluster="three")
def all_down(world: World) -> None:
    """All three are killed at once and come back over the same disks and ports."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.send_part(1)
    servers = world.servers
    world.closing.append(lambda: world.kafka.start())
    for index in range(3):
        world.kafka.kill(index)
    assert world.kafka.pids == ()
    world.kafka.stop(timeout_seconds=0)
    world.kafka.start()
    assert world.servers == servers, "the brokers came back elsewhere"
    world.heal()
    world.send_part(2)


@fault(10, "the active controller lost", "another voter of the quorum is the leader", cluster="three")
def controller_dies(world: World) -> None:
    """The controller is also a broker, so that its partitions move at the same time."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    old = _controller(world)
    world.send_part(1)
    world.kafka.kill(old - 1)
    world.closing.append(lambda: _back(world, old))
    eventually(lambda: world.mend() or _controller(world) not in (old, -1), WAIT_SECONDS, "there is another controller")
    world.send_part(2)
    world.observed = {"controllers": [old, _controller(world)]}
    world.heal()
    _back(world, old)


@fault(
    13,
    "partitions reassigned under load",
    "every partition has its replicas in another order, and another leader",
    cluster="three",
)
def reassigned(world: World) -> None:
    """The replicas of every topic of the installation are turned round by one, and the new first ones elected."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.send_part(1)
    wanted: dict[tuple[str, int], list[int]] = {}
    with connect(world.servers) as admin:
        for told in admin.describe_topics([spec.name for spec in world.topics.all()]):
            for partition in told["partitions"]:
                old = list(partition["replica_nodes"])
                wanted[told["name"], partition["partition_index"]] = old[1:] + old[:1]
        _reassign(admin, wanted)
    eventually(lambda: world.mend() or _leaders(world) == {at: order[0] for at, order in wanted.items()}, WAIT_SECONDS)
    world.send_part(2)
    world.observed = {"moved": len(wanted)}
    world.heal()


def _reassign(admin: KafkaAdminClient, wanted: dict[tuple[str, int], list[int]]) -> None:
    answers = admin.alter_partition_reassignments({TopicPartition(*at): order for at, order in wanted.items()})
    assert not any(answers.values()), answers
    by_topic: dict[str, list[int]] = {}
    for topic, partition in wanted:
        by_topic.setdefault(topic, []).append(partition)
    admin.elect_leaders(PREFERRED, by_topic, raise_errors=False)  # where the first one leads already, it says so


def _leader(world: World, partition: int) -> int:
    return _leaders(world).get((world.topics.tickets, partition), -1)


def _leaders(world: World) -> dict[tuple[str, int], int]:
    try:
        with connect(world.servers) as admin:
            found = admin.describe_topics([spec.name for spec in world.topics.all()])
    except Exception:  # a broker is gone just now
        return {}
    return {
        (told["name"], partition["partition_index"]): partition["leader_id"]
        for told in found
        for partition in told["partitions"]
    }


def _controller(world: World) -> int:
    try:
        with connect(world.servers) as admin:
            told = admin.describe_metadata_quorum()
    except Exception:  # a broker is gone just now
        return -1
    return int(told["topics"][0]["partitions"][0]["leader_id"])


def _back(world: World, node: int) -> None:
    if len(world.kafka.pids) < 3:
        world.kafka.restart(node - 1)
