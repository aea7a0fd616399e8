"""What the subcommands share: where messages go and how they end."""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NoReturn

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console

# No markup: what is printed holds ids and names of others, and "[/]" in one of them is text.
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def fail(problem: str) -> NoReturn:
    """End with status 2, usage or configuration, and say what to do."""
    err.print(f"hotline-watch: {problem}", markup=False)
    raise typer.Exit(2)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as columns at their full width, so that ids stay whole in a pipe; Chinese characters take two places."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.print("  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def open_lines(path: Path) -> IO[bytes]:
    """Return a file of lines, gunzipped where its name ends in .gz."""
    try:
        return io.BufferedReader(gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield a file's lines that aren't blank, with their numbers."""
    with open_lines(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n")
        except (OSError, EOFError, zlib.error) as error:
            fail(f"{path} is broken after reading some of it: {error}")
