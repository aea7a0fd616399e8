"""Tables taken night after night, into a log of events as Kafka would keep it."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.decode import decode_event
from streams.importing import ImportState, Mapping, Rejection, Report, SinkFault, SnapshotOptions, run_snapshot
from tests.import_support import mapping_of

MAPPING = """\
mapping: table
title: 工单表
columns:
  registered: {as: time}
  sent: {as: time}
  done: {as: time}
key: nr
ticket_id: "{nr}"
constants: {source: table}
events:
  - name: registered
    type: registered
    when: [{row: first}]
    occurred_at: "{registered}"
    fields: {title: "{title}", citizen.phone: "{phone}"}
  - name: dispatched
    type: dispatched
    when: [{new: sent}]
    occurred_at: "{sent}"
    fields: {unit_id: "{unit}"}
  - name: moved
    type: progress
    when: [{changed: unit}, {unchanged: sent}]
    occurred_at: "{file.time}"
    fields: {unit_id: "{unit}", unit_name: "{previous.unit}"}
  - name: returned
    type: return_approved
    when: [{increased: back}]
    occurred_at: "{file.time}"
    fields: {unit_id: "{previous.unit}"}
  - name: resolved
    type: resolved
    when: [{new: done}]
    occurred_at: "{done}"
    fields: {unit_id: "{unit}"}
"""
VANISHED = """\
  - name: gone
    type: voided
    when: [{row: vanished}, {not_empty: sent}]
    occurred_at: "{file.time}"
    fields: {unit_id: "{unit}", reason: "{nr}不在表中"}
"""
COLUMNS = ["nr", "title", "phone", "registered", "unit", "sent", "back", "done"]
PHONE = "199-0000-0001"


def mapping(vanished: bool = False) -> Mapping:
    """Return the mapping of these tests."""
    return mapping_of(MAPPING + (VANISHED if vanished else ""))


def ticket(nr: str, **cells: str) -> dict[str, str]:
    """Return a ticket's row: registered and sent to unit 甲, unless the cells say otherwise."""
    told = {
        "title": "路灯不亮",
        "phone": PHONE,
        "registered": "2025-06-01T08:00:00",
        "unit": "甲",
        "sent": "2025-06-01T09:00:00",
    }
    return dict.fromkeys(COLUMNS, "") | told | {"nr": nr, "back": "0"} | cells


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """Return a folder where nothing waits for a disk: these crashes are of the process, not of the machine."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None, prefix="hotline-watch-test-")


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Log:
    """What Kafka has: the events that were sent, some of them twice. `breaks_after`: the next send after so many fails."""

    bodies: list[bytes] = field(default_factory=list)
    breaks_after: int | None = None
    breaks_at_close: bool = False
    error: type[BaseException] = SinkFault

    def send(self, ticket_id: str, body: bytes) -> None:
        """Take an event."""
        if self.breaks_after is not None:
            if self.breaks_after == 0:
                raise self.error
            self.breaks_after -= 1
        self.bodies.append(body)

    def close(self) -> None:
        """Acknowledge what was sent."""
        if self.breaks_at_close:
            raise self.error

    def abort(self) -> None:
        """Keep what was sent."""

    def heal(self) -> None:
        """Work again."""
        self.breaks_after, self.breaks_at_close = None, False

    def events(self) -> list[dict[str, Any]]:
        """Return the events as they have effect: each id once. An id that came with two bodies is an error."""
        found: dict[str, dict[str, Any]] = {}
        for body in self.bodies:
            decode_event(body)
            event = json.loads(body)
            first = found.setdefault(event["event_id"], event)
            # Whether it is history is no part of what an event says (rules/intake.py).
            assert first | {"backfill": None} == event | {"backfill": None}
        return list(found.values())


@dataclass
class Nights:
    """A state and a log, to which one table after the other is given."""

    folder: Path
    mapping: Mapping = field(default_factory=mapping)
    log: Log = field(default_factory=Log)
    night: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    @property
    def state_path(self) -> Path:
        """Return where the state is."""
        return self.folder / "tickets.state"

    def table(self, rows: Iterable[dict[str, str]], text: str = "") -> Path:
        """Write a table; `text` is added as it is."""
        path = self.folder / f"night-{self.night}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            file.write(text)
        return path

    def take(self, rows: Iterable[dict[str, str]], *, text: str = "", **options: Any) -> Report:
        """Take one more night's table."""
        self.night += 1
        return self.take_file(self.table(rows, text), **options)

    def take_file(self, path: Path, **options: Any) -> Report:
        """Take a file, by default as of 02:00 in the night of this number."""
        told = {"at": f"2025-07-{self.night:02d}T02:00:00+08:00", **options}
        state = ImportState(self.state_path, create=options.get("keep", True))
        self.rejected = []
        try:
            return run_snapshot(
                path,
                self.mapping,
                state,
                lambda _: self.log,
                SnapshotOptions(**told),
                on_rejection=self.rejected.append,
            )
        finally:
            state.close()

    def since(self, known: int) -> list[tuple[str, str, str | None]]:
        """Return what came after so many events: (ticket, type, unit)."""
        return [(one["ticket_id"], one["type"], one.get("unit_id")) for one in self.log.events()[known:]]
