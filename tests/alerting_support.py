"""What the tests of delivery share: alerts, subscribers, a scripted server on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import orjson

from models.alert import Alert
from models.secrets import Rolling, WebhookSecret
from models.subscriber import Subscriber

SECRET = WebhookSecret(bytes(range(32)))
LOOPBACK = (ip_network("127.0.0.0/8"),)
TIME = "2025-06-18T09:00:00+08:00"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def make_alert(alert_id: str = "a-1", case_id: str = "case-1", **fields: Any) -> Alert:
    """Return an alert of which only what matters need be said."""
    unit = {"id": "U-A", "name": "甲街道", "role": "accused"}
    given: dict[str, Any] = {
        "alert_id": alert_id,
        "case_id": case_id,
        "sequence": 1,
        "status": "raised",
        "family": "P",
        "rule": {"id": "P01", "version": 1, "title": "多次退单"},
        "level": "yellow",
        "units": [unit],
        "headline": "疑似推诿:多次退单",
        "tickets": ["T-1"],
        "facts": {"returns.count": 3},
        "thresholds": {"yellow": "returns.count >= 3"},
        "trigger": "e-1",
        "calendar_version": "1.11.0",
        "event_time": TIME,
        "as_of": TIME,
        "raised_at": TIME,
    } | fields
    return Alert.model_validate_json(orjson.dumps(given))


def make_subscriber(name: str = "platform", url: str = "https://receiver.example/hook", **fields: Any) -> Subscriber:
    """Return a subscriber that wants everything."""
    return Subscriber(name=name, url=url, **{"secrets": (Rolling(SECRET),), **fields})


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return one request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def raw_server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve raw connections on 127.0.0.1 and yield the port; connections still open at the end are cut."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(connected(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
