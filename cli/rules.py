"""`hotline-watch rules`: checks a pack of rules and runs the cases and texts inside it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import err, fail, out
from cli.running import CalendarOption, LimitsOption, instant_option, pack_of
from models.base import Level
from models.ticket_event import RequestType
from models.times import format_minute
from rules.calendar_file import remarks_on
from rules.engine import Engine, failing_cases
from rules.limits import KINDS, Urgency
from rules.notes import length_told
from rules.pack import Pack, Rule, RuleCase, default_folder, rule_documents
from rules.reckoning import load_reckoning
from rules.stopping import put_off
from rules.text.linting import Problem, Section, frequent_words
from rules.text.linting import lint as lint_cues
from rules.text.screen import Screener
from rules.text_level import FailedText, TextJudge, failing_texts
from rules.texts import CATEGORIES

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path | None, typer.Argument(help="a folder of rules; without it the default pack")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


@app.command()
def lint(
    folder: Folder = None, calendar: CalendarOption = None, limits: LimitsOption = None, as_json: AsJson = False
) -> None:
    """Check a pack as a whole, and the files of the calendar and the limits. Each thing wrong is told as file:line.

    What keeps a file from being loaded ends the check at once. The cues of the text rules are then checked against each other:
    a cue that is innocent too, a cue in two tiers of one category, or a category without facts is an error; a cue twice in one
    list, or a short one inside a frequent word, is a warning. Of a calendar, a year that looks half typed is one.

    Exit status: 0 well, also with warnings; 2 an error.
    """
    pack = pack_of(folder)
    reckoning = load_reckoning(calendar, limits)
    problems = _lint_texts(pack, folder)
    errors = [str(one) for one in problems if one.severity == "error"]
    warnings = [str(one) for one in problems if one.severity == "warning"]
    warnings += remarks_on(calendar) if calendar is not None else []
    if as_json:
        ids = [rule.id for rule in pack.rules]
        answer = {"pack": pack.name, "rules": ids, "calendar_version": reckoning.version}
        answer |= {"errors": errors, "warnings": warnings}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for warning in warnings:
            out.print(f"warning: {warning}")
        for error in errors:
            err.print(f"hotline-watch: {error}")
        if not errors:
            out.print(f"{pack.name}: {len(pack.rules)} rules, all well: {', '.join(rule.id for rule in pack.rules)}")
            last = max(reckoning.calendar.years)
            out.print(f"work days are announced up to {last}: {reckoning.version}", markup=False, soft_wrap=True)
    raise typer.Exit(2 if errors else 0)


def _lint_texts(pack: Pack, folder: Path | None) -> list[Problem]:
    speaking = {rule.id: rule.text for rule in pack.active if rule.text is not None}
    if not speaking:
        return []
    if folder is None:
        with default_folder() as default:
            documents = rule_documents(default)
    else:
        documents = rule_documents(folder)
    sections = [Section(rule_id, text, documents[rule_id]) for rule_id, text in speaking.items()]
    return lint_cues(sections, pack.lexicon, CATEGORIES, frequent_words())


@app.command()
def test(folder: Folder = None, as_json: AsJson = False) -> None:
    """Run the cases that stand in the rules' files, and the texts of the text rules.

    An example must get at least its level from its own rule, by its words alone; a hard negative must stay below yellow by every
    rule. Failures are told by rule and by number in the file's list, from 1; of texts only the numbers.

    Exit status: 0 all come out as they say; 1 one does not; 2 the pack cannot be taken.
    """
    pack = pack_of(folder)
    cases = {rule.id: failing_cases(rule) for rule in pack.rules}
    texts = _failing_texts(pack)
    if as_json:
        typer.echo(json.dumps(_tested(pack, cases, texts), ensure_ascii=False))
    else:
        for rule in pack.rules:
            _show_tested(rule, cases[rule.id], texts[rule.id])
    raise typer.Exit(1 if any(cases.values()) or any(texts.values()) else 0)


@app.command()
def due(
    dispatched_at: Annotated[str, typer.Argument(help="when the ticket is dispatched, such as 2026-09-30T10:00:00")],
    limits: Annotated[Path, typer.Option(help="the city's time limits, as the setting limits_file names them")],
    calendar: CalendarOption = None,
    request_type: Annotated[RequestType | None, typer.Option(help="what kind of request it is")] = None,
    urgency: Annotated[Urgency, typer.Option(help="how urgent it is")] = "normal",
    district: Annotated[str | None, typer.Option(help="its district, as tickets name it")] = None,
    pause: Annotated[
        str | None,
        typer.Option(
            metavar="FROM/TO", help="suspended in between: where that stops the clock, what is left then is left"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which limits a ticket would have and when each ends: a check of the two files before they are put in force.

    Limits that count from the acceptance are shown as if it came with the dispatch; a pause moves those for handling, where the file
    lets a suspension stop their clock and they were not due by then.
    """
    reckoning = load_reckoning(calendar, limits)
    start = instant_option(dispatched_at, "DISPATCHED_AT")
    assert start is not None
    suspended = _span_option(pause)
    profile = reckoning.limits.profile_for(district)
    found: list[dict[str, Any]] = []
    for kind in KINDS if profile is not None else ():
        limit = profile.limit(kind, request_type, urgency) if profile else None
        if profile is None or limit is None:
            continue
        end, announced = reckoning.after(start, limit, profile.counting)
        one = {"limit": kind, "length": str(limit), "ends": format_minute(end), "announced": announced}
        stops = profile.counting.suspension_stops and kind in ("handling", "redo")
        if suspended is not None and stops and start <= suspended[0] < end:
            amount, end, complete = put_off(reckoning, end, suspended, limit, profile.counting)
            one |= {"ends": format_minute(end), "announced": announced and complete}
            one["stood"] = length_told(amount, limit, profile.counting)
        found.append(one)
    if as_json:
        version = reckoning.version
        typer.echo(json.dumps({"calendar_version": version, "limits": found}, ensure_ascii=False))
        return
    for one in found:
        incomplete = "" if one["announced"] else " (counts days that are not announced)"
        stood = f", its clock stood for {one['stood']}" if "stood" in one else ""
        out.print(f"{one['limit']}: {one['length']}, until {one['ends']}{stood}{incomplete}", markup=False)
    if not found:
        out.print("no limit holds for such a ticket")


def _span_option(text: str | None) -> tuple[int, int] | None:
    """Return the two instants of a span. Ends with status 2 where it is none, or runs back."""
    if text is None:
        return None
    first, _, last = text.partition("/")
    start, end = instant_option(first, "--pause"), instant_option(last, "--pause")
    assert start is not None
    assert end is not None
    if end < start:
        fail("--pause: ends before it begins; write it like 2026-10-09T10:00:00/2026-10-12T15:00:00")
    return start, end


def _failing_texts(pack: Pack) -> dict[str, list[FailedText]]:
    if not pack.lexicon.categories:
        return {rule.id: [] for rule in pack.rules}
    screener, judge = Screener(pack.lexicon), TextJudge(Engine(pack))
    return {rule.id: failing_texts(rule, screener, judge) for rule in pack.rules}


def _tested(
    pack: Pack, cases: dict[str, list[tuple[RuleCase, Level | None]]], texts: dict[str, list[FailedText]]
) -> dict[str, Any]:
    return {
        "cases": sum(len(rule.cases) for rule in pack.rules),
        "failed": [
            {"rule": rule_id, "case": case.name, "expected": case.level, "came_out": level}
            for rule_id, wrong in cases.items()
            for case, level in wrong
        ],
        "texts": sum(map(_texts_of, pack.rules)),
        "failed_texts": [
            {
                "rule": one.rule,
                "kind": one.kind,
                "number": one.number,
                "expected": f"at least {one.expected}" if one.kind == "example" else f"below {one.expected}",
                "came_out": dict(one.judged.levels),
            }
            for wrong in texts.values()
            for one in wrong
        ],
    }


def _texts_of(rule: Rule) -> int:
    """Return how many texts of a rule are run."""
    return len(rule.text.examples) + len(rule.text.hard_negatives) if rule.text and rule.status != "off" else 0


def _show_tested(rule: Rule, cases: list[tuple[RuleCase, Level | None]], texts: list[FailedText]) -> None:
    count = _texts_of(rule)
    passed = f"{rule.id} {rule.title}: {len(rule.cases) - len(cases)} of {len(rule.cases)} cases"
    out.print(passed + (f", {count - len(texts)} of {count} texts pass" if count else " pass"))
    for case, level in cases:
        out.print(f"  FAILED {case.name}: expected {case.level}, came out {level.value if level else None}")
    for one in texts:
        came = ", ".join(f"{rule_id} {level}" for rule_id, level in one.judged.levels.items()) or "nothing"
        wanted = (
            f"at least {one.rule} {one.expected}" if one.kind == "example" else f"nothing at {one.expected} or above"
        )
        out.print(f"  FAILED {one.kind.replace('_', ' ')} {one.number}: expected {wanted}, came out {came}")
