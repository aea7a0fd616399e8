"""What the long-running subcommands share: settings, logs, and how configuration errors end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import fail
from streams.settings import CONFIG_VARIABLE, Settings, SettingsError, load_settings
from streams.topics import TopicSet

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="a TOML file of settings; HOTLINE_WATCH_… variables go before it")
]

BootstrapOption = Annotated[str | None, typer.Option(help="HOST:PORT of a broker, in place of the settings'.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="What stands before every topic's name, in place of the settings'.")
]


def cluster_of(config: Path | None, bootstrap_servers: str | None, prefix: str | None) -> tuple[str, TopicSet]:
    """Return where Kafka is and what its topics are called: as the options say, or as the settings do. Ends as `settings_of`.

    How the brokers are talked to is always the settings' word.
    """
    return declared_of(config, bootstrap_servers, prefix, None, None)


def declared_of(
    config: Path | None,
    bootstrap_servers: str | None,
    prefix: str | None,
    partitions: int | None,
    replication: int | None,
) -> tuple[str, TopicSet]:
    """Return the cluster and the topics as they are to be there, as `cluster_of` does."""
    settings = settings_of(config)
    given = {"prefix": prefix, "partitions": partitions, "replication": replication}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        topics = replace(settings.topics, **options)
    except ValueError as error:
        fail(f"--prefix: {error}")
    try:
        return settings.cluster_at(bootstrap_servers), topics
    except ValueError as error:
        fail(str(error))


def config_of(config: Path | None) -> Path | None:
    """Return the settings file: the one given, or the one that the environment names; None where neither does."""
    named = os.environ.get(CONFIG_VARIABLE)
    return config or (Path(named) if named else None)


def settings_of(config: Path | None) -> Settings:
    """Return the settings. Ends with status 2 where they cannot be taken."""
    try:
        return load_settings(config)
    except SettingsError as error:
        fail(str(error))


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what keeps a process from starting into one clear line and status 2."""
    from streams.admin import ClusterUnreachableError
    from streams.broker_errors import BrokerError
    from streams.topics_admin import TopicCreationError, TopicMismatch

    try:
        yield
    except (SettingsError, BrokerError, ClusterUnreachableError, TopicMismatch, TopicCreationError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
