"""Packs: read as a whole or not at all, with file:line; the default pack keeps its own promises."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from models.base import Level
from models.strict_yaml import MAX_FILE_BYTES, ConfigFileError
from rules.engine import Engine, failing_cases, values_with
from rules.pack import Pack, default_pack, load_pack
from rules.texts import CATEGORIES

DEFAULT = Path(__file__).parent.parent / "rules" / "packs" / "default"

RULE = """\
id: Z1
title: 试规则
version: 1
status: stable
family: P
basis: 试行办法第1条
levels:
  blue: "returns.count >= 2"
  red: "returns.count >= 4"
headline: 疑似退单{returns.count}次
accused: returning
runbook: |
  看证据。
cases:
  - {name: 一次, facts: {returns.count: 1}, level: null}
  - {name: 两次, facts: {returns.count: 2}, level: blue}
"""


def pack_with(folder: Path, text: str = RULE, name: str = "Z1-trial.yaml", about: str = "name: trial\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pack.yaml").write_text(about, encoding="utf-8")
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_pack_is_read(tmp_path: Path) -> None:
    pack = load_pack(pack_with(tmp_path / "p"))
    assert pack.name == "trial"
    (rule,) = pack.rules
    assert (rule.id, rule.family, list(rule.conditions)) == ("Z1", "P", [Level.RED, Level.BLUE])
    assert rule.paths == ("returns.count",)


def _sub(old: str, new: str) -> str:
    assert old in RULE
    return RULE.replace(old, new)


REFUSED: dict[str, tuple[str, int]] = {
    "an alias bomb": (_sub("title: 试规则", "title: &a 试规则") + "basis2: *a\n", 2),
    "a Python tag": (_sub("title: 试规则", "title: !!python/name:os.system 试"), 2),
    "a key twice": (_sub("version: 1", "version: 1\nversion: 2"), 4),
    "no for a text": (_sub("title: 试规则", "title: no"), 2),
    "two documents": (RULE + "---\n" + RULE, 17),
    "an unknown field": (_sub("basis:", "basics: x\nbasis:"), 6),
    "a missing field": (_sub("basis: 试行办法第1条\n", ""), 1),
    "an empty basis": (_sub("basis: 试行办法第1条", "basis: ''"), 6),
    "an unknown fact": (_sub("returns.count >= 4", "returns.cuont >= 4"), 9),
    "an unknown fact in a case": (_sub("{returns.count: 2}", "{returns.cuont: 2}"), 16),
    "an unknown fact in the headline": (_sub("{returns.count}次", "{returns.cuont}次"), 10),
    "a case of the wrong type": (_sub("{returns.count: 2}", "{returns.count: true}"), 16),
    "a case of an unknown level": (_sub("level: blue}", "level: purple}"), 16),
    "an unknown level": (_sub("  red:", "  purple:"), 9),
    "no level": (re.sub(r"levels:\n(  .*\n)+", "levels: {}\n", RULE), 7),
    "a condition that is none": (_sub("returns.count >= 4", "returns.count >="), 9),
    "no case that fires": (re.sub(r"  - \{name: 两次.*\n", "", RULE), 14),
    "no case that does not": (re.sub(r"  - \{name: 一次.*\n", "", RULE), 14),
    "no case at all": (re.sub(r"cases:\n(  .*\n)+", "cases: []\n", RULE), 14),
    "a version below one": (_sub("version: 1", "version: 0"), 3),
    "a boolean for a version": (_sub("version: 1", "version: true"), 3),
    "an unknown status": (_sub("status: stable", "status: draft"), 4),
    "an id that is none": (_sub("id: Z1", "id: z-1"), 1),
    "another file's id": (_sub("id: Z1", "id: Z2"), 1),
    "an unknown role": (_sub("accused: returning", "accused: everybody"), 11),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_whole_pack_is_refused_with_file_and_line(name: str, tmp_path: Path) -> None:
    text, line = REFUSED[name]
    folder = pack_with(tmp_path / "p", text)
    shutil.copy(DEFAULT / "P01-repeated-returns.yaml", folder)
    with pytest.raises(ConfigFileError) as caught:
        load_pack(folder)
    assert str(caught.value).startswith(f"{folder / 'Z1-trial.yaml'}:{line}: ")


def test_a_rule_that_stands_twice_is_refused(tmp_path: Path) -> None:
    folder = pack_with(tmp_path / "p")
    pack_with(folder, name="Z1-again.yaml")
    with pytest.raises(ConfigFileError, match=r"yaml:1: .*Z1 stands twice"):
        load_pack(folder)


def test_a_retired_id_is_never_used_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"Z1-trial\.yaml:1: .*retired"):
        load_pack(pack_with(tmp_path / "p", about="name: trial\nretired: [Z1]\n"))


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    folder = pack_with(tmp_path / "p", RULE + "#" * MAX_FILE_BYTES)
    with pytest.raises(ConfigFileError, match=r"Z1-trial\.yaml:1: .* bytes"):
        load_pack(folder)


@pytest.mark.parametrize("about", ["", "name: 1\n", "name: x\nretired: Z9\n", "name: x\nowner: y\n"])
def test_a_wrong_pack_file_is_refused(about: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"pack\.yaml:\d+: "):
        load_pack(pack_with(tmp_path / "p", about=about))


def test_no_folder_no_pack_file_and_no_rule_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="no folder"):
        load_pack(tmp_path / "none")
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_pack(tmp_path)
    (tmp_path / "pack.yaml").write_text("name: x\n", encoding="utf-8")
    with pytest.raises(ConfigFileError, match="holds no rule"):
        load_pack(tmp_path)


def test_a_rule_that_is_off_is_not_evaluated(tmp_path: Path) -> None:
    pack = load_pack(pack_with(tmp_path / "p", _sub("status: stable", "status: 'off'")))
    assert len(pack.rules) == 1
    assert Engine(pack).rules == ()
    assert pack.thresholds == {}


# --- the default pack ---


@pytest.fixture(scope="module")
def pack() -> Pack:
    return default_pack()


PROCESS_RULES = [f"P{number:02}" for number in range(1, 13)]


def test_the_default_pack_has_the_process_rules_and_the_text_rules(pack: Pack) -> None:
    text_rules = [*CATEGORIES, "X3"]
    assert [rule.id for rule in pack.rules] == sorted([*PROCESS_RULES, *text_rules])
    assert [rule.id for rule in pack.rules if rule.family == "P"] == PROCESS_RULES
    assert [rule.id for rule in pack.rules if rule.family == "T"] == text_rules
    assert all(rule.status == "stable" for rule in pack.rules)


def test_every_category_of_texts_has_its_rule_with_cues(pack: Pack) -> None:
    assert tuple(rule.id for rule in pack.rules if rule.text is not None) == CATEGORIES
    assert tuple(pack.lexicon.categories) == CATEGORIES


def test_every_case_of_the_default_pack_comes_out_as_it_says(pack: Pack) -> None:
    assert {rule.id: failing_cases(rule) for rule in pack.rules if failing_cases(rule)} == {}


def test_every_level_of_every_rule_has_a_case_that_reaches_it(pack: Pack) -> None:
    for rule in pack.rules:
        reached = {case.level for case in rule.cases}
        assert {level.value for level in rule.conditions} <= reached, rule.id


def test_every_headline_is_careful_and_every_runbook_names_what_to_look_at(pack: Pack) -> None:
    for rule in pack.rules:
        assert rule.headline.startswith("疑似"), rule.id
        assert rule.title not in ("", rule.id)
        assert len(rule.runbook) > 30


def test_a_calendar_that_is_not_complete_caps_only_what_depends_on_it(pack: Pack) -> None:
    engine = Engine(pack)
    facts: dict[str, int | bool | str] = {
        "due.near": True,
        "due.overdue": True,
        "due.overdue_work_days": 9,
        "waiting.days": 99,
    }
    for announced, level in ((4, Level.YELLOW), (5, Level.RED)):
        sure = values_with(facts | {"due.overdue_work_days": announced})
        found = engine.levels(values_with(facts), sure)
        levels = dict(zip((rule.id for rule in engine.rules), found, strict=True))
        assert (levels["P06"], levels["P12"]) == (level, Level.RED)


def test_what_adds_levels_up_is_capped_with_what_it_adds(pack: Pack) -> None:
    engine = Engine(pack)
    told: dict[str, int | bool | str] = {"c06.confidence": 90, "c06.specificity": 1}
    overdue = values_with(told | {"due.near": True, "due.overdue": True})
    found = dict(zip((rule.id for rule in engine.rules), engine.levels(overdue, values_with(told)), strict=True))
    assert (found["P06"], found["C06"], found["X3"]) == (Level.YELLOW, Level.YELLOW, Level.YELLOW)
    found = dict(zip((rule.id for rule in engine.rules), engine.levels(overdue), strict=True))
    assert found["X3"] is Level.RED


def test_the_numbers_that_time_may_reach(pack: Pack) -> None:
    assert pack.thresholds == {
        "acceptance.limits_passed": (1, 2),
        "due.overdue_work_days": (5,),
        "waiting.days": (30, 60, 90),
    }
