"""`hotline-watch reference load|list|export`: other departments' tables that intake joins to events."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of, settings_of
from cli.output import err, fail, print_rows
from models.reference import ReferenceTable
from models.strict_yaml import ConfigFileError
from models.times import format_instant

if TYPE_CHECKING:
    from rules.pseudonym import PseudonymKey
    from streams.importing.reference_mapping import TableMapping
    from streams.importing.reference_run import LoadOptions, LoadReport, ReferenceSink
    from streams.importing.rejections import Rejections
    from streams.reference_log import Change

app = typer.Typer(no_args_is_help=True, help="Load other departments' tables that intake joins to events.")

_REJECTIONS_SHOWN = 10

TableArgument = Annotated[ReferenceTable, typer.Argument(help="Which table: units, posts, citizens or projects.")]


@app.callback()
def reference() -> None:
    """Load other departments' tables that intake joins to events."""


@app.command("load")
def load(
    table: TableArgument,
    file: Annotated[Path | None, typer.Argument(help="The whole table: a CSV file or an XLSX workbook.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="A mapping file; without it the table's plain layout.")] = None,
    print_mapping: Annotated[
        bool,
        typer.Option("--print-mapping", help="Print the mapping of the plain layout, to copy and change it, and end."),
    ] = False,
    source: Annotated[str | None, typer.Option(help="Who keeps the table, in place of what the mapping says.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all rows to this file, for `backtest --reference`; send nothing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change; send nothing.")] = False,
    delete_vanished: Annotated[
        bool, typer.Option("--delete-vanished", help="Delete the rows that the file has no more.")
    ] = False,
    accept_vanished: Annotated[
        bool, typer.Option("--accept-vanished", help="Believe that more than a tenth of the rows are gone.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write each rejected row's line and reason here, as JSON Lines.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a row was rejected.")] = False,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV file: auto, utf-8 or gb18030.")] = None,
    sheet: Annotated[list[str] | None, typer.Option("--sheet", help="A sheet of the workbook, or a pattern.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Load a full table as its difference with what is there: new and changed rows are sent, vanished ones only told, unless asked for.

    Exit status: 0 done, 1 rows were rejected and `--strict` is given, 2 wrong usage, an unreadable file or mapping, no broker.
    """
    from streams.importing.faults import ImportFault
    from streams.importing.reference_mapping import included_text, load_table_mapping, with_input
    from streams.importing.reference_run import LoadOptions
    from streams.importing.rejections import Rejections

    if print_mapping:
        typer.echo(included_text(table), nl=False)
        return
    if file is None:
        raise typer.BadParameter("give the FILE with the whole table")
    if out is not None and (dry_run or delete_vanished):
        raise typer.BadParameter("--out writes the whole table: --dry-run and --delete-vanished do not go with it")
    keys = _keys(config) if table is ReferenceTable.CITIZENS else []
    try:
        taken = load_table_mapping(table, mapping)
        changed = {"encoding": encoding, "sheets": sheet or None}
        taken = with_input(taken, **{name: value for name, value in changed.items() if value is not None})
        options = LoadOptions(source or taken.file.source, _now(), delete_vanished, accept_vanished, dry_run)
        way = None if out is not None else cluster_of(config, bootstrap_servers, prefix)
        with contextlib.closing(Rejections()) as rejected:
            report = _load(file, taken, keys, options, out, way and (way[0], way[1].reference), rejects, rejected)
            _show(report, rejected, options, as_json=as_json)
    except (ImportFault, ConfigFileError) as fault:
        fail(str(fault))
    if strict and report.rejected:
        raise typer.Exit(1)


def _keys(config: Path | None) -> list[PseudonymKey]:
    from streams.settings import SettingsError

    try:
        return settings_of(config).load_keys()
    except SettingsError as error:
        fail(str(error))


def _load(
    file: Path,
    mapping: TableMapping,
    keys: list[PseudonymKey],
    options: LoadOptions,
    out: Path | None,
    topic: tuple[str, str] | None,
    rejects: Path | None,
    rejected: Rejections,
) -> LoadReport:
    from streams.importing.faults import ImportFault, SinkFault
    from streams.importing.reference_run import load_reference
    from streams.reference_log import ClusterUnreachableError, change_of, read_rows

    there: Iterator[Change | None] = iter(())
    if topic is not None:
        there = (change_of(row) for row in read_rows(*topic))
    try:
        with rejects.open("w", encoding="utf-8") if rejects is not None else contextlib.nullcontext() as target:
            report = load_reference(file, mapping, keys, there, _sink(out, topic, options), options, rejected.append)
            if target is not None:
                target.writelines(json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in rejected)
    except ClusterUnreachableError as error:
        raise SinkFault(str(error)) from None
    except OSError as error:
        raise ImportFault(f"{error.filename}: {error.strerror}") from None
    return report


def _sink(out: Path | None, topic: tuple[str, str] | None, options: LoadOptions) -> ReferenceSink:
    from streams.importing.reference_sink import Nowhere, ReferenceFile, ReferenceTopic

    if out is not None:
        return ReferenceFile(str(out))
    return Nowhere() if options.dry_run or topic is None else ReferenceTopic(*topic)


def _now() -> str:
    return format_instant(int(time.time()) * 1_000_000)


def _show(report: LoadReport, rejected: Rejections, options: LoadOptions, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False))
        return
    for one in rejected.first(_REJECTIONS_SHOWN):
        sheet = f"sheet {one.sheet}, " if one.sheet else ""
        typer.echo(f"{sheet}line {one.line}: {one.reason}: {one.detail}", err=True)
    if len(rejected) > _REJECTIONS_SHOWN:
        typer.echo(
            f"… and {len(rejected) - _REJECTIONS_SHOWN} more rejected rows: `--rejects FILE` lists them", err=True
        )
    done = "would be" if options.dry_run else "were"
    typer.echo(f"{report.rows} rows read, {len(rejected)} rejected, {report.repeated_rows} repeat a row before")
    typer.echo(f"{report.new} new and {report.changed} changed {done} sent, {report.unchanged} are there already")
    if report.vanished:
        kept = "stay" if not report.deleted else f"{done} deleted"
        why = ": --delete-vanished deletes them" if not options.delete_vanished else ""
        why = ": some rows of the file could not be read" if options.delete_vanished and not report.deleted else why
        typer.echo(f"{report.vanished} are not in the file and {kept}{why}")
    if report.columns_not_read:
        typer.echo(f"columns that the mapping does not read: {', '.join(report.columns_not_read)}")
    typer.echo(f"version {report.version}" + ("" if report.version != report.version_before else ", as before"))


@app.command("list")
def list_tables(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """List each table: how many rows, the version that evidence names, whose it is, when a row was loaded last.

    Exit status: 0 listed; 2 the broker is away or the topic cannot be read.
    """
    from rules.reference import Reference

    tables = Reference()
    sources: dict[str, set[str]] = {table.value: set() for table in ReferenceTable}
    loaded = dict.fromkeys(sources, "")
    refused = 0
    for change in _changes(config, bootstrap_servers, prefix):
        refused += change is None or change.refused
        if change is None:
            continue
        if change.record is None:
            tables.remove(change.table, change.key, change.valid_from)
            continue
        tables.put(change.record)
        sources[change.table].add(change.record.source)
        loaded[change.table] = max(loaded[change.table], change.record.loaded_at)
    rows = [
        {
            "table": name.value,
            "rows": table.count,
            "version": table.version if table.count else None,
            "sources": sorted(sources[name]),
            "loaded_at": loaded[name] or None,
        }
        for name, table in tables.tables.items()
    ]
    if as_json:
        typer.echo(json.dumps({"tables": rows, "unreadable": refused}, ensure_ascii=False))
        return
    shown = [("table", "rows", "version", "loaded at", "sources")]
    shown += [
        (
            str(one["table"]),
            str(one["rows"]),
            str(one["version"] or ""),
            str(one["loaded_at"] or ""),
            "、".join(sources[str(one["table"])]),
        )
        for one in rows
    ]
    print_rows(shown)
    if refused:
        err.print(f"{refused} records are no rows of ours and count as absent")


@app.command("export")
def export(
    out: Annotated[Path, typer.Option(help="The file to write, one row a line.")],
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Write all rows that are in force to a file, for `backtest --reference`.

    Exit status: 0 written; 2 the broker is away, or the file cannot be written.
    """
    from models.reference import record_key

    rows: dict[str, bytes] = {}
    for change in _changes(config, bootstrap_servers, prefix):
        if change is None:
            continue
        key = record_key(change.table, change.key, change.valid_from)
        rows.pop(key, None)
        if change.record is not None:
            rows[key] = change.record.model_dump_json(exclude_none=True).encode()
    from streams.importing.faults import ImportFault
    from streams.importing.reference_sink import ReferenceFile

    with _failing(ImportFault):
        sink = ReferenceFile(str(out))
        for key in sorted(rows):
            sink.put(key, rows[key])
        sink.close()
    typer.echo(f"{len(rows)} rows")


def _changes(config: Path | None, bootstrap_servers: str | None, prefix: str | None) -> Iterator[Change | None]:
    from streams.reference_log import ClusterUnreachableError, change_of, read_rows

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    with _failing(ClusterUnreachableError):
        yield from map(change_of, read_rows(servers, topics.reference))


@contextlib.contextmanager
def _failing(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        fail(str(error))
