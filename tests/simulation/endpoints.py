"""Receivers of calls: what each kept, and how they answer, which is not always the truth. And how they are called: what no caller may do.

A caller is one process's client of one subscriber. It may not call
- an endpoint that told it 410;
- one that asked to be left alone (429 with Retry-After), before that time is over;
- with what this endpoint took from it before, as long as nobody else had to do with it: a call is repeated after a failure, a restart or a
  move alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import orjson

from models.subscriber import Subscriber
from tests.simulation.virtual import time_passes

ANSWERS = ("slow", "late", "lost", "reset", "endless", "unreachable", "fails", "lies", "busy", "gone", "moved")
"""slow but well; kept long after the caller gave up; kept, and the connection breaks before or in the answer; kept, and an endless answer;
never reached; 500; 500 though it was kept; 429; 410, and so for ever; 302, and not kept"""
KEPT = frozenset({"well", "slow", "lost", "reset", "endless", "lies"})
LATE_SECONDS = 40.0
RETRY_AFTER_SECONDS = 120
Reach = Callable[[str], Awaitable[None]]


@dataclass
class Receiver:
    """One subscriber's system. It knows a call by its webhook-id, as it is told to."""

    name: str
    kept: list[dict[str, Any]] = field(default_factory=list)
    """What it took, each delivery once, in the order in which they came first."""
    first: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By webhook-id"""
    wrong: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Addresses that said 410."""
    known_to: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Which processes called, or wrote a record of it, by webhook-id"""

    def keep(self, call_id: str, body: bytes) -> None:
        """Take a call."""
        told = orjson.loads(body)
        if call_id not in self.first:
            self.first[call_id] = told
            self.kept.append(told)
        elif self.first[call_id] != told:
            self.wrong.append(f"{self.name}: {call_id} says something else when it comes again")


@dataclass
class Answers:
    """How calls are answered, one after the other, whoever receives them; well when there are no more."""

    left: list[str]
    happened: Counter[str]

    def next(self) -> str:
        how = self.left.pop(0) if self.left else "well"
        self.happened[f"answer {how}"] += 1
        return how


@dataclass
class _Response:
    """What of httpx's response the service looks at."""

    status_code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    breaks: bool = False

    async def aiter_raw(self) -> AsyncIterator[bytes]:
        yield self.body
        if self.breaks:
            raise httpx.ReadError("reset")


@dataclass
class Caller:
    """One process's client of one subscriber's endpoint. The process may end before a call, and before its answer comes."""

    process: int
    subscriber: Subscriber
    receiver: Receiver
    answers: Answers
    reach: Reach
    elapsed: Callable[[], float]
    """Seconds by a clock that goes back for nobody."""
    bugs: frozenset[str]
    line: asyncio.Lock
    """Of the process; where it makes one call at a time, which is a mistake."""
    running: int = 0
    """Calls on their way."""
    called: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    """Ids that were answered well."""
    failed: bool = False
    told_gone: bool = False
    spared_until: float = 0.0

    @property
    def http(self) -> Self:
        """Return what calls are made with."""
        return self

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, content: bytes, headers: dict[str, str]
    ) -> AsyncIterator[_Response]:
        """Make a call, as httpx does."""
        line = self.line if "one call at a time" in self.bugs else nullcontext()
        async with line, self._called(url, content, headers["webhook-id"]) as response:
            yield response

    @asynccontextmanager
    async def _called(self, url: str, content: bytes, call_id: str) -> AsyncIterator[_Response]:
        if "another id each time" in self.bugs:
            call_id += f"-{len(self.receiver.known_to)}"
        self.receiver.wrong += self._misconduct(call_id)
        self.called.add(call_id)
        self.receiver.known_to[call_id].add(self.process)
        self.running += 1
        try:
            await self.reach("call")
            how = "gone" if url in self.receiver.gone else self.answers.next()
            response = await self._answer(how, call_id, content, url)
            await self.reach("answer")
            self._learn(how, call_id)
            yield response
        except BaseException:
            self.failed = True
            raise
        finally:
            self.running -= 1

    def _misconduct(self, call_id: str) -> Iterator[str]:
        if self.told_gone:
            yield f"{self.receiver.name} is called though it said that it is gone"
        if self.elapsed() < self.spared_until:
            yield f"{self.receiver.name} is called {self.spared_until - self.elapsed():.1f} s before it asked to be"
        if call_id in self.taken and self.receiver.known_to[call_id] == {self.process}:
            yield f"{self.receiver.name} took {call_id} and is called with it again"

    def _learn(self, how: str, call_id: str) -> None:
        if how in ("well", "slow"):
            self.taken.add(call_id)
            return
        self.failed = True
        if how == "gone":
            self.told_gone = True
        if how == "busy":
            self.spared_until = self.elapsed() + RETRY_AFTER_SECONDS - 0.001

    async def _answer(self, how: str, call_id: str, body: bytes, url: str) -> _Response:
        receiver = self.receiver
        if how == "slow":
            await time_passes(3)
        if how in KEPT:
            receiver.keep(call_id, body)
        match how:
            case "late":
                asyncio.get_running_loop().call_later(LATE_SECONDS, receiver.keep, call_id, body)
                await time_passes(3 * LATE_SECONDS)
            case "lost":
                raise httpx.ReadError("no answer")
            case "unreachable":
                raise httpx.ConnectError("nobody there")
            case "reset":
                return _Response(200, body=b"o", breaks=True)
            case "endless":
                return _Response(200, body=b"x" * 20_000)
            case "busy":
                asked = {"retry-after": str(RETRY_AFTER_SECONDS)}
                return _Response(429, {} if "Retry-After ignored" in self.bugs else asked)
            case "gone":
                receiver.gone.add(url)
                return _Response(404 if "410 ignored" in self.bugs else 410)
            case "moved":
                return _Response(302)
            case "fails" | "lies":
                return _Response(500)
        return _Response(204)
