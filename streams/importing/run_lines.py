"""An import of ticket events that are there already, as JSON Lines: read and checked, sent in the order of time, reported."""

import sqlite3
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from models.decode import MAX_EVENT_BYTES, Rejected, check_not_ahead, validate_event
from models.ticket_event import MODEL_BY_TYPE, TicketEvent
from models.times import parse_instant
from streams.importing.event_lines import EventLines, event_in
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.naming import column_shown, file_name
from streams.importing.report import Rejection, Report
from streams.importing.run import OnProgress, OnRejection
from streams.importing.sinks import Sink
from streams.importing.spool import Spool

UNKNOWN_TYPE = "(unknown type)"
_FIELDS_TOLD_MAX = 50
_SAME_ID = "an event id that the file has already, with other content: give every event an id of its own"


def run_lines(
    path: Path,
    sink: Sink,
    *,
    backfill: bool | None = None,
    now_ms: int | None = None,
    on_rejection: OnRejection | None = None,
    on_progress: OnProgress | None = None,
    before_sending: Callable[[], None] | None = None,
) -> Report:
    """Send a file's events to the sink and return what was done.

    As `run_import`, without a mapping: all is read and judged before the first event is sent, then they go in the order of time.
    `backfill`: every event is history, or none is; None: those are that don't say otherwise themselves. `now_ms`: what claims to
    occur two hours later is rejected, as intake would; None: not looked at. A line that says what an earlier one said is passed
    over. Raises ImportFault; the sink is then aborted.
    """
    spool = Spool()
    try:
        reading = _Reading(path, spool, backfill, now_ms, on_rejection)
        reading.read(None if on_progress is None else lambda done: on_progress("bytes", done))
        if before_sending is not None:
            before_sending()
        for ticket_id, body in spool.events_by_time():
            sink.send(ticket_id, body)
        sink.close()
    except sqlite3.Error as error:
        sink.abort()
        raise ImportFault(f"no room to sort the events in the temporary folder ({error}): set SQLITE_TMPDIR") from None
    except BaseException:
        sink.abort()
        raise
    finally:
        spool.close()
    return reading.report


class _Reading:
    """A file of events being read into the spool."""

    def __init__(
        self, path: Path, spool: Spool, backfill: bool | None, now_ms: int | None, on_rejection: OnRejection | None
    ) -> None:
        self._path, self._spool, self._backfill, self._now_ms = path, spool, backfill, now_ms
        self._on_rejection = on_rejection
        self._unknown_fields: dict[str, None] = {}
        self.report = Report(file=file_name(path), read_as=EventLines.kind)

    def read(self, on_progress: Callable[[int], None] | None) -> None:
        """Read and judge every line."""
        report = self.report
        file = EventLines(self._path, on_progress)
        try:
            for number, line in file.lines():
                report.rows += 1
                try:
                    if isinstance(line, RowFault):
                        raise line
                    self._take(line)
                except RowFault as fault:
                    self._reject(number, fault)
                except Rejected as rejected:
                    self._reject(number, RowFault(rejected.reason, rejected.detail))
        finally:
            report.blank_lines = file.blank_lines
            file.close()
        report.columns_not_read = list(self._unknown_fields)
        report.keys = self._spool.tickets()

    def _take(self, line: bytes) -> None:
        body = event_in(line)
        event = validate_event(body)
        if self._now_ms is not None:
            check_not_ahead(event, self._now_ms)
        digest = _digest(body)
        history = self._is_history(event)
        if history != bool(event.backfill):
            body["backfill"] = history
        encoded = orjson.dumps(body)
        if len(encoded) > MAX_EVENT_BYTES:
            raise RowFault(
                RowReason.TOO_LARGE, f"an event of {len(encoded)} bytes; at most {MAX_EVENT_BYTES} are taken"
            )
        before = self._spool.claim(event.event_id, digest)
        if before is None:
            self._spool.add_event(parse_instant(event.occurred_at), event.ticket_id, encoded)
            self._count(event, history)
        elif before == digest:
            self.report.repeated_rows += 1
        else:
            raise RowFault(RowReason.DUPLICATE_EVENT_ID, _SAME_ID)

    def _is_history(self, event: TicketEvent) -> bool:
        """Tell whether the event is sent as history: the command's word, else its own, else it is."""
        if self._backfill is not None:
            return self._backfill
        return event.backfill is not False

    def _count(self, event: TicketEvent, history: bool) -> None:
        report = self.report
        report.backfill = history and (report.backfill or not report.events)
        report.events[event.type if event.type in MODEL_BY_TYPE else UNKNOWN_TYPE] += 1
        for name in event.model_extra or ():
            if len(self._unknown_fields) < _FIELDS_TOLD_MAX and column_shown(name, 0) == name:
                self._unknown_fields.setdefault(name)

    def _reject(self, number: int, fault: RowFault) -> None:
        self.report.rejected[fault.reason.value] += 1
        if self._on_rejection is not None:
            self._on_rejection(Rejection(number, fault.reason.value, fault.detail))


def _digest(body: dict[str, Any]) -> bytes:
    """Return a digest of what an event says; whether it is history makes no other event of it."""
    content = {name: value for name, value in body.items() if name != "backfill"}
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
