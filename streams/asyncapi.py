"""The service's topics and messages as an AsyncAPI 3.0 document: `hotline-watch schema asyncapi`.

Made from the declarations themselves: topics (topics.py), who reads and writes them (roles.py), the contracts (models/) and what
agents say to each other (rules/messages.py). `python -m streams.asyncapi` writes docs/asyncapi.json; a test fails where the
copy is not current, or a declared topic is not described here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from models.alert import Alert
from models.decision import DecisionRecord
from models.delivery import DeliveryRecord
from models.erasure import ErasureRecord
from models.quarantine import QuarantineDecision, QuarantineRecord
from models.redelivery import RedeliveryRequest
from models.reference import REFERENCE_RECORD
from models.schemas import TICKET_EVENT, component_schemas
from models.sealed import SealedRecord
from rules.event import Event
from rules.repeats import Complaint, RepeatedComplaint
from streams.roles import ROLE_TITLES, Operation, uses
from streams.routes import SOURCE_TS
from streams.topics import TopicSet, TopicSpec

PAGE = Path(__file__).parent.parent / "docs" / "asyncapi.json"
_BINDING = "0.5.0"
_JSON, _CLOUD_EVENT, _BYTES = "application/json", "application/cloudevents+json", "application/octet-stream"


class Message(NamedTuple):
    """One kind of record. `payload` is the name of a kind in PAYLOADS; `headers`: those that mean something, by name."""

    name: str
    summary: str
    payload: str
    content_type: str = _JSON
    headers: dict[str, Any] | None = None


_TRACED = {
    SOURCE_TS: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "when Kafka took the ticket event that caused the record, in milliseconds since 1970",
    }
}
_CE_HEADERS = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    **{f"ce_{name}": {"type": "string"} for name in ("id", "source", "type", "time", "subject")},
    "content-type": {"type": "string", "description": "application/json"},
}
_CE_REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type")

# What agents write is an array, its kind first (rules/messages.py).
_Complaints = tuple[RepeatedComplaint, ...]
PAYLOADS: dict[str, Any] = {
    "TicketEvent": TICKET_EVENT,
    "Alert": Alert,
    "DeliveryRecord": DeliveryRecord,
    "DecisionRecord": DecisionRecord,
    "RedeliveryRequest": RedeliveryRequest,
    "QuarantineRecord": QuarantineRecord,
    "QuarantineDecision": QuarantineDecision,
    "SealedRecord": SealedRecord,
    "ReferenceRecord": REFERENCE_RECORD,
    "ErasureRecord": ErasureRecord,
    "EventMessage": tuple[Literal["event"], Event],
    "MembersMessage": tuple[Literal["members"], str, str, int, tuple[Event, ...]],
    "RepeatMessage": tuple[Literal["repeat"], str, str, int, int, _Complaints, _Complaints],
    "TickMessage": tuple[Literal["tick"], int],
    "ReviewMessage": tuple[Literal["review"]],
    "ErasureMessage": tuple[Literal["erasure"], str, str, bool],
    "FarewellMessage": tuple[Literal["farewell"], str, str, str],
    "PartedMessage": tuple[Literal["parted"], str, str],
    "ClaimMessage": tuple[Literal["claim"], str, str, int, tuple[Complaint, ...]],
}
_WRITTEN_BY_HAND: dict[str, Any] = {
    "TicketCloudEvent": {
        "type": "object",
        "description": "A CloudEvent 1.0 in structured mode. Of the envelope nothing is kept.",
        "required": ["specversion", "id", "source", "type"],
        "anyOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1},
            "type": {"type": "string", "minLength": 1},
            "datacontenttype": {"type": "string"},
            "data": {"$ref": "#/components/schemas/TicketEvent"},
            "data_base64": {"type": "string", "description": "in place of data: the event's JSON, in Base64"},
        },
    },
    "TableRecord": {
        "type": "string",
        "format": "binary",
        "description": "State of the workers, in a form that changes with it. Nobody else reads it.",
    },
}

_TABLE = Message("TableRecord", "a key's value in a table of the workers; none: it was deleted", "TableRecord", _BYTES)
_INPUT_MESSAGES = (
    Message("TicketEvent", "a ticket event", "TicketEvent"),
    Message("TicketCloudEvent", "a ticket event as a structured CloudEvent", "TicketCloudEvent", _CLOUD_EVENT),
    Message("TicketBinaryCloudEvent", "a ticket event as a binary CloudEvent", "TicketEvent", headers=_CE_HEADERS),
)
_ERASURE = Message("ErasureMessage", "a citizen is to be forgotten", "ErasureMessage")
_EVENT_MESSAGES = (
    Message(
        "EventMessage", "a ticket event that passed intake: no identity, no free text", "EventMessage", headers=_TRACED
    ),
    Message("MembersMessage", "all events of a merged ticket, for its root", "MembersMessage", headers=_TRACED),
    Message("RepeatMessage", "what was found about a citizen's complaints", "RepeatMessage", headers=_TRACED),
    Message("TickMessage", "time has come to an instant, in microseconds", "TickMessage"),
    Message("FarewellMessage", "a merged ticket is asked whether it has more to say", "FarewellMessage"),
    Message("PartedMessage", "a merged ticket says nothing more", "PartedMessage", headers=_TRACED),
    Message("ReviewMessage", "the partition's tickets are to be judged again", "ReviewMessage"),
    _ERASURE,
)


class Channel(NamedTuple):
    """What a topic is for, what its key is, and what may lie on it."""

    about: str
    key: str
    messages: tuple[Message, ...] = ()


_REFERENCE = Channel(
    "Other departments' tables that intake joins to events: units, posts, citizens' flags, projects.",
    "a JSON array: table, key, and the row's first day where it has one",
    (Message("ReferenceRecord", "a row of a table; none: it was deleted", "ReferenceRecord"),),
)
_CLAIM_MESSAGES = (
    Message("ClaimMessage", "a lineage's complaints by one citizen", "ClaimMessage", headers=_TRACED),
    _ERASURE,
)
_ERASURES = Channel(
    "Who asked that a citizen be forgotten, why, and what came of it.",
    "the request",
    (Message("ErasureRecord", "one step of an erasure, with its proof", "ErasureRecord"),),
)


def channels_of(topics: TopicSet) -> dict[str, Channel]:
    """Return what is said of each topic, by its name."""
    return {
        topics.ticket_events: Channel(
            "Ticket events, from the hotline platform: plain, or as CloudEvents 1.0. At most 256 KiB each.",
            "the ticket's id keeps its events in order; any other key, or none, is taken too",
            _INPUT_MESSAGES,
        ),
        topics.tickets: Channel("What is said to the owner of a ticket.", "the ticket's id", _EVENT_MESSAGES),
        topics.citizens: Channel(
            "What is said to the owner of a citizen's complaints.",
            "the citizen's pseudonym",
            _CLAIM_MESSAGES,
        ),
        topics.alerts: Channel(
            "Warnings, every version; a case's lie in one partition, that of its id.",
            "the case's id",
            (Message("Alert", "a version of a warning", "Alert", headers=_TRACED),),
        ),
        topics.deliveries: Channel(
            "How each delivery to a subscriber stands.",
            "subscriber, alert and mark of the delivery",
            (Message("DeliveryRecord", "a delivery as it stands", "DeliveryRecord"),),
        ),
        topics.decisions: Channel(
            "What was decided about each warning for each subscriber.",
            "the case's id",
            (Message("DecisionRecord", "how a warning was routed, and why", "DecisionRecord"),),
        ),
        topics.redeliveries: Channel(
            "What is to be sent again or decided again, and drills.",
            "the case's id",
            (Message("RedeliveryRequest", "a request to the dispatch worker", "RedeliveryRequest"),),
        ),
        topics.quarantine: Channel(
            "Inputs that were refused: the reason and where each lies, never its text.",
            "topic-partition-offset of the input",
            (Message("QuarantineRecord", "a refused input", "QuarantineRecord", headers=_TRACED),),
        ),
        topics.quarantine_decisions: Channel(
            "What operators did about refused inputs.",
            "topic-partition-offset of the input",
            (Message("QuarantineDecision", "what was done about a refused input", "QuarantineDecision"),),
        ),
        topics.sealed: Channel(
            "Of complaints about somebody above this office's authority, an empty shell each.",
            "the ticket's id",
            (
                Message(
                    "SealedRecord",
                    "a shell: which ticket, when, and whom it is to be handed to",
                    "SealedRecord",
                    headers=_TRACED,
                ),
            ),
        ),
        topics.reference: _REFERENCE,
        topics.verdicts: Channel("Kept free for analysts' verdicts.", "the case's id"),
        topics.orders: Channel("Kept free for supervision orders.", "the case's id"),
        topics.erasures: _ERASURES,
        topics.tickets_changelog: Channel("The tickets table.", "the ticket's id", (_TABLE,)),
        topics.citizens_changelog: Channel("The citizens table.", "the citizen's pseudonym", (_TABLE,)),
        topics.dispatch_changelog: Channel("The dispatch workers' table.", "the case's id", (_TABLE,)),
    }


def document(topics: TopicSet | None = None) -> dict[str, Any]:
    """Return the document, for an installation with these topics; those of the default settings where none are given."""
    topics = topics or TopicSet()
    described = channels_of(topics)
    messages = {message.name: message for channel in described.values() for message in channel.messages}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "hotline-watch",
            "version": "1",
            "description": (
                "Ticket events of a government hotline in, warnings out. Names, partitions and replicas are those of the "
                "default settings. Operations are named after the role that does them: "
                + "; ".join(f"{role.value}: {title}" for role, title in ROLE_TITLES.items())
                + "."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": {spec.name: _channel(spec, described[spec.name]) for spec in topics.all()},
        "operations": dict(_operations(topics, described)),
        "components": {
            "messages": {name: _message(message) for name, message in sorted(messages.items())},
            "schemas": dict(sorted(_schemas().items())),
        },
    }


def _channel(spec: TopicSpec, channel: Channel) -> dict[str, Any]:
    configs: dict[str, Any] = {
        name: int(value) if value.lstrip("-").isdigit() else value for name, value in spec.configs().items()
    }
    kafka = {
        "topic": spec.name,
        "partitions": spec.partitions,
        "replicas": spec.replication,
        "topicConfiguration": configs | {"cleanup.policy": [spec.cleanup.value]},
        "bindingVersion": _BINDING,
    }
    return {
        "address": spec.name,
        "description": f"{channel.about} Key: {channel.key}.",
        "messages": {one.name: {"$ref": f"#/components/messages/{one.name}"} for one in channel.messages},
        "bindings": {"kafka": kafka},
    }


def _operations(topics: TopicSet, described: dict[str, Channel]) -> Iterator[tuple[str, dict[str, Any]]]:
    actions: tuple[tuple[Operation, str], ...] = ((Operation.READ, "receive"), (Operation.WRITE, "send"))
    for name, roles in uses(topics).items():
        for role, operations in roles.items():
            for operation, action in actions:
                if operation in operations:
                    yield (
                        f"{role.value}.{action}.{name}",
                        {
                            "action": action,
                            "channel": {"$ref": f"#/channels/{name}"},
                            "tags": [{"name": role.value}],
                            "messages": [
                                {"$ref": f"#/channels/{name}/messages/{one.name}"} for one in described[name].messages
                            ],
                        },
                    )


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": message.name,
        "summary": message.summary,
        "contentType": message.content_type,
        "payload": {"$ref": f"#/components/schemas/{message.payload}"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": _BINDING}},
    }
    if message.headers is not None:
        required = [name for name in _CE_REQUIRED if name in message.headers]
        told["headers"] = {"type": "object", "properties": message.headers} | (
            {"required": required} if required else {}
        )
    return told


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = _as_draft_07(component_schemas(PAYLOADS))
    return schemas | _WRITTEN_BY_HAND


def _as_draft_07(node: Any) -> Any:
    """Return a schema in the words of JSON Schema draft 07, on which AsyncAPI's own are built."""
    if isinstance(node, list):
        return [_as_draft_07(one) for one in node]
    if not isinstance(node, dict):
        return node
    schema = {name: _as_draft_07(value) for name, value in node.items()}
    if isinstance(schema.get("discriminator"), dict):
        schema["discriminator"] = schema["discriminator"]["propertyName"]
    if "prefixItems" in schema:
        schema |= {"items": schema.pop("prefixItems"), "additionalItems": False}
    if "$ref" in schema and len(schema) > 1:  # beside a reference nothing counts
        schema = {"allOf": [{"$ref": schema.pop("$ref")}], **schema}
    return schema


def asyncapi_text() -> str:
    """Return the document as it is written to the file."""
    return json.dumps(document(), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(asyncapi_text(), encoding="utf-8")
