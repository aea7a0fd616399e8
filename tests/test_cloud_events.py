"""Ticket events as CloudEvents 1.0 on Kafka: what the CloudEvents SDK writes is taken, in both modes; what is none is refused."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import orjson
import pytest
from aiokafka.structs import ConsumerRecord
from cloudevents.core.bindings import kafka as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from models.decode import Rejected, decode_event
from models.quarantine import QuarantineRecord
from models.quarantine import RejectionReason as Reason
from models.times import parse_instant
from rules.messages import EventMessage, decode
from streams.intake import Intake
from streams.topics import TopicSet
from tests.builders import KEYS, body, time_of

GOOD = body("T-1", "registered", 0, title="路灯不亮", citizen={"key": "c-1"})
ATTRIBUTES = {"id": "x-1", "source": "/hotline", "type": "cn.hotline.ticket", "datacontenttype": "application/json"}
STRUCTURED = {"content-type": b"application/cloudevents+json"}


def envelope(**attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", **ATTRIBUTES, "data": GOOD, **attributes}


def written_by_the_sdk(mode: str, data: Any = GOOD, **attributes: Any) -> binding.KafkaMessage:
    event = CloudEvent({"specversion": "1.0", **ATTRIBUTES, **attributes}, data)
    write = binding.to_structured if mode == "structured" else binding.to_binary
    return write(event, JSONFormat())


def refusal(value: bytes | dict[str, Any], headers: dict[str, bytes | None] | None = None) -> tuple[Reason, str | None]:
    with pytest.raises(Rejected) as caught:
        decode_event(value if isinstance(value, bytes) else orjson.dumps(value), headers)
    return caught.value.reason, caught.value.field


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize("more", [{}, {"subject": "工单", "partitionkey": "T-1", "traceparent": "00-ab-cd-01"}])
def test_what_the_sdk_writes_is_the_event_in_it(mode: str, more: dict[str, str]) -> None:
    message = written_by_the_sdk(mode, **more)
    assert decode_event(message.value, message.headers) == decode_event(orjson.dumps(GOOD))


@pytest.mark.parametrize(
    "headers", [None, STRUCTURED, {"content-type": b"Application/CloudEvents+JSON; charset=UTF-8"}]
)
def test_a_structured_one_is_known_by_its_header_or_by_itself(headers: dict[str, bytes | None] | None) -> None:
    assert decode_event(orjson.dumps(envelope()), headers) == decode_event(orjson.dumps(GOOD))


def test_data_may_be_packed() -> None:
    packed = envelope(data_base64=base64.b64encode(orjson.dumps(GOOD)).decode())
    del packed["data"]
    assert decode_event(orjson.dumps(packed), STRUCTURED) == decode_event(orjson.dumps(GOOD))
    assert refusal(packed | {"data_base64": "?"}) == (Reason.INVALID_FIELD, "data_base64")
    assert refusal(packed | {"data_base64": ""}) == (Reason.EMPTY, None)
    assert refusal(packed | {"data_base64": "e30="}) == (Reason.MISSING_FIELD, "event_id")


def test_an_event_may_have_fields_of_its_own_that_a_cloud_event_has_too() -> None:
    plain = GOOD | {"specversion": "2.0", "data": {"a": 1}}
    found = decode_event(orjson.dumps(plain))
    assert found.model_extra == {"specversion": "2.0", "data": {"a": 1}}


@pytest.mark.parametrize(
    ("value", "headers", "expected"),
    [
        (envelope(), {"content-type": b"application/cloudevents+avro"}, (Reason.NOT_JSON, "content-type")),
        (b"[]", {"content-type": b"application/cloudevents-batch+json"}, (Reason.NOT_AN_OBJECT, "content-type")),
        (GOOD, STRUCTURED, (Reason.MISSING_FIELD, "specversion")),
        (envelope(specversion="0.3"), STRUCTURED, (Reason.UNSUPPORTED_VERSION, "specversion")),
        (envelope(specversion="0.3"), None, (Reason.UNSUPPORTED_VERSION, "specversion")),
        (envelope(data=None), None, (Reason.MISSING_FIELD, "data")),
        (envelope(data="{}"), None, (Reason.INVALID_FIELD, "data")),
        (envelope(data={"event_id": "e"}), None, (Reason.MISSING_FIELD, "ticket_id")),
        (GOOD, {"ce_specversion": b"0.3"}, (Reason.UNSUPPORTED_VERSION, "ce_specversion")),
        (GOOD, {"ce_specversion": None}, (Reason.UNSUPPORTED_VERSION, "ce_specversion")),
        (b"", {"ce_specversion": b"1.0"}, (Reason.EMPTY, None)),
    ],
)
def test_what_is_none_is_refused(value: Any, headers: Any, expected: tuple[Reason, str | None]) -> None:
    assert refusal(value, headers) == expected


def test_in_binary_mode_the_value_is_the_event_whatever_it_is_called() -> None:
    headers = {"ce_specversion": b"1.0", "content-type": b"application/json; charset=utf-8", "ce_subject": None}
    assert decode_event(orjson.dumps(GOOD), headers) == decode_event(orjson.dumps(GOOD))


class Told:
    """Counts what intake tells."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def accepted(self, event_type: str, unknown_fields: int) -> None:
        self.counts[f"{event_type}+{unknown_fields}"] += 1

    def rejected(self, reason: str) -> None:
        self.counts[reason] += 1

    def sealed(self, route: str) -> None:
        raise AssertionError

    def screened(self, event: object) -> None:
        """Texts are not this test's business."""


def record(offset: int, value: bytes, headers: dict[str, bytes | None] | None = None) -> ConsumerRecord[bytes, bytes]:
    at_ms = parse_instant(time_of(0)) // 1000
    listed = tuple((headers or {}).items())
    return ConsumerRecord("hotline.ticket-events", 0, offset, at_ms, 1, None, value, None, 0, len(value), listed)


def test_intake_makes_the_same_of_all_three_and_quarantines_what_is_none() -> None:
    messages = [written_by_the_sdk(mode) for mode in ("structured", "binary")]
    records = [
        record(0, orjson.dumps(GOOD)),
        *(record(n + 1, one.value, one.headers) for n, one in enumerate(messages)),
    ]
    records.append(record(3, messages[1].value, messages[1].headers | {"ce_specversion": b"0.3"}))
    told = Told()
    *taken, refused = Intake(TopicSet(), KEYS, told).handle(0, records)
    events = [message.event for out in taken if isinstance(message := decode(out.value), EventMessage)]
    assert len(events) == 3
    assert {orjson.dumps(one, default=tuple) for one in events} == {orjson.dumps(events[0], default=tuple)}
    assert {(out.topic, out.key) for out in taken} == {("hw.tickets", "T-1")}
    assert QuarantineRecord.model_validate_json(refused.value).reason is Reason.UNSUPPORTED_VERSION
    assert told.counts == {"registered+0": 3, "unsupported_version": 1}


def test_a_header_without_a_value_stops_nothing() -> None:
    headers: dict[str, bytes | None] = {"ce_specversion": None, "ce_source": None, "content-type": None}
    told = Told()
    (refused,) = Intake(TopicSet(), KEYS, told).handle(0, [record(0, orjson.dumps(GOOD), headers)])
    assert QuarantineRecord.model_validate_json(refused.value).reason is Reason.UNSUPPORTED_VERSION
    del headers["ce_specversion"]  # then they are no CloudEvent's
    (taken,) = Intake(TopicSet(), KEYS, told).handle(0, [record(1, orjson.dumps(GOOD), headers)])
    assert taken.topic == "hw.tickets"


@pytest.mark.parametrize("step", ["decode_event", "to_event", "read_texts"])
def test_a_lack_of_memory_is_no_inputs_fault(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(f"streams.intake.{step}", starved)
    with pytest.raises(MemoryError):
        Intake(TopicSet(), KEYS, Told()).handle(0, [record(0, orjson.dumps(GOOD))])
