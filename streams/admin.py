"""A short-lived kafka-python admin client: its failures are few and typed, and it leaves no thread behind.

Synchronous: never on an event loop (use a thread there).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from kafka.errors import KafkaError

from streams.kafka_client import KafkaAdminClient


class ClusterUnreachableError(Exception):
    """No broker of the cluster answered."""

    def __init__(self, bootstrap_servers: str, reason: str) -> None:
        super().__init__(
            f"no Kafka broker answers at {bootstrap_servers} ({reason}): check the address (--bootstrap-servers, or the "
            "setting bootstrap_servers; `hotline-watch up` prints that of its own broker), that the brokers run, and the network and "
            "security settings between here and there"
        )


class _Client(KafkaAdminClient):  # type: ignore[misc]
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
    bootstrap_servers: str, *, timeout_seconds: float = 10.0, client: Mapping[str, Any] | None = None
) -> Iterator[KafkaAdminClient]:
    """Yield a connected admin client. `client`: kafka-python settings for it, such as `security_protocol`.

    Raises `ClusterUnreachableError` where it cannot connect.
    """
    settings = dict(client or {})
    deadline = time.monotonic() + timeout_seconds
    if not settings.get("proxy_url"):
        await_listener(bootstrap_servers, timeout_seconds=timeout_seconds)
    timeout_ms = max(1_000, int((deadline - time.monotonic()) * 1000))
    settings = {"bootstrap_timeout_ms": timeout_ms, "request_timeout_ms": timeout_ms, **settings}
    with _quiet():
        try:
            # A list, or a text with several addresses would be taken for one.
            admin = _Client(bootstrap_servers=bootstrap_servers.split(","), **settings)
        except (KafkaError, OSError) as error:
            raise ClusterUnreachableError(bootstrap_servers, type(error).__name__) from error
        with contextlib.closing(admin):
            yield admin


def await_listener(bootstrap_servers: str, *, timeout_seconds: float = 10.0) -> None:
    """Return once one of the addresses takes connections. Raises `ClusterUnreachableError`, with the cause that the library hides."""
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while True:
        reason = "no address"
        for address in filter(None, map(str.strip, bootstrap_servers.split(","))):
            try:
                socket.create_connection(_host_port(address), timeout=max(0.1, deadline - time.monotonic())).close()
                return
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or type(error).__name__
        if time.monotonic() >= deadline:
            raise ClusterUnreachableError(bootstrap_servers, reason)
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
