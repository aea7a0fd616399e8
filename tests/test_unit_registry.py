"""The unit registry: taken as a whole or refused with file:line; who was what, under whom, at which time."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.registry import Registry, load_registry, registry_of
from models.strict_yaml import MAX_FILE_BYTES, ConfigFileError
from models.times import DAY, parse_instant
from models.units import DUTY_TITLES, KIND_TITLES, LEVEL_TITLES, NEVER_AFTER, Duty, Unit, UnitKind, UnitLevel

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
HEADER = "id,name,aliases,kind,level,parent,supervised_by,duty,valid_from,valid_to,successor,subscribers\n"


def at(day: str) -> int:
    return parse_instant(f"{day}T00:00:00+08:00")


NOW = at("2025-06-18")


def load(folder: Path, text: str, name: str = "units.yaml") -> Registry:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_registry(path)


GOOD = """\
    units:
      - {id: U-JW, name: 县纪委, kind: discipline_office, level: county}
      - {id: U-CADRES, name: 干部监督室, kind: discipline_office, level: county, parent: U-JW, duty: cadre_supervision}
      - {id: U-T, name: 驻甲局组, kind: posted_team, level: county, parent: U-JW, subscribers: [team]}
      - {id: U-A, name: 甲局, aliases: [县甲局], kind: department, level: county, supervised_by: U-T}
      - {id: U-A1, name: 甲局办公室, kind: in_house, level: county, parent: U-A}
    """


def test_who_is_asked_for_is_found(tmp_path: Path) -> None:
    registry = load(tmp_path, GOOD)
    office = registry.unit("U-A1", NOW)
    assert office is not None
    assert (office.name, office.kind, office.level) == ("甲局办公室", UnitKind.IN_HOUSE, UnitLevel.COUNTY)
    assert [unit.id for unit in registry.ancestors("U-A1", NOW)] == ["U-A"]
    assert [getattr(registry.supervisor_of(one, NOW), "id", None) for one in ("U-A1", "U-A", "U-T")] == [
        "U-T",
        "U-T",
        None,
    ]
    owner = registry.owner_of("team", NOW)
    assert owner is not None
    assert owner.id == "U-T"
    assert registry.owner_of("nobody", NOW) is None
    assert registry.subscribers_of("U-T", NOW) == ("team",)
    assert registry.subscribers_of("U-X", NOW) == ()
    cadres = registry.with_duty(Duty.CADRE_SUPERVISION, NOW)
    assert cadres is not None
    assert cadres.id == "U-CADRES"
    assert registry.with_duty(Duty.PLATFORM, NOW) is None
    assert registry.is_under("U-A1", "U-A")
    assert not registry.is_under("U-A", "U-A1")
    assert not registry.is_under("U-A", "U-A")
    assert {"甲局", "县甲局"} <= registry.names()
    assert registry.subscriber_names() == {"team"}
    assert registry.knows("U-A")
    assert not registry.knows("U-X")


def test_an_unknown_unit_has_nobody_above_it_and_a_lineage_of_its_own(tmp_path: Path) -> None:
    registry = load(tmp_path, GOOD)
    assert registry.unit("U-X", NOW) is None
    assert registry.ancestors("U-X", NOW) == ()
    assert registry.supervisor_of("U-X", NOW) is None
    assert registry.lineage("U-X") == {"U-X"}


def test_the_version_is_of_the_bytes(tmp_path: Path) -> None:
    one, two = load(tmp_path, GOOD), load(tmp_path, GOOD + "# a comment\n")
    assert one.version != two.version
    assert len(one.version) == 16
    assert one.version == load(tmp_path, GOOD).version


def test_a_unit_ends_at_the_beginning_of_its_last_day_in_china(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        "units: [{id: U-1, name: 甲局, kind: department, level: county, valid_from: 2020-01-01, valid_to: 2021-01-01}]",
    )
    first, end = at("2020-01-01"), at("2021-01-01")
    assert [registry.unit("U-1", instant) is None for instant in (first - 1, first, end - 1, end)] == [
        True,
        False,
        False,
        True,
    ]


def test_two_units_have_one_name_at_different_times(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        """\
        units:
          - {id: U-1, name: 甲街道办事处, kind: subdistrict, level: township, valid_to: 2020-01-01}
          - {id: U-2, name: 甲街道办事处, kind: subdistrict, level: township, valid_from: 2020-01-01}
        """,
    )
    assert [registry.unit(one, NOW) is None for one in ("U-1", "U-2")] == [True, False]
    assert registry.lineage("U-1") == {"U-1"}
    assert not registry.lineage("U-1") & registry.lineage("U-2")


def test_an_id_that_is_used_again_means_the_unit_of_the_time(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        """\
        units:
          - {id: U-1, name: 甲局, kind: department, level: county, valid_to: 2020-01-01, subscribers: [one]}
          - {id: U-1, name: 乙公司, kind: enterprise, level: county, valid_from: 2022-01-01, subscribers: [two]}
        """,
    )
    old, none, new = (registry.unit("U-1", at(day)) for day in ("2019-12-31", "2021-01-01", "2022-01-01"))
    assert old is not None
    assert new is not None
    assert (old.name, none, new.name) == ("甲局", None, "乙公司")
    assert registry.current(old, NOW) is None, "what came later under the id is another unit"
    assert registry.owner_of("one", NOW) is None
    assert getattr(registry.owner_of("two", NOW), "name", None) == "乙公司"
    assert registry.owner_of("one", at("2019-01-01")) == old


def test_a_unit_goes_on_through_renaming_and_merging(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        """\
        units:
          - {id: U-1, name: 甲局, kind: department, level: county, valid_to: 2018-01-01, successor: U-3}
          - {id: U-2, name: 乙局, kind: department, level: county, valid_to: 2019-01-01, successor: U-3}
          - {id: U-3, name: 丙局, kind: department, level: county, valid_from: 2018-01-01, valid_to: 2021-01-01}
          - {id: U-3, name: 丁局, kind: department, level: county, valid_from: 2021-01-01}
        """,
    )
    first = registry.unit("U-1", at("2017-01-01"))
    assert first is not None
    whole = {"U-1", "U-2", "U-3"}
    assert [registry.lineage(one) for one in sorted(whole)] == [whole] * 3
    named = [registry.current(first, at(day)) for day in ("2017-06-01", "2018-01-01", "2025-01-01")]
    assert [unit and unit.name for unit in named] == ["甲局", "丙局", "丁局"]


def test_a_unit_that_moved_was_under_both(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        """\
        units:
          - {id: U-1, name: 甲局, kind: department, level: county}
          - {id: U-2, name: 乙局, kind: department, level: county}
          - {id: U-9, name: 某科, kind: in_house, level: county, parent: U-1, valid_to: 2020-01-01}
          - {id: U-9, name: 某科, kind: in_house, level: county, parent: U-2, valid_from: 2020-01-01}
        """,
    )
    assert [unit.id for unit in registry.ancestors("U-9", NOW)] == ["U-2"]
    assert registry.is_under("U-9", "U-1")
    assert registry.is_under("U-9", "U-2")


def test_units_may_change_places_as_long_as_there_is_no_circle_at_one_time(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        """\
        units:
          - {id: U-1, name: 甲局, kind: department, level: county, parent: U-2, valid_to: 2020-01-01}
          - {id: U-1, name: 甲局, kind: department, level: county, valid_from: 2020-01-01}
          - {id: U-2, name: 乙局, kind: department, level: county, valid_to: 2020-01-01}
          - {id: U-2, name: 乙局, kind: department, level: county, parent: U-1, valid_from: 2020-01-01}
        """,
    )
    assert registry.is_under("U-1", "U-2")
    assert registry.is_under("U-2", "U-1")
    assert not registry.is_under("U-1", "U-1")


def test_a_name_comes_back_to_an_id_after_another_one(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        """\
        units:
          - {id: U-1, name: 甲局, kind: department, level: county, valid_to: 2019-01-01, successor: U-2}
          - {id: U-2, name: 乙局, kind: department, level: county, valid_from: 2019-01-01, valid_to: 2023-01-01, successor: U-1}
          - {id: U-1, name: 甲局, kind: department, level: county, valid_from: 2023-01-01}
        """,
    )
    first = registry.unit("U-1", at("2018-01-01"))
    assert first is not None
    assert getattr(registry.current(first, at("2020-01-01")), "id", None) == "U-2"
    assert getattr(registry.current(first, NOW), "since", None) == at("2023-01-01")


DEPARTMENT = "kind: department, level: county"
TEAM = "kind: posted_team, level: county"
REFUSED: dict[str, tuple[list[str], int, str]] = {
    "nobody at all": ([], 1, "units"),
    "an unknown field": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, nick: x}}"], 2, "nick"),
    "no name": ([f"{{id: U-1, {DEPARTMENT}}}"], 2, "name"),
    "a number for an id": ([f"{{id: 1, name: 甲, {DEPARTMENT}}}"], 2, "id"),
    "an unknown kind": (["{id: U-1, name: 甲, kind: club, level: county}"], 2, "kind"),
    "an unknown level": (["{id: U-1, name: 甲, kind: department, level: galaxy}"], 2, "level"),
    "an unknown duty": (["{id: U-1, name: 甲, kind: discipline_office, level: county, duty: tea}"], 2, "duty"),
    "a duty of a department": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, duty: platform}}"], 2, "discipline_office"),
    "the hotline's duty of an office": (
        ["{id: U-1, name: 甲, kind: discipline_office, level: county, duty: hotline}"],
        2,
        "kind hotline",
    ),
    "the pool at the hotline": (["{id: U-1, name: 甲, kind: hotline, level: county, duty: human_pool}"], 2, "duty"),
    "no such day": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_from: 2024-02-30}}"], 2, "valid_from"),
    "a day of another form": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_to: 20240201}}"], 2, "valid_to"),
    "no time at all": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_from: 2024-01-01, valid_to: 2024-01-01}}"],
        2,
        "valid_to",
    ),
    "a successor of what has not ended": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}, successor: U-2}}", f"{{id: U-2, name: 乙, {DEPARTMENT}}}"],
        2,
        "valid_to",
    ),
    "an id twice": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}}}", f"{{id: U-1, name: 乙, {DEPARTMENT}}}"],
        3,
        "U-1",
    ),
    "an id twice for some days, the earlier one later in the file": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_from: 2020-01-01}}",
            f"{{id: U-1, name: 乙, {DEPARTMENT}, valid_to: 2020-01-03}}",
        ],
        3,
        "valid_from",
    ),
    "a name twice": ([f"{{id: U-1, name: 甲, {DEPARTMENT}}}", f"{{id: U-2, name: 甲, {DEPARTMENT}}}"], 3, "U-1"),
    "a name twice, in other brackets": (
        [f"{{id: U-1, name: 甲(筹), {DEPARTMENT}}}", f"{{id: U-2, name: 甲（筹）, {DEPARTMENT}}}"],
        3,
        "same name",
    ),
    "an alias that is another's name": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}}}", f"{{id: U-2, name: 乙, aliases: [甲], {DEPARTMENT}}}"],
        3,
        "aliases",
    ),
    "a name twice for some days": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_to: 2020-01-03}}",
            f"{{id: U-2, name: 甲, {DEPARTMENT}, valid_from: 2020-01-01}}",
        ],
        3,
        "same time",
    ),
    "an unknown parent": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, parent: U-9}}"], 2, "U-9"),
    "an unknown supervisor": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, supervised_by: U-9}}"], 2, "U-9"),
    "an unknown successor": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_to: 2020-01-01, successor: U-9}}"],
        2,
        "U-9",
    ),
    "its own parent": ([f"{{id: U-1, name: 甲, {DEPARTMENT}, parent: U-1}}"], 2, "circle"),
    "a circle of parents": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, parent: U-3}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, parent: U-1}}",
            f"{{id: U-3, name: 丙, {DEPARTMENT}, parent: U-2}}",
        ],
        2,
        "circle",
    ),
    "a circle of parents that closes later": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, parent: U-2}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, valid_to: 2020-01-01}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, parent: U-1, valid_from: 2020-01-01}}",
        ],
        4,
        "circle",
    ),
    "its own successor": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_to: 2020-01-01, successor: U-1}}"],
        2,
        "outlive",
    ),
    "a circle of successors": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_to: 2020-01-01, successor: U-2}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, valid_to: 2020-01-01, successor: U-1}}",
        ],
        2,
        "circle",
    ),
    "a parent that comes later": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_from: 2020-01-01}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, parent: U-1}}",
        ],
        3,
        "beginning",
    ),
    "a parent that ends before": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, valid_to: 2020-01-01}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, parent: U-1}}",
        ],
        3,
        "2020-01-01",
    ),
    "a supervisor with a gap": (
        [
            f"{{id: U-T, name: 组, {TEAM}, valid_to: 2020-01-01}}",
            f"{{id: U-T, name: 组, {TEAM}, valid_from: 2020-01-02}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, supervised_by: U-T}}",
        ],
        4,
        "2020-01-01",
    ),
    "a supervisor that is no such thing": (
        [f"{{id: U-1, name: 甲, {DEPARTMENT}}}", f"{{id: U-2, name: 乙, {DEPARTMENT}, supervised_by: U-1}}"],
        3,
        "posted_team",
    ),
    "a supervisor that is no such thing for a time": (
        [
            "{id: U-1, name: 甲, kind: in_house, level: county, valid_to: 2020-01-01}",
            f"{{id: U-1, name: 甲, {TEAM}, valid_from: 2020-01-01}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, supervised_by: U-1}}",
        ],
        4,
        "posted_team",
    ),
    "a supervisor of itself": ([f"{{id: U-T, name: 组, {TEAM}, supervised_by: U-T}}"], 2, "in-house"),
    "a supervisor within": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, supervised_by: U-T}}",
            f"{{id: U-2, name: 乙, {DEPARTMENT}, parent: U-1}}",
            f"{{id: U-T, name: 组, {TEAM}, parent: U-2}}",
        ],
        2,
        "in-house",
    ),
    "a supervisor that moves in later": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, supervised_by: U-T}}",
            f"{{id: U-T, name: 组, {TEAM}, valid_to: 2020-01-01}}",
            f"{{id: U-T, name: 组, {TEAM}, parent: U-1, valid_from: 2020-01-01}}",
        ],
        2,
        "in-house",
    ),
    "two teams that supervise each other": (
        [f"{{id: U-T, name: 组, {TEAM}, supervised_by: U-S}}", f"{{id: U-S, name: 组二, {TEAM}, supervised_by: U-T}}"],
        2,
        "circle",
    ),
    "a circle of supervision by way of what is inherited": (
        [
            f"{{id: U-1, name: 甲, {DEPARTMENT}, supervised_by: U-S}}",
            f"{{id: U-T, name: 组, {TEAM}, parent: U-1}}",
            f"{{id: U-S, name: 组二, {TEAM}, supervised_by: U-T}}",
        ],
        2,
        "circle",
    ),
    "a subscriber of two units": (
        [f"{{id: U-1, name: 甲, {TEAM}, subscribers: [a]}}", f"{{id: U-2, name: 乙, {TEAM}, subscribers: [b, a]}}"],
        3,
        "subscriber a",
    ),
    "a subscriber twice": ([f"{{id: U-1, name: 甲, {TEAM}, subscribers: [a, a]}}"], 2, "twice"),
    "a subscriber of no such form": ([f"{{id: U-1, name: 甲, {TEAM}, subscribers: [A B]}}"], 2, "subscribers"),
    "one duty of two": (
        [
            "{id: U-1, name: 甲, kind: discipline_office, level: county, duty: complaints}",
            "{id: U-2, name: 乙, kind: discipline_office, level: county, duty: complaints}",
        ],
        3,
        "same duty",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unsound_file_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    units, line, hint = REFUSED[name]
    path = tmp_path / "units.yaml"
    path.write_text("units:\n" + "".join(f"  - {unit}\n" for unit in units) if units else "units: []\n", "utf-8")
    with pytest.raises(ConfigFileError) as caught:
        load_registry(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert hint in str(caught.value)


REFUSED_CSV: dict[str, tuple[str, int, str]] = {
    "nothing": ("", 1, "empty"),
    "a header alone": (HEADER, 1, "units"),
    "an unknown column": ("id,name,kind,level,colour\n", 1, "column"),
    "a column twice": ("id,name,kind,level,id\n", 1, "twice"),
    "a column that is missing": ("id,name,kind\nU-1,甲,department\n", 1, "level"),
    "other separators": ("id;name;kind;level\nU-1;甲;department;county\n", 1, "column"),
    "a cell too many": ("id,name,kind,level\nU-1,甲,department,county,\n", 2, "cells"),
    "a cell too few": ("id,name,kind,level\nU-1,甲,department\n", 2, "cells"),
    "an open quote": ('id,name,kind,level\nU-1,"甲,department,county\n', 2, "CSV"),
    "a missing cell": ("id,name,kind,level\n\nU-1,,department,county\n", 3, "name"),
    "an unknown kind": ("id,name,kind,level\nU-1,甲,department,county\nU-2,乙,club,county\n", 3, "kind"),
    "an unknown parent, after a cell of two lines": (
        'id,name,kind,level,parent,aliases\nU-1,甲,department,county,,"甲局;\n县甲局"\nU-2,乙,department,county,U-9,\n',
        4,
        "U-9",
    ),
}


@pytest.mark.parametrize("name", REFUSED_CSV)
def test_an_unsound_spreadsheet_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    text, line, hint = REFUSED_CSV[name]
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path, text, "units.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'units.csv'}:{line}: ")
    assert hint in str(caught.value)


def test_a_spreadsheet_says_the_same_as_yaml(tmp_path: Path) -> None:
    text = (
        f"\ufeff{HEADER}"
        "U-JW,县纪委,,discipline_office,county,,,,,,,\n"
        "U-CADRES,干部监督室,,discipline_office,county,U-JW,,cadre_supervision,,,,\n"
        ",,,,,,,,,,,\n"
        "U-T,驻甲局组,,posted_team,county,U-JW,,,,,,team;\r\n"
        "U-A,甲局, 县甲局 ,department,county,,U-T,,,,,\n"
        "U-A1,甲局办公室,,in_house,county,U-A,,,,,,\n"
    )
    assert load(tmp_path, text, "units.csv").units == load(tmp_path, GOOD).units


def test_lists_in_a_cell_take_either_semicolon(tmp_path: Path) -> None:
    registry = load(tmp_path, f"{HEADER}U-A,甲局,县甲局;甲；旧甲局,department,county,,,,,,,a；b\n", "units.csv")
    assert registry.units[0].aliases == ("县甲局", "甲", "旧甲局")
    assert registry.units[0].subscribers == ("a", "b")


@pytest.mark.parametrize(("name", "bytes_max"), [("units.yaml", MAX_FILE_BYTES), ("units.csv", 8 * MAX_FILE_BYTES)])
def test_an_oversized_file_is_not_read(name: str, bytes_max: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"#" * (bytes_max + 1))
    with pytest.raises(ConfigFileError, match=f":1: over {bytes_max} bytes"):
        load_registry(path)


def test_a_file_that_is_not_there_or_not_text_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_registry(tmp_path / "none.yaml")
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(ConfigFileError, match="cannot be read"):
        load_registry(folder)
    path = tmp_path / "units.csv"
    path.write_bytes("id,name,kind,level\nU-1,甲,department,county\n".encode("gbk"))
    with pytest.raises(ConfigFileError, match=r":2: is not UTF-8"):
        load_registry(path)
    with pytest.raises(ConfigFileError, match="neither YAML nor CSV"):
        load_registry(tmp_path / "units.xlsx")


@pytest.mark.parametrize("name", ["units.example.yaml", "units.example.csv"])
def test_the_examples_load(name: str) -> None:
    registry = load_registry(DEPLOY / name)
    assert [duty for duty in Duty if registry.with_duty(duty, NOW) is None] == []


def test_the_examples_say_the_same() -> None:
    assert load_registry(DEPLOY / "units.example.yaml").units == load_registry(DEPLOY / "units.example.csv").units


def test_everything_closed_has_a_chinese_title() -> None:
    assert (set(KIND_TITLES), set(LEVEL_TITLES), set(DUTY_TITLES)) == (set(UnitKind), set(UnitLevel), set(Duty))


@pytest.mark.parametrize("name", ["units.yaml", "units.csv"])
def test_a_registry_of_a_large_city_loads(name: str, tmp_path: Path) -> None:
    office = {"id": "U-JW", "name": "县纪委", "kind": "discipline_office", "level": "county"}
    teams = [
        {"id": f"U-T{index}", "name": f"第{index}组", "kind": "posted_team", "level": "county", "parent": "U-JW"}
        for index in range(40)
    ]
    rest = [
        {"id": f"U-{index}", "name": f"第{index}单位", "kind": "department", "level": "county"}
        | ({"parent": f"U-{index // 9}"} if index >= 9 else {"supervised_by": f"U-T{index}"})
        for index in range(1, 4_960)
    ]
    units = [office, *teams, *rest]
    if name.endswith(".csv"):
        columns = ("id", "name", "kind", "level", "parent", "supervised_by")
        rows = (",".join(unit.get(column, "") for column in columns) for unit in units)
        text = "\n".join((",".join(columns), *rows))
    else:
        text = "units:\n" + "".join(f"  - {json.dumps(unit, ensure_ascii=False)}\n" for unit in units)
    registry = load(tmp_path, text, name)
    assert len(registry.units) == 5_000
    assert [unit.id for unit in registry.ancestors("U-4959", NOW)] == ["U-551", "U-61", "U-6"]
    assert getattr(registry.supervisor_of("U-4959", NOW), "id", None) == "U-T6"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_being_of_one_lineage_holds_both_ways(pairs: list[tuple[int, int]]) -> None:
    what = (UnitKind.DEPARTMENT, UnitLevel.COUNTY)
    units = [
        Unit(f"U-{old}", f"甲{index}", *what, index * DAY, (index + 1) * DAY, successor=f"U-{new}")
        for index, (old, new) in enumerate(pairs)
    ]
    units += [Unit(f"U-{one}", f"乙{one}", *what, 100 * DAY, NEVER_AFTER) for one in range(10)]
    registry = registry_of(units, "v")
    ids = [f"U-{one}" for one in range(10)]
    for one in ids:
        assert one in registry.lineage(one)
        assert all(registry.lineage(other) == registry.lineage(one) for other in registry.lineage(one))
    assert all(f"U-{new}" in registry.lineage(f"U-{old}") for old, new in pairs)
    assert len({registry.lineage(one) for one in ids}) >= 10 - len(set(pairs))
