"""`rules lint` and `rules test` over cues and texts: what contradicts itself is found, with file and line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.strict_yaml import parse_yaml
from rules.pack import default_folder, rule_documents
from rules.text.files import TextSection, WordsFile
from rules.text.lexicon import LexiconBuilder
from rules.text.linting import FREQUENT, Problem, Section, frequent_words, lint
from rules.texts import CATEGORIES
from tests.test_pack import DEFAULT, RULE, pack_with
from tests.text_support import call, one_pack, pack

__all__ = ["one_pack"]

WORDS: dict[str, Any] = {name: [] for name in WordsFile.model_fields}
WORDS |= {"official": ["村主任"], "variants": {"推诿": ["推委"]}}
TEXT: dict[str, Any] = {
    "definition": "试",
    "examples": [{"text": "村主任收红包", "level": "blue"}],
    "hard_negatives": [{"text": "邻居收红包", "why": "私人"}],
}


def problems(frequencies: Mapping[str, int] | None = None, category: str = "C08", **cues: list[str]) -> list[Problem]:
    """Lint one category of a small lexicon; its first list of cues stands on line 5, one cue a line."""
    text = TEXT | {kind: list(words) for kind, words in cues.items()}
    head = "id: C08\ntext:\n  definition: 试\n"
    body = "".join(
        f"  {kind}:\n" + "".join(f"  - {json.dumps(word, ensure_ascii=False)}\n" for word in words)
        for kind, words in cues.items()
    )
    document = parse_yaml(head + body, "C08-trial.yaml")
    section = TextSection.model_validate(text)
    words = parse_yaml(yaml.safe_dump(WORDS, allow_unicode=True), "words.yaml")
    builder = LexiconBuilder(words.validate(WordsFile), words)
    builder.add(category, "试", section, document)
    return lint([Section(category, section, document)], builder.build(), CATEGORIES, frequencies or {})


def test_a_lexicon_without_contradictions_has_no_problem() -> None:
    assert problems(cues=["收红包", "送…{official}…钱", "塞钱"], broad=["收钱"], innocent=["收红包雨"]) == []


def test_a_cue_that_is_innocent_too_is_an_error() -> None:
    (one,) = problems(cues=["塞钱", "收红包"], innocent=["收红包"])
    assert (one.severity, one.source, one.line) == ("error", "C08-trial.yaml", 6)
    assert "“收红包” in cues: is innocent too, on line 8" in one.problem
    assert str(one).startswith("C08-trial.yaml:6: ")


def test_a_cue_in_two_tiers_is_an_error_where_it_is_weaker() -> None:
    (one,) = problems(cues=["收红包"], broad=["塞钱", "收红包"])
    assert (one.severity, one.line) == ("error", 8)
    assert "“收红包” in broad: is in cues too, on line 5" in one.problem
    (weak,) = problems(weak=["收红包"], hints=["收红包"])
    assert "“收红包” in weak: is in hints too" in weak.problem


@pytest.mark.parametrize(
    ("strong", "weaker", "shared"),
    [
        ("推诿", "推委", "推委"),  # a variant of words.yaml
        ("收红包", "收紅包", "收红包"),  # traditional characters
        ("收/拿…红包", "拿/要…红包", "拿…红包"),
        ("塞…{official}…钱", "塞…{official}…钱", "塞…{official}…钱"),
    ],
)
def test_cues_are_the_same_where_they_fit_the_same_words(strong: str, weaker: str, shared: str) -> None:
    (one,) = problems(own_actor=[strong], mild=[weaker])
    assert one.severity == "error"
    assert strong == weaker or f"(both fit “{shared}”)" in one.problem


def test_cues_that_only_begin_alike_are_different() -> None:
    assert (
        problems(cues=["收…红包", "收…钱"], broad=["收…{official}…红包", "收红包", "收…卡"], innocent=["收…废品"]) == []
    )


def test_a_cue_twice_in_one_list_is_a_warning() -> None:
    (one,) = problems(cues=["收红包", "塞钱", "收红包"])
    assert (one.severity, one.line) == ("warning", 7)
    assert "stands there already, on line 5" in one.problem


def test_a_category_of_which_no_fact_tells_is_an_error() -> None:
    (one,) = problems(category="C99", cues=["收红包"])
    assert (one.severity, one.line) == ("error", 2)
    assert "no fact tells of the category C99" in one.problem


# --- short cues inside frequent words ---


def test_a_short_cue_inside_a_frequent_word_is_a_warning_that_names_the_word() -> None:
    (one,) = problems({"资本家": 2_575, "本家": 9_000}, hints=["本家"])
    assert (one.severity, one.line) == ("warning", 5)
    assert "“本家” in hints: is found in frequent words too (资本家)" in one.problem


@pytest.mark.parametrize(
    "cues",
    [
        {"hints": ["本家"], "innocent": ["资本家"]},  # known as innocent
        {"hints": ["本家"], "innocent": ["资本"]},  # innocent words as long go first
        {"hints": ["本家"], "broad": ["资本家"]},  # meant
        {"weak": ["本家"]},  # an everyday word: the second layer decides
        {"cues": ["资本家族"]},  # not inside it
        {"cues": ["办公室主"], "hints": ["本人"]},
    ],
)
def test_a_frequent_word_that_is_known_or_harmless_is_none(cues: dict[str, list[str]]) -> None:
    assert problems({"资本家": 2_575, "办公室主任": 900}, "C08", **cues) == []


def test_an_innocent_word_beside_the_cue_does_not_clear_it() -> None:
    assert len(problems({"资本家": 2_575}, hints=["本家"], innocent=["资产"])) == 1


def test_frequent_words_are_those_of_the_dictionary_from_that_count() -> None:
    words = frequent_words()
    assert min(words.values()) >= FREQUENT
    assert {"资本家", "政府", "没有"} <= words.keys()


# --- the commands ---


def test_the_default_pack_has_no_problem() -> None:
    with default_folder() as folder:
        documents = rule_documents(folder)
    sections = [Section(rule.id, rule.text, documents[rule.id]) for rule in pack().rules if rule.text]
    assert len(sections) == len(CATEGORIES)
    assert lint(sections, pack().lexicon, CATEGORIES, frequent_words()) == []


@pytest.fixture
def text_pack(tmp_path: Path) -> Callable[..., Path]:
    """A factory of packs with one text rule, a category of the default pack with few cues."""

    def make(**text: object) -> Path:
        folder = tmp_path / "p"
        rule = yaml.safe_load((DEFAULT / "C08-bribes.yaml").read_text(encoding="utf-8"))
        rule["text"] = TEXT | {"cues": ["收红包"]} | text
        pack_with(folder, yaml.safe_dump(rule, allow_unicode=True, sort_keys=False), "C08-bribes.yaml")
        shutil.copy(DEFAULT / "words.yaml", folder)
        return folder

    return make


def test_lint_tells_errors_with_status_2_and_warnings_with_0(text_pack: Callable[..., Path]) -> None:
    folder = text_pack(cues=["收红包", "收红包"])
    result = call("rules", "lint", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"warning: {folder / 'C08-bribes.yaml'}:" in result.stdout
    folder = text_pack(innocent=["收红包"])
    result = call("rules", "lint", folder)
    assert result.exit_code == 2
    assert "is innocent too" in result.stderr
    assert "all well" not in result.stdout
    answer = json.loads(call("rules", "lint", folder, "--json").stdout)
    assert (answer["pack"], answer["rules"], answer["warnings"], len(answer["errors"])) == ("trial", ["C08"], [], 1)


def test_a_pattern_that_re2_refuses_is_an_error_with_its_line(text_pack: Callable[..., Path]) -> None:
    folder = text_pack(patterns=[{"near": "红包", "re": "(红包)\\1"}])
    result = call("rules", "lint", folder)
    assert result.exit_code == 2
    assert "RE2 refuses" in str(result.exception)


def test_a_switched_off_rule_and_a_pack_without_texts_are_not_looked_into(
    text_pack: Callable[..., Path], tmp_path: Path
) -> None:
    folder = text_pack(innocent=["收红包"])
    path = folder / "C08-bribes.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("status: stable", "status: 'off'"), encoding="utf-8")
    assert call("rules", "lint", folder).exit_code == 0
    assert call("rules", "test", folder).exit_code == 0
    assert call("rules", "lint", pack_with(tmp_path / "q", RULE)).exit_code == 0
    assert json.loads(call("rules", "test", tmp_path / "q", "--json").stdout)["texts"] == 0


def test_texts_that_come_out_otherwise_end_with_status_1(text_pack: Callable[..., Path]) -> None:
    folder = text_pack(
        examples=[{"text": "村主任收红包", "level": "blue"}, {"text": "村主任散步", "level": "blue"}],
        hard_negatives=[
            {"text": "邻居收红包", "why": "私人"},
            {"text": "村主任张某去年五月收红包三万元,有录音", "why": "试"},
        ],
    )
    result = call("rules", "test", folder, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["texts"], answer["failed"]) == (4, [])
    told = [(one["rule"], one["kind"], one["number"], one["expected"]) for one in answer["failed_texts"]]
    assert told == [("C08", "example", 2, "at least blue"), ("C08", "hard_negative", 2, "below yellow")]
    shown = call("rules", "test", folder).stdout
    assert "2 of 4 texts pass" in shown
    assert "FAILED example 2: expected at least C08 blue, came out nothing" in shown
    assert "FAILED hard negative 2: expected nothing at yellow or above" in shown
