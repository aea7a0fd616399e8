"""`hotline-watch import --watch`: files dropped in a folder, each once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import typer

from cli.importing_job import Job, fail, import_file, progress
from cli.importing_show import lines_of, say, say_json
from models.strict_yaml import ConfigFileError
from streams.importing import ImportFault, ImportState, Mapping, Rejection, Report
from streams.importing.reference_mapping import TableMapping
from streams.importing.report import LoadReport
from streams.importing.snapshot import check_usable
from streams.importing.watching import Ending, Outcome, Watcher

STATE_NAME = ".hotline-watch-import.sqlite"


def watch_folder(job: Job, folder: Path, *, once: bool, every_seconds: float, settle_seconds: float) -> None:
    """Import what is dropped in the folder until SIGTERM or SIGINT, or with `once` until nothing is left. Ends with the status.

    A file being imported is finished first; its events would be sent again otherwise.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if not folder.is_dir():
            raise ImportFault(f"{folder} is no folder")
        job.check_topic()
        mapping = job.load()
        if job.snapshot and isinstance(mapping, Mapping):
            check_usable(mapping)
        state = ImportState(job.state or folder / STATE_NAME)
    except (ImportFault, ConfigFileError) as fault:
        fail(job, fault)

    def take(
        path: Path, sha256: str, unchanged: Callable[[], None], on_rejection: Callable[[Rejection], None]
    ) -> Report | LoadReport:
        with progress(path, quiet=job.as_json) as bar:
            return import_file(
                job, mapping, state, path, None, on_rejection, bar, sha256=sha256, before_sending=unchanged
            )

    try:
        watcher = Watcher(
            folder,
            state,
            take,
            clock=time.monotonic,
            settle_seconds=settle_seconds,
            snapshots=job.snapshot or isinstance(mapping, TableMapping),
        )
        endings, rejected = _watch(job, watcher, stop, every_seconds, once=once)
    except ImportFault as fault:
        fail(job, fault)
    finally:
        state.close()
    if once and endings & {Ending.POSTPONED, Ending.FAILED}:
        raise typer.Exit(2)
    if once and job.strict and rejected:
        raise typer.Exit(1)


def _watch(
    job: Job, watcher: Watcher, stop: threading.Event, every_seconds: float, *, once: bool
) -> tuple[set[Ending], bool]:
    """Return what became of the files, and whether a row was rejected."""
    endings: set[Ending] = set()
    rejected = False
    told: dict[str, str | None] = {}  # of each file that waits, why, as it was said
    while not stop.is_set():
        for outcome in watcher.look():
            endings.add(outcome.ending)
            rejected |= outcome.report is not None and outcome.report.rejected.total() > 0
            waits = outcome.ending is Ending.POSTPONED
            if not waits or told.get(outcome.file) != outcome.problem:
                _show(job, outcome)
            if waits:
                told[outcome.file] = outcome.problem
            else:
                told.pop(outcome.file, None)
            if stop.is_set():
                break
        if once and (not watcher.unsettled or Ending.POSTPONED in endings):
            break
        stop.wait(every_seconds)
    return endings, rejected


def _show(job: Job, outcome: Outcome) -> None:
    if job.as_json:
        say_json(outcome.as_dict())
        return
    if outcome.problem is not None:
        say(f"{outcome.file}: {outcome.ending.value.replace('_', ' ')}: {outcome.problem}", err=True)
    if outcome.report is not None:
        say(f"{outcome.file}: imported")
        for line in lines_of(outcome.report):
            say(f"  {line}")
