"""`hotline-watch quarantine replay|drop`: what is done about refused inputs, and how its commands find them."""

import getpass
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import fail, out
from models.quarantine import BECAUSE_LENGTH_MAX, RejectionReason
from rules.masking import mask

if TYPE_CHECKING:
    from streams.quarantine_log import Entry, Quarantine
    from streams.replaying import By
    from streams.topics import TopicSet

KeyArgument = Annotated[str, typer.Argument(metavar="ENTRY", help="An entry as `list` names it, or PARTITION-OFFSET.")]
KeysArgument = Annotated[list[str] | None, typer.Argument(metavar="ENTRY", help="Entries as `list` names them.")]
ReasonOption = Annotated[RejectionReason | None, typer.Option(help="Only those refused for this reason.")]
SourceOption = Annotated[str | None, typer.Option(help="Only those of this source, as `list` names it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def replay(
    entries: KeysArgument = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is open.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing; say what would be sent.")] = False,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Read refused inputs again where they lie and send them through once more, after what was wrong has been mended.

    What would be refused again is not sent, and stays open. An event that was already taken counts once.

    Exit status: 0 all sent (or would be), 1 some could not be, 2 none can be told or the broker is away.
    """
    from streams.replaying import By, Found, look
    from streams.replaying import replay as replay_all

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    chosen = _chosen(quarantine_of(servers, topics), topics, entries, reason, source, every)
    good = {Found.SENT, Found.THERE}
    counts: Counter[str] = Counter()
    results = []
    by = By(_who(), now())
    with refusing():
        found = (
            (look(servers, topics, one, by.now) for one in chosen)
            if dry_run
            else replay_all(servers, topics, chosen, by)
        )
        for one in found:
            counts[one.found.value] += 1
            results.append({"entry": one.entry.key, "found": one.found.value, "sent_to": one.sent_to, "said": one.said})
            if not as_json:
                out.print(f"{one.entry.key}: {one.said}")
    if as_json:
        typer.echo(json.dumps({"results": results, "counts": dict(counts)}, ensure_ascii=False))
    else:
        typer.echo(", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing to replay")
    raise typer.Exit(0 if set(counts) <= {one.value for one in good} else 1)


def drop(
    because: Annotated[str, typer.Option("--because", help="Why it is given up: kept for good; name no citizen.")],
    entries: KeysArgument = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is open.")] = False,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Give refused inputs up, for a reason that is recorded with who gave it and when. The record of the refusal stays."""
    from streams.replaying import drop as drop_all

    said = because.strip()
    if not said:
        fail("--because: say why")
    if len(said) > BECAUSE_LENGTH_MAX:
        fail(f"--because: at most {BECAUSE_LENGTH_MAX} characters")
    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    chosen = _chosen(quarantine_of(servers, topics), topics, entries, reason, source, every)
    with refusing():
        count = drop_all(servers, topics, chosen, _by(said))
    keys = [entry.key for entry in chosen]
    typer.echo(json.dumps({"dropped": keys}) if as_json else f"{count} dropped")


def quarantine_of(servers: str, topics: "TopicSet") -> "Quarantine":
    """Return the quarantine. Ends with status 2 where it cannot be read."""
    from streams.quarantine_log import read_quarantine

    with refusing():
        return read_quarantine(servers, topics)


def entry_named(found: "Quarantine", topics: "TopicSet", key: str) -> "Entry":
    """Return an entry by its name. Ends with status 2 where there is none."""
    entry = found.named(key) or found.named(topics.prefix + key)
    if entry is None:
        fail(f"{key}: no such entry, or several; `quarantine list --all` names them")
    return entry


def picked(
    found: "Quarantine", topics: "TopicSet", reason: RejectionReason | None, source: str | None, with_done: bool
) -> "list[Entry]":
    """Return the entries that the options ask for, the oldest first."""
    from streams.quarantine_log import EntryState, source_of

    return [
        entry
        for entry in found.entries
        if (with_done or entry.state is EntryState.OPEN)
        and (reason is None or entry.record.reason is reason)
        and (source is None or source_of(entry, topics) == source)
    ]


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what keeps a command from working into one clear line and status 2."""
    from streams.quarantine_log import ClusterUnreachableError, TopicUnreadableError

    try:
        yield
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))


def now() -> int:
    """Return the machine's time in microseconds."""
    return time.time_ns() // 1000


def _chosen(
    found: "Quarantine",
    topics: "TopicSet",
    keys: list[str] | None,
    reason: RejectionReason | None,
    source: str | None,
    every: bool,
) -> "list[Entry]":
    filtered = reason is not None or source is not None or every
    if bool(keys) == filtered:
        fail("say which: entries by name, or --reason, --source or --all")
    if keys:
        return list(dict.fromkeys(entry_named(found, topics, key) for key in keys))
    return picked(found, topics, reason, source, with_done=False)


def _by(because: str) -> "By":
    from streams.replaying import By

    # Somebody may paste an input in spite of all: what can be known for an identity is taken out.
    return By(_who(), now(), mask(because)[:BECAUSE_LENGTH_MAX])


def _who() -> str:
    try:
        return getpass.getuser()[:128]
    except (KeyError, OSError):
        return "unknown"
