"""How calls are written for programs: CloudEvents and Alertmanager as their own readers want them, privacy in every format,
and the page that tells integrators.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given, settings
from hypothesis import strategies as st

from alerting.formats import write
from alerting.payload import FIELD_PRIVACY, Entry, payload
from models.alert import Alert
from models.base import Status
from models.delivery import DeliveryKind
from models.subscriber import CHAT_FORMATS, Format, Payload, Privacy, Subscriber
from tests.alerting_support import make_alert, make_subscriber
from tests.formats_support import AT, SENSIBLE, body, card, entry, written

# --- CloudEvents


@pytest.mark.parametrize("form", [Format.CLOUDEVENTS_STRUCTURED, Format.CLOUDEVENTS_BINARY])
@pytest.mark.parametrize("case_id", ["case:T-1", 'case:工单 "1" 50%'])
@pytest.mark.parametrize("said", Payload)
def test_the_cloudevents_sdk_reads_both_modes(form: Format, case_id: str, said: Payload) -> None:
    one = entry(case_id=case_id)
    call = written(form, one, payload=said)
    event = from_http_event(HTTPMessage({"content-type": call.content_type, **call.headers}, call.body))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == "d-1"
    assert event.get_source() == "/hotline-watch"
    assert event.get_type() == "cn.hotline-watch.alert.raised.v1"
    assert event.get_subject() == case_id
    assert event.get_time() == datetime.fromisoformat(make_alert().raised_at)
    assert event.get_datacontenttype() == "application/json"
    assert str(event.get_extension("deliverysequence")) == "1"
    assert event.get_extension("hwkind") == "alert"
    assert event.get_extension("hwlevel") == "yellow"
    assert event.get_data() == payload(one, make_subscriber(payload=said))


def test_a_header_of_a_binary_event_is_plain_ascii() -> None:
    headers = written(Format.CLOUDEVENTS_BINARY, entry(case_id='case:工单 "1"\t%')).headers
    assert headers["ce-subject"] == "case:%E5%B7%A5%E5%8D%95%20%221%22%09%25"
    assert all(re.fullmatch(r"[!-~]+", value) for value in headers.values())


def test_the_media_types_tell_the_modes_apart() -> None:
    structured, binary = (written(form) for form in (Format.CLOUDEVENTS_STRUCTURED, Format.CLOUDEVENTS_BINARY))
    assert structured.content_type == "application/cloudevents+json; charset=utf-8"
    assert (binary.content_type, binary.headers["ce-specversion"]) == ("application/json", "1.0")


@pytest.mark.parametrize("status", Status)
def test_a_drill_is_no_event_of_a_real_alert(status: Status) -> None:
    def kind(kind: DeliveryKind) -> str:
        return str(body(Format.CLOUDEVENTS_STRUCTURED, entry(status=status, kind=kind))["type"])

    assert kind(DeliveryKind.DRILL) == "cn.hotline-watch.alert.drill.v1"
    assert kind(DeliveryKind.ALERT) == kind(DeliveryKind.REPLAY) == f"cn.hotline-watch.alert.{status}.v1"


# --- Alertmanager

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
RFC3339 = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
STATUS = {"enum": ["firing", "resolved"]}
ALERTMANAGER_CALL = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    ],
    "properties": {
        "version": {"const": "4"},
        "groupKey": {"type": "string", "minLength": 1},
        "truncatedAlerts": {"type": "integer", "minimum": 0},
        "status": STATUS,
        "receiver": {"type": "string", "minLength": 1},
        "groupLabels": TEXTS,
        "commonLabels": TEXTS,
        "commonAnnotations": TEXTS,
        "externalURL": {"type": "string"},
        "alerts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "status",
                    "labels",
                    "annotations",
                    "startsAt",
                    "endsAt",
                    "generatorURL",
                    "fingerprint",
                ],
                "properties": {
                    "status": STATUS,
                    "labels": {
                        **TEXTS,
                        "required": ["alertname"],
                        "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
                    },
                    "annotations": TEXTS,
                    "startsAt": RFC3339,
                    "endsAt": RFC3339,
                    "generatorURL": {"type": "string"},
                    "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                },
            },
        },
    },
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("privacy", Privacy)
@pytest.mark.parametrize("said", Payload)
@pytest.mark.parametrize("kind", DeliveryKind)
def test_an_alertmanager_call_has_the_documented_shape(
    status: Status, privacy: Privacy, said: Payload, kind: DeliveryKind
) -> None:
    one = entry(status=status, kind=kind, mark="" if kind is DeliveryKind.ALERT else f"{kind}-1")
    call = body(Format.ALERTMANAGER, one, privacy=privacy, payload=said)
    jsonschema.validate(call, ALERTMANAGER_CALL)
    (alert,) = call["alerts"]
    resolved = status is Status.RETRACTED
    assert call["status"] == alert["status"] == ("resolved" if resolved else "firing")
    assert (alert["endsAt"] == "0001-01-01T00:00:00Z") is not resolved
    assert call["groupLabels"].items() <= call["commonLabels"].items() == alert["labels"].items()


def test_a_retraction_resolves_what_the_first_version_opened() -> None:
    def ids(**fields: Any) -> tuple[str, str]:
        call = body(Format.ALERTMANAGER, entry(**fields))
        return call["groupKey"], call["alerts"][0]["fingerprint"]

    opened = ids(level="yellow")
    assert ids(level="red", status="escalated") == ids(level="red", status="retracted", sequence=3) == opened
    assert len({opened, ids(case_id="case:T-2"), ids(kind=DeliveryKind.DRILL)}) == 3
    assert ids(rule={"id": "P02", "version": 1, "title": "盲退"}) != opened


def test_an_alertmanager_alert_says_what_and_why() -> None:
    (alert,) = body(Format.ALERTMANAGER, entry(**SENSIBLE))["alerts"]
    assert alert["labels"] == {
        "alertname": "P01",
        "case": "case:T-1",
        "family": "P",
        "level": "red",
        "severity": "critical",
    }
    assert alert["annotations"]["summary"] == SENSIBLE["headline"]
    assert alert["annotations"]["accused_units"] == "甲街道办事处"
    assert alert["annotations"]["description"].count("\n") == 7


# --- privacy

RANK = {Privacy.MINIMAL: 0, Privacy.STANDARD: 1, Privacy.FULL: 2}


def sentinel_alert() -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return an alert with a word of its own in each field that can hold one, and the words by field."""
    names = (
        "headline",
        "categories",
        "units",
        "tickets",
        "place",
        "flags",
        "reason",
        "evidence",
        "facts",
        "thresholds",
    )
    words = {
        name: [f"WORD{name.upper()}{index}" for index in range(5)] for name in (*names, "trigger", "calendar_version")
    }
    fields: dict[str, Any] = {
        "headline": words["headline"][0],
        "categories": words["categories"][:2],
        "units": [
            {"id": words["units"][0], "name": words["units"][1], "role": "accused"},
            {"id": words["units"][2], "name": words["units"][3], "role": "involved"},
            {"id": words["units"][4], "name": None, "role": "accused"},
        ],
        "tickets": words["tickets"],
        "place": dict(zip(("district", "street", "community"), words["place"], strict=False)),
        "flags": words["flags"],
        "reason": words["reason"][0],
        "evidence": [
            {"event_id": words["evidence"][0], "occurred_at": "2031-01-02T03:04:05+08:00", "what": words["evidence"][1]}
        ],
        "facts": {words["facts"][0]: words["facts"][1]},
        "thresholds": {"yellow": words["thresholds"][0]},
        "trigger": words["trigger"][0],
        "calendar_version": words["calendar_version"][0],
        "as_of": "2032-02-03T04:05:06+08:00",
    }
    return fields, words | {"as_of": ["2032-02-03"], "evidence": [*words["evidence"], "2031-01-02"]}


def whole_request(form: Format, entries: list[Entry], subscriber: Subscriber) -> str:
    """Return everything that leaves, readable."""
    call = write(entries, subscriber, AT)
    said = json.dumps(orjson.loads(call.body), ensure_ascii=False)
    return f"{said} {dict(call.headers)} {call.query}"


@pytest.mark.parametrize("form", Format)
@settings(max_examples=50, deadline=None)
@given(
    privacy=st.sampled_from(Privacy),
    said=st.sampled_from(Payload),
    status=st.sampled_from(Status),
    kind=st.sampled_from(DeliveryKind),
    count=st.integers(1, 3),
)
def test_no_format_lets_a_field_out_above_its_privacy_level(
    form: Format, privacy: Privacy, said: Payload, status: Status, kind: DeliveryKind, count: int
) -> None:
    fields, words = sentinel_alert()
    thin = said is Payload.THIN and form not in CHAT_FORMATS
    count = count if form in CHAT_FORMATS else 1
    entries = [entry(number, kind, status=status, **fields) for number in range(1, count + 1)]
    subscriber = make_subscriber(format=form, privacy=privacy, payload=Payload.THIN if thin else Payload.FULL)
    leaves = whole_request(form, entries, subscriber)
    allowed = {name for name in words if not thin and RANK[FIELD_PRIVACY[name]] <= RANK[privacy]}
    out = {name for name, secret in words.items() if any(word in leaves for word in secret)}
    assert out <= allowed
    if form is Format.JSON:
        assert out == allowed


def test_the_privacy_test_has_a_word_in_every_field_above_minimal() -> None:
    _, words = sentinel_alert()
    above = {name for name, privacy in FIELD_PRIVACY.items() if privacy is not Privacy.MINIMAL}
    assert above - set(words) == {"push"}  # a yes or no
    assert set(words) <= set(Alert.model_fields)


# --- the page for integrators

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"


def page_entries() -> list[Entry]:
    """Return the deliveries that the page's examples show."""
    fields = {
        **SENSIBLE,
        "case_id": "case:GD-2025-0001",
        "headline": "疑似多次退单:工单被退回3次,涉及3个单位",
        "facts": {"returns.count": 3, "returns.units": 3},
        "thresholds": {"blue": "returns.count >= 2", "red": "returns.count >= 4 || returns.units >= 3"},
        "tickets": ["GD-2025-0001"],
        "evidence": [
            {
                "event_id": "e-3",
                "occurred_at": "2025-06-18T09:00:00+08:00",
                "what": "甲街道办事处申请退单(理由R2:非法定职责、未先行联系)",
            }
        ],
    }
    other = {"case_id": "case:GD-2025-0002", "headline": "疑似办理超期:办理时限已过,未见办结"}
    first = make_alert("5b0c1f0e-3f0a-5d57-8a33-3f8d5b1f7a10", **fields)
    second = make_alert("9d2a7c44-6a0b-5f0e-b7a1-0c2f6f1b2e33", **other)
    return [
        Entry(first.model_dump_json().encode(), "0f5e7d1c-58a6-5c0e-9a51-6a2f4a6b8c01", 1),
        Entry(second.model_dump_json().encode(), "c1a9b3e2-77d4-5b9f-8e21-4d0f9a7c6b02", 1),
    ]


def page_examples() -> dict[str, str]:
    """Return the page's examples by name."""
    first, second = page_entries()
    standard = {"privacy": Privacy.STANDARD}

    def shown(form: Format, *entries: Entry, **fields: Any) -> str:
        call = written(form, *(entries or (first,)), **fields)
        text = json.dumps(orjson.loads(call.body), ensure_ascii=False, indent=2)
        heads = "".join(f"{name}: {value}\n" for name, value in call.headers.items())
        return f"content-type: {call.content_type}\n{heads}\n{text}" if call.headers else text

    return {
        "json": shown(Format.JSON),
        "thin": shown(Format.JSON, payload=Payload.THIN),
        "cloudevents-structured": shown(Format.CLOUDEVENTS_STRUCTURED, **standard),
        "cloudevents-binary": shown(Format.CLOUDEVENTS_BINARY, privacy=Privacy.MINIMAL),
        "alertmanager": shown(Format.ALERTMANAGER, **standard),
        "wecom": card(Format.WECOM, first, **standard).rstrip("\n"),
        "dingtalk": card(Format.DINGTALK, first, second, **standard).rstrip("\n"),
        "feishu": shown(Format.FEISHU, **standard),
    }


@pytest.mark.parametrize("name", ["json", "thin", *sorted({*Format} - {Format.JSON})])
def test_an_example_on_the_page_is_current(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w*\n(.*?)\n```\n", page, re.DOTALL)
    assert found, name
    assert found[1] == page_examples()[name]


def test_the_page_lists_every_field_under_its_privacy_level() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for privacy in Privacy:
        row = re.search(rf"^\| `{privacy}` \| ([^|]*) \|$", page, re.MULTILINE)
        assert row
        assert set(re.findall(r"`(\w+)`", row[1])) == {
            name for name, level in FIELD_PRIVACY.items() if level is privacy
        }
