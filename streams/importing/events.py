"""The rows of one key → validated ticket events. A row's events are all given, or the row is rejected and none is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from models.decode import MAX_EVENT_BYTES, Rejected, validate_event
from models.times import parse_instant
from streams.importing.columns import Reader, emptiness, integer, readers
from streams.importing.faults import RowFault, RowReason
from streams.importing.mapping import Condition, EventTemplate, Mapping
from streams.importing.spool import SpooledRow
from streams.importing.templates import AGAIN, LINE, Cell, Template

SEQ_STEP = 100
"""Events that one place in a key's order may give; `seq` = place x this + number."""


@dataclass(frozen=True, slots=True)
class Produced:
    """One event: where it goes, when it occurred (microseconds), and its JSON."""

    ticket_id: str
    type: str
    event_id: str
    instant: int
    body: bytes


class _Row:
    """A row as templates and conditions see it. `again` counts the key's earlier rows at the same place."""

    __slots__ = ("_read", "again", "cells", "first", "last", "line", "previous")

    def __init__(self, line: int, cells: dict[str, str], previous: "_Row | None", again: int, last: bool) -> None:
        self.line, self.cells, self.previous, self.again, self.last = line, cells, previous, again, last
        self.first = previous is None
        self._read: dict[str, Cell | None] = {}

    def value(self, name: str, reader: Reader) -> Cell | None:
        if name not in self._read:
            self._read[name] = reader(self.cells[name])
        return self._read[name]


_Test = Callable[[_Row], bool]


@dataclass(frozen=True, slots=True)
class _Compiled:
    template: EventTemplate
    event_id: Template
    occurred_at: Template
    when: list[_Test]
    fields: list[tuple[list[str], Any]]  # the target's path; a Template, a list of them, or a constant


class EventMaker:
    """Applies a mapping to the rows of a key. `columns`: what the rows' cells are, in order."""

    def __init__(self, mapping: Mapping, columns: list[str], extra: dict[str, Cell]) -> None:
        file = mapping.file
        self._columns = columns
        self._numbered = file.seq
        self._by_number = file.order_by is not None and file.order_by.kind == "number"
        self._constants = {**file.constants, **extra}
        self._ticket_id = Template(file.ticket_id)
        self._readers = readers(file, columns)
        self._empty = {name: emptiness(file, name) for name in columns}
        self._events = [self._compile(template) for template in file.events]

    def of_key(self, rows: list[SpooledRow]) -> Iterator[tuple[int, list[Produced] | RowFault | None]]:
        """Yield for each row (line, its events or why it is rejected); None for a row that repeats the one before.

        What is compared with "the previous row" is the last row that was not rejected, so a change is not lost with it.
        """
        previous: _Row | None = None
        place: int | str | None = None
        seen: list[str] | None = None
        again = used = 0
        for position, (line, order, cells) in enumerate(rows):
            if order == place and cells == seen:
                yield line, None
                continue
            again, used = (again + 1, used) if order == place else (0, 0)
            place, seen = order, cells
            row = _Row(line, dict(zip(self._columns, cells, strict=True)), previous, again, position == len(rows) - 1)
            try:
                bodies = self._bodies(row)
                if self._numbered:
                    at = order if self._by_number and isinstance(order, int) else position
                    _number(bodies, at, used)
                produced = [_validated(body) for body in bodies]
            except RowFault as fault:
                yield line, fault
                continue
            used += len(produced)
            previous = row
            row.previous = None  # a chain of all earlier rows is not needed
            yield line, produced

    def _compile(self, template: EventTemplate) -> _Compiled:
        fields: list[tuple[list[str], Any]] = []
        for target, value in template.fields.items():
            compiled: Any = value
            if isinstance(value, str):
                compiled = Template(value)
            elif isinstance(value, list):
                compiled = [Template(text) for text in value]
            fields.append((target.split("."), compiled))
        when = [self._test(condition) for condition in template.when]
        return _Compiled(template, Template(template.event_id), Template(template.occurred_at), when, fields)

    def _bodies(self, row: _Row) -> list[dict[str, Any]]:
        def lookup(name: str, previous: bool) -> Cell | None:
            if name == LINE:
                return row.line
            if name == AGAIN:
                return f".{row.again + 1}" if row.again else ""
            of = row.previous if previous else row
            return None if of is None else of.value(name, self._readers[name])

        bodies = []
        for one in self._events:
            if not all(test(row) for test in one.when):
                continue
            head = {
                "event_id": _text(one.event_id.render(lookup)),
                "ticket_id": _text(self._ticket_id.render(lookup)),
                "type": one.template.type,
                "occurred_at": one.occurred_at.render(lookup),
            }
            body: dict[str, Any] = {name: value for name, value in head.items() if value is not None} | self._constants
            for path, value in one.fields:
                _set(body, path, _render(value, lookup))
            bodies.append(body)
        return bodies

    def _test(self, condition: Condition) -> _Test:
        if condition.row is not None:
            return _ROW_TESTS[condition.row]
        if condition.any is not None:
            inner = [self._test(one) for one in condition.any]
            return lambda row: any(test(row) for test in inner)
        name = next(condition.columns())
        empty = self._empty[name]
        if condition.empty is not None:
            return lambda row: row.cells[name] in empty
        if condition.not_empty is not None:
            return lambda row: row.cells[name] not in empty
        if condition.changed is not None:
            return lambda row: row.previous is not None and row.previous.cells[name] != row.cells[name]
        if condition.increased is not None:
            return lambda row: _increased(row, name)
        if condition.not_among is not None:
            refused = frozenset(condition.not_among)
            return lambda row: row.cells[name] not in refused
        wanted = frozenset(condition.among if condition.among is not None else [condition.equals])
        return lambda row: row.cells[name] in wanted


_ROW_TESTS: dict[str, _Test] = {
    "first": lambda row: row.first,
    "not_first": lambda row: not row.first,
    "last": lambda row: row.last,
    "not_last": lambda row: not row.last,
}


def _increased(row: _Row, name: str) -> bool:
    if row.previous is None:
        return False
    before, now = integer(row.previous.cells[name]), integer(row.cells[name])
    return before is not None and now is not None and now > before


def _text(value: Cell | None) -> str | None:
    return None if value is None else str(value)


def _render(value: Any, lookup: Callable[[str, bool], Cell | None]) -> Any:
    if isinstance(value, Template):
        return value.render(lookup)
    if isinstance(value, list):
        found = [_text(template.render(lookup)) for template in value]
        return [text for text in found if text is not None] or None
    return value


def _set(body: dict[str, Any], path: list[str], value: Any) -> None:
    if value is None:
        return
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value


def _number(bodies: list[dict[str, Any]], place: int, used: int) -> None:
    if used + len(bodies) > SEQ_STEP:
        detail = f"more than {SEQ_STEP} events at one place in the order of the key"
        raise RowFault(RowReason.TOO_MANY_IN_ONE_PLACE, detail)
    for number, body in enumerate(bodies, used):
        body["seq"] = place * SEQ_STEP + number


def _validated(body: dict[str, Any]) -> Produced:
    try:
        event = validate_event(body)
    except Rejected as rejected:
        raise RowFault(rejected.reason, f"event {body['type']!r}: {rejected.detail}") from None
    encoded = orjson.dumps(body)
    if len(encoded) > MAX_EVENT_BYTES:
        raise RowFault(RowReason.TOO_LARGE, f"an event of {len(encoded)} bytes; at most {MAX_EVENT_BYTES} are taken")
    return Produced(event.ticket_id, event.type, event.event_id, parse_instant(event.occurred_at), encoded)
