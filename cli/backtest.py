"""`hotline-watch backtest`: the same core over recorded events, with no broker."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cli.output import err, fail, out
from cli.recorded import Decoding, jobs_for, recorded_events
from cli.running import (
    CalendarOption,
    InForce,
    JobsOption,
    KeysOption,
    LimitsOption,
    ReferenceOption,
    instant_option,
    keys_of,
    pack_of,
    reader_of,
    reference_of,
    run_core,
)
from models.alert import Alert
from models.decode import Rejected
from models.quarantine import RejectionReason
from models.ticket_event import MODEL_BY_TYPE
from models.times import format_instant
from rules.driver import Driver
from rules.event import Event
from rules.facts import as_mapping
from rules.reckoning import load_reckoning
from rules.sealing import SEALED
from rules.tickets import ConflictingBody, RefusedMerge, TooLarge, judge

app = typer.Typer()


@app.command()
def backtest(
    events: Annotated[list[Path], typer.Argument(help="files of ticket events, one JSON a line; .gz is read too")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="write every version of every warning, in issue order")
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="a folder of rules in place of the default pack")] = None,
    posts: Annotated[
        Path | None, typer.Option(help="posts whose accusers are sealed, as the setting posts_file names them")
    ] = None,
    calendar: CalendarOption = None,
    limits: LimitsOption = None,
    reference: ReferenceOption = None,
    config: KeysOption = None,
    until: Annotated[str | None, typer.Option(help="run the clock to this time; later events are ignored")] = None,
    rejects: Annotated[Path | None, typer.Option(help="write rejected lines' numbers and reasons")] = None,
    facts: Annotated[Path | None, typer.Option(help="write every ticket's facts at the end")] = None,
    jobs: JobsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON")] = False,
) -> None:
    """Run the rules over recorded events, with no broker.

    Events are taken in the files' order, however late; the warnings in force at the end do not depend on it.
    """
    end = instant_option(until, "--until")
    pack, reckoning, tables = pack_of(rules), load_reckoning(calendar, limits), reference_of(reference)
    _refuse_overwriting(events, {"--out": out_file, "--rejects": rejects, "--facts": facts})
    in_force, statuses, reasons = InForce(), Counter[str](), Counter[str]()
    counts = Counter[str]()
    with ExitStack() as stack:
        sink = stack.enter_context(_writable(out_file)) if out_file else None
        refused = stack.enter_context(_writable(rejects)) if rejects else None

        def take(alert: Alert) -> None:
            in_force.take(alert)
            statuses[alert.status] += 1
            if sink is not None:
                sink.write(alert.model_dump_json() + "\n")

        def reject(path: Path, number: int, rejected: Rejected) -> None:
            reasons[rejected.reason] += 1
            if refused is not None:
                record = {"file": str(path), "line": number, "reason": rejected.reason, "detail": rejected.detail}
                refused.write(json.dumps(record, ensure_ascii=False) + "\n")

        decoding = Decoding(keys_of(config), reader_of(pack, posts, tables), tables)
        recorded = stack.enter_context(recorded_events(events, decoding, reject, jobs=jobs or jobs_for(events)))
        source = _counted(_with_progress(recorded, events), counts)
        driver = run_core(pack, source, end, take, reckoning)
        if refused is not None:
            _write_refused(refused, driver)
    if facts is not None:
        _write_facts(facts, driver)
    summary = _summary(driver, in_force, counts, statuses, reasons)
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _print_summary(summary)


def _refuse_overwriting(inputs: list[Path], outputs: dict[str, Path | None]) -> None:
    """End with status 2 where a file would be written that is read, or written twice."""
    taken = {path.resolve(): "an input" for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in taken:
            fail(f"{option}: {path} is {taken[path.resolve()]} as well; name another file")
        taken[path.resolve()] = f"the file of {option}"


def _writable(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _with_progress(events: Iterator[Event], paths: list[Path]) -> Iterator[Event]:
    """Pass the events on, with a progress bar where somebody looks; its end is only known for plain files."""
    if not err.is_terminal:
        yield from events
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} events"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("backtest", total=_estimated(paths))
        for count, event in enumerate(events, 1):
            yield event
            if count % 2_000 == 0:
                progress.update(task, completed=count)


def _estimated(paths: list[Path]) -> float | None:
    """Estimate the number of events from the files' sizes and the length of the first lines."""
    total = 0.0
    for path in paths:
        if path.suffix == ".gz" or not path.is_file():
            return None
        with path.open("rb") as file:
            lines = [len(line) for line, _ in zip(file, range(200), strict=False)]
        total += path.stat().st_size / (sum(lines) / len(lines)) if lines else 0
    return total


def _counted(events: Iterator[Event], counts: Counter[str]) -> Iterator[Event]:
    for event in events:
        counts["events"] += 1
        counts["sealed"] += event.type == SEALED
        counts["unknown_types"] += event.type not in MODEL_BY_TYPE and event.type != SEALED
        yield event


def _write_facts(path: Path, driver: Driver) -> None:
    with _writable(path) as file:
        for ticket_id, state in driver.tickets.items():
            judged = judge(driver.engine, state, max(driver.clock, state.clock))
            if judged.merged is not None:
                continue
            record = {
                "ticket_id": ticket_id,
                "tickets": sorted(judged.lineage.tickets),
                "as_of": format_instant(max(driver.clock, state.clock)),
                "calendar_version": driver.engine.reckoning.version,
                "calendar_incomplete": judged.unsure,
                "facts": as_mapping(judged.values),
                "repeated": [
                    {"ticket_id": one.ticket_id, "why": one.why}
                    for repeat in state.repeats.values()
                    for one in repeat.complaints
                ],
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_refused(file: IO[str], driver: Driver) -> None:
    told = {
        RefusedMerge: (RejectionReason.MERGE_CYCLE, "the merge closes a circle of tickets"),
        TooLarge: (RejectionReason.TOO_LARGE, "its ticket has no room for it"),
    }
    for alarm in driver.alarms:
        if not isinstance(alarm, ConflictingBody):
            reason, detail = told[type(alarm)]
            record = {"event_id": alarm.event_id, "ticket_id": alarm.ticket_id, "reason": reason, "detail": detail}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _summary(
    driver: Driver, in_force: InForce, counts: Counter[str], statuses: Counter[str], reasons: Counter[str]
) -> dict[str, Any]:
    by_rule: dict[str, Counter[str]] = {}
    for alert in in_force.alerts():
        by_rule.setdefault(f"{alert.rule.id} {alert.rule.title}", Counter())[alert.level] += 1
    return {
        "events": counts["events"],
        "sealed": counts["sealed"],
        "unknown_types": counts["unknown_types"],
        "tickets": len(driver.tickets),
        "until": format_instant(driver.clock) if driver.clock else None,
        "calendar_version": driver.engine.reckoning.version,
        "versions": dict(statuses),
        "in_force": {rule: dict(levels) for rule, levels in sorted(by_rule.items())},
        "rejected": dict(reasons),
        "conflicting_bodies": sum(isinstance(alarm, ConflictingBody) for alarm in driver.alarms),
        "refused_merges": sum(isinstance(alarm, RefusedMerge) for alarm in driver.alarms),
    }


def _print_summary(summary: dict[str, Any]) -> None:
    table = Table(title="Warnings in force at the end", title_justify="left")
    for name in ("rule", "blue", "yellow", "red"):
        table.add_column(name, justify="left" if name == "rule" else "right")
    for rule, levels in summary["in_force"].items():
        table.add_row(rule, *(str(levels.get(level, "")) for level in ("blue", "yellow", "red")))
    out.print(f"{summary['events']:,} events of {summary['tickets']:,} tickets, time run to {summary['until']}")
    if summary["sealed"]:
        out.print(f"sealed, only an empty shell let in: {summary['sealed']}")
    if summary["unknown_types"]:
        out.print(f"events of unknown types, kept without effect: {summary['unknown_types']}")
    if summary["rejected"]:
        out.print("rejected: " + ", ".join(f"{reason} {count}" for reason, count in summary["rejected"].items()))
    if summary["conflicting_bodies"]:
        out.print(
            f"SECURITY: {summary['conflicting_bodies']} event ids came again with another body; the first was kept"
        )
    if summary["refused_merges"]:
        out.print(f"refused merges (they close a circle): {summary['refused_merges']}")
    out.print(table)
