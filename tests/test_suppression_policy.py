"""The suppression policy: what inhibits what by it, and what contradicts itself and is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.silences import load_silences
from alerting.suppress import SuppressReason, suppress
from alerting.suppression_policy import Inhibition, Side, SuppressionPolicy, load_policy
from alerting.told import Told
from models.alert import Alert
from models.base import Family, Level
from models.strict_yaml import ConfigFileError
from models.times import SECOND, parse_instant
from tests.alerting_support import make_alert, make_subscriber

NONE, INHIBITED = SuppressReason.NONE, SuppressReason.INHIBITED
DEFAULT = load_policy()
NOW = parse_instant("2025-06-18T09:00:00")


def told(level: str = "red", rule: str = "P06", **fields: Any) -> dict[str, Told]:
    return {rule: Told(**{"alert_id": "a-0", "level": Level(level), "at": NOW, **fields})}


def policy_of(tmp_path: Path, text: str) -> SuppressionPolicy:
    path = tmp_path / "suppression.yaml"
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def entry(source: str, target: str, id_: str = "one") -> str:
    return f"  - id: {id_}\n    source: {{{source}}}\n    target: {{{target}}}\n"


def test_by_default_red_is_urgent_and_inhibits_blue() -> None:
    assert DEFAULT.urgent_levels == {Level.RED}
    (one,) = DEFAULT.inhibitions
    assert one == Inhibition("red-over-blue", Side(frozenset({Level.RED})), Side(frozenset({Level.BLUE})))


def test_an_entry_looks_at_families_and_rules_where_it_names_them(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path, "inhibit:\n" + entry("levels: [red, yellow], rules: [P06]", "levels: [blue], families: [P]")
    )
    blue, textual = make_alert(level="blue"), make_alert(level="blue", family="T")

    def reason(alert: Alert, in_force: dict[str, Told]) -> SuppressReason:
        return suppress(alert, make_subscriber(), in_force, policy, (), NOW, NOW, follow_up=False).reason

    assert reason(blue, told("yellow", "P06")) is INHIBITED
    assert reason(blue, told("yellow", "P12")) is NONE
    assert reason(textual, told("yellow", "P06")) is NONE


def test_a_source_of_a_family_that_was_not_stored_inhibits_nothing(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, "inhibit:\n" + entry("levels: [red], families: [P]", "levels: [blue]"))
    for family, expected in ((None, NONE), (Family.TEXT, NONE), (Family.PROCESS, INHIBITED)):
        in_force = told(family=family)
        verdict = suppress(make_alert(level="blue"), make_subscriber(), in_force, policy, (), NOW, NOW, follow_up=False)
        assert verdict.reason is expected


def test_the_highest_source_is_the_one_that_is_named(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, "inhibit:\n" + entry("levels: [yellow, red]", "levels: [blue]"))
    in_force = told("yellow", "P02", alert_id="low") | told("red", "P09", alert_id="high")
    verdict = suppress(make_alert(level="blue"), make_subscriber(), in_force, policy, (), NOW, NOW, follow_up=False)
    assert verdict.detail == "P09 红色预警 high,抑制规则 one"


def test_without_urgent_levels_red_waits_for_its_group(tmp_path: Path) -> None:
    patient = make_subscriber(group_wait_seconds=30.0)
    policy = policy_of(tmp_path, "urgent_levels: []\n")
    assert (
        suppress(make_alert(level="red"), patient, {}, policy, (), NOW, NOW, follow_up=False).until == NOW + 30 * SECOND
    )
    assert suppress(make_alert(level="red"), patient, {}, DEFAULT, (), NOW, NOW, follow_up=False).reason is NONE


def test_a_policy_s_version_tells_what_it_says_and_not_how_it_is_written(tmp_path: Path) -> None:
    text = "inhibit:\n" + entry("levels: [red]", "levels: [blue]", "red-over-blue")
    assert policy_of(tmp_path, text).version == policy_of(tmp_path, f"# why\n{text}").version == DEFAULT.version
    assert policy_of(tmp_path, text.replace("blue]", "yellow]")).version != DEFAULT.version


TAKEN = {
    "one rule that inhibits lower levels and its own": entry("levels: [yellow, red], rules: [P06]", "levels: [blue, yellow]"),
    "two that meet nowhere": entry("levels: [red], families: [P]", "levels: [yellow]")
                             + entry("levels: [red], families: [T]", "levels: [yellow]", "two"),
    "a chain": entry("levels: [red]", "levels: [yellow]") + entry("levels: [yellow]", "levels: [blue]", "two"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAKEN)
def test_a_policy_with_a_direction_is_taken(what: str, tmp_path: Path) -> None:
    assert policy_of(tmp_path, "inhibit:\n" + TAKEN[what]).inhibitions


REFUSED: dict[str, tuple[str, int, str]] = {
    "an unknown key": ("inhibits: []\n", 1, "inhibits"),
    "an unknown level": ("urgent_levels: [purple]\n", 1, "urgent_levels.0"),
    "no levels": ("inhibit:\n" + entry("levels: []", "levels: [blue]"), 3, "source.levels"),
    "levels left out": ("inhibit:\n" + entry("rules: [P01]", "levels: [blue]"), 3, "source.levels"),
    "rules that are given and empty": ("inhibit:\n" + entry("levels: [red], rules: []", "levels: [blue]"), 3, "source.rules"),
    "an id twice": ("inhibit:\n" + 2 * entry("levels: [red]", "levels: [blue]"), 5, "stands twice"),
    "yellow urgent and red not": ("urgent_levels: [yellow]\n", 1, "add red, or leave yellow out"),
    "something urgent held back": ("inhibit:\n" + entry("levels: [red], rules: [P01]", "levels: [red], rules: [P02]"), 2, "urgent"),
    "a level that inhibits itself": ("inhibit:\n" + entry("levels: [yellow]", "levels: [yellow]"), 2, "each of two warnings"),
    "levels that overlap": ("inhibit:\n" + entry("levels: [red, yellow]", "levels: [yellow, blue]"), 2, "each of two warnings"),
    "two rules on both sides":
        ("inhibit:\n" + entry("levels: [yellow], rules: [P01, P02]", "levels: [yellow], rules: [P01, P02, P03]"), 2, "each of two"),
    "a rule that inhibits itself": ("inhibit:\n" + entry("levels: [red], rules: [P01]", "levels: [blue], rules: [P01]"), 2, "never speak"),
    "two entries against each other":
        ("inhibit:\n" + entry("levels: [yellow], rules: [P01]", "levels: [yellow], rules: [P02]")
         + entry("levels: [yellow], rules: [P02]", "levels: [yellow], rules: [P01]", "two"), 5, "two and one"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_policy_that_contradicts_itself_is_refused_by_file_and_line(what: str, tmp_path: Path) -> None:
    text, line, problem = REFUSED[what]
    with pytest.raises(ConfigFileError) as caught:
        policy_of(tmp_path, text)
    assert (caught.value.source, caught.value.line) == (str(tmp_path / "suppression.yaml"), line)
    assert problem in str(caught.value)


SIDES = st.builds(
    Side,
    st.frozensets(st.sampled_from([Level.BLUE, Level.YELLOW]), min_size=1),
    st.frozensets(st.sampled_from([Family.PROCESS, Family.TEXT])),
    st.frozensets(st.sampled_from(["P01", "P02"])),
)


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3))
def test_by_a_policy_that_is_taken_no_two_warnings_inhibit_each_other(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[Side, Side]]
) -> None:
    def written(side: Side) -> str:
        parts = {"levels": side.levels, "families": side.families, "rules": side.rules}
        return ", ".join(f"{name}: [{', '.join(sorted(values))}]" for name, values in parts.items() if values)

    text = "".join(entry(written(source), written(target), f"e{i}") for i, (source, target) in enumerate(pairs))
    try:
        policy = policy_of(tmp_path_factory.getbasetemp(), f"urgent_levels: []\ninhibit:\n{text}")
    except ConfigFileError:
        return
    kinds = [(level, family, rule) for level in Level for family in Family for rule in ("P01", "P02", "P03")]

    def inhibits(source: tuple[Level, Family, str], target: tuple[Level, Family, str]) -> bool:
        return source[2] != target[2] and any(
            one.source.fits(*source) and one.target.fits(*target) for one in policy.inhibitions
        )

    assert [(a, b) for a in kinds for b in kinds if inhibits(a, b) and inhibits(b, a)] == []


def test_the_examples_for_operators_are_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "suppression.md").read_text(encoding="utf-8")
    silences, policy = re.findall(r"```yaml\n((?:silences|urgent_levels):.*?)```", page, re.DOTALL)
    path = tmp_path / "silences.yaml"
    path.write_text(silences, encoding="utf-8")
    assert [one.id for one in load_silences(path)] == ["S-1a2b3c4d"]
    assert len(policy_of(tmp_path, policy).inhibitions) == 2
