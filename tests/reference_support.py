"""Reference data for tests: rows made short, and what intake makes of an event with them."""

from __future__ import annotations

from typing import Any

from models.reference import ReferenceRecord, ReferenceTable, make_record
from rules.event import Event
from rules.reference import Reference
from tests.builders import event_of

LOADED = "2025-01-01T00:00:00+08:00"


def row(table: str, key: str, since: str | None = None, until: str | None = None, **fields: Any) -> ReferenceRecord:
    """Return one row of a table."""
    return make_record(ReferenceTable(table), key, fields, (since, until), source="试验名录", loaded_at=LOADED)


def unit(
    key: str = "U-1", name: str = "甲街道办事处", since: str | None = None, until: str | None = None
) -> ReferenceRecord:
    """Return a row of the table of units."""
    return row("units", key, since, until, name=name, kind="subdistrict", level="township")


def frequent(key: str = "citizen-1", **fields: Any) -> ReferenceRecord:
    """Return the flag of a frequent caller."""
    return row("citizens", key, **({"frequent_caller": True} | fields))


def project(key: str = "PRJ-1", **fields: Any) -> ReferenceRecord:
    """Return a row of the table of projects."""
    return row("projects", key, **({"name": "试社区供水改造"} | fields))


def joined(reference: Reference, record: dict[str, Any]) -> Event:
    """Return what intake makes of a ticket event with the tables."""
    return reference.enrich(event_of(record))
