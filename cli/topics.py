"""`hotline-watch topics create|check|acls`. Exit status: 0 as declared, 1 the cluster differs, 2 usage or no cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli import topics_acls
from cli.configured import BootstrapOption, ConfigOption, PrefixOption, declared_of

if TYPE_CHECKING:
    from streams.topics import TopicSet
    from streams.topics_admin import CreateReport, Mismatch

app = typer.Typer(
    no_args_is_help=True, help="Create the Kafka topics, check that they are as declared, list who needs which ACLs."
)
app.command()(topics_acls.acls)

_T = TypeVar("_T")

Partitions = Annotated[int | None, typer.Option(min=1, help="Partitions of each topic, in place of the settings'.")]
Replication = Annotated[
    int | None, typer.Option(min=1, max=32767, help="Replicas of each topic, in place of the settings'.")
]
Timeout = Annotated[float, typer.Option(min=0.1, help="How long to wait for the cluster, in seconds.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def create(
    bootstrap_servers: BootstrapOption = None,
    partitions: Partitions = None,
    replication: Replication = None,
    prefix: PrefixOption = None,
    timeout_seconds: Timeout = 30.0,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Create the topics that are missing, then check all. Those that exist are left as they are."""
    from streams.topics_admin import check_topics, create_topics

    servers, topics = declared_of(config, bootstrap_servers, prefix, partitions, replication)
    report = _ask(lambda: create_topics(servers, topics, timeout_seconds=timeout_seconds))
    _answer(_ask(lambda: check_topics(servers, topics, timeout_seconds=timeout_seconds)), topics, report, as_json)


@app.command()
def check(
    bootstrap_servers: BootstrapOption = None,
    partitions: Partitions = None,
    replication: Replication = None,
    prefix: PrefixOption = None,
    timeout_seconds: Timeout = 30.0,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Compare the cluster's topics with the declaration and name every difference with its remedy."""
    from streams.topics_admin import check_topics

    servers, topics = declared_of(config, bootstrap_servers, prefix, partitions, replication)
    _answer(_ask(lambda: check_topics(servers, topics, timeout_seconds=timeout_seconds)), topics, None, as_json)


def _ask(question: Callable[[], _T]) -> _T:
    from kafka.errors import KafkaError

    from streams.topics_admin import ClusterUnreachableError, TopicCreationError

    try:
        return question()
    except (ClusterUnreachableError, TopicCreationError) as error:
        raise _failure(str(error)) from error
    except KafkaError as error:
        raise _failure(f"the cluster answered with an error: {error}") from error


def _failure(message: str) -> typer.Exit:
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(2)


def _answer(found: Sequence[Mismatch], topics: TopicSet, report: CreateReport | None, as_json: bool) -> None:
    if as_json:
        answer: dict[str, object] = {"ok": not found, "mismatches": [asdict(mismatch) for mismatch in found]}
        if report is not None:
            answer |= {"created": report.created, "existing": report.existing}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        if report is not None:
            typer.echo(f"{len(report.created)} topics created, {len(report.existing)} were there")
        for mismatch in found:
            typer.echo(f"{mismatch.sentence}\n    {mismatch.remedy}")
        if not found:
            typer.echo(f"all {len(topics.all())} topics are as declared")
    if found:
        raise typer.Exit(1)
