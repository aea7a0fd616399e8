"""`hotline-watch up`: the durable single-machine service."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from cli.configured import ConfigOption, config_of, refusals, settings_of
from cli.output import fail, out

app = typer.Typer()

WATCH_SECONDS = 0.5


@app.command()
def up(
    data: Annotated[Path, typer.Option("--data", help="everything is kept below this directory")],
    workers: Annotated[int, typer.Option(min=1, max=32, help="detection workers")] = 2,
    config: ConfigOption = None,
) -> None:
    """Run the durable single-machine service: broker, workers, dispatch, the HTTP API where api_clients_file is set, and
    drills where drill_every_hours is; restarted on failure, ended by SIGTERM, state kept. It holds still for `backup`.
    """
    config = config_of(config)
    settings = settings_of(config)
    from streams.logs import set_up_logs
    from streams.single import NotReadyError, SingleMachine
    from streams.supervisor import MisconfiguredServiceError

    set_up_logs(settings.log_level, "up")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    machine = SingleMachine(settings, data, config, workers)
    try:
        with refusals():
            machine.start()
        out.print(
            f"Kafka        {machine.bootstrap_servers}  (ticket events: topic {machine.topics.ticket_events})",
            markup=False,
        )
        for service in machine.services:
            ready = "" if service.ready_path == "/healthz" else f"  {service.ready_path}"
            out.print(f"{service.name:<12} {service.address}/metrics  /healthz{ready}", markup=False)
        if settings.subscribers_file is None:
            out.print(f"no subscribers_file is set: warnings stay in topic {machine.topics.alerts}", markup=False)
        out.print(f"up; data in {machine.data_dir}; stop with Ctrl-C", markup=False)
        while not stop.wait(WATCH_SECONDS):
            with refusals():
                machine.watch()
    except (MisconfiguredServiceError, NotReadyError) as error:
        fail(str(error))
    finally:
        machine.stop()
    out.print("down")
