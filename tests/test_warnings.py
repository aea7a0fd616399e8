"""Warnings: said with care, told in Chinese in the order of time, with ids that anyone can compute again."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings

from models.alert import Alert
from models.base import Status
from rules.telling import GRADES, REASONS, RETURN_CODES, tell_event
from rules.warnings import MAX_EVIDENCE, case_id_of
from tests.builders import Story, day, engine, event_of, run
from tests.histories import UNITS, histories

A, B, C = "U-A", "U-B", "U-C"
HAN = re.compile(r"[\u4e00-\u9fff]")


@settings(max_examples=80, deadline=None)
@given(histories())
def test_every_version_can_be_read_without_the_system_at_hand(records: list[dict[str, Any]]) -> None:
    rules = {rule.id: rule for rule in engine().rules}
    for one in run([event_of(record) for record in records], 100).alerts:
        assert "疑似" in one.headline
        assert not re.search(r"[{}]|None", one.headline)
        assert [line.occurred_at for line in one.evidence] == sorted(line.occurred_at for line in one.evidence)
        assert all(HAN.search(line.what) and not re.search(r"[{}]|None", line.what) for line in one.evidence)
        assert len(one.evidence) <= MAX_EVIDENCE
        assert one.evidence or one.status is Status.RETRACTED
        assert set(one.facts) == set(rules[one.rule.id].paths)
        assert one.thresholds == {level: condition.source for level, condition in rules[one.rule.id].conditions.items()}
        assert {unit.id for unit in one.units} <= set(UNITS)
        assert one.case_id == case_id_of(one.tickets[0])
        assert "citizen" not in one.model_dump_json()
        assert Alert.model_validate_json(one.model_dump_json()) == one
        assert one.event_time <= one.as_of <= one.raised_at
        if one.status is Status.RAISED:
            assert one.previous_alert_id is None or one.sequence > 1


def jiaozhou() -> Story:
    story = Story()(
        0, "registered", place={"district": "试区", "street": "试街道", "community": "试社区", "text": "某路1号"}
    )
    for number, (unit, name) in enumerate([(A, "甲街道"), (B, "乙局"), (C, "丙局")]):
        story(number + 0.1, "dispatched", unit=unit, unit_name=name)
        story(number + 0.5, "return_requested", unit=unit, unit_name=name, reason_code="R1", contacted=False)
        story(number + 0.6, "return_approved", unit=unit)
    return story


def test_a_warning_says_who_where_and_what() -> None:
    raised, escalated = run(jiaozhou()).versions("P01")
    assert raised.headline == "疑似多次退单:工单被退回2次,涉及2个单位"
    assert escalated.headline == "疑似多次退单:工单被退回3次,涉及3个单位"
    assert (raised.status, escalated.status) == ("raised", "escalated")
    assert escalated.facts == {"returns.count": 3, "returns.units": 3}
    assert [(unit.id, unit.name, unit.role) for unit in raised.units] == [
        (A, "甲街道", "accused"),
        (B, "乙局", "accused"),
    ]
    assert raised.place is not None
    assert raised.place.model_dump() == {"district": "试区", "street": "试街道", "community": "试社区"}
    assert [one.what for one in raised.evidence] == [
        "甲街道申请退单(理由R1:非本行政区域、未先行联系)",
        "乙局申请退单(理由R1:非本行政区域、未先行联系)",
    ]
    assert raised.evidence[-1].event_id == raised.trigger == "T-1-006"
    assert raised.event_time == raised.as_of == raised.evidence[-1].occurred_at
    assert "某路" not in raised.model_dump_json()


def test_a_unit_that_only_had_a_part_is_not_accused() -> None:
    story = Story()(0, "dispatched", unit=C)
    told = run(
        story(1, "return_requested", unit=A)(2, "return_requested", unit=B)(3, "return_denied", unit=B)(
            4, "return_requested", unit=B
        )
    )
    roles = {unit.id: unit.role for unit in told.versions("P01")[-1].units}
    assert roles == {C: "involved", A: "accused", B: "accused"}
    assert {unit.id for unit in told.versions("P03")[-1].units if unit.role == "accused"} == {B}


def test_a_correction_and_a_retraction_say_what_they_are() -> None:
    story = Story()(1, "return_requested", unit=A)(2, "return_requested", unit=B)(3, "return_requested", unit=C)
    corrected, retracted = run(story(4, "return_denied", unit=C)(5, "return_denied", unit=B)).versions("P01")[2:]
    assert corrected.headline == "更正为黄色:疑似多次退单:工单被退回2次,涉及2个单位"
    assert (corrected.level, retracted.level) == ("yellow", "yellow")
    assert retracted.headline == "撤回预警:此前“疑似多次退单”的黄色预警不再成立(2025-03-08 09:00 单位U-B的退单被驳回)"


def test_a_warning_raised_again_follows_its_retraction() -> None:
    story = Story()(1, "return_requested", unit=A)(2, "return_requested", unit=B)(3, "return_denied", unit=B)(
        4, "return_requested", unit=C
    )
    told = run(story)
    assert told.told("P01") == [("raised", "yellow"), ("retracted", "yellow"), ("raised", "yellow")]
    first, taken, again = told.versions("P01")
    assert (taken.previous_alert_id, again.previous_alert_id) == (first.alert_id, taken.alert_id)
    assert len({first.alert_id, taken.alert_id, again.alert_id}) == 3


def test_a_warning_raised_again_by_the_very_same_event_is_another_version() -> None:
    story = Story()(1, "return_requested", unit=A)(2, "return_requested", unit=B)
    told = run(story(3, "return_denied", unit=B)(4, "return_approved", unit=B))
    first, _, again = told.versions("P01")
    assert (first.trigger, first.level, first.status) == (again.trigger, again.level, again.status)
    assert first.alert_id != again.alert_id


def test_an_alert_id_is_a_uuid_of_version_5_and_no_accident() -> None:
    once, again = run(jiaozhou()).alerts, run(jiaozhou()).alerts
    assert [one.alert_id for one in once] == [one.alert_id for one in again]
    assert all(UUID(one.alert_id).version == 5 for one in once)


def test_the_trigger_is_the_last_event_whose_facts_satisfied_the_condition() -> None:
    """Not whichever event was processed last: a late one that completes the picture leaves the trigger where it was."""
    story = Story()(2, "return_requested", unit=B)(3, "urged")(1, "return_requested", unit=A)
    (raised,) = run(story).versions("P01")
    assert raised.trigger == "T-1-001"
    assert (raised.event_time, raised.raised_at) == (
        run(story).driver.tickets and story.records[0]["occurred_at"],
        story.records[1]["occurred_at"],
    )


def test_the_last_is_the_last_in_the_order_of_folding() -> None:
    story = Story()(1, "return_requested", unit=A, seq=2, event_id="a")(
        1, "return_requested", unit=B, seq=1, event_id="b"
    )
    assert run(story).versions("P01")[-1].trigger == "a"


def test_a_red_by_one_term_is_triggered_by_that_term() -> None:
    story = Story()(1, "redo_ordered", unit=A)(2, "redo_ordered", unit=A)(3, "redo_ordered", unit=A)
    red = run(story(4, "visited", result="dissatisfied")(5, "urged")).versions("P10")[-1]
    assert (red.level, red.trigger) == ("red", "T-1-004")


def test_a_deadlines_trigger_names_its_event_and_instant() -> None:
    told = run(Story()(0, "dispatched", unit=A, limit={"value": 10, "unit": "days"}), 30).versions("P06")
    assert [one.trigger for one in told] == [
        "deadline:T-1-001:2025-03-12T09:00:00+08:00",
        "deadline:T-1-001:2025-03-13T09:00:00+08:00",
        "deadline:T-1-001:2025-03-20T09:00:00+08:00",
    ]
    assert [one.evidence[-1].what for one in told] == ["办理时限临近", "办理时限已到,未见办结", "办理时限已过5个工作日"]


def test_a_long_history_keeps_its_first_and_last_evidence() -> None:
    story = Story()
    for number in range(MAX_EVIDENCE + 20):
        story(number, "return_requested", unit=A, seq=number, event_id=f"e-{number:03}")
    state = run(story.events[:1]).driver.tickets["T-1"]
    from rules.tickets import on_event

    full = state._replace(events=tuple(story.events[:-1]))
    (alert,) = (one for one in on_event(engine(), full, story.events[-1], day(200)).outputs if isinstance(one, Alert))
    assert len(alert.evidence) == MAX_EVIDENCE
    assert alert.evidence[0].event_id == "e-000"
    assert alert.evidence[-1].event_id == f"e-{MAX_EVIDENCE + 19:03}"


def test_a_rule_on_trial_is_judged_and_not_pushed() -> None:
    from dataclasses import replace

    from rules.driver import Driver
    from rules.engine import Engine
    from rules.pack import Pack

    rules = tuple(replace(rule, status="test") if rule.id == "P01" else rule for rule in engine().pack.rules)
    driver = Driver(Engine(Pack("trial", rules)))
    alerts = [alert for event in jiaozhou().events for alert in driver.feed(event)]
    assert {(one.rule.id, one.push) for one in alerts} == {("P01", False), ("P02", True)}
    assert all(("rule_on_trial" in one.flags) == (one.rule.id == "P01") for one in alerts)


TOLD: list[tuple[str, dict[str, Any], str]] = [
    ("registered", {}, "登记受理"),
    ("dispatched", {"unit": A, "unit_name": "甲街道"}, "派单给甲街道(主办)"),
    ("dispatched", {"unit": A, "role": "assist"}, "派单给单位U-A(协办)"),
    ("dispatched", {"unit": A, "due_at": "2025-03-10T18:00:00"}, "派单给单位U-A(主办),时限2025-03-10 18:00"),
    ("return_requested", {}, "承办单位申请退单(未注明理由)"),
    (
        "return_requested",
        {"reason_code": "R3", "evidence": ["x"]},
        "承办单位申请退单(理由R3:权属不清或未移交、有佐证材料)",
    ),
    ("extension_approved", {"unit": A, "until": "2025-03-10T18:00:00"}, "单位U-A的延期获批准,延至2025-03-10 18:00"),
    ("extension_approved", {}, "承办单位的延期获批准"),
    ("resolved", {"unit": A, "solved": "no", "reply": "x"}, "单位U-A办结(未解决)"),
    ("resolved", {"appeal_confirmed": "unreasonable"}, "承办单位办结(未注明是否解决,诉求认定不合理)"),
    ("visited", {"result": "very_dissatisfied", "comment": "x"}, "回访:办理结果非常不满意"),
    ("visited", {"attitude": "satisfied"}, "回访:办理结果未注明"),
    ("satisfaction_changed", {"result": "satisfied"}, "改评价:办理结果改为满意"),
    ("review_rejected", {"unit": A}, "审核退回单位U-A"),
    ("redo_ordered", {"unit": A, "due_at": "2025-03-10T18:00:00"}, "责令单位U-A重办,时限2025-03-10 18:00"),
    ("merged", {"into": "T-9"}, "并入工单T-9"),
    ("linked", {"to": "T-9"}, "与工单T-9关联"),
    ("voided", {"reason": "x"}, "作废"),
    ("brainstormed", {}, "其他事件"),
]


@pytest.mark.parametrize(("kind", "fields", "what"), TOLD)
def test_an_event_is_told_in_one_clause(kind: str, fields: dict[str, Any], what: str) -> None:
    (event,) = Story()(0, kind, **fields).events
    assert tell_event(event, {event.unit: event.unit_name} if event.unit and event.unit_name else {}) == what


def test_every_code_has_its_chinese_words() -> None:
    assert set(RETURN_CODES) == {f"R{number}" for number in range(10)}
    assert len(GRADES) == 8
    assert set(REASONS) == {"voided", "merged_into", "removed"}
