"""The conflict guard: a warning never reaches those it is about, nor anybody beneath them, by whatever tree it is routed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting import guard
from alerting.guard import GuardReason, refusal
from alerting.registry import Registry, load_registry, registry_of
from alerting.routing import RoutingTree, load_tree
from alerting.routing_tree import RoutingFile
from models.alert import Alert
from models.times import parse_instant
from models.units import ALWAYS_BEFORE, NEVER_AFTER, TEAM_KINDS, Duty, Unit, UnitKind, UnitLevel
from tests.alerting_support import make_alert, make_subscriber

NOW = parse_instant("2025-06-20T00:00:00+08:00")
DEFAULT = load_tree(None)

UNITS = """\
units:
  - {id: U-JW, name: 县纪委, kind: discipline_office, level: county, subscribers: [jw]}
  - {id: U-XF, name: 信访室, kind: discipline_office, level: county, parent: U-JW, duty: complaints, subscribers: [complaints]}
  - {id: U-CADRES, name: 干部监督室, kind: discipline_office, level: county, parent: U-JW, duty: cadre_supervision, subscribers: [cadres]}
  - {id: U-POOL, name: 研判组, kind: discipline_office, level: county, parent: U-JW, duty: human_pool, subscribers: [pool]}
  - {id: U-T, name: 驻某局纪检监察组, kind: posted_team, level: county, parent: U-JW, subscribers: [team]}
  - {id: U-T1, name: 驻某局纪检监察组综合科, kind: in_house, level: county, parent: U-T, subscribers: [team-office]}
  - {id: U-A, name: 某局, kind: department, level: county, supervised_by: U-T, subscribers: [bureau]}
  - {id: U-A1, name: 某局机关党委, kind: in_house, level: county, parent: U-A, subscribers: [bureau-party]}
  - {id: U-OLD, name: 原某局, kind: department, level: county, valid_to: 2020-01-01, successor: U-A, subscribers: [old]}
  - {id: U-OLD1, name: 原某局一科, kind: in_house, level: county, parent: U-OLD, valid_to: 2020-01-01}
  - {id: U-OLD1, name: 一科, kind: in_house, level: county, parent: U-B, valid_from: 2020-01-01, subscribers: [moved]}
  - {id: U-B, name: 乙局, kind: department, level: county, supervised_by: U-T2, subscribers: [other]}
  - {id: U-T2, name: 驻乙局纪检监察组, kind: posted_team, level: county, parent: U-JW, subscribers: [team-2]}
  - {id: U-901, name: 旧园区, kind: park, level: county, valid_to: 2020-01-01}
  - {id: U-901, name: 水务公司, kind: enterprise, level: county, valid_from: 2022-01-01, subscribers: [water]}
  - {id: U-N1, name: 丙街道, kind: subdistrict, level: township, valid_to: 2020-01-01}
  - {id: U-N2, name: 丙街道, kind: subdistrict, level: township, valid_from: 2020-01-01, subscribers: [subdistrict]}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("registry") / "units.yaml"
    path.write_text(UNITS, encoding="utf-8")
    return load_registry(path)


def about(*accused: str, involved: tuple[str, ...] = (), **fields: Any) -> Alert:
    units = [{"id": one, "role": "accused"} for one in accused] + [{"id": one, "role": "involved"} for one in involved]
    return make_alert(units=units, **fields)


LONG_AGO = {"event_time": "2019-06-18T09:00:00+08:00"}
TOLD: dict[str, tuple[Alert, str, GuardReason | None]] = {
    # the accused, and whoever is beneath
    "the accused": (about("U-A"), "bureau", GuardReason.ACCUSED_UNIT),
    "its in-house staff": (about("U-A"), "bureau-party", GuardReason.UNDER_ACCUSED),
    "its supervisor": (about("U-A"), "team", None),
    "another department": (about("U-A"), "other", None),
    "the unit above the accused": (about("U-A1"), "bureau", None),
    "one of several accused": (about("U-B", "U-A"), "bureau", GuardReason.ACCUSED_UNIT),
    "those it merely had a part with": (about("U-B", involved=("U-A",)), "bureau", None),
    "an aggregate's part": (about("U-B", involved=("U-A",), family="G"), "bureau", None),
    "a text's part": (about("U-B", involved=("U-A",), family="T"), "bureau", GuardReason.ACCUSED_UNIT),
    "beneath a text's part": (about(involved=("U-A",), family="T"), "bureau-party", GuardReason.UNDER_ACCUSED),
    "a retraction": (about("U-A", status="retracted"), "bureau", GuardReason.ACCUSED_UNIT),
    # at whatever time
    "what the accused was merged into": (about("U-OLD", **LONG_AGO), "bureau", GuardReason.ACCUSED_UNIT),
    "beneath what it was merged into": (about("U-OLD", **LONG_AGO), "bureau-party", GuardReason.UNDER_ACCUSED),
    "who was beneath it once": (about("U-OLD", **LONG_AGO), "moved", GuardReason.UNDER_ACCUSED),
    "who was beneath what became the accused": (about("U-A"), "moved", GuardReason.UNDER_ACCUSED),
    "another unit under an id that is used again": (about("U-901", **LONG_AGO), "water", GuardReason.ACCUSED_UNIT),
    "another unit of the same name": (about("U-N1", **LONG_AGO), "subdistrict", None),
    # teams
    "the accused team": (about("U-T"), "team", GuardReason.OWN_TEAM),
    "the accused team's office": (about("U-T"), "team-office", GuardReason.UNDER_ACCUSED),
    "the team of an accused office": (about("U-T1"), "team", GuardReason.OWN_TEAM),
    "another team": (about("U-T"), "team-2", None),
    "the commission above": (about("U-T"), "cadres", None),
    # nobody is exempt
    "people at the pool, beneath the accused": (about("U-JW"), "pool", GuardReason.UNDER_ACCUSED),
    "people at the pool, accused": (about("U-POOL"), "pool", GuardReason.ACCUSED_UNIT),
    # what the registry does not know
    "nobody's subscriber": (about("U-B"), "stranger", GuardReason.OWNER_UNKNOWN),
    "a subscriber of a unit that has ended": (about("U-B"), "old", GuardReason.OWNER_UNKNOWN),
    "an unknown accused": (about("U-X"), "complaints", GuardReason.UNKNOWN_ACCUSED),
    "an accused that was no more": (about("U-N1"), "jw", GuardReason.UNKNOWN_ACCUSED),
    "an unknown accused, to people": (about("U-X"), "pool", None),
    "an unknown accused beside the pool": (about("U-X", "U-POOL"), "pool", GuardReason.ACCUSED_UNIT),
    "an unknown unit that a text involves": (
        about("U-B", involved=("U-X",), family="T"),
        "jw",
        GuardReason.UNKNOWN_ACCUSED,
    ),
    "an unknown unit that is merely involved": (about("U-B", involved=("U-X",)), "jw", None),
    "a warning about nobody": (about(family="G"), "bureau", None),
}


@pytest.mark.parametrize("name", TOLD)
def test_whether_it_may_be_told(name: str, registry: Registry) -> None:
    alert, subscriber, reason = TOLD[name]
    found = refusal(alert, make_subscriber(subscriber), registry, NOW)
    assert (found and found.reason) == reason


LISTED: dict[str, tuple[Alert, str | None]] = {
    "the accused": (about("U-A"), "owner=U-XF accused=U-A listed=U-A"),
    "what the accused became": (about("U-OLD", **LONG_AGO), "owner=U-XF accused=U-OLD listed=U-A"),
    "an involved unit of a text": (about(involved=("U-A",), family="T"), "owner=U-XF accused=U-A listed=U-A"),
    "merely involved": (about("U-B", involved=("U-A",)), None),
    "beneath it": (about("U-A1"), None),
}


@pytest.mark.parametrize("name", LISTED)
def test_units_that_the_subscriber_itself_lists_are_its_own(name: str, registry: Registry) -> None:
    alert, detail = LISTED[name]
    found = refusal(alert, make_subscriber("complaints", owner_units=frozenset({"U-A"})), registry, NOW)
    assert found == (None if detail is None else guard.Refusal(GuardReason.LISTED, detail))


def test_a_listed_unit_that_the_registry_does_not_know_counts(registry: Registry) -> None:
    found = refusal(about("U-X"), make_subscriber("pool", owner_units=frozenset({"U-X"})), registry, NOW)
    assert found is not None
    assert found.reason is GuardReason.LISTED


def test_a_refusal_names_ids_and_nothing_else(registry: Registry) -> None:
    alert = make_alert(units=[{"id": "U-A", "name": "某局", "role": "accused"}], headline="疑似")
    found = refusal(alert, make_subscriber("bureau-party"), registry, NOW)
    assert found is not None
    assert found.detail == "owner=U-A1 accused=U-A"


def test_nothing_switches_it_off() -> None:
    assert list(inspect.signature(refusal).parameters) == ["alert", "subscriber", "registry", "now"]
    assert "environ" not in inspect.getsource(guard)


@pytest.mark.parametrize("family", ["P", "T", "G"])
def test_the_head_of_a_posted_team_is_accused(family: str, registry: Registry) -> None:
    """反映“驻某局纪检组长”: never to that team, but one level up."""
    alert = about("U-T", involved=("U-A",), family=family, categories=["C01"] if family == "T" else [])
    routed = DEFAULT.route(alert, registry, NOW)
    assert [one.unit_id for one in routed.recipients] == ["U-CADRES"]
    may = {name: refusal(alert, make_subscriber(name), registry, NOW) is None for name in registry.subscriber_names()}
    assert may["cadres"]
    assert not may["team"]
    assert not may["team-office"]


# Registries at random: everything changes, or does not, on one day.

BEFORE, AFTER = (parse_instant(f"{day}T00:00:00+08:00") for day in ("2012-06-01", "2018-06-01"))
CHANGE = parse_instant("2015-01-01T00:00:00+08:00")
SIZE = 9
IDS = [f"U-{index}" for index in range(SIZE)]


KINDS = (
    UnitKind.DISCIPLINE_OFFICE,
    UnitKind.POSTED_TEAM,
    UnitKind.DISCIPLINE_COMMITTEE,
    UnitKind.DEPARTMENT,
    UnitKind.PARK,
)
# Made once: to make a strategy takes longer than to draw from it.
_ORDERS, _KINDS, _SIXTH, _YES = st.permutations(IDS), st.sampled_from(KINDS), st.integers(0, 5), st.booleans()
_SUPERVISORS, _FAMILIES = st.none() | st.sampled_from(IDS), st.sampled_from("PTG")
_BEFORE = [st.none() | st.sampled_from(IDS[:index]) if index else st.none() for index in range(SIZE)]
_AFTER = [st.none() | st.sampled_from(IDS[index:]) if index < SIZE else st.none() for index in range(1, SIZE + 1)]
_SOME = st.lists(st.sampled_from([*IDS, *IDS, "U-X"]), max_size=2, unique=True)
_TIMES = st.sampled_from(["2012-06-01T00:00:00+08:00", "2018-06-01T00:00:00+08:00"])
_FLAGS = st.sampled_from([[], ["unclear_responsibility"]])


@st.composite
def registries(draw: st.DrawFn) -> list[Unit]:
    """Draw units: before the change those above have smaller numbers, after it larger ones, so that there is no circle at one time."""
    duties = dict(zip(draw(_ORDERS), Duty, strict=False))
    units = []
    for index, unit_id in enumerate(IDS):
        kind = UnitKind.DISCIPLINE_OFFICE if unit_id in duties else draw(_KINDS)
        for since, until, above in ((ALWAYS_BEFORE, CHANGE, _BEFORE), (CHANGE, NEVER_AFTER, _AFTER)):
            if draw(_SIXTH) == 0:
                continue
            units.append(
                Unit(
                    unit_id,
                    f"{unit_id}@{since}",
                    kind,
                    UnitLevel.COUNTY,
                    since,
                    until,
                    parent=draw(above[index]),
                    supervised_by=draw(_SUPERVISORS),
                    duty=duties.get(unit_id),
                    subscribers=(f"s-{unit_id}",) if draw(_YES) else (),
                )
            )
    lasting = [unit.id for unit in units if unit.until == NEVER_AFTER]
    return [
        replace(unit, successor=draw(st.sampled_from(lasting)))
        if _ends(unit) and draw(st.booleans()) and lasting
        else unit
        for unit in units
    ]


def _ends(unit: Unit) -> bool:
    return unit.until != NEVER_AFTER


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    accused = draw(_SOME)
    return about(
        *accused,
        involved=tuple(one for one in draw(_SOME) if one not in accused),
        family=draw(_FAMILIES),
        event_time=draw(_TIMES),
        flags=draw(_FLAGS),
    )


SELECTORS = st.lists(
    st.sampled_from(
        ["supervisor", "one_level_up", *({"duty": one.value} for one in Duty), *({"unit": one} for one in IDS)]
    ),
    min_size=1,
    max_size=4,
    unique_by=str,
)


@st.composite
def trees(draw: st.DrawFn) -> RoutingTree:
    if draw(st.integers(0, 2)) == 0:
        return DEFAULT
    routes: list[dict[str, Any]] = [
        {"id": f"r-{index}", "title": "甲", "when": when, "to": draw(SELECTORS), "copy": draw(SELECTORS)}
        for index, when in enumerate(({"units_min": 2}, {"families": ["T"]}, {}))
    ]
    case = {"name": "甲", "family": "P", "branch": "r-2"}
    return RoutingTree("v", RoutingFile.model_validate({"version": 1, "routes": routes, "cases": [case]}))


@dataclass(frozen=True)
class Oracle:
    """Knows from the plain list of units who may not be told; shares nothing with the registry's indices."""

    units: list[Unit]

    def at(self, unit_id: str, instant: int) -> Unit | None:
        return next((one for one in self.units if one.id == unit_id and one.since <= instant < one.until), None)

    def family_of(self, unit_id: str) -> set[str]:
        found = {unit_id}
        while True:
            ties = ({one.id, one.successor} for one in self.units if one.successor is not None)
            grown = found.union(*(tie for tie in ties if tie & found))
            if grown == found:
                return found
            found = {one for one in grown if one is not None}

    def chain(self, unit_id: str, instant: int) -> Iterator[str]:
        one = self.at(unit_id, instant)
        while one is not None:
            yield one.id
            one = self.at(one.parent, instant) if one.parent is not None else None

    def touches(self, unit_id: str, others: set[str]) -> bool:
        return unit_id in others or any(others & set(self.chain(unit_id, instant)) for instant in (BEFORE, AFTER))

    def may_be_told(self, owner: Unit, alert: Alert) -> bool:
        meant = {one.id for one in alert.units if alert.family == "T" or one.role == "accused"}
        instant = parse_instant(alert.event_time)
        if any(self.at(one, instant) is None for one in meant) and owner.duty is not Duty.HUMAN_POOL:
            return False
        for one in meant:
            if self.touches(owner.id, self.family_of(one)):
                return False
            own = self.family_of(owner.id)
            if owner.kind in TEAM_KINDS and any(self.touches(other, own) for other in self.family_of(one)):
                return False
        return True


@settings(max_examples=300, deadline=None)
@given(registries(), alerts(), trees())
def test_no_recipient_is_or_was_beneath_the_accused(units: list[Unit], alert: Alert, tree: RoutingTree) -> None:
    registry, oracle = registry_of(units, "v"), Oracle(units)
    routed = tree.route(alert, registry, AFTER)
    names = {name for one in routed.recipients for name in registry.subscribers_of(one.unit_id, AFTER)}
    assert bool(names) == bool(routed.recipients), "whoever is routed to can be told"
    for name in names:
        owner = oracle.at(name.removeprefix("s-"), AFTER)
        assert owner is not None
        assert oracle.may_be_told(owner, alert), "the tree led to them"
        assert refusal(alert, make_subscriber(name), registry, AFTER) is None, "the guard agrees with the tree"


@settings(max_examples=300, deadline=None)
@given(registries(), alerts(), st.sampled_from([BEFORE, AFTER]))
def test_whoever_the_guard_lets_through_may_be_told(units: list[Unit], alert: Alert, now: int) -> None:
    registry, oracle = registry_of(units, "v"), Oracle(units)
    for unit_id in IDS:
        name = f"s-{unit_id}"
        owner = oracle.at(unit_id, now)
        if refusal(alert, make_subscriber(name), registry, now) is None:
            assert owner is not None
            assert name in owner.subscribers
            assert oracle.may_be_told(owner, alert)
