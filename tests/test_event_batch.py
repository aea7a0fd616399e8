"""A batch of ticket events from bytes: whole as it was written, or refused with the indexes of what is at fault."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decode import MAX_AHEAD_MS, Rejected, decode_event
from models.event_batch import (
    EVENTS_MAX,
    BatchEvent,
    BatchProblem,
    Framing,
    RefusedBatch,
    read_batch,
)
from models.quarantine import RejectionReason as Reason
from models.times import parse_instant
from tests.builders import body, time_of
from tests.test_decode import REFUSED

NOW_MS = parse_instant(time_of(300)) // 1000
ONE_LINE = [name for name, (value, _) in REFUSED.items() if value and not value.endswith((b"\n", b" "))]
"""Blanks around an event are the batch's, and no part of it."""
BOTH = pytest.mark.parametrize("framing", list(Framing))


def event(number: int, **fields: Any) -> bytes:
    return orjson.dumps(body(f"T-{number % 3}", "urged", 0, event_id=f"e-{number}", **fields))


def framed(values: list[bytes], framing: Framing = Framing.OBJECT) -> bytes:
    if framing is Framing.LINES:
        return b"\n".join(values)
    return b'{"events": [' + b",".join(values) + b"]}"


def refusal(batch: bytes, framing: Framing = Framing.OBJECT) -> RefusedBatch:
    with pytest.raises(RefusedBatch) as caught:
        read_batch(batch, framing, NOW_MS)
    return caught.value


def faults(batch: bytes, framing: Framing = Framing.OBJECT) -> list[tuple[int, Reason]]:
    return [(one.index, one.reason) for one in refusal(batch, framing).refused]


@BOTH
def test_events_come_out_as_they_were_written_in_their_order(framing: Framing) -> None:
    values = [event(0), b' {"n": 1.50, ' + event(1)[1:], event(2, title='路灯不亮, {["]}')]
    found = read_batch(framed(values, framing), framing, NOW_MS)
    assert found == [BatchEvent(f"T-{number}", value.strip()) for number, value in enumerate(values)]


@pytest.mark.parametrize("batch", [b'\n { "events" :\t[ %b ,\r\n %b ] } \n', b'{"events":[%b,%b]}'])
def test_blanks_between_events_do_not_matter(batch: bytes) -> None:
    assert [one.value for one in read_batch(batch % (event(0), event(1)), Framing.OBJECT, NOW_MS)] == [
        event(0),
        event(1),
    ]


def test_lines_may_end_like_windows_has_them_and_with_or_without_a_last_one() -> None:
    for batch in (event(0) + b"\r\n" + event(1) + b"\r\n", event(0) + b"\n" + event(1)):
        assert [one.value for one in read_batch(batch, Framing.LINES, NOW_MS)] == [event(0), event(1)]


@BOTH
@pytest.mark.parametrize("name", ONE_LINE)
def test_what_is_refused_on_kafka_is_refused_here_with_its_index(framing: Framing, name: str) -> None:
    value, reason = REFUSED[name]
    assert value is not None
    found = faults(framed([event(0), value, event(2)], framing), framing)
    # In one JSON document what is no JSON may hide behind what follows, or in pieces; it is never taken.
    assert found[0][0] == 1
    if framing is Framing.LINES or found != [(1, Reason.NOT_JSON)]:
        assert found == [(1, reason)]


@BOTH
def test_every_event_at_fault_is_named(framing: Framing) -> None:
    values = [event(number) for number in range(10)]
    values[2] = event(2, seq="two")
    values[5] = b'{"event_id": "e-5"}'
    values[9] = b"[]"
    batch = refusal(framed(values, framing), framing)
    assert batch.problem is BatchProblem.EVENTS
    assert [(one.index, one.reason, one.field) for one in batch.refused] == [
        (2, Reason.INVALID_FIELD, "seq"),
        (5, Reason.MISSING_FIELD, "ticket_id"),
        (9, Reason.NOT_AN_OBJECT, None),
    ]


@pytest.mark.parametrize(
    "broken",
    [b'{"event_id": }', b'{"event_id": "e', b"}", b"{{}", b"nul", b'{"a": 1} {"b": 2}', b'"\x01"', b"", b"\xff"],
)
def test_bad_json_in_the_middle_is_named_and_so_is_what_is_at_fault_before_it(broken: bytes) -> None:
    values = [event(0), event(1, seq=True), event(2), broken, event(4), b"[]"]
    batch = refusal(framed(values))
    assert batch.problem is BatchProblem.BROKEN
    assert [one.index for one in batch.refused] == [1, 3]
    assert batch.refused[-1].reason is Reason.NOT_JSON
    lines = refusal(framed(values, Framing.LINES), Framing.LINES)
    assert [one.index for one in lines.refused] == [1, 3, 5]  # each line stands for itself


@pytest.mark.parametrize("length", range(0, 200, 7))
def test_a_body_that_was_cut_off_is_refused(length: int) -> None:
    batch = framed([event(0), event(1)])
    assert refusal(batch[: -length - 1]).problem in (BatchProblem.BROKEN, BatchProblem.FRAME)


@pytest.mark.parametrize(
    "batch",
    [b"", b"{}", b"null", b"[]", b'{"events": {}}', b'{"events": []}', b'{"events": null}', b'{"more": 1, "events": [%b]}',
     b'{"events": [%b], "more": 1}', b'{"events": [%b]} {}', b'{"events": [%b]}}', b'{"events": [%b]', b"[%b]", b"%b",
     b'\xef\xbb\xbf{"events": [%b]}', b'{"EVENTS": [%b]}', b"\xff", b"\0"],
)  # fmt: skip
def test_what_is_no_batch_is_told_so(batch: bytes) -> None:
    whole = batch.replace(b"%b", event(0))
    assert (refusal(whole).problem, refusal(whole).refused) == (BatchProblem.FRAME, ())


def test_a_batch_that_is_framed_in_the_other_way_is_told_how_to_send_it() -> None:
    pretty = json.dumps({"events": [json.loads(event(0))]}, indent=2).encode()
    for batch in (framed([event(0)]), pretty):
        assert "send it as application/json" in refusal(batch, Framing.LINES).detail
    assert "as application/x-ndjson" in refusal(framed([event(0), event(1)], Framing.LINES)).detail
    assert "as application/x-ndjson" in refusal(b"[%b]" % event(0)).detail


@pytest.mark.parametrize("batch", [b"", b"\n", b"  "])
def test_no_line_is_no_batch(batch: bytes) -> None:
    assert refusal(batch, Framing.LINES).problem is BatchProblem.FRAME


def test_a_blank_line_between_events_is_named_with_its_remedy() -> None:
    for blank in (b"\n\n", b"\n \t\r\n"):
        (one,) = refusal(event(0) + blank + event(1), Framing.LINES).refused
        assert (one.index, one.reason) == (1, Reason.EMPTY)
        assert "blank line" in one.detail
        assert "take it out" in one.detail


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n \n\t\n", b"\n" * 5_000])
def test_blank_lines_at_the_end_do_not_matter(end: bytes) -> None:
    assert [one.value for one in read_batch(event(0) + b"\n" + event(1) + end, Framing.LINES, NOW_MS)] == [
        event(0),
        event(1),
    ]


@BOTH
@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda text: text.encode("utf-8-sig"), "byte order mark: send UTF-8 without one"),
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: text.encode("utf-16-le"), "UTF-16"),
        (lambda text: text.encode("utf-16-be"), "UTF-16"),
        (lambda text: text.encode("utf-32"), "UTF-32"),
        (lambda text: gzip.compress(text.encode()), "compressed: send it as it is"),
    ],
)
def test_other_bytes_than_utf_8_are_named_with_their_remedy(
    framing: Framing, encode: Callable[[str], bytes], said: str
) -> None:
    batch = refusal(encode(framed([event(0), event(1)], framing).decode()), framing)
    assert batch.problem is BatchProblem.FRAME
    assert said in batch.detail


@BOTH
def test_a_batch_has_at_most_a_thousand_events(framing: Framing) -> None:
    values = [event(number) for number in range(EVENTS_MAX)]
    assert len(read_batch(framed(values, framing), framing, NOW_MS)) == EVENTS_MAX
    assert refusal(framed([*values, event(0)], framing), framing).problem is BatchProblem.TOO_MANY


def test_an_event_two_hours_ahead_of_our_clock_is_refused() -> None:
    at_ms = parse_instant(time_of(0)) // 1000
    assert read_batch(framed([event(0)]), Framing.OBJECT, at_ms - MAX_AHEAD_MS)
    with pytest.raises(RefusedBatch) as caught:
        read_batch(framed([event(0)]), Framing.OBJECT, at_ms - MAX_AHEAD_MS - 1)
    assert caught.value.refused[0].reason is Reason.IN_THE_FUTURE


@BOTH
def test_a_cloud_event_may_stand_for_its_event(framing: Framing) -> None:
    envelope = orjson.dumps(
        {"specversion": "1.0", "id": "x", "source": "/a", "type": "b", "data": orjson.loads(event(1))}
    )
    assert read_batch(framed([event(0), envelope], framing), framing, NOW_MS)[1] == BatchEvent("T-1", envelope)


def test_what_breaks_the_reader_is_named_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(value: bytes) -> None:
        raise KeyError("张某")

    monkeypatch.setattr("models.event_batch.decode_event", broken)
    (one,) = refusal(framed([event(0)])).refused
    assert (one.index, one.reason) == (0, Reason.POISON)
    assert "张某" not in one.detail


def _is_good(value: bytes) -> bool:
    try:
        decode_event(value)
    except Rejected:
        return False
    return True


VALUES = st.sampled_from(
    [event(1), event(2, content="甲" * 50), b"{}", b"[]", b"1", b"NaN", b"9" * 5000, b'{"a":' * 40 + b"1" + b"}" * 40]
)


@BOTH
@settings(max_examples=200, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=12))
def test_a_batch_is_taken_exactly_if_every_event_of_it_is(framing: Framing, values: list[bytes]) -> None:
    bad = [index for index, value in enumerate(values) if not _is_good(value)]
    batch = framed(values, framing)
    if bad:
        assert [index for index, _ in faults(batch, framing)] == bad
    else:
        assert [one.value for one in read_batch(batch, framing, NOW_MS)] == values


@BOTH
@settings(max_examples=300, deadline=None)
@given(
    noise=st.binary(max_size=30) | st.text(alphabet='{}[]",:\\u0d8tfn1e+- \n', max_size=30).map(str.encode),
    where=st.integers(0, 400),
)
def test_whatever_bytes_come_they_are_a_batch_or_a_refusal(framing: Framing, noise: bytes, where: int) -> None:
    batch = framed([event(0), event(1)], framing)
    spoilt = batch[:where] + noise + batch[where:]
    try:
        events = read_batch(spoilt, framing, NOW_MS)
    except RefusedBatch:
        return
    assert all(_is_good(one.value) for one in events)
    if framing is Framing.OBJECT:
        # Whoever reads the document with another parser finds the same events.
        assert [json.loads(one.value) for one in events] == json.loads(spoilt)["events"]
