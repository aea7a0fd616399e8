"""`hotline-watch import`: another system's tables (CSV, XLSX) become ticket events; files of ticket events are sent as they are.

Exit status: 0 done, 1 rows were rejected and `--strict` is given, 2 wrong usage, an unreadable file or mapping, no broker; with
`--watch --once` also 2 where a file failed or still waits.
"""

from __future__ import annotations

import json

import typer

from cli import importing_options as o
from cli.importing_options import Target


def import_events(
    file: o.FileArgument = None,
    mapping: o.MappingOption = None,
    to: o.ToOption = Target.KAFKA,
    out: o.OutOption = "-",
    rejects: o.RejectsOption = None,
    dry_run: o.DryRun = None,
    backfill: o.Backfill = None,
    strict: o.Strict = False,
    encoding: o.Encoding = None,
    sheet: o.Sheet = None,
    snapshot: o.Snapshot = False,
    state: o.State = None,
    baseline: o.Baseline = False,
    at: o.At = None,
    accept_vanished: o.AcceptVanished = False,
    watch: o.Watch = None,
    once: o.Once = False,
    every_seconds: o.Every = 5.0,
    settle_seconds: o.Settle = 10.0,
    mappings: o.ListMappings = False,
    print_mapping: o.PrintMapping = False,
    bootstrap_servers: o.BootstrapOption = None,
    topic: o.Topic = None,
    prefix: o.PrefixOption = None,
    timeout_seconds: o.Timeout = 10.0,
    config: o.ConfigOption = None,
    as_json: o.AsJson = False,
) -> None:
    """Send another system's table, read by a mapping, or a file of ticket events to Kafka, or write them as JSON Lines.

    A mapping that has a `table` is of reference data, which intake joins to events (docs/reference-data.md).
    """
    from cli.importing_job import Job, Way, run_job
    from cli.importing_watch import watch_folder

    if mappings:
        _list_mappings(as_json=as_json)
        return
    if print_mapping:
        if mapping is None:
            raise typer.BadParameter("give --mapping NAME or FILE; --mappings lists the included ones")
        _print_mapping(mapping)
        return
    job = Job(
        mapping, to, out, rejects, dry_run, backfill, strict, encoding, tuple(sheet or ()), snapshot, state, baseline, at,
        accept_vanished, Way(bootstrap_servers, topic, prefix, timeout_seconds, config), as_json,
    )  # fmt: skip
    job.check(watched=watch is not None)
    if (file is None) == (watch is None):
        raise typer.BadParameter("give a FILE, or a folder with --watch")
    if watch is not None:
        watch_folder(job, watch, once=once, every_seconds=every_seconds, settle_seconds=settle_seconds)
    elif file is not None:
        run_job(job, file)


def _list_mappings(*, as_json: bool) -> None:
    from cli.importing_reference import included_tables
    from cli.output import print_rows
    from streams.importing import included_mappings, load_mapping

    titles = {name: load_mapping(name).file.title for name in included_mappings()} | included_tables()
    if as_json:
        typer.echo(json.dumps(titles, ensure_ascii=False))
    else:
        print_rows([*titles.items()])


def _print_mapping(mapping: str) -> None:
    from models.reference import ReferenceTable
    from models.strict_yaml import ConfigFileError
    from streams.importing.loading import text_of
    from streams.importing.reference_mapping import included_text

    try:
        is_table = mapping in list(ReferenceTable)
        typer.echo(included_text(ReferenceTable(mapping)) if is_table else text_of(mapping), nl=False)
    except ConfigFileError as fault:
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(2) from None


app = typer.Typer()
app.command()(import_events)
