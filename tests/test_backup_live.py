"""The rehearsal: a running service with warnings is backed up, restored into another directory, and goes on there."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from alerting.receiver import Receiver, serve
from benchmarks.table_digests import newest, table_digests
from streams.topics import TopicSet
from tests.backup_support import run
from tests.builders import Story
from tests.directory_support import delivery_files
from tests.kafka_support import Worker, eventually, read_all
from tests.live_support import SECRET, send, subscribers_file, to_bytes

TOPICS = TopicSet(partitions=2)
STORY = Story("T-1").complaint(0)(0.1, "dispatched", unit="A")(1, "return_requested", unit="A")(
    2, "return_requested", unit="A"
)(3, "return_requested", unit="B")(4, "return_requested", unit="C")

CONFIG = """
partitions = 2
core_time = "recorded"
retry_scale = 0.01
commit_interval_seconds = 0.2
subscribers_file = "subscribers.yaml"
units_file = "units.yaml"
routing_file = "routing.yaml"
"""


class Up:
    """A running service over an installation's directory."""

    def __init__(self, process: Worker) -> None:
        self.process = process
        found = re.search(r"Kafka\s+(127\.0\.0\.1:\d+)", process.log())
        assert found
        self.servers = found[1]

    def pending(self) -> float:
        """Return how many deliveries are not accepted yet."""
        found = re.search(r"^dispatch\s+(http://[\d.:]+)/metrics", self.process.log(), re.MULTILINE)
        assert found
        try:
            text = httpx.get(f"{found[1]}/metrics", timeout=5, trust_env=False).text
        except httpx.HTTPError:
            return -1  # it holds still
        gauge = re.search(r'^hw_dispatch_pending\{subscriber="test"\} (\S+)$', text, re.MULTILINE)
        return float(gauge[1]) if gauge else -1


@contextmanager
def up(installation: Path, log: Path) -> Iterator[Up]:
    """Yield the service over an installation. One worker does: what several share is tested elsewhere."""
    arguments = ["up", "--data", str(installation / "data"), "--config", str(installation / "hotline-watch.toml")]
    with Worker(["-m", "cli.main", *arguments, "--workers", "1"], log, env={"COLUMNS": "200"}) as process:
        process.wait_for("up; data in", 180)
        yield Up(process)


def command(*arguments: str) -> str:
    """Run a command, as an operator does, while the service runs in processes of its own."""
    status, shown = run(*arguments)
    assert status == 0, shown
    return shown


def installed(folder: Path, url: str) -> Path:
    """Write the configuration of an installation."""
    folder.mkdir(mode=0o700)
    delivery_files(subscribers_file(folder, url))
    (folder / "hotline-watch.toml").write_text(CONFIG)
    return folder


def returns(receiver: Receiver) -> list[tuple[str, str]]:
    return [(one.alert["status"], one.alert["level"]) for one in receiver.accepted if one.alert["rule"]["id"] == "P01"]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.usefixtures("kafka")
def test_a_restored_service_goes_on_where_the_backup_was_made(tmp_path: Path) -> None:
    receiver = Receiver([SECRET])
    with serve(receiver) as url:
        first = installed(tmp_path / "first", url)
        with up(first, tmp_path / "up-1.log") as service:
            send(service.servers, TOPICS, to_bytes(STORY.records[:4]))
            eventually(lambda: ("raised", "blue") in returns(receiver), 90)
            eventually(lambda: service.pending() == 0, 30)
            # The settings file is the one that the running service was started with.
            command("backup", "--data", str(first / "data"), "--to", str(tmp_path / "online"))
            service.process.wait_for("the backup is done: going on", 60)
            eventually(lambda: service.pending() == 0, 120)
            assert service.process.stop(40) == 0
        command(
            "backup",
            "--data",
            str(first / "data"),
            "--to",
            str(tmp_path / "down"),
            "--config",
            f"{first}/hotline-watch.toml",
        )
        before = table_digests(first / "data")
        assert sum(digest.keys for digest in before.values()) > 3
        for name in ("online", "down"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
            told = json.loads(
                command("restore", str(tmp_path / name), "--to", str(tmp_path / f"from-{name}"), "--json")
            )
            assert told["config"] == str(tmp_path / f"from-{name}" / "hotline-watch.toml")
        assert table_digests(tmp_path / "from-down" / "data") == before
        # Nothing was sent between the two; but partitions may have moved from one worker to the other.
        assert newest(table_digests(tmp_path / "from-online" / "data")) == newest(before)

        delivered = list(receiver.accepted)
        with up(tmp_path / "from-online", tmp_path / "up-2.log") as service:
            send(service.servers, TOPICS, to_bytes(STORY.records[4:]))
            eventually(lambda: ("escalated", "red") in returns(receiver), 90)
            eventually(lambda: service.pending() == 0, 30)
            taken = [one.value for one in read_all(service.servers, TOPICS.ticket_events)]
            quarantined = read_all(service.servers, TOPICS.quarantine)
    assert taken == to_bytes(STORY.records)
    assert quarantined == []
    assert returns(receiver) == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red")]
    again = {one.webhook_id for one in delivered} & {one.webhook_id for one in receiver.accepted[len(delivered) :]}
    assert again == set(), "nothing is sent twice"
    numbers = [one.alert["sequence"] for one in receiver.accepted if one.alert["case_id"] == "case:T-1"]
    assert numbers == sorted(set(numbers))
    assert (receiver.out_of_order, receiver.not_verified) == ([], 0)
    loose = [
        path
        for path in (tmp_path / "from-online").rglob("*")
        if path.stat().st_mode & 0o007 and "kafka" not in path.parts
    ]
    assert [path for path in loose if path.name.endswith((".secret", ".yaml", ".toml"))] == []
