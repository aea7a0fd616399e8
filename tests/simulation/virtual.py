"""An event loop whose time is a number: it passes only when it is told to, and in no real time at all."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, its time jumps, or it stops at the instant it was to run to."""

    now = 0.0
    until = 0.0
    loop: asyncio.AbstractEventLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return []
        if timeout is None or self.now + timeout > self.until:
            self.now = self.until
            self.loop.stop()
        else:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that is run to an instant, in seconds from its start."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._virtual.loop = self

    def time(self) -> float:
        return self._virtual.now

    def settle(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and return when nothing is left to be done at that instant."""
        self._virtual.until = self._virtual.now + seconds
        self.run_forever()


async def time_passes(seconds: float) -> None:
    """Return when so much of a virtual loop's time is over."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
