"""`hotline-watch import` of reference data: which mappings are of it, what is done with a table, what is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from models.reference import ReferenceTable
from models.times import format_instant
from streams.importing import ImportFault, Rejection, Sample
from streams.importing.faults import SinkFault
from streams.importing.reference_mapping import TableMapping, load_table_mapping, table_of, with_input
from streams.importing.reference_run import LoadOptions, ReferenceSink, load_reference
from streams.importing.reference_sink import ReferenceFile, ReferenceSample, ReferenceTopic
from streams.importing.report import LoadReport

if TYPE_CHECKING:
    from pathlib import Path

    from cli.importing_job import Job
    from rules.pseudonym import PseudonymKey
    from streams.reference_log import Change


def is_of_reference(mapping: str | None) -> bool:
    """Tell whether a mapping is one of reference data."""
    return mapping is not None and table_of(mapping) is not None


def check_options(job: Job) -> None:
    """Raise BadParameter where options are given that only events have."""
    if job.backfill is not None or job.baseline or job.at is not None or job.state is not None:
        raise typer.BadParameter(
            "--backfill, --live, --baseline, --at and --state are for events, not for reference data"
        )
    if job.accept_vanished and not job.snapshot:
        raise typer.BadParameter("--accept-vanished goes with --snapshot")


def mapping_of(job: Job) -> TableMapping:
    """Return the mapping, read as the options say. Raises ConfigFileError."""
    assert job.mapping is not None
    table = table_of(job.mapping)
    assert table is not None
    changed: dict[str, object] = {}
    if job.encoding is not None:
        changed["encoding"] = job.encoding
    if job.sheets:
        changed["sheets"] = list(job.sheets)
    mapping = load_table_mapping(table, job.mapping)
    return with_input(mapping, **changed) if changed else mapping


def import_table(
    job: Job,
    mapping: TableMapping,
    file: Path,
    sample: Sample | None,
    on_rejection: Callable[[Rejection], None],
    on_progress: Callable[[str, int], None] | None,
    before_sending: Callable[[], None] | None,
) -> LoadReport:
    """Import one table as the job says; into the sample where there is one. Raises ImportFault and ConfigFileError."""
    from streams.reference_log import ClusterUnreachableError

    keys = _keys(job, mapping)
    try:
        sink, there = _ends(job, sample)
        options = LoadOptions(
            format_instant(time.time_ns() // 1_000_000_000 * 1_000_000), job.snapshot, job.accept_vanished
        )
        return load_reference(file, mapping, keys, there, sink, options, on_rejection, on_progress, before_sending)
    except ClusterUnreachableError as error:
        raise SinkFault(str(error)) from None


def _keys(job: Job, mapping: TableMapping) -> list[PseudonymKey]:
    from cli.configured import settings_of
    from streams.settings import SettingsError

    if mapping.file.citizen is None or mapping.file.citizen.named[0] == "key":
        return []
    try:
        return settings_of(job.way.config).load_keys()
    except SettingsError as error:
        raise ImportFault(str(error)) from None


def _ends(job: Job, sample: Sample | None) -> tuple[ReferenceSink, Iterator[Change | None]]:
    """Return where the difference goes, and what it is the difference to: a file gets the whole table."""
    from cli.configured import cluster_of
    from cli.importing_options import Target
    from streams.reference_log import change_of, read_rows

    if job.to is Target.JSONL:
        return (ReferenceFile(job.out) if sample is None else ReferenceSample(sample)), iter(())
    servers, topics = cluster_of(job.way.config, job.way.bootstrap_servers, job.way.prefix)
    topic, timeout = job.way.topic or topics.reference, job.way.timeout_seconds
    there = (change_of(row) for row in read_rows(servers, topic, timeout_seconds=timeout))
    if sample is not None:
        return ReferenceSample(sample), there
    return ReferenceTopic(servers, topic, timeout_seconds=timeout), there


def included_tables() -> dict[str, str]:
    """Return the names and titles of the plain layouts."""
    return {table.value: load_table_mapping(table, table.value).file.title for table in ReferenceTable}


def lines_of_load(report: LoadReport, *, dry: bool) -> list[str]:
    """Return the report for people."""
    done = "would be sent" if dry else "sent"
    told = [f"{report.rows} rows of {report.table} read, {report.rejected.total()} rejected"]
    told += [f"  rejected {reason}: {count}" for reason, count in report.rejected.most_common()]
    if report.repeated_rows:
        told.append(f"  {report.repeated_rows} repeat one before and were passed over")
    if report.formulas:
        told.append(f"  {report.formulas} cells are formulas: their stored results were taken")
    told.append(f"{report.new} new and {report.changed} changed {done}, {report.unchanged} are there already")
    if report.deleted:
        told.append(f"{report.deleted} are gone from the table: their deletion {'would be' if dry else 'was'} sent")
    elif report.vanished:
        why = "some rows could not be read" if report.rejected else "--snapshot deletes them"
        told.append(f"{report.vanished} are not in the file and stay: {why}")
    if report.columns_not_read:
        told.append(f"columns that the mapping does not read: {', '.join(report.columns_not_read)}")
    if report.columns_absent:
        told.append(f"optional columns that the file does not have: {', '.join(report.columns_absent)}")
    told.append(f"version {report.version}" + (", as before" if report.version == report.version_before else ""))
    return told
