"""The short form of the fault campaign: the most telling faults, one after another, in one installation of real processes.

`make faults` runs each of them alone, and all the others, again and again.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from streams.broker import EmbeddedKafka
from streams.failpoints import Failpoint
from tests.faults import oracle
from tests.faults.disks import restart
from tests.faults.endpoints import behind_proxy
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.faults.world import WAIT_SECONDS, World, world
from tests.kafka_support import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEED = 11
ANSWERS_LOST = 4


@pytest.fixture(scope="module")
def went_through(own_kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(own_kafka, tmp_path_factory.mktemp("faults"), "short.", Load(SEED, tickets=8, stories=8)) as made:
        made.expects_repeated_calls = True
        proxy = behind_proxy(made)
        _killed_between_steps(made)
        _answers_lost(made, proxy)
        _broker_killed(made)
        _worker_comes_and_is_killed(made)
        made.heal()
        made.finish()
        yield made


def _killed_between_steps(made: World) -> None:
    """Worker and dispatch kill themselves: between state and acknowledgement, and between a call and its record."""
    made.own = {
        "worker-1": {"FAILPOINT": f"{Failpoint.WORKER_AFTER_STATE}:2"},
        "dispatch": {"FAILPOINT": f"{Failpoint.AFTER_CALL}:3"},
    }
    made.start("worker-1", "dispatch")
    made.send_part(0)

    def both_gone() -> bool:
        for name in list(made.own):
            if not made.running[name].alive():
                del made.own[name]  # it is started again without
        made.mend()
        return not made.own

    eventually(both_gone, WAIT_SECONDS, "both kill themselves")
    made.observed["killed_themselves"] = sorted(set(made.ended))


def _answers_lost(made: World, proxy: Proxy) -> None:
    """The receiver takes the calls; in place of its answers the connections are reset."""
    proxy.swallow_answers = ANSWERS_LOST
    made.send_part(1)
    eventually(lambda: made.mend() or proxy.swallow_answers == 0, WAIT_SECONDS, "answers are swallowed")
    made.observed["answers_lost"] = proxy.swallowed


def _broker_killed(made: World) -> None:
    """The only broker is killed while events flow, and comes back over its disk."""
    made.send_part(2)
    made.kafka.kill(0)
    made.observed["brokers_after_kill"] = len(made.kafka.pids)
    restart(made.kafka)


def _worker_comes_and_is_killed(made: World) -> None:
    """A second worker takes partitions over, and is killed while it works on them."""
    made.start_all("worker-2")
    made.send_part(3)
    made.kill("worker-2")


def test_each_fault_happened(went_through: World) -> None:
    assert went_through.observed == {
        "killed_themselves": [("dispatch", -signal.SIGKILL), ("worker-1", -signal.SIGKILL)],
        "answers_lost": ANSWERS_LOST,
        "brokers_after_kill": 0,
    }
    assert went_through.receiver.duplicates, "a call came again under its id"


def test_no_input_is_lost_and_nothing_has_its_effect_twice(went_through: World) -> None:
    figures = oracle.check(went_through)
    assert figures["alerts"] > 20
    assert figures["effects"] > 20
