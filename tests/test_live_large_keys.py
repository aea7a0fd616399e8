"""Keys that grow without measure, on the real Kafka and RocksDB: the worker lives, others are judged, memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rules.size import MAX_HISTORY_BYTES
from streams.broker import EmbeddedKafka
from streams.metrics_keys import mark_of_key
from tests.builders import Story, body
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka

GROWTH_MIB_MAX = 300
"""what the hot keys may cost a worker: a batch of 4 MiB as bytes, as events and as what follows from them, for each of its stages"""


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


def _resident_mib(service: Live) -> int:
    pages = int(Path(f"/proc/{service.running['worker-1'].pid}/statm").read_text().split()[1])
    return pages * 4096 // 2**20


def _hot_ticket(count: int) -> list[dict[str, Any]]:
    """Return events of one ticket, each large for what it is."""
    long = {"category": ["供" * 400, "水" * 400, "压" * 400]}
    return [body("hot", "amended", 1 + number / 1000, event_id=f"hot-{number}", fields=long) for number in range(count)]


def _zealous_citizen(count: int) -> list[dict[str, Any]]:
    story = Story("zealous")
    for number in range(count):
        story.complaint(1 + number / 10_000, ticket=f"zealous-{number}", citizen={"key": "zealous"})
    return story(2, "visited", ticket="zealous-5", result="dissatisfied").records


def test_one_hot_ticket_and_one_hot_citizen_among_ordinary_tickets(service: Live) -> None:
    service.idle()
    before = _resident_mib(service)
    ordinary = Story("ordinary")
    for number in range(40):
        ordinary(0, "return_requested", ticket=f"ordinary-{number}", unit="A")
        ordinary(0.5, "return_requested", ticket=f"ordinary-{number}", unit="B")
    hot, zealous = _hot_ticket(2_000), _zealous_citizen(600)
    records: list[dict[str, Any]] = []
    while hot or zealous or ordinary.records:
        for part, many in ((hot, 50), (zealous, 15), (ordinary.records, 2)):
            records += part[:many]
            del part[:many]
    service.send(to_bytes(records))
    service.idle()
    assert service.running["worker-1"].alive()
    assert _resident_mib(service) - before < GROWTH_MIB_MAX
    in_force = service.in_force()
    assert {rule: level for (ticket, rule), level in in_force.items() if ticket.startswith("ordinary-")} == {
        "P01": "yellow"
    }
    assert sum(ticket.startswith("ordinary-") for ticket, _ in in_force) == 40
    assert in_force["zealous-5", "P08"] == "red"
    refused = [one for one in service.quarantined() if one["topic"] == service.topics.tickets]
    assert {one["reason"] for one in refused} == {"too_large"}
    assert 1_500 < len(refused) < 2_000
    assert MAX_HISTORY_BYTES < service.metric('hw_largest_value_bytes{table="tickets"}') < 2 * 2**20
    assert service.metric('hw_rejections_total{reason="too_large"}') == len(refused)
    assert f'key="{mark_of_key("hot")}"' in service.get("worker-1", "/metrics").text
    assert f"the value of key {mark_of_key('hot')} has grown" in service.logs()
