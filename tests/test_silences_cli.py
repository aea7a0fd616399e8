"""`silences add|list|expire`: what is taken, what is said, and what is refused without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alerting.silences import load_silences
from cli import silences as cli
from models.times import HOUR, parse_instant

NOW = parse_instant("2025-06-18T09:00:00")
WHO = ("--author", "张某", "--comment", "施工期间集中处理")


class Clock:
    """The command's clock."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cli, "_now", clock)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "silences.yaml"


def call(path: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [*arguments, "--file", str(path)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def answer(path: Path, *arguments: str) -> Any:
    status, stdout, stderr = call(path, *arguments, "--json")
    assert (status, stderr) == (0, "")
    return json.loads(stdout)


def added(path: Path, *arguments: str) -> str:
    return str(answer(path, "add", *WHO, *arguments)["silence"]["id"])


# --- add ---


def test_a_silence_is_added_and_said_in_chinese(path: Path) -> None:
    status, stdout, stderr = call(path, "add", *WHO, "--rule", "P01", "--rule", "P12", "--unit", "U-A", "--hours", "8")
    (one,) = load_silences(path)
    assert (status, stderr) == (0, "")
    about = "规则 P01、P12;单位 U-A,2025-06-18 09:00 至 2025-06-18 17:00"
    assert stdout == f"已添加静默 {one.id}:{about}\n"
    assert (one.starts, one.ends, one.author, one.comment) == (NOW, NOW + 8 * HOUR, "张某", "施工期间集中处理")


def test_every_matcher_has_an_option(path: Path) -> None:
    given = {
        "rules": ("--rule", "P01"),
        "categories": ("--category", "C01"),
        "families": ("--family", "P"),
        "levels": ("--level", "yellow"),
        "units": ("--unit", "U-A"),
        "cases": ("--case", "case-1"),
        "tickets": ("--ticket", "T-1"),
        "subscribers": ("--subscriber", "platform"),
        "streets": ("--street", "甲街道"),
        "communities": ("--community", "乙社区"),
    }
    added(path, "--hours", "1", *(part for option in given.values() for part in option))
    (one,) = load_silences(path)
    assert one.matchers.model_dump(mode="json") == {name: [value] for name, (_, value) in given.items()}


def test_a_silence_may_begin_later_and_end_at_a_time(path: Path) -> None:
    times = ("--from", "2025-06-20T08:00:00", "--until", "2025-06-21T08:00:00+08:00")
    shown = answer(path, "add", *WHO, "--case", "case-1", *times)["silence"]
    assert (shown["starts_at"], shown["ends_at"]) == ("2025-06-20T08:00:00+08:00", "2025-06-21T08:00:00+08:00")
    assert (shown["state"], shown["may_cover_red"]) == ("pending", True)


def test_who_silences_a_rule_is_told_that_red_goes_on(path: Path) -> None:
    stdout = call(path, "add", *WHO, "--rule", "P12", "--hours", "8")[1]
    assert "红色预警不在其内" in stdout
    assert "红色" not in call(path, "add", *WHO, "--rule", "P12", "--level", "blue", "--hours", "8")[1]


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing to match": (("--hours", "8"), "give at least one of rules"),
    "everything red": (("--level", "red", "--hours", "8"), "red is silenced only by case, ticket or unit"),
    "no end": (("--unit", "U-A"), "either --hours or --until"),
    "two ends": (("--unit", "U-A", "--hours", "8", "--until", "2025-06-19T08:00:00"), "either --hours or --until"),
    "no hours": (("--unit", "U-A", "--hours", "0"), "--hours"),
    "ninety days and an hour": (("--unit", "U-A", "--hours", "2161"), "longer than 90 days"),
    "hours without number": (("--unit", "U-A", "--hours", "9" * 30), "longer than 90 days"),
    "an end that is past": (("--unit", "U-A", "--until", "2025-06-18T08:00:00"), "over already"),
    "an end before its beginning":
        (("--unit", "U-A", "--from", "2025-06-20T08:00:00", "--until", "2025-06-19T08:00:00"), "not after starts_at"),
    "a time that is none": (("--unit", "U-A", "--until", "tomorrow"), "--until: not an RFC 3339 time"),
    "a rule that is none": (("--rule", "P99", "--hours", "8"), "there is no rule or category 'P99'; there are C01, "),
    "a category that is none": (("--category", "C99", "--hours", "8"), "there is no rule or category 'C99'"),
    "a level that is none": (("--level", "purple", "--hours", "8"), "purple"),
    "a unit twice": (("--unit", "U-A", "--unit", "U-A", "--hours", "8"), "units: an entry stands twice"),
    "a subscriber's name in capitals": (("--subscriber", "Platform", "--hours", "8"), "subscribers.0: "),
    "a reason too short": (("--unit", "U-A", "--hours", "8", "--comment", "施工"), "comment: say why"),
    "a reason over two lines": (("--unit", "U-A", "--hours", "8", "--comment", "施工期间\n集中处理"), "comment: "),
    "a phone in the reason": (("--unit", "U-A", "--hours", "8", "--comment", "来电19900001234"), "--comment (not shown)"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_ends_with_status_2_and_leaves_no_file(what: str, path: Path) -> None:
    arguments, problem = REFUSED[what]
    status, stdout, stderr = call(path, "add", *WHO, *arguments)
    assert (status, stdout) == (2, "")
    assert problem in stderr
    assert "19900001234" not in stderr
    assert not path.exists()


@pytest.mark.parametrize("missing", ["--author", "--comment"])
def test_nobody_silences_without_a_name_and_a_reason(missing: str, path: Path) -> None:
    given = {"--author": "张某", "--comment": "施工期间集中处理"}
    del given[missing]
    status, _, stderr = call(path, "add", "--unit", "U-A", "--hours", "8", *next(iter(given.items())))
    assert status == 2
    assert missing in stderr


# --- list ---


def test_no_silence_is_listed_where_there_is_none(path: Path) -> None:
    assert call(path, "list") == (0, "没有静默\n", "")
    assert answer(path, "list") == {"silences": []}


def test_what_is_over_is_listed_only_where_all_are_asked_for(path: Path, clock: Clock) -> None:
    short, long = added(path, "--unit", "U-A", "--hours", "1"), added(path, "--rule", "P12", "--hours", "8")
    clock.now += HOUR
    assert [one["id"] for one in answer(path, "list")["silences"]] == [long]
    everything = answer(path, "list", "--all")["silences"]
    assert [(one["id"], one["state"]) for one in everything] == [(short, "over"), (long, "active")]


def test_a_person_sees_whole_lines(path: Path) -> None:
    id_ = added(path, "--unit", "U-A", "--hours", "1")
    heading, line = call(path, "list")[1].splitlines()
    assert heading.split() == ["编号", "状态", "起", "止", "范围", "何人", "原因"]
    assert line.split("  ") == [
        id_, "生效中", "2025-06-18 09:00", "2025-06-18 10:00", "单位 U-A", "张某", "施工期间集中处理"
    ]  # fmt: skip


# --- expire ---


def test_a_silence_is_ended_by_somebody_and_stays_for_the_record(path: Path, clock: Clock) -> None:
    id_ = added(path, "--unit", "U-A", "--hours", "8")
    clock.now += HOUR
    assert call(path, "expire", id_, "--by", "李某") == (0, f"静默 {id_} 已结束\n", "")
    assert call(path, "list")[1] == "没有静默\n"
    assert "已结束(李某提前结束)" in call(path, "list", "--all")[1]
    (one,) = load_silences(path)
    assert (one.ends, one.expired_by) == (NOW + HOUR, "李某")


def test_what_is_over_ends_with_status_1_and_what_is_unknown_with_2(path: Path) -> None:
    id_ = added(path, "--unit", "U-A", "--hours", "8")
    assert answer(path, "expire", id_, "--by", "李某")["silence"]["expired_by"] == "李某"
    status, stdout, stderr = call(path, "expire", id_, "--by", "王某")
    assert (status, stdout, stderr) == (1, "", f"hotline-watch: {id_} is over since 2025-06-18 09:00\n")
    status, _, stderr = call(path, "expire", "S-none", "--by", "王某")
    assert status == 2
    assert "there is no silence S-none" in stderr


def test_a_name_with_a_line_break_ends_nothing(path: Path) -> None:
    id_ = added(path, "--unit", "U-A", "--hours", "8")
    status, _, stderr = call(path, "expire", id_, "--by", "王某\n")
    assert (status, "expired_by: " in stderr) == (2, True)
    assert len(answer(path, "list")["silences"]) == 1


# --- the file ---


@pytest.mark.parametrize(
    "arguments", [("list",), ("add", *WHO, "--unit", "U-A", "--hours", "8"), ("expire", "S-1", "--by", "李某")]
)
def test_a_file_that_cannot_be_taken_ends_with_status_2(arguments: tuple[str, ...], path: Path) -> None:
    path.write_text("silences:\n  - id: S-1\n", encoding="utf-8")
    status, stdout, stderr = call(path, *arguments)
    assert (status, stdout) == (2, "")
    assert stderr.startswith(f"hotline-watch: {path}:2: silences.0.")


def test_without_a_file_the_settings_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = CliRunner().invoke(cli.app, ["list"])
    assert listing.exit_code == 2
    assert "give --file, or set silences_file" in listing.stderr
    monkeypatch.setenv("HOTLINE_WATCH_SILENCES_FILE", str(path))
    id_ = added(path, "--unit", "U-A", "--hours", "8")
    listing = CliRunner().invoke(cli.app, ["list", "--json"])
    assert [one["id"] for one in json.loads(listing.stdout)["silences"]] == [id_]
