"""`hotline-watch dispatch`: one dispatch worker."""

import typer

from cli.configured import ConfigOption, refusals, settings_of
from cli.output import fail

app = typer.Typer()


@app.command()
def dispatch(config: ConfigOption = None) -> None:
    """Run one dispatch worker: warnings to subscribers' webhooks. Ends with 0 on SIGTERM."""
    settings = settings_of(config)
    if settings.subscribers_file is None:
        fail("setting subscribers_file: say who gets warnings; deploy/subscribers.example.yaml shows how")
    from streams.dispatching import run
    from streams.logs import set_up_logs

    set_up_logs(settings.log_level, "dispatch")
    with refusals():
        run(settings)
