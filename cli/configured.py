"""What the long-running subcommands share: settings, logs, and how configuration errors end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.output import fail
from streams.settings import Settings, SettingsError, load_settings
from streams.topics import TopicSet

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="a TOML file of settings; HOTLINE_WATCH_… variables go before it")
]

BootstrapOption = Annotated[str | None, typer.Option(help="HOST:PORT of a broker, in place of the settings'.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="What stands before every topic's name, in place of the settings'.")
]


def cluster_of(config: Path | None, bootstrap_servers: str | None, prefix: str | None) -> tuple[str, TopicSet]:
    """Return where Kafka is and what its topics are called: as the options say, or as the settings do. Ends as `settings_of`."""
    settings = settings_of(config)
    try:
        topics = settings.topics if prefix is None else TopicSet(prefix=prefix)
    except ValueError as error:
        fail(f"--prefix: {error}")
    return bootstrap_servers or settings.bootstrap_servers, topics


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
