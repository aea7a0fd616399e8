"""`hotline-watch forget`: erases one citizen from the tables, and proves it."""

import getpass
import json
import re
import sys
import time
from typing import Annotated, Any

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of, settings_of
from cli.output import fail, out
from models.erasure import REASON_LENGTH_MAX
from rules.masking import mask

app = typer.Typer()

_WHAT = {"phone": "phone number", "id_number": "ID number"}

# On a command line others could read a number; and nobody is found by it. A platform's own keys may be numbers, so only these two forms.
_ID_NUMBER = re.compile(r"[1-9][0-9]{16}[0-9Xx]")
_PHONE = re.compile(r"(?:\+?86|0086)?[ -]?1[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{4}")


@app.command()
def forget(
    citizen: Annotated[
        list[str] | None,
        typer.Option(help="A pseudonym, as events carry it; may be given again for each that one person has."),
    ] = None,
    phone_from_stdin: Annotated[
        bool, typer.Option("--phone-from-stdin", help="Make the pseudonyms of the phone number on standard input.")
    ] = False,
    id_number_from_stdin: Annotated[
        bool, typer.Option("--id-number-from-stdin", help="Make the pseudonyms of the ID number on standard input.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why: kept for three years with who asked; name no citizen.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; say whether anything still names the citizen.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=1, help="How long to wait for the workers.")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as one JSON object.")] = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Erase one citizen: the value in the citizens table, the pseudonym in every ticket's state, and the repeat facts made from it.

    Tickets are judged on as if the citizen had never been named, and what comes later for the pseudonym is taken without it. The running
    workers do it; asked again, it is done again. Names and numbers are never taken from the command line.

    Exit status: 0 nothing names the citizen any more, 1 something still does, 2 usage, or the broker is away.
    """
    from streams.erasure import Asking, ClusterUnreachableError, PartitionsDifferError, TopicUnreadableError, erase
    from streams.erasure import check as look

    if not check and not reason.strip():
        fail("--reason: say why; it is kept")
    if len(reason) > REASON_LENGTH_MAX:
        fail(f"--reason: at most {REASON_LENGTH_MAX} characters")
    if not check and not yes and not sys.stdin.isatty():
        fail("--yes: without a terminal there is nobody to ask again")
    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    citizens = _pseudonyms(config, citizen or [], phone=phone_from_stdin, id_number=id_number_from_stdin)
    now = time.time_ns() // 1000
    if not check and not yes:
        typer.confirm("This cannot be undone. Forget this citizen?", abort=True)
    try:
        if check:
            report = look(servers, topics, citizens, now)
        else:
            asking = Asking(citizens, mask(reason.strip())[:REASON_LENGTH_MAX], _who(), now)
            report = erase(servers, topics, asking, timeout_seconds)
    except (ClusterUnreachableError, PartitionsDifferError, TopicUnreadableError) as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _show(report)
    raise typer.Exit(0 if report["done"] else 1)


def _pseudonyms(config: Any, given: list[str], *, phone: bool, id_number: bool) -> tuple[str, ...]:
    """Return the pseudonyms that are meant. Ends with status 2 where none, or two kinds of them, were given."""
    from models.ticket_event import Citizen
    from rules.pseudonym import citizen_keys
    from streams.settings import SettingsError

    if sum((bool(given), phone, id_number)) != 1:
        fail("say who: --citizen, --phone-from-stdin or --id-number-from-stdin")
    if given:
        if any(_PHONE.fullmatch(one) or _ID_NUMBER.fullmatch(one) for one in given):
            fail("--citizen: that looks like a phone or ID number; give those on standard input, to be made pseudonyms")
        try:
            return tuple(dict.fromkeys(str(Citizen(key=one).key) for one in given))
        except ValueError:
            fail("--citizen: what was given is no pseudonym: 1 to 128 printable characters, the first not a space")
    kind = "phone" if phone else "id_number"
    said = _read_identity(_WHAT[kind])
    if id_number and _PHONE.fullmatch(said):
        fail("what was read is a phone number: --phone-from-stdin")
    try:
        keys = settings_of(config).load_keys()
    except SettingsError as error:
        fail(str(error))
    if not keys:
        fail("setting pseudonym_keys: without a secret there are no pseudonyms")
    try:
        made = citizen_keys(Citizen.model_validate({kind: said}), keys)
    except ValueError:
        made = []
    if not made:
        fail(f"what was read is no {_WHAT[kind]}")
    return tuple(made)


def _read_identity(what: str) -> str:
    """Return one line, not shown where it is typed."""
    line = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()
    return line.strip()


def _show(report: dict[str, Any]) -> None:
    for topic, count in report["left"].items():
        out.print(f"{topic}: {count} values name the citizen")
    if "removed" in report:
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report["removed"].items())
        out.print(f"removed: {told}; {report['reference_rows']} rows of reference data")
    for part in report.get("waiting_for", ()):
        out.print(f"no worker has finished {part} yet: see later with --check")
    out.print("what stays:")
    for one in report["stays"]:
        count = f"{one['records']} records, " if "records" in one else ""
        until = f" until {one['until']} at the latest" if one["until"] else ""
        out.print(f"  {one['where']}: {count}{one['why']}{until}")
    if "request" in report:
        out.print(f"request {report['request']}")
    if not report["done"]:
        out.print("the citizen is still named")
    elif "request" in report:
        out.print("nothing names the citizen any more")
    else:
        out.print("nothing names the citizen: there is no trace of it, or another pseudonym is meant")


def _who() -> str:
    try:
        return getpass.getuser()[:128]
    except (KeyError, OSError):
        return "unknown"
