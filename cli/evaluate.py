"""`hotline-watch evaluate text`: recall, precision and false alarms of the screening on a labelled set. Shows ids, never texts."""

import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cli.output import fail, out, print_rows
from cli.running import pack_of
from cli.text_lines import STDIN, BadLineError, TextLine, read_set, refuse, shown
from rules import text_scoring
from rules.engine import Engine
from rules.pack import Pack
from rules.text.screen import Screener
from rules.text_level import TextJudge
from rules.text_scoring import NONE, Outcome, Scores, Share
from rules.texts import CATEGORIES

app = typer.Typer(no_args_is_help=True, help="Measure the screening of texts on a labelled set.")

ID_MAX = 128
_SHORT = re.compile("[、(与]")


@app.callback()
def evaluate() -> None:
    """Measure the screening of texts on a labelled set."""


@app.command()
def text(
    labelled: Annotated[
        Path,
        typer.Argument(
            metavar="SET.jsonl",
            help="JSON lines {text, labels, request_type?, field?, id?}; labels [] for none; - is stdin",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    rules: Annotated[Path | None, typer.Option(help="a folder of rules in place of the default pack")] = None,
    worst: Annotated[int, typer.Option(min=0, help="how many of the worst misses and false alarms to list")] = 20,
) -> None:
    """Print recall, precision and false-alarm rate over all and by category, each with its 95 % Wilson interval.

    A category is found where its own rule gives the text alone a level, blue or higher.
    Recall: of all labels expected, the share found; a line with several labels counts each.
    Precision: of all labels found, on lines with and without labels, the share expected there.
    False-alarm rate: of the lines without labels, the share that gets any level, and the share that gets yellow or red; by
    category, the share in which that category is found, or is yellow or red.

    The confusion table counts lines by a category expected and a category found; a line with several stands in several cells,
    and `none` is no label at all. The worst misses are those where nothing was found; they are told by id or line number, without
    their texts. Exit status: 0 measured, whatever the result; 2 the set or the pack cannot be taken.
    """
    pack = pack_of(rules)
    outcomes = _judged(labelled, pack)
    if not outcomes:
        fail(f"{'stdin' if labelled == STDIN else labelled}:1: holds no line: a set has at least one labelled text")
    if as_json:
        typer.echo(json.dumps(text_scoring.as_record(outcomes, worst), ensure_ascii=False))
    else:
        _show(outcomes, pack, worst)


def _judged(path: Path, pack: Pack) -> list[Outcome]:
    screener, judge = Screener(pack.lexicon), TextJudge(Engine(pack))
    first_lines: dict[str, int] = {}
    outcomes = []
    for line in read_set(path):
        try:
            expected, name = _labels(line), _id(line)
            if name is not None and (first := first_lines.setdefault(name, line.number)) != line.number:
                raise BadLineError(f"its id is that of line {first}: give each line its own, or none")
        except BadLineError as error:
            refuse(path, line.number, str(error))
        judged = judge.judge(screener.screen(line.text, line.field), line.request_type, line.field)
        found = {label: judged.levels[label] for label in judged.labels}
        outcomes.append(Outcome(line.number, name, expected, found, judged.level))
    return outcomes


def _labels(line: TextLine) -> frozenset[str]:
    labels = line.data.get("labels")
    if not isinstance(labels, list):
        problem = "is no list" if "labels" in line.data else "is missing"
        raise BadLineError(f'labels {problem}: write "labels": [] where nothing is to be found')
    for label in labels:
        if label not in CATEGORIES:
            raise BadLineError(f"the label {shown(label)} is unknown: write {', '.join(CATEGORIES)}")
    if len(set(labels)) < len(labels):
        raise BadLineError("a label stands twice: write each once")
    return frozenset(labels)


def _id(line: TextLine) -> str | None:
    name = line.data.get("id")
    if name is None:
        return None
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= ID_MAX
        or any(unicodedata.category(one)[0] == "C" for one in name)
    ):
        raise BadLineError(f"id is no name: write up to {ID_MAX} printable characters, a whole number, or leave it out")
    return name


def _show(outcomes: list[Outcome], pack: Pack, worst: int) -> None:
    labelled = sum(bool(one.expected) for one in outcomes)
    out.print(f"{len(outcomes):,} lines: {labelled:,} with labels, {len(outcomes) - labelled:,} without")
    names = text_scoring.categories_in(outcomes)
    titles = {rule.id: _SHORT.split(rule.title)[0] for rule in pack.rules}
    rows = [
        ["", "recall", "precision", "false alarms", "yellow or red"],
        ["all", *_cells(text_scoring.score(outcomes))],
        *([f"{name} {titles.get(name, '')}", *_cells(text_scoring.score_category(outcomes, name))] for name in names),
    ]
    out.print("\nShares, their 95 % intervals, and what they are of")
    print_rows(rows)
    found = text_scoring.confusion(outcomes)
    columns = [name for name in (*names, NONE) if any(name in row for row in found.values())]
    rows = [["", *columns], *([name, *(str(row.get(column, "")) for column in columns)] for name, row in found.items())]
    out.print("\nLines by category expected (rows) and found (columns)")
    print_rows(rows)
    _show_lines("Worst misses", text_scoring.worst_misses(outcomes, worst))
    _show_lines("Worst false alarms", text_scoring.worst_false_alarms(outcomes, worst))


def _cells(scores: Scores) -> list[str]:
    return [_cell(one) for one in (scores.recall, scores.precision, scores.flagged, scores.raised)]


def _cell(share: Share) -> str:
    if share.value is None:
        return "–"
    low, high = share.interval
    return f"{share.value:.1%} ({low * 100:.0f}–{high * 100:.0f}) {share.part}/{share.whole}"


def _show_lines(title: str, outcomes: Iterable[Outcome]) -> None:
    lines = list(outcomes)
    if not lines:
        return
    out.print(f"\n{title}")
    for one in lines:
        found = ", ".join(f"{name} {level}" for name, level in sorted(one.found.items())) or NONE
        expected = ", ".join(sorted(one.expected)) or NONE
        out.print(f"  {one.id or f'line {one.line}'}: expected {expected}; found {found}")
