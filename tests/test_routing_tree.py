"""The routing tree: which branch a warning takes, to whom it leads by the registry of the day, and what is refused at loading."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.guard import GuardReason
from alerting.registry import Registry, load_registry
from alerting.routing import Routed, RoutingTree, load_tree
from alerting.routing_load import implies
from alerting.routing_tree import Subject, When
from models.base import Family, Level
from models.strict_yaml import ConfigFileError
from models.times import parse_instant
from models.units import Duty, UnitEntry, UnitKind, UnitLevel
from tests.alerting_support import make_alert

NOW = parse_instant("2025-06-20T00:00:00+08:00")
DEFAULT = load_tree(None)

OFFICES = """\
units:
  - {id: U-JW, name: 县纪委, kind: discipline_office, level: county}
  - {id: U-PARTY, name: 党风室, kind: discipline_office, level: county, parent: U-JW, duty: party_conduct, subscribers: [party]}
  - {id: U-XF, name: 信访室, kind: discipline_office, level: county, parent: U-JW, duty: complaints, subscribers: [complaints]}
  - {id: U-CADRES, name: 干部监督室, kind: discipline_office, level: county, parent: U-JW, duty: cadre_supervision, subscribers: [cadres]}
  - {id: U-PLATFORM, name: 监督平台, kind: discipline_office, level: county, parent: U-JW, duty: platform, subscribers: [platform]}
  - {id: U-POOL, name: 研判组, kind: discipline_office, level: county, parent: U-JW, duty: human_pool, subscribers: [pool]}
"""
UNITS = """\
  - {id: U-HOT, name: 热线中心, kind: hotline, level: county, duty: hotline, subscribers: [hotline]}
  - {id: U-T, name: 驻甲局组, kind: posted_team, level: county, parent: U-JW, subscribers: [team]}
  - {id: U-C, name: 乙街道纪工委, kind: discipline_committee, level: township, parent: U-JW, subscribers: [committee]}
  - {id: U-A, name: 甲局, kind: department, level: county, supervised_by: U-T}
  - {id: U-A1, name: 甲局办公室, kind: in_house, level: county, parent: U-A}
  - {id: U-B, name: 丁局, kind: department, level: county}
  - {id: U-S, name: 乙街道, kind: subdistrict, level: township, supervised_by: U-C}
  - {id: U-V, name: 乙街道一社区, kind: community, level: township, parent: U-S}
"""


def registry_of(folder: Path, *parts: str) -> Registry:
    path = folder / "units.yaml"
    path.write_text("".join(parts), encoding="utf-8")
    return load_registry(path)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return registry_of(tmp_path, OFFICES, UNITS)


def about(*accused: str, involved: tuple[str, ...] = (), **fields: Any) -> Any:
    units = [{"id": one, "role": "accused"} for one in accused] + [{"id": one, "role": "involved"} for one in involved]
    return make_alert(units=units, **fields)


def sent(routed: Routed) -> dict[str, list[str]]:
    return {
        role: [one.unit_id for one in routed.recipients if one.role == role]
        for role in ("to", "copy")
        if any(one.role == role for one in routed.recipients)
    }


COPIES = ["U-PARTY", "U-PLATFORM"]
BY_DEFAULT: dict[str, tuple[Any, str, dict[str, list[str]]]] = {
    "a department to its posted team": (about("U-A"), "process-department", {"to": ["U-T"], "copy": COPIES}),
    "a subdistrict to its committee": (about("U-S"), "process-local", {"to": ["U-C"], "copy": COPIES}),
    "a community to the committee above": (about("U-V"), "process-local", {"to": ["U-C"], "copy": COPIES}),
    "several to party conduct": (
        about("U-A", "U-S"),
        "process-several",
        {"to": ["U-PARTY"], "copy": ["U-PLATFORM"]},
    ),
    "unclear to party conduct": (
        about("U-A", flags=["unclear_responsibility"]),
        "process-unclear",
        {"to": ["U-PARTY"], "copy": ["U-PLATFORM"]},
    ),
    "text to complaints alone": (
        about("U-A", involved=("U-S",), family="T", categories=["C01"]),
        "text",
        {"to": ["U-XF"]},
    ),
    "text about nobody": (about(family="T", categories=["C01"]), "text", {"to": ["U-XF"]}),
    "a team one level up": (about("U-T"), "one-level-up", {"to": ["U-CADRES"]}),
    "a committee one level up, in a text": (about("U-C", family="T"), "one-level-up", {"to": ["U-CADRES"]}),
    "a team and its department": (about("U-A", "U-T", family="T"), "one-level-up", {"to": ["U-CADRES"]}),
    "an aggregate": (about(family="G"), "aggregate", {"to": ["U-PARTY"], "copy": ["U-HOT", "U-PLATFORM"]}),
    "in-house staff to people": (about("U-A1"), "human_pool", {"to": ["U-POOL"]}),
    "process about nobody to people": (about(), "human_pool", {"to": ["U-POOL"]}),
    "an unknown unit to people": (about("U-A", "U-X"), "human_pool", {"to": ["U-POOL"]}),
    "a department without a supervisor to people": (about("U-B"), "process-department", {"to": ["U-POOL"]}),
}


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_the_default_tree_leads(name: str, registry: Registry) -> None:
    alert, branch, recipients = BY_DEFAULT[name]
    routed = DEFAULT.route(alert, registry, NOW)
    assert (routed.branch, sent(routed)) == (branch, recipients)
    assert routed.to_pool == (recipients == {"to": ["U-POOL"]})
    assert routed.why


def test_it_says_why_in_whole_sentences(registry: Registry) -> None:
    assert DEFAULT.route(about("U-A"), registry, NOW).why == (
        "分支“责任单位为部门、政府、企业”(process-department):办理过程类,责任单位1个(市、区直部门)。",
        "主送“驻甲局组”(U-T):监督“甲局”(U-A)。",
        "抄送“党风室”(U-PARTY):承担“党风政风监督室”职责。",
        "抄送“监督平台”(U-PLATFORM):承担“监督平台”职责。",
    )
    assert DEFAULT.route(about("U-B"), registry, NOW).why[1:] == (
        "主送未成:“丁局”(U-B)没有登记监督机构。",
        "主送无人可送。",
        "转人工研判。主送“研判组”(U-POOL):承担“人工研判池”职责。",
    )
    assert DEFAULT.route(about("U-X"), registry, NOW).why[0] == (
        "单位名录中没有U-X在2025-06-18的记录;不按名称相近推定单位。"
    )


def test_a_unit_is_never_found_by_its_name(registry: Registry) -> None:
    alert = make_alert(units=[{"id": "U-OLD", "name": "甲局", "role": "accused"}])
    assert sent(DEFAULT.route(alert, registry, NOW)) == {"to": ["U-POOL"]}


def test_without_a_human_pool_there_are_no_recipients_and_it_is_said(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, OFFICES.replace(", duty: human_pool", ""), UNITS)
    routed = DEFAULT.route(about("U-B"), registry, NOW)
    assert (routed.recipients, routed.to_pool) == ((), True)
    assert "没有可用的人工研判池" in routed.why[-1]


def test_a_recipient_without_a_subscriber_is_nobody(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, OFFICES, UNITS.replace(", subscribers: [team]", ""))
    routed = DEFAULT.route(about("U-A"), registry, NOW)
    assert sent(routed) == {"to": ["U-POOL"]}
    assert "主送未成:“驻甲局组”(U-T)监督“甲局”(U-A),但没有登记接收账号。" in routed.why


def test_a_recipient_beneath_the_accused_is_nobody(tmp_path: Path) -> None:
    """The whole commission is accused: all who could get the warning are beneath it, people at the pool too."""
    registry = registry_of(tmp_path, OFFICES, UNITS)
    routed = DEFAULT.route(about("U-JW", family="T"), registry, NOW)
    assert routed.recipients == ()
    assert any("应当回避" in sentence for sentence in routed.why)


def test_accused_are_who_they_were_and_recipients_are_of_today(tmp_path: Path) -> None:
    registry = registry_of(
        tmp_path,
        OFFICES,
        """\
  - {id: U-T1, name: 一组, kind: posted_team, level: county, parent: U-JW, valid_to: 2025-06-19, successor: U-T2, subscribers: [one]}
  - {id: U-T2, name: 二组, kind: posted_team, level: county, parent: U-JW, subscribers: [two]}
  - {id: U-T3, name: 三组, kind: posted_team, level: county, parent: U-JW, subscribers: [three]}
  - {id: U-OLD, name: 旧局, kind: department, level: county, supervised_by: U-T1, valid_to: 2025-06-19, successor: U-NEW}
  - {id: U-NEW, name: 新局, kind: department, level: county, supervised_by: U-T3, valid_from: 2025-06-19}
  - {id: U-END, name: 撤销局, kind: department, level: county, supervised_by: U-T1, valid_to: 2025-06-19}
  - {id: U-GAP, name: 筹建前的局, kind: department, level: county, supervised_by: U-T1, valid_to: 2025-06-19, successor: U-SOON}
  - {id: U-SOON, name: 筹建的局, kind: department, level: county, supervised_by: U-T3, valid_from: 2025-07-01}
  - {id: U-RE, name: 又一局, kind: department, level: county, supervised_by: U-T1, valid_to: 2025-06-18}
  - {id: U-RE, name: 又一公司, kind: subdistrict, level: county, supervised_by: U-T3, valid_from: 2025-06-19}
""",
    )
    renamed = DEFAULT.route(about("U-OLD"), registry, NOW)
    assert sent(renamed)["to"] == ["U-T3"], "who supervises what it has become"
    assert "主送“三组”(U-T3):监督“旧局”(U-OLD)(现为“新局”(U-NEW))。" in renamed.why
    assert sent(DEFAULT.route(about("U-END"), registry, NOW))["to"] == ["U-T2"], "what its supervisor has become"
    assert sent(DEFAULT.route(about("U-GAP"), registry, NOW))["to"] == ["U-T3"], "who will supervise what it becomes"
    assert DEFAULT.route(about("U-RE"), registry, NOW).branch == "human_pool", "nobody had the id on that day"
    assert DEFAULT.route(about("U-NEW"), registry, NOW).branch == "human_pool", "it was not there yet"


def test_units_merged_into_one_are_one(tmp_path: Path) -> None:
    registry = registry_of(
        tmp_path,
        OFFICES,
        UNITS,
        "  - {id: U-A0, name: 原甲局, kind: department, level: county, valid_to: 2025-06-19, successor: U-A}\n",
    )
    assert DEFAULT.route(about("U-A", "U-A0"), registry, NOW).branch == "process-department"
    assert DEFAULT.route(about("U-A", "U-B"), registry, NOW).branch == "process-several"


ABOVE: dict[str, tuple[str, str | None]] = {
    "the cadres' department of the office above": (
        "- {id: U-M, name: 市纪委, kind: discipline_office, level: city, subscribers: [m]}\n"
        "- {id: U-K, name: 干部室, kind: discipline_office, level: city, parent: U-M, duty: cadre_supervision, subscribers: [k]}\n"
        "- {id: U-T, name: 组, kind: posted_team, level: county, parent: U-M}\n",
        "U-K",
    ),
    "past a room that has none": (
        "- {id: U-M, name: 市纪委, kind: discipline_office, level: city, subscribers: [m]}\n"
        "- {id: U-R, name: 一室, kind: discipline_office, level: city, parent: U-M, subscribers: [r]}\n"
        "- {id: U-K, name: 干部室, kind: discipline_office, level: city, parent: U-M, duty: cadre_supervision, subscribers: [k]}\n"
        "- {id: U-T, name: 组, kind: posted_team, level: county, parent: U-R}\n",
        "U-K",
    ),
    "the office above, where there is no such department": (
        "- {id: U-M, name: 市纪委, kind: discipline_office, level: city, subscribers: [m]}\n"
        "- {id: U-T, name: 组, kind: posted_team, level: county, parent: U-M}\n",
        "U-M",
    ),
    "the office above, where the department is another's": (
        "- {id: U-M, name: 市纪委, kind: discipline_office, level: city, subscribers: [m]}\n"
        "- {id: U-K, name: 干部室, kind: discipline_office, level: city, duty: cadre_supervision, subscribers: [k]}\n"
        "- {id: U-T, name: 组, kind: posted_team, level: county, parent: U-M}\n",
        "U-M",
    ),
    "the department, where there is no office above": (
        "- {id: U-K, name: 干部室, kind: discipline_office, level: city, duty: cadre_supervision, subscribers: [k]}\n"
        "- {id: U-T, name: 组, kind: posted_team, level: county}\n",
        "U-K",
    ),
    "nobody within the team": (
        "- {id: U-T, name: 组, kind: posted_team, level: county}\n"
        "- {id: U-K, name: 组内室, kind: discipline_office, level: city, parent: U-T, duty: cadre_supervision, subscribers: [k]}\n",
        None,
    ),
    "nobody": ("- {id: U-T, name: 组, kind: posted_team, level: county}\n", None),
}


@pytest.mark.parametrize("name", ABOVE)
def test_one_level_up_is(name: str, tmp_path: Path) -> None:
    units, expected = ABOVE[name]
    pool = "- {id: U-POOL, name: 池, kind: discipline_office, level: city, duty: human_pool, subscribers: [pool]}\n"
    registry = registry_of(tmp_path, "units:\n", units, pool)
    routed = DEFAULT.route(about("U-T"), registry, NOW)
    assert routed.branch == "one-level-up"
    assert sent(routed) == {"to": [expected or "U-POOL"]}


def test_the_examples_of_the_page_on_routing_load(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    page = (root / "docs" / "routing.md").read_text(encoding="utf-8")
    shown = re.findall(r"```(yaml|csv)\n(.*?)```", page, re.DOTALL)
    assert [kind for kind, _ in shown] == ["yaml", "csv", "yaml"]
    paths = [tmp_path / name for name in ("units.yaml", "units.csv", "routing.yaml")]
    for path, (_, text) in zip(paths, shown, strict=True):
        path.write_text(text, encoding="utf-8")
    assert load_registry(paths[0]).units == load_registry(paths[1]).units
    load_tree(paths[2], load_registry(root / "deploy" / "units.example.yaml"))


def test_the_page_on_routing_tells_every_word_of_the_files() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "routing.md").read_text(encoding="utf-8")
    branches = [case.branch for case in DEFAULT.file.cases]
    words = [*UnitEntry.model_fields, *UnitKind, *UnitLevel, *Duty, *When.model_fields, *GuardReason, *branches]
    assert [word for word in words if f"`{word}`" not in page] == []


def load(folder: Path, text: str, registry: Registry | None = None) -> RoutingTree:
    path = folder / "routing.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_tree(path, registry)


CUSTOM = """\
    version: 1
    copy: [{duty: platform}]
    routes:
      - id: urgent
        title: 红色
        when: {levels: [red], rules: [P01, P06]}
        to: [{unit: U-JW}, {duty: human_pool}]
        copy: []
      - id: city
        title: 市级
        when: {accused_levels: [city, province]}
        to: [supervisor]
      - id: rest
        title: 其余
        to: [{duty: party_conduct}, {duty: platform}]
        routes:
          - {id: banquets, title: 吃喝, when: {categories: [C01]}, to: [{duty: complaints}]}
    cases:
      - {name: 红, family: P, level: red, rule: P01, branch: urgent}
      - {name: 市, family: P, accused: [{kind: department, level: city}], branch: city}
      - {name: 其余, family: P, branch: rest}
      - {name: 吃喝, family: T, categories: [C01], branch: banquets}
    """


def test_a_tree_of_ones_own(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, OFFICES.replace("县纪委, kind", "县纪委, subscribers: [jw], kind"), UNITS)
    tree = load(tmp_path, CUSTOM, registry)
    urgent = tree.route(about(level="red"), registry, NOW)
    assert (urgent.branch, sent(urgent), urgent.to_pool) == ("urgent", {"to": ["U-JW", "U-POOL"]}, True)
    rest = tree.route(about("U-A"), registry, NOW)
    assert (rest.branch, sent(rest)) == ("rest", {"to": ["U-PARTY", "U-PLATFORM"]}), "nobody gets it twice"
    banquets = tree.route(about(family="T", categories=["C01"]), registry, NOW)
    assert sent(banquets) == {"to": ["U-XF"], "copy": ["U-PLATFORM"]}, "the file's copy"


def test_the_version_is_of_the_bytes(tmp_path: Path) -> None:
    one, two = load(tmp_path, CUSTOM), load(tmp_path, CUSTOM + "# a comment\n")
    assert one.version != two.version
    assert (len(one.version), one.version) == (16, load(tmp_path, CUSTOM).version)


WHOLE = "{id: all, title: 全部, to: [supervisor]}"
WHOLE_CASE = "{name: 一, family: P, branch: all}"


def tree_of(routes: list[str], cases: list[str], head: str = "") -> str:
    lines = ["version: 1" + head, "routes:", *(f"  - {one}" for one in routes)]
    return "\n".join([*lines, "cases:", *(f"  - {one}" for one in cases)]) + "\n"


def one(when: str = "{}", to: str = "[supervisor]", **more: str) -> str:
    said = ", ".join(f"{key}: {value}" for key, value in {"title": "甲", "when": when, "to": to, **more}.items())
    return f"{{id: one, {said}}}"


REFUSED: dict[str, tuple[str, int, str]] = {
    "another version": (tree_of([WHOLE], [WHOLE_CASE]).replace("version: 1", "version: 2"), 1, "version"),
    "an unknown key": (tree_of(["{id: all, title: 全部, to: [supervisor], cc: []}"], [WHOLE_CASE]), 3, "cc"),
    "an unknown condition": (tree_of([one("{colour: [red]}")], [WHOLE_CASE]), 3, "colour"),
    "an unknown family": (tree_of([one("{families: [Q]}")], [WHOLE_CASE]), 3, "families"),
    "an unknown level": (tree_of([one("{levels: [green]}")], [WHOLE_CASE]), 3, "levels"),
    "an unknown kind": (tree_of([one("{accused_kinds: [club]}")], [WHOLE_CASE]), 3, "accused_kinds"),
    "a kind twice": (tree_of([one("{accused_kinds: [park, park]}")], [WHOLE_CASE]), 3, "twice"),
    "an impossible rule": (tree_of([one("{rules: [p-1]}")], [WHOLE_CASE]), 3, "rules"),
    "an impossible category": (tree_of([one("{categories: [吃喝]}")], [WHOLE_CASE]), 3, "categories"),
    "an empty condition": (tree_of([one("{flags: []}")], [WHOLE_CASE]), 3, "flags"),
    "an impossible number": (tree_of([one("{units_min: -1}")], [WHOLE_CASE]), 3, "units_min"),
    "numbers that exclude each other": (tree_of([one("{units_min: 3, units_max: 2}")], [WHOLE_CASE]), 3, "never"),
    "an unknown way": (tree_of([one(to="[boss]")], [WHOLE_CASE]), 3, "one_level_up"),
    "an unknown duty": (tree_of([one(to="[{duty: tea}]")], [WHOLE_CASE]), 3, "unknown duty"),
    "two ways in one": (tree_of([one(to="[{duty: platform, unit: U-A}]")], [WHOLE_CASE]), 3, "none of"),
    "nobody": (tree_of([one(to="[]")], [WHOLE_CASE]), 3, "to"),
    "somebody twice": (tree_of([one(to="[supervisor, supervisor]")], [WHOLE_CASE]), 3, "twice"),
    "nowhere to go": (tree_of(["{id: one, title: 甲}"], [WHOLE_CASE]), 3, "nowhere"),
    "copies of nothing": (
        tree_of([f"{{id: one, title: 甲, copy: [supervisor], routes: [{WHOLE}]}}"], [WHOLE_CASE]),
        3,
        "copy",
    ),
    "the pool's own id": (tree_of(["{id: human_pool, title: 甲, to: [supervisor]}"], [WHOLE_CASE]), 3, "id"),
    "an id twice": (tree_of([one("{families: [T]}"), one()], [WHOLE_CASE]), 4, "twice"),
    "an unknown unit": (tree_of([one(to="[supervisor, {unit: U-X}]")], [WHOLE_CASE]), 3, "U-X"),
    "an unknown unit for copies": (tree_of([WHOLE], [WHOLE_CASE], "\ncopy: [{unit: U-X}]"), 2, "U-X"),
    "no case": (tree_of([WHOLE], []).replace("cases:", "cases: []"), 4, "cases"),
    "a case of a branch that is not there": (tree_of([WHOLE], [WHOLE_CASE.replace("all", "none")]), 5, "none"),
    "a case that fails": (
        tree_of([one("{families: [T]}"), WHOLE], ["{name: 一, family: T, branch: all}"]),
        6,
        "takes the branch one, not all",
    ),
    "a branch without a case": (tree_of([one("{families: [T]}"), WHOLE], [WHOLE_CASE]), 3, "no case reaches one"),
    "a branch behind one that takes all": (tree_of([WHOLE, one()], [WHOLE_CASE]), 4, "never reached"),
    "a branch behind a wider one": (
        tree_of(
            [
                "{id: all, title: 全部, when: {families: [P, T], units_min: 1}, to: [supervisor]}",
                one("{families: [T], accused_kinds: [park]}"),
            ],
            [WHOLE_CASE],
        ),
        4,
        "never reached",
    ),
    "a branch behind a wider one, by what is said around it": (
        tree_of(
            [
                "{id: around, title: 外, when: {levels: [red]}, routes: "
                f"[{{id: all, title: 全部, when: {{levels: [red, yellow]}}, to: [supervisor]}}, {one()}]}}"
            ],
            [WHOLE_CASE],
        ),
        3,
        "never reached",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unsound_tree_is_refused_with_its_line(name: str, tmp_path: Path, registry: Registry) -> None:
    text, line, hint = REFUSED[name]
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path, text, registry)
    assert str(caught.value).startswith(f"{tmp_path / 'routing.yaml'}:{line}: ")
    assert hint in str(caught.value)


def test_a_file_that_is_missing_too_large_or_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "routing.yaml"
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_tree(path)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigFileError, match="over 1048576 bytes"):
        load_tree(path)
    path.write_bytes("# 甲".encode("gbk"))
    with pytest.raises(ConfigFileError, match="not UTF-8"):
        load_tree(path)


def few(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


KINDS = [UnitKind.DEPARTMENT, UnitKind.PARK, UnitKind.POSTED_TEAM]
WHENS = st.builds(
    lambda **said: When.model_validate({key: value for key, value in said.items() if value is not None}),
    families=few(list(Family)),
    levels=few(list(Level)),
    categories=few(["C01", "C02", "C03"]),
    flags=few(["test", "backfill"]),
    accused_kinds=few(KINDS),
    any_accused_kinds=few(KINDS),
    accused_levels=few(list(UnitLevel)),
    units_min=st.none() | st.integers(0, 2),
    units_max=st.none() | st.integers(2, 3),
)
SUBJECTS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(list(UnitLevel))), max_size=3).flatmap(
    lambda accused: st.builds(
        Subject,
        st.sampled_from(list(Family)),
        st.sampled_from(list(Level)),
        st.just("P01"),
        st.frozensets(st.sampled_from(["C01", "C02", "C03"])),
        st.frozensets(st.sampled_from(["test", "backfill"])),
        st.just(tuple(accused)),
        st.integers(min(1, len(accused)), len(accused)),
    )
)


@given(st.lists(WHENS, min_size=1, max_size=2), WHENS, SUBJECTS)
def test_what_is_called_unreachable_is(known: list[When], wanted: When, subject: Subject) -> None:
    if implies(known, wanted) and all(when.fits(subject) for when in known):
        assert wanted.fits(subject)


@given(WHENS)
def test_a_condition_implies_itself_and_nothing_is_implied_by_all(when: When) -> None:
    assert implies([when], when)
    assert implies([when], When())
