"""Warnings about texts: one ticket is one case, texts and process add up, the model alone is never above blue, quotes are masked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.guard import GuardReason, refusal
from models.alert import Alert
from models.base import LEVEL_RANK, Level
from models.times import parse_instant
from rules.engine import Engine, values_with
from rules.facts import as_mapping
from rules.pack import default_pack
from rules.texts import CATEGORIES
from tests.alerting_support import make_subscriber
from tests.builders import CITIZEN, Run, Story, engine, run, time_of
from tests.directory_support import make_directory

BRIBE = "村书记吃拿卡要，2025年3月在村委会收了我家两万元，有录音"
VAGUE = "村干部吃拿卡要"
HINT = "办个事得懂规矩，不坐下来聊聊就没下文，材料总是差那么一点"
TARGET = {"name": "试村", "unit_id": "U-TARGET"}


def returned(story: Story, times: int, since: float = 1) -> Story:
    """Tell of returns by one unit: three make the process yellow."""
    for turn in range(times):
        story(since + turn, "return_requested", unit="U-1", contacted=True, site_checked=True, evidence=True)
    return story


def levels(found: Run) -> dict[str, str]:
    return {rule: level for (_, rule), level in found.in_force.items()}


def last(found: Run, rule: str) -> Alert:
    return found.versions(rule)[-1]


# --- one ticket, one case


def test_texts_and_process_share_the_case_and_its_numbers() -> None:
    found = run(returned(Story().complaint(0, content=BRIBE), 3), 5)
    assert {one.case_id for one in found.alerts} == {"case:T-1"}
    assert [one.sequence for one in found.alerts] == list(range(1, len(found.alerts) + 1))
    assert {one.family.value for one in found.alerts} == {"P", "T"}


def test_several_categories_of_one_text_are_warnings_of_one_case() -> None:
    found = run(Story().complaint(0, content=f"{BRIBE}。城管不作为，只说在走流程，2025年1月起至今没人管"), 1)
    assert {"C02", "C04"} <= levels(found).keys()
    assert {one.case_id for one in found.alerts} == {"case:T-1"}


# --- texts and process add up


def test_yellow_of_both_makes_red() -> None:
    found = run(returned(Story().complaint(0, content=BRIBE, target=TARGET), 3), 5)
    (red,) = found.versions("X3")
    assert (red.level, red.status.value) == (Level.RED, "raised")
    assert red.facts["process.level"] == 2
    assert red.facts["text.level"] >= 2
    assert red.trigger == "T-1-004", "the third return made the process yellow"
    assert red.event_time == time_of(3)
    told = "\n".join(one.what for one in red.evidence)
    assert "吃拿卡要" in told
    assert told.count("退单") >= 3


@pytest.mark.parametrize(
    "story",
    [
        Story().complaint(0, content=BRIBE),
        returned(Story().complaint(0, content="三楼没有水"), 3),
        returned(Story().complaint(0, content=BRIBE), 2),
        returned(Story().complaint(0, content=VAGUE), 3),
        returned(Story().complaint(0, content=HINT), 4),
    ],
    ids=["text alone", "process alone", "process blue", "text blue", "model alone"],
)
def test_less_does_not_add_up(story: Story) -> None:
    assert "X3" not in levels(run(story, 8))


def test_process_yellows_do_not_combine() -> None:
    story = returned(Story().complaint(0), 3)(4.5, "redo_ordered", unit="U-1")(5, "redo_ordered", unit="U-1")
    found = levels(run(story, 6))
    assert [found["P01"], found["P10"]] == ["yellow", "yellow"]
    assert "X3" not in found


def test_what_added_up_is_retracted_with_what_it_added_up() -> None:
    story = returned(Story().complaint(0, content=BRIBE), 3)
    for turn in range(3):
        story(4 + turn, "return_denied", unit="U-1")
    found = run(story, 8)
    assert found.told("X3") == [("raised", "red"), ("retracted", "red")]
    assert last(found, "X3").trigger == "T-1-005", "one denied return made the process blue"


def test_a_deadline_that_makes_the_process_yellow_is_what_brought_the_red_about() -> None:
    story = Story().complaint(0, content=BRIBE, target=TARGET)
    story(1, "dispatched", unit="U-1", due_at=time_of(3))
    found = run(story, 20)
    red = found.versions("X3")[0]
    p06 = next(one for one in found.versions("P06") if one.level is Level.YELLOW)
    assert red.trigger == p06.trigger == f"deadline:T-1-002:{time_of(3)}"
    assert red.event_time == time_of(3)
    assert "办理时限已到" in next(one.what for one in red.evidence if one.event_id == red.trigger)


def test_a_wait_that_makes_the_process_yellow_is_told_as_a_wait() -> None:
    found = run(Story().complaint(0, content=BRIBE), 61)
    red = found.versions("X3")[0]
    assert red.trigger.startswith("deadline:T-1-001:")
    assert "群众已等待60天" in next(one.what for one in red.evidence if one.event_id == red.trigger)


@given(
    st.dictionaries(
        st.sampled_from(("c02.confidence", "x1.confidence", "returns.count", "redos.count", "extensions.approved")),
        st.integers(0, 100),
    ),
    st.integers(0, 5),
)
@settings(max_examples=80, deadline=None)
def test_the_sums_are_the_highest_levels_of_their_families(facts: dict[str, int], specific: int) -> None:
    judge = engine()
    found, values = judge.judge(values_with({**facts, "c02.specificity": specific}))
    by_rule = dict(zip((rule.id for rule in judge.rules), found, strict=True))
    text, process = (
        max(LEVEL_RANK[by_rule[rule.id]] for rule in judge.rules if rule.family == family and rule.id != "X3")
        for family in ("T", "P")
    )
    told = as_mapping(values)
    assert (told["text.level"], told["process.level"]) == (text, process)
    assert (by_rule["X3"] is Level.RED) == (text >= 2 and process >= 2)


# --- whom it names, and so whom it is kept from


def kept_from(alert: Alert, unit: str) -> GuardReason | None:
    """Return why the alert may not go to a receiver that this unit runs, None where it may."""
    units = [{"id": name, "name": name, "kind": "department", "level": "county"} for name in ("U-1", "U-2", "U-TARGET")]
    theirs = make_subscriber(owner_units=frozenset({unit}))
    directory = make_directory(theirs, units=units)
    found = refusal(alert, theirs, directory.registry, parse_instant(alert.event_time))
    return None if found is None else found.reason


def test_the_unit_complained_of_is_accused_though_it_did_nothing() -> None:
    found = run(Story().complaint(0, content=BRIBE, target=TARGET)(1, "dispatched", unit="U-1"), 2)
    units = {one.id: one.role for one in last(found, "C02").units}
    assert units == {"U-TARGET": "accused"}
    assert kept_from(last(found, "C02"), "U-TARGET") is GuardReason.LISTED


def test_words_that_name_no_unit_are_kept_from_every_unit_with_a_part_in_the_ticket() -> None:
    story = Story().complaint(0, content="路灯坏了，请派人修理")(1, "dispatched", unit="U-1")
    found = last(run(story(2, "amended", fields={"content": BRIBE}), 3), "C02")
    assert kept_from(found, "U-1") is GuardReason.LISTED
    assert kept_from(found, "U-2") is None


def test_a_sum_accuses_whomever_its_parts_accuse() -> None:
    found = run(returned(Story().complaint(0, content=BRIBE, target=TARGET), 3), 5)
    units = {one.id: one.role for one in last(found, "X3").units}
    assert units == {"U-TARGET": "accused", "U-1": "accused"}


# --- levels


def test_the_model_alone_is_never_above_blue() -> None:
    found = run(Story().complaint(0, content=f"{HINT}，2025年3月在村委会办公室，两万元，有录音"), 1)
    hinted = [one for one in found.alerts if "euphemism_only" in one.flags]
    assert hinted
    assert {one.level for one in hinted} == {Level.BLUE}
    assert all("委婉说法" in "".join(piece.what for piece in one.evidence) for one in hinted)


def test_what_is_told_in_words_is_not_flagged_as_a_hint() -> None:
    found = run(Story().complaint(0, content=BRIBE), 1)
    assert "euphemism_only" not in last(found, "C02").flags


def test_a_hint_and_a_word_of_the_same_category_are_no_hint_alone() -> None:
    story = Story().complaint(0, content=HINT)(1, "visited", result="dissatisfied", comment=BRIBE)
    found = run(story, 2)
    flags = [("euphemism_only" in one.flags, one.level.value) for one in found.versions("C02")]
    assert flags[0] == (True, "blue")
    assert flags[-1][0] is False


RED_BY_WORDS_ALONE = {"C01", "C02", "C05", "C06", "C08", "C10", "X1", "X2"}


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("confidence", [30, 40, 60, 80, 100])
@pytest.mark.parametrize("specificity", range(6))
def test_no_text_rule_is_red_where_specificity_is_under_three(
    category: str, confidence: int, specificity: int, judged: Engine
) -> None:
    group = category.lower()
    facts = {f"{group}.confidence": confidence, f"{group}.specificity": specificity, f"{group}.severe": True}
    found = dict(zip((rule.id for rule in judged.rules), judged.levels(values_with(facts)), strict=True))[category]
    if specificity < 3:
        assert found is not Level.RED
    if confidence <= 40:
        assert found in (Level.BLUE, None), "so sure is only what is told without its words"
    if confidence == 100 and specificity >= 3 and category in RED_BY_WORDS_ALONE:
        assert found is Level.RED, "or the cases above say nothing"


@pytest.fixture(scope="module")
def judged() -> Engine:
    return Engine(default_pack())


def test_the_rules_say_what_the_text_was_worth() -> None:
    assert levels(run(Story().complaint(0, content=VAGUE), 1)) == {"C02": "blue"}
    assert levels(run(Story().complaint(0, content=f"{VAGUE}，有录音"), 1))["C02"] == "yellow"
    assert levels(run(Story().complaint(0, content=BRIBE), 1))["C02"] == "red"


# --- what a warning quotes

PRIVATE = {
    "a phone": "199-0000-1234",
    "a phone in full width": "１９９００００１２３４",
    "a phone in numerals": "幺九九〇〇〇〇幺二三四",
    "an id number": "110101190001011009",
    "a name": "李某某",
    "a name told": "我叫王小某",
    "a house": "3号楼502室",
    "a group": "第5组",
    "a chat account": "微信canary_hw_99",
}


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("text", ["{},村书记吃拿卡要", "村书记吃拿卡要,{},有录音", "村书记收我红包{}"])
def test_quotes_are_masked(name: str, text: str) -> None:
    words = PRIVATE[name]
    citizen = {**CITIZEN, "name": "李某某"}
    found = run(Story().complaint(0, content=text.format(words), citizen=citizen), 1)
    assert found.alerts
    told = "".join(one.model_dump_json() for one in found.alerts)
    assert "村书记" in told
    assert words not in told
    assert words.removeprefix("我叫") not in told


@given(st.integers(0, 120), st.integers(0, 120), st.sampled_from(sorted(PRIVATE)))
@settings(max_examples=60, deadline=None)
def test_no_half_of_a_number_is_left_at_the_edge_of_a_quote(before: int, after: int, name: str) -> None:
    words = PRIVATE[name]
    text = f"{words}{'水' * before}村书记吃拿卡要{'水' * after}{words}"
    found = run(Story().complaint(0, content=text, citizen={**CITIZEN, "name": "李某某"}), 1)
    told = "".join(piece.what for one in found.alerts for piece in one.evidence)
    for size in range(4, len(words)):
        assert words[:size] not in told or name in ("a name told", "a chat account", "a house", "a group")
        assert words[-size:] not in told or name in ("a name told", "a chat account", "a house", "a group")
