"""`hotline-watch topics acls`: which ACLs each role needs, from the declaration of the topics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import fail

if TYPE_CHECKING:
    from streams.roles import Role
    from streams.topics import TopicSet


def acls(
    role: Annotated[
        list[str] | None, typer.Option("--role", help="Only this role; may be given several times. All without it.")
    ] = None,
    principal: Annotated[
        list[str] | None,
        typer.Option(
            help="ROLE=PRINCIPAL, like worker=User:CN=worker.hotline; User:hw-ROLE for those that are not named."
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Grant it, with the settings of a super user; nothing is taken away.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the kafka-acls commands that grant each role what it needs, and no more; or grant it.

    Exit status: 0 printed or granted, 2 usage, or the cluster takes no ACLs.
    """
    from streams.roles import ROLE_TITLES, commands_for, grants_of

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    roles = _roles(role or [])
    principals = _principals(principal or [])
    if apply:
        _apply(servers, topics, {one: principals[one] for one in roles})
        return
    shown: list[dict[str, Any]] = []
    for one in roles:
        grants = grants_of(topics, one)
        commands = commands_for(grants, principals[one], servers)
        told = [{"resource": grant.resource, "name": grant.name, "operation": grant.operation} for grant in grants]
        shown.append({"role": one, "principal": principals[one], "grants": told, "commands": commands})
        if not as_json:
            typer.echo(f"# {one} is {principals[one]}. {ROLE_TITLES[one]}")
            typer.echo("\n".join(commands) + "\n")
    if as_json:
        typer.echo(json.dumps({"bootstrap_servers": servers, "roles": shown}, ensure_ascii=False))


def _roles(names: list[str]) -> list[Role]:
    from streams.roles import Role

    try:
        return [Role(name) for name in dict.fromkeys(names)] or list(Role)
    except ValueError as error:
        fail(f"--role: {error}; there are {', '.join(Role)}")


def _principals(given: list[str]) -> dict[Role, str]:
    from streams.roles import Role, user_of

    found = {role: f"User:{user_of(role)}" for role in Role}
    for one in given:
        name, equals, principal = one.partition("=")
        if name not in list(Role) or not equals or not principal.startswith("User:") or principal == "User:*":
            fail(f"--principal {one}: write ROLE=User:NAME, with a role of {', '.join(Role)}, and one user: not User:*")
        found[Role(name)] = principal
    return found


def _apply(servers: str, topics: TopicSet, principals: dict[Role, str]) -> None:
    from kafka.errors import KafkaError

    from streams.access import CannotGrantError, allow
    from streams.admin import ClusterUnreachableError, connect
    from streams.roles import grants_of

    try:
        with connect(servers) as admin:
            for role, principal in principals.items():
                count = allow(admin, principal, grants_of(topics, role))
                typer.echo(f"{role}: {count} grants to {principal}")
    except (ClusterUnreachableError, CannotGrantError) as error:
        fail(str(error))
    except KafkaError as error:
        fail(f"the cluster answered with an error: {type(error).__name__}")
