"""`hotline-watch init`: the configuration of a new installation, with secrets of its own."""

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

from cli.configured import refusals
from cli.output import fail, out

app = typer.Typer()

FILES = Path(__file__).parent / "init_files"
SETTINGS = "hotline-watch.toml"
SECRETS = ("pseudonym-k1", "api-operations")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that is not there yet, or empty.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a commented configuration and fresh secrets into a new directory, for its owner alone. Nothing is overwritten.

    Exit status: 0 written, 2 the directory is not empty or cannot be made.
    """
    folder = folder.absolute()
    with refusals():
        written = write_installation(folder)
    if as_json:
        typer.echo(json.dumps({"directory": str(folder), "files": written}, ensure_ascii=False))
        return
    for name in written:
        out.print(f"  {folder / name}")
    settings = folder / SETTINGS
    out.print("")
    out.print("next: put your units into units.yaml, and a first subscriber into subscribers.yaml; then")
    out.print(f"  hotline-watch doctor --config {settings} --data {folder / 'data'}")
    out.print(f"  hotline-watch up --config {settings} --data {folder / 'data'}")


def write_installation(folder: Path) -> list[str]:
    """Write everything at once or nothing, and return the files' names. Ends with status 2 where the folder is not empty."""
    from streams.new_folder import FolderRefusedError, filled

    try:
        with filled(folder) as staged:
            (staged / "secrets").mkdir(mode=0o700)
            for source in sorted(FILES.iterdir()):
                _write(staged / source.name, source.read_text(encoding="utf-8"))
            for name in SECRETS:
                _write(staged / "secrets" / name, secrets.token_hex(32) + "\n")
    except FolderRefusedError as error:
        fail(str(error))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
