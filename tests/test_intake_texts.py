"""Texts at intake and in the fold: who speaks, what counts, and what of it lasts when a ticket is amended, merged or voided."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from models.base import Family
from rules.fold import fold
from rules.messages import EventMessage, decode, encode
from rules.pack import default_pack
from rules.text.result import Finding
from rules.views import View
from streams.metrics import WorkerMetrics
from tests.builders import Story, body, day, event_of, facts_at, levels_at, lineage_of, run

BRIBE = "村书记吃拿卡要，2025年3月在村委会收了我家两万元，有录音"
QUIET = "三楼以上用水高峰时没有水"
IDLE = "举报违建半年了，城管不作为，只说在走流程"
SHOP = "物业公司吃拿卡要，每次办事都要红包"


def told(**fields: Any) -> dict[str, set[str]]:
    """Return by field the categories that a registration's words tell of."""
    given = {"request_type": "complaint", **fields}
    texts = event_of(body("T-1", "registered", 0, **given)).data.get("texts", {})
    return {name: {Finding(*one).category for one in findings} for name, (findings, _) in texts.items()}


# --- who speaks


def test_title_and_content_are_screened_each_for_itself() -> None:
    assert "C02" in told(title=BRIBE)["title"]
    assert "C02" in told(content=BRIBE)["content"]
    assert "C02" in told(raw_content=BRIBE)["content"]
    both = told(title="反映村书记吃拿卡要", content=IDLE)
    assert "C02" in both["title"]
    assert "C02" not in both["content"], "the title's words are no words of the content"
    assert "C04" in both["content"]


@pytest.mark.parametrize("kind", ["visited", "satisfaction_changed"])
def test_the_comment_of_a_visit_is_screened(kind: str) -> None:
    event = event_of(body("T-1", kind, 0, result="dissatisfied", comment=IDLE))
    findings, _ = event.data["texts"]["comment"]
    assert "C04" in {Finding(*one).category for one in findings}


UNIT_SIDE = {
    "return_requested": {"unit": "U-1", "reason": BRIBE, "evidence": [BRIBE], "approver": BRIBE},
    "return_denied": {"reason": BRIBE},
    "return_approved": {"reason": BRIBE},
    "designated": {"unit": "U-1", "basis": BRIBE},
    "resolved": {"unit": "U-1", "reply": BRIBE, "solved": "yes"},
    "review_rejected": {"unit": "U-1", "reason": BRIBE},
    "redo_ordered": {"unit": "U-1", "reason": BRIBE},
    "dispatched": {"unit": "U-1", "note": BRIBE},
    "voided": {"reason": BRIBE},
}


@pytest.mark.parametrize("kind", UNIT_SIDE)
def test_a_units_own_words_tell_of_nothing(kind: str) -> None:
    event = event_of(body("T-1", kind, 1, **UNIT_SIDE[kind]))
    assert "texts" not in event.data
    assert "吃拿卡要" not in orjson.dumps(event, default=tuple).decode()


def test_the_same_words_warn_where_the_citizen_says_them_and_not_where_a_unit_does() -> None:
    by_unit = Story().complaint(0, content=QUIET)(1, "dispatched", unit="U-1")
    by_unit(2, "return_requested", unit="U-1", reason=BRIBE)(3, "resolved", unit="U-1", reply=BRIBE)
    by_citizen = Story().complaint(0, content=QUIET)(4, "visited", result="satisfied", comment=BRIBE)
    assert not {rule for rule in levels_at(by_unit, 5) if rule[0] in "CX"}
    assert "C02" in levels_at(by_citizen, 5)


def test_of_a_text_nothing_is_kept_but_findings_with_a_short_masked_piece() -> None:
    around = "，".join(f"三楼以上用水高峰时没有水已持续{number}个月" for number in range(20))
    text = f"{around}。{BRIBE}。{around}"
    event = event_of(body("T-1", "registered", 0, content=text, request_type="complaint"))
    kept = orjson.dumps(event, default=tuple).decode()
    assert len(text) > 500
    assert [text[at : at + 80] for at in range(len(text) - 80) if text[at : at + 80] in kept] == []
    findings, _ = event.data["texts"]["content"]
    assert all(len(Finding(*one).quote) <= 80 for one in findings)


def test_a_short_title_without_a_cue_is_no_hint() -> None:
    assert told(title="路灯不亮", content=QUIET) == {}
    assert told(title="占道停车", content=QUIET) == {}


def test_findings_survive_the_wire() -> None:
    event = event_of(body("T-1", "registered", 0, content=BRIBE, request_type="complaint"))
    passed = decode(encode(EventMessage(event)))
    assert isinstance(passed, EventMessage)
    assert passed.event == event
    assert fold("T-1", [passed.event]).texts == fold("T-1", [event]).texts != {}


# --- what counts


def text_levels(story: Story, until: float = 1) -> dict[str, str]:
    return {rule: level for rule, level in levels_at(story, until).items() if rule[0] in "CX"}


@pytest.mark.parametrize("request_type", ["consultation", "praise"])
def test_a_question_or_a_praise_counts_only_where_it_accuses(request_type: str) -> None:
    vague, accusing = (Story().complaint(0, content=content, request_type=request_type) for content in (IDLE, BRIBE))
    assert text_levels(vague) == {}
    assert "C02" in text_levels(accusing)
    assert "C04" in text_levels(Story().complaint(0, content=IDLE))


def test_a_comment_counts_whatever_the_ticket_was_registered_as() -> None:
    story = Story().complaint(0, content=QUIET, request_type="consultation")
    assert text_levels(story(1, "visited", result="dissatisfied", comment=IDLE), 2)["C04"] == "blue"


def test_what_the_ticket_is_counts_and_not_what_it_was() -> None:
    story = Story().complaint(0, content=IDLE)(1, "amended", fields={"request_type": "consultation"})
    found = run(story, 2).versions("C04")
    assert [(one.status.value, one.level.value) for one in found] == [("raised", "blue"), ("retracted", "blue")]
    assert found[-1].trigger == "T-1-002", "the amendment took it back"
    back = story(2, "amended", fields={"request_type": "complaint"})
    assert text_levels(back, 3)["C04"] == "blue"


def test_a_private_actor_is_told_to_the_hotline_and_warns_of_nothing() -> None:
    story = Story().complaint(0, content=SHOP)
    assert text_levels(story) == {}
    facts = facts_at(story, 1)
    assert facts["text.private"] == 1
    assert {path for path, value in facts.items() if path.startswith(("c", "x")) and value} == set()


def test_a_category_told_of_an_official_too_is_not_private() -> None:
    story = Story().complaint(0, title=SHOP, content=BRIBE)
    facts = facts_at(story, 1)
    assert facts["c02.confidence"]
    assert facts["text.private"] == 0


def test_the_surest_finding_gives_the_numbers() -> None:
    story = Story().complaint(0, content=IDLE)(1, "visited", result="dissatisfied", comment=BRIBE)
    facts = facts_at(story, 2)
    lineage = lineage_of(story)
    told_of = View(lineage, {}, day(2)).telling
    for category in ("C02", "C04"):
        best = max((one.finding for one in told_of[category]), key=lambda one: (one.confidence, one.specificity))
        assert facts[f"{category.lower()}.confidence"] == best.confidence
        assert facts[f"{category.lower()}.specificity"] == best.specificity


def test_facts_about_texts_are_neutral_where_nothing_is_told() -> None:
    facts = facts_at(Story().complaint(0), 1)
    assert not any(value for path, value in facts.items() if path.startswith(("c0", "c1", "x1", "x2", "text.")))


# --- what lasts


def test_an_amended_text_takes_the_place_of_the_old_one() -> None:
    story = Story().complaint(0, content=BRIBE)(1, "amended", fields={"content": QUIET})
    found = run(story, 2)
    assert "C02" not in {rule for _, rule in found.in_force}
    last = found.versions("C02")[-1]
    assert (last.status.value, last.trigger) == ("retracted", "T-1-002")
    assert [one.what for one in last.evidence if "吃拿卡要" in one.what] == [], (
        "what no longer counts is not read again"
    )


def test_a_fall_names_the_amendment_however_late_it_comes() -> None:
    story = Story().complaint(0, content=BRIBE)(3, "dispatched", unit="U-1")
    story(1, "amended", fields={"content": QUIET})
    last = run(story, 4).versions("C02")[-1]
    assert (last.status.value, last.trigger) == ("retracted", "T-1-003")


def test_an_amendment_of_something_else_leaves_the_text() -> None:
    story = Story().complaint(0, content=BRIBE)(1, "amended", fields={"urgency": "urgent", "title": "更正标题"})
    assert "C02" in text_levels(story, 2)


def test_a_text_written_anew_is_read_anew() -> None:
    story = Story().complaint(0, content=QUIET)(1, "amended", fields={"content": BRIBE})
    (raised,) = run(story, 2).versions("C02")
    assert raised.trigger == "T-1-002"


def test_each_visits_comment_stands_by_itself() -> None:
    story = Story().complaint(0, content=QUIET)
    story(1, "visited", result="dissatisfied", comment=IDLE)(2, "visited", result="satisfied", comment="办得很好")
    assert "C04" in text_levels(story, 3)


def test_a_merged_childs_words_count_at_the_root() -> None:
    story = Story("T-1").complaint(0, content=QUIET)
    story.complaint(1, ticket="T-2", content=BRIBE)(2, "merged", ticket="T-2", into="T-1")
    found = run(story, 3).in_force
    assert ("T-1", "C02") in found
    assert ("T-2", "C02") not in found


def test_of_a_voided_ticket_no_word_counts() -> None:
    found = run(Story().complaint(0, content=BRIBE)(1, "voided", reason="测试"), 2)
    assert found.in_force == {}
    assert {one.reason for one in found.alerts if one.status.value == "retracted"} == {"voided"}


def test_a_voided_childs_words_are_taken_from_the_root() -> None:
    story = Story("T-1").complaint(0, content=QUIET)
    story.complaint(1, ticket="T-2", content=BRIBE)(2, "merged", ticket="T-2", into="T-1")
    story(3, "voided", ticket="T-2", reason="误录")
    assert "C02" not in {rule for _, rule in run(story, 4).in_force}


def test_a_text_rule_has_its_family_and_category() -> None:
    (first, *_) = run(Story().complaint(0, content=BRIBE), 1).versions("C02")
    assert (first.family, first.categories) == (Family.TEXT, ("C02",))


def test_findings_are_counted_by_category_and_layer_and_nothing_else() -> None:
    metrics = WorkerMetrics(default_pack(), CollectorRegistry())
    for content in (BRIBE, SHOP, QUIET):
        metrics.screened(event_of(body("T-1", "registered", 0, content=content, request_type="complaint")))
    assert metrics.findings.labels("C02", "cue")._value.get() == 1
    assert metrics.findings.labels("C02", "private")._value.get() == 1
    assert metrics.findings._labelnames == ("category", "layer")
