"""`evaluate text`: shares by hand-counted examples, and the command over labelled sets. No text in what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Level
from rules import text_scoring
from rules.text_scoring import Outcome, Share
from tests.text_support import BRIBE, INACTION, QUIET, call, lines_of, one_pack, told

__all__ = ["one_pack"]

B, Y, R = Level.BLUE, Level.YELLOW, Level.RED

# line  expected        found                         level
TABLE: tuple[tuple[int, set[str], dict[str, Level], Level | None], ...] = (
    (1, {"C01"}, {"C01": Y}, Y),
    (2, {"C01"}, {}, None),
    (3, {"C01", "C08"}, {"C01": B, "C10": B}, B),
    (4, {"C08"}, {"C02": B}, B),
    (5, set(), {}, None),
    (6, set(), {"C01": B}, B),
    (7, set(), {"C08": R, "C01": B}, R),
    (8, set(), {}, None),
)
OUTCOMES = [Outcome(line, f"n{line}", frozenset(expected), found, level) for line, expected, found, level in TABLE]


def test_the_shares_over_all_are_counted_by_label_and_by_line() -> None:
    scores = text_scoring.score(OUTCOMES)
    assert scores.recall == Share(2, 5)  # lines 1 and 3; missed: C01 of 2, C08 of 3 and 4
    assert scores.precision == Share(2, 7)
    assert scores.flagged == Share(2, 4)
    assert scores.raised == Share(1, 4)


def test_the_shares_of_a_category() -> None:
    scores = text_scoring.score_category(OUTCOMES, "C01")
    assert scores == (scores.__class__)(Share(2, 3), Share(2, 4), Share(2, 4), Share(0, 4))
    assert text_scoring.score_category(OUTCOMES, "C08").raised == Share(1, 4)
    assert text_scoring.score_category(OUTCOMES, "C10").recall.value is None


def test_the_confusion_table_counts_lines() -> None:
    assert text_scoring.confusion(OUTCOMES) == {
        "C01": {"C01": 2, "C10": 1, "none": 1},
        "C08": {"C01": 1, "C02": 1, "C10": 1},
        "none": {"C01": 2, "C08": 1, "none": 2},
    }


def test_the_worst_come_first() -> None:
    assert [one.line for one in text_scoring.worst_misses(OUTCOMES, 9)] == [2, 3, 4]
    assert [one.line for one in text_scoring.worst_false_alarms(OUTCOMES, 9)] == [7, 6]
    assert [one.line for one in text_scoring.worst_misses(OUTCOMES, 1)] == [2]


# Newcombe 1998, table I, method 3 (Wilson score without continuity correction)
@pytest.mark.parametrize(
    ("part", "whole", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
)  # fmt: skip
def test_the_interval_is_wilson_s(part: int, whole: int, low: float, high: float) -> None:
    assert Share(part, whole).interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_an_interval_holds_its_share(pair: tuple[int, int]) -> None:
    share = Share(*pair)
    low, high = share.interval
    assert 0 <= low <= (share.value or 0) + 1e-12
    assert (share.value or 0) - 1e-12 <= high <= 1


def test_of_nothing_there_is_no_share() -> None:
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, (0.0, 1.0))


# --- the command ---

LABELLED = (
    {"id": "a", "text": BRIBE, "labels": ["C08"], "request_type": "report", "style": "letter"},
    {"id": 2, "text": INACTION, "labels": ["C04", "X2"]},
    {"text": QUIET, "labels": ["C07"]},
    {"text": QUIET, "labels": []},
    {"text": BRIBE, "labels": [], "field": "reply"},
    {"text": INACTION, "labels": []},
)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "set.jsonl"
    path.write_text(lines_of(*LABELLED), encoding="utf-8")
    return path


def test_a_set_is_measured(labelled: Path) -> None:
    record = told(call("evaluate", "text", labelled, "--json"))
    assert (record["lines"], record["lines_with_labels"], record["lines_without_labels"]) == (6, 3, 3)
    recall = record["overall"]["recall"]
    assert (recall["labels_expected_and_found"], recall["labels_expected"], recall["value"]) == (2, 4, 0.5)
    assert recall["low_95"] < 0.5 < recall["high_95"]
    alarms = record["overall"]["false_alarm_rate"]
    assert (alarms["lines_without_labels_flagged"], alarms["lines_without_labels"]) == (1, 3)
    raised = record["overall"]["false_alarm_rate_yellow_or_red"]
    assert (raised["lines_without_labels_flagged_yellow_or_red"], raised["value"]) == (0, 0.0)
    assert record["by_category"]["C04"]["precision"]["labels_found"] == 2
    assert record["by_category"]["C07"]["precision"]["value"] is None
    assert record["confusion_lines_by_expected_then_found"]["C07"] == {"none": 1}
    assert [(one["line"], one["id"], one["missed"]) for one in record["worst_misses"]] == [
        (3, None, ["C07"]),
        (2, "2", ["X2"]),
    ]
    assert [(one["line"], one["level"]) for one in record["worst_false_alarms"]] == [(6, "blue")]


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_is_printed_holds_no_text(arguments: tuple[str, ...], labelled: Path) -> None:
    result = call("evaluate", "text", labelled, *arguments)
    assert result.exit_code == 0
    for text in (BRIBE, INACTION, QUIET):
        assert not any(text[at : at + 6] in result.output for at in range(len(text) - 6))
    assert "\x1b" not in result.output


def test_a_person_is_shown_shares_confusion_and_the_worst(labelled: Path) -> None:
    shown = call("evaluate", "text", labelled).stdout
    assert "6 lines: 3 with labels, 3 without" in shown
    assert "line 3: expected C07; found none" in shown
    assert re.search(r"2: expected C04, X2; found (C03 blue, )?C04 blue", shown)
    assert re.search(r"line 6: expected none; found (C03 blue, )?C04 blue", shown)
    (row,) = [line for line in shown.splitlines() if line.startswith("all ")]
    assert "50.0% (15–85) 2/4" in row
    assert "Worst" not in call("evaluate", "text", labelled, "--worst", "0").stdout


def test_a_set_on_standard_input(labelled: Path) -> None:
    piped = call("evaluate", "text", "-", "--json", stdin=labelled.read_bytes())
    assert told(piped) == told(call("evaluate", "text", labelled, "--json"))


def test_the_definitions_stand_in_the_help() -> None:
    said = " ".join(call("evaluate", "text", "--help").stdout.split())
    for word in (
        "Recall: of all labels expected",
        "Precision: of all labels found",
        "False-alarm rate: of the lines without labels",
        "Wilson",
    ):
        assert word in said


GOOD = {"text": QUIET, "labels": []}
BAD: dict[str, tuple[tuple[object, ...], str]] = {
    "no labels": ((GOOD, {"text": "张某"}), "2: labels is missing: write"),
    "labels that are no list": (({"text": "张某", "labels": "C01"},), "1: labels is no list"),
    "an unknown label": (({"text": "张某", "labels": ["C13"]},), "1: the label 'C13' is unknown: write C01, C02"),
    "a text for a label": (({"text": "x", "labels": ["张某贪污"]},), "1: the label (not shown) is unknown"),
    "a number for a label": (({"text": "x", "labels": [1]},), "1: the label (not shown) is unknown"),
    "a rule that is no category": (({"text": "x", "labels": ["X3"]},), "1: the label 'X3' is unknown"),
    "a label twice": (({"text": "x", "labels": ["C01", "C01"]},), "1: a label stands twice"),
    "an id twice": ((GOOD | {"id": "a"}, GOOD, GOOD | {"id": "a"}), "3: its id is that of line 1"),
    "an id that is none": ((GOOD | {"id": ["张某"]},), "1: id is no name"),
    "an id of two lines": ((GOOD | {"id": "a\nb"},), "1: id is no name"),
    "no text": (({"labels": []},), "1: text is missing"),
    "an unknown request type": ((GOOD, GOOD | {"request_type": "rant"}), "2: request_type 'rant' is unknown"),
    "nothing": ((), "1: holds no line"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_set_that_cannot_be_taken_is_refused_with_file_and_line(name: str, tmp_path: Path) -> None:
    records, problem = BAD[name]
    path = tmp_path / "set.jsonl"
    path.write_text(lines_of(*records), encoding="utf-8")
    result = call("evaluate", "text", path, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{path}:{problem}" in result.stderr
    assert "张某" not in result.stderr


def test_a_set_that_is_not_there_ends_with_status_2(tmp_path: Path) -> None:
    result = call("evaluate", "text", tmp_path / "none.jsonl")
    assert result.exit_code == 2
    assert "none.jsonl cannot be read" in result.stderr


def test_an_empty_list_of_texts_is_json_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(lines_of(GOOD), encoding="utf-8")
    record = told(call("evaluate", "text", path, "--json"))
    assert record["overall"]["recall"]["value"] is None
    assert json.dumps(record)
