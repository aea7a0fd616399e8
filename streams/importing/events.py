"""The rows of one key → validated ticket events. A row's events are all given, or the row is rejected and none is."""

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Cells
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from models.decode import MAX_EVENT_BYTES, Rejected, check_not_ahead, validate_event
from models.times import parse_instant
from streams.importing.compiling import CompiledEvent, Compiler, Row
from streams.importing.faults import RowFault, RowReason
from streams.importing.mapping import Mapping
from streams.importing.spool import SpooledRow
from streams.importing.templates import Cell

SEQ_STEP = 100
"""Events that one place in a key's order may give; `seq` = place x this + number."""


_NOT_CONTENT = frozenset({"event_id", "backfill", "test", "seq"})
# Events of one instant are folded in the order of their ids: these digits put them in the order of a ticket's life.
_PHASES = {
    "registered": 0,
    "dispatched": 1,
    "designated": 1,
    "resolved": 6,
    "visited": 7,
    "redo_ordered": 8,
    "archived": 9,
}
_PHASES |= {"return_requested": 3, "return_approved": 4, "return_denied": 4}
_PHASE_OTHERWISE = 2


@dataclass(frozen=True, slots=True)
class Produced:
    """One event: where it goes, when it occurred (microseconds), and its JSON."""

    ticket_id: str
    type: str
    event_id: str
    instant: int
    body: bytes


class EventMaker:
    """Applies a mapping to the rows of a key. `columns`: what the rows' cells are, in order.

    `extra` is set on every event; `file_time` is what `{file.time}` stands for; `seal` makes of a cell what is remembered
    of it where only its equality counts. An event of two hours after `now_ms` is refused, as at intake; None: not looked at.
    """

    def __init__(
        self,
        mapping: Mapping,
        columns: list[str],
        extra: dict[str, Cell],
        *,
        file_time: str | None = None,
        seal: Callable[[str], str] = str,
        now_ms: int | None = None,
    ) -> None:
        file = mapping.file
        self._now_ms = now_ms
        self._columns = columns
        self._numbered = file.seq
        self._by_number = file.order_by is not None and file.order_by.kind == "number"
        self._constants = {**file.constants, **extra}
        self._nothing_remembered = dict.fromkeys(mapping.remembered, "")
        compiler = Compiler(mapping, columns, file_time, seal)
        self._events = [compiler.compile(template) for template in file.events if not template.of_vanished]
        self._of_vanished = [compiler.compile(template) for template in file.events if template.of_vanished]

    def of_difference(self, line: int, cells: list[str], known: Cells[str, str] | None) -> list[Produced] | RowFault:
        """Return the events of a row beside what is remembered of it, or why it is rejected; None: it was never seen."""
        previous = None if known is None else Row(0, known, None)
        return self._produced(self._events, Row(line, dict(zip(self._columns, cells, strict=True)), previous))

    def of_vanished(self, known: Cells[str, str]) -> list[Produced] | RowFault:
        """Return the events of a row that is missing, made of what is remembered of it."""
        row = Row(0, {**self._nothing_remembered, **known}, None)
        row.previous = row
        return self._produced(self._of_vanished, row)

    def _produced(self, events: list[CompiledEvent], row: Row) -> list[Produced] | RowFault:
        try:
            return [_validated(one, body, self._now_ms) for one, body in self._bodies(events, row)]
        except RowFault as fault:
            return fault

    def of_key(self, rows: list[SpooledRow]) -> Iterator[tuple[int, list[Produced] | RowFault | None]]:
        """Yield for each row (line, its events or why it is rejected); None for a row that repeats the one before.

        What is compared with "the previous row" is the last row that was not rejected, so a change is not lost with it.
        """
        previous: Row | None = None
        place: int | str | None = None
        seen: list[str] | None = None
        again = used = 0
        for position, (line, order, cells) in enumerate(rows):
            if order == place and cells == seen:
                yield line, None
                continue
            again, used = (again + 1, used) if order == place else (0, 0)
            place, seen = order, cells
            row = Row(line, dict(zip(self._columns, cells, strict=True)), previous, again, position == len(rows) - 1)
            try:
                bodies = self._bodies(self._events, row)
                if self._numbered:
                    at = order if self._by_number and isinstance(order, int) else position
                    _number([body for _, body in bodies], at, used)
                produced = [_validated(one, body, self._now_ms) for one, body in bodies]
            except RowFault as fault:
                yield line, fault
                continue
            used += len(produced)
            previous = row
            row.previous = None  # a chain of all earlier rows is not needed
            yield line, produced

    def _bodies(self, events: list[CompiledEvent], row: Row) -> list[tuple[CompiledEvent, dict[str, Any]]]:
        bodies = []
        for one in events:
            if not one.holds(row):
                continue
            body: dict[str, Any] = {"type": one.type, **self._constants}
            for above, name, get in one.parts:
                value = get(row)
                if value is not None:
                    (_within(body, above) if above else body)[name] = value
            if one.event_id is None:
                body = {"event_id": content_id(one.name, body), **body}
            bodies.append((one, body))
        return bodies


def content_id(name: str, body: dict[str, Any]) -> str:
    """Return the id of an event of which all that counts is its content: source, ticket, the mapping's name for it, time, fields.

    Whether it is history, a test, or numbered makes no other event of it.
    """
    content = {key: value for key, value in body.items() if key not in _NOT_CONTENT}
    digest = blake2b(orjson.dumps([name, content], option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
    phase = _PHASES.get(body["type"], _PHASE_OTHERWISE)
    return f"{body.get('ticket_id', '')[:60]}-{phase}-{name[:30]}-{digest}"


def _within(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        body = body.setdefault(name, {})
    return body


def _number(bodies: list[dict[str, Any]], place: int, used: int) -> None:
    if used + len(bodies) > SEQ_STEP:
        detail = f"more than {SEQ_STEP} events at one place in the order of the key"
        raise RowFault(RowReason.TOO_MANY_IN_ONE_PLACE, detail)
    for number, body in enumerate(bodies, used):
        body["seq"] = place * SEQ_STEP + number


def _validated(one: CompiledEvent, body: dict[str, Any], now_ms: int | None) -> Produced:
    try:
        event = validate_event(body)
        if now_ms is not None:
            check_not_ahead(event, now_ms)
    except Rejected as rejected:
        columns = ", ".join(map(repr, one.columns.get(rejected.field or "", ())))
        made_of = f", made of the column {columns}" if columns else ""
        raise RowFault(rejected.reason, f"event {body['type']!r}: {rejected.detail}{made_of}") from None
    encoded = orjson.dumps(body)
    if len(encoded) > MAX_EVENT_BYTES:
        raise RowFault(RowReason.TOO_LARGE, f"an event of {len(encoded)} bytes; at most {MAX_EVENT_BYTES} are taken")
    return Produced(event.ticket_id, event.type, event.event_id, parse_instant(event.occurred_at), encoded)
