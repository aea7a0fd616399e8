"""What of an alert a subscriber may have: an allow-list, by privacy level."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from alerting.payload import FIELD_PRIVACY, THIN_FIELDS, Entry, payload, visible
from models.alert import Alert, AlertPlace, Evidence, RuleRef, UnitRef
from models.delivery import DeliveryKind
from models.subscriber import Payload, Privacy
from tests.alerting_support import make_alert, make_subscriber


def entry(kind: DeliveryKind = DeliveryKind.ALERT, mark: str = "", **fields: Any) -> Entry:
    return Entry(make_alert(**fields).model_dump_json().encode(), "d-1", 7, kind, mark)


def test_every_field_of_an_alert_has_a_privacy_level_and_no_other_name_has_one() -> None:
    assert set(FIELD_PRIVACY) == set(Alert.model_fields)


@pytest.mark.parametrize(
    ("part", "known"),
    [
        (RuleRef, {"id", "version", "title"}),
        (UnitRef, {"id", "name", "role"}),
        (Evidence, {"event_id", "occurred_at", "what"}),
        (AlertPlace, {"district", "street", "community"}),
    ],
)
def test_the_parts_of_fields_are_those_that_were_judged(part: type, known: set[str]) -> None:
    assert set(part.model_fields) == known, "a new part leaves with its field: does it fit the field's privacy level?"


def test_the_full_payload_is_the_alert_with_its_delivery() -> None:
    one = entry()
    body = payload(one, make_subscriber())
    assert (body.pop("delivery_id"), body.pop("delivery_sequence")) == ("d-1", 7)
    assert body == orjson.loads(one.alert_json)


def test_each_privacy_level_holds_the_one_below_it() -> None:
    shown = [set(visible(entry(), make_subscriber(privacy=privacy))) for privacy in Privacy]
    assert shown[0] < shown[1] < shown[2] == set(Alert.model_fields)
    assert "headline" not in shown[0]
    assert {"headline", "units", "tickets", "place"} <= shown[1]
    assert not {"evidence", "facts", "trigger"} & shown[1]


def test_a_field_that_nobody_classified_never_leaves() -> None:
    alert = orjson.loads(make_alert().model_dump_json()) | {"citizen": "1:abc"}
    body = payload(Entry(orjson.dumps(alert), "d-1", 1), make_subscriber())
    assert "citizen" not in body


def test_what_a_call_adds_is_never_a_field_of_the_alert() -> None:
    drill = payload(entry(DeliveryKind.DRILL, "drill-1"), make_subscriber())
    replay = payload(entry(DeliveryKind.REPLAY, "replay-1"), make_subscriber(payload=Payload.THIN))
    added = {"delivery_id", "delivery_sequence", "kind", "mark", "drill", "replay_id", "fetch"}
    assert (set(drill) | set(replay)) - set(Alert.model_fields) == added


@pytest.mark.parametrize("privacy", Privacy)
def test_a_thin_payload_says_no_more_than_that_there_is_an_alert(privacy: Privacy) -> None:
    body = payload(entry(), make_subscriber(payload=Payload.THIN, privacy=privacy))
    assert body == {
        "schema_version": 1,
        "alert_id": "a-1",
        "case_id": "case-1",
        "sequence": 1,
        "status": "raised",
        "level": "yellow",
        "family": "P",
        "rule": {"id": "P01"},
        "delivery_id": "d-1",
        "delivery_sequence": 7,
        "kind": "alert",
        "fetch": "/v1/alerts",
    }
    assert all(FIELD_PRIVACY[name] is Privacy.MINIMAL for name in (*THIN_FIELDS, "rule"))


@pytest.mark.parametrize(
    ("kind", "mark", "added"),
    [
        (DeliveryKind.ALERT, "", {}),
        (DeliveryKind.REPEAT, "repeat-2", {"kind": "repeat", "mark": "repeat-2"}),
        (DeliveryKind.REPLAY, "replay-r9", {"kind": "replay", "mark": "replay-r9", "replay_id": "r9"}),
        (DeliveryKind.DRILL, "drill-r9", {"kind": "drill", "mark": "drill-r9", "drill": True}),
    ],
)
def test_what_is_no_first_news_says_what_it_is(kind: DeliveryKind, mark: str, added: dict[str, Any]) -> None:
    names = ("kind", "mark", "replay_id", "drill")
    body = payload(entry(kind, mark), make_subscriber(privacy=Privacy.MINIMAL))
    assert {name: body[name] for name in names if name in body} == added
