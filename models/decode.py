"""Bytes → ticket event, or a typed rejection.

What JSON parsers take and we do not: a byte order mark, NaN and infinities, numbers beyond 64 bits, lone surrogates, NUL, duplicate keys,
depth without bound. A rejection names the reason and the field, never a value: values are citizens' words.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import from_json

from models.quarantine import RejectionReason as Reason
from models.ticket_event import MODEL_BY_TYPE, TicketEvent, UnknownEvent
from models.times import ImpossibleTimeError, parse_instant

MAX_EVENT_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_AHEAD_MS = 2 * 60 * 60 * 1000
SUPPORTED_VERSIONS = (1, "1", "1.0")

_INT_LIMIT = 2**63


class Rejected(Exception):
    """An input that cannot be taken: `reason` from the closed set, `detail` for people, `field` where one is at fault."""

    def __init__(self, reason: Reason, detail: str, field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.field = field


def decode_event(value: bytes | None, headers: Mapping[str, bytes | None] | None = None) -> TicketEvent:
    """Return the ticket event in a Kafka record or a JSON line: plain, or as a CloudEvent. Raises Rejected.

    CloudEvents 1.0, as its Kafka binding has it: structured where `content-type` says so (or, where nothing is said, by its
    `specversion`), else binary where there is a header `ce_specversion`. Of the envelope nothing is kept.
    """
    if not headers:
        return validate_event(_event_in(decode_object(value)))
    is_structured = _is_structured(headers)
    body = decode_object(value)
    if is_structured:
        return validate_event(_cloud_event_data(body))
    if "ce_specversion" not in headers:
        return validate_event(_event_in(body))
    if headers["ce_specversion"] != b"1.0":
        raise Rejected(Reason.UNSUPPORTED_VERSION, "CloudEvents specversion is not 1.0", "ce_specversion")
    return validate_event(body)


def check_not_ahead(event: TicketEvent, record_timestamp_ms: int) -> None:
    """Raise Rejected where the event claims to occur more than two hours after Kafka took it."""
    if parse_instant(event.occurred_at) // 1000 > record_timestamp_ms + MAX_AHEAD_MS:
        raise Rejected(
            Reason.IN_THE_FUTURE,
            "more than 2 hours after the record's timestamp: check the sender's clock",
            "occurred_at",
        )


def decode_object(value: bytes | None) -> dict[str, Any]:
    """Return the JSON object in the bytes. Raises Rejected for everything RFC 8259 or common sense forbids."""
    plain = plain_object(value) if value is not None else None
    return plain if plain is not None else looked_at_closely(value)


def looked_at_closely(value: bytes | None) -> dict[str, Any]:
    """Return the same, step by step, so that what is wrong has a name. Raises Rejected."""
    if value is None or not value.strip():
        raise Rejected(Reason.EMPTY, "there is nothing in it")
    if len(value) > MAX_EVENT_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"{len(value)} bytes; at most {MAX_EVENT_BYTES} are taken")
    if value.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Rejected(Reason.BYTE_ORDER_MARK, "starts with a byte order mark: send UTF-8 without one")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(Reason.NOT_UTF8, f"not UTF-8 at byte {error.start}") from None
    return _parse(text)


def plain_object(value: bytes) -> dict[str, Any] | None:
    """Return the JSON object in the bytes where it surely has nothing that must be refused; else None, and it is looked at closely.

    Nine events in ten are that plain, and this takes a third of the time. Without a backslash every quotation mark begins or ends a
    string, so twice the strings in what was parsed is their number: a key that came twice would be missing.
    """
    if len(value) > MAX_EVENT_BYTES or b"\\" in value or value.count(b"{") + value.count(b"[") > MAX_DEPTH:
        return None
    try:
        parsed = from_json(value, allow_inf_nan=False)
    except ValueError:
        return None
    if type(parsed) is not dict or 2 * _strings_in(parsed) != value.count(b'"'):
        return None
    return parsed


def _strings_in(node: dict[str, Any] | list[Any]) -> int:
    """Return how many strings are in a parsed tree, keys too; a negative number where there is a number that is not plain."""
    found = 0
    if type(node) is dict:
        found, items = len(node), node.values()
    else:
        items = node  # type: ignore[assignment]
    for item in items:
        kind = type(item)
        if kind is str:
            found += 1
        elif kind is dict or kind is list:
            found += _strings_in(item)
        elif kind is float or (kind is int and not -_INT_LIMIT <= item < _INT_LIMIT):
            return -MAX_EVENT_BYTES
    return found


def _parse(text: str) -> dict[str, Any]:
    try:
        parsed = _DECODER.decode(text)
    except RecursionError:
        raise Rejected(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise Rejected(Reason.NOT_JSON, f"{error.msg} at character {error.pos}") from None
    except ValueError:
        raise Rejected(Reason.BAD_NUMBER, "an integer of thousands of digits") from None
    if not isinstance(parsed, dict):
        raise Rejected(Reason.NOT_AN_OBJECT, "the top level is no JSON object")
    # Raw control characters and raw surrogates cannot occur in valid UTF-8 JSON, so only an escape can bring them in.
    suspicious = "\\u" in text
    if suspicious or text.count("{") + text.count("[") > MAX_DEPTH:
        _check_tree(parsed, 1)
    return parsed


def _check_tree(node: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Rejected(Reason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(node, str):
        if "\0" in node:
            raise Rejected(Reason.BAD_TEXT, "a NUL character in a text")
        if not node.isascii() and any("\ud800" <= character <= "\udfff" for character in node):
            raise Rejected(Reason.BAD_TEXT, "half of a surrogate pair in a text")
    elif isinstance(node, dict):
        for key, value in node.items():
            _check_tree(key, depth + 1)
            _check_tree(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            _check_tree(value, depth + 1)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Rejected(Reason.DUPLICATE_KEY, "an object names the same key twice")
    return found


def _integer(text: str) -> int:
    number = int(text)
    if not -_INT_LIMIT <= number < _INT_LIMIT:
        raise Rejected(Reason.BAD_NUMBER, "an integer beyond 64 bits")
    return number


def _real(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Rejected(Reason.BAD_NUMBER, "a number too large to hold")
    return number


def _no_constant(_: str) -> NoReturn:
    raise Rejected(Reason.BAD_NUMBER, "NaN and infinities are no JSON numbers")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_real, parse_constant=_no_constant
)


_CLOUD_EVENTS = b"application/cloudevents"


def _is_structured(headers: Mapping[str, bytes | None]) -> bool:
    """Return whether the headers say that attributes and data are one JSON object. Raises Rejected for another format."""
    media_type = (headers.get("content-type") or b"").partition(b";")[0].strip().lower()
    if not media_type.startswith(_CLOUD_EVENTS):
        return False
    if media_type.startswith(_CLOUD_EVENTS + b"-batch"):
        raise Rejected(Reason.NOT_AN_OBJECT, "a batch of CloudEvents: send each as a record of its own", "content-type")
    if media_type != _CLOUD_EVENTS + b"+json":
        raise Rejected(Reason.NOT_JSON, "a CloudEvent in another format than JSON", "content-type")
    return True


def _event_in(body: dict[str, Any]) -> dict[str, Any]:
    # A CloudEvent's attributes have no underscore in their names: what has a ticket_id is an event with a field of that name.
    return _cloud_event_data(body) if "specversion" in body and "ticket_id" not in body else body


def _cloud_event_data(body: dict[str, Any]) -> dict[str, Any]:
    if "specversion" not in body:
        raise Rejected(Reason.MISSING_FIELD, "a CloudEvent without specversion", "specversion")
    if body["specversion"] != "1.0":
        raise Rejected(Reason.UNSUPPORTED_VERSION, "CloudEvents specversion is not 1.0", "specversion")
    data = body.get("data")
    if data is None and isinstance(packed := body.get("data_base64"), str):
        return decode_object(_unpacked(packed))
    if data is None:
        raise Rejected(Reason.MISSING_FIELD, "a CloudEvent without data", "data")
    if not isinstance(data, dict):
        raise Rejected(Reason.INVALID_FIELD, "the CloudEvent's data is no JSON object", "data")
    return data


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Rejected(Reason.INVALID_FIELD, "the CloudEvent's data_base64 is not Base64", "data_base64") from None


# What `model_validate` calls, without the way there.
_VALIDATORS = {name: model.__pydantic_validator__ for name, model in MODEL_BY_TYPE.items()}
_UNKNOWN = UnknownEvent.__pydantic_validator__


def validate_event(body: dict[str, Any]) -> TicketEvent:
    """Return the ticket event that a JSON object holds. Raises Rejected."""
    version = body.get("schema_version", 1)
    if isinstance(version, bool) or version not in SUPPORTED_VERSIONS:
        raise Rejected(Reason.UNSUPPORTED_VERSION, "schema_version is not 1", "schema_version")
    kind = body.get("type")
    validator = _VALIDATORS.get(kind, _UNKNOWN) if isinstance(kind, str) else _UNKNOWN
    try:
        return validator.validate_python(body)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise _rejection(error) from None


def _rejection(error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"][:4])[:128]
    cause = first.get("ctx", {}).get("error")
    if first["type"] == "missing":
        return Rejected(Reason.MISSING_FIELD, f"{field} is missing", field)
    if isinstance(cause, ImpossibleTimeError):
        return Rejected(Reason.IMPOSSIBLE_TIME, f"{field}: {cause}", field)
    # The message of a validator names the type or the bound that was expected; the input itself is left out.
    return Rejected(Reason.INVALID_FIELD, f"{field}: {first['msg']}", field)
