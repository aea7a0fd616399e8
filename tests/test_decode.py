"""Bytes to ticket event: everything that is refused, with its reason, and what is taken."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decode import (
    MAX_AHEAD_MS,
    MAX_EVENT_BYTES,
    Rejected,
    check_not_ahead,
    decode_event,
    looked_at_closely,
    plain_object,
)
from models.quarantine import RejectionReason as Reason
from models.ticket_event import MODEL_BY_TYPE, EventType, Registered, UnknownEvent
from models.times import parse_instant
from tests.builders import body

GOOD = body("T-1", "registered", 0, title="路灯不亮")
TEXT = orjson.dumps(GOOD).decode()


def _with(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields).encode()


def _raw(field: str, value: str) -> bytes:
    """An event with a field whose JSON text is written by hand."""
    return f'{TEXT[:-1]},"{field}":{value}}}'.encode()


REFUSED: dict[str, tuple[bytes | None, Reason]] = {
    "a tombstone": (None, Reason.EMPTY),
    "empty": (b"", Reason.EMPTY),
    "only blanks": (b" \n", Reason.EMPTY),
    "null": (b"null", Reason.NOT_AN_OBJECT),
    "an array": (b"[]", Reason.NOT_AN_OBJECT),
    "a text": (b'"registered"', Reason.NOT_AN_OBJECT),
    "truncated": (TEXT.encode()[:-5], Reason.NOT_JSON),
    "trailing text": (TEXT.encode() + b" and more", Reason.NOT_JSON),
    "two objects": (TEXT.encode() * 2, Reason.NOT_JSON),
    "0xFF": (b"\xff", Reason.NOT_UTF8),
    "0xFF inside": (TEXT.encode().replace(b"T-1", b"T-\xff"), Reason.NOT_UTF8),
    "a raw surrogate": (TEXT.encode().replace(b"T-1", b"T-\xed\xa0\x80"), Reason.NOT_UTF8),
    "UTF-16": (TEXT.encode("utf-16"), Reason.BYTE_ORDER_MARK),
    "UTF-16 without a mark": (json.dumps({"type": "x"}).encode("utf-16-le"), Reason.NOT_JSON),
    "a byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), Reason.BYTE_ORDER_MARK),
    "a lone surrogate": (_raw("title2", '"\\ud800"'), Reason.BAD_TEXT),
    "a lone surrogate in a key": (_raw("\\udfff", "1"), Reason.BAD_TEXT),
    "a NUL in an id": (_with(event_id="e\0"), Reason.BAD_TEXT),
    "a NUL in a text": (_with(title="a\0b"), Reason.BAD_TEXT),
    "a raw control character": (TEXT.encode().replace("路".encode(), b"\x01"), Reason.NOT_JSON),
    "a control character in an id": (_with(ticket_id="T\u202e1"), Reason.INVALID_FIELD),
    "NaN": (_raw("seq", "NaN"), Reason.BAD_NUMBER),
    "Infinity": (_raw("other", "-Infinity"), Reason.BAD_NUMBER),
    "1e999": (_raw("other", "1e999"), Reason.BAD_NUMBER),
    "an integer of 5,000 digits": (_raw("seq", "9" * 5_000), Reason.BAD_NUMBER),
    "an integer beyond 64 bits": (_raw("seq", str(2**63)), Reason.BAD_NUMBER),
    "depth 100,000": (_raw("deep", "[" * 100_000 + "]" * 100_000), Reason.TOO_DEEP),
    "depth 100,000, unclosed": (b"[" * 100_000, Reason.TOO_DEEP),
    "depth 40": (_raw("deep", '{"a":' * 40 + "1" + "}" * 40), Reason.TOO_DEEP),
    "2 MB": (_with(content="字" * 700_000), Reason.TOO_LARGE),
    "one byte too large": (TEXT.encode() + b" " * (MAX_EVENT_BYTES + 1 - len(TEXT.encode())), Reason.TOO_LARGE),
    "a key twice": (_raw("event_id", '"e-2"'), Reason.DUPLICATE_KEY),
    "a key twice, escaped": (_raw("\\u0065vent_id", '"e-2"'), Reason.DUPLICATE_KEY),
    "a key twice, inside": (_raw("place", '{"district":"a","district":"b"}'), Reason.DUPLICATE_KEY),
    "schema version 2": (_with(schema_version=2), Reason.UNSUPPORTED_VERSION),
    "schema version of a wrong type": (_with(schema_version=True), Reason.UNSUPPORTED_VERSION),
    "a boolean for an integer": (_with(seq=True), Reason.INVALID_FIELD),
    "a real for an integer": (_with(seq=1.5), Reason.INVALID_FIELD),
    "a text for an integer": (_with(seq="1"), Reason.INVALID_FIELD),
    "an integer for a boolean": (_with(backfill=1), Reason.INVALID_FIELD),
    "a number for a text": (_with(title=1), Reason.INVALID_FIELD),
    "an object for a list": (_with(category={"1": "a"}), Reason.INVALID_FIELD),
    "five category levels": (_with(category=["a"] * 5), Reason.INVALID_FIELD),
    "a word out of no list": (_with(request_type="投诉"), Reason.INVALID_FIELD),
    "a number for a type": (_with(type=7), Reason.INVALID_FIELD),
    "29 February 2025": (_with(occurred_at="2025-02-29T09:00:00+08:00"), Reason.IMPOSSIBLE_TIME),
    "25 o'clock": (_with(occurred_at="2025-02-28T25:00:00+08:00"), Reason.IMPOSSIBLE_TIME),
    "the year 1899": (_with(occurred_at="1899-01-01T00:00:00Z"), Reason.IMPOSSIBLE_TIME),
    "a time in seconds": (_with(occurred_at="1741000000"), Reason.IMPOSSIBLE_TIME),
    "a number for a time": (_with(occurred_at=1741000000), Reason.INVALID_FIELD),
    "an id of 129 characters": (_with(event_id="e" * 129), Reason.INVALID_FIELD),
    "an empty id": (_with(ticket_id=""), Reason.INVALID_FIELD),
    "a blank id": (_with(ticket_id="  "), Reason.INVALID_FIELD),
    "no event id": (json.dumps({**GOOD, "event_id": None}).encode(), Reason.INVALID_FIELD),
    "nothing but braces": (b"{}", Reason.MISSING_FIELD),
    "a merge into nothing": (_with(type="merged"), Reason.MISSING_FIELD),
    "an impossible due time": (_with(type="dispatched", due_at="tomorrow"), Reason.IMPOSSIBLE_TIME),
    "a limit of no days": (_with(type="dispatched", limit={"value": 0, "unit": "days"}), Reason.INVALID_FIELD),
    "a CloudEvent without data": (b'{"specversion":"1.0"}', Reason.MISSING_FIELD),
    "a CloudEvent of another version": (b'{"specversion":"0.3","data":{}}', Reason.UNSUPPORTED_VERSION),
    "a CloudEvent around a text": (b'{"specversion":"1.0","data":"x"}', Reason.INVALID_FIELD),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_its_reason(name: str) -> None:
    value, reason = REFUSED[name]
    with pytest.raises(Rejected) as caught:
        decode_event(value)
    assert caught.value.reason is reason
    assert len(caught.value.detail) < 300


def test_two_hours_ahead_of_its_record_is_refused() -> None:
    event = decode_event(TEXT.encode())
    at_ms = parse_instant(event.occurred_at) // 1000
    check_not_ahead(event, at_ms - MAX_AHEAD_MS)
    with pytest.raises(Rejected) as caught:
        check_not_ahead(event, at_ms - MAX_AHEAD_MS - 1)
    assert caught.value.reason is Reason.IN_THE_FUTURE
    check_not_ahead(event, at_ms + 10**12)  # however late


@pytest.mark.parametrize("kind", list(EventType))
def test_every_known_type_is_taken_with_the_least_it_needs(kind: EventType) -> None:
    needed: dict[str, dict[str, Any]] = {"merged": {"into": "T-2"}, "linked": {"to": "T-2"}, "amended": {"fields": {}}}
    event = decode_event(orjson.dumps(body("T-1", kind, 0, **needed.get(kind, {}))))
    assert type(event) is MODEL_BY_TYPE[kind]


def test_an_unknown_type_is_kept() -> None:
    event = decode_event(_with(type="brainstormed", unit_id="U-1"))
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.unit_id) == ("brainstormed", "U-1")


def test_an_unknown_field_is_kept() -> None:
    event = decode_event(_with(hotness=3, place={"district": "试区", "grid": "7"}))
    assert isinstance(event, Registered)
    assert event.model_extra == {"hotness": 3}
    assert event.place is not None
    assert event.place.model_extra == {"grid": "7"}


def test_optional_fields_may_be_null() -> None:
    assert decode_event(_with(seq=None, category=None, citizen=None)).event_id == "e-1"


@pytest.mark.parametrize("version", [1, "1", "1.0"])
def test_the_schema_version_may_be_said(version: object) -> None:
    assert decode_event(_with(schema_version=version)).event_id == "e-1"


def test_a_structured_cloud_event_is_taken() -> None:
    envelope = {"specversion": "1.0", "id": "x", "source": "/hotline", "type": "cn.hotline.ticket", "data": GOOD}
    assert decode_event(orjson.dumps(envelope)) == decode_event(orjson.dumps(GOOD))


def test_a_binary_cloud_event_is_taken() -> None:
    headers = {"ce_specversion": b"1.0", "ce_id": b"x", "content-type": b"application/json"}
    assert decode_event(orjson.dumps(GOOD), headers) == decode_event(orjson.dumps(GOOD))
    with pytest.raises(Rejected) as caught:
        decode_event(orjson.dumps(GOOD), {"ce_specversion": b"0.3"})
    assert caught.value.reason is Reason.UNSUPPORTED_VERSION


def test_deep_but_not_too_deep_is_taken() -> None:
    assert decode_event(_raw("deep", '{"a":' * 20 + "1" + "}" * 20)).event_id == "e-1"
    assert decode_event(_with(many=[[1]] * 100)).event_id == "e-1"


def test_braces_in_a_text_are_no_depth() -> None:
    assert decode_event(_with(title="{[" * 500)).event_id == "e-1"


def test_an_escaped_character_outside_the_plane_is_whole() -> None:
    assert decode_event(
        b'{"event_id":"e","ticket_id":"t","type":"x","occurred_at":"2025-01-01T00:00:00","n":"\\ud83d\\ude00"}'
    )


def _rejection(value: bytes) -> Rejected | None:
    try:
        decode_event(value)
    except Rejected as rejected:
        return rejected
    return None


SECRET = "19900001234"
FIELDS = (
    "event_id",
    "ticket_id",
    "type",
    "occurred_at",
    "seq",
    "citizen",
    "title",
    "category",
    "place",
    "limit",
    "due_at",
)
VALUES = st.recursive(
    st.sampled_from((SECRET, f"电话{SECRET}", int(SECRET), float(SECRET), True, None, "e" * 130 + SECRET)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("phone", "value", "unit", "a")), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), VALUES),
    st.sampled_from(("registered", "dispatched")),
    st.binary(max_size=2),
)
def test_no_rejection_tells_a_value_of_the_input(fields: dict[str, Any], kind: str, noise: bytes) -> None:
    value = json.dumps({**body("T-1", kind, 0), **fields}).encode() + noise
    rejected = _rejection(value)
    assert SECRET not in f"{rejected} {rejected and rejected.detail} {rejected and rejected.field}"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d8tfn1e+- ', max_size=40).map(str.encode))
def test_any_bytes_give_an_event_or_a_typed_rejection(value: bytes) -> None:
    rejected = _rejection(value)
    assert rejected is None or rejected.reason in Reason


NUMBERS = ("0", "-0", "7", "1.5", "1e400", "NaN", str(2**63 - 1), str(2**63), str(-(2**63)), str(-(2**63) - 1), "01")
LEAVES = st.sampled_from((*NUMBERS, "true", "null", '"a"', '"路灯"', '"a\\"b"', '"\\u0000"', '"\\ud800"', "''", "\x01"))
KEYS_WRITTEN = st.sampled_from(('"a"', '"b"', '"a" ', '"路"', '"\\u0061"', '""'))


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"


WRITTEN = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(KEYS_WRITTEN, inner), max_size=4).map(_object)
    ),
    max_leaves=12,
)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(KEYS_WRITTEN, WRITTEN), max_size=5).map(_object).map(str.encode),
    st.sampled_from((b"", b" ", b"\xff", b"}", b"\x00", b"\xef\xbb\xbf")),
    st.booleans(),
)
def test_what_is_taken_without_a_close_look_would_be_taken_with_one(value: bytes, noise: bytes, before: bool) -> None:
    value = noise + value if before else value + noise
    plain = plain_object(value)
    if plain is not None:
        assert looked_at_closely(value) == plain


def test_ordinary_events_are_taken_without_a_close_look() -> None:
    assert plain_object(TEXT.encode()) == GOOD


def test_nesting_that_is_too_deep_is_looked_at_closely() -> None:
    assert plain_object(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}") is None
