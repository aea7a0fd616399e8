"""kafka-python's clients, with two leaks of theirs mended. Synchronous: never on an event loop.

1. The socket of a connection that fails is left to the garbage collector: it is closed here.
2. A producer whose closing flush fails stays open, its threads with it: `give_up` ends it.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.net.inet import KafkaNetSocket

__all__ = ["KafkaAdminClient", "KafkaConsumer", "KafkaProducer", "TopicPartition", "give_up"]

_END_SECONDS = 5.0

_connect_socket = KafkaNetSocket.sock_connect


async def _connect_or_close(self: Any, net: Any, sock: Any, address: Any, timeout_at: float | None = None) -> Any:
    try:
        return await _connect_socket(self, net, sock, address, timeout_at=timeout_at)
    except BaseException:
        sock.close()
        raise


KafkaNetSocket.sock_connect = _connect_or_close


def give_up(producer: KafkaProducer) -> None:
    """Close a producer without sending what it still holds. Its futures fail; nothing is raised."""
    producer._sender.force_close()  # fails what is pending, so that the flush inside close() has nothing to wait for
    producer._sender.join(_END_SECONDS)
    producer.close(timeout=0)
