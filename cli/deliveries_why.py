"""`hotline-watch deliveries why|replay|reroute`: why a warning was sent or not, and what to do about it."""

import dataclasses
import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of, settings_of
from cli.output import fail, out
from cli.running import instant_option

if TYPE_CHECKING:
    from alerting.why import Why
    from models.alert import Alert
    from models.redelivery import RedeliveryRequest
    from streams.delivery_history import History
    from streams.topics import TopicSet

AlertOption = Annotated[str | None, typer.Option("--alert", help="the alert's id")]
SubscriberOption = Annotated[str | None, typer.Option("--subscriber", help="only this subscriber")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def why(
    alert: AlertOption = None,
    ticket: Annotated[str | None, typer.Option("--ticket", help="all alerts about this ticket")] = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Say for each subscriber when an alert was sent and what was answered, or which decision kept it back.

    Exit status: 0 told, 1 nothing is known of such an alert, or no alert about such a ticket.
    """
    if (alert is None) == (ticket is None):
        fail("say what is asked about: either --alert or --ticket")
    history = _history(*cluster_of(config, bootstrap_servers, prefix), alert, ticket)
    answers = [_answer(history, one) for one in (history.alerts if alert is None else [alert])]
    if as_json:
        told = [dataclasses.asdict(answer) for answer in answers]
        typer.echo(json.dumps(told[0] if alert is not None else {"alerts": told}, ensure_ascii=False, default=str))
    elif not answers:
        out.print("没有关于这张工单的预警。", markup=False)
    else:
        for answer in answers:
            _print_answer(answer, history.alerts.get(answer.alert_id or "") if alert is None else None)
    if not (history.alerts or history.decisions or history.deliveries):
        raise typer.Exit(1)


def _answer(history: "History", alert_id: str) -> "Why":
    from alerting.why import why as answer_of

    return answer_of(
        history.alert(alert_id),
        [one for one in history.decisions if one.alert_id == alert_id],
        [one for one in history.deliveries if one.alert_id == alert_id],
    )


def _print_answer(answer: "Why", alert: "Alert | None") -> None:
    """Print an answer; `alert`: where several are printed, the one that this is about."""
    from alerting.why import lines_of

    if alert is not None:
        out.print(f"{alert.alert_id}  {alert.rule.id} {alert.level} {alert.status}  {alert.headline}", markup=False)
    for line in lines_of(answer):
        out.print(line if alert is None else f"  {line}", markup=False)


def replay(
    alert: AlertOption = None,
    subscriber: SubscriberOption = None,
    since: Annotated[str | None, typer.Option("--from", help="delivered at this time or later")] = None,
    until: Annotated[str | None, typer.Option("--to", help="delivered before this time")] = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Send again what was delivered before, marked as a replay: of one alert, one subscriber, or a range of time.

    Exit status: 0 asked for, 1 nothing fits, 2 a name or a time that cannot be.
    """
    from alerting.replaying import REPLAYS_MAX, requests_for

    if alert is None and subscriber is None and since is None:
        fail("say what to send again: --alert, --subscriber or --from")
    first, last = instant_option(since, "--from"), instant_option(until, "--to")
    if first is not None and last is not None and first >= last:
        fail("--from has to lie before --to")
    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    history = _history(servers, topics, alert)
    _known(history, subscriber)
    replay_id = uuid.uuid4().hex
    requests = requests_for(
        history.alerts.values(),
        history.deliveries,
        subscriber=subscriber,
        alert_id=alert,
        since=first,
        until=last,
        replay_id=replay_id,
        requested_by="cli",
        now=time.time_ns() // 1000,
    )
    if len(requests) > REPLAYS_MAX:
        fail(f"{len(requests)} deliveries are more than the {REPLAYS_MAX} of one replay: narrow --from and --to")
    if not requests:
        out.print("nothing that was delivered fits: nothing is sent again")
        raise typer.Exit(1)
    _send(servers, topics, requests)
    _said(as_json, replay_id, len(requests), "sent again")


def reroute(
    alert: Annotated[str, typer.Option("--alert", help="the alert's id")],
    subscriber: SubscriberOption = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Decide again about an alert for those who were not sent it: after a registry, a route or a filter was mended."""
    from models.redelivery import RedeliveryKind, RedeliveryRequest
    from models.times import format_instant

    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    found: Alert | None = _history(servers, topics, alert).alert(alert)
    if found is None:
        fail(f"there is no alert {alert} on {topics.alerts}")
    if subscriber is not None and subscriber not in (_subscribers(config) or {subscriber}):
        fail(f"there is no subscriber {subscriber}: `hotline-watch subscribers list` names them")
    later = _later(servers, topics, found)
    if later is not None:
        # Whoever was told the old one now would never hear what became of it.
        fail(
            f"alert {alert} is not in force any more: {later.alert_id} ({later.status}) came after it; decide about that one"
        )
    request = RedeliveryRequest(
        request_id=uuid.uuid4().hex,
        kind=RedeliveryKind.REROUTE,
        subscriber=subscriber,
        alert=found,
        requested_at=format_instant(time.time_ns() // 1000),
        requested_by="cli",
    )
    _send(servers, topics, [request])
    _said(as_json, request.request_id, 1, "decided again")


def _known(history: "History", subscriber: str | None) -> None:
    if subscriber is not None and all(one.subscriber != subscriber for one in history.deliveries):
        fail(f"nothing was ever queued for a subscriber {subscriber}: `hotline-watch subscribers list` names them")


def _subscribers(config: Path | None) -> frozenset[str]:
    """Return the subscribers' names; none where no file of them is set here."""
    from cli.subscribers_book import book_of, refusing

    if settings_of(config).subscribers_file is None:
        return frozenset()
    with refusing():
        return frozenset(one.name for one in book_of(None, config)[1].entries())


def _history(servers: str, topics: "TopicSet", alert_id: str | None, ticket_id: str | None = None) -> "History":
    from streams.delivery_history import ClusterUnreachableError, TopicUnreadableError, read_history

    try:
        return read_history(servers, topics, alert_id, ticket_id)
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))


def _later(servers: str, topics: "TopicSet", alert: "Alert") -> "Alert | None":
    from streams.delivery_history import ClusterUnreachableError, TopicUnreadableError, later_version

    try:
        return later_version(servers, topics, alert)
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))


def _send(servers: str, topics: "TopicSet", requests: "list[RedeliveryRequest]") -> None:
    from streams.redelivering import ClusterUnreachableError, TopicUnreadableError, send_requests

    try:
        send_requests(servers, topics, requests)
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))


def _said(as_json: bool, request_id: str, count: int, what: str) -> None:
    if as_json:
        typer.echo(json.dumps({"request_id": request_id, "requests": count}))
    else:
        typer.echo(f"{count} to be {what} (request {request_id}); `deliveries list` shows how they get on")
