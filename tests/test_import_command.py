"""`hotline-watch import`: what it prints, writes and sends, and its exit status."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from cli import importing_watch
from cli.importing import import_events
from cli.importing_job import Job, progress
from models.reference import ReferenceTable
from models.strict_yaml import parse_yaml
from streams.importing import ImportFault, Sample, included_mappings, load_mapping, run_import
from streams.importing.loading import check_mapping
from streams.importing.topic import check_topic
from streams.importing.watching import Ending, Outcome
from streams.topics import TopicSet
from tests.xlsx_support import book

if TYPE_CHECKING:
    from streams.broker import EmbeddedKafka

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


@pytest.mark.parametrize(("option", "expected"), [((), True), (("--backfill",), True), (("--live",), None)])
def test_what_is_imported_is_history_unless_it_is_said_to_be_news(
    data: Path, option: tuple[str, ...], expected: bool | None
) -> None:
    answer = json.loads(command(data, "--dry-run", 1, "--json", *option).stdout)
    assert answer["first_events"][0].get("backfill") is expected
    assert answer["backfill"] is bool(expected)
    told = command(data, "--dry-run", 1, *option).stdout
    assert ("marked as history (backfill): their warnings are not pushed; --live" in told) is bool(expected)


def test_an_unreadable_file_mapping_or_encoding_is_a_configuration_error(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("mapping: x\n")
    for arguments, words in [
        ((tmp_path / "none.csv", "--dry-run", 1), "cannot be read"),
        ((data, "--dry-run", 1, "--mapping", "nothing"), "no such mapping"),
        ((data, "--dry-run", 1, "--mapping", bad), "bad.yaml:1:"),
        ((data, "--dry-run", 1, "--encoding", "latin-9"), "only auto, utf-8 and gb18030"),
        ((data, "--dry-run", 1, "--mapping", "incident-event-log"), "the file has no column 'number', nor"),
        ((data, "--to", "jsonl", "--out", tmp_path / "none" / "out"), "cannot be written"),
        ((data, "--dry-run", 1, "--rejects", tmp_path / "none" / "out"), "cannot be written"),
    ]:
        result = command(*arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr


def test_columns_that_are_missing_are_told_to_programs_too(data: Path) -> None:
    result = command(data, "--dry-run", 1, "--mapping", "two-part-visits", "--json")
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert {one["column"] for one in answer["columns_missing"]} >= {"工单编号", "标题"}
    assert all(one["line"] > 0 for one in answer["columns_missing"])
    assert answer["columns_in_file"] == 5
    assert "columns_not_read" not in answer
    assert "two-part-visits.yaml:" in answer["error"]


def test_the_included_mappings_are_listed_and_printed() -> None:
    listed = CliRunner().invoke(APP, ["--mappings"])
    assert "return-counter       工单表:只有退单次数(backNum)" in listed.stdout
    listed_names = list(json.loads(CliRunner().invoke(APP, ["--mappings", "--json"]).stdout))
    assert listed_names == [*included_mappings(), *ReferenceTable]
    printed = command("--print-mapping")
    assert check_mapping(parse_yaml(printed.stdout, "copy.yaml")).file.mapping == "citizen-messages"
    assert command("--mapping", "none", "--print-mapping").exit_code == 2


def test_options_that_do_not_go_together_are_refused_with_what_is_missing(data: Path, tmp_path: Path) -> None:
    for arguments, words in [
        ((data, "--snapshot"), "--snapshot needs --state FILE"),
        ((data, "--baseline"), "go with --snapshot"),
        ((), "give a FILE, or a folder with --watch"),
        ((data, "--watch", tmp_path), "give a FILE, or a folder with --watch"),
        (("--watch", tmp_path, "--dry-run", "1"), "for one file"),
        (("--watch", tmp_path, "--to", "jsonl"), "sends to Kafka"),
    ]:
        result = command(*arguments)
        assert result.exit_code == 2, arguments
        assert words in " ".join(result.stderr.replace("│", " ").split()), result.stderr
    assert "give --mapping NAME" in CliRunner().invoke(APP, [str(data)]).stderr


def test_a_workbook_is_imported_and_its_sheet_chosen(tmp_path: Path) -> None:
    rows = [["id", "user", "title", "time", "text"], ["1", "A1", "x", "2020-01-02T03:04:05", "x"], ["2", "A1"]]
    path = book(tmp_path, {"甲": rows, "乙": rows})
    assert "several sheets: 甲, 乙" in command(path, "--dry-run", 1).stderr
    result = command(path, "--dry-run", 1, "--sheet", "乙")
    assert result.exit_code == 0
    assert "sheet 乙, line 3: missing_field" in result.stderr


def test_rejected_rows_are_told_by_sheet_and_line_and_the_first_of_very_many(tmp_path: Path) -> None:
    header = ["id", "user", "title", "time", "text"]
    sheets = {name: [header, *[[str(at), "A1", "x", "never", "x"] for at in range(900)]] for name in ("乙", "甲")}
    rejects = tmp_path / "rejects.jsonl"
    out = ("--to", "jsonl", "--out", tmp_path / "out.jsonl", "--rejects", rejects)
    result = command(book(tmp_path, sheets), "--sheet", "*", *out)
    assert result.stderr.splitlines()[0].startswith("sheet 乙, line 2: bad_time: column 'time'")
    assert "… and 1790 more rejected rows: `--rejects FILE` lists them all" in result.stderr
    told = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert [(one["sheet"], one["line"]) for one in told] == [
        (name, at) for name in ("乙", "甲") for at in range(2, 902)
    ]


class _Terminal(io.StringIO):
    """A terminal that remembers what was shown."""

    def isatty(self) -> bool:
        return True


def test_a_person_sees_how_far_it_is_and_a_program_does_not(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    sample = Sample(9)
    with progress(data, quiet=False) as bar:
        assert bar is not None
        run_import(data, load_mapping("citizen-messages"), sample, on_progress=bar)
    assert len(sample.events) == 2
    assert "reading" in terminal.getvalue()
    assert "converting" in terminal.getvalue()
    with progress(data, quiet=True) as bar:
        assert bar is None


def snapshot(tmp_path: Path, table: str, *options: object) -> Result:
    path = tmp_path / "night.csv"
    path.write_text(f"id,user,title,time,text\n{table}", encoding="utf-8")
    out = ("--to", "jsonl", "--out", tmp_path / "out.jsonl") if "--dry-run" not in options else ()
    return command(path, "--snapshot", "--state", tmp_path / "state", *out, *options)


def test_a_snapshot_tells_what_it_found(tmp_path: Path) -> None:
    row = "1,A1,x,2020-01-02T03:04:05,x\n"
    assert snapshot(tmp_path, row + row.replace("1,", "2,", 1)).exit_code == 0
    result = snapshot(tmp_path, row + row.replace("1,", "3,", 1), "--dry-run", 5)
    assert "tickets: 1 new, 0 changed, 1 unchanged, 0 came back, 1 vanished" in result.stdout
    assert "vanished: 2" in result.stdout
    result = snapshot(tmp_path, row + row.replace("1,", "3,", 1), "--json")
    assert json.loads(result.stdout)["snapshot"]["vanished_keys"] == ["2"]
    assert [json.loads(line)["ticket_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["3"]


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    result = snapshot(tmp_path, "", "--at", "yesterday")
    assert result.exit_code == 2
    assert "--at: not an RFC 3339 time: write it as" in result.stderr
    result = snapshot(tmp_path, "", "--at", "2099-01-01T00:00:00+08:00")
    assert result.exit_code == 2
    assert "is of 2099-01-01T00:00:00+08:00, ahead of this machine's clock" in result.stderr


def test_a_watched_folder_is_worked_off_and_told_file_by_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample(9)
    monkeypatch.setattr(Job, "sink", lambda *_, **__: sample)
    folder = tmp_path / "in"
    folder.mkdir()
    data.rename(folder / "a.csv")
    (folder / "b.csv").write_text("number\n1\n", encoding="utf-8")
    options = ("--watch", folder, "--once", "--settle-seconds", 0, "--every-seconds", 0.1)
    result = command(*options, "--json")
    assert result.exit_code == 2, result.stderr  # one failed
    told = {one["file"]: one for one in map(json.loads, result.stdout.splitlines())}
    assert (told["a.csv"]["ending"], told["a.csv"]["events"], told["a.csv"]["backfill"]) == ("imported", 2, True)
    assert told["b.csv"]["ending"] == "failed"
    (folder / "c.csv").write_text(DATA.replace("4,", "9,"), encoding="utf-8")
    assert command(*options, "--strict").exit_code == 1  # rows were rejected
    (folder / "d.csv").write_text(DATA.replace("4,", "8,"), encoding="utf-8")
    assert command(*options).exit_code == 0
    assert command(*options, "--strict").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        ".hotline-watch-import.sqlite",
        ".hotline-watch-import.sqlite.lock",
        "done",
        "failed",
    ]


def test_each_file_that_waits_is_told_once_for_each_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([["a", "b"], ["a", "b"], ["b"], ["a", "b"]])

    class Looking:
        unsettled = 0

        def look(self) -> list[Outcome]:
            names = next(looks, None)
            if names is None:
                stop.set()
            return [Outcome(name, Ending.POSTPONED, problem="cannot be read") for name in names or ()]

    stop = threading.Event()
    told: list[str] = []
    monkeypatch.setattr(importing_watch, "_show", lambda _, outcome: told.append(outcome.file))
    importing_watch._watch(None, Looking(), stop, 0, once=False)  # type: ignore[arg-type]
    assert told == ["a", "b"]


@pytest.mark.parametrize(
    ("prefix", "topic"),
    [
        ("", "hw.tickets"),
        ("", "hw.reference"),
        ("", "hw-worker-tickets-changelog"),
        ("", "__consumer_offsets"),
        ("city-", "city-hw.alerts"),
        ("city-", "hw.alerts"),
        ("city-", "other-hw.quarantine"),
    ],
)
def test_a_topic_that_only_the_service_writes_to_is_refused_before_kafka_is_asked(
    data: Path, tmp_path: Path, prefix: str, topic: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data.rename(folder / "a.csv")
    for what in ((folder / "a.csv",), ("--watch", folder, "--once", "--settle-seconds", 0)):
        result = command(*what, "--topic", topic, "--prefix", prefix)
        assert result.exit_code == 2
        assert f"--topic {topic}: a topic that only Kafka or the service itself writes to: leave" in result.stderr
        assert f"({prefix}hotline.ticket-events is meant)" in result.stderr
    assert (folder / "a.csv").exists()


def test_topics_of_ones_own_and_of_the_import_itself_are_taken() -> None:
    topics = TopicSet("city-")
    for topic in ("city-hotline.ticket-events", "hotline.ticket-events", "drill-events"):
        check_topic(topic, topics, topics.ticket_events)
    check_topic("city-hw.reference", topics, topics.reference)
    with pytest.raises(ImportFault, match=r"city-hw\.reference is meant"):
        check_topic("city-hotline.ticket-events", topics, topics.reference)


def test_nothing_of_a_file_without_a_header_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("5,张某,来电人反映路灯不亮。,199-0000-0001,\x1b[31m北门\n", encoding="utf-8")
    for options in ((), ("--json",)):
        result = command(path, "--dry-run", 1, *options)
        assert result.exit_code == 2
        told = result.stdout + result.stderr
        assert "it has 5 columns, none of them known to the mapping: is there a header" in told
        assert not any(cell in told for cell in ("张某", "路灯", "199", "\x1b", "北门"))


def test_names_that_would_move_a_terminals_cursor_are_printed_harmlessly(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\udcff.csv"
    path.write_text(DATA.replace("text\n", "text,x\x9b2J\u202e\n", 1), encoding="utf-8")
    shown = command(path, "--dry-run", 1)
    answer = command(path, "--dry-run", 1, "--json")
    assert shown.exit_code == answer.exit_code == 0
    assert "x\ufffd2J\ufffd" in shown.stdout
    assert json.loads(answer.stdout)["columns_not_read"] == ["x\ufffd2J\ufffd"]
    gone = command(tmp_path / "b\x1b[2J\udcff.csv", "--dry-run", 1)
    assert "b\ufffd[2J\ufffd.csv cannot be read" in gone.stderr
    path.write_text(DATA.replace("路灯", "\x9b2J\u202e"), encoding="utf-8")
    sample = command(path, "--dry-run", 9)
    assert "\\u009b2J\\u202e" in sample.stdout
    assert not any(one in sample.stdout for one in "\x9b\u202e")


def test_a_watched_folder_of_snapshots_sends_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample(9)
    monkeypatch.setattr(Job, "sink", lambda *_, **__: sample)
    folder = tmp_path / "in"
    folder.mkdir()
    options = ("--watch", folder, "--once", "--settle-seconds", 0, "--snapshot", "--json")
    for night, ids in enumerate(["1", "12", "12", "1"], 1):
        path = folder / f"{night}.csv"
        rows = "".join(f"{at},A1,x,2020-01-02T03:04:05,x\n" for at in ids)
        path.write_text(f"id,user,title,time,text\n{rows}", encoding="utf-8")
        os.utime(path, (1_700_000_000 + night, 1_700_000_000 + night))
    told = [json.loads(line) for line in command(*options).stdout.splitlines()]
    assert [one["ending"] for one in told] == ["imported", "imported", "already_done", "imported"]
    assert [one.get("events") for one in told] == [1, 1, None, 0]
    assert told[3]["snapshot"]["vanished_keys"] == ["2"]


def test_a_watched_folder_without_a_broker_ends_with_the_reason(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data.rename(folder / "a.csv")
    where = ("--bootstrap-servers", "127.0.0.1:9", "--timeout-seconds", 0.2)
    result = command("--watch", folder, "--once", "--settle-seconds", 0, *where)
    assert result.exit_code == 2
    assert "a.csv: postponed: no Kafka broker answers at 127.0.0.1:9" in result.stderr
    assert (folder / "a.csv").exists()


def test_a_broker_that_does_not_answer_is_named_with_the_remedy(data: Path) -> None:
    # Port 9 (discard) is never a Kafka broker here.
    result = command(data, "--bootstrap-servers", "127.0.0.1:9", "--timeout-seconds", 0.5)
    assert result.exit_code == 2
    assert "no Kafka broker answers at 127.0.0.1:9" in result.stderr
    assert "check the address" in result.stderr


@pytest.mark.kafka
def test_events_arrive_in_kafka_by_ticket(data: Path, tmp_path: Path, kafka: EmbeddedKafka, topics: TopicSet) -> None:
    from tests.kafka_support import read_all

    servers = kafka.bootstrap_servers
    lines = tmp_path / "events.jsonl"
    body = {"event_id": "7-archived", "ticket_id": "7", "type": "archived"}
    lines.write_text(
        "".join(json.dumps(body | {"occurred_at": at}) + "\n" for at in ("2025-06-01T08:00:00", "2099-06-01T08:00:00"))
    )
    events = [str(lines), "--bootstrap-servers", servers, "--prefix", topics.prefix, "--json"]
    told = json.loads(CliRunner().invoke(APP, events).stdout)
    assert (told["events"], told["rejected_by_reason"]) == (1, {"in_the_future": 1})
    result = command(data, "--bootstrap-servers", servers, "--prefix", topics.prefix, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["events"] == 2
    records = read_all(servers, topics.ticket_events)
    assert sorted((record.key, json.loads(record.value or b"")["event_id"]) for record in records) == [
        (b"1", "1-registered"),
        (b"4", "4-registered"),
        (b"7", "7-archived"),
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
