"""What the commands on the subscribers file share: which file, and how refused edits end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configured import settings_of
from cli.output import err, fail

if TYPE_CHECKING:
    from alerting.subscriber_book import SubscriberBook

FileOption = Annotated[Path | None, typer.Option("--file", help="The subscribers file, in place of the settings'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def book_of(file: Path | None, config: Path | None) -> "tuple[Path, SubscriberBook]":
    """Return the subscribers file and the book that edits it. Ends with status 2 where none is set."""
    from alerting.subscriber_book import SubscriberBook

    settings = settings_of(config)
    path = file or settings.subscribers_file
    if path is None:
        fail(
            "setting subscribers_file: say which file, or use --file; deploy/subscribers.example.yaml shows how it looks"
        )
    return path, SubscriberBook(path, settings.secrets_dir)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a refused edit into one clear line and a status: 1 where the endpoint was found wanting, else 2."""
    from alerting.subscriber_book import BookError, BookProblem

    try:
        yield
    except BookError as error:
        if error.problem is not BookProblem.ENDPOINT:
            fail(str(error))
        err.print(f"hotline-watch: {error}")
        raise typer.Exit(1) from None
