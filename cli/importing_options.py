"""The options of `hotline-watch import`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption

__all__ = ["BootstrapOption", "ConfigOption", "PrefixOption"]


class Target(StrEnum):
    """Where the events go."""

    KAFKA = "kafka"
    JSONL = "jsonl"


FileArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A CSV file or an XLSX workbook, by a mapping; without one, ticket events as JSON Lines. `.gz` too."
    ),
]
MappingOption = Annotated[
    str | None,
    typer.Option(help="A mapping file, or the name of an included one. Ticket events as JSON Lines need none."),
]
ListMappings = Annotated[bool, typer.Option("--mappings", help="List the included mappings, and end.")]
PrintMapping = Annotated[
    bool, typer.Option("--print-mapping", help="Print the mapping, to copy and change it, and end.")
]
ToOption = Annotated[Target, typer.Option(help="Where the events go.")]
OutOption = Annotated[
    str, typer.Option(help="With `--to jsonl`: the file (.gz is packed); `-` is the standard output.")
]
RejectsOption = Annotated[
    Path | None, typer.Option(help="Write each rejected row's line and reason here, as JSON Lines.")
]
DryRun = Annotated[
    int | None, typer.Option(min=0, help="Send nothing; show the first N events and every rejected row.")
]
Backfill = Annotated[
    bool | None,
    typer.Option(
        "--backfill/--live",
        help="History, whose warnings are not pushed, or news. By default history; with `--snapshot` the first one only.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if a row was rejected.")]
Encoding = Annotated[
    str | None, typer.Option(help="Of a CSV file: auto, utf-8 or gb18030; wins over the mapping's. By default auto.")
]
Sheet = Annotated[
    list[str] | None,
    typer.Option("--sheet", help="A sheet of the workbook, or a pattern such as `2025*`; may be given several times."),
]
Snapshot = Annotated[
    bool,
    typer.Option(
        "--snapshot",
        help="The file is a full table of tickets, or of reference data: send what changed since the last.",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(help="What was last seen, and which files are done. With `--watch` by default in its folder."),
]
Baseline = Annotated[
    bool, typer.Option("--baseline", help="With `--snapshot`: remember the tickets as they are, send nothing.")
]
At = Annotated[str | None, typer.Option(help="When the file was made (RFC 3339); by default when it was last written.")]
AcceptVanished = Annotated[
    bool,
    typer.Option("--accept-vanished", help="With `--snapshot`: believe that more than a tenth of the rows are gone."),
]
Watch = Annotated[Path | None, typer.Option(help="Import the files dropped in this folder, each once, until stopped.")]
Once = Annotated[bool, typer.Option("--once", help="With `--watch`: import what is there, and end.")]
Every = Annotated[float, typer.Option(min=0.1, help="With `--watch`: seconds between two looks.")]
Settle = Annotated[float, typer.Option(min=0, help="With `--watch`: seconds for which a file must not have changed.")]
Topic = Annotated[str | None, typer.Option(help="The topic; by default the service's own.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="How long to wait for the first answer of Kafka.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the report as one JSON object, of each file with `--watch`.")
]
