"""An import of reference data: a table becomes the difference with what is on the topic, and only that is sent.

The file is read to its end and checked as a whole before anything is sent. Rows that cannot be taken are told and left out, and what is on
the topic under their keys stays. Rows that are gone from a full table are deleted, but none where some could not be read. An import that
breaks off is finished by running it again.

Memory does not grow with the table: both sides lie in a private temporary database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from models.reference import (
    POSTS_MAX,
    ROWS_MAX,
    ReferenceRecord,
    ReferenceTable,
    key_of,
    record_key,
    sum_of,
    table_version,
)
from rules.pseudonym import PseudonymKey
from rules.reference import words_of_post
from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.naming import file_name
from streams.importing.reference_mapping import RecordMaker, TableMapping, with_iso_times
from streams.importing.report import LoadReport, Rejection
from streams.importing.table import Table, open_table

if TYPE_CHECKING:
    from streams.reference_log import Change

_CACHE_KIB = 65_536
VANISHED_SHARE_MAX = 0.1
"""More than this share of a table gone at once is rather a file cut short."""
_FEW = 20

OnRejection = Callable[[Rejection], None]
OnProgress = Callable[[str, int], None]


class ReferenceSink(Protocol):
    """Takes the difference, row by row; a row without a body is deleted."""

    def put(self, key: str, body: bytes | None) -> None:
        """Take one row. Raises SinkFault."""

    def close(self) -> None:
        """Return when all is safe. Raises SinkFault."""

    def abort(self) -> None:
        """Give up."""


@dataclass(frozen=True)
class LoadOptions:
    """How a table is loaded. `snapshot`: the file is the full table, what is not in it is gone."""

    loaded_at: str
    snapshot: bool = False
    accept_vanished: bool = False
    rows_max: int = ROWS_MAX


def load_reference(
    path: Path,
    mapping: TableMapping,
    keys: Sequence[PseudonymKey],
    there: Iterable[Change | None],
    sink: ReferenceSink,
    options: LoadOptions,
    on_rejection: OnRejection,
    on_progress: OnProgress | None = None,
    before_sending: Callable[[], None] | None = None,
) -> LoadReport:
    """Send to the sink what makes the table as the file has it; `there` is what lies on the topic.

    `before_sending` is called once the whole file was read. Raises ImportFault and ConfigFileError; the sink is then aborted.
    """
    report = LoadReport(mapping=mapping.file.mapping, table=mapping.file.table.value, file=file_name(path))
    difference = _Difference(mapping.file.table)
    try:
        others = difference.take_there(there)
        table = open_table(path, mapping.file.input, on_progress and (lambda done: on_progress("bytes", done)))
        try:
            _read(table, mapping, keys, options, report, difference, on_rejection)
        finally:
            report.blank_lines, report.formulas = table.blank_lines, table.formulas
            table.close()
        _judge(difference, report, options, others)
        if before_sending is not None:
            before_sending()
        for key, body in difference.changed():
            sink.put(key, body)
        for key in difference.vanished() if report.deleted else ():
            sink.put(key, None)
        sink.close()
    except sqlite3.Error as error:
        sink.abort()
        raise ImportFault(f"no room for the table in the temporary folder ({error}): set SQLITE_TMPDIR") from None
    except BaseException:
        sink.abort()
        raise
    finally:
        difference.close()
    return report


def _read(
    table: Table,
    mapping: TableMapping,
    keys: Sequence[PseudonymKey],
    options: LoadOptions,
    report: LoadReport,
    difference: _Difference,
    on_rejection: OnRejection,
) -> None:
    def reject(line: int, fault: RowFault) -> None:
        report.rejected[fault.reason.value] += 1
        sheet, line = table.place(line)
        on_rejection(Rejection(line, fault.reason.value, fault.detail, sheet))

    report.read_as = table.kind
    report.columns_not_read = mapping.check_header(table.header, str(report.file), delimiter=table.delimiter)
    if table.kind == "xlsx":  # whose dates are given as ISO times whatever they look like
        mapping = with_iso_times(mapping)
    columns = list(mapping.read_columns)
    report.columns_absent = [name for name in columns if name not in table.header]
    maker = RecordMaker(mapping, columns, keys, options.loaded_at)
    for line, cells in table.rows(columns):
        report.rows += 1
        try:
            if isinstance(cells, RowFault):
                raise cells
            records = maker.of_row(cells)
            taken = [difference.add(record, line) for record in records]
            report.repeated_rows += not all(taken)
        except RowFault as fault:
            reject(line, fault)
    for line, other in difference.drop_conflicts():
        told = f"the key stands at line {table.place(other)[1]} too, with other values or a validity that overlaps: neither is taken"
        reject(line, RowFault(RowReason.DUPLICATE_KEY, told))


def _judge(difference: _Difference, report: LoadReport, options: LoadOptions, others: int) -> None:
    """Fill in the report, and raise ImportFault where the difference cannot be meant."""
    report.new, report.changed, report.unchanged, report.vanished = difference.counts()
    before, after, gone = difference.sums()
    report.version_before = table_version(report.table, before)
    if options.snapshot and report.vanished and not report.rejected:
        known = report.changed + report.unchanged + report.vanished
        if report.vanished > max(_FEW, VANISHED_SHARE_MAX * known) and not options.accept_vanished:
            raise ImportFault(
                f"{report.vanished} of {known} rows of {report.table} are not in the file, more than a tenth: "
                "is it whole? --accept-vanished deletes them"
            )
        report.deleted = report.vanished
    report.version = table_version(report.table, after if report.deleted else (after + gone) % 2**64)
    left = report.new + report.changed + report.unchanged + report.vanished - report.deleted
    if difference.table is ReferenceTable.POSTS:
        _check_posts(difference, left)
    if left + others > options.rows_max:
        raise ImportFault(
            f"{left + others} rows of reference data in all; at most {options.rows_max} fit into a worker's memory: "
            "load those alone that tickets can meet"
        )


def _check_posts(difference: _Difference, left: int) -> None:
    if left > POSTS_MAX:
        raise ImportFault(f"{left} posts; at most {POSTS_MAX}, for each text is searched for all of them")
    routes: dict[str, str] = {}
    for title, record in difference.posts():
        for word in words_of_post(title, (record["route"], record.get("holder"))):
            if routes.setdefault(word, record["route"]) != record["route"]:
                raise ImportFault("a title or holder's name stands twice among the posts, with different routes")


class _Difference:
    """Both sides of one table: what the file says, and what is there."""

    def __init__(self, table: ReferenceTable) -> None:
        self.table = table
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "CREATE TABLE said (id TEXT PRIMARY KEY, key TEXT, since TEXT, until TEXT, version TEXT, line INTEGER, body BLOB)"
            " WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE there (id TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID")
        self._db.execute("CREATE TABLE others (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._db.execute("CREATE TABLE conflicts (line INTEGER, other INTEGER)")
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def take_there(self, changes: Iterable[Change | None]) -> int:
        """Take what is on the topic; return how many rows other tables have."""
        for change in changes:
            if change is None:
                continue
            key = record_key(change.table, change.key, change.valid_from)
            if change.table is not self.table:
                here = "INSERT OR IGNORE INTO others VALUES (?)" if change.record else "DELETE FROM others WHERE id = ?"
                self._db.execute(here, (key,))
            elif change.record is not None:
                self._db.execute("INSERT OR REPLACE INTO there VALUES (?, ?)", (key, change.record.version))
            elif change.refused:  # nobody can read it: to be replaced, or deleted, by all means
                self._db.execute("INSERT OR REPLACE INTO there VALUES (?, '')", (key,))
            else:
                self._db.execute("DELETE FROM there WHERE id = ?", (key,))
        (others,) = self._db.execute("SELECT count(*) FROM others").fetchone()
        return int(others)

    def add(self, record: ReferenceRecord, line: int) -> bool:
        """Take a row; return False where the very same row was taken before."""
        key = key_of(record)
        body = record.model_dump_json(exclude_none=True).encode()
        row = (key, record.key, record.valid_from or "", record.valid_to or "9", record.version, line, body)
        if self._db.execute("INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
            return True
        version, other = self._db.execute("SELECT version, line FROM said WHERE id = ?", (key,)).fetchone()
        if version != record.version:
            self._db.execute("INSERT INTO conflicts VALUES (?, ?)", (line, other))
        return bool(version != record.version)

    def drop_conflicts(self) -> list[tuple[int, int]]:
        """Forget the rows whose key stands twice; return the line of each later one, with the line of the earlier."""
        self._db.execute("CREATE INDEX by_key ON said (key)")
        overlapping = self._db.execute(
            "SELECT max(a.line, b.line), min(a.line, b.line) FROM said a JOIN said b ON a.key = b.key AND a.id < b.id"
            " WHERE a.since < b.until AND b.since < a.until"
        ).fetchall()
        self._db.executemany("INSERT INTO conflicts VALUES (?, ?)", overlapping)
        found = self._db.execute("SELECT DISTINCT line, other FROM conflicts ORDER BY line, other").fetchall()
        self._db.execute(
            "DELETE FROM said WHERE line IN (SELECT line FROM conflicts UNION SELECT other FROM conflicts)"
        )
        later: dict[int, int] = {}
        for line, other in found:
            later.setdefault(line, other)
        return list(later.items())

    def counts(self) -> tuple[int, int, int, int]:
        """Return how many rows are new, changed, unchanged, vanished."""
        new, changed, same = self._db.execute(
            "SELECT count(*) FILTER (WHERE t.version IS NULL), count(*) FILTER (WHERE t.version <> s.version),"
            " count(*) FILTER (WHERE t.version = s.version) FROM said s LEFT JOIN there t USING (id)"
        ).fetchone()
        (vanished,) = self._db.execute("SELECT count(*) FROM there WHERE id NOT IN (SELECT id FROM said)").fetchone()
        return new, changed, same, vanished

    def sums(self) -> tuple[int, int, int]:
        """Return the sums of the versions: what is there, what the file says, and what vanished."""
        selects = (
            "SELECT version FROM there WHERE version <> ''",
            "SELECT version FROM said",
            "SELECT version FROM there WHERE version <> '' AND id NOT IN (SELECT id FROM said)",
        )
        totals = []
        for select in selects:
            total = 0
            for (version,) in self._db.execute(select):
                total = sum_of(total, version)
            totals.append(total)
        return totals[0], totals[1], totals[2]

    def changed(self) -> Iterator[tuple[str, bytes]]:
        """Yield the rows that are not there as the file says them."""
        yield from self._db.execute(
            "SELECT s.id, s.body FROM said s LEFT JOIN there t USING (id) WHERE t.version IS NULL OR t.version <> s.version"
        )

    def vanished(self) -> Iterator[str]:
        """Yield the keys of the rows that the file has no more."""
        for (key,) in self._db.execute("SELECT id FROM there WHERE id NOT IN (SELECT id FROM said)"):
            yield key

    def posts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield title and fields of what the file says of posts."""
        for key, body in self._db.execute("SELECT key, body FROM said"):
            yield key, orjson.loads(body)["fields"]
