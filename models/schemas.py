"""The JSON Schemas of the contracts, as `hotline-watch schema` prints them and docs/schemas keeps them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from models.alert import Alert
from models.quarantine import QuarantineRecord
from models.reference import REFERENCE_RECORD
from models.sealed import SealedRecord
from models.ticket_event import KnownEvent

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
TICKET_EVENT: Any = Annotated[KnownEvent, Field(discriminator="type")]


# The patterns of ids name Unicode's classes, which not every validator's regular expressions know.
_UNICODE_CONTROLS = r"\p{C}"
_PORTABLE_CONTROLS = "\\u0000-\\u001f\\u007f-\\u009f"


def _portable(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_portable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.replace(_UNICODE_CONTROLS, _PORTABLE_CONTROLS)
        if name == "pattern" and isinstance(value, str)
        else _portable(value)
        for name, value in schema.items()
    }


def _schema(kind: Any, name: str, title: str) -> dict[str, Any]:
    schema = _portable(TypeAdapter(kind).json_schema())
    return {"$schema": _DIALECT, "$id": f"urn:hotline-watch:{name}", **schema, "title": title}


def contract_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each contract by its name."""
    return {
        "ticket-event": _schema(TICKET_EVENT, "ticket-event", "Ticket event"),
        "alert": _schema(Alert, "alert", "Alert"),
        "quarantine": _schema(QuarantineRecord, "quarantine", "Quarantine record"),
        "sealed": _schema(SealedRecord, "sealed", "Sealed record"),
        "reference": _schema(REFERENCE_RECORD, "reference", "Reference record"),
    }


def component_schemas(kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of each kind by its name, and of everything they refer to, as the components of an OpenAPI or AsyncAPI
    document.
    """
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = [
        (name, "validation", TypeAdapter(kind)) for name, kind in kinds.items()
    ]
    schemas, shared = TypeAdapter.json_schemas(adapters, ref_template=_reference("{model}"))
    named = {name: schema for (name, _), schema in schemas.items() if schema.get("$ref") != _reference(name)}
    components: dict[str, Any] = _portable({**shared.get("$defs", {}), **named})
    return components


def _reference(name: str) -> str:
    return f"#/components/schemas/{name}"
