"""`hotline-watch demo --once`: the whole service on this machine, every expected warning received and verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.demo_stories import EXPECTED
from tests.kafka_support import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.usefixtures("kafka")
def test_the_demo_ends_with_0_when_every_expected_warning_arrived(tmp_path: Path) -> None:
    env = {"COLUMNS": "200", "TMPDIR": str(tmp_path)}
    with Worker(["-m", "cli.main", "demo", "--once"], tmp_path / "demo.log", env=env) as demo:
        status = demo.wait(180)
        told = demo.log()
    assert status == 0, told[-3000:]
    for one in EXPECTED:
        if one.level != "blue":
            assert any(one.ticket in line and one.rule in line for line in told.splitlines() if "✓" in line), one
    assert "✗" not in told
    assert "0 not verified, 0 out of order, 0 doubled" in told
    assert list(tmp_path.glob("hotline-watch-demo-*")) == [], "it leaves nothing behind"
