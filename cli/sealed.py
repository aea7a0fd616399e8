"""`hotline-watch sealed list`: the shells of what was sealed. There is nothing else to show: the platform keeps no more of it."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import err, fail, print_rows
from models.sealed import ROUTE_TITLES
from models.times import format_minute, parse_instant

if TYPE_CHECKING:
    from streams.sealed_log import Shells

app = typer.Typer(no_args_is_help=True, help="List the shells of what was sealed, to be handed over by hand.")


@app.callback()
def sealed() -> None:
    """List the shells of what was sealed, to be handed over by hand."""


@app.command("list")
def list_sealed(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """List each sealed event: its ticket, when, and to whom it is to be handed over, the oldest first.

    Exit status: 0 listed, also where there is none; 2 the broker is away or the topic cannot be read.
    """
    from streams.sealed_log import ClusterUnreachableError, TopicUnreadableError, read_shells

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    try:
        found = read_shells(servers, topics.sealed)
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))
    if found.unreadable:
        err.print(f"{found.unreadable} records of {topics.sealed} are no shells and are left out")
    if as_json:
        rows = [record.model_dump(mode="json") for record in found.records]
        typer.echo(json.dumps({"sealed": rows, "unreadable": found.unreadable}, ensure_ascii=False))
    else:
        _show(found)


def _show(found: "Shells") -> None:
    if found.records:
        rows = [("时间", "去向", "工单", "事件")]
        for record in found.records:
            at = format_minute(parse_instant(record.occurred_at))
            rows.append((at, ROUTE_TITLES[record.route], record.ticket_id, record.event_id))
        print_rows(rows)
    typer.echo(f"共 {len(found.records)} 件" if found.records else "没有密封的诉求")
