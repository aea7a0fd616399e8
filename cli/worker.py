"""`hotline-watch worker`: one detection worker."""

import typer

from cli.configured import ConfigOption, refusals, settings_of

app = typer.Typer()


@app.command()
def worker(config: ConfigOption = None) -> None:
    """Run one detection worker: intake, tickets, citizens. Ends with 0 on SIGTERM."""
    settings = settings_of(config)
    from streams.logs import set_up_logs
    from streams.worker import run

    set_up_logs(settings.log_level, "worker")
    with refusals():
        run(settings)
