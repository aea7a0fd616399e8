"""`hotline-watch subscribers rotate|enable|disable|revise|remove`: edits of one entry by its name."""

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.configured import ConfigOption
from cli.subscribers_book import AsJson, FileOption, book_of, refusing
from models.times import format_instant

if TYPE_CHECKING:
    from alerting.subscriber_book import RotatedKey

Name = Annotated[str, typer.Argument(help="The subscriber's name.")]


class Which(StrEnum):
    """Which of a subscriber's keys."""

    SECRET = "secret"  # noqa: S105 - a word of the command line
    SIGNING_KEY = "signing-key"


def rotate(
    name: Name,
    which: Annotated[Which, typer.Option(help="Which key to replace.")] = Which.SECRET,
    overlap_hours: Annotated[float, typer.Option(help="How long calls carry the old key's signature too.")] = 24,
    file: FileOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one. During the overlap calls carry the signatures of both, so that none is rejected.

    Exit status: 0 replaced, 2 it cannot be.
    """
    _, book = book_of(file, config)
    with refusing():
        rotated = book.rotate(
            name,
            now=time.time_ns() // 1000,
            overlap_hours=overlap_hours,
            which="secret" if which is Which.SECRET else "signing_key",
        )
    if as_json:
        typer.echo(json.dumps(_as_json(rotated), ensure_ascii=False))
    else:
        _show(rotated)


def enable(name: Name, file: FileOption = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Send to a subscriber again: first what was kept for it.

    Exit status: 0 enabled, also where it was, 2 it cannot be.
    """
    _, book = book_of(file, config)
    with refusing():
        book.set_enabled(name, True)
    _done({"enabled": name}, f"{name} is enabled", as_json)


def disable(name: Name, file: FileOption = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Send nothing to a subscriber for now: its warnings are kept, and sent when it is enabled again.

    Exit status: 0 disabled, also where it was, 2 it cannot be.
    """
    _, book = book_of(file, config)
    with refusing():
        book.set_enabled(name, False)
    _done({"disabled": name}, f"{name} is disabled: its warnings are kept", as_json)


def revise(name: Name, file: FileOption = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Try an endpoint again that answered 410 Gone.

    Exit status: 0 it will be tried, 2 it cannot be.
    """
    _, book = book_of(file, config)
    with refusing():
        revision = book.revise(name)
    _done({"revised": name, "revision": revision}, f"{name} is at revision {revision}: it will be tried again", as_json)


def remove(name: Name, file: FileOption = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Take a subscriber out. Its name cannot be used again; what is pending for it stays on record and is not sent.

    Exit status: 0 removed, 2 it cannot be.
    """
    _, book = book_of(file, config)
    with refusing():
        book.remove(name)
    said = f"{name} is removed, and its name cannot be used again; delete its key files if nobody else uses them"
    _done({"removed": name}, said, as_json)


def _done(answer: dict[str, Any], said: str, as_json: bool) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else said)


def _as_json(rotated: "RotatedKey") -> dict[str, Any]:
    return {
        "rotated": rotated.name,
        "which": rotated.which,
        "file": str(rotated.file),
        "previous_until": None if rotated.until is None else format_instant(rotated.until),
        "ended": [_named(one) for one in rotated.ended],
        "public_key": rotated.public_key,
    }


def _show(rotated: "RotatedKey") -> None:
    typer.echo(f"{rotated.name}: the new key is in {rotated.file}")
    if rotated.public_key is not None:
        typer.echo(f"the receiver needs its public half, no secret: {rotated.public_key}")
    else:
        typer.echo("give it to who runs the receiver, not by mail or chat")
    if rotated.until is not None:
        typer.echo(f"calls carry the old key's signature too until {format_instant(rotated.until)}")
    for one in rotated.ended:
        typer.echo(f"signs no more and can be deleted: {_named(one)}")


def _named(reference: Any) -> str:
    if reference.file is not None:
        return str(reference.file)
    return f"environment variable {reference.env}" if reference.env is not None else "a key that stood in the file"
