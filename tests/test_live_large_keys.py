"""Keys that grow without measure, on the real Kafka and RocksDB: the worker lives, others are judged, memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.broker import EmbeddedKafka
from tests.builders import Story, body
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def service(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(kafka, tmp_path_factory.mktemp("large"), "large.") as installation:
        installation.start("worker-1")
        installation.wait_until_ready()
        yield installation


def _others(service: Live, name: str) -> None:
    """Send a ticket into each partition, and see that all are judged."""
    story = Story(name)
    tickets = [f"{name}-{number}" for number in range(8)]
    for ticket in tickets:
        story(0, "return_requested", ticket=ticket, unit="A")(1, "return_requested", ticket=ticket, unit="B")
    service.send(to_bytes(story.records))
    service.idle()
    in_force = service.in_force()
    assert all(in_force[ticket, "P01"] == "yellow" for ticket in tickets)
    assert service.running["worker-1"].alive()


def test_a_merged_ticket_with_a_thousand_events_at_once(service: Live) -> None:
    records = [body("child", "merged", 0, event_id="merged", into="root")]
    records += [body("child", "urged", 1 + number / 1000, event_id=f"e{number}", unit="U-1") for number in range(999)]
    service.send(to_bytes(records))
    _others(service, "beside-the-merged")


def test_a_citizen_with_many_complaints_of_one_matter(service: Live) -> None:
    story = Story("complaint")
    for number in range(230):
        story.complaint(number / 1000, ticket=f"complaint-{number}")
    service.send(to_bytes(story.records))
    _others(service, "beside-the-citizen")
