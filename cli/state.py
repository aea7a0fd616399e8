"""`hotline-watch state verify`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of, settings_of
from cli.output import fail, out

if TYPE_CHECKING:
    from streams.state_comparing import Comparison

app = typer.Typer(no_args_is_help=True, help="Look after the tables that workers keep on disk.")

SHOWN = 20


class Table(StrEnum):
    """A table of the service."""

    TICKETS = "tickets"
    CITIZENS = "citizens"
    DISPATCH = "dispatch"


@app.callback()
def state() -> None:
    """Look after the tables that workers keep on disk."""


@app.command()
def verify(
    table: Annotated[list[Table] | None, typer.Option(help="Only this table; may be repeated.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="The data directory of a stopped process, in place of the settings'.")
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Compare the tables of a stopped worker with their changelogs on Kafka: keys, values by hash, offsets. Nothing is changed.

    What was written after the offset that the disk reaches is told, and is no difference: the next start reads it. Keys that differ
    are shown by their SHA-256, never by ticket or citizen.

    Exit status: 0 equal, 1 something differs, 2 a process runs on the directory, or the comparison cannot be made.
    """
    from streams.admin import ClusterUnreachableError
    from streams.state_disk import StateInUseError, StateUnreadableError
    from streams.state_verifying import NoStateError, verify
    from streams.topic_log import TopicUnreadableError

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    folder = data_dir or settings_of(config).data_dir
    try:
        found = list(verify(servers, topics, folder, frozenset(table or Table)))
    except (
        NoStateError,
        StateInUseError,
        StateUnreadableError,
        ClusterUnreachableError,
        TopicUnreadableError,
    ) as error:
        fail(str(error))
    if as_json:
        typer.echo(orjson.dumps({"ok": all(one.equal for one in found), "partitions": [*map(_told, found)]}))
    else:
        _show(found)
    if not all(one.equal for one in found):
        raise typer.Exit(1)


def _told(one: Comparison) -> dict[str, object]:
    told = one._asdict() | {"equal": one.equal}
    return told | {"differences": [difference._asdict() for difference in one.differences]}


def _show(found: list[Comparison]) -> None:
    for one in found:
        verdict = "equal" if one.equal else f"{len(one.differences)} keys differ"
        unread = f", {one.unread} keys written since" if one.unread else ""
        out.print(f"{one.table}-{one.partition}: {verdict}; {one.keys} keys, offset {one.offset} of {one.end}{unread}")
        if one.ahead:
            out.print("    the disk reaches beyond the changelog, which was made anew or lost its end")
        for difference in one.differences[:SHOWN]:
            out.print(f"    {difference.kind}: key sha256 {difference.key_sha256}")
        if len(one.differences) > SHOWN:
            out.print(f"    and {len(one.differences) - SHOWN} more: --json has all")
