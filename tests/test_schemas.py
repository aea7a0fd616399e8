"""The published JSON Schemas are valid and agree with what the code takes and says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator, FormatChecker

from models.decode import Rejected, decode_event
from models.quarantine import QuarantineRecord, RejectionReason
from models.schemas import contract_schemas
from tests.builders import body, event_of, run
from tests.histories import histories
from tests.test_decode import REFUSED

SCHEMAS = contract_schemas()


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[name], format_checker=FormatChecker())


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == f"urn:hotline-watch:{name}"


@settings(max_examples=40, deadline=None)
@given(histories(size_max=12))
def test_events_that_are_taken_and_alerts_that_are_said_are_valid(records: list[dict[str, Any]]) -> None:
    events, alerts = validator("ticket-event"), validator("alert")
    for record in records:
        events.validate(record)
    for alert in run([event_of(record) for record in records], 100).alerts:
        alerts.validate(json.loads(alert.model_dump_json()))


def test_unknown_fields_are_valid() -> None:
    validator("ticket-event").validate(body("T-1", "registered", 0, surprise={"a": 1}, place={"grid": 7}))


@pytest.mark.parametrize(
    "name",
    ["a boolean for an integer", "a number for a text", "five category levels", "a word out of no list", "an id of 129 characters",
     "nothing but braces", "a merge into nothing", "a limit of no days"],
)  # fmt: skip
def test_what_is_refused_for_its_fields_is_invalid(name: str) -> None:
    value, _ = REFUSED[name]
    assert value is not None
    with pytest.raises(Rejected):
        decode_event(value)
    assert not validator("ticket-event").is_valid(json.loads(value))


def test_a_quarantine_record_is_valid_and_has_no_place_for_text() -> None:
    record = QuarantineRecord(
        reason=RejectionReason.NOT_JSON,
        detail="Expecting value at character 3",
        topic="hotline.ticket-events",
        partition=0,
        offset=7,
        size_bytes=12,
        sha256="0" * 64,
        quarantined_at="2025-06-18T09:00:00+08:00",
    )
    validator("quarantine").validate(json.loads(record.model_dump_json()))
    assert set(QuarantineRecord.model_fields) == {
        "reason", "detail", "field", "topic", "partition", "offset", "size_bytes", "sha256", "quarantined_at",
        "source"
    }  # fmt: skip
