"""Intake: what is kept of an event, and that identity and free text end here."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from models.decode import decode_event
from models.times import DAY, HOUR, MINUTE
from rules.event import Event
from rules.intake import to_event
from rules.pseudonym import PseudonymKey
from tests.builders import KEYS, body, day, event_of

CANARIES = ("张某三", "19900001234", "110101190001011009", "金丝雀", "canary@example.com")

FULL: dict[str, dict[str, Any]] = {
    "registered": {
        "citizen": {"phone": "19900001234", "id_number": "110101190001011009", "name": "张某三"},
        "title": "金丝雀 张某三",
        "content": "金丝雀来电19900001234",
        "raw_content": "金丝雀原话",
        "category": ["城乡建设", "张某三的事"],
        "place": {"district": "试区", "community": "张某三家园", "text": "金丝雀路19900001234号"},
        "target": {"name": "金丝雀公司", "unit_id": "U-9"},
        "channel": "phone",
    },
    "amended": {
        "fields": {"title": "金丝雀", "citizen": {"name": "张某三", "phone": "19900001234"}, "content": "张某三"}
    },
    "return_requested": {
        "unit_id": "U-1",
        "reason": "金丝雀不归我们管",
        "approver": "张某三",
        "evidence": ["金丝雀.jpg"],
    },
    "return_denied": {"reason": "金丝雀"},
    "resolved": {"reply": "已答复张某三 canary@example.com", "solved": "yes"},
    "visited": {"comment": "金丝雀", "result": "dissatisfied"},
    "designated": {"basis": "金丝雀会商"},
    "voided": {"reason": "金丝雀测试"},
    "redo_ordered": {"reason": "金丝雀", "round": 1},
    "dispatched": {"unit_id": "U-1", "unit_name": "甲街道(张某三19900001234)", "note": "金丝雀"},
    "brainstormed": {"anything": "金丝雀", "citizen": {"phone": "19900001234"}},
}


@pytest.mark.parametrize("kind", FULL)
def test_no_identity_and_no_free_text_gets_through(kind: str) -> None:
    told = orjson.dumps(event_of(body("T-1", kind, 0, **FULL[kind])), default=tuple).decode()
    found = [canary for canary in CANARIES if canary in told]
    # A unit's own name is no citizen's text; only numbers are taken out of it.
    assert found == (["张某三"] if kind == "dispatched" else [])


def _limit(value: int, unit: str, **fields: Any) -> Event:
    return event_of(body("T-1", "dispatched", 0, unit="U-1", limit={"value": value, "unit": unit}, **fields))


@pytest.mark.parametrize(
    ("value", "unit", "length"),
    [(90, "minutes", 90 * MINUTE), (2, "hours", 2 * HOUR), (3, "days", 3 * DAY)],
)
def test_a_limit_runs_from_its_event(value: int, unit: str, length: int) -> None:
    assert _limit(value, unit).data["due"] == day(0) + length


def test_a_due_time_goes_before_a_limit() -> None:
    assert _limit(5, "days", due_at="2025-03-04T12:00:00+08:00").data["due"] == day(1.125)


def test_neither_a_due_time_nor_a_limit_is_no_deadline() -> None:
    assert "due" not in event_of(body("T-1", "dispatched", 0, unit="U-1")).data


def test_a_limit_in_work_days_is_kept_as_it_was_given() -> None:
    assert _limit(5, "work_days").data == {"work_days": 5}, "the calendar may still change"
    assert "work_days" not in _limit(5, "work_days", due_at="2025-03-04T12:00:00+08:00").data


@pytest.mark.parametrize(
    ("evidence", "kept"), [(None, None), (False, False), ([], False), (True, True), (["a.jpg"], True), ([0], True)]
)
def test_evidence_is_there_missing_or_unknown(evidence: object, kept: bool | None) -> None:
    fields = {} if evidence is None else {"evidence": evidence}
    assert event_of(body("T-1", "return_requested", 0, **fields)).data.get("evidence") is kept


def test_the_digest_tells_bodies_apart_not_how_they_are_sent() -> None:
    first = body("T-1", "return_requested", 0, unit="U-1", reason="甲")
    same = first | {"occurred_at": "2025-03-03T01:00:00Z", "source": "again", "backfill": True, "test": False}
    assert event_of(first).digest == event_of(same).digest
    for other in ({"unit_id": "U-2"}, {"reason": "乙"}, {"seq": 2}, {"ticket_id": "T-2"}, {"surprise": 1}):
        assert event_of(first).digest != event_of(first | other).digest, other
    assert event_of(first).digest != event_of(first | {"occurred_at": "2025-03-03T09:00:01+08:00"}).digest


def test_a_rotation_is_no_other_body_and_another_citizen_is() -> None:
    def registered(phone: str, *keys: PseudonymKey) -> Event:
        return to_event(decode_event(orjson.dumps(body("T-1", "registered", 0, citizen={"phone": phone}))), keys)

    newer = PseudonymKey("k2", b"another secret for tests only")
    before, during = registered("19900001234", *KEYS), registered("19900001234", newer, *KEYS)
    assert before.digest == during.digest
    assert before.data["citizens"] == during.data["citizens"][1:]
    assert before.digest != registered("19900001235", *KEYS).digest


@pytest.mark.parametrize(("title", "asks"), [("查询工单", True), ("办理进度如何", True), ("路灯不亮", False)])
def test_a_title_that_asks_is_remembered_without_its_words(title: str, asks: bool) -> None:
    assert event_of(body("T-1", "registered", 0, title=title)).data["title_asks"] is asks


def test_an_address_is_kept_as_a_hash_that_does_not_mind_blanks() -> None:
    spots = [
        event_of(body("T-1", "registered", 0, place={"text": text})).data["place"]["spot"]
        for text in ("试路 1 号", "试路1号", "试路2号")
    ]
    assert spots[0] == spots[1] != spots[2]


def test_what_was_not_said_is_not_kept() -> None:
    assert event_of(body("T-1", "registered", 0)).data == {}
    assert event_of(body("T-1", "visited", 0)).data == {}
