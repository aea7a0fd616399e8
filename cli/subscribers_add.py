"""`hotline-watch subscribers add`: a new subscriber, checked before anything is written."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.configured import ConfigOption
from cli.output import fail
from cli.subscribers_book import AsJson, FileOption, book_of, refusing
from models.base import Family, Level
from models.subscriber import Format, Payload, Privacy

if TYPE_CHECKING:
    from models.subscriber import SubscriberEntry

Name = Annotated[str, typer.Argument(help="A new name: lower-case letters, digits and hyphens.")]
Url = Annotated[str | None, typer.Option(help="The endpoint; of a chat robot rather --url-file: it holds a token.")]
UrlFile = Annotated[Path | None, typer.Option(help="A file that holds the URL.")]
UrlEnv = Annotated[str | None, typer.Option(help="The environment variable of the service that holds the URL.")]
SecretFile = Annotated[Path | None, typer.Option(help="A file that holds the secret, in place of a new one.")]
SecretEnv = Annotated[str | None, typer.Option(help="The service's environment variable that holds the secret.")]
NewSigningKey = Annotated[bool, typer.Option("--signing-key", help="Make an ed25519 key too; print its public half.")]
RobotSecretFile = Annotated[Path | None, typer.Option(help="A file with a DingTalk or Feishu robot's own secret.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How a warning is written.")]
PayloadOption = Annotated[Payload | None, typer.Option(help="thin: only that there is a warning, to be fetched.")]
PrivacyOption = Annotated[Privacy | None, typer.Option(help="Which fields; default: full, standard in a chat group.")]
Levels = Annotated[list[Level] | None, typer.Option("--level", help="A level; may be given again. Default: all.")]
Families = Annotated[list[Family] | None, typer.Option("--family", help="P, T or G; may be given again. Default: all.")]
Units = Annotated[list[str] | None, typer.Option("--unit", help="Only warnings about this unit; may be given again.")]
OwnerUnits = Annotated[
    list[str] | None, typer.Option("--owner-unit", help="The unit that runs the receiver: never told about itself.")
]
Networks = Annotated[list[str] | None, typer.Option("--allow-network", help="A private network it may be in.")]
AllowHttp = Annotated[bool, typer.Option("--allow-http", help="Take an endpoint that is not encrypted.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="NAME=VALUE of a further header, no secret.")]
CaFile = Annotated[Path | None, typer.Option(help="The PEM certificates of its own authority.")]
ClientCert = Annotated[Path | None, typer.Option(help="The PEM certificate that we show it (mTLS).")]
ClientKey = Annotated[Path | None, typer.Option(help="That certificate's PEM key, without a passphrase.")]
Rate = Annotated[int | None, typer.Option(help="Calls a minute at most; default: none, 20 for a chat robot.")]
Quiet = Annotated[str | None, typer.Option(help="Not to be disturbed, like 22:00-07:00 (Asia/Shanghai).")]
QuietLevels = Annotated[list[Level] | None, typer.Option("--quiet-level", help="By which; default: blue, yellow.")]
GroupWait = Annotated[float | None, typer.Option(help="Seconds to gather what goes into one message.")]
RepeatHours = Annotated[float | None, typer.Option(help="Remind of what is still in force, so often.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds for a whole call; default 15.")]
Concurrency = Annotated[int | None, typer.Option(help="Calls at a time; default 4.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not resolve the endpoint's name.")]


def add(
    name: Name,
    url: Url = None,
    url_file: UrlFile = None,
    url_env: UrlEnv = None,
    secret_file: SecretFile = None,
    secret_env: SecretEnv = None,
    signing_key: NewSigningKey = False,
    robot_secret_file: RobotSecretFile = None,
    format_: FormatOption = Format.JSON,
    payload: PayloadOption = None,
    privacy: PrivacyOption = None,
    levels: Levels = None,
    families: Families = None,
    units: Units = None,
    owner_units: OwnerUnits = None,
    allow_networks: Networks = None,
    allow_http: AllowHttp = False,
    headers: Headers = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    rate: Rate = None,
    quiet: Quiet = None,
    quiet_levels: QuietLevels = None,
    group_wait: GroupWait = None,
    repeat_hours: RepeatHours = None,
    timeout: Timeout = None,
    concurrency: Concurrency = None,
    offline: Offline = False,
    file: FileOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Add a subscriber. A secret is made for it in a file of its own, unless it names one or is a chat robot.

    The URL is checked, and every address that its name has now, before anything is written. Paths are relative to where
    the command runs.

    Exit status: 0 added, 1 the endpoint is refused or unknown, 2 the entry or the file cannot be taken.
    """
    path, book = book_of(file, config)
    given = {
        "name": name,
        "url": url or _reference("--url", path, url_file, url_env, needed=True),
        "format": None if format_ is Format.JSON else format_,
        "payload": payload,
        "privacy": privacy,
        "secret": _reference("--secret", path, secret_file, secret_env),
        "robot_secret": _reference("--robot-secret", path, robot_secret_file, None),
        "client_certificate": _certificate(path, client_cert, client_key),
        "levels": levels or None,
        "families": families or None,
        "units": units or None,
        "owner_units": owner_units or None,
        "allow_http": allow_http or None,
        "allow_networks": allow_networks or None,
        "headers": _headers(headers or []),
        "ca_file": None if ca_file is None else _relative(ca_file, path),
        **_pacing(timeout, concurrency, rate, group_wait, repeat_hours),
        "quiet_hours": _quiet_hours(quiet, quiet_levels),
    }
    if url and (url_file or url_env):
        fail("--url: say exactly one of --url, --url-file and --url-env")
    from alerting.subscriber_book import endpoint_problem

    with refusing():
        entry = book.add(given, new_signing_key=signing_key, check=None if offline else endpoint_problem)
        public_key = _public_key(book, name) if signing_key else None
    _tell(path, entry, None if given["secret"] else _file_of(path, entry.secret), public_key, as_json)


def _public_key(book: Any, name: str) -> str:
    from alerting.signing import public_key_text

    subscriber = next(one for one in book.subscribers() if one.name == name)
    return public_key_text(subscriber.signing_keys[0].key)


def _tell(path: Path, entry: "SubscriberEntry", secret_file: str | None, public_key: str | None, as_json: bool) -> None:
    key_file = None if public_key is None else _file_of(path, entry.signing_key)
    if as_json:
        answer = {
            "added": entry.name,
            "file": str(path),
            "secret_file": secret_file,
            "signing_key_file": key_file,
            "public_key": public_key,
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(f"added {entry.name} to {path}")
    if secret_file is not None:
        typer.echo(f"its secret is in {secret_file}: give it to who runs the receiver, not by mail or chat")
    if public_key is not None:
        typer.echo(f"its signing key is in {key_file} and stays there; the receiver needs the public one, no secret:")
        typer.echo(public_key)


def _file_of(path: Path, reference: Any) -> str | None:
    return None if reference is None or reference.file is None else str(path.parent / reference.file)


def _pacing(
    timeout: float | None,
    concurrency: int | None,
    rate: int | None,
    group_wait: float | None,
    repeat_hours: float | None,
) -> dict[str, Any]:
    return {
        "timeout_seconds": timeout,
        "concurrency": concurrency,
        "rate_per_minute": rate,
        "group_wait_seconds": group_wait,
        "repeat_hours": repeat_hours,
    }


def _reference(
    option: str, path: Path, file: Path | None, variable: str | None, *, needed: bool = False
) -> dict[str, str] | None:
    if file is not None and variable is not None:
        fail(f"{option}: say either {option}-file or {option}-env")
    if file is not None:
        return {"file": _relative(file, path)}
    if variable is not None:
        return {"env": variable}
    if needed:
        fail(f"{option}: say where the endpoint is: {option}, {option}-file or {option}-env")
    return None


def _certificate(path: Path, cert: Path | None, key: Path | None) -> dict[str, str] | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        fail("--client-cert and --client-key: give both")
    return {"cert_file": _relative(cert, path), "key_file": _relative(key, path)}


def _relative(file: Path, path: Path) -> str:
    """Return a path of the command line as the subscribers file says it: relative to itself where it is below."""
    # Not resolved: a link that is renewed, as certificates' are, stays a link.
    whole, folder = Path(os.path.abspath(file)), Path(os.path.abspath(path.parent))  # noqa: PTH100
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)


def _headers(given: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name in found:
            fail("--header: write NAME=VALUE, each name once")
        found[name] = value
    return found or None


def _quiet_hours(quiet: str | None, levels: list[Level] | None) -> dict[str, Any] | None:
    if quiet is None:
        if levels:
            fail("--quiet-level: say the hours too, like --quiet 22:00-07:00")
        return None
    start, dash, end = quiet.partition("-")
    if not dash:
        fail("--quiet: write it like 22:00-07:00")
    return {"start": start, "end": end, **({"levels": levels} if levels else {})}
