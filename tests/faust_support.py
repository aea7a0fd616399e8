"""Faust apps in the test's own process and event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from streams.batches import each_batch
from streams.faust_app import batch_topic, make_app

T = TypeVar("T")


async def until(predicate: Callable[[], T], deadline_seconds: float = 30.0, what: str = "") -> T:
    """Return the first truthy value of `predicate`, letting the event loop run; fail when the deadline passes."""
    pause, deadline = threading.Event(), time.monotonic() + deadline_seconds
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"{what or predicate} did not come true; last value: {value!r}"
        await asyncio.to_thread(pause.wait, 0.02)
    return value


@contextlib.asynccontextmanager
async def running(*apps: Any) -> AsyncIterator[None]:
    """The apps, started one after the other, and stopped as on SIGTERM."""
    async with contextlib.AsyncExitStack() as stack:
        for app in apps:
            stack.push_async_callback(app.stop)
            await app.start()
        yield


Handle = Callable[[int, list[Any]], Awaitable[None]]


def add_batch_agent(app: Any, topic: str, handle: Handle, deaths: list[BaseException]) -> None:
    """An agent over a batch topic; what would end the process is appended to `deaths`."""

    @app.agent(batch_topic(app, topic), name=f"agent-{topic}")
    async def agent(stream: Any) -> None:
        await each_batch(stream, handle, deaths.append)


def quick_app(bootstrap_servers: str, app_id: str, datadir: Path, batch_topics: set[str], **settings: Any) -> Any:
    """An app with short intervals."""
    return make_app(
        app_id,
        bootstrap_servers=bootstrap_servers,
        datadir=datadir,
        batch_topics=batch_topics,
        commit_interval_seconds=0.1,
        **settings,
    )
