"""`hotline-watch import`: what it prints, writes and sends, and its exit status."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from cli.importing import import_events

if TYPE_CHECKING:
    from streams.broker import EmbeddedKafka
    from streams.topics import TopicSet

APP = typer.Typer()
APP.command(name="import")(import_events)

DATA = """\
id,user,title,time,text
1,A1,路灯不亮,2020-01-02T03:04:05,北门外路灯不亮。
2,A1,路灯不亮,2020-13-02T03:04:05,北门外路灯不亮。
3,A2,路面破损,2020-01-03T03:04:05
4,A3,路面破损,2020-01-01T03:04:05,门口路面破损。
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(DATA, encoding="utf-8")
    return path


def command(*arguments: object) -> Result:
    return CliRunner().invoke(APP, ["--mapping", "citizen-messages", *map(str, arguments)])


def test_a_dry_run_shows_the_first_events_and_every_rejected_row(data: Path) -> None:
    result = command(data, "--dry-run", 1)
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[0])["event_id"] == "4-registered"
    assert '"1-registered"' not in result.stdout
    assert "2 events would be sent" in result.stdout
    assert "line 3: bad_time: column 'time'" in result.stderr
    assert "line 4: ragged: 4 cells; the header has 5" in result.stderr


def test_a_dry_run_as_json(data: Path) -> None:
    answer = json.loads(command(data, "--dry-run", 5, "--json").stdout)
    assert [event["ticket_id"] for event in answer["first_events"]] == ["4", "1"]
    assert [(one["line"], one["reason"]) for one in answer["rejections"]] == [(3, "bad_time"), (4, "ragged")]
    assert (answer["rows"], answer["events"], answer["rejected"]) == (4, 2, 2)


def test_rejected_rows_change_the_exit_status_only_where_strictness_is_asked_for(data: Path) -> None:
    assert command(data, "--dry-run", 0).exit_code == 0
    assert command(data, "--dry-run", 0, "--strict").exit_code == 1


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_events_and_rejections_are_written(data: Path, tmp_path: Path, name: str) -> None:
    out, rejects = tmp_path / name, tmp_path / "rejects.jsonl"
    result = command(data, "--to", "jsonl", "--out", out, "--rejects", rejects)
    assert result.exit_code == 0
    content = gzip.decompress(out.read_bytes()) if name.endswith(".gz") else out.read_bytes()
    assert [json.loads(line)["ticket_id"] for line in content.splitlines()] == ["4", "1"]
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [3, 4]


def test_events_on_the_standard_output_are_alone_there(data: Path) -> None:
    result = command(data, "--to", "jsonl", "--json")
    assert [json.loads(line)["ticket_id"] for line in result.stdout.splitlines()] == ["4", "1"]
    assert json.loads(result.stderr.splitlines()[-1])["events"] == 2


def test_history_is_marked_as_such(data: Path) -> None:
    answer = json.loads(command(data, "--dry-run", 1, "--json", "--backfill").stdout)
    assert answer["first_events"][0]["backfill"] is True


def test_an_unreadable_file_mapping_or_encoding_is_a_configuration_error(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("mapping: x\n")
    for arguments, words in [
        ((tmp_path / "none.csv", "--dry-run", 1), "cannot be read"),
        ((data, "--dry-run", 1, "--mapping", "nothing"), "no such mapping"),
        ((data, "--dry-run", 1, "--mapping", bad), "bad.yaml:1:"),
        ((data, "--dry-run", 1, "--encoding", "latin-9"), "only utf-8 and gb18030"),
        ((data, "--dry-run", 1, "--mapping", "incident-event-log"), "the file has no column 'number'"),
        ((data, "--to", "jsonl", "--out", tmp_path / "none" / "out"), "cannot be written"),
        ((data, "--dry-run", 1, "--rejects", tmp_path / "none" / "out"), "cannot be written"),
    ]:
        result = command(*arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr


def test_a_broker_that_does_not_answer_is_named_with_the_remedy(data: Path) -> None:
    # Port 9 (discard) is never a Kafka broker here.
    result = command(data, "--bootstrap-servers", "127.0.0.1:9", "--timeout-seconds", 0.5)
    assert result.exit_code == 2
    assert "no Kafka broker answers at 127.0.0.1:9" in result.stderr
    assert "check the address" in result.stderr


@pytest.mark.kafka
def test_events_arrive_in_kafka_by_ticket(data: Path, kafka: EmbeddedKafka, topics: TopicSet) -> None:
    from tests.kafka_support import read_all

    servers = kafka.bootstrap_servers
    result = command(data, "--bootstrap-servers", servers, "--prefix", topics.prefix, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["events"] == 2
    records = read_all(servers, topics.ticket_events)
    assert sorted((record.key, json.loads(record.value or b"")["event_id"]) for record in records) == [
        (b"1", "1-registered"),
        (b"4", "4-registered"),
    ]


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_not_created(data: Path, kafka: EmbeddedKafka, topic_prefix: str) -> None:
    result = command(data, "--bootstrap-servers", kafka.bootstrap_servers, "--topic", f"{topic_prefix}none")
    assert result.exit_code == 2
    assert "topics create" in result.stderr


@pytest.mark.kafka
def test_an_event_that_kafka_refuses_is_reported(data: Path, kafka: EmbeddedKafka, topic_prefix: str) -> None:
    from streams.admin import connect

    topic = f"{topic_prefix}tiny"
    with connect(kafka.bootstrap_servers) as admin:
        wanted = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "100"}}
        admin.create_topics({topic: wanted})
        admin.wait_for_topics([topic])
    result = command(data, "--bootstrap-servers", kafka.bootstrap_servers, "--topic", topic)
    assert result.exit_code == 2
    assert "2 of 2 events not acknowledged" in result.stderr
