"""kafka-python's clients, secured, and with two leaks of theirs mended. Synchronous: never on an event loop.

The only place where they are made. Their `bootstrap_servers` is a cluster as the settings have it (security.py): TLS and login
come with it. A list of addresses is refused, for it has none.

1. The socket of a connection that fails is left to the garbage collector: it is closed here.
2. A producer whose closing flush fails stays open, its threads with it: `give_up` ends it.

What a compressed batch may inflate to is bounded, as for the workers (bounded_batches.py); here reading fails with BatchTooLargeError.
So every codec that a sender may choose can be read; to write, we use gzip or none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kafka
from kafka import TopicPartition, codec
from kafka.errors import KafkaError
from kafka.net.inet import KafkaNetSocket
from kafka.record import default_records, legacy_records

from streams.inflating import CODECS, InflationError
from streams.security import client_arguments

__all__ = ["BatchTooLargeError", "KafkaAdminClient", "KafkaConsumer", "KafkaProducer", "TopicPartition", "give_up"]

_END_SECONDS = 5.0

_connect_socket = KafkaNetSocket.sock_connect


async def _connect_or_close(self: Any, net: Any, sock: Any, address: Any, timeout_at: float | None = None) -> Any:
    try:
        return await _connect_socket(self, net, sock, address, timeout_at=timeout_at)
    except BaseException:
        sock.close()
        raise


KafkaNetSocket.sock_connect = _connect_or_close


class BatchTooLargeError(KafkaError):  # type: ignore[misc]
    """A batch of records inflates beyond `INFLATED_BYTES_MAX`."""


def _bounded(inflate: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def decode(payload: Any) -> bytes:
        try:
            return inflate(payload)
        except InflationError:
            raise BatchTooLargeError from None

    return decode


for _name, _inflate in CODECS.items():
    for _module in (default_records, legacy_records):
        if hasattr(_module, _name):
            setattr(_module, _name, _bounded(_inflate))
for _codec in ("has_lz4", "has_snappy", "has_zstd"):
    setattr(codec, _codec, lambda: True)  # asked before reading; the libraries it looks for are not needed


class KafkaConsumer(kafka.KafkaConsumer):  # type: ignore[misc]
    """A consumer. Raises SecurityFilesError, and what the library raises."""

    def __init__(self, *topics: str, bootstrap_servers: str, **settings: Any) -> None:
        super().__init__(*topics, **client_arguments(bootstrap_servers), **settings)


class KafkaProducer(kafka.KafkaProducer):  # type: ignore[misc]
    """A producer. Raises SecurityFilesError, and what the library raises."""

    def __init__(self, *, bootstrap_servers: str, **settings: Any) -> None:
        self.config: dict[str, Any] = {}  # the library looks there when one ends, one that never began too
        super().__init__(**client_arguments(bootstrap_servers), **settings)


class KafkaAdminClient(kafka.KafkaAdminClient):  # type: ignore[misc]
    """An admin client; `streams.admin.connect` makes one. Raises SecurityFilesError, and what the library raises."""

    def __init__(self, *, bootstrap_servers: str, **settings: Any) -> None:
        super().__init__(**client_arguments(bootstrap_servers), **settings)


def give_up(producer: KafkaProducer) -> None:
    """Close a producer without sending what it still holds. Its futures fail; nothing is raised."""
    producer._sender.force_close()  # fails what is pending, so that the flush inside close() has nothing to wait for
    producer._sender.join(_END_SECONDS)
    producer.close(timeout=0)
