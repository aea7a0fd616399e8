"""`hotline-watch quarantine list|show|tell|replay|drop`: refused inputs as work. Never an input's text: reason, source, place, hash."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import quarantine_work
from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import err, out, print_rows
from cli.quarantine_work import (
    AsJson,
    KeyArgument,
    ReasonOption,
    SourceOption,
    entry_named,
    now,
    picked,
    quarantine_of,
    refusing,
)
from models.quarantine_advice import ADVICE, Duty
from models.times import format_instant, format_minute, parse_instant

if TYPE_CHECKING:
    from streams.quarantine_log import Entry
    from streams.topics import TopicSet

app = typer.Typer(no_args_is_help=True, help="Work through the inputs that were refused.")

FIELDS_TOLD_MAX = 10


@app.callback()
def quarantine() -> None:
    """Work through the inputs that were refused."""


@app.command("list")
def list_quarantine(
    reason: ReasonOption = None,
    source: SourceOption = None,
    with_done: Annotated[bool, typer.Option("--all", help="Those too that were replayed or dropped.")] = False,
    counts_only: Annotated[bool, typer.Option("--counts", help="Only how many, by reason and source.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="List so many at most, the newest.")] = 50,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """List what was refused and is still open, the newest last; then how many, by reason and source.

    Exit status: 0 listed, also where there is none; 2 the broker is away or the topic cannot be read.
    """
    from streams.quarantine_log import counts_of

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    found = quarantine_of(servers, topics)
    if found.unreadable:
        err.print(f"{found.unreadable} records of {topics.quarantine} are none of ours and are left out")
    entries = picked(found, topics, reason, source, with_done)
    counts = counts_of(entries, topics)
    shown = [] if counts_only else entries[-limit:]
    if as_json:
        answer = {
            "entries": [_as_json(entry, topics) for entry in shown],
            "counts": [dict(zip(("reason", "source", "count"), one, strict=True)) for one in counts],
            "total": len(entries),
            "unreadable": found.unreadable,
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    if shown:
        print_rows([("entry", "at", "reason", "source", "field", "state"), *(_row(entry, topics) for entry in shown)])
        typer.echo("")
    if len(shown) < len(entries) and not counts_only:
        typer.echo(f"the newest {len(shown)} of {len(entries)}; --limit shows more\n")
    if counts:
        print_rows([("count", "reason", "source"), *((str(count), name, where) for name, where, count in counts)])
    else:
        typer.echo("nothing is in quarantine" if with_done else "nothing open is in quarantine")


@app.command()
def show(
    key: KeyArgument,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Show one refused input: why, where, whether it is still there and would be taken now, and what to tell its sender."""
    from streams.replaying import kept_until, look

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    entry = entry_named(quarantine_of(servers, topics), topics, key)
    with refusing():
        found = look(servers, topics, entry, now())
    record, advice = entry.record, ADVICE[entry.record.reason]
    until = kept_until(topics, record)
    if as_json:
        told = {
            "input": found.found.value,
            "said": found.said,
            "kept_until": None if until is None else format_instant(until),
            "title": advice.title,
            "tell": advice.tell,
        }
        typer.echo(json.dumps({**_as_json(entry, topics), **told, "duty": advice.duty.value}, ensure_ascii=False))
        return
    rows = [
        ("entry", entry.key),
        ("state", _state(entry)),
        ("reason", f"{record.reason} {advice.title}: {record.detail}"),
        ("field", record.field or "-"),
        ("source", _source(entry, topics)),
        ("at", record.quarantined_at),
        ("size", f"{record.size_bytes} bytes, sha256 {record.sha256}"),
        ("input", found.said),
        ("kept", "-" if until is None else f"until about {format_minute(until)}"),
        ("tell" if advice.duty is Duty.SENDER else "do", advice.tell),
    ]
    for name, value in rows:
        out.print(f"{name:<7} {value}")


@app.command()
def tell(
    reason: ReasonOption = None,
    source: SourceOption = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Write what to tell the senders of what is open, in Chinese: how many, since when, which fields, what to do."""
    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    entries = picked(quarantine_of(servers, topics), topics, reason, source, with_done=False)
    of_sender: dict[str, list[Entry]] = {}
    for entry in entries:
        if ADVICE[entry.record.reason].duty is Duty.SENDER:
            of_sender.setdefault(_source(entry, topics), []).append(entry)
    letters = {name: _letter(name, found) for name, found in sorted(of_sender.items())}
    if as_json:
        typer.echo(
            json.dumps(
                {"letters": letters, "ours": len(entries) - sum(map(len, of_sender.values()))}, ensure_ascii=False
            )
        )
        return
    for letter in letters.values():
        out.print(letter)
        out.print("")
    ours = len(entries) - sum(map(len, of_sender.values()))
    typer.echo(f"发送方须处理 {sum(map(len, of_sender.values()))} 条,本方须处理 {ours} 条")


app.command()(quarantine_work.replay)
app.command()(quarantine_work.drop)


def _letter(sender: str, entries: "list[Entry]") -> str:
    """Return the text for one sender."""
    from streams.quarantine_log import UNNAMED

    times = sorted(parse_instant(entry.record.quarantined_at) for entry in entries)
    named = "未注明来源" if sender == UNNAMED else sender
    lines = [
        f"【{named}】{format_minute(times[0])} 至 {format_minute(times[-1])},有 {len(entries)} 条工单事件未能接收,请处理:"
    ]
    by_reason = Counter(entry.record.reason for entry in entries)
    for number, (reason, count) in enumerate(by_reason.most_common(), 1):
        fields = Counter(
            entry.record.field for entry in entries if entry.record.reason is reason and entry.record.field
        )
        named = "、".join(f"{name}({times_})" for name, times_ in fields.most_common(FIELDS_TOLD_MAX))
        advice = ADVICE[reason]
        lines.append(f"{number}. {advice.title}:{count} 条{f';字段 {named}' if named else ''}。{advice.tell}")
        first = next(entry for entry in entries if entry.record.reason is reason)
        lines.append(f"   例:{first.key},sha256 {first.record.sha256[:16]}…")
    return "\n".join(lines)


def _source(entry: "Entry", topics: "TopicSet") -> str:
    from streams.quarantine_log import source_of

    return source_of(entry, topics)


def _state(entry: "Entry") -> str:
    decision = entry.decision
    if decision is None:
        return "open"
    to = f" to offset {decision.sent_to}" if decision.sent_to is not None else ""
    because = f": {decision.because}" if decision.because else ""
    return f"{decision.action}{to} at {decision.decided_at} by {decision.decided_by}{because}"


def _row(entry: "Entry", topics: "TopicSet") -> tuple[str, ...]:
    record = entry.record
    at = format_minute(parse_instant(record.quarantined_at))
    return entry.key, at, record.reason.value, _source(entry, topics), record.field or "", entry.state.value


def _as_json(entry: "Entry", topics: "TopicSet") -> dict[str, Any]:
    decision = entry.decision.model_dump(mode="json") if entry.decision is not None else None
    record = entry.record.model_dump(mode="json")
    return {
        "entry": entry.key,
        "state": entry.state.value,
        **record,
        "source": _source(entry, topics),
        "decision": decision,
    }
