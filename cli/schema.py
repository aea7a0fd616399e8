"""`hotline-watch schema`: prints a contract's JSON Schema, or all topics and messages as AsyncAPI."""

import json
from typing import Annotated, Any

import typer

from cli.output import fail
from models.schemas import contract_schemas

app = typer.Typer()


@app.command()
def schema(
    name: Annotated[str, typer.Argument(help="ticket-event, alert, quarantine, sealed, reference; or asyncapi")],
) -> None:
    """Print a contract's JSON Schema; `asyncapi`: all topics and messages, as an AsyncAPI 3.0 document."""
    schemas = contract_schemas()
    if name == "asyncapi":
        from streams.asyncapi import document

        return _print(document())
    if name not in schemas:
        fail(f"no contract is called {name!r}: there are {', '.join((*schemas, 'asyncapi'))}")
    return _print(schemas[name])


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
