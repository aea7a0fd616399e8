"""`hotline-watch api`: the HTTP API."""

import typer

from cli.configured import ConfigOption, refusals, settings_of
from cli.output import fail

app = typer.Typer()


@app.command()
def api(config: ConfigOption = None) -> None:
    """Serve the HTTP API: subscribers, alerts to pull, replays, why, silences. Ends with 0 on SIGTERM."""
    settings = settings_of(config)
    if settings.api_clients_file is None:
        fail("setting api_clients_file: say who may call; deploy/api-clients.example.yaml shows how")
    if settings.subscribers_file is None:
        fail("setting subscribers_file: say who gets warnings; deploy/subscribers.example.yaml shows how")
    from console.api.serving import run
    from console.ledger import LedgerError
    from streams.logs import set_up_logs

    set_up_logs(settings.log_level, "api")
    with refusals():
        try:
            run(settings)
        except LedgerError as error:
            fail(str(error))
