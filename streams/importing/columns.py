"""How a cell is read: what counts as empty, the value map, numbers, times."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from models.times import EARLIEST, LATEST, parse_instant
from streams.importing.faults import RowFault, RowReason
from streams.importing.mapping import Column, Input, MappingFile
from streams.importing.templates import Cell

Reader = Callable[[str], Cell | None]

# The widths that strptime takes.
_NUMBERS = {
    "%Y": r"([0-9]{4})",
    "%m": r"(1[0-2]|0[1-9]|[1-9])",
    "%d": r"(3[01]|[12][0-9]|0[1-9]|[1-9])",
    "%H": r"(2[0-3]|[01][0-9]|[0-9])",
    "%M": r"([0-5][0-9]|[0-9])",
    "%S": r"([0-5][0-9]|[0-9])",
}
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def readers(file: MappingFile, names: list[str]) -> dict[str, Reader]:
    """Return, for each column, the function cell → value (None if empty). The function raises RowFault."""
    return {name: _reader(name, file.columns.get(name), file.input) for name in names}


def emptiness(file: MappingFile, name: str) -> frozenset[str]:
    """Return the cells that say nothing in this column."""
    column = file.columns.get(name)
    return frozenset(file.input.empty if column is None or column.empty is None else column.empty)


def integer(text: str) -> int | None:
    """Return the text as a whole number of at most 18 digits, None if it is none."""
    return int(text) if _INTEGER.fullmatch(text) else None


def time_reader(formats: list[str], zone: str) -> Callable[[str], str | None]:
    """Return the function text → RFC 3339 time with offset, None if no format fits.

    A time without offset is of `zone`.
    """
    offset = _offset(zone)
    parsers = [_fast_parser(layout, offset) or _slow_parser(layout, offset) for layout in formats]

    @lru_cache(maxsize=16_384)  # help desks stamp many rows in the same minute
    def read(text: str) -> str | None:
        for parse in parsers:
            moment = parse(text)
            if moment is not None:
                return moment.isoformat() if _in_reach(moment) else None
        return None

    return read


def _offset(zone: str) -> timezone:
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6])))


def _in_reach(moment: datetime) -> bool:
    return EARLIEST.year < moment.year < LATEST.year - 1 or EARLIEST <= moment < LATEST


def _fast_parser(layout: str, zone: timezone) -> Callable[[str], datetime | None] | None:
    """Return a parser of a strptime format of plain numbers, several times as fast as strptime; None for any other format."""
    if layout == "iso":
        return None
    pattern, names, rest = "", [], layout
    while rest:
        if rest[0] == "%" and rest[:2] in _NUMBERS and rest[:2] not in names:
            names.append(rest[:2])
            pattern += _NUMBERS[rest[:2]]
            rest = rest[2:]
        elif rest[0] == "%":
            return None
        elif rest[0].isspace():
            pattern += r"\s+"
            rest = rest.lstrip()
        else:
            pattern += re.escape(rest[0])
            rest = rest[1:]
    if not {"%Y", "%m", "%d"} <= set(names):
        return None
    match = re.compile(pattern, re.IGNORECASE).fullmatch
    order = [names.index(name) for name in _NUMBERS if name in names]
    if [name for name in _NUMBERS if name in names] != list(_NUMBERS)[: len(names)]:
        return None  # seconds without minutes

    def parse(text: str) -> datetime | None:
        found = match(text)
        if found is None:
            return None
        numbers = found.groups()
        try:
            return datetime(*[int(numbers[place]) for place in order], tzinfo=zone)  # type: ignore[misc, arg-type]
        except ValueError:
            return None

    return parse


def _slow_parser(layout: str, zone: timezone) -> Callable[[str], datetime | None]:
    def parse(text: str) -> datetime | None:
        try:
            moment = datetime.fromisoformat(text) if layout == "iso" else datetime.strptime(text, layout)  # noqa: DTZ007
        except ValueError:
            return None
        return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment

    return parse


def _reader(name: str, column: Column | None, defaults: Input) -> Reader:
    column = column or Column()
    empty = frozenset(defaults.empty if column.empty is None else column.empty)
    convert = _converter(name, column, defaults)
    values, otherwise = column.values, column.otherwise
    if values is None:
        if column.kind == "text":
            return lambda text: None if text in empty else text
        return lambda text: None if text in empty else convert(text)

    def read(text: str) -> Cell | None:
        if text in empty:
            return None
        if text in values:
            return values[text]
        if otherwise == "drop":
            return None
        if otherwise == "reject":
            raise RowFault(
                RowReason.UNKNOWN_VALUE,
                f"column {name!r}: a value that the mapping does not list: add it to `values`, or set `otherwise`",
            )
        return convert(text)

    return read


def _converter(name: str, column: Column, defaults: Input) -> Callable[[str], Cell]:
    if column.kind == "number":

        def number(text: str) -> Cell:
            found = integer(text)
            if found is None:
                raise RowFault(RowReason.BAD_NUMBER, f"column {name!r}: not a whole number")
            return found

        return number
    if column.kind == "time":
        read_time = time_reader(column.times or defaults.times, column.zone or defaults.zone)

        def time(text: str) -> Cell:
            found = read_time(text)
            if found is None:
                raise RowFault(
                    RowReason.BAD_TIME,
                    f"column {name!r}: no time of 1990–2100 in a format of the mapping: add its format to `times`",
                )
            return found

        return time
    return str


def order_reader(file: MappingFile) -> Callable[[str], int | str]:
    """Return the function cell → sort key of `order_by`. The function raises RowFault."""
    order = file.order_by
    assert order is not None
    if order.kind == "text":
        return str
    column = file.columns.get(order.column) or Column()
    read_time = time_reader(column.times or file.input.times, column.zone or file.input.zone)

    def read(text: str) -> int | str:
        if order.kind == "number":
            found = integer(text)
        else:
            written = read_time(text)
            found = None if written is None else parse_instant(written)
        if found is None:
            raise RowFault(RowReason.BAD_ORDER, f"column {order.column!r}, which orders the rows: not a {order.kind}")
        return found

    return read
