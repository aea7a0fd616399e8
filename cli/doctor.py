"""`hotline-watch doctor`: what is missing or wrong with an installation, and what to do about it."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cli.configured import ConfigOption, settings_of
from cli.doctor_findings import Area, Finding, Severity, ok, warning
from cli.output import out
from streams.roles import Role
from streams.security import Cluster
from streams.settings import Settings

app = typer.Typer()

SIGNS = {Severity.OK: "ok  ", Severity.WARNING: "look", Severity.PROBLEM: "FAIL"}


@app.command()
def doctor(
    config: ConfigOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="the data directory of `up`; without it a cluster is looked at")
    ] = None,
    role: Annotated[
        Role | None, typer.Option(help="Check that the settings' Kafka user may do what this role does.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="as `up` is given it")] = 2,
    offline: Annotated[bool, typer.Option("--offline", help="Resolve no endpoints' names, download nothing.")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=0.1, help="How long to wait for the cluster.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at everything an installation needs, and say of each thing that is wrong what to do: settings, secrets, file modes,
    subscribers and registry, rules, calendar, disk, ports, clock, certificates, broker, topics, permissions, running processes.

    Exit status: 0 nothing is wrong (warnings may be shown), 1 something is, 2 the settings cannot be read.
    """
    settings = settings_of(config)
    found = list(_findings(settings, config, data, role, workers, offline, timeout_seconds))
    counts = Counter(finding.severity for finding in found)
    if as_json:
        answer = {
            "ok": not counts[Severity.PROBLEM],
            "problems": counts[Severity.PROBLEM],
            "warnings": counts[Severity.WARNING],
            "findings": [finding.as_json() for finding in found],
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for finding in found:
            out.print(f"{SIGNS[finding.severity]} {finding.area:<12} {finding.what}")
            if finding.remedy is not None:
                out.print(f"     {'':<12} → {finding.remedy}")
        out.print(f"\n{counts[Severity.PROBLEM]} problems, {counts[Severity.WARNING]} warnings")
    raise typer.Exit(1 if counts[Severity.PROBLEM] else 0)


def _findings(
    settings: Settings,
    config: Path | None,
    data: Path | None,
    role: Role | None,
    workers: int,
    offline: bool,
    timeout_seconds: float,
) -> Iterator[Finding]:
    from cli.doctor_clock import check_clock
    from cli.doctor_cluster import check_cluster
    from cli.doctor_files import check_files
    from cli.doctor_machine import check_machine
    from streams.hold import is_up, said_running, stillness_wanted

    yield ok(
        Area.SETTINGS, f"settings of {config}" if config is not None else "settings of the environment and the defaults"
    )
    yield from check_files(settings, config, data, _now(), offline)
    running = None
    if data is not None and is_up(data):
        running = said_running(data)
        if running is None or stillness_wanted(data):
            said = "a backup is being made: `up` holds still" if stillness_wanted(data) else "`up` is starting"
            yield warning(Area.SERVICES, said, "look again in a minute")
            return
    yield from check_machine(settings, data, running, workers, offline)
    yield from check_clock(data, _now())
    if data is None:
        yield from check_cluster(settings.cluster_at(None), settings.topics, role, timeout_seconds, _now)
    elif running is not None:
        yield from check_cluster(Cluster(running.bootstrap_servers), settings.topics, role, timeout_seconds, _now)


def _now() -> int:
    return time.time_ns() // 1000
