"""Signs of a sham resolution: complained about again, nobody in touch, resolved in no time; and the rule that counts their kinds."""

from __future__ import annotations

from typing import Any

import pytest

from rules.facts import INDEX
from rules.tickets import judge
from tests.builders import CITIZEN, Story, day, levels_at, run

A, B = "U-A", "U-B"
MINUTE = 1 / 24 / 60


def story(**fields: Any) -> Story:
    return Story().complaint(0)(1, "dispatched", unit=A, **fields)


def sham(told: Story, path: str, until: float = 300) -> Any:
    driver = run(told, until).driver
    return judge(driver.engine, driver.tickets[told.ticket], day(until)).values[INDEX[f"sham.{path}"]]


# --- resolved in no time

HASTY: dict[str, tuple[Story, int]] = {
    "within minutes": (story()(1 + 29 * MINUTE, "resolved", unit=A), 1),
    "after half an hour": (story()(1 + 30 * MINUTE, "resolved", unit=A), 0),
    "within minutes, contacted": (
        story()(1 + 5 * MINUTE, "contacted", unit=A)(1 + 20 * MINUTE, "resolved", unit=A),
        0,
    ),
    "contacted before this unit got it": (
        story()(1.1, "contacted", unit=A)(2, "return_approved", unit=A)(3, "dispatched", unit=B)(
            3 + 5 * MINUTE, "resolved", unit=B
        ),
        1,
    ),
    "by a unit that never got it": (story()(1 + 5 * MINUTE, "resolved", unit=B), 0),
    "by nobody named": (story()(1 + 5 * MINUTE, "resolved"), 1),
    "never dispatched": (Story().complaint(0)(5 * MINUTE, "resolved", unit=A), 0),
    "answered at once by the hotline": (Story().complaint(0)(5 * MINUTE, "direct_closed"), 0),
    "handled again in no time": (
        story()(5, "resolved", unit=A)(6, "redo_ordered", unit=A)(6 + 9 * MINUTE, "resolved", unit=A),
        1,
    ),
    "accepted in between": (
        story()(1 + 5 * MINUTE, "accepted", unit=A)(1 + 9 * MINUTE, "resolved", unit=A),
        1,
    ),
    "before it was dispatched": (story()(0.5, "resolved", unit=A), 0),
}


@pytest.mark.parametrize("name", HASTY)
def test_resolved_in_no_time(name: str) -> None:
    told, count = HASTY[name]
    assert sham(told, "hasty") == count


# --- nobody in touch

TOUCH: dict[str, tuple[Story, int]] = {
    "nobody was in touch": (story()(5, "resolved", unit=A)(6, "visited", result="satisfied", contacted=False), 1),
    "somebody was": (story()(5, "resolved", unit=A)(6, "visited", result="dissatisfied", contacted=True), 0),
    "not said": (story()(5, "resolved", unit=A)(6, "visited", result="dissatisfied"), 0),
    "the visit itself reached nobody": (
        story()(5, "resolved", unit=A)(6, "visited", result="unreachable", contacted=False),
        0,
    ),
    "nothing was resolved": (story()(6, "visited", result="dissatisfied", contacted=False), 0),
}


@pytest.mark.parametrize("name", TOUCH)
def test_nobody_in_touch(name: str) -> None:
    told, count = TOUCH[name]
    assert sham(told, "not_contacted") == count


# --- complained about again


def again(when: float, *, resolved: float = 5, **fields: Any) -> Story:
    return story()(resolved, "resolved", unit=A).complaint(when, ticket="T-2", **fields)


AGAIN: dict[str, tuple[Story, int]] = {
    "the next day": (again(6), 1),
    "on the seventh day": (again(12), 1),
    "after seven days": (again(12.01), 0),
    "before the resolution": (again(4), 0),
    "by somebody else": (again(6, citizen={"key": "citizen-2"}), 0),
    "about something else": (
        again(6, category=["生态环境", "噪声"], title="工地夜间噪音", content="夜间施工,噪音很大。", place={"community": "别处"}),
        0,
    ),
    "by praise": (again(6, request_type="praise"), 0),
    "by asking how it is going": (again(6, request_type="consultation", title="查询工单进度"), 0),
    "and withdrawn": (again(6)(7, "withdrawn", ticket="T-2"), 0),
    "and merged into it": (again(6)(7, "merged", ticket="T-2", into="T-1"), 1),
    "twice": (again(6).complaint(7, ticket="T-3"), 2),
    "long after the ninety days of the first": (again(104, resolved=100), 1),
    "nothing was resolved": (story().complaint(6, ticket="T-2"), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", AGAIN)
def test_complained_again(name: str) -> None:
    told, count = AGAIN[name]
    assert sham(told, "complained_again") == count


def test_a_complaint_long_after_the_busiest_days_counts_for_this_and_not_for_repeats() -> None:
    told = run(again(104, resolved=100)(110, "visited", result="dissatisfied"), 120)
    assert told.in_force[("T-1", "P11")] == "blue"
    assert ("T-1", "P08") not in told.in_force


def test_the_order_of_arrival_makes_no_difference() -> None:
    events = again(104, resolved=100).events
    for order in (events, events[::-1], [events[3], events[0], events[2], events[1]]):
        assert run(order, 120).in_force.get(("T-1", "P11")) == "blue"


# --- the rule


def signs(*, hasty: bool = False, untouched: bool = False, repeated: bool = False, comment: str = "") -> Story:
    resolved = 1 + (5 * MINUTE if hasty else 3)
    told = story()(resolved, "resolved", unit=A)
    if untouched or comment:
        fields = {"contacted": False} if untouched else {}
        told(resolved + 1, "visited", result="satisfied", **fields, **({"comment": comment} if comment else {}))
    return told.complaint(resolved + 2, ticket="T-2") if repeated else told


WORDS = "2025年3月5日城管说已经处理完了,根本没人联系我,虚假办结,工单已办结实际没有处理,照片是以前的,有录音"


@pytest.mark.parametrize(
    ("told", "level"),
    [
        (signs(), None),
        (signs(hasty=True), "blue"),
        (signs(untouched=True), "blue"),
        (signs(repeated=True), "blue"),
        (signs(hasty=True, repeated=True), "yellow"),
        (signs(untouched=True, repeated=True), "yellow"),
        (signs(hasty=True, untouched=True, repeated=True), "yellow"),
        (signs(hasty=True, untouched=True, comment=WORDS), "red"),
        (signs(hasty=True, comment=WORDS), "blue"),
    ],
)
def test_one_kind_of_sign_is_blue_two_are_yellow_and_with_words_red(told: Story, level: str | None) -> None:
    assert levels_at(told, 20).get("P11") == level


def test_the_warning_shows_the_complaint_that_was_made_again_and_the_unit_that_resolved() -> None:
    (alert,) = run(again(6), 20).versions("P11")
    assert alert.trigger == "T-1-004"
    assert "疑似虚假办结:办结后7日内再诉1次" in alert.headline
    assert any(one.what.startswith("同一诉求人就同一事项在办结后7日内再次投诉(工单T-2;") for one in alert.evidence)
    assert [(one.id, one.role) for one in alert.units] == [(A, "accused")]
    assert CITIZEN["key"] not in alert.model_dump_json()


def test_an_unreasonable_demand_that_was_reviewed_is_not_made_again() -> None:
    told = again(6)
    told(7, "resolved", ticket="T-2", unit=A, appeal_confirmed="unreasonable")(8, "archived", ticket="T-2")
    assert sham(told, "complained_again") == 0
