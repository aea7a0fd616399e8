"""Repeats: the same citizen about the same matter, how often within any ninety days."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.citizens import MAX_COMPLAINTS, CitizenState, on_claim
from rules.matter import MatterConfig, same_matter
from rules.messages import ClaimMessage
from rules.repeats import Complaint
from rules.sketch import pack_sketch, sketch_of
from tests.builders import CITIZEN, START, Run, Story, day, run

CONFIG = MatterConfig()
TEXT = "自来水压力低,三楼以上用水高峰时没有水"


def complaint(ticket: str, when: float = 0, text: str = TEXT, **fields: Any) -> Complaint:
    given = {
        "category": ("城乡建设", "供水"),
        "district": "试区",
        "street": "试街道",
        "community": "试社区",
        "spot": "",
        "links": (),
        "test": False,
    }
    return Complaint(ticket, f"{ticket}-001", day(when), sketches=(pack_sketch(sketch_of(text)),), **(given | fields))


FIRST = complaint("T-1")
BARE: dict[str, Any] = {"category": (), "district": "", "street": "", "community": ""}
MATTER: dict[str, tuple[Complaint, Complaint, bool]] = {
    "the same text, category and community": (FIRST, complaint("T-2"), True),
    "a little likeness in the same category and community": (FIRST, complaint("T-2", text="还是没有水,压力低"), True),
    "another category": (FIRST, complaint("T-2", category=("城乡建设", "路灯")), False),
    "another community": (FIRST, complaint("T-2", community="别处"), False),
    "another street": (FIRST, complaint("T-2", street="别街道"), False),
    "another district": (FIRST, complaint("T-2", district="别区"), False),
    "no likeness at all": (FIRST, complaint("T-2", text="夜里狗叫扰民"), False),
    "marked by the hotline": (FIRST, complaint("T-2", text="夜里狗叫", community="别处", links=("T-1",)), True),
    "marked the other way": (
        complaint("T-1", links=("T-2",)),
        complaint("T-2", text="夜里狗叫", category=("x", "y")),
        True,
    ),
    "no category, no place, the same text": (complaint("T-1", **BARE), complaint("T-2", **BARE), True),
    "no category, no place, a little likeness": (
        complaint("T-1", **BARE),
        complaint("T-2", text="水压力的事", **BARE),
        False,
    ),
    "one without a place, the same text": (FIRST, complaint("T-2", district="", street="", community=""), False),
    "one without a category, the same text": (FIRST, complaint("T-2", category=()), False),
    "both without a place, the same text and category": (
        complaint("T-1", district="", street="", community=""),
        complaint("T-2", district="", street="", community=""),
        False,
    ),
    "the same address where no community is said": (
        complaint("T-1", community="", spot="s1"),
        complaint("T-2", text="还是没有水,压力低", community="", spot="s1"),
        True,
    ),
    "another address where no community is said": (
        complaint("T-1", community="", spot="s1"),
        complaint("T-2", community="", spot="s2"),
        False,
    ),
    "no texts": (complaint("T-1", text=""), complaint("T-2", text=""), False),
}


@pytest.mark.parametrize("name", MATTER)
def test_same_matter_or_not(name: str) -> None:
    one, other, same = MATTER[name]
    assert (same_matter(one, other, CONFIG) is not None) is same
    assert (same_matter(other, one, CONFIG) is not None) is same


def test_what_operators_write_around_every_complaint_makes_no_likeness() -> None:
    one, other = (
        complaint("T-1", text="来电人反映狗叫,希望尽快处理"),
        complaint("T-2", text="来电人反映路灯,希望尽快处理"),
    )
    assert same_matter(one, other, CONFIG) is None


def test_the_ground_is_told_in_chinese() -> None:
    assert same_matter(FIRST, complaint("T-2"), CONFIG) == "类别相同、地点相同、文本相似度1.00"
    assert same_matter(FIRST, complaint("T-2", links=("T-1",)), CONFIG) == "热线已标记重复或关联"


def test_the_floors_are_configuration() -> None:
    strict = MatterConfig(low_floor=0.99, high_floor=1.0)
    assert same_matter(FIRST, complaint("T-2", text=TEXT + ",夜里也没有"), strict) is None


def repeated(*days: float, **fields: Any) -> Story:
    """The same complaint again and again; the first ticket's visit is dissatisfied."""
    story = Story()
    for number, when in enumerate(days, 1):
        story.complaint(when, ticket=f"T-{number}", **fields)
    return story(max(days) + 1, "visited", result="dissatisfied")


def count_of(told: Run, ticket: str = "T-1") -> int:
    state = told.driver.tickets[ticket]
    return max((repeat.count for repeat in state.repeats.values()), default=1)


@pytest.mark.parametrize(("times", "level"), [(1, None), (2, "blue"), (3, "yellow"), (4, "yellow"), (5, "red")])
def test_levels_by_the_number_of_complaints(times: int, level: str | None) -> None:
    assert run(repeated(*range(times))).in_force.get(("T-1", "P08")) == level


def test_it_stands_on_each_lineage_that_has_a_dissatisfied_visit() -> None:
    story = repeated(0, 1, 2)(9, "visited", ticket="T-3", result="dissatisfied")
    assert run(story).in_force == {("T-1", "P08"): "yellow", ("T-3", "P08"): "yellow"}


def test_without_a_dissatisfied_visit_nothing_is_said() -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2").complaint(2, ticket="T-3")(3, "visited", result="satisfied")
    assert run(story).in_force == {}


WINDOWS: dict[str, tuple[tuple[float, ...], int]] = {
    "within ninety days": ((0, 89, 90), 3),
    "over ninety days": ((0, 91), 1),
    "this one at the start": ((0, 50, 90, 120), 3),
    "this one in the middle": ((60, 0, 90), 3),
    "this one at the end": ((90, 0, 30), 3),
    "the busiest of several": ((60, 0, 61, 62, 149), 4),
    "others may be near each other and far from this one": ((0, 100, 101, 102), 1),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_the_busiest_ninety_days_that_contain_this_one(name: str) -> None:
    days, count = WINDOWS[name]
    assert count_of(run(repeated(*days))) == count


def test_time_alone_never_lowers_it() -> None:
    told = run(repeated(0, 1, 2), 1000)
    assert told.in_force[("T-1", "P08")] == "yellow"


def test_the_relation_is_not_transitive() -> None:
    story = Story().complaint(0)
    story.complaint(
        1, ticket="T-2", linked=None, repeat_of="T-1", category=["甲", "乙"], content="夜里狗叫", title="狗叫"
    )
    story.complaint(2, ticket="T-3", category=["甲", "乙"], content="夜里狗叫", title="狗叫")(
        3, "visited", result="dissatisfied"
    )
    told = run(story)
    assert (count_of(told, "T-1"), count_of(told, "T-2"), count_of(told, "T-3")) == (2, 3, 2)


NOT_COUNTED: dict[str, dict[str, Any]] = {
    "praise": {"request_type": "praise"},
    "a status enquiry by category": {
        "request_type": "consultation",
        "category": ["其他", "工单查询"],
        "repeat_of": "T-1",
    },
    "a status enquiry by title": {"request_type": "consultation", "title": "咨询办理进度"},
    "another citizen's": {"citizen": {"key": "citizen-2"}},
    "an anonymous one": {"citizen": {"anonymous": True}},
    "one with a name alone": {"citizen": {"name": "张某"}},
    "another matter": {"category": ["生态环境", "噪声"]},
    "a test": {"test": True},
}


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_what_does_not_count(name: str) -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2", **NOT_COUNTED[name])(2, "visited", result="dissatisfied")
    assert run(story).in_force == {}


def test_an_ordinary_consultation_counts() -> None:
    story = (
        Story()
        .complaint(0)
        .complaint(1, ticket="T-2", request_type="consultation")(2, "visited", result="dissatisfied")
    )
    assert run(story).in_force == {("T-1", "P08"): "blue"}


@pytest.mark.parametrize("end", ["withdrawn", "voided"])
def test_what_was_taken_back_no_longer_counts(end: str) -> None:
    story = repeated(0, 1, 2)(9, end, ticket="T-2")
    assert run(story).told("P08") == [("raised", "yellow"), ("corrected", "blue")]


def test_an_unreasonable_demand_that_was_reviewed_does_not_count() -> None:
    story = repeated(0, 1)(5, "resolved", ticket="T-2", appeal_confirmed="unreasonable")
    assert run(story).in_force == {("T-1", "P08"): "blue"}
    assert run(story(6, "archived", ticket="T-2")).in_force == {}


def test_merged_children_count() -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2").complaint(2, ticket="T-3", content="又没水了")
    story(2.5, "merged", ticket="T-3", into="T-1")(3, "visited", result="dissatisfied")
    told = run(story)
    assert told.in_force == {("T-1", "P08"): "yellow"}
    assert told.versions("P08", "T-1")[-1].facts["repeat.count"] == 3


def test_a_merged_child_of_another_matter_counts_all_the_same() -> None:
    story = Story().complaint(0).complaint(1, ticket="T-2", category=["甲"], content="别的话", title="别的")
    story(2, "merged", ticket="T-2", into="T-1")(3, "visited", result="dissatisfied")
    assert run(story).versions("P08", "T-1")[-1].facts["repeat.count"] == 2


def test_each_complaint_stands_in_the_evidence_with_its_ground() -> None:
    told = run(repeated(0, 1, 2)).versions("P08")[-1]
    lines = [one.what for one in told.evidence]
    assert "同一诉求人就同一事项投诉(工单T-2;类别相同、地点相同、文本相似度1.00)" in lines
    assert sum("同一诉求人" in line for line in lines) == 2
    assert "citizen-1" not in told.model_dump_json()


def test_during_a_rotation_either_key_finds_the_repeat() -> None:
    """An old complaint under the old key alone, a new one under both."""
    (old,) = Story().complaint(0, citizen={"key": "k1:aa"}).events
    (new,) = Story("T-2").complaint(1).events
    new.data["citizens"] = ["k2:bb", "k1:aa"]
    visit = Story("T-2")(2, "visited", result="dissatisfied", event_id="v").events
    assert run([old, new, *visit]).in_force == {("T-2", "P08"): "blue"}


# --- the citizen's table by itself ---


def _counts(claims: list[ClaimMessage]) -> dict[str, int]:
    state, counts = CitizenState("c"), dict[str, int]()
    for claim in claims:
        state, messages = on_claim(state, claim, CONFIG)
        counts |= {message.key: message.repeat.count for message in messages}
    return {root: count for root, count in counts.items() if count > 1}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 200)), max_size=12), st.randoms(use_true_random=False))
def test_claims_come_to_the_same_in_any_order(parts: list[tuple[int, int]], chance: random.Random) -> None:
    """The last version of each lineage's claim stands, also where an older one comes after it or one comes twice."""
    claims = [
        ClaimMessage("c", f"T-{number}", version, (complaint(f"T-{number}", when),) if when % 7 else ())
        for version, (number, when) in enumerate(parts, 1)
    ]
    shuffled = claims + chance.sample(claims, len(claims) // 2)
    chance.shuffle(shuffled)
    assert _counts(shuffled) == _counts(claims)


def test_a_claim_taken_back_is_told_to_the_others() -> None:
    claims = [ClaimMessage("c", f"T-{number}", 1, (complaint(f"T-{number}"),)) for number in (1, 2)]
    assert _counts(claims) == {"T-1": 2, "T-2": 2}
    assert _counts([*claims, ClaimMessage("c", "T-2", 2, ())]) == {}


def test_nobody_is_told_what_has_not_changed() -> None:
    first, second = (ClaimMessage("c", f"T-{number}", 1, (complaint(f"T-{number}"),)) for number in (1, 2))
    state, messages = on_claim(CitizenState("c"), first, CONFIG)
    assert messages == []
    state, messages = on_claim(state, second, CONFIG)
    assert [message.key for message in messages] == ["T-1", "T-2"]
    assert on_claim(state, second, CONFIG) == (state, [])
    unrelated = ClaimMessage("c", "T-9", 1, (complaint("T-9", category=("x", "y")),))
    assert on_claim(state, unrelated, CONFIG)[1] == []


def test_a_table_keeps_the_newest_complaints_and_says_so() -> None:
    state = CitizenState("c")
    for number in range(MAX_COMPLAINTS + 5):
        claim = ClaimMessage("c", f"T-{number}", 1, (complaint(f"T-{number}", number * 100, text=str(number) * 9),))
        state, _ = on_claim(state, claim, CONFIG)
    assert state.truncated
    kept = [one for _, complaints in state.claims.values() for one in complaints]
    assert len(kept) == MAX_COMPLAINTS
    assert min(one.at for one in kept) == day(500)
    assert kept[0].at > START
    assert CITIZEN["key"] not in str(state)
