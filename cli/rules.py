"""`hotline-watch rules`: checks a pack of rules and runs the cases inside it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.output import out
from cli.running import pack_of
from rules.engine import failing_cases

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path | None, typer.Argument(help="a folder of rules; without it the default pack")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


@app.command()
def lint(folder: Folder = None, as_json: AsJson = False) -> None:
    """Check a pack as a whole; the first thing wrong is told as file:line, with exit status 2."""
    pack = pack_of(folder)
    if as_json:
        typer.echo(json.dumps({"pack": pack.name, "rules": [rule.id for rule in pack.rules]}))
    else:
        out.print(f"{pack.name}: {len(pack.rules)} rules, all well: {', '.join(rule.id for rule in pack.rules)}")


@app.command()
def test(folder: Folder = None, as_json: AsJson = False) -> None:
    """Run the cases that stand in the rules' files; exit status 1 where one comes out otherwise."""
    pack = pack_of(folder)
    results = {rule.id: failing_cases(rule) for rule in pack.rules}
    failed = sum(len(wrong) for wrong in results.values())
    if as_json:
        wrong_cases = [
            {"rule": rule_id, "case": case.name, "expected": case.level, "came_out": level}
            for rule_id, wrong in results.items()
            for case, level in wrong
        ]
        typer.echo(
            json.dumps(
                {"cases": sum(len(rule.cases) for rule in pack.rules), "failed": wrong_cases}, ensure_ascii=False
            )
        )
    else:
        for rule in pack.rules:
            wrong = results[rule.id]
            out.print(f"{rule.id} {rule.title}: {len(rule.cases) - len(wrong)} of {len(rule.cases)} cases pass")
            for case, level in wrong:
                out.print(f"  FAILED {case.name}: expected {case.level}, came out {level.value if level else None}")
    raise typer.Exit(1 if failed else 0)
