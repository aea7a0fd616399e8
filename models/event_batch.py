"""Bytes → a batch of ticket events: all of them, or none and which are at fault.

Each event is cut out of the batch as it was written and judged as it would be on Kafka (decode.py). Of what is refused only
the index, the reason and the field are told, never a value.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from models.decode import Rejected, check_not_ahead, decode_event
from models.quarantine import RejectionReason as Reason

EVENTS_MAX = 1_000
BATCH_BYTES_MAX = 4 * 1024 * 1024


class Framing(StrEnum):
    """How events are put together to a batch; the value is the media type."""

    OBJECT = "application/json"
    """One object: {"events": [event, …]}."""
    LINES = "application/x-ndjson"
    """An event a line."""


class BatchEvent(NamedTuple):
    """An event of a batch, as it was written."""

    ticket_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """Which event of a batch is at fault, and why; `index` counts from 0."""

    index: int
    reason: Reason
    field: str | None
    detail: str


class BatchProblem(StrEnum):
    """Why a batch is refused: a closed set."""

    FRAME = "frame"
    """It is no batch, or holds no event."""
    BROKEN = "broken"
    """It is no JSON from the last refused event on: nothing after that was looked at."""
    TOO_MANY = "too_many"
    EVENTS = "events"
    """The events that are named are at fault."""


class RefusedBatch(Exception):
    """Nothing of the batch can be taken. `refused` names the events at fault, in their order."""

    def __init__(self, problem: BatchProblem, detail: str, refused: tuple[RefusedEvent, ...] = ()) -> None:
        super().__init__(detail)
        self.problem, self.detail, self.refused = problem, detail, refused


def read_batch(body: bytes, framing: Framing, now_ms: int) -> list[BatchEvent]:
    """Return the events of a batch. Raises RefusedBatch. `now_ms`: an event of two hours later is refused, as at intake."""
    events: list[BatchEvent] = []
    refused: list[RefusedEvent] = []
    problem = BatchProblem.EVENTS
    index = -1
    _refuse_other_bytes(body)
    try:
        for index, value in enumerate(_lines(body) if framing is Framing.LINES else _elements(body)):
            if index == EVENTS_MAX:
                raise RefusedBatch(
                    BatchProblem.TOO_MANY, f"there are more than {EVENTS_MAX} events: send them in parts"
                )
            judged = _judged(index, value, now_ms)
            if isinstance(judged, BatchEvent):
                events.append(judged)
            else:
                refused.append(judged)
    except Rejected as broken:
        problem = BatchProblem.BROKEN
        refused.append(RefusedEvent(index + 1, broken.reason, broken.field, broken.detail))
    if refused:
        raise RefusedBatch(problem, f"{len(refused)} events of the batch are at fault", tuple(refused))
    return events


def _judged(index: int, value: bytes, now_ms: int) -> BatchEvent | RefusedEvent:
    if not value:
        return RefusedEvent(index, Reason.EMPTY, None, "a blank line between events: take it out")
    try:
        event = decode_event(value)
        check_not_ahead(event, now_ms)
    except Rejected as rejected:
        return RefusedEvent(index, rejected.reason, rejected.field, rejected.detail)
    except Exception as broken:
        # The error's own message might quote the event; its type cannot.
        return RefusedEvent(index, Reason.POISON, None, f"reading it broke: {type(broken).__name__}")
    return BatchEvent(event.ticket_id, value)


def _lines(body: bytes) -> Iterator[bytes]:
    lines = body.rstrip(_BLANKS)
    if not lines:
        raise RefusedBatch(BatchProblem.FRAME, "there is no event in it: send one a line")
    if _OPENING.match(body[:_OPENING_BYTES].decode("latin-1")):
        raise RefusedBatch(BatchProblem.FRAME, "it is one object for all events: send it as application/json")
    yield from (line.strip(_BLANKS) for line in lines.split(b"\n"))


_BLANKS = b" \t\r\n"
_BLANK = r"[ \t\n\r]*"
_OPENING = re.compile(rf'{_BLANK}\{{{_BLANK}"events"{_BLANK}:{_BLANK}\[{_BLANK}')
_OPENING_BYTES = 256
"""Enough to recognise it by where it should not stand."""
_SEPARATOR = re.compile(rf"{_BLANK}([,\]]){_BLANK}")
_CLOSING = re.compile(rf"\}}{_BLANK}\Z")
# It only looks for the end of each event, so what a number says does not matter.
_SCANNER = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)


def _elements(body: bytes) -> Iterator[bytes]:
    """Yield the bytes of each element of the array. Raises RefusedBatch, and Rejected for the next element if it is no JSON."""
    # Bytes that are not UTF-8 are carried along, to be refused with the event that they stand in.
    text = body.decode("utf-8", "surrogateescape")
    opening = _OPENING.match(text)
    if opening is None:
        raise RefusedBatch(
            BatchProblem.FRAME,
            'send one JSON object that begins with {"events": [, or an event a line as application/x-ndjson',
        )
    start = opening.end()
    if text.startswith("]", start):
        raise RefusedBatch(BatchProblem.FRAME, "there is no event in it")
    while True:
        end = _end_of_element(text, start)
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            raise Rejected(Reason.NOT_JSON, "neither a comma nor the end of the array follows it")
        yield text[start:end].encode("utf-8", "surrogateescape")
        start = separator.end()
        if separator[1] == "]":
            break
    if not _CLOSING.match(text, start):
        raise RefusedBatch(BatchProblem.FRAME, "after the array of events there must be } and nothing else")


_FIRST_BYTES = (
    ((b"\xef\xbb\xbf",), "it starts with a byte order mark: send UTF-8 without one"),
    ((b"\xff\xfe", b"\xfe\xff", b"\0", b"{\0"), "it is UTF-16 or UTF-32: send UTF-8"),
    ((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"), "it is compressed: send it as it is"),
)


def _refuse_other_bytes(body: bytes) -> None:
    """Raise RefusedBatch where the first bytes say that it is no UTF-8 text."""
    for beginnings, said in _FIRST_BYTES:
        if body.startswith(beginnings):
            raise RefusedBatch(BatchProblem.FRAME, said)


def _end_of_element(text: str, start: int) -> int:
    try:
        return _SCANNER.raw_decode(text, start)[1]
    except RecursionError:
        raise Rejected(Reason.TOO_DEEP, "nested too deep") from None
    except json.JSONDecodeError as error:
        raise Rejected(Reason.NOT_JSON, f"{error.msg} at character {error.pos - start}") from None
