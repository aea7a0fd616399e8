"""Import of other systems' CSV exports as ticket events, by a mapping in YAML (docs/import.md).

    mapping.py    the mapping file's model
    loading.py    finding, reading and checking a mapping
    templates.py  `{column}` texts
    columns.py    how a cell is read: empty, value map, number, time
    reading.py    file → rows, or a fault with its line
    spool.py      rows sorted by key and order on disk, so that memory stays small
    events.py     the rows of one key → validated ticket events
    sinks.py      where events go: a JSON Lines file, a sample for the dry run
    kafka_sink.py a Kafka topic; imported only where it is wanted
    run.py        all of it, with a report

Errors: `ImportFault` stops an import (a file, a broker); `RowFault` rejects one row and the rest goes on; a mapping
that cannot be taken is a `ConfigFileError` with file:line.
"""

from streams.importing.faults import ImportFault, RowFault, RowReason
from streams.importing.loading import included_mappings, load_mapping
from streams.importing.mapping import Mapping
from streams.importing.run import Rejection, Report, run_import
from streams.importing.sinks import JsonLines, Sample, Sink

__all__ = [
    "ImportFault",
    "JsonLines",
    "Mapping",
    "Rejection",
    "Report",
    "RowFault",
    "RowReason",
    "Sample",
    "Sink",
    "included_mappings",
    "load_mapping",
    "run_import",
]
