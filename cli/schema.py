"""`hotline-watch schema`: prints a contract's JSON Schema."""

import json
from typing import Annotated

import typer

from cli.output import fail
from models.schemas import contract_schemas

app = typer.Typer()


@app.command()
def schema(name: Annotated[str, typer.Argument(help="ticket-event, alert, quarantine or sealed")]) -> None:
    """Print a contract's JSON Schema."""
    schemas = contract_schemas()
    if name not in schemas:
        fail(f"no contract is called {name!r}: there are {', '.join(schemas)}")
    typer.echo(json.dumps(schemas[name], ensure_ascii=False, indent=2))
