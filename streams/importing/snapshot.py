"""A full table of tickets, exported again and again → events, by the difference with the last one.

Each ticket has one row. `{row: first}` is a ticket that was never seen, the "previous row" is the one of the last snapshot, and
`{row: vanished}` a ticket that is missing now. A row that is rejected leaves the ticket as it was last seen, so its change is
found again the next time.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from models.shown import plain
from models.times import parse_instant
from streams.importing.events import EventMaker
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.mapping import Mapping
from streams.importing.pending import Pending
from streams.importing.report import Difference, Report
from streams.importing.run import OnProgress, OnRejection, Reading, time_of
from streams.importing.sinks import Sink
from streams.importing.state import DoneFile, ImportState, Known
from streams.importing.templates import Cell, Template

VANISHED_SHARE_MAX = 0.1
_VANISHED_FREE = 10
_CLOCKS_APART = 5 * 60 * 1_000_000
"""µs by which the clock that stamps the files may be ahead of this machine's"""
_TWICE = "a ticket that the file has already, with other values: one row for each ticket, or a `key` of more columns"
_SAME_ID = "an event id that the file has already: the template of `event_id` must tell the tickets apart"


@dataclass(frozen=True)
class SnapshotOptions:
    """How a snapshot is taken.

    `backfill`: every event is history; None: those of the first snapshot are. `baseline`: remember the tickets, send nothing.
    `at`: when the snapshot was made (RFC 3339), by default when the file was last written. `accept_vanished`: believe that many
    tickets are missing. `sha256`: the file's content, recorded as done together with the new state. `keep`: false for a dry run.
    `now_ms`: a row that claims to be of two hours later is rejected, as intake would; None: not looked at. `clock_ms`: a snapshot of
    a later time is refused, for none could be taken after it until then; None: not looked at.
    """

    backfill: bool | None = None
    baseline: bool = False
    at: str | None = None
    accept_vanished: bool = False
    sha256: str | None = None
    keep: bool = True
    now_ms: int | None = None
    clock_ms: int | None = None


def run_snapshot(
    path: Path,
    mapping: Mapping,
    state: ImportState,
    sink: Callable[[bool], Sink],
    options: SnapshotOptions | None = None,
    *,
    on_rejection: OnRejection | None = None,
    on_progress: OnProgress | None = None,
    before_sending: Callable[[], None] | None = None,
) -> Report:
    """Send what changed since the last snapshot and return what was done.

    `sink` gives where the events go; it is asked with True for those of an earlier run that broke off, which are sent first. The
    state changes when every event has been acknowledged. Raises ImportFault and ConfigFileError; then the state is as it was,
    and the events, if they were known, are sent by the next run.
    """
    options = options or SnapshotOptions()
    check_usable(mapping)
    state.check_mapping(mapping.file.mapping, mapping.file.keys)
    try:
        resumed = _resume(state, sink) if options.keep else 0
        taking = _Taking(Reading(path, mapping, on_rejection, on_progress), state, options, path)
        try:
            report = taking.compare()
            taking.difference.resumed_events = resumed
            if before_sending is not None:
                before_sending()
            taking.seal()
            _send(taking.pending, sink(False))
            if options.keep:
                taking.pending.apply()
        finally:
            taking.close()
    except sqlite3.Error as error:
        raise ImportFault(f"the state {state.path} or its folder cannot be written ({error})") from None
    return report


def check_usable(mapping: Mapping) -> None:
    """Raise ConfigFileError where a mapping cannot be used for snapshots."""
    file = mapping.file
    if not file.keys:
        raise mapping.document.error((), "a snapshot needs a `key`: by it a ticket is found again in the next one")
    if file.order_by is not None:
        raise mapping.document.error(("order_by",), "a snapshot has one row for each key: there is nothing to order")
    if file.seq:
        raise mapping.document.error(("seq",), "a snapshot's events cannot be numbered: leave `seq` out")
    for index, event in enumerate(file.events):
        if event.event_id is not None and Template(event.event_id).names_place:
            place = ("events", index, "event_id")
            raise mapping.document.error(place, "a row stands elsewhere in the next snapshot: leave `event_id` out")


def _resume(state: ImportState, sink: Callable[[bool], Sink]) -> int:
    """Send what an earlier run left; return the number of events."""
    waiting = Pending.waiting(state)
    if waiting is None:
        return 0
    try:
        count = _send(waiting, sink(True))
        waiting.apply()
    finally:
        waiting.close()
    return count


def _send(pending: Pending, sink: Sink) -> int:
    count = 0
    try:
        for ticket_id, body in pending.events_by_time():
            sink.send(ticket_id, body)
            count += 1
        sink.close()
    except BaseException:
        sink.abort()
        raise
    return count


class _Taking:
    """One snapshot being compared."""

    def __init__(self, reading: Reading, state: ImportState, options: SnapshotOptions, path: Path) -> None:
        self._reading, self._state, self._options = reading, state, options
        self._at = options.at or time_of(path)
        self.difference = Difference(first=state.serial == 0)
        reading.report.snapshot = self.difference
        try:
            self._check_order(path)
            self.pending = Pending.begin(state, keep=options.keep)
        except BaseException:
            reading.close()
            raise
        mapping = reading.mapping
        extra = self._extra(mapping)
        reading.report.backfill = bool(extra.get("backfill", mapping.file.constants.get("backfill", False)))
        self._maker = EventMaker(
            mapping, reading.columns, extra, file_time=self._at, seal=state.seal, now_ms=options.now_ms
        )
        self._claims = any(event.event_id is not None for event in mapping.file.events)
        self._remembered = sorted(mapping.remembered)
        self._layouts = state.layouts
        if self._remembered not in self._layouts:
            self._layouts.append(self._remembered)
        self._layout = self._layouts.index(self._remembered)
        self._places = [(reading.columns.index(name), mapping.remembered[name]) for name in self._remembered]
        self._seen = bytearray((state.numbers_max() >> 3) + 1)
        self._unreadable = 0

    def compare(self) -> Report:
        """Read the file to its end and keep what is different."""
        reading, difference = self._reading, self.difference
        self._state.rewind()
        key_of = reading.key_of()
        done = 0
        for line, cells in reading.table.rows(reading.columns):
            reading.report.rows += 1
            done += 1
            try:
                if isinstance(cells, RowFault):
                    raise cells
                key = key_of(cells)
            except RowFault as fault:
                self._unreadable += 1
                reading.reject(line, fault)
                continue
            try:
                self._take(line, key, cells)
            except RowFault as fault:
                reading.reject(line, fault)
            if reading.on_progress is not None and done % 1_000 == 0:
                reading.on_progress("rows", done)
        self._state.halt()
        reading.report.rows_without_event += difference.unchanged
        reading.report.keys = difference.new + difference.changed + difference.unchanged + difference.came_back
        self._find_vanished()
        return reading.report

    def seal(self) -> None:
        """Put the difference in its place, to be sent."""
        report = self._reading.report
        meta: dict[str, object] = {
            "mapping": report.mapping,
            "at": self._at,
            "keys": orjson.dumps(self._reading.mapping.file.keys).decode(),
            "layouts": orjson.dumps(self._layouts).decode(),
            "sha256": self._options.sha256 or "",
        }
        if self._options.sha256 is not None:
            done = DoneFile(self._options.sha256, report.file, report.rows, report.events.total())
            meta["done"] = orjson.dumps(list(done)).decode()
        self.pending.seal(meta)

    def close(self) -> None:
        """Close the file; leave what is to be sent."""
        self._state.halt()
        self._reading.close()
        self.pending.close()

    def _take(self, line: int, key: str, cells: list[str]) -> None:
        digest = self._state.row_digest(self._layout, cells)
        known = self._state.known(key)
        difference = self.difference
        if known is None:
            before = self.pending.digest_of(key)
            if before is not None:
                return self._again(before, digest)
        elif self._was_seen(known[0]):
            return self._again(self.pending.digest_of(key) or known[1], digest)
        elif known[1] == digest and not known[3]:
            difference.unchanged += 1
            return None
        self._keep(line, key, cells, digest, known)
        if known is None:
            difference.new += 1
        elif known[3]:
            difference.came_back += 1
        else:
            difference.changed += 1
        return None

    def _again(self, before: bytes, digest: bytes) -> None:
        """Pass over a row that the file has had; one that says something else is rejected."""
        if before != digest:
            raise RowFault(RowReason.DUPLICATE_KEY, _TWICE)
        self._reading.report.repeated_rows += 1

    def _was_seen(self, number: int) -> bool:
        """Tell whether the file has had the ticket of this number, and remember that it has."""
        bit = 1 << (number & 7)
        seen = bool(self._seen[number >> 3] & bit)
        self._seen[number >> 3] |= bit
        return seen

    def _before(self, cells: bytes) -> dict[str, str]:
        layout, *found = orjson.loads(cells)
        return dict(zip(self._layouts[layout], found, strict=True))

    def _extra(self, mapping: Mapping) -> dict[str, Cell]:
        """Return what is set on every event: the command's word, else the mapping's, else the first snapshot is history."""
        stated = mapping.file.constants.get("backfill")
        wanted = self._options.backfill
        if wanted is None:
            wanted = self.difference.first if stated is None else bool(stated)
        return {"backfill": wanted} if wanted or stated else {}

    def _keep(self, line: int, key: str, cells: list[str], digest: bytes, known: Known | None) -> None:
        report = self._reading.report
        if not self._options.baseline:
            before = None if known is None else self._before(known[2])
            events = self._maker.of_difference(line, cells, before)
            if isinstance(events, RowFault):
                raise events
            if self._claims and events and not self.pending.claim_ids(events):
                raise RowFault(RowReason.DUPLICATE_EVENT_ID, _SAME_ID)
            self.pending.add_events(events)
            for event in events:
                report.events[event.type] += 1
            report.rows_without_event += not events
        seal = self._state.seal
        kept = [cells[place] if as_it_stands else seal(cells[place]) for place, as_it_stands in self._places]
        self.pending.add_row(key, None if known is None else known[0], digest, orjson.dumps([self._layout, *kept]))

    def _find_vanished(self) -> None:
        difference, options = self.difference, self._options
        if self._unreadable:
            difference.vanished_judged = False
        speak = any(event.of_vanished for event in self._reading.mapping.file.events) and not options.baseline
        missing = 0
        for key, cells in self._state.missing(self._seen):
            missing += 1
            difference.add_vanished(plain(key.replace("\x1f", " / ")))
            if self._unreadable:
                continue  # it may stand in a row that could not be read
            self.pending.add_gone(key)
            if not speak:
                continue
            events = self._maker.of_vanished(self._before(cells))
            if isinstance(events, RowFault):
                self._reading.reject(0, events)
                continue
            self.pending.add_events(events)
            for event in events:
                self._reading.report.events[event.type] += 1
        may_speak = speak and not self._unreadable
        before = self._state.count() if may_speak and missing > _VANISHED_FREE else 0
        if before and not options.accept_vanished and missing > VANISHED_SHARE_MAX * before:
            raise ImportFault(
                f"{missing} of {before} tickets are missing in {self._reading.report.file}, and the mapping makes events of them: "
                "is the export cut off? If it is whole, give --accept-vanished"
            )

    def _check_order(self, path: Path) -> None:
        last, clock = self._state.get("at"), self._options.clock_ms
        latest = None if clock is None else clock * 1_000 + _CLOCKS_APART
        taken = parse_instant(self._at)
        if latest is not None and taken > latest:
            raise ImportFault(
                f"{path} is of {self._at}, ahead of this machine's clock: give --at TIME, or mend the file's own time or the clock"
            )
        if not isinstance(last, str) or taken >= parse_instant(last):
            return
        if latest is not None and parse_instant(last) > latest:
            raise ImportFault(
                f"the last snapshot, of {last}, is ahead of this machine's clock, so {path} seems older: mend the clock, or begin a "
                "new state with --baseline"
            )
        raise ImportFault(
            f"{path} is of {self._at}, older than the last snapshot, of {last}: snapshots are taken in their order "
            "(--at TIME says when this one was made, where the file's own time is wrong)"
        )
