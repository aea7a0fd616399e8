"""What an import tells at its end: counts, rejected rows, columns."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

_VANISHED_SHOWN = 100


class Rejection(NamedTuple):
    """A rejected row: the number of its first line, the reason, a detail that shows no cell, and in a workbook its sheet."""

    line: int
    reason: str
    detail: str
    sheet: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON; the sheet only where there is one."""
        found = self._asdict()
        if not self.sheet:
            del found["sheet"]
        return found


@dataclass
class Difference:
    """What a snapshot did against the one before, in tickets. `first`: there was none before."""

    first: bool = False
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: int = 0
    came_back: int = 0
    vanished_keys: list[str] = field(default_factory=list)
    """the first of them"""
    vanished_judged: bool = True
    """false where rows could not be read, so that what is missing may stand in them"""
    resumed_events: int = 0
    """events of an earlier run that broke off, sent before the others"""

    def add_vanished(self, key: str) -> None:
        """Count one more ticket that is missing."""
        self.vanished += 1
        if len(self.vanished_keys) < _VANISHED_SHOWN:
            self.vanished_keys.append(key)


@dataclass
class Report:
    """What an import did, in counts."""

    mapping: str = ""
    file: str = ""
    read_as: str = ""
    backfill: bool = False
    rows: int = 0
    blank_lines: int = 0
    repeated_rows: int = 0
    rows_without_event: int = 0
    keys: int = 0
    formulas: int = 0
    events: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    columns_not_read: list[str] = field(default_factory=list)
    columns_absent: list[str] = field(default_factory=list)
    snapshot: Difference | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON."""
        told: dict[str, Any] = {
            "mapping": self.mapping,
            "file": self.file,
            "read_as": self.read_as,
            "backfill": self.backfill,
            "rows": self.rows,
            "blank_lines": self.blank_lines,
            "repeated_rows": self.repeated_rows,
            "rows_without_event": self.rows_without_event,
            "keys": self.keys,
            "formulas": self.formulas,
            "events": self.events.total(),
            "events_by_type": dict(self.events),
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(self.rejected),
            "columns_not_read": self.columns_not_read,
            "columns_absent": self.columns_absent,
        }
        if self.snapshot is not None:
            told["snapshot"] = asdict(self.snapshot)
        return told


@dataclass
class LoadReport:
    """What an import of reference data did, in rows of the topic: of a citizen there is one for each secret in use."""

    mapping: str = ""
    table: str = ""
    file: str = ""
    read_as: str = ""
    rows: int = 0
    blank_lines: int = 0
    repeated_rows: int = 0
    formulas: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: int = 0
    deleted: int = 0
    """of those that vanished"""
    version_before: str = ""
    version: str = ""
    rejected: Counter[str] = field(default_factory=Counter)
    columns_not_read: list[str] = field(default_factory=list)
    columns_absent: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON."""
        return asdict(self) | {"rejected": self.rejected.total(), "rejected_by_reason": dict(self.rejected)}
