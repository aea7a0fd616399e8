"""`hotline-watch backup`: everything of one machine in one file."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.configured import ConfigOption, config_of, refusals, settings_of
from cli.output import err, fail, out

app = typer.Typer()


@app.command()
def backup(
    data: Annotated[Path, typer.Option("--data", help="the data directory of `up`")],
    to: Annotated[Path, typer.Option("--to", help="the new file; best on another disk")],
    config: ConfigOption = None,
    state_only: Annotated[
        bool, typer.Option("--state-only", help="The data directory alone: no settings, subscribers and secrets.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write state, deliveries, configuration and secrets of one machine into one file, for its owner alone.

    A running `up` holds still meanwhile (all its processes stop and are started again): nothing is lost, tickets wait in
    the sending system or are refused by the broker for that time. Without --config, the settings file is the one that the
    running `up` was started with, or that HOTLINE_WATCH_CONFIG names; where none is known, no backup is made. The file
    holds citizens' identities and every secret: keep it as the data itself.

    Exit status: 0 made, 2 it cannot be made.
    """
    from models.strict_yaml import ConfigFileError
    from streams.archive import ArchiveError
    from streams.backup import make_backup
    from streams.backup_config import ConfigFiles, MissingFileError, config_files

    if state_only and config is not None:
        fail("say --config FILE, or --state-only")
    started = time.monotonic()
    try:
        if state_only:
            files = ConfigFiles()
        else:
            config = config or _known_config(data)
            files = config_files(settings_of(config), config, data)
            if config is None and not files.sources:
                fail(
                    "which settings the installation has is not known, and without them no subscriber and no secret would be in the "
                    "backup: say --config FILE, or --state-only for the data directory alone"
                )
        with refusals():
            made = make_backup(data, files, to, time.time_ns() // 1000)
    except (ArchiveError, MissingFileError, ConfigFileError) as error:
        fail(str(error))
    seconds = time.monotonic() - started
    if files.from_environment:
        err.print(f"not in it, for they come from the environment: {', '.join(files.from_environment)}")
    if state_only:
        err.print("settings, subscribers and secrets are not in it: keep them apart")
    elif config is None:
        err.print("no settings file is in it: the settings came from the environment, keep them apart")
    if as_json:
        answer = {
            "file": str(to.absolute()),
            "bytes": made.file_bytes,
            "files": made.written.files,
            "seconds": round(seconds, 1),
            "config": None if config is None else str(config),
            "from_environment": list(files.from_environment),
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    out.print(f"{to}: {made.written.files} files, {made.file_bytes / 1e6:.1f} MB, in {seconds:.1f} s")


def _known_config(data: Path) -> Path | None:
    """Return the settings file of the running `up`, or the one that the environment names; None where neither does."""
    from streams.hold import is_up, said_running

    if is_up(data):
        running = said_running(data)
        if running is None:
            fail(
                "`up` is starting, and has not said yet which settings it runs with: try again in a minute, or say --config"
            )
        if running.config is not None:
            return running.config
    return config_of(None)
