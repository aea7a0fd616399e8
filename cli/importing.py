"""`hotline-watch import`: another system's CSV export becomes ticket events.

Exit status: 0 done, 1 rows were rejected and `--strict` is given,
2 wrong usage, an unreadable file or mapping, no broker.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.importing import Rejection, Report, Sample
    from streams.importing.mapping import Mapping
    from streams.importing.sinks import Sink

_REJECTIONS_SHOWN = 10


class Target(StrEnum):
    """Where the events go."""

    KAFKA = "kafka"
    JSONL = "jsonl"


def import_events(
    file: Annotated[Path, typer.Argument(help="The CSV file, plain or gzip.")],
    mapping: Annotated[str, typer.Option(help="A mapping file, or the name of an included one.")],
    to: Annotated[Target, typer.Option(help="Where the events go.")] = Target.KAFKA,
    out: Annotated[
        str, typer.Option(help="With `--to jsonl`: the file (.gz is packed); `-` is the standard output.")
    ] = "-",
    rejects: Annotated[
        Path | None, typer.Option(help="Write each rejected row's line and reason here, as JSON Lines.")
    ] = None,
    dry_run: Annotated[
        int | None, typer.Option(min=0, help="Send nothing; show the first N events and every rejected row.")
    ] = None,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Mark every event as history: no warning is pushed.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a row was rejected.")] = False,
    encoding: Annotated[str | None, typer.Option(help="utf-8 or gb18030; wins over the mapping's.")] = None,
    bootstrap_servers: Annotated[
        str,
        typer.Option(help="HOST:PORT of a broker, several comma-separated.", envvar="HOTLINE_WATCH_BOOTSTRAP_SERVERS"),
    ] = "127.0.0.1:9092",
    topic: Annotated[str | None, typer.Option(help="The topic; by default the service's own.")] = None,
    prefix: Annotated[str, typer.Option(help="Put before the topic's name.", envvar="HOTLINE_WATCH_TOPIC_PREFIX")] = "",
    timeout_seconds: Annotated[
        float, typer.Option(min=0.1, help="How long to wait for the first answer of Kafka.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Read a CSV file by a mapping and send its ticket events to Kafka, or write them as JSON Lines."""
    from models.strict_yaml import ConfigFileError
    from streams.importing import ImportFault, JsonLines, Sample, load_mapping
    from streams.topics import TopicSet

    sample = None if dry_run is None else Sample(dry_run)

    def sink() -> Sink:
        if sample is not None:
            return sample
        if to is Target.JSONL:
            return JsonLines(out)
        from streams.importing.kafka_sink import KafkaTopic

        return KafkaTopic(
            bootstrap_servers, topic or TopicSet(prefix=prefix).ticket_events, timeout_seconds=timeout_seconds
        )

    try:
        loaded = load_mapping(mapping)
        if encoding is not None:
            loaded = loaded.with_encoding(encoding)
        report, rejected = _run(file, loaded, sink, rejects, backfill=backfill)
    except (ImportFault, ConfigFileError) as fault:
        typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(2) from None
    # The events own the standard output where they are written to it.
    own_stdout = sample is not None or to is Target.KAFKA or out != "-"
    _show(report, rejected, sample, as_json=as_json, to_stderr=not own_stdout)
    if strict and rejected:
        raise typer.Exit(1)


def _run(
    file: Path, mapping: Mapping, sink: Callable[[], Sink], rejects: Path | None, *, backfill: bool
) -> tuple[Report, list[Rejection]]:
    from streams.importing import run_import

    rejected: list[Rejection] = []
    with _rejects_file(rejects) as target, _progress(file) as progress:
        report = run_import(
            file,
            mapping,
            sink(),
            on_rejection=rejected.append,
            on_progress=progress,
            constants={"backfill": True} if backfill else None,
        )
        rejected.sort()
        if target is not None:
            target.writelines(json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in rejected)
    return report, rejected


@contextlib.contextmanager
def _rejects_file(path: Path | None) -> Iterator[IO[str] | None]:
    """Open the file before anything is sent: it must not turn out afterwards that it cannot be written."""
    from streams.importing import ImportFault

    if path is None:
        yield None
        return
    try:
        target = path.open("w", encoding="utf-8")
    except OSError as error:
        raise ImportFault(f"{path} cannot be written: {error.strerror}") from None
    with target:
        yield target


@contextlib.contextmanager
def _progress(file: Path) -> Iterator[Callable[[str, int], None] | None]:
    """A bar on the standard error, where a person looks at it."""
    if not sys.stderr.isatty() or not file.exists():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks = {
            "bytes": bar.add_task("reading", total=file.stat().st_size),
            "rows": bar.add_task("converting", total=None),
        }
        yield lambda what, done: bar.update(tasks[what], completed=done)


def _show(report: Report, rejected: list[Rejection], sample: Sample | None, *, as_json: bool, to_stderr: bool) -> None:
    if as_json:
        answer = report.as_dict()
        if sample is not None:
            answer["first_events"] = [json.loads(body) for body in sample.events]
            answer["rejections"] = [one._asdict() for one in rejected]
        typer.echo(json.dumps(answer, ensure_ascii=False), err=to_stderr)
        return
    if sample is not None:
        for body in sample.events:
            typer.echo(body.decode())
    shown = rejected if sample is not None else rejected[:_REJECTIONS_SHOWN]
    for one in shown:
        typer.echo(f"line {one.line}: {one.reason}: {one.detail}", err=True)
    if len(shown) < len(rejected):
        typer.echo(f"… and {len(rejected) - len(shown)} more rejected rows: `--rejects FILE` lists them all", err=True)
    _show_counts(report, dry=sample is not None, to_stderr=to_stderr)


def _show_counts(report: Report, *, dry: bool, to_stderr: bool) -> None:
    def say(text: str) -> None:
        typer.echo(text, err=to_stderr)

    say(f"{report.rows} rows read, {report.rejected.total()} rejected, {report.rows_without_event} without event")
    for reason, count in report.rejected.most_common():
        say(f"  rejected {reason}: {count}")
    if report.repeated_rows:
        say(f"  {report.repeated_rows} repeat the row before and were passed over")
    say(f"{report.events.total()} events {'would be sent' if dry else 'sent'}")
    for kind, count in report.events.most_common():
        say(f"  {kind}: {count}")
    if report.columns_not_read:
        say(f"columns that the mapping does not read: {', '.join(report.columns_not_read)}")


app = typer.Typer()
app.command()(import_events)
