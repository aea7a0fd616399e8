"""`hotline-watch restore`: a backup becomes an installation again."""

import json
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.configured import refusals
from cli.output import err, fail, out

if TYPE_CHECKING:
    from streams.archive_header import Header
    from streams.restore import Lacking

app = typer.Typer()


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    to: Annotated[Path | None, typer.Option("--to", help="a directory that is not there yet, or empty")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only read it to its end and compare its checksums.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a backup into a new directory: the configuration into it, the data into its `data/`; then start `up` over it.

    A file that is damaged, cut short or of another program is refused, and then nothing is there. Modes are kept, but
    nothing is readable by everybody. What the backup does not hold (settings, secrets) is named, with what to do. Never
    run the old installation and the restored one at once: both would send.

    Exit status: 0 restored (or sound), 2 refused.
    """
    from streams.archive import ArchiveError
    from streams.restore import check_backup, restore_backup

    if (to is None) != check:
        fail("say --to DIR, or --check alone")
    started = time.monotonic()
    try:
        with refusals():
            if to is None:
                header, lacking = check_backup(file)
                _say_lacking(lacking)
                _say(as_json, header, {"sound": True, "lacking": asdict(lacking)}, f"{file} is sound")
                return
            restored = restore_backup(file, to)
    except ArchiveError as error:
        fail(str(error))
    seconds = time.monotonic() - started
    header = restored.header
    for name, path in header.elsewhere.items():
        err.print(
            f"{path} lay outside the settings file's folder; it is {to / name} now: put it back, or change the setting"
        )
    for bound in restored.bound:
        err.print(f"{bound} names files of {header.folder}, where the backup was made: change them to {to}")
    _say_lacking(restored.lacking)
    where = {
        "data": str(restored.data_dir),
        "config": None if restored.config is None else str(restored.config),
        "seconds": round(seconds, 1),
        "elsewhere": header.elsewhere,
        "bound": [str(path) for path in restored.bound],
        "lacking": asdict(restored.lacking),
    }
    command = ["hotline-watch", "up", "--data", str(restored.data_dir)]
    if restored.config is not None:
        command += ["--config", str(restored.config)]
    _say(as_json, header, where, f"restored in {seconds:.1f} s; go on with: {shlex.join(command)}")


def _say_lacking(lacking: "Lacking") -> None:
    """Say on standard error what the backup does not hold, and what to do."""
    if lacking.settings:
        err.print(
            "no settings file is in it, nor the subscribers and secrets that one names: put the installation's own there before "
            "`up`, the same pseudonym secret above all (with another nobody is recognised again); "
            "`backup --config FILE` keeps them"
        )
    for path in lacking.files:
        err.print(f"{path} is named by the settings, and it is not in the backup or cannot be read: put it there")
    if lacking.variables:
        err.print(f"secrets from the environment are not in it, set them again: {', '.join(lacking.variables)}")


def _say(as_json: bool, header: "Header", more: dict[str, Any], said: str) -> None:
    if as_json:
        typer.echo(json.dumps({"made_at": header.made_at, "made_by": header.made_by, **more}))
        return
    out.print(f"made at {header.made_at} by {header.made_by}")
    out.print(said)
