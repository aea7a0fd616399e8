"""An import from end to end: read and spool, make events, send, report."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from models.times import format_instant
from streams.importing.columns import emptiness, order_reader
from streams.importing.events import EventMaker, Produced
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.mapping import Mapping
from streams.importing.naming import file_name
from streams.importing.report import Rejection, Report
from streams.importing.sinks import Sink
from streams.importing.spool import Spool
from streams.importing.table import Table, open_table
from streams.importing.templates import Cell

_SAME_ID = "an event id that the file has already: the template of `event_id` must tell the rows apart"
_KEY_SEPARATOR = "\x1f"

OnRejection = Callable[[Rejection], None]
OnProgress = Callable[[str, int], None]
"""(what is being counted: "bytes" read or "rows" converted; how many so far)"""


def run_import(
    path: Path,
    mapping: Mapping,
    sink: Sink,
    *,
    on_rejection: OnRejection | None = None,
    on_progress: OnProgress | None = None,
    constants: dict[str, Cell] | None = None,
    file_time: str | None = None,
    before_sending: Callable[[], None] | None = None,
    now_ms: int | None = None,
) -> Report:
    """Send the file's events to the sink and return what was done.

    The file is read to its end before the first event is sent; then all events go in the order of time, as the source
    would have sent them when they occurred, those of one instant in the order of their rows. `constants` are set on
    every event; `file_time` is what `{file.time}` says, by default when the file was last written. `on_rejection` is called
    for each rejected row, first for those that cannot be read, then for those that give no valid event; `before_sending` once
    the whole file was read. A row that claims to be of two hours after `now_ms` is rejected, as intake would. Raises ImportFault
    and ConfigFileError; the sink is then aborted.
    """
    spool = Spool()
    try:
        reading = Reading(path, mapping, on_rejection, on_progress)
        try:
            columns = _read(reading, spool)
        finally:
            reading.close()
        extra = constants or {}
        reading.report.backfill = bool(extra.get("backfill", mapping.file.constants.get("backfill", False)))
        at = file_time or time_of(path)
        _convert(reading, spool, EventMaker(reading.mapping, columns, extra, file_time=at, now_ms=now_ms))
        if before_sending is not None:
            before_sending()
        for ticket_id, body in spool.events_by_time():
            sink.send(ticket_id, body)
        sink.close()
    except sqlite3.Error as error:
        sink.abort()
        raise ImportFault(f"no room to sort the rows in the temporary folder ({error}): set SQLITE_TMPDIR") from None
    except BaseException:
        sink.abort()
        raise
    finally:
        spool.close()
    return reading.report


def time_of(path: Path) -> str:
    """Return when a file was last written. Raises ImportFault."""
    try:
        return format_instant(path.stat().st_mtime_ns // 1_000_000_000 * 1_000_000)
    except OSError as error:
        raise ImportFault(f"{path} cannot be read: {error.strerror}") from None


class Reading:
    """A file being read by a mapping: its `table`, what it tells in the `report`, and how its rows are placed."""

    def __init__(
        self, path: Path, mapping: Mapping, on_rejection: OnRejection | None, on_progress: OnProgress | None
    ) -> None:
        self._on_rejection, self.on_progress = on_rejection, on_progress
        read = None if on_progress is None else lambda done: on_progress("bytes", done)
        self.table: Table = open_table(path, mapping.file.input, read)
        self.mapping = mapping.with_iso_times() if self.table.kind == "xlsx" else mapping
        self.report = Report(mapping=mapping.file.mapping, file=file_name(path), read_as=self.table.kind)
        header = self.table.header
        try:
            self.report.columns_not_read = mapping.check_header(header, delimiter=self.table.delimiter)
        except BaseException:
            self.close()
            raise
        self.columns = list(mapping.read_columns)
        self.report.columns_absent = [name for name in self.columns if name not in header]

    def close(self) -> None:
        """Close the file, and take over what it counted."""
        self.report.blank_lines, self.report.formulas = self.table.blank_lines, self.table.formulas
        self.table.close()

    def reject(self, line: int, fault: RowFault) -> None:
        """Count a rejected row and tell of it."""
        self.report.rejected[fault.reason.value] += 1
        if self._on_rejection is not None:
            sheet, line = self.table.place(line)
            self._on_rejection(Rejection(line, fault.reason.value, fault.detail, sheet))

    def key_of(self) -> Callable[[list[str]], str]:
        """Return the function cells → key. It raises RowFault where the key is empty."""
        file = self.mapping.file
        parts = [_part_of_key(self.columns.index(name), emptiness(file, name) | {""}, name) for name in file.keys]
        return parts[0] if len(parts) == 1 else lambda cells: _KEY_SEPARATOR.join([part(cells) for part in parts])


def _part_of_key(place: int, empty: frozenset[str], name: str) -> Callable[[list[str]], str]:
    def part(cells: list[str]) -> str:
        cell = cells[place]
        if cell in empty:
            raise RowFault(RowReason.MISSING_KEY, f"column {name!r}, the key, is empty")
        return cell

    return part


def _read(reading: Reading, spool: Spool) -> list[str]:
    """Spool the file's rows; return the columns kept of them."""
    file = reading.mapping.file
    key_of = reading.key_of() if file.keys else None
    order_at = None if file.order_by is None else reading.columns.index(file.order_by.column)
    read_order = None if file.order_by is None else order_reader(file)
    for line, cells in reading.table.rows(reading.columns):
        reading.report.rows += 1
        try:
            if isinstance(cells, RowFault):
                raise cells
            key = str(line) if key_of is None else key_of(cells)
            order = line if order_at is None or read_order is None else read_order(cells[order_at])
        except RowFault as fault:
            reading.reject(line, fault)
            continue
        spool.add(key, order, line, cells)
    return reading.columns


def _convert(reading: Reading, spool: Spool, maker: EventMaker) -> None:
    """Turn the spooled rows into spooled events."""
    done = 0
    for rows in spool.groups():
        reading.report.keys += 1
        for line, outcome in maker.of_key(rows):
            done += 1
            if isinstance(outcome, list) and outcome and not spool.claim_ids([one.event_id for one in outcome]):
                outcome = RowFault(RowReason.DUPLICATE_EVENT_ID, _SAME_ID)
            _settle(reading, line, outcome, spool)
        if reading.on_progress is not None:
            reading.on_progress("rows", done)


def _settle(reading: Reading, line: int, outcome: list[Produced] | RowFault | None, spool: Spool) -> None:
    report = reading.report
    if outcome is None:
        report.repeated_rows += 1
    elif isinstance(outcome, RowFault):
        reading.reject(line, outcome)
    elif not outcome:
        report.rows_without_event += 1
    else:
        for event in outcome:
            report.events[event.type] += 1
            spool.add_event(event.instant, event.ticket_id, event.body)
