"""`hotline-watch tick`: moves recorded time."""

from typing import Annotated

import typer

from cli.configured import ConfigOption, refusals, settings_of
from cli.output import fail, out
from cli.running import instant_option
from models.times import format_instant

app = typer.Typer()


@app.command()
def tick(
    at: Annotated[str, typer.Option("--at", help="the instant that time has come to, like 2025-06-20T12:00:00+08:00")],
    config: ConfigOption = None,
) -> None:
    """Move recorded time to an instant: each deadline up to it is judged at its own instant, in order."""
    instant = instant_option(at, "--at")
    assert instant is not None
    settings = settings_of(config)
    if settings.core_time != "recorded":
        fail(
            "core_time is wall: time comes from the workers' own clocks; only with core_time = recorded is it moved from outside"
        )
    from streams.ticking import send_ticks

    with refusals():
        send_ticks(settings.bootstrap_servers, settings.topics, instant)
    out.print(f"time has come to {format_instant(instant)} in {settings.partitions} partitions")
