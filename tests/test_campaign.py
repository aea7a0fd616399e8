"""The short form of the kill campaign; `make campaign` runs the long one."""

from pathlib import Path

import pytest

from streams.broker import EmbeddedKafka
from tests.campaign.campaign import Campaign, Plan
from tests.campaign.worker import fold, plain_run


@pytest.mark.kafka
@pytest.mark.slow
def test_no_state_is_wrong_after_kills_with_and_without_their_disk(
    kafka: EmbeddedKafka, tmp_path: Path, topic_prefix: str
) -> None:
    plan = Plan(kills=4, every_seconds=4.0, keys=200, events_per_second=1500, seed=11)
    report = Campaign(kafka.bootstrap_servers, tmp_path, topic_prefix, plan).run()
    assert report.ok, "\n" + report.table()
    assert report.kills == 4
    assert report.disks_deleted == 2
    assert report.events > 10_000
    assert report.processed >= report.events


def test_the_audit_sees_a_lost_a_doubled_and_a_reordered_event() -> None:
    events = [(b"key", offset, b"%d" % offset) for offset in range(4)]
    whole = plain_run(events)[b"key"]
    assert whole["count"] == 4
    assert plain_run(events[:2] + events[3:])[b"key"] != whole
    assert plain_run([events[1], events[0], *events[2:]])[b"key"] != whole
    assert fold(whole, 3, b"3") is None, "an event that is delivered again changes nothing"
