"""The project's own exam sets: standard wording, euphemisms, hard negatives.

Each part again in a blind set, whose writers saw neither the cues nor what screening finds.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from models.base import LEVEL_RANK, Level
from rules.engine import Engine
from rules.text.screen import Screener
from rules.text_level import TextJudge, TextJudged
from rules.texts import CATEGORIES
from tests.text_support import pack

FOLDER = Path(__file__).parent / "exam"
PARTS = ("standard", "euphemistic", "hard_negatives")
BLIND = ("blind_standard", "blind_euphemistic", "blind_negatives")


def _lines(name: str) -> list[dict[str, Any]]:
    with (FOLDER / f"{name}.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.fixture(scope="module")
def judged() -> dict[str, list[tuple[dict[str, Any], TextJudged]]]:
    screener, judge = Screener(pack().lexicon), TextJudge(Engine(pack()))
    return {
        name: [(line, judge.judge(screener.screen(line["text"]), line.get("request_type"))) for line in _lines(name)]
        for name in (*PARTS, *BLIND)
    }


def _recall(lines: list[tuple[dict[str, Any], TextJudged]]) -> float:
    expected = sum(len(line["labels"]) for line, _ in lines)
    return sum(len(set(line["labels"]) & set(told.labels)) for line, told in lines) / expected


def _raised(lines: list[tuple[dict[str, Any], TextJudged]]) -> float:
    return sum(LEVEL_RANK[told.level] >= LEVEL_RANK[Level.YELLOW] for _, told in lines) / len(lines)


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_large_and_varied(name: str) -> None:
    lines = _lines(name)
    about = Counter(label for line in lines for label in (line["labels"] or [line["trap_for"]]))
    assert len(lines) >= 300
    assert all(about[category] >= 15 for category in CATEGORIES)
    assert len({line["text"] for line in lines}) == len(lines)
    assert len({line["style"] for line in lines}) >= 3


def test_no_exam_text_was_learned_from() -> None:
    training = Path(__file__).parent.parent / "rules" / "text" / "training"
    files = [path.read_text(encoding="utf-8") for path in training.glob("*.jsonl")]
    learned = {json.loads(line)["text"] for text in files for line in text.splitlines()}
    for name in (*PARTS, *BLIND):
        assert not learned & {line["text"] for line in _lines(name)}


@pytest.mark.parametrize(("name", "least"), [("standard", 0.95), ("blind_standard", 0.90)])
def test_standard_wording_is_found(judged: dict[str, Any], name: str, least: float) -> None:
    assert _recall(judged[name]) >= least


@pytest.mark.parametrize("name", ["euphemistic", "blind_euphemistic"])
def test_half_of_the_euphemisms_are_found(judged: dict[str, Any], name: str) -> None:
    assert _recall(judged[name]) >= 0.5


@pytest.mark.parametrize("name", ["hard_negatives", "blind_negatives"])
def test_what_is_no_case_for_discipline_is_hardly_ever_raised(judged: dict[str, Any], name: str) -> None:
    assert _raised(judged[name]) <= 0.02


def test_the_second_layer_alone_is_never_above_blue(judged: dict[str, Any]) -> None:
    for name in (*PARTS, *BLIND):
        for _, told in judged[name]:
            layers = {finding.category: finding.layer for finding in told.findings}
            for rule_id, level in told.levels.items():
                assert layers.get(rule_id) != "euphemism" or level is Level.BLUE


def test_nothing_is_red_below_three_specifics(judged: dict[str, Any]) -> None:
    for name in (*PARTS, *BLIND):
        for _, told in judged[name]:
            specifics = {finding.category: finding.specificity for finding in told.findings}
            assert all(specifics[rule_id] >= 3 for rule_id, level in told.levels.items() if level is Level.RED)
