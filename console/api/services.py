"""What the routes work with, and who calls: composed in serving.py, and in tests."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from alerting.addresses import Resolver
from alerting.registry import Registry
from alerting.subscriber_book import SubscriberBook
from console.api.bodies import SENDERS
from console.api.gate import CLIENT_KEY
from console.api.metrics import ApiMetrics
from console.api.problems import Problem, ProblemCode, forbidden, not_found, unauthorized
from console.api.watched import UnavailableError, Watched
from console.ledger import Ledger
from console.ledger_feed import FeedState
from models.api_client import ApiClient, Role
from models.event_batch import BatchEvent
from models.redelivery import RedeliveryRequest
from models.subscriber import Subscriber

HELD_RETRY_SECONDS = 30


@dataclass(frozen=True)
class Services:
    """Everything behind the routes."""

    ledger: Ledger
    feed_state: Callable[[], FeedState]
    subscribers: Watched[tuple[Subscriber, ...]]
    registry: Watched[Registry] | None
    """None: no registry is set, so nothing is told."""
    book: SubscriberBook
    secrets_dir: Path
    subscribers_path: Path
    silences_path: Path | None
    send: Callable[[Sequence[RedeliveryRequest]], None]
    """Returns when Kafka has them. Raises ClusterUnreachableError, TopicUnreadableError."""
    send_events: Callable[[Sequence[BatchEvent]], None]
    """Returns when Kafka has them. Raises EventsNotTakenError."""
    resolve: Resolver
    now: Callable[[], int]
    """The instant, in microseconds."""
    partitions: int
    metrics: ApiMetrics
    stall_seconds: float = 60.0
    rule_ids: Callable[[], Collection[str]] | None = None
    """The ids of the rules and categories that can be silenced; None: not known here, any is taken."""

    def subscriber(self, name: str) -> Subscriber:
        """Return a subscriber. Raises Problem."""
        for subscriber in self._known():
            if subscriber.name == name:
                return subscriber
        raise not_found("There is no such subscriber.")

    def subscriber_names(self) -> frozenset[str]:
        """Return the names that there are. Raises Problem."""
        return frozenset(subscriber.name for subscriber in self._known())

    def _known(self) -> tuple[Subscriber, ...]:
        try:
            return self.subscribers.get()
        except UnavailableError:
            raise unavailable("The subscribers file cannot be taken as it is; the server's log says where.") from None

    def registry_in_force(self) -> Registry:
        """Return the unit registry. Raises Problem: without one nobody is told anything."""
        try:
            if self.registry is not None:
                return self.registry.get()
        except UnavailableError:
            pass
        detail = "The unit registry is missing or cannot be taken: until it can, everything is held."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.HELD, detail, retry_after_seconds=HELD_RETRY_SECONDS)


def unavailable(detail: str, retry_after_seconds: int = HELD_RETRY_SECONDS) -> Problem:
    """Return the answer where something that is needed is not there now."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, detail, retry_after_seconds=retry_after_seconds
    )


def _services(request: Request) -> Services:
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


def _caller(request: Request) -> ApiClient:
    client = request.scope.get(CLIENT_KEY)
    if not isinstance(client, ApiClient):  # a route beside the gate: never open
        raise unauthorized()
    return client


def _of_role(*roles: Role) -> Callable[[ApiClient], ApiClient]:
    def checked(client: Annotated[ApiClient, Depends(_caller)]) -> ApiClient:
        if client.role not in roles:
            raise forbidden(roles)
        return client

    return checked


Parts = Annotated[Services, Depends(_services)]
Caller = Annotated[ApiClient, Depends(_caller)]
Admin = Annotated[ApiClient, Depends(_of_role(Role.ADMIN))]
Puller = Annotated[ApiClient, Depends(_of_role(Role.ADMIN, Role.SUBSCRIBER))]
Sender = Annotated[ApiClient, Depends(_of_role(*SENDERS))]
