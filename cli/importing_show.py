"""What an import tells people at its end."""

from __future__ import annotations

import json

import typer

from cli.importing_reference import lines_of_load
from models.shown import escaped, plain
from streams.importing import Rejections, Report, Sample
from streams.importing.event_lines import EventLines
from streams.importing.report import Difference, LoadReport

_REJECTIONS_SHOWN = 10
_KEYS_SHOWN = 10


def say(text: str, *, err: bool = False) -> None:
    """Print one line, without what would move a terminal's cursor or turn the writing round."""
    typer.echo(plain(text), err=err)


def say_json(told: object, *, err: bool = False) -> None:
    """Print an object as one line of JSON; what would move a terminal's cursor is written as JSON's own escapes."""
    typer.echo(escaped(json.dumps(told, ensure_ascii=False)), err=err)


def show(
    report: Report | LoadReport, rejected: Rejections, sample: Sample | None, *, as_json: bool, to_stderr: bool
) -> None:
    """Print the report, the first rejected rows and, of a dry run, the first events and every rejected row."""
    if as_json:
        answer = report.as_dict()
        if sample is not None:
            answer["first_events" if isinstance(report, Report) else "first_rows"] = [
                json.loads(body) for body in sample.events
            ]
            answer["rejections"] = [one.as_dict() for one in rejected]
        say_json(answer, err=to_stderr)
        return
    if sample is not None:
        for body in sample.events:
            typer.echo(escaped(body.decode()))
    shown = len(rejected) if sample is not None else _REJECTIONS_SHOWN
    for one in rejected.first(shown):
        sheet = f"sheet {one.sheet}, " if one.sheet else ""
        say(f"{sheet}line {one.line}: {one.reason}: {one.detail}", err=True)
    if shown < len(rejected):
        say(f"… and {len(rejected) - shown} more rejected rows: `--rejects FILE` lists them all", err=True)
    for line in lines_of(report, dry=sample is not None):
        say(line, err=to_stderr)


def lines_of(report: Report | LoadReport, *, dry: bool = False) -> list[str]:
    """Return the report for people."""
    if isinstance(report, LoadReport):
        return lines_of_load(report, dry=dry)
    is_lines = report.read_as == EventLines.kind
    told = [f"{report.rows} {'lines' if is_lines else 'rows'} read, {report.rejected.total()} rejected"]
    if not is_lines:
        told[0] += f", {report.rows_without_event} without event"
    told += [f"  rejected {reason}: {count}" for reason, count in report.rejected.most_common()]
    if report.repeated_rows:
        told.append(f"  {report.repeated_rows} repeat one before and were passed over")
    if report.formulas:
        told.append(f"  {report.formulas} cells are formulas: their stored results were taken")
    if report.snapshot is not None:
        told += _lines_of_difference(report.snapshot)
    told.append(f"{report.events.total()} events {'would be sent' if dry else 'sent'}")
    told += [f"  {kind}: {count}" for kind, count in report.events.most_common()]
    if report.events and report.backfill:
        told.append("  all are marked as history (backfill): their warnings are not pushed; --live sends them as news")
    if report.columns_not_read:
        unread = (
            "fields that the event contract does not know" if is_lines else "columns that the mapping does not read"
        )
        told.append(f"{unread}: {', '.join(report.columns_not_read)}")
    if report.columns_absent:
        told.append(f"optional columns that the file does not have: {', '.join(report.columns_absent)}")
    return told


def _lines_of_difference(difference: Difference) -> list[str]:
    told = []
    if difference.resumed_events:
        told.append(f"  {difference.resumed_events} events of an earlier run that broke off were sent first")
    told.append(
        f"  tickets: {difference.new} new, {difference.changed} changed, {difference.unchanged} unchanged, "
        f"{difference.came_back} came back, {difference.vanished} vanished"
    )
    if difference.vanished_keys:
        shown = ", ".join(difference.vanished_keys[:_KEYS_SHOWN])
        told.append(f"  vanished: {shown}{' …' if difference.vanished > _KEYS_SHOWN else ''}")
    if difference.vanished and not difference.vanished_judged:
        told.append("  some rows could not be read: the vanished tickets may stand in them, and are looked for again")
    return told
