"""Expiry on the real Kafka: tickets that are over leave table and changelog, and a lost disk comes back without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from streams.broker import EmbeddedKafka
from tests.builders import Story, day
from tests.kafka_support import read_all
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka

CLOSED, OPEN = 24, 4
RETURN = {"contacted": False, "site_checked": False, "evidence": []}


def _stories() -> Story:
    story = Story("life")
    for number in range(CLOSED):
        story(0, "registered", ticket=f"over-{number}", request_type="complaint", citizen={"key": f"c-{number}"})
        story(1, "return_requested", ticket=f"over-{number}", unit="U-1", **RETURN)
        story(2, "archived", ticket=f"over-{number}")
    story(2, "merged", ticket="over-0", into="over-1")
    for number in range(OPEN):
        story(0, "registered", ticket=f"open-{number}", request_type="complaint", citizen={"key": f"o-{number}"})
    return story


def _years_go_by(service: Live, first: int) -> None:
    """Let days pass, each with its walk; what a walk found uncommitted is taken by the next."""
    for number in range(first, first + 6):
        service.tick(day(number))
        service.idle()


def _tickets(service: Live) -> tuple[set[str], set[str]]:
    """Return the tickets that the changelog ends with, and those that it ends without."""
    last: dict[bytes, bytes | None] = {}
    for record in read_all(service.servers, service.topics.tickets_changelog):
        if record.key is not None and not record.key.startswith(b"\0"):
            last[record.key] = record.value
    alive = {key.decode() for key, value in last.items() if value is not None}
    return alive, {key.decode() for key in last} - alive


def _verified(service: Live) -> list[dict[str, Any]]:
    where = ["--bootstrap-servers", service.servers, "--prefix", service.topics.prefix]
    result = CliRunner().invoke(
        app, ["state", "verify", *where, "--data-dir", str(service.data_dir("worker-1")), "--json"]
    )
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["partitions"]
    return [one for one in found if one["table"] == "tickets"]


def test_what_is_over_is_gone_from_table_and_changelog_and_a_lost_disk_comes_back_without_it(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    with live(kafka, tmp_path, "expiry.", KEEP_CLOSED_DAYS="1095", KEEP_COMPLAINTS_DAYS="1095") as service:
        service.start("worker-1")
        service.wait_until_ready()
        service.send(to_bytes(_stories().records))
        service.idle()
        service.tick(day(1_000))
        service.idle()
        in_force = service.in_force()
        assert _tickets(service)[1] == set()

        _years_go_by(service, 1_200)
        open_ones = {f"open-{number}" for number in range(OPEN)}
        alive, gone = _tickets(service)
        assert alive == open_ones
        assert gone == {f"over-{number}" for number in range(CLOSED)}
        assert service.metric('hw_expired_total{table="tickets"}') == CLOSED
        assert service.in_force() == in_force

        service.send(to_bytes(_stories().records[:3]))
        service.idle()
        assert [one["reason"] for one in service.quarantined()] == ["too_late"] * 3
        assert service.in_force() == in_force
        _years_go_by(service, 1_300)

        service.running["worker-1"].kill()
        kept = _verified(service)
        assert sum(one["keys"] for one in kept) < OPEN + 5 * len(kept), "each partition has a few keys of its own"

        shutil.rmtree(service.data_dir("worker-1"))
        service.start("worker-1")
        service.wait_until_ready()
        service.tick(day(1_310))
        service.idle()
        assert _tickets(service)[0] == open_ones
        assert service.in_force() == in_force
        service.running["worker-1"].kill()
        assert [one["keys"] for one in _verified(service)] == [one["keys"] for one in kept]
