"""One import as the command line asks for it: checked, run, shown."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import typer

from cli.importing_options import Target
from cli.importing_reference import check_options, import_table, is_of_reference, mapping_of
from cli.importing_show import say, say_json, show
from models.strict_yaml import ConfigFileError
from models.times import ImpossibleTimeError, format_instant, parse_instant
from streams.importing import (
    ImportFault,
    ImportState,
    JsonLines,
    Mapping,
    Rejection,
    Rejections,
    Report,
    Sample,
    Sink,
    SnapshotOptions,
    load_mapping,
    run_import,
    run_lines,
    run_snapshot,
)
from streams.importing.event_lines import check_lines
from streams.importing.header import HeaderMismatch
from streams.importing.reference_mapping import TableMapping
from streams.importing.report import LoadReport


@dataclass(frozen=True)
class Way:
    """The way to Kafka."""

    bootstrap_servers: str | None
    topic: str | None
    prefix: str | None
    timeout_seconds: float
    config: Path | None


@dataclass(frozen=True)
class Job:
    """The options of the command, but for the file."""

    mapping: str | None
    """None: the files are of ticket events"""
    to: Target
    out: str
    rejects: Path | None
    dry_run: int | None
    backfill: bool | None
    strict: bool
    encoding: str | None
    sheets: tuple[str, ...]
    snapshot: bool
    state: Path | None
    baseline: bool
    at: str | None
    accept_vanished: bool
    way: Way
    as_json: bool

    def check(self, *, watched: bool) -> None:
        """Raise BadParameter where options do not go together."""
        of_tables = self.snapshot or self.encoding is not None or self.sheets or self.at is not None
        if self.mapping is None and of_tables:
            raise typer.BadParameter(
                "--snapshot, --encoding, --sheet and --at are for tables: give --mapping NAME or FILE"
            )
        of_reference = is_of_reference(self.mapping)
        if of_reference:
            check_options(self)
        if not self.snapshot and (self.baseline or self.accept_vanished):
            raise typer.BadParameter("--baseline and --accept-vanished go with --snapshot")
        if self.snapshot and self.state is None and not watched and not of_reference:
            raise typer.BadParameter("--snapshot needs --state FILE: what was last seen is kept there")
        if watched and (self.at is not None or self.dry_run is not None or self.rejects is not None or self.baseline):
            raise typer.BadParameter("--at, --dry-run, --rejects and --baseline are for one file, not for --watch")
        if watched and self.to is Target.JSONL:
            raise typer.BadParameter("--watch sends to Kafka: files of JSON Lines would overwrite each other")

    @property
    def owns_stdout(self) -> bool:
        """Tell whether the report may be printed there: not where the events are."""
        return self.dry_run is not None or self.to is Target.KAFKA or self.out != "-"

    def load(self) -> Mapping | TableMapping | None:
        """Return the mapping, read as the options say; None for files of ticket events. Raises ConfigFileError."""
        if self.mapping is None:
            return None
        if is_of_reference(self.mapping):
            return mapping_of(self)
        changed: dict[str, object] = {}
        if self.encoding is not None:
            changed["encoding"] = self.encoding
        if self.sheets:
            changed["sheets"] = list(self.sheets)
        return load_mapping(self.mapping).with_input(**changed) if changed else load_mapping(self.mapping)

    def sink(self, *, resumed: bool = False) -> Sink:
        """Open where the events go; `resumed`: those of an earlier run that broke off. Raises ImportFault."""
        if self.to is Target.JSONL:
            if not resumed or self.out == "-":
                return JsonLines(self.out)
            return JsonLines(str(Path(self.out).with_name(f"resumed-{Path(self.out).name}")))
        from cli.configured import cluster_of
        from streams.importing.kafka_sink import KafkaTopic

        servers, topics = cluster_of(self.way.config, self.way.bootstrap_servers, self.way.prefix)
        return KafkaTopic(servers, self.way.topic or topics.ticket_events, timeout_seconds=self.way.timeout_seconds)

    def check_topic(self) -> None:
        """Raise ImportFault where `--topic` is one that no import may write to, before a file is looked at."""
        if self.way.topic is None or self.to is not Target.KAFKA:
            return
        from cli.configured import cluster_of
        from streams.importing.topic import check_topic

        _, topics = cluster_of(self.way.config, self.way.bootstrap_servers, self.way.prefix)
        own = topics.reference if is_of_reference(self.mapping) else topics.ticket_events
        check_topic(self.way.topic, topics, own)

    @property
    def now_ms(self) -> int | None:
        """Return the time by which Kafka will judge whether an event is ahead; None where no Kafka takes it."""
        return time.time_ns() // 1_000_000 if self.to is Target.KAFKA else None

    def file_time(self) -> str | None:
        """Return `--at`, with its offset. Raises ImportFault where it is no time."""
        if self.at is None:
            return None
        try:
            return format_instant(parse_instant(self.at))
        except ImpossibleTimeError as error:
            raise ImportFault(f"--at: {error}: write it as 2025-06-18T02:00:00+08:00") from None


def run_job(job: Job, file: Path) -> None:
    """Import one file and show what was done. Ends with the exit status."""
    sample = None if job.dry_run is None else Sample(job.dry_run)
    try:
        job.check_topic()
        mapping = job.load()
        with contextlib.ExitStack() as stack:
            rejected = stack.enter_context(contextlib.closing(Rejections()))
            target = stack.enter_context(_rejects_file(job.rejects))
            state = None
            if job.snapshot and job.state is not None:
                state = ImportState(job.state, create=sample is None)
                stack.callback(state.close)
            with progress(file, quiet=job.as_json) as bar:
                report = import_file(job, mapping, state, file, sample, rejected.append, bar)
            if target is not None:
                target.writelines(json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in rejected)
            show(report, rejected, sample, as_json=job.as_json, to_stderr=not job.owns_stdout)
    except (ImportFault, ConfigFileError) as fault:
        fail(job, fault)
    if job.strict and report.rejected.total():
        raise typer.Exit(1)


def import_file(
    job: Job,
    mapping: Mapping | TableMapping | None,
    state: ImportState | None,
    file: Path,
    sample: Sample | None,
    on_rejection: Callable[[Rejection], None],
    on_progress: Callable[[str, int], None] | None = None,
    *,
    sha256: str | None = None,
    before_sending: Callable[[], None] | None = None,
) -> Report | LoadReport:
    """Import one file as the job says; into the sample where there is one. Raises ImportFault and ConfigFileError."""
    if isinstance(mapping, TableMapping):
        return import_table(job, mapping, file, sample, on_rejection, on_progress, before_sending)
    if mapping is None:
        check_lines(file)  # before Kafka is asked: a table lacks a mapping, whether a broker answers or not
        return run_lines(
            file,
            sample or job.sink(),
            backfill=job.backfill,
            now_ms=job.now_ms,
            on_rejection=on_rejection,
            on_progress=on_progress,
            before_sending=before_sending,
        )
    if not job.snapshot:
        stated = mapping.file.constants.get("backfill")
        history = job.backfill if job.backfill is not None else stated is None or bool(stated)
        return run_import(
            file,
            mapping,
            sample or job.sink(),
            on_rejection=on_rejection,
            on_progress=on_progress,
            constants={"backfill": history} if history or stated else None,
            file_time=job.file_time(),
            before_sending=before_sending,
            now_ms=job.now_ms,
        )
    assert state is not None
    options = SnapshotOptions(
        backfill=job.backfill,
        baseline=job.baseline,
        at=job.file_time(),
        accept_vanished=job.accept_vanished,
        sha256=sha256,
        keep=sample is None,
        now_ms=job.now_ms,
        clock_ms=time.time_ns() // 1_000_000,
    )
    return run_snapshot(
        file,
        mapping,
        state,
        lambda resumed: sample or job.sink(resumed=resumed),
        options,
        on_rejection=on_rejection,
        on_progress=on_progress,
        before_sending=before_sending,
    )


def fail(job: Job, fault: ImportFault | ConfigFileError) -> NoReturn:
    """Say what is wrong, as JSON where that is wanted, and end with status 2."""
    if job.as_json:
        told: dict[str, object] = {"error": str(fault)}
        if isinstance(fault, HeaderMismatch):
            missing = [
                {"column": one.name, "line": line, "alike_column": one.alike}
                for one, line in zip(fault.missing, fault.lines, strict=True)
            ]
            told |= {"columns_missing": missing, "columns_in_file": fault.columns}
        say_json(told, err=not job.owns_stdout)
    say(f"error: {fault}", err=True)
    raise typer.Exit(2) from None


@contextlib.contextmanager
def _rejects_file(path: Path | None) -> Iterator[IO[str] | None]:
    """Open the file before anything is sent: it must not turn out afterwards that it cannot be written."""
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
def progress(file: Path, *, quiet: bool) -> Iterator[Callable[[str, int], None] | None]:
    """A bar on the standard error, where a person looks at it."""
    if quiet or not sys.stderr.isatty() or not file.exists():
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
