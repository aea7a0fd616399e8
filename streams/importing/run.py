"""An import from end to end: read and spool, make events, send, report."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from streams.importing.columns import emptiness, order_reader
from streams.importing.events import EventMaker, Produced
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.mapping import Mapping
from streams.importing.reading import CsvFile
from streams.importing.sinks import Sink
from streams.importing.spool import Spool
from streams.importing.templates import Cell

_SAME_ID = "an event id that the file has already: the template of `event_id` must tell the rows apart"

OnRejection = Callable[["Rejection"], None]
OnProgress = Callable[[str, int], None]
"""(what is being counted: "bytes" read or "rows" converted; how many so far)"""


class Rejection(NamedTuple):
    """A rejected row: the number of its first line, the reason, and a detail that shows no cell."""

    line: int
    reason: str
    detail: str


@dataclass
class Report:
    """What an import did, in counts."""

    mapping: str = ""
    rows: int = 0
    blank_lines: int = 0
    repeated_rows: int = 0
    rows_without_event: int = 0
    keys: int = 0
    events: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    columns_not_read: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON."""
        return {
            "mapping": self.mapping,
            "rows": self.rows,
            "blank_lines": self.blank_lines,
            "repeated_rows": self.repeated_rows,
            "rows_without_event": self.rows_without_event,
            "keys": self.keys,
            "events": self.events.total(),
            "events_by_type": dict(self.events),
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(self.rejected),
            "columns_not_read": self.columns_not_read,
        }


def run_import(
    path: Path,
    mapping: Mapping,
    sink: Sink,
    *,
    on_rejection: OnRejection | None = None,
    on_progress: OnProgress | None = None,
    constants: dict[str, Cell] | None = None,
) -> Report:
    """Send the file's events to the sink and return what was done.

    The file is read to its end before the first event is sent; then all events go in the order of time, as the source
    would have sent them when they occurred, those of one instant in the order of their rows. `constants` are set on
    every event. `on_rejection` is called for each rejected row, first for those that cannot be read, then for those that
    give no valid event. Raises ImportFault and ConfigFileError; the sink is then aborted.
    """
    run = _Run(mapping, on_rejection, on_progress)
    spool = Spool()
    try:
        columns = run.read(path, spool)
        run.convert(spool, EventMaker(mapping, columns, constants or {}))
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
    return run.report


class _Run:
    def __init__(self, mapping: Mapping, on_rejection: OnRejection | None, on_progress: OnProgress | None) -> None:
        self._mapping, self._on_rejection, self._on_progress = mapping, on_rejection, on_progress
        self.report = Report(mapping=mapping.file.mapping)

    def read(self, path: Path, spool: Spool) -> list[str]:
        """Spool the file's rows; return the columns kept of them."""
        progress = self._on_progress
        source = CsvFile(
            path, self._mapping.file.input, None if progress is None else lambda done: progress("bytes", done)
        )
        try:
            self.report.columns_not_read = self._mapping.check_header(source.header)
            kept = list(self._mapping.read_columns)
            place_of = _places(self._mapping, source.header)
            positions = [source.header.index(name) for name in kept]
            for line, cells in source.rows():
                self.report.rows += 1
                try:
                    if isinstance(cells, RowFault):
                        raise cells
                    key, order = place_of(line, cells)
                except RowFault as fault:
                    self._reject(line, fault)
                    continue
                spool.add(key, order, line, [cells[position] for position in positions])
            self.report.blank_lines = source.blank_lines
        finally:
            source.close()
        return kept

    def convert(self, spool: Spool, maker: EventMaker) -> None:
        """Turn the spooled rows into spooled events."""
        done = 0
        for rows in spool.groups():
            self.report.keys += 1
            for line, outcome in maker.of_key(rows):
                done += 1
                if isinstance(outcome, list) and outcome and not spool.claim_ids([one.event_id for one in outcome]):
                    outcome = RowFault(RowReason.DUPLICATE_EVENT_ID, _SAME_ID)
                self._settle(line, outcome, spool)
            if self._on_progress is not None:
                self._on_progress("rows", done)

    def _settle(self, line: int, outcome: list[Produced] | RowFault | None, spool: Spool) -> None:
        if outcome is None:
            self.report.repeated_rows += 1
        elif isinstance(outcome, RowFault):
            self._reject(line, outcome)
        elif not outcome:
            self.report.rows_without_event += 1
        else:
            for event in outcome:
                self.report.events[event.type] += 1
                spool.add_event(event.instant, event.ticket_id, event.body)

    def _reject(self, line: int, fault: RowFault) -> None:
        self.report.rejected[fault.reason.value] += 1
        if self._on_rejection is not None:
            self._on_rejection(Rejection(line, fault.reason.value, fault.detail))


def _places(mapping: Mapping, header: list[str]) -> Callable[[int, list[str]], tuple[str, int | str]]:
    """Return the function (line, cells) → (key, place in its order). It raises RowFault."""
    file = mapping.file
    if file.key is None:
        return lambda line, _: (str(line), line)
    key_at = header.index(file.key)
    empty = emptiness(file, file.key) | {""}
    order_at = None if file.order_by is None else header.index(file.order_by.column)
    read_order = None if file.order_by is None else order_reader(file)

    def place(line: int, cells: list[str]) -> tuple[str, int | str]:
        key = cells[key_at]
        if key in empty:
            raise RowFault(RowReason.MISSING_KEY, f"column {file.key!r}, the key, is empty")
        if order_at is None or read_order is None:
            return key, line
        return key, read_order(cells[order_at])

    return place
