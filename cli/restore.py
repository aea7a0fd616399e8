"""`hotline-watch restore`: a backup becomes an installation again."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.configured import refusals
from cli.output import err, fail, out

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
    nothing is readable by everybody. Never run the old installation and the restored one at once: both would send.

    Exit status: 0 restored (or sound), 2 refused.
    """
    from streams.archive import ArchiveError, check_archive
    from streams.backup import restore_backup

    if (to is None) != check:
        fail("say --to DIR, or --check alone")
    started = time.monotonic()
    try:
        with refusals():
            if to is None:
                _say(as_json, check_archive(file), {"sound": True}, f"{file} is sound")
                return
            restored = restore_backup(file, to)
    except ArchiveError as error:
        fail(str(error))
    seconds = time.monotonic() - started
    config = "" if restored.config is None else f" --config {restored.config}"
    for name, path in restored.header.get("elsewhere", {}).items():
        err.print(
            f"{path} lay outside the settings file's folder; it is {to / name} now: put it back, or change the setting"
        )
    for path in restored.bound:
        err.print(f"{path} names files of {restored.header['folder']}, where the backup was made: change them to {to}")
    where = {
        "data": str(restored.data_dir),
        "config": None if restored.config is None else str(restored.config),
        "seconds": round(seconds, 1),
        "elsewhere": restored.header.get("elsewhere", {}),
        "bound": [str(path) for path in restored.bound],
    }
    said = f"restored in {seconds:.1f} s; go on with: hotline-watch up --data {restored.data_dir}{config}"
    _say(as_json, restored.header, where, said)


def _say(as_json: bool, header: dict[str, Any], more: dict[str, Any], said: str) -> None:
    if as_json:
        typer.echo(json.dumps({"made_at": header.get("made_at"), "made_by": header.get("made_by"), **more}))
        return
    out.print(f"made at {header.get('made_at')} by {header.get('made_by')}")
    out.print(said)
