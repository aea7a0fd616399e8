"""Recovery that takes too long, which Faust takes for the service's end: nothing would be recovered ever after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from kafka.admin import NewTopic

from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.faust_app import EXIT_FAILED
from streams.recovery import RecoveryTimeoutError
from tests.faust_support import quick_app
from tests.kafka_support import Worker


async def test_only_a_wait_that_takes_too_long_ends_the_process(tmp_path: Path) -> None:
    app, deaths = quick_app("127.0.0.1:1", "recovery", tmp_path, set()), list[BaseException]()
    app.tables.on_recovery_timeout = deaths.append
    recovery = app.tables.recovery
    await recovery._wait(asyncio.sleep(0), timeout=30)
    recovery.signal_recovery_start.set()
    with pytest.raises(RebalanceAgain):
        await recovery._wait(asyncio.Event(), timeout=30)
    recovery.signal_recovery_start.clear()
    assert deaths == []
    with pytest.raises(RecoveryTimeoutError, match=r"within 0\.01 s"):
        await recovery._wait(asyncio.Event(), timeout=0.01)
    assert [type(death) for death in deaths] == [RecoveryTimeoutError]
    for stopping, timeout in ((app, 0.01), (recovery, 30)):
        stopping._stopped.set()
        with pytest.raises(ServiceStopped):
            await recovery._wait(asyncio.Event(), timeout=timeout)
        stopping._stopped.clear()
    assert len(deaths) == 1
    app._crashed.set()  # which may hang as it stops
    with pytest.raises(RecoveryTimeoutError):
        await recovery._wait(asyncio.Event(), timeout=0.01)
    assert len(deaths) == 2


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_whose_recovery_is_not_answered_ends_and_begins_anew(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    with connect(kafka.bootstrap_servers) as admin:
        configs = {"cleanup.policy": "compact"}
        admin.create_topics([NewTopic("unanswered-states-changelog", 2, 1, topic_configs=configs)])
    arguments = ["-m", "tests.recovery_worker", kafka.bootstrap_servers, "unanswered", str(tmp_path / "disk")]
    with Worker([*arguments, "unanswered"], tmp_path / "first.log") as first:
        assert first.wait(60.0) == EXIT_FAILED
    assert "RecoveryTimeoutError: tables cannot be recovered: Kafka did not answer within 6 s" in first.log()
    assert "READY" not in first.log()
    with Worker(arguments, tmp_path / "second.log") as second:
        second.wait_for("READY")
        assert second.stop() == 0
