"""`hotline-watch subscribers test`: a marked drill that goes the whole way to one subscriber."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from alerting.drills import drill_mark, drill_request
from cli.configured import BootstrapOption, ConfigOption, PrefixOption, cluster_of
from cli.output import fail
from cli.subscribers_book import AsJson, FileOption, book_of, refusing
from models.delivery import DeliveryRecord, DeliveryStatus, Outcome
from models.redelivery import RedeliveryRequest
from models.times import SECOND


@dataclass(frozen=True, slots=True)
class Drill:
    """What came of a drill; `latency_ms`: from asking for it to its outcome."""

    subscriber: str
    request_id: str
    record: DeliveryRecord | None
    latency_ms: int

    @property
    def accepted(self) -> bool:
        """Return whether the subscriber took it."""
        return self.record is not None and self.record.outcome is Outcome.ACCEPTED

    @property
    def said(self) -> str:
        """Return in one line what came of it."""
        record = self.record
        if record is None:
            return "no dispatch worker took it in time: is one running, with this subscriber in its file?"
        if record.outcome is None:
            return "it is queued and was not tried in time: it stays queued; `deliveries list` says what it waits for"
        status = f" ({record.http_status})" if record.http_status is not None else ""
        if self.accepted:
            return f"accepted{status} after {self.latency_ms} ms"
        if record.status is DeliveryStatus.DISABLED:
            return f"not accepted: {record.outcome.value}{status}; the endpoint is off until `subscribers revise` tries it again"
        return (
            f"not accepted: {record.outcome.value}{status} after {self.latency_ms} ms; it is tried again like any other"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        record = self.record
        return {
            "subscriber": self.subscriber,
            "request_id": self.request_id,
            "accepted": self.accepted,
            "outcome": None if record is None or record.outcome is None else record.outcome.value,
            "http_status": None if record is None else record.http_status,
            "latency_ms": self.latency_ms,
            "said": self.said,
        }


def run_drill(
    subscriber: str,
    request_id: str,
    timeout_seconds: float,
    *,
    send: Callable[[RedeliveryRequest], None],
    outcome: Callable[[str, str, float], DeliveryRecord | None],
    clock: Callable[[], int],
) -> Drill:
    """Send a drill and return what came of it. `outcome` waits for the delivery of a subscriber and a mark, for so many
    seconds; `clock` gives microseconds.
    """
    started_at = clock()
    send(drill_request(subscriber, request_id, started_at, "hotline-watch subscribers test"))
    record = outcome(subscriber, drill_mark(request_id), timeout_seconds)
    return Drill(subscriber, request_id, record, (clock() - started_at) * 1000 // SECOND)


def send_drill(
    name: Annotated[str, typer.Argument(help="The subscriber's name.")],
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for the outcome.")] = 30,
    file: FileOption = None,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    prefix: PrefixOption = None,
    as_json: AsJson = False,
) -> None:
    """Send a drill: a made-up warning, marked as one, through the running dispatch worker to this subscriber's endpoint.

    Exit status: 0 accepted, 1 not, or not in time, 2 it cannot be sent.
    """
    from streams.redelivering import (
        ClusterUnreachableError,
        TopicUnreadableError,
        await_outcome,
        delivery_ends,
        send_request,
    )

    _, book = book_of(file, config)
    with refusing():
        if not book.entry(name).enabled:
            fail(f"{name} is disabled: a drill would be kept with the rest; enable it first")
    servers, topics = cluster_of(config, bootstrap_servers, prefix)
    try:
        ends = delivery_ends(servers, topics)
        drill = run_drill(
            name,
            uuid.uuid4().hex,
            timeout,
            send=lambda request: send_request(servers, topics, request),
            outcome=lambda who, mark, seconds: await_outcome(servers, topics, who, mark, seconds, since=ends),
            clock=lambda: time.time_ns() // 1000,
        )
    except (ClusterUnreachableError, TopicUnreadableError) as error:
        fail(str(error))
    typer.echo(json.dumps(drill.as_json(), ensure_ascii=False) if as_json else f"{name}: {drill.said}")
    raise typer.Exit(0 if drill.accepted else 1)
