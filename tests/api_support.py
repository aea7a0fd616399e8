"""What the tests of the ledger and of the HTTP API share: records, a ledger fed by hand, the whole app behind its gate."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from prometheus_client import CollectorRegistry

from alerting.registration import load_subscribers
from alerting.registry import load_registry
from alerting.subscriber_book import SubscriberBook
from console.api.auth import load_clients
from console.api.metrics import ApiMetrics
from console.api.services import Services
from console.api.serving import gated
from console.api.watched import Watched
from console.ledger import Ledger, Source
from console.ledger_feed import FeedState
from models.alert import Alert
from models.decision import DecisionRecord
from models.delivery import DeliveryRecord, delivery_id
from models.event_batch import BatchEvent
from models.redelivery import RedeliveryRequest
from models.times import parse_instant
from tests.alerting_support import TIME
from tests.directory_support import write_registry

ADMIN = "an admin's token of the tests"
PLATFORM = "the platform's token of the tests"
OTHER = "another subscriber's token"
NOW = parse_instant("2025-06-20T12:00:00+08:00")
PARTITIONS = 4

SENDER = "the hotline platform's token"

TOKENS = {
    name: token.replace(" ", "-")
    for name, token in {"admin": ADMIN, "platform": PLATFORM, "other": OTHER, "sender": SENDER}.items()
}


def delivery(
    alert_id: str = "a-1",
    position: int = 1,
    *,
    case_id: str = "case-1",
    subscriber: str = "platform",
    sequence: int = 1,
    mark: str = "",
    **fields: Any,
) -> DeliveryRecord:
    """Return a delivery record of which only what matters need be said."""
    given: dict[str, Any] = {
        "delivery_id": delivery_id(subscriber, alert_id, mark),
        "subscriber": subscriber,
        "alert_id": alert_id,
        "case_id": case_id,
        "delivery_sequence": sequence,
        "status": "pending",
        "enqueued_at": TIME,
        "position": position,
        "mark": mark,
    } | fields
    return DeliveryRecord.model_validate_json(orjson.dumps(given))


def delivered(alert_id: str = "a-1", position: int = 1, **fields: Any) -> DeliveryRecord:
    """Return the record of a delivery that was accepted."""
    outcome = {"status": "delivered", "outcome": "accepted", "http_status": 204, "attempts": 1}
    return delivery(alert_id, position, **{**outcome, "first_attempt_at": TIME, "last_attempt_at": TIME, **fields})


def decision(alert_id: str = "a-1", decided_at: str = TIME, **fields: Any) -> DecisionRecord:
    """Return a decision record."""
    given = {"alert_id": alert_id, "case_id": "case-1", "decided_at": decided_at, **fields}
    return DecisionRecord.model_validate_json(orjson.dumps(given))


@dataclass
class Topics:
    """Topics in memory, each partition a list, and the ledger that is fed from them."""

    ledger: Ledger
    logs: dict[tuple[Source, int], list[bytes]] = field(default_factory=dict)

    def put(self, record: Alert | DeliveryRecord | DecisionRecord | RedeliveryRequest, partition: int = 0) -> None:
        """Append a record to its topic, and feed it."""
        source = {
            Alert: Source.ALERTS,
            DeliveryRecord: Source.DELIVERIES,
            DecisionRecord: Source.DECISIONS,
            RedeliveryRequest: Source.REDELIVERIES,
        }[type(record)]
        self.put_raw(source, record.model_dump_json().encode(), partition)

    def put_raw(self, source: Source, value: bytes, partition: int = 0) -> None:
        """Append whatever bytes, and feed them."""
        log = self.logs.setdefault((source, partition), [])
        log.append(value)
        self.ledger.apply(source, partition, len(log) - 1, value)

    def feed(self, ledger: Ledger) -> None:
        """Feed everything to another ledger."""
        for (source, partition), log in self.logs.items():
            for offset, value in enumerate(log):
                ledger.apply(source, partition, offset, value)

    def open(self) -> None:
        """Let pullers see all."""
        self.ledger.mark()
        self.ledger.open_marked()


@contextlib.contextmanager
def ledger_in(folder: Path, name: str = "ledger.sqlite") -> Iterator[Topics]:
    """Yield topics and their ledger in a file of the folder."""
    with contextlib.closing(Ledger(folder / name)) as ledger:
        yield Topics(ledger)


@dataclass
class Api:
    """The app behind its gate, and everything it touches."""

    folder: Path
    topics: Topics
    services: Services
    app: Any
    sent: list[RedeliveryRequest]
    events: list[BatchEvent]
    state: list[FeedState]
    seconds: list[float]

    @contextlib.asynccontextmanager
    async def client(self, who: str | None = "admin", address: str = "192.0.2.1") -> AsyncIterator[httpx.AsyncClient]:
        """Yield an HTTP client that calls as somebody, or as nobody."""
        headers = {} if who is None else {"authorization": f"Bearer {TOKENS.get(who, who)}"}
        transport = httpx.ASGITransport(app=self.app, client=(address, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers) as client:
            yield client

    async def get(self, path: str, who: str | None = "admin", **params: Any) -> httpx.Response:
        """Return the answer to a GET."""
        async with self.client(who) as client:
            return await client.get(path, params=params or None)

    async def post(self, path: str, body: Any = None, who: str | None = "admin", **headers: str) -> httpx.Response:
        """Return the answer to a POST of JSON."""
        async with self.client(who) as client:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.post(path, json={} if body is None else body, headers=sent)

    async def delete(self, path: str, who: str | None = "admin") -> httpx.Response:
        """Return the answer to a DELETE."""
        async with self.client(who) as client:
            return await client.delete(path)


def subscribers_yaml(*entries: dict[str, Any]) -> str:
    """Return a subscribers file, a block an entry, as the book edits it."""
    text = "subscribers:\n"
    for entry in entries:
        lines = [f"{key}: {orjson.dumps(value).decode()}" for key, value in entry.items()]
        text += "  - " + "\n    ".join(lines) + "\n"
    return text


def entry(name: str, **fields: Any) -> dict[str, Any]:
    """Return a subscriber's entry."""
    given = {"name": name, "url": f"https://{name}.example/hooks/token-{name}", "secret": {"file": "secrets/given"}}
    return given | fields


@contextlib.contextmanager
def api_in(
    folder: Path, entries: Sequence[dict[str, Any]] = (), *, owned: Sequence[str] | None = None
) -> Iterator[Api]:
    """Yield the API over files in a folder. `owned`: the subscribers that the registry knows; default: all."""
    entries = list(entries) or [entry("platform"), entry("other")]
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "given").write_text("a secret of the tests, long enough")
    path = folder / "subscribers.yaml"
    path.write_text(subscribers_yaml(*entries))
    files = write_registry(folder, [one["name"] for one in entries] if owned is None else owned)
    clients = folder / "clients.yaml"
    clients.touch(0o600)
    clients.write_bytes(orjson.dumps({"clients": _clients()}))
    assert files.units is not None
    sent: list[RedeliveryRequest] = []
    events: list[BatchEvent] = []
    state = [FeedState(0, 0.1, is_open=True)]
    seconds = [0.0]
    with ledger_in(folder) as topics:
        services = Services(
            ledger=topics.ledger,
            feed_state=lambda: state[0],
            subscribers=Watched(path, load_subscribers),
            registry=Watched(files.units, load_registry),
            book=SubscriberBook(path, secrets),
            secrets_dir=secrets,
            subscribers_path=path,
            silences_path=folder / "silences.yaml",
            send=sent.extend,
            send_events=events.extend,
            resolve=_resolve,
            now=lambda: NOW,
            partitions=PARTITIONS,
            metrics=ApiMetrics(CollectorRegistry()),
            rule_ids=lambda: frozenset({"P01", "P02", "P12"}),
        )
        known = Watched(clients, lambda one: load_clients(one, {}), keeps=True)
        app = gated(services, known.get, clock=lambda: seconds[0])
        yield Api(folder, topics, services, app, sent, events, state, seconds)


def _clients() -> list[dict[str, Any]]:
    return [
        *({"name": name, "token": {"inline": TOKENS[name]}, "role": name} for name in ("admin", "sender")),
        *(
            {"name": f"{name}-puller", "token": {"inline": TOKENS[name]}, "role": "subscriber", "subscriber": name}
            for name in ("platform", "other")
        ),
    ]


async def _resolve(host: str, _port: int) -> list[str]:
    """A name server: `inside.…` is private, `mixed.…` has one address of each kind, everything else is public."""
    if host.startswith("inside."):
        return ["10.0.0.7"]
    if host.startswith("mixed."):
        return ["93.184.216.34", "127.0.0.1"]
    return ["93.184.216.34"]
