"""The `hotline-watch` command line. Each subcommand lives in its own module and is imported only when it is called."""

import importlib
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from models.strict_yaml import ConfigFileError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("cli.demo", "Run the whole service on this machine and watch signed warnings arrive."),
    "init": ("cli.init", "Write a commented configuration and fresh secrets into a new directory."),
    "doctor": ("cli.doctor", "Say what is missing or wrong with an installation, and what to do."),
    "up": ("cli.up", "Run the durable single-machine service: broker, workers, dispatch."),
    "state": ("cli.state", "Compare a worker's tables with their changelogs."),
    "backup": ("cli.backup", "Write state, deliveries, configuration and secrets of one machine into one file."),
    "restore": ("cli.restore", "Make an installation of a backup again."),
    "worker": ("cli.worker", "Run one detection worker: intake, tickets, citizens."),
    "dispatch": ("cli.dispatch", "Run one dispatch worker: warnings to subscribers' webhooks."),
    "topics": ("cli.topics", "Create the Kafka topics, or check them."),
    "drill": ("cli.drill", "Send a marked ticket through the whole chain, and say how long each stage took."),
    "tick": ("cli.tick", "Move recorded time to an instant."),
    "import": ("cli.importing", "Send tables (CSV, XLSX), by a mapping, or files of ticket events to Kafka."),
    "reference": ("cli.reference", "Look at other departments' tables that intake joins to events."),
    "backtest": ("cli.backtest", "Run the rules over recorded events, with no broker."),
    "explain": ("cli.explain", "Show a ticket's timeline, facts, and why each rule speaks or not."),
    "rules": ("cli.rules", "Check a pack of rules and run its cases."),
    "classify": ("cli.classify", "Show what a text tells of, and the level it has by itself."),
    "evaluate": ("cli.evaluate", "Measure the screening of texts on a labelled set."),
    "schema": ("cli.schema", "Print a contract's JSON Schema."),
    "subscribers": ("cli.subscribers", "Manage who gets which warnings."),
    "deliveries": ("cli.deliveries", "Show what is pending at subscribers, and why."),
    "silences": ("cli.silences", "Silence warnings for a while, with a reason."),
    "api": ("cli.api", "Serve the HTTP API: subscribers, alerts to pull, replay, why."),
    "sealed": ("cli.sealed", "List the shells of what was sealed, to be handed over by hand."),
    "forget": ("cli.forget", "Erase one citizen from the tables, and prove it."),
    "quarantine": ("cli.quarantine", "Work through the inputs that were refused."),
}


class LazyGroup(TyperGroup):
    """A group that imports a subcommand's module only when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the subcommand, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(COMMANDS[cmd_name][0]).app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of subcommands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hotline-watch {version('hotline-watch')}")
        raise typer.Exit


@app.callback()
def hotline_watch(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find where the handling of a hotline ticket looks wrong, and warn in real time."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 a check failed, 2 usage or configuration."""
    try:
        app()
    except ConfigFileError as error:
        typer.echo(f"hotline-watch: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
