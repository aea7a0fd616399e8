"""The AsyncAPI document is current, whole, and agrees with what lies on the topics."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from jsonschema import Draft7Validator, FormatChecker
from typer.testing import CliRunner

from cli.main import app
from models.decode import decode_event
from models.erasure import ErasureRecord, ErasureStep
from models.quarantine import QuarantineAction, QuarantineDecision, QuarantineRecord, RejectionReason
from models.redelivery import RedeliveryKind, RedeliveryRequest
from models.sealed import SealedRecord
from rules.messages import (
    ClaimMessage,
    ErasureMessage,
    EventMessage,
    FarewellMessage,
    MembersMessage,
    PartedMessage,
    RepeatMessage,
    ReviewMessage,
    TicketMessage,
    TickMessage,
    decode,
    encode,
)
from rules.repeats import Complaint, Repeat, RepeatedComplaint
from streams.asyncapi import PAGE, PAYLOADS, asyncapi_text, channels_of, document
from streams.roles import Operation, uses
from streams.topics import TopicSet
from tests.alerting_support import TIME, make_alert
from tests.api_support import decision, delivered
from tests.builders import body, event_of, run
from tests.histories import histories

DOCUMENT = document()
TOPICS = TopicSet()


def resolved(reference: str) -> Any:
    """Return what a reference within the document leads to."""
    node: Any = DOCUMENT
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        node = node[part]
    return node


def validator(payload: str) -> Draft7Validator:
    schema = {"$ref": f"#/components/schemas/{payload}", "components": DOCUMENT["components"]}
    return Draft7Validator(schema, format_checker=FormatChecker())


def on(topic: str) -> list[str]:
    """Return the payloads that may lie on a topic."""
    messages = DOCUMENT["channels"][topic]["messages"].values()
    return [resolved(one["$ref"])["payload"]["$ref"].rpartition("/")[2] for one in messages]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        node = list(node.values())
    for one in node if isinstance(node, list) else []:
        yield from references(one)


def test_the_document_in_docs_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == asyncapi_text(), "run: .venv/bin/python -m streams.asyncapi"


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(app, ["schema", "asyncapi"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == DOCUMENT


def test_every_declared_topic_is_described_as_it_is_made() -> None:
    assert set(channels_of(TOPICS)) == {spec.name for spec in TOPICS.all()}, "describe it in streams/asyncapi.py"
    for spec in TOPICS.all():
        kafka = DOCUMENT["channels"][spec.name]["bindings"]["kafka"]
        assert (kafka["topic"], kafka["partitions"], kafka["replicas"]) == (
            spec.name,
            spec.partitions,
            spec.replication,
        )
        assert kafka["topicConfiguration"]["retention.ms"] == spec.retention_ms


def test_every_topic_that_somebody_writes_has_messages() -> None:
    written = {name for name, roles in uses(TOPICS).items() if any(Operation.WRITE in done for done in roles.values())}
    assert {name for name, channel in channels_of(TOPICS).items() if channel.messages} == written


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = set(references(DOCUMENT))
    for one in found:
        resolved(one)
    assert {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]} <= found
    assert {f"#/components/messages/{name}" for name in DOCUMENT["components"]["messages"]} <= found


def test_an_operation_speaks_of_messages_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in ("send", "receive")
        assert {one["$ref"] for one in operation["messages"]} == {
            f"{channel}/messages/{name}" for name in resolved(channel)["messages"]
        }


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_a_schema_is_one_of_draft_07(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert not any(word in text for word in ('"$defs"', '"prefixItems"', '"\\\\p{'))


def test_a_prefix_is_on_every_name() -> None:
    assert all(name.startswith("b.") for name in document(TopicSet(prefix="b."))["channels"])


# --- what lies on the topics is what is said ---

REPEATED = RepeatedComplaint("T-1", "e-1", 1, "same matter")
COMPLAINT = Complaint("T-1", "e-1", 1, ("城乡建设",), "试区", "", "", "", ("sketch",), ("T-2",), False)
EVENT = event_of(body("T-1", "registered", 0, title="路灯不亮", seq=3))
MESSAGES = (
    EventMessage(EVENT),
    MembersMessage("T-1", "T-2", 3, (EVENT, EVENT)),
    RepeatMessage("T-1", "c-1", Repeat(1, 2, (REPEATED,), (REPEATED,))),
    TickMessage(5),
    ReviewMessage(),
    ErasureMessage("c-1", "r-1", goes_on=True),
    FarewellMessage("T-2", "T-1", "digest"),
    PartedMessage("T-1", "T-2"),
    ClaimMessage("c-1", "T-1", 2, (COMPLAINT,)),
)


def test_every_message_of_the_agents_is_an_example() -> None:
    assert {type(message) for message in MESSAGES} == {*get_args(TicketMessage), ClaimMessage}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_agents_write_is_valid_and_nothing_else_is(message: Any) -> None:
    wire = orjson.loads(encode(message))
    name = type(message).__name__
    assert decode(encode(message)) == message
    assert name in on(TOPICS.citizens if isinstance(message, ClaimMessage | ErasureMessage) else TOPICS.tickets)
    for other in (name for name in PAYLOADS if name.endswith("Message")):
        assert validator(other).is_valid(wire) is (other == name)
    assert not validator(name).is_valid([*wire, 1])


CONTRACTS = {
    TOPICS.alerts: make_alert(),
    TOPICS.deliveries: delivered(),
    TOPICS.decisions: decision(decisions=[{"subscriber": "platform", "reason": "queued"}]),
    TOPICS.redeliveries: RedeliveryRequest(
        request_id="r-1", kind=RedeliveryKind.DRILL, subscriber="a", alert=make_alert(), requested_at=TIME
    ),
    TOPICS.quarantine: QuarantineRecord(
        reason=RejectionReason.EMPTY, detail="d", topic="t", partition=0, offset=1, size_bytes=0, sha256="0" * 64, quarantined_at=TIME
    ),
    TOPICS.quarantine_decisions: QuarantineDecision(
        action=QuarantineAction.DROPPED, topic="t", partition=0, offset=1, sha256="0" * 64, decided_by="a", decided_at=TIME
    ),
    TOPICS.erasures: ErasureRecord(
        request="r-1", step=ErasureStep.DONE, citizens=("0" * 32,), reason="asked for", asked_by="a", at=TIME, report={"done": True}
    ),
    TOPICS.sealed: SealedRecord(ticket_id="T-1", event_id="e-1", occurred_at=TIME, route="head_of_office"),
}  # fmt: skip


@pytest.mark.parametrize("topic", CONTRACTS)
def test_a_record_of_each_contract_is_valid(topic: str) -> None:
    wire = orjson.loads(CONTRACTS[topic].model_dump_json())
    (payload,) = on(topic)
    validator(payload).validate(wire)
    assert not validator(payload).is_valid(wire | {"surprise": 1})


@settings(max_examples=20, deadline=None)
@given(histories(size_max=10))
def test_events_and_what_is_said_of_them_are_valid(records: list[dict[str, Any]]) -> None:
    for record in records:
        validator("TicketEvent").validate(record)
        cloud_event = {"specversion": "1.0", "id": "x", "source": "/a", "type": "b", "data": record}
        validator("TicketCloudEvent").validate(cloud_event)
        decode_event(orjson.dumps(cloud_event))
        packed = {name: value for name, value in cloud_event.items() if name != "data"}
        packed["data_base64"] = b64encode(orjson.dumps(record)).decode()
        validator("TicketCloudEvent").validate(packed)
        decode_event(orjson.dumps(packed))
        validator("EventMessage").validate(orjson.loads(encode(EventMessage(event_of(record)))))
    for alert in run([event_of(record) for record in records], 100).alerts:
        validator("Alert").validate(orjson.loads(alert.model_dump_json()))


def test_the_headers_of_a_binary_cloud_event_are_described() -> None:
    headers = DOCUMENT["components"]["messages"]["TicketBinaryCloudEvent"]["headers"]
    good = {
        "ce_specversion": "1.0",
        "ce_id": "1",
        "ce_source": "/a",
        "ce_type": "b",
        "content-type": "application/json",
    }
    Draft7Validator(headers).validate(good)
    assert not Draft7Validator(headers).is_valid(good | {"ce_specversion": "0.3"})
