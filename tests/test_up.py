"""`hotline-watch up`: the durable single-machine service over restarts, SIGTERM and the SIGKILL of a worker."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from alerting.receiver import Receiver, serve
from streams.hold import is_up
from streams.settings import PseudonymKeySettings, Settings
from streams.single import SingleMachine
from streams.topics import TopicSet
from tests.backup_support import FakeKafka, run
from tests.builders import Story
from tests.directory_support import delivery_files, file_settings
from tests.kafka_support import Worker, eventually, process_exists
from tests.live_support import SECRET, send, subscribers_file, to_bytes

TOPICS = TopicSet(partitions=2)
STOP_SECONDS = 30.0
TOKEN = "a-token-for-tests-0123456789"


@dataclass
class Up:
    """A running service and where its broker is."""

    process: Worker
    servers: str

    def send(self, records: list[dict[str, Any]]) -> None:
        """Send ticket events."""
        send(self.servers, TOPICS, to_bytes(records))

    def children(self, word: str) -> list[int]:
        """Return the processes that it started with this word in their command."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                command = (path / "cmdline").read_bytes().split(b"\0")
            except (OSError, ValueError, IndexError):
                continue
            if parent == self.process.pid and word.encode() in command:
                found.append(int(path.name))
        return found

    def address(self, name: str) -> str:
        """Return where a process tells of its health."""
        found = re.search(rf"^{name}\s+(http://[\d.:]+)/metrics", self.process.log(), re.MULTILINE)
        assert found
        return found[1]


@contextmanager
def up(folder: Path, data: Path, url: str, number: int, workers: int = 2) -> Iterator[Up]:
    """Yield the service when it says that it is up."""
    common = {
        "PARTITIONS": str(TOPICS.partitions),
        **file_settings(delivery_files(subscribers_file(folder, url))),
        "API_CLIENTS_FILE": str(api_clients(folder)),
        "RETRY_SCALE": "0.01",
        "SESSION_TIMEOUT_SECONDS": "3",
        "COMMIT_INTERVAL_SECONDS": "0.2",
    }
    env = {f"HOTLINE_WATCH_{key}": value for key, value in common.items()} | {"COLUMNS": "200"}
    command = ["-m", "cli.main", "up", "--data", str(data), "--workers", str(workers)]
    with Worker(command, folder / f"up-{number}.log", env=env) as process:
        process.wait_for("up; data in", 120)
        found = re.search(r"Kafka\s+(127\.0\.0\.1:\d+)", process.log())
        assert found
        yield Up(process, found[1])


def api_clients(folder: Path) -> Path:
    """Write who may use the HTTP API: the one subscriber."""
    (folder / "token").write_text(TOKEN)
    path = folder / "clients.yaml"
    path.write_text("clients: [{name: test, token: {file: token}, role: subscriber, subscriber: test}]\n")
    return path


def _pulled(service: Up) -> list[dict[str, Any]]:
    """Return what the API has for the subscriber of the one ticket's returns."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        answer = httpx.get(
            f"{service.address('api')}/v1/alerts",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=5,
            trust_env=False,
        )
        if answer.status_code == 200:
            found[:] = [one for one in answer.json()["alerts"] if one["alert"]["rule"]["id"] == "P01"]
        return bool(found)

    eventually(is_there, 30)
    return found


def _returns(receiver: Receiver) -> list[tuple[str, str]]:
    """Return the status and level of each version that was received of the one ticket's returns."""
    of_rule = [one.alert for one in receiver.accepted if one.alert["rule"]["id"] == "P01"]
    return [(alert["status"], alert["level"]) for alert in of_rule]


def _sequences(receiver: Receiver) -> list[int]:
    return [one.alert["sequence"] for one in receiver.accepted if one.alert["case_id"] == "case:T-1"]


STORY = Story("T-1").complaint(0)(0.1, "dispatched", unit="A")(1, "return_requested", unit="A")(
    2, "return_requested", unit="A"
)(3, "return_requested", unit="B")(4, "return_requested", unit="C")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.usefixtures("kafka")
def test_it_keeps_its_state_over_a_restart_and_starts_again_what_was_killed(tmp_path: Path) -> None:
    data, receiver = tmp_path / "data", Receiver([SECRET])
    with serve(receiver) as url:
        with up(tmp_path, data, url, 1, workers=1) as service:
            service.send(STORY.records[:4])
            eventually(lambda: ("raised", "blue") in _returns(receiver), 60)
            # A call that is answered but not yet booked when the service ends is made again under the same webhook-id.
            eventually(lambda: _pending(service) == 0, 30)
            (pulled,) = _pulled(service)
            assert pulled["delivery_id"] in {one.webhook_id for one in receiver.accepted}
            workers = service.children("worker")
            assert len(workers) == 1
            assert service.process.stop(STOP_SECONDS) == 0
            eventually(lambda: not any(process_exists(pid) for pid in workers), 5)
        before, sequences = list(receiver.accepted), _sequences(receiver)

        with up(tmp_path, data, url, 2) as service:
            service.send(STORY.records[4:5])
            eventually(lambda: ("escalated", "yellow") in _returns(receiver), 60)
            later = _sequences(receiver)[len(sequences) :]
            assert later == list(range(sequences[-1] + 1, sequences[-1] + 1 + len(later))), "the sequence goes on"
            again = {one.webhook_id for one in before} & {one.webhook_id for one in receiver.accepted[len(before) :]}
            assert (again, receiver.out_of_order) == (set(), [])

            killed = service.children("worker")[0]
            os.kill(killed, signal.SIGKILL)
            service.send(STORY.records[5:])
            eventually(lambda: ("escalated", "red") in _returns(receiver), 60)
            eventually(lambda: len(service.children("worker")) == 2, 60)
            assert killed not in service.children("worker")
            for name in ("worker-1", "worker-2", "dispatch", "api"):
                address = service.address(name)
                eventually(lambda name=name, address=address: _ready(name, address), 60)  # type: ignore[misc]
            assert service.process.stop(STOP_SECONDS) == 0
    # On a busy machine a partition may move while a call is under way: it is made again, under its one webhook-id, and
    # has one effect.
    assert _returns(receiver) == [("raised", "blue"), ("escalated", "yellow"), ("escalated", "red")]
    assert (receiver.out_of_order, receiver.not_verified) == ([], 0)
    assert (data / "secrets" / "pseudonym-k1").stat().st_mode & 0o077 == 0


def _pending(service: Up) -> float:
    text = httpx.get(f"{service.address('dispatch')}/metrics", timeout=2, trust_env=False).text
    found = re.search(r'^hw_dispatch_pending\{subscriber="test"\} (\S+)$', text, re.MULTILINE)
    assert found
    return float(found[1])


def _ready(name: str, address: str) -> bool:
    try:
        # The API has health alone.
        path = "healthz" if name == "api" else "readyz"
        return httpx.get(f"{address}/{path}", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_bad_subscribers_file_ends_it_with_2_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The broker's part and the workers' are not what this is about; dispatch is a process as it always is.
    monkeypatch.setattr("streams.single.create_topics", lambda *_: None)
    monkeypatch.setattr("streams.single.EmbeddedKafka", lambda *_, **__: FakeKafka())
    monkeypatch.setattr("streams.single.SingleMachine", lambda *given: SingleMachine(*given[:-1], workers=0))
    monkeypatch.setattr("streams.logs.set_up_logs", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    bad = tmp_path / "bad.yaml"
    bad.write_text("subscribers: [{name: a, url: 'file:///etc/passwd', secret: {file: none}}]\n")
    monkeypatch.setenv("HOTLINE_WATCH_SUBSCRIBERS_FILE", str(bad))
    status, shown = run("up", "--data", str(tmp_path / "data"))
    assert (status, "dispatch cannot start: " in shown, "Traceback" in shown) == (2, True, False), shown
    assert "bad.yaml" in shown
    assert not is_up(tmp_path / "data")


def test_pseudonym_keys_that_are_set_are_the_workers_keys_and_none_is_made(tmp_path: Path) -> None:
    secret = SecretStr("a secret for tests, nothing else")
    own = SingleMachine(Settings(pseudonym_keys=(PseudonymKeySettings(id="city", secret=secret),)), tmp_path / "own")
    made = SingleMachine(Settings(), tmp_path / "made")
    made.data_dir.mkdir()
    assert own.pseudonym_environment() == {}  # the workers read the same environment and the same file
    first = made.pseudonym_environment()
    assert first == made.pseudonym_environment()
    key = orjson.loads(first["HOTLINE_WATCH_PSEUDONYM_KEYS"])[0]
    assert (key["id"], len(Path(key["secret_file"]).read_text())) == ("k1", 64)
