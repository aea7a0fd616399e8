"""`hotline-watch rules`: checks a pack of rules and runs the cases and texts inside it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import err, out
from cli.running import pack_of
from models.base import Level
from rules.engine import Engine, failing_cases
from rules.pack import Pack, Rule, RuleCase, default_folder, rule_documents
from rules.text.linting import Problem, Section, frequent_words
from rules.text.linting import lint as lint_cues
from rules.text.screen import Screener
from rules.text_level import FailedText, TextJudge, failing_texts
from rules.texts import CATEGORIES

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path | None, typer.Argument(help="a folder of rules; without it the default pack")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


@app.command()
def lint(folder: Folder = None, as_json: AsJson = False) -> None:
    """Check a pack as a whole. Each thing wrong is told as file:line.

    What keeps a file from being loaded ends the check at once. The cues of the text rules are then checked against each other:
    a cue that is innocent too, a cue in two tiers of one category, or a category without facts is an error; a cue twice in one
    list, or a short one inside a frequent word, is a warning.

    Exit status: 0 well, also with warnings; 2 an error.
    """
    pack = pack_of(folder)
    problems = _lint_texts(pack, folder)
    errors = [str(one) for one in problems if one.severity == "error"]
    warnings = [str(one) for one in problems if one.severity == "warning"]
    if as_json:
        ids = [rule.id for rule in pack.rules]
        answer = {"pack": pack.name, "rules": ids, "errors": errors, "warnings": warnings}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for warning in warnings:
            out.print(f"warning: {warning}")
        for error in errors:
            err.print(f"hotline-watch: {error}")
        if not errors:
            out.print(f"{pack.name}: {len(pack.rules)} rules, all well: {', '.join(rule.id for rule in pack.rules)}")
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
