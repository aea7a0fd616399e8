"""`hotline-watch reference list|export`: other departments' tables that intake joins to events; `import` brings them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import err, fail, print_rows
from models.reference import ReferenceTable

if TYPE_CHECKING:
    from streams.reference_log import Change

app = typer.Typer(no_args_is_help=True, help="Look at other departments' tables that intake joins to events.")


@app.callback()
def reference() -> None:
    """Look at other departments' tables that intake joins to events; `hotline-watch import` brings them."""


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
