"""A mapping's templates and conditions, made into functions of a row once, so that a million rows cost little each."""

from collections.abc import Callable
from collections.abc import Mapping as Cells
from dataclasses import dataclass
from typing import Any

from streams.importing.columns import Reader, emptiness, integer, readers
from streams.importing.mapping import Condition, EventTemplate, Mapping
from streams.importing.templates import AGAIN, FILE_TIME, LINE, Cell, Template

_UNREAD: Any = object()


class Row:
    """A row as templates and conditions see it. `again` counts the key's earlier rows at the same place."""

    __slots__ = ("again", "cells", "first", "last", "line", "previous", "read")

    def __init__(
        self, line: int, cells: Cells[str, str], previous: "Row | None", again: int = 0, last: bool = True
    ) -> None:
        self.line, self.cells, self.previous, self.again, self.last = line, cells, previous, again, last
        self.first = previous is None
        self.read: dict[str, Cell | None] = {}


Test = Callable[[Row], bool]
Get = Callable[[Row], Any]
Part = tuple[tuple[str, ...], str, Get]
"""(the objects that the target lies in, its name there, what gives its value)"""


@dataclass(frozen=True, slots=True)
class CompiledEvent:
    """An event template: what gives each of its parts. `event_id` None: it is made of the content."""

    name: str
    type: str
    holds: Test
    """of all its conditions"""
    event_id: Get | None
    parts: list[Part]
    """its id, if it has one of its own, ticket, time and fields"""
    columns: dict[str, list[str]]
    """what each of these is made of, by its dotted name; an id of the content, of what the ticket's is"""


class Compiler:
    """Compiles a mapping's event templates. `columns`: what the rows' cells are.

    `file_time` is what `{file.time}` stands for; `seal` makes of a cell what is remembered of it where only its equality counts.
    The functions raise RowFault.
    """

    def __init__(self, mapping: Mapping, columns: list[str], file_time: str | None, seal: Callable[[str], str]) -> None:
        file = mapping.file
        self._file_time, self._seal = file_time, seal
        self._sealed = frozenset(name for name, as_it_stands in mapping.remembered.items() if not as_it_stands)
        self._readers: dict[str, Reader] = readers(file, columns)
        self._empty = {name: emptiness(file, name) for name in columns}
        self._ticket_id = self._text(file.ticket_id)
        self._ticket_columns = Template(file.ticket_id).columns

    def compile(self, template: EventTemplate) -> CompiledEvent:
        """Return the functions of one event template."""
        event_id = None if template.event_id is None else self._text(template.event_id)
        parts: list[Part] = [] if event_id is None else [((), "event_id", event_id)]
        parts += [((), "ticket_id", self._ticket_id), ((), "occurred_at", self._get(Template(template.occurred_at)))]
        for target, value in template.fields.items():
            *above, name = target.split(".")
            parts.append((tuple(above), name, self._value(value)))
        return CompiledEvent(
            template.name, template.type, self._all(template.when), event_id, parts, self._columns_of(template)
        )

    def _columns_of(self, template: EventTemplate) -> dict[str, list[str]]:
        found = {
            "event_id": Template(template.event_id).columns if template.event_id is not None else self._ticket_columns,
            "ticket_id": self._ticket_columns,
            "occurred_at": Template(template.occurred_at).columns,
        }
        for target, value in template.fields.items():
            texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
            found[target] = [name for text in texts for name in Template(text).columns]
        return found

    def _all(self, conditions: list[Condition]) -> Test:
        tests = [self._test(condition) for condition in conditions]
        if len(tests) == 1:
            return tests[0]

        def holds(row: Row) -> bool:
            for test in tests:  # noqa: SIM110 - a generator for each row and event costs a tenth of the import
                if not test(row):
                    return False
            return True

        return holds

    def _value(self, value: Any) -> Get:
        if isinstance(value, str):
            return self._get(Template(value))
        if isinstance(value, list):
            gets = [self._text(text) for text in value]
            return lambda row: [text for get in gets if (text := get(row)) is not None] or None
        return lambda _: value

    def _text(self, text: str) -> Get:
        get = self._get(Template(text))

        def written(row: Row) -> str | None:
            value = get(row)
            return None if value is None else str(value)

        return written

    def _get(self, template: Template) -> Get:
        """Return the function row → the template's value, None where one of its cells says nothing."""
        if not template.tokens:
            text = template.literals[0]
            return lambda _: text
        gets = [self._token(name, previous) for name, previous in template.tokens]
        if template.is_single:
            return gets[0]
        first, *literals = template.literals

        def joined(row: Row) -> str | None:
            pieces = [first]
            for get, literal in zip(gets, literals, strict=True):
                value = get(row)
                if value is None:
                    return None
                pieces += (str(value), literal)
            return "".join(pieces)

        return joined

    def _token(self, name: str, previous: bool) -> Get:
        if name == LINE:
            return lambda row: row.line
        if name == AGAIN:
            return lambda row: f".{row.again + 1}" if row.again else ""
        if name == FILE_TIME:
            return lambda _: self._file_time
        reader = self._readers[name]

        def get(row: Row) -> Cell | None:
            found: Cell | None = row.read.get(name, _UNREAD)
            if found is _UNREAD:
                cell = row.cells.get(name)
                found = row.read[name] = None if cell is None else reader(cell)
            return found

        return get if not previous else lambda row: None if row.previous is None else get(row.previous)

    def _test(self, condition: Condition) -> Test:
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
        if condition.increased is not None:
            return lambda row: _increased(row, name)
        if condition.not_among is not None:
            refused = frozenset(condition.not_among)
            return lambda row: row.cells[name] not in refused
        if condition.column is not None:
            wanted = frozenset(condition.among if condition.among is not None else [condition.equals])
            return lambda row: row.cells[name] in wanted
        differs = self._differs(name)
        if condition.changed is not None:
            return lambda row: row.previous is not None and differs(row, row.previous)
        if condition.unchanged is not None:
            return lambda row: row.previous is not None and not differs(row, row.previous)
        return lambda row: row.cells[name] not in empty and (row.previous is None or differs(row, row.previous))

    def _differs(self, name: str) -> Callable[[Row, Row], bool]:
        """Return the comparison with the previous row; a column that was not remembered of it is taken as unchanged."""
        seal = self._seal if name in self._sealed else str

        def differs(row: Row, previous: Row) -> bool:
            before = previous.cells.get(name)
            return before is not None and before != seal(row.cells[name])

        return differs


_ROW_TESTS: dict[str, Test] = {
    "first": lambda row: row.first,
    "not_first": lambda row: not row.first,
    "last": lambda row: row.last,
    "not_last": lambda row: not row.last,
    "vanished": lambda _: True,  # its events are asked for only where a row is missing
}


def _increased(row: Row, name: str) -> bool:
    if row.previous is None:
        return False
    before, now = integer(row.previous.cells.get(name, "")), integer(row.cells[name])
    return before is not None and now is not None and now > before
