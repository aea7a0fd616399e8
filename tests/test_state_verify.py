"""`hotline-watch state verify` on what real workers left on their disks."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rocksdict
from typer.testing import CliRunner, Result

from cli.demo_stories import demo_events
from cli.main import app
from streams import dispatch, worker
from streams.broker import EmbeddedKafka
from streams.state_verifying import TYPES
from tests.live_support import Live, live, to_bytes

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def worked(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An installation whose only worker has done the demo's stories; it still runs."""
    with live(kafka, tmp_path_factory.mktemp("verify"), "verify.") as service:
        service.start("worker-1")
        service.wait_until_ready()
        service.send(to_bytes(demo_events()))
        service.idle()
        yield service


def _verify(service: Live, folder: Path, *more: str) -> Result:
    where = ["--bootstrap-servers", service.servers, "--prefix", service.topics.prefix, "--data-dir", str(folder)]
    return CliRunner().invoke(app, ["state", "verify", *where, *more])


def _partitions(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["partitions"]
    return found


def _tickets_with_keys(folder: Path, service: Live) -> tuple[Path, int]:
    found = next(
        one for one in _partitions(_verify(service, folder, "--json", "--table", "tickets")) if one["keys"] > 1
    )
    return Path(found["folder"]), found["partition"]


def test_a_worker_that_runs_is_told_apart_and_one_that_stopped_is_equal(worked: Live, tmp_path: Path) -> None:
    folder = worked.data_dir("worker-1")
    running = _verify(worked, folder)
    assert running.exit_code == 2
    assert "is in use: stop the process" in running.stderr

    worked.running["worker-1"].kill()
    stopped = _verify(worked, folder, "--json")
    assert stopped.exit_code == 0, stopped.output
    found = _partitions(stopped)
    assert {one["table"] for one in found} == {"tickets", "citizens"}
    assert sum(one["keys"] for one in found if one["table"] == "tickets") >= len(
        {event["ticket_id"] for event in demo_events()}
    )
    assert all(one["equal"] and one["offset"] < one["end"] for one in found)
    assert _verify(worked, folder).exit_code == 0  # looking has changed nothing

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    database, partition = _tickets_with_keys(copy, worked)
    with_marks = rocksdict.Rdict(str(database), options=rocksdict.Options(raw_mode=True))
    changed, lost = [key for key, _ in with_marks.items() if not key.startswith((b"\0", b"__faust"))][:2]
    with_marks[changed] = with_marks[changed] + b" "
    del with_marks[lost]
    with_marks[b"ticket-of-nobody"] = b"\1\2{}"
    with_marks.close()

    broken = _verify(worked, copy, "--json", "--table", "tickets")
    assert broken.exit_code == 1
    told = {one["key_sha256"]: one["kind"] for part in _partitions(broken) for one in part["differences"]}
    wanted = {changed: "different", lost: "missing", b"ticket-of-nobody": "extra"}
    assert told == {hashlib.sha256(key).hexdigest(): kind for key, kind in wanted.items()}
    assert [one["partition"] for one in _partitions(broken) if not one["equal"]] == [partition]
    shown = _verify(worked, copy).output
    assert all(key.decode() not in shown + broken.output for key in wanted)


def test_a_directory_without_tables_is_no_success(worked: Live, tmp_path: Path) -> None:
    found = _verify(worked, tmp_path)
    assert found.exit_code == 2
    assert "holds no table" in found.stderr


def test_the_types_are_those_that_the_processes_write() -> None:
    assert {"tickets": worker.TICKETS_TYPE, "citizens": worker.CITIZENS_TYPE, "dispatch": dispatch.TYPE_ID} == TYPES
