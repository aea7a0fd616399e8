"""`hotline-watch silences add|list|expire`: hold warnings back for a while, with a reason and somebody who answers for it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from pydantic import ValidationError

from cli.configured import ConfigOption, settings_of
from cli.output import err, fail, print_rows
from cli.running import instant_option, pack_of
from models.base import Family, Level
from models.silence import Silence, SilenceState
from models.strict_yaml import ConfigFileError
from models.times import HOUR, SECOND, format_instant, format_minute, instant_of
from rules.masking import mask
from streams.settings import Settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

app = typer.Typer(no_args_is_help=True, help="Silence warnings for a while, with a reason.")

FileOption = Annotated[Path | None, typer.Option("--file", help="The silences file, in place of the settings'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

STATE_TITLES = {SilenceState.PENDING: "未开始", SilenceState.ACTIVE: "生效中", SilenceState.OVER: "已结束"}
MATCHER_TITLES = {
    "rules": "规则",
    "categories": "类别",
    "families": "类型",
    "levels": "级别",
    "units": "单位",
    "cases": "案件",
    "tickets": "工单",
    "subscribers": "订阅方",
    "streets": "街道",
    "communities": "社区",
}


@app.command()
def add(
    author: Annotated[str, typer.Option(help="Who answers for it.")],
    comment: Annotated[str, typer.Option(help="Why. No citizen's name or number.")],
    rule: Annotated[
        list[str] | None, typer.Option(help="A rule's id. Each matcher may be given several times.")
    ] = None,
    category: Annotated[list[str] | None, typer.Option(help="A category: every one of the warning's.")] = None,
    family: Annotated[list[Family] | None, typer.Option(help="Process, text or aggregate.")] = None,
    level: Annotated[list[Level] | None, typer.Option(help="A level; red only with a case, ticket or unit.")] = None,
    unit: Annotated[list[str] | None, typer.Option(help="An accused unit's id: every one of the warning's.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="A case's id.")] = None,
    ticket: Annotated[list[str] | None, typer.Option(help="A ticket's id: any of the case's.")] = None,
    subscriber: Annotated[list[str] | None, typer.Option(help="A subscriber's name.")] = None,
    street: Annotated[list[str] | None, typer.Option(help="A street's name.")] = None,
    community: Annotated[list[str] | None, typer.Option(help="A community's name.")] = None,
    hours: Annotated[int | None, typer.Option(min=1, help="How long it lasts; or say --until.")] = None,
    until: Annotated[str | None, typer.Option(help="When it ends, like 2025-06-20T18:00:00+08:00.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="When it begins; without it now.")] = None,
    file: FileOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Hold back new warnings that fit every matcher given, until a time. Nothing is lost: they are sent afterwards.

    What subscribers were told already is followed up all the same. Red is held only by a silence of a case, a ticket or a unit.

    Exit status: 0 added; 2 it cannot be taken, or the file cannot.
    """
    given = (rule, category, family, level, unit, case, ticket, subscriber, street, community)
    settings = settings_of(config)
    path = _file(file, settings)
    now = _now()
    starts = instant_option(start, "--from")
    starts = now if starts is None else starts
    ends = _end(hours, until, starts, now)
    _check_words(author, comment)
    _check_rules(settings, [*(rule or ()), *(category or ())])
    silence = _silence(
        {
            "id": f"S-{uuid4().hex[:8]}",
            "matchers": {name: values for name, values in zip(MATCHER_TITLES, given, strict=True) if values},
            "starts_at": format_instant(starts),
            "ends_at": format_instant(ends),
            "author": author,
            "comment": comment,
            "created_at": format_instant(now),
        }
    )
    _add(path, silence)
    if as_json:
        typer.echo(json.dumps({"silence": _row(silence, now)}, ensure_ascii=False))
        return
    typer.echo(f"已添加静默 {silence.id}:{_about(silence)},{format_minute(starts)} 至 {format_minute(ends)}")
    if not silence.matchers.levels and not silence.matchers.may_cover_red:
        typer.echo("红色预警不在其内:红色只能按案件、工单或单位静默")


@app.command("list")
def list_silences(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    file: FileOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List the silences that hold or are still to hold, in the order of their adding.

    Exit status: 0 listed, also where there is none; 2 the file cannot be taken.
    """
    from alerting.silences import load_silences, not_over

    now = _now()
    try:
        found = load_silences(_file(file, settings_of(config)))
    except ConfigFileError as error:
        fail(str(error))
    shown = found if everything else not_over(found, now)
    if as_json:
        typer.echo(json.dumps({"silences": [_row(one, now) for one in shown]}, ensure_ascii=False))
        return
    if not shown:
        typer.echo("没有静默")
        return
    rows = [("编号", "状态", "起", "止", "范围", "何人", "原因")]
    for one in shown:
        times = (format_minute(one.starts), format_minute(one.ends))
        rows.append((one.id, _state(one, now), *times, _about(one), one.author, one.comment))
    print_rows(rows)


@app.command()
def expire(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="The silence's id.")],
    by: Annotated[str, typer.Option(help="Who ends it.")],
    file: FileOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """End a silence now. What it held is judged again at once; the silence stays in the file for the record.

    Exit status: 0 ended; 1 it was over already; 2 there is no such silence, or the file cannot be taken.
    """
    from alerting.silences import SilenceOverError, SilencesError, expire_silence

    path, now = _file(file, settings_of(config)), _now()
    try:
        silence = expire_silence(path, silence_id, now, by)
    except SilenceOverError as error:
        err.print(f"hotline-watch: {error}")
        raise typer.Exit(1) from None
    except (SilencesError, ConfigFileError) as error:
        fail(str(error))
    except ValidationError as error:
        fail(_told(error.errors(include_url=False, include_input=False)[0]))
    if as_json:
        typer.echo(json.dumps({"silence": _row(silence, now)}, ensure_ascii=False))
    else:
        typer.echo(f"静默 {silence.id} 已结束")


def _now() -> int:
    """Return the present instant, whole seconds."""
    now = instant_of(datetime.now(UTC))
    return now - now % SECOND


def _file(file: Path | None, settings: Settings) -> Path:
    found = file or settings.silences_file
    if found is None:
        fail("no silences file: give --file, or set silences_file")
    return found


def _end(hours: int | None, until: str | None, starts: int, now: int) -> int:
    if (hours is None) == (until is None):
        fail("say how long it lasts: either --hours or --until")
    ends = instant_option(until, "--until")
    if ends is None:
        assert hours is not None
        # Far more than is taken, and the sum must stay a time that can be written.
        ends = starts + min(hours, 24 * 366) * HOUR
    if ends <= now:
        fail("it would be over already: choose a later end")
    return ends


def _check_words(author: str, comment: str) -> None:
    for name, text in (("--author", author), ("--comment", comment)):
        if mask(text) != text:
            fail(
                f"{name} (not shown) holds what looks like a phone or identity number, an address or account: leave it out"
            )


def _check_rules(settings: Settings, ids: Iterable[str]) -> None:
    """End with status 2 where an id is none of the pack's rules: such a silence would hold nothing, unnoticed."""
    wanted = list(ids)
    if not wanted:
        return
    try:
        known = [rule.id for rule in pack_of(settings.rules_dir).rules]
    except ConfigFileError as error:
        fail(str(error))
    for one in wanted:
        if one not in known:
            fail(f"there is no rule or category {one!r}; there are {', '.join(known)}")


def _silence(fields: dict[str, Any]) -> Silence:
    try:
        return Silence.model_validate(fields)
    except ValidationError as error:
        fail(_told(error.errors(include_url=False, include_input=False)[0]))


def _told(error: "ErrorDetails") -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "matchers")
    problem = error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        problem = "holds characters that are not taken there, or begins with a blank"
    return f"{where}: {problem}" if where else problem


def _add(path: Path, silence: Silence) -> None:
    from alerting.silences import SilencesError, add_silence

    try:
        add_silence(path, silence)
    except (SilencesError, ConfigFileError) as error:
        fail(str(error))


def _row(silence: Silence, now: int) -> dict[str, Any]:
    row = silence.model_dump(mode="json")
    return {**row, "state": silence.state(now).value, "may_cover_red": silence.matchers.may_cover_red}


def _state(silence: Silence, now: int) -> str:
    state = silence.state(now)
    early = f"({silence.expired_by}提前结束)" if state is SilenceState.OVER and silence.expired_by else ""
    return f"{STATE_TITLES[state]}{early}"


def _about(silence: Silence) -> str:
    given = ((title, getattr(silence.matchers, name)) for name, title in MATCHER_TITLES.items())
    return ";".join(f"{title} {'、'.join(values)}" for title, values in given if values)
