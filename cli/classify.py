"""`hotline-watch classify`: what a text tells of, cue by cue, and the level that it has by itself."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import err, fail
from cli.running import pack_of
from cli.text_lines import STDIN, BadLineError, known_field, known_request_type, read_set, read_text
from cli.text_shown import Classified, as_record, show
from rules.engine import Engine
from rules.text.screen import Screener
from rules.text_level import TextJudge

app = typer.Typer()


@app.command()
def classify(
    file: Annotated[
        Path, typer.Argument(help="a file with one text in UTF-8; without it (or -) standard input")
    ] = STDIN,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", help="a set instead: JSON lines {text, request_type?, field?}; - is stdin")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="show every cue and what each gate said of it")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable output")] = False,
    rules: Annotated[Path | None, typer.Option(help="a folder of rules in place of the default pack")] = None,
    request_type: Annotated[
        str | None,
        typer.Option(
            help="what it was registered as; a consultation or praise counts only where it accuses all the same"
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(help="title, content or comment; what units write (reason, reply, …) is never screened"),
    ] = None,
) -> None:
    """Show what a text tells of: its categories, and the level it has by itself, before anything happened to a ticket.

    With --jsonl each line gives one line {"labels": […], "level": null|"blue"|"yellow"|"red"}, in the same order, as it is
    read; blank lines give none. The first line that cannot be taken ends the run with status 2, naming file:line.
    The text is shown on standard output alone. Only its first 20,000 characters are read.
    """
    try:
        kind, place = known_request_type(request_type), known_field(field)
    except BadLineError as error:
        fail(f"--{str(error).replace('request_type', 'request-type', 1)}")
    if jsonl is not None and (explain or file != STDIN):
        fail("--jsonl takes a set of texts: FILE and --explain are for one text")
    pack = pack_of(rules)
    screener, judge = Screener(pack.lexicon), TextJudge(Engine(pack))
    if jsonl is not None:
        _classify_set(jsonl, screener, judge, kind, place)
        return
    if file == STDIN and sys.stdin.isatty():
        err.print("reading the text from this terminal; end it with Ctrl-D")
    text = read_text(file)
    screened = screener.explain(text, place) if explain else screener.screen(text, place)
    told = Classified(text, place, kind, screened, judge.judge(screened, kind, place), pack)
    if as_json:
        typer.echo(json.dumps(as_record(told, explain=explain), ensure_ascii=False))
    else:
        show(told, explain=explain)


def _classify_set(path: Path, screener: Screener, judge: TextJudge, kind: str | None, place: str) -> None:
    for line in read_set(path, kind, place):
        judged = judge.judge(screener.screen(line.text, line.field), line.request_type, line.field)
        answer: dict[str, Any] = {"labels": judged.labels, "level": judged.level}
        typer.echo(json.dumps(answer))
