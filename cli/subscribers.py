"""`hotline-watch subscribers`: who gets which warnings, as a file says it and commands edit it. Never shows a secret or a
URL's path, which may be one.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import subscribers_edit
from cli.output import fail, print_rows
from cli.subscribers_add import add
from cli.subscribers_book import AsJson
from cli.subscribers_drill import send_drill
from cli.subscribers_route import route
from models.times import format_instant

if TYPE_CHECKING:
    from models.subscriber import Subscriber

app = typer.Typer(no_args_is_help=True, help="Manage who gets which warnings.")

File = Annotated[Path, typer.Argument(help="The subscribers file.", envvar="HOTLINE_WATCH_SUBSCRIBERS_FILE")]


app.command()(route)


@app.command()
def check(
    file: File,
    offline: Annotated[bool, typer.Option("--offline", help="Resolve no names.")] = False,
    units: Annotated[
        Path | None,
        typer.Option(
            help="The unit registry: each subscriber must belong to a unit.", envvar="HOTLINE_WATCH_UNITS_FILE"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a subscribers file as dispatch does, and that each endpoint's name leads only to addresses it may call.

    Exit status: 0 all is well, 1 an endpoint is refused or unknown, or registry and subscribers do not meet, 2 a file
    cannot be taken.
    """
    subscribers = _load(file)
    problems = {} if offline else _problems(subscribers)
    ends, hints = ((), ()) if units is None else _against(units, subscribers)
    if as_json:
        answer = {"ok": not (problems or ends), "subscribers": len(subscribers), "problems": problems}
        typer.echo(json.dumps(answer | {"loose_ends": ends, "hints": hints}, ensure_ascii=False))
    else:
        for sentence in (*(f"{name}: {problem}" for name, problem in problems.items()), *ends):
            typer.echo(sentence)
        for hint in hints:
            typer.echo(f"hint: {hint}")
        if not (problems or ends):
            typer.echo(f"{len(subscribers)} subscribers, all in order")
    if problems or ends:
        raise typer.Exit(1)


@app.command("list")
def list_subscribers(file: File, as_json: AsJson = False) -> None:
    """List who gets which warnings."""
    rows = [_row(subscriber) for subscriber in _load(file)]
    if as_json:
        typer.echo(json.dumps({"subscribers": rows}, ensure_ascii=False))
        return
    head = ("name", "state", "endpoint", "format", "levels", "families", "units", "revision")
    print_rows([head, *map(_cells, rows)])


app.command("add")(add)
app.command("rotate")(subscribers_edit.rotate)
app.command("enable")(subscribers_edit.enable)
app.command("disable")(subscribers_edit.disable)
app.command("revise")(subscribers_edit.revise)
app.command("remove")(subscribers_edit.remove)
app.command("test")(send_drill)


def _load(file: Path) -> "tuple[Subscriber, ...]":
    from alerting.registration import ConfigFileError, load_subscribers

    try:
        return load_subscribers(file)
    except ConfigFileError as error:
        fail(str(error))


def _against(units: Path, subscribers: "tuple[Subscriber, ...]") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return where registry and subscribers do not meet, and what else the registry lacks."""
    from alerting.directory import gaps, loose_ends
    from alerting.registry import load_registry
    from models.strict_yaml import ConfigFileError

    try:
        registry = load_registry(units)
    except ConfigFileError as error:
        fail(str(error))
    return loose_ends(registry, subscribers), gaps(registry, time.time_ns() // 1000)


def _problems(subscribers: "tuple[Subscriber, ...]") -> dict[str, str]:
    from alerting.subscriber_book import endpoint_problem

    found = ((subscriber.name, endpoint_problem(subscriber)) for subscriber in subscribers)
    return {name: problem for name, problem in found if problem is not None}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        "enabled" if row["enabled"] else "disabled",
        row["endpoint"],
        row["format"],
        " ".join(row["levels"]),
        " ".join(row["families"]),
        ", ".join(row["units"]) or "any",
        str(row["revision"]),
    )


def _row(subscriber: "Subscriber") -> dict[str, Any]:
    from alerting.addresses import AddressPolicy, check_url
    from alerting.signing import public_key_text
    from models.base import Family, Level

    target = check_url(subscriber.url, AddressPolicy.of(subscriber))
    host = f"[{target.host}]" if ":" in target.host else target.host
    return {
        "name": subscriber.name,
        "enabled": subscriber.enabled,
        "endpoint": f"{target.scheme}://{host}:{target.port}",
        "format": subscriber.format.value,
        "payload": subscriber.payload.value,
        "privacy": subscriber.privacy.value,
        "levels": [level.value for level in Level if level in subscriber.levels],
        "families": [family.value for family in Family if family in subscriber.families],
        "units": sorted(subscriber.units),
        "revision": subscriber.revision,
        "secrets": [_until(one.until) for one in subscriber.secrets],
        "public_keys": [{"key": public_key_text(one.key), **_until(one.until)} for one in subscriber.signing_keys],
    }


def _until(until: int | None) -> dict[str, str | None]:
    return {"until": None if until is None else format_instant(until)}
