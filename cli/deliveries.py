"""`hotline-watch deliveries list`: what is pending at subscribers, and why."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli import deliveries_why
from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import fail, out

if TYPE_CHECKING:
    from streams.dispatch_log import Standing

app = typer.Typer(no_args_is_help=True, help="Show what is pending at subscribers, and why.")


app.command()(deliveries_why.why)
app.command()(deliveries_why.replay)
app.command()(deliveries_why.reroute)


@app.callback()
def deliveries() -> None:
    """Show what is pending at subscribers, and why."""


@app.command("list")
def list_deliveries(
    pending: Annotated[bool, typer.Option("--pending", help="Only what is not accepted yet.")] = False,
    subscriber: Annotated[str | None, typer.Option(help="Only this subscriber's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """List deliveries as they stand: one line each, then how many are in which state."""
    from streams.dispatch_log import ClusterUnreachableError, TopicUnreadableError, read_standings

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    try:
        found = read_standings(servers, topics.deliveries)
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))
    if subscriber is not None:
        found = [standing for standing in found if standing.record.subscriber == subscriber]
    counts = Counter(standing.record.status.value for standing in found)
    if pending:
        found = [standing for standing in found if standing.record.status != "delivered"]
    if as_json:
        rows = [{**standing.record.model_dump(mode="json"), "why": standing.why} for standing in found]
        typer.echo(json.dumps({"deliveries": rows, "counts": dict(counts)}, ensure_ascii=False))
    else:
        _show(found, counts)


def _show(found: "list[Standing]", counts: "Counter[str]") -> None:
    if found:
        table = Table("subscriber", "case", "no.", "state", "attempts", "next attempt", "why", box=None)
        for standing in found:
            record = standing.record
            next_at = record.next_attempt_at if standing.behind is None else None
            table.add_row(
                record.subscriber,
                record.case_id,
                str(record.delivery_sequence),
                record.status.value,
                str(record.attempts),
                next_at or "",
                standing.why,
            )
        out.print(table)
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    typer.echo(said or "no deliveries")
