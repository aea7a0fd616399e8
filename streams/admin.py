"""A short-lived kafka-python admin client: its failures are few and typed, and it leaves no thread behind.

Synchronous: never on an event loop (use a thread there).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from kafka.errors import KafkaError

from streams.access import require
from streams.cluster_errors import ClusterUnreachableError, WrongProtocolError
from streams.entrance import BrokenOffError, come_in
from streams.kafka_client import KafkaAdminClient
from streams.roles import Grant
from streams.security import security_of

__all__ = ["ClusterUnreachableError", "await_listener", "brokers_serving", "connect"]


class _Client(KafkaAdminClient):
    """The library starts a thread before it connects, and forgets it when it cannot connect."""

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except BaseException:
            if hasattr(self, "_net"):
                self._closed = False
                self.close()
            raise


@contextlib.contextmanager
def connect(
    bootstrap_servers: str, *, timeout_seconds: float = 10.0, needs: Iterable[Grant] = ()
) -> Iterator[KafkaAdminClient]:
    """Yield a connected admin client. `needs`: what is meant to be done, asked for now.

    Raises `ClusterUnreachableError` where it cannot connect, is not let in, or where ACLs for what it needs are missing.
    """
    deadline = time.monotonic() + timeout_seconds
    await_listener(bootstrap_servers, timeout_seconds=timeout_seconds)
    timeout_ms = max(1_000, int((deadline - time.monotonic()) * 1000))
    with _quiet():
        try:
            admin = _Client(
                bootstrap_servers=bootstrap_servers, bootstrap_timeout_ms=timeout_ms, request_timeout_ms=timeout_ms
            )
        except (KafkaError, OSError) as error:
            raise ClusterUnreachableError(bootstrap_servers, type(error).__name__) from error
        with contextlib.closing(admin):
            try:
                require(admin, bootstrap_servers, needs)
            except (KafkaError, OSError) as error:
                raise ClusterUnreachableError(bootstrap_servers, type(error).__name__) from error
            yield admin


def await_listener(bootstrap_servers: str, *, timeout_seconds: float = 10.0) -> None:
    """Return once one of the addresses lets us in. Raises `ClusterUnreachableError` with the cause, which the library hides: at
    once where another try would not help.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    security = security_of(bootstrap_servers)
    security.client_arguments()  # a file of ours that cannot be used is told as such, whatever the brokers would say first
    reason: Exception = ValueError("no address")
    while True:
        for address in filter(None, map(str.strip, bootstrap_servers.split(","))):
            try:
                come_in(address, *_host_port(address), security, max(0.1, deadline - time.monotonic()))
                return
            except (OSError, ValueError, OverflowError) as error:
                # One that answered and broke off says more than one that had no time left.
                if not isinstance(reason, BrokenOffError) or isinstance(error, ConnectionError):
                    reason = error
        if time.monotonic() >= deadline:
            if isinstance(reason, BrokenOffError):
                raise WrongProtocolError(f"Kafka at {bootstrap_servers} does not let us in: {reason.strerror}")
            told = getattr(reason, "strerror", None) or (str(reason) or type(reason).__name__)
            raise ClusterUnreachableError(bootstrap_servers, told)
        pause.wait(0.1)


def _host_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and not port.endswith("]") else (address.strip("[]"), 9092)


def brokers_serving(bootstrap_servers: str, *, timeout_seconds: float = 3.0) -> int:
    """Return how many brokers serve in the cluster, 0 if none answers."""
    try:
        with connect(bootstrap_servers, timeout_seconds=timeout_seconds) as admin:
            brokers = admin.describe_cluster()["brokers"]
    except (ClusterUnreachableError, KafkaError, OSError):
        return 0
    return sum(1 for broker in brokers if not broker.get("is_fenced", False))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the library's log of refused connections: the exception says it, once."""
    log = logging.getLogger("kafka")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
