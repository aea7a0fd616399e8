"""SIGKILL of the dispatch worker at every boundary between two steps: nothing is lost, nothing has an effect twice, no
order is broken, and who pulls misses nothing.
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from alerting.receiver import Receiver, serve
from models.alert import Alert
from models.delivery import DeliveryStatus, delivery_id, delivery_key
from streams.broker import EmbeddedKafka
from streams.failpoints import Failpoint
from streams.topics import TopicSet
from tests.alerting_support import SECRET, make_alert
from tests.dispatch_scenarios import (
    ACCUSED,
    OFFICE,
    Installation,
    everything_to,
    first_positions,
    ids,
    installation,
    lane,
    numbers,
    office,
)
from tests.kafka_support import eventually, read_all

pytestmark = pytest.mark.kafka

LEVELS = {"one": ("yellow", "red"), "two": ("yellow", "red"), "patient": ("blue", "red")}
"""Who is told of which levels. For `patient` blue waits a second for others of its case."""
CASES = [f"case-{number}" for number in range(5)]
QUIET_CASES = [f"quiet-{number}" for number in range(5)]
VERSIONS = 3
WHEN = {
    Failpoint.BEFORE_STATE: "before_state:2",  # one batch is done by then
    Failpoint.BEFORE_RECORDS: "before_records",
    Failpoint.AFTER_STATE: "after_state:2",
    Failpoint.BEFORE_ACK: "before_ack",
    Failpoint.BEFORE_CALL: "before_call:3",
    Failpoint.AFTER_CALL: "after_call:3",
    Failpoint.AFTER_RECORD: "after_record:2",
}
"""Where in a run each boundary ends the process."""


def versions(case_id: str, numbers: Iterable[int]) -> list[Alert]:
    """Return versions of one warning."""
    return [
        make_alert(
            f"{case_id}.{number}",
            case_id,
            sequence=number,
            status="raised" if number == 1 else "escalated",
            level="red" if number % 2 == 0 else "yellow",
        )
        for number in numbers
    ]


def blue(case_id: str, rule_id: str) -> Alert:
    """Return a warning that waits for others of its case."""
    rule = {"id": rule_id, "version": 1, "title": "多次退单"}
    return make_alert(f"{case_id}.{rule_id}", case_id, level="blue", rule=rule)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver([SECRET])


@pytest.fixture
def service(
    kafka: EmbeddedKafka, receiver: Receiver, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """An installation with two partitions, or as many as its parameter says."""
    topics = TopicSet(prefix=f"t{uuid.uuid4().hex[:10]}.", partitions=getattr(request, "param", 2))
    with installation(kafka, tmp_path, topics) as made, serve(receiver) as url:
        entries = {name: {"name": name, "url": f"{url}/{name}", "levels": levels} for name, levels in LEVELS.items()}
        entries["patient"]["group_wait_seconds"] = 1
        made.write_subscribers(*entries.values())
        made.write("units", {"units": [office(OFFICE, "测试研判室", *LEVELS), ACCUSED]})
        made.write("routing", everything_to(OFFICE))
        yield made


def is_killed(service: Installation, failpoint: str) -> None:
    """Start the worker with a failpoint, and return when it has killed itself there."""
    assert service.start(failpoint).wait(90) == -signal.SIGKILL


def check(service: Installation, receiver: Receiver, alerts: list[Alert]) -> None:
    """Check that everybody has, or comes to have, what they are to have, once and in order; and what is recorded."""
    expected = {name: [alert for alert in alerts if alert.level in levels] for name, levels in LEVELS.items()}
    pairs = [(name, alert.alert_id) for name, wanted in expected.items() for alert in wanted]
    effects = sorted(delivery_id(*pair) for pair in pairs)  # the receiver deduplicates by webhook-id
    eventually(
        lambda: sorted(one.webhook_id for one in receiver.accepted) == effects, 60, "each alert at each endpoint"
    )
    delivered = dict.fromkeys((delivery_key(*pair) for pair in pairs), DeliveryStatus.DELIVERED)
    eventually(lambda: {key: one.status for key, one in service.last_records().items()} == delivered, 30)
    assert service.workers[-1].alive()
    assert (receiver.out_of_order, receiver.not_verified) == ([], 0)
    for name, wanted in expected.items():
        for case_id in {alert.case_id for alert in wanted}:
            came = lane(receiver, name, case_id)
            assert ids(came) == [alert.alert_id for alert in wanted if alert.case_id == case_id]
            assert numbers(came) == list(range(1, len(came) + 1))
    for whose, positions in first_positions(service.deliveries()).items():
        assert positions == list(range(1, len(positions) + 1)), whose


@pytest.mark.parametrize("failpoint", WHEN)
def test_a_kill_at_a_boundary_loses_nothing_repeats_nothing_and_breaks_no_order(
    failpoint: Failpoint, service: Installation, receiver: Receiver
) -> None:
    early = [alert for number in range(1, VERSIONS + 1) for case in CASES for alert in versions(case, [number])]
    late = [alert for case in CASES for alert in versions(case, [VERSIONS + 1])]
    waiting = [blue(case, rule) for rule in ("P02", "P03") for case in QUIET_CASES]
    service.publish(*early, *waiting)
    is_killed(service, WHEN[failpoint])
    service.publish(*late)
    service.start()
    check(service, receiver, [*early, *waiting, *late])


@pytest.mark.parametrize("service", [1], indirect=True)
def test_what_two_kills_left_without_a_record_is_written_first_and_in_order(
    service: Installation, receiver: Receiver
) -> None:
    """What was released after it had been held is known to the worker's own state alone: no topic brings it again."""
    waiting = [blue(case, rule) for rule in ("P02", "P03") for case in QUIET_CASES]
    service.publish(*waiting)
    is_killed(service, "before_records:2")  # the first batch holds, the second releases
    assert len(read_all(service.servers, service.topics.decisions)) == len(waiting)
    assert service.deliveries() == []
    urgent = [alert for case in CASES for alert in versions(case, [2])]
    service.publish(*urgent)
    is_killed(service, "before_records")
    assert service.deliveries() == []
    service.start()
    check(service, receiver, [*waiting, *urgent])
