"""Composes the API from the settings and serves it until SIGTERM."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.types import ASGIApp

from alerting.addresses import system_resolver
from alerting.registration import load_subscribers
from alerting.registry import load_registry
from alerting.subscriber_book import SubscriberBook
from console.api.app import create_app
from console.api.auth import FailureLimiter, load_clients
from console.api.gate import Gate
from console.api.metrics import ApiMetrics
from console.api.services import Services
from console.api.watched import Watched
from console.ledger import LEDGER_FILE, Ledger, LedgerError
from console.ledger_feed import FeedState, LedgerFeed
from models.api_client import ApiClient
from models.redelivery import RedeliveryRequest
from rules.pack import default_pack, load_pack
from streams.event_sender import EventSender
from streams.metrics_certificates import watch_certificates
from streams.redelivering import send_requests
from streams.roles import Role
from streams.settings import Settings
from streams.topics_admin import require_topics

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 512
GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep a connection: whoever closes first must be the one who does not send into it next."""


def run(settings: Settings) -> None:
    """Serve the API; return after SIGTERM or SIGINT.

    Raises ConfigFileError, SettingsError, LedgerError, TopicMismatch, ClusterUnreachableError and OSError before it
    starts. `api_clients_file` and `subscribers_file` are set.
    """
    assert settings.api_clients_file is not None
    clients = Watched(settings.api_clients_file, load_clients, keeps=True)
    load_clients(settings.api_clients_file)  # its error is the start's error
    _warn_of_strangers(clients.get(), settings)
    require_topics(settings.bootstrap_servers, settings.topics, role=Role.API)
    data_dir = settings.make_data_dir()
    with (
        _alone(data_dir),
        closing(Ledger(data_dir / LEDGER_FILE)) as ledger,
        socket.create_server((settings.api_host, settings.api_port)) as listener,
        _fed(ledger, settings) as feed_state,
        closing(EventSender(settings.bootstrap_servers, settings.topics.ticket_events, settings.partitions)) as events,
    ):
        services = services_of(settings, ledger, feed_state, events)
        ProcessCollector(registry=services.metrics.registry)
        watch_certificates(settings.bootstrap_servers, services.metrics.registry)
        _serve(gated(services, clients.get), listener)


def _warn_of_strangers(clients: Sequence[ApiClient], settings: Settings) -> None:
    assert settings.subscribers_file is not None
    known = {subscriber.name for subscriber in load_subscribers(settings.subscribers_file)}
    for client in clients:
        if client.subscriber is not None and client.subscriber not in known:
            log.warning("api: client %s is of a subscriber that there is not: %s", client.name, client.subscriber)


def services_of(
    settings: Settings, ledger: Ledger, feed_state: Callable[[], FeedState], events: EventSender
) -> Services:
    """Return what the routes work with, as the settings say."""
    subscribers_file = settings.subscribers_file
    assert subscribers_file is not None
    secrets_dir = settings.secrets_dir or subscribers_file.parent / "secrets"

    def send(requests: Sequence[RedeliveryRequest]) -> None:
        send_requests(settings.bootstrap_servers, settings.topics, requests)

    return Services(
        ledger=ledger,
        feed_state=feed_state,
        subscribers=Watched(subscribers_file, load_subscribers),
        registry=None if settings.units_file is None else Watched(settings.units_file, load_registry),
        book=SubscriberBook(subscribers_file, secrets_dir),
        secrets_dir=secrets_dir,
        subscribers_path=subscribers_file,
        silences_path=settings.silences_file,
        send=send,
        send_events=events.send,
        resolve=system_resolver(),
        now=lambda: time.time_ns() // 1000,
        partitions=settings.partitions,
        metrics=ApiMetrics(CollectorRegistry()),
        stall_seconds=settings.stall_seconds,
        rule_ids=cache(lambda: _rule_ids(settings)),
    )


def _rule_ids(settings: Settings) -> frozenset[str]:
    pack = default_pack() if settings.rules_dir is None else load_pack(settings.rules_dir)
    return frozenset(rule.id for rule in pack.rules)


def gated(
    services: Services, clients: Callable[[], Sequence[ApiClient]], clock: Callable[[], float] = time.monotonic
) -> ASGIApp:
    """Return the whole app. `clock` gives seconds that never go back."""
    return Gate(create_app(services), clients, FailureLimiter(clock), services.metrics)


@contextmanager
def _fed(ledger: Ledger, settings: Settings) -> Iterator[Callable[[], FeedState]]:
    feed = LedgerFeed(ledger, settings.bootstrap_servers, settings.topics)
    feed.start()
    try:
        yield feed.state
    finally:
        feed.stop()


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the directory: two processes must not feed one ledger. The system lets go when the holder ends."""
    with (data_dir / f"{LEDGER_FILE}.lock").open("a") as file:
        os.fchmod(file.fileno(), 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LedgerError(
                f"{data_dir}: another process keeps its ledger here: give each API process a data_dir of its own"
            ) from None
        yield


def _serve(app: ASGIApp, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who could set X-Forwarded-For could try tokens without end
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn has its own handlers while it serves, and raises the signal once more for these when it is done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"api ready, http port {listener.getsockname()[1]}", flush=True)  # noqa: T201
    server.run(sockets=[listener])
