"""`hotline-watch drill`: a marked ticket that goes the whole way, once or on a schedule."""

import json
import signal
import threading
import uuid
from typing import Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of, refusals, settings_of
from cli.output import fail, out
from cli.subscribers_book import refusing
from streams.settings import Settings

app = typer.Typer()


def _check_subscriber(settings: Settings, name: str) -> None:
    """End with status 2 where the subscribers file is here and says that nobody of this name can be called."""
    from alerting.subscriber_book import SubscriberBook

    if settings.subscribers_file is None:
        return
    with refusing():
        if not SubscriberBook(settings.subscribers_file, settings.secrets_dir).entry(name).enabled:
            fail(f"{name} is disabled: a drill would be kept with the rest; enable it first")


@app.command()
def drill(
    subscriber: Annotated[
        str | None,
        typer.Option(help="Call this subscriber's endpoint too, in place of the settings' drill_subscriber."),
    ] = None,
    timeout_seconds: Annotated[float, typer.Option(min=1, max=600, help="For the whole way.")] = 60.0,
    every: Annotated[
        float | None, typer.Option(help="Hours: go on and make drills on a schedule, with /metrics and /healthz.")
    ] = None,
    first_after: Annotated[float, typer.Option(min=0, help="With --every: seconds before the first.")] = 30.0,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send a ticket marked `test` through intake, tickets and dispatch, and say how long each stage took.

    It is never pushed, touches no count, and its warning is taken back at the end. With a subscriber, its endpoint gets a
    call marked as a drill. `up` runs this on a schedule where drill_every_hours is set.

    Exit status: 0 it went the whole way, 1 it stopped somewhere, 2 it cannot be sent.
    """
    settings = settings_of(config)
    if settings.core_time != "wall":
        fail('core_time is recorded: a drill\'s events would move time; drills are for core_time = "wall"')
    if every is not None and not 0 < every <= 24 * 31:
        fail("--every: more than 0, at most 744 hours")
    from streams.drilling import Course, DrillOutcome, run_drill

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    named = subscriber or settings.drill_subscriber
    if every is None and named is not None:
        _check_subscriber(settings, named)
    course = Course(servers, topics, settings.subscribers_file is not None or named is not None, named, timeout_seconds)
    if every is not None:
        from streams.drill_service import serve_drills
        from streams.logs import set_up_logs

        set_up_logs(settings.log_level, "drill")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with refusals():
            serve_drills(course, every, settings.http_host, settings.http_port, stop, first_after)
        return
    from streams.drill_service import wall_clock

    drilled = run_drill(course, uuid.uuid4().hex[:16], wall_clock, "hotline-watch drill")
    if drilled.outcome is DrillOutcome.UNREACHABLE:
        fail(drilled.said)
    seconds = {stage.value: round(value, 3) for stage, value in drilled.seconds.items()}
    if as_json:
        answer = {
            "ticket": drilled.ticket_id,
            "outcome": drilled.outcome.value,
            "seconds": seconds,
            "said": drilled.said,
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        stages = ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items())
        out.print(f"{drilled.ticket_id}: {drilled.outcome}: {drilled.said}{f' ({stages})' if stages else ''}")
    raise typer.Exit(0 if drilled.passed else 1)
