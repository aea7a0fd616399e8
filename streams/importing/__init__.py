"""Import of other systems' tables (CSV, XLSX) as ticket events, by a mapping in YAML (docs/import.md), and of ticket events.

    mapping.py    the mapping file's model
    loading.py    finding, reading and checking a mapping
    templates.py  `{column}` texts
    columns.py    how a cell is read: empty, value map, number, time
    header.py     the columns' names: several rows joined, and what a mapping misses
    table.py      opening a file by what it is
    reading.py    CSV → rows, or a fault with its line; encoding.py tells its encoding
    xlsx.py       XLSX → rows; _package.py the checked container, _workbook.py, _strings.py, _sheet.py its parts
    spool.py      rows sorted by key and order on disk, so that memory stays small
    events.py     the rows of one key → validated ticket events
    sinks.py      where events go: a JSON Lines file, a sample for the dry run
    kafka_sink.py a Kafka topic; imported only where it is wanted
    report.py     what is told at the end; rejections.py the rejected rows
    run.py        an import of a file whose rows say what happened
    run_lines.py  an import of ticket events as they are; event_lines.py JSON Lines → events, or a fault with their line
    snapshot.py   an import of a full table: what changed since the last one
    state.py      what was last seen, and the files that are done; pending.py the events on their way
    watching.py   files dropped in a folder, each once

Errors: `ImportFault` stops an import (a file, a broker); `RowFault` rejects one row and the rest goes on; a mapping
that cannot be taken is a `ConfigFileError` with file:line.
"""

from streams.importing.faults import ImportFault, RowFault, RowReason, SinkFault
from streams.importing.loading import included_mappings, load_mapping
from streams.importing.mapping import Mapping
from streams.importing.rejections import Rejections
from streams.importing.report import Rejection, Report
from streams.importing.run import run_import
from streams.importing.run_lines import run_lines
from streams.importing.sinks import JsonLines, Sample, Sink
from streams.importing.snapshot import SnapshotOptions, run_snapshot
from streams.importing.state import ImportState
from streams.importing.table import Table, open_table

__all__ = [
    "ImportFault",
    "ImportState",
    "JsonLines",
    "Mapping",
    "Rejection",
    "Rejections",
    "Report",
    "RowFault",
    "RowReason",
    "Sample",
    "Sink",
    "SinkFault",
    "SnapshotOptions",
    "Table",
    "included_mappings",
    "load_mapping",
    "open_table",
    "run_import",
    "run_lines",
    "run_snapshot",
]
