"""`hotline-watch explain`: a ticket's timeline, its facts, and for each rule why it speaks or not."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.output import err, fail, out
from cli.recorded import Decoding, jobs_for, recorded_events
from cli.running import (
    CalendarOption,
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
from models.decode import Rejected
from models.times import format_instant, format_minute
from rules import texts
from rules.explaining import RuleExplained, explain
from rules.facts import FACTS, as_mapping
from rules.lifecycle import STATE_TITLES
from rules.notes import notes_of
from rules.reckoning import load_reckoning
from rules.telling import LEVEL_TITLES, tell_event, tell_finding, unit_title
from rules.tickets import Judged, judge

app = typer.Typer()


@app.command("explain")
def explain_ticket(
    ticket: Annotated[str, typer.Argument(help="the ticket's id")],
    events: Annotated[list[Path], typer.Option("--events", help="files of ticket events; may be given several times")],
    rules: Annotated[Path | None, typer.Option(help="a folder of rules in place of the default pack")] = None,
    posts: Annotated[
        Path | None, typer.Option(help="posts whose accusers are sealed, as the setting posts_file names them")
    ] = None,
    calendar: CalendarOption = None,
    limits: LimitsOption = None,
    reference: ReferenceOption = None,
    config: KeysOption = None,
    until: Annotated[str | None, typer.Option(help="the instant to look from; without it the last event")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
) -> None:
    """Show a ticket's timeline, its facts, and for each rule the condition with its values and which term failed."""
    pack, reckoning, tables = pack_of(rules), load_reckoning(calendar, limits), reference_of(reference)
    end = instant_option(until, "--until")
    rejected: list[str] = []

    def reject(path: Path, number: int, why: Rejected) -> None:
        rejected.append(f"{path}:{number}: {why.reason}")

    decoding = Decoding(keys_of(config), reader_of(pack, posts, tables), tables)
    with recorded_events(events, decoding, reject, jobs=jobs_for(events)) as source:
        driver = run_core(pack, source, end, lambda alert: None, reckoning)
    if rejected:
        err.print(f"{len(rejected)} lines were rejected, the first: {rejected[0]}", markup=False)
    state = driver.tickets.get(ticket)
    if state is None:
        fail(f"no event of ticket {ticket!r} is in these files")
    judged = judge(driver.engine, state, max(driver.clock, state.clock))
    told = explain(driver.engine, judged)
    record = _as_record(ticket, judged, told, max(driver.clock, state.clock))
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        _show(record, judged, told)


def _as_record(ticket: str, judged: Judged, told: list[RuleExplained], now: int) -> dict[str, Any]:
    names, notes = judged.lineage.unit_names, notes_of(judged.lineage)
    tickets = judged.lineage.tickets
    return {
        "ticket_id": ticket,
        "as_of": format_instant(now),
        "calendar_version": judged.lineage.reckoning.version,
        "calendar_incomplete": judged.unsure,
        "merged_into": judged.merged.data["into"] if judged.merged else None,
        "states": {ticket_id: one.state for ticket_id, one in tickets.items()},
        "timeline": [
            {
                "event_id": event.event_id,
                "ticket_id": event.ticket_id,
                "occurred_at": format_instant(event.at),
                "type": event.type,
                "what": tell_event(event, names, notes),
                "unexpected": event in tickets[event.ticket_id].unexpected,
            }
            for event in judged.lineage.events
        ],
        "holdings": [
            {
                "unit": unit_title(one.unit, names),
                "since": format_instant(one.since.at),
                "until": format_instant(one.until.at) if one.until else None,
            }
            for one in judged.lineage.holdings
        ],
        "texts": [
            {
                "event_id": spoken.event.event_id,
                "category": finding.category,
                "what": tell_finding(spoken.field, finding),
            }
            for told_of in texts.telling(judged.lineage).values()
            for spoken, finding in told_of
        ],
        "facts": as_mapping(judged.values),
        "rules": [
            {
                "rule": one.rule.id,
                "title": one.rule.title,
                "level": one.level,
                "note": one.note,
                "levels": [
                    {
                        "level": level.level,
                        "condition": level.condition,
                        "holds": level.holds,
                        "terms": [
                            {"term": term.source, "holds": term.holds, "values": term.values} for term in level.terms
                        ],
                    }
                    for level in one.levels
                ],
            }
            for one in told
        ],
    }


def _show(record: dict[str, Any], judged: Judged, told: list[RuleExplained]) -> None:
    states = "、".join(f"{ticket}:{STATE_TITLES[one.state]}" for ticket, one in judged.lineage.tickets.items())
    out.print(f"工单 {record['ticket_id']}(截至 {record['as_of']};{states})", markup=False)
    if record["calendar_incomplete"]:
        out.print("工作日历不全:有时限按未公布的年份暂计,不据此发红色预警", markup=False)
    timeline = Table(title="时间线", title_justify="left")
    for name in ("时间", "事件", "说明"):
        timeline.add_column(name)
    names, notes = judged.lineage.unit_names, notes_of(judged.lineage)
    for event in judged.lineage.events:
        odd = "(流程外)" if event in judged.lineage.tickets[event.ticket_id].unexpected else ""
        timeline.add_row(format_minute(event.at), event.event_id, tell_event(event, names, notes) + odd)
    out.print(timeline)
    facts = Table(title="事实(不为零者)", title_justify="left")
    for name in ("事实", "值", "含义"):
        facts.add_column(name)
    for fact, value in zip(FACTS, judged.values, strict=True):
        if value:
            facts.add_row(fact.path, str(value), fact.doc)
    out.print(facts)
    for one in record["texts"]:
        out.print(f"文本 {one['category']} {one['what']}")
    for one in told:
        _show_rule(one)


def _show_rule(one: RuleExplained) -> None:
    title = f"{one.rule.id} {one.rule.title}"
    out.print(
        f"\n{title}:{LEVEL_TITLES[one.level] + '预警' if one.level else '不预警'}"
        + (f"({one.note})" if one.note else ""),
        markup=False,
    )
    for level in one.levels:
        out.print(f"  {'✓' if level.holds else '✗'} {LEVEL_TITLES[level.level]}  {level.condition}", markup=False)
        for term in level.terms:
            values = ",".join(f"{path} = {value}" for path, value in term.values.items())
            out.print(f"      {'✓ 成立' if term.holds else '✗ 不成立'}  {term.source}  ({values})", markup=False)
