"""The commands over recorded events: backtest, explain, rules, schema. Files in, exit status and output out."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import COMMANDS, app
from cli.recorded import Decoding, jobs_for, recorded_events
from cli.running import RUN_KEYS, reader_of
from models.alert import Alert
from models.schemas import contract_schemas
from rules.event import Event
from rules.facts import BY_PATH
from rules.pack import default_pack
from tests.builders import Story, jsonl
from tests.test_pack import RULE, pack_with

A, B, C = "U-A", "U-B", "U-C"


def call(*arguments: object) -> Result:
    """Run the command line in this process; usage and configuration errors end with status 2 as in the real one."""
    from models.strict_yaml import ConfigFileError

    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if isinstance(result.exception, ConfigFileError):
        result.exit_code = 2  # `main` tells it and ends so
    return result


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def story() -> Story:
    return Story().complaint(0)(1, "return_requested", unit=A)(2, "return_requested", unit=B)(
        3, "return_requested", unit=C
    )


@pytest.fixture
def events(story: Story, tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes(jsonl(story.records))
    return path


def alerts_in(path: Path) -> list[Alert]:
    return [Alert.model_validate_json(line) for line in path.read_bytes().splitlines()]


# --- backtest ---


def test_backtest_writes_every_version_in_issue_order(events: Path, tmp_path: Path) -> None:
    out = tmp_path / "alerts.jsonl"
    summary = told(call("backtest", events, "--out", out, "--json"))
    assert [(one.status.value, one.level.value, one.sequence) for one in alerts_in(out)] == [
        ("raised", "yellow", 1),
        ("escalated", "red", 2),
    ]
    assert summary["events"] == 4
    assert summary["tickets"] == 1
    assert summary["in_force"] == {"P01 多次退单": {"red": 1}}
    assert summary["versions"] == {"raised": 1, "escalated": 1}
    assert summary["until"] == "2025-03-06T09:00:00+08:00"


def test_backtest_prints_a_table_for_people(events: Path) -> None:
    result = call("backtest", events)
    assert result.exit_code == 0
    assert "4 events of 1 tickets" in result.output
    assert "P01 多次退单" in result.output


def test_backtest_takes_several_files_and_gzip(story: Story, tmp_path: Path) -> None:
    halves = [tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"]
    halves[0].write_bytes(jsonl(story.records[:2]))
    halves[1].write_bytes(gzip.compress(jsonl(story.records[2:])))
    assert told(call("backtest", *halves, "--json"))["in_force"] == {"P01 多次退单": {"red": 1}}
    assert told(call("backtest", *halves[::-1], "--json"))["in_force"] == {"P01 多次退单": {"red": 1}}


def test_backtest_until_ignores_what_came_later_and_runs_the_clock(events: Path) -> None:
    early = told(call("backtest", events, "--until", "2025-03-05T09:00:00+08:00", "--json"))
    assert early["in_force"] == {"P01 多次退单": {"yellow": 1}}
    assert early["until"] == "2025-03-05T09:00:00+08:00"
    late = told(call("backtest", events, "--until", "2025-05-10 09:00:00", "--json"))
    assert late["in_force"] == {"P01 多次退单": {"red": 1}, "P12 久拖未决": {"yellow": 1}}


def test_backtest_writes_rejected_lines_and_goes_on(story: Story, tmp_path: Path) -> None:
    path, rejects = tmp_path / "e.jsonl", tmp_path / "rejects.jsonl"
    lines = jsonl(story.records).splitlines()
    path.write_bytes(b"\n".join([lines[0], b"{not json 19900001234", lines[1], b"", b"[]", *lines[2:]]) + b"\n")
    summary = told(call("backtest", path, "--rejects", rejects, "--json"))
    assert summary["rejected"] == {"not_json": 1, "not_an_object": 1}
    assert summary["in_force"] == {"P01 多次退单": {"red": 1}}
    written = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert [(one["line"], one["reason"]) for one in written] == [(2, "not_json"), (5, "not_an_object")]
    assert "19900001234" not in rejects.read_text(encoding="utf-8")


def test_backtest_writes_the_facts_of_each_case(tmp_path: Path) -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2")(2, "visited", result="dissatisfied")
    story(3, "registered", ticket="T-3")(4, "merged", ticket="T-3", into="T-1")
    path, facts = tmp_path / "e.jsonl", tmp_path / "facts.jsonl"
    path.write_bytes(jsonl(story.records))
    told(call("backtest", path, "--facts", facts, "--json"))
    records = {one["ticket_id"]: one for one in map(json.loads, facts.read_text(encoding="utf-8").splitlines())}
    assert set(records) == {"T-1", "T-2"}
    assert records["T-1"]["tickets"] == ["T-1", "T-3"]
    assert set(records["T-1"]["facts"]) == set(BY_PATH)
    assert records["T-1"]["facts"]["repeat.count"] == 2
    assert {one["ticket_id"] for one in records["T-1"]["repeated"]} == {"T-1", "T-2"}


def test_backtest_takes_another_pack(events: Path, tmp_path: Path) -> None:
    folder = pack_with(tmp_path / "pack")
    assert told(call("backtest", events, "--rules", folder, "--json"))["in_force"] == {"Z1 试规则": {"blue": 1}}


def test_backtest_needs_no_secret_for_citizens_without_a_key(tmp_path: Path) -> None:
    story = Story()
    for number in range(3):
        story.complaint(number, ticket=f"T-{number}", citizen={"phone": "199-0000-1234"})
    story(5, "visited", ticket="T-0", result="dissatisfied")
    path, out = tmp_path / "e.jsonl", tmp_path / "alerts.jsonl"
    path.write_bytes(jsonl(story.records))
    assert told(call("backtest", path, "--out", out, "--json"))["in_force"] == {"P08 重复投诉且不满意": {"yellow": 1}}
    assert "1990000" not in out.read_text(encoding="utf-8").replace("-", "")


def test_history_is_written_once_however_often_it_is_issued(tmp_path: Path) -> None:
    story = Story()(1, "return_requested", unit=A, backfill=True)(2, "return_requested", unit=B, backfill=True)(
        3, "urged"
    )
    path, out = tmp_path / "e.jsonl", tmp_path / "alerts.jsonl"
    path.write_bytes(jsonl(story.records))
    told(call("backtest", path, "--out", out, "--json"))
    ids = [one.alert_id for one in alerts_in(out)]
    assert len(ids) == len(set(ids)) == 1


def test_alarms_are_counted(tmp_path: Path) -> None:
    story = Story()(1, "urged")(2, "merged", into="T-1")
    path = tmp_path / "e.jsonl"
    path.write_bytes(jsonl([*story.records, story.records[0] | {"type": "progress"}]))
    summary = told(call("backtest", path, "--json"))
    assert (summary["conflicting_bodies"], summary["refused_merges"]) == (1, 1)
    assert "SECURITY" in call("backtest", path).output


@pytest.mark.parametrize("chunk_lines", [1, 3, 100])
def test_several_processes_read_what_one_reads(tmp_path: Path, chunk_lines: int) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_bytes(
        jsonl(Story().complaint(0)(1, "return_requested", unit=A)(2, "progress", unit=B).records) + b"{}\n"
    )
    second.write_bytes(b"nothing\n" + jsonl(Story("T-2").complaint(0)(1, "return_requested", unit=A).records))

    def read(jobs: int) -> tuple[list[Event], list[tuple[str, int, str]]]:
        refused: list[tuple[str, int, str]] = []
        decoding = Decoding(RUN_KEYS, reader_of(default_pack()))
        with recorded_events(
            [first, second],
            decoding,
            lambda path, number, why: refused.append((path.name, number, why.reason)),
            jobs=jobs,
            chunk_lines=chunk_lines,
        ) as events:
            return list(events), refused

    events, refused = read(jobs=1)
    assert len(events) == 5
    assert refused == [("first.jsonl", 4, "missing_field"), ("second.jsonl", 1, "not_json")]
    assert read(jobs=2) == (events, refused)


def test_small_files_are_read_by_one_process(events: Path) -> None:
    assert jobs_for([events]) == 1


@pytest.mark.parametrize("jobs", ["0", "-1", "65", "abc"])
def test_jobs_out_of_range_are_refused(events: Path, jobs: str) -> None:
    refused = CliRunner().invoke(app, ["backtest", str(events), "--jobs", jobs])
    assert refused.exit_code == 2
    assert "--jobs" in refused.stderr


def test_backtest_by_several_processes_says_the_same(events: Path) -> None:
    assert told(call("backtest", events, "--jobs", 2, "--json")) == told(
        call("backtest", events, "--jobs", 1, "--json")
    )


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(b"")
    assert told(call("backtest", tmp_path / "e.jsonl", "--json"))["events"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("none.jsonl",),
        ("{events}", "--until", "tomorrow"),
        ("{events}", "--until", "2025-02-30T00:00:00+08:00"),
        ("{events}", "--rules", "none"),
        ("{events}", "--out", "none/alerts.jsonl"),
        ("{events}", "--facts", "none/facts.jsonl"),
        ("{events}", "--colour", "red"),
        ("broken.jsonl.gz",),
        (),
    ],
)
def test_usage_errors_end_with_status_2(
    arguments: tuple[str, ...], events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.jsonl.gz").write_bytes(gzip.compress(events.read_bytes())[:-9])
    result = call("backtest", *(one.format(events=events) for one in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output


# --- explain ---


def test_explain_shows_which_term_failed(events: Path) -> None:
    record = told(call("explain", "T-1", "--events", events, "--until", "2025-03-05T09:00:00+08:00", "--json"))
    assert [one["type"] for one in record["timeline"]] == ["registered", "return_requested", "return_requested"]
    assert record["states"] == {"T-1": "return_requested"}
    (p01,) = (one for one in record["rules"] if one["rule"] == "P01")
    assert p01["level"] == "yellow"
    red = p01["levels"][0]
    assert (red["level"], red["holds"]) == ("red", False)
    assert red["terms"] == [
        {"term": "returns.count >= 4", "holds": False, "values": {"returns.count": 2}},
        {"term": "returns.units >= 3", "holds": False, "values": {"returns.units": 2}},
    ]
    assert [one["rule"] for one in record["rules"]] == [rule.id for rule in default_pack().rules]
    assert set(record["facts"]) == set(BY_PATH)


def test_explain_reads_like_a_story(events: Path) -> None:
    result = call("explain", "T-1", "--events", events)
    assert result.exit_code == 0
    for expected in ("时间线", "登记受理", "申请退单", "P01 多次退单:红色预警", "✗ 不成立", "returns.units >= 3"):
        assert expected in result.output


def test_explain_says_where_a_merged_ticket_went(tmp_path: Path) -> None:
    story = Story("C")(1, "return_requested", unit=A)(2, "return_requested", unit=B)(3, "merged", into="R")
    path = tmp_path / "e.jsonl"
    path.write_bytes(jsonl(story.records))
    record = told(call("explain", "C", "--events", path, "--json"))
    assert record["merged_into"] == "R"
    (p01,) = (one for one in record["rules"] if one["rule"] == "P01")
    assert (p01["level"], p01["note"]) == (None, "工单已并入R,预警由主单发出")


def test_explain_says_what_is_off_and_what_a_calendar_caps(tmp_path: Path) -> None:
    off = pack_with(tmp_path / "off", RULE.replace("status: stable", "status: 'off'"))
    path = tmp_path / "e.jsonl"
    late = Story()("2098-12-01T09:00:00+08:00", "dispatched", unit=A, limit={"value": 5, "unit": "work_days"})
    path.write_bytes(jsonl(late.records))
    (z1,) = told(call("explain", "T-1", "--events", path, "--rules", off, "--json"))["rules"]
    assert z1["note"] == "规则已停用"
    record = told(call("explain", "T-1", "--events", path, "--until", "2099-03-01T09:00:00+08:00", "--json"))
    (p06,) = (one for one in record["rules"] if one["rule"] == "P06")
    assert (p06["level"], p06["note"]) == ("yellow", "工作日历不全,红色降为黄色")


def test_explain_an_unknown_ticket_ends_with_status_2(events: Path) -> None:
    result = call("explain", "T-404", "--events", events)
    assert result.exit_code == 2
    assert "T-404" in result.output


# --- rules ---


def test_rules_lint_and_test_take_the_default_pack() -> None:
    assert told(call("rules", "lint", "--json"))["pack"] == "default"
    result = told(call("rules", "test", "--json"))
    assert result["failed"] == []
    assert result["cases"] > 9 * 2


def test_a_case_that_comes_out_otherwise_ends_with_status_1(tmp_path: Path) -> None:
    folder = pack_with(tmp_path / "p", RULE.replace("{returns.count: 2}", "{returns.count: 4}"))
    assert call("rules", "lint", folder).exit_code == 0
    result = call("rules", "test", folder, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == [
        {"rule": "Z1", "case": "两次", "expected": "blue", "came_out": "red"}
    ]
    assert "FAILED 两次" in call("rules", "test", folder).output


# --- the command itself, as a process ---


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_broken_pack_is_told_as_file_and_line_with_status_2(events: Path, tmp_path: Path) -> None:
    folder = pack_with(tmp_path / "p", RULE.replace("returns.count >= 4", "returns.cuont >= 4"))
    for arguments in (("rules", "lint", folder), ("backtest", events, "--rules", folder)):
        done = command(*arguments)
        assert done.returncode == 2
        assert f"{folder / 'Z1-trial.yaml'}:9: red: unknown fact returns.cuont" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unknown_command_ends_with_status_2_and_help_with_0() -> None:
    assert command("brainstorm").returncode == 2
    done = command("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_what_only_some_commands_need_is_not_imported_by_all() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['rules', 'test']).exit_code == 0\n"
        "print([name for name in ('faust', 'aiokafka', 'kafka', 'rocksdict', 'httpx', 'jgo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", ["ticket-event", "alert", "quarantine"])
def test_schema_prints_the_contract(name: str) -> None:
    assert told(call("schema", name)) == json.loads(json.dumps(contract_schemas()[name]))


def test_schema_of_nothing_ends_with_status_2() -> None:
    result = call("schema", "brainstorm")
    assert result.exit_code == 2
    assert "ticket-event" in result.output


@pytest.mark.parametrize("option", ["--out", "--rejects", "--facts"])
def test_backtest_never_writes_over_what_it_reads(events: Path, option: str) -> None:
    before = events.read_bytes()
    result = call("backtest", events, option, events)
    assert result.exit_code == 2
    assert "is an input as well" in result.output
    assert events.read_bytes() == before


def test_backtest_never_writes_two_things_into_one_file(events: Path, tmp_path: Path) -> None:
    result = call("backtest", events, "--out", tmp_path / "one", "--facts", tmp_path / "one")
    assert result.exit_code == 2
    assert "--facts" in result.output


def test_names_that_look_like_markup_are_text(tmp_path: Path) -> None:
    records = [
        {"event_id": "e1", "ticket_id": "T", "type": "registered", "occurred_at": "2025-01-01T09:00:00+08:00"},
        {
            "event_id": "e2",
            "ticket_id": "T",
            "type": "dispatched",
            "occurred_at": "2025-01-01T10:00:00+08:00",
            "unit_id": "[/]",
            "unit_name": "[/red]",
        },
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    result = call("explain", "T", "--events", path)
    assert result.exit_code == 0
    assert "[/red]" in result.output
