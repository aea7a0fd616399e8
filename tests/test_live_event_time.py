"""Deadlines on the real Kafka that no event announces, over a death, a restart and a rebalance; and an event that is too late."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.broker import EmbeddedKafka
from tests.builders import Story
from tests.live_support import Live, driver_run, live, own_ids, to_bytes

pytestmark = pytest.mark.kafka

TICKETS = 12
BEFORE, AFTER, LAST = "2025-03-04T00:00:00+08:00", "2025-03-20T00:00:00+08:00", "2025-03-21T00:00:00+08:00"


def _open_tickets() -> Story:
    """Return tickets in all partitions that are due on the same day and never resolved."""
    story = Story("due")
    for number in range(TICKETS):
        ticket = f"due-{number}"
        story(0, "registered", ticket=ticket)
        story(0.1, "dispatched", ticket=ticket, unit="U-1", due_at="2025-03-05T18:00:00+08:00")
    return story


def _said(service: Live) -> list[tuple[str, int, str]]:
    """Return case, version number and id of all that was issued: a deadline that passed twice would have made a further number."""
    return [(one.case_id, one.sequence, one.alert_id) for one in service.issued()]


def test_deadlines_pass_once_over_death_restart_and_rebalance_and_what_is_too_late_is_refused(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    story = _open_tickets()
    with live(kafka, tmp_path, "event-time.", ALLOWED_LATENESS_DAYS="10") as service:
        service.start("worker-1")
        service.wait_until_ready()
        service.send(to_bytes(story.records))
        service.tick(BEFORE)
        service.idle()
        assert service.issued() == []

        service.running["worker-1"].kill()
        service.tick(AFTER)  # the deadlines pass while nobody is there
        service.start("worker-1", "worker-2")  # the dead one's disk, and a rebalance
        service.wait_until_ready()
        service.idle()
        expected = driver_run(story.records, AFTER)
        assert own_ids(service.issued()) == own_ids(expected.alerts)
        said = _said(service)
        assert len(said) == 3 * TICKETS

        service.running.pop("worker-2").kill()  # its partitions move
        service.tick(AFTER)
        service.tick(BEFORE)
        service.tick(LAST)
        service.idle()
        assert _said(service) == said, "a tick that comes again or steps back fires nothing"

        too_late = Story("late")(1, "urged", ticket="due-0").records
        service.send(to_bytes(too_late))
        service.idle()
        assert [one["reason"] for one in service.quarantined()] == ["too_late"]
        assert service.metric('hw_rejections_total{reason="too_late"}') == 1
        assert service.metric("hw_watermark_timestamp_seconds") > 0
