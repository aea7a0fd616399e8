"""Subscribers' endpoints in a process of their own: `python -m benchmarks.endpoints PLAN OUTPUT`, the secret in the environment.

Each has a port, verifies every call and behaves as the plan says: takes it, never answers, answers a byte a second, fails. SIGUSR1
lets those who have a second behaviour go on with it. One line of OUTPUT for each call, see `Receipt`. Written straight on
asyncio's protocols, so that fifty of them cost next to nothing beside what is measured. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson
import uvloop

from alerting.verify import NotVerifiedError, verify_call
from models.secrets import WebhookSecret

SECRET_VARIABLE = "HOTLINE_WATCH_SECRET_BENCHMARK"
READY = "endpoints ready"
RETRY_AFTER_SECONDS = 30
ANSWER_SECONDS = 0.005
"""What a receiver takes to keep a call."""
_FLUSH_SECONDS = 0.2
_ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
_REFUSED = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
_ANSWERS = {
    "fails": b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 429 Too Many Requests\r\nretry-after: %d\r\ncontent-length: 0\r\n\r\n" % RETRY_AFTER_SECONDS,
}


class Behaviour(StrEnum):
    """What an endpoint does with a call."""

    TAKES = "takes"
    HANGS = "hangs"
    """accepts the connection and reads, and never answers"""
    DRIPS = "drips"
    """answers a byte a second"""
    FAILS = "fails"
    """500"""
    BUSY = "busy"
    """429 with Retry-After"""


@dataclass
class Endpoint:
    """One endpoint: where, what it does, and what it does after SIGUSR1 (the same where nothing is said)."""

    name: str
    port: int = 0
    """0: any that is free; the plan then says which"""
    behaviour: Behaviour = Behaviour.TAKES
    later: Behaviour | None = None
    running: int = 0
    """calls that are not answered yet"""


class Receipt(NamedTuple):
    """One call as it came."""

    at: float
    """seconds since the epoch, when the call was read whole"""
    endpoint: str
    behaviour: str
    """`unverified` where the signature does not fit"""
    running: int
    """calls at this endpoint at that moment, with this one"""
    webhook_id: str
    case_id: str
    alert_id: str
    delivery_sequence: int


class Receipts:
    """The calls in a file that is being written."""

    def __init__(self, path: Path) -> None:
        self._path, self._position, self._rest = path, 0, b""
        self.all: list[Receipt] = []

    def read(self) -> list[Receipt]:
        """Return what came since the last time."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            found = file.read()
        self._position += len(found)
        *whole, self._rest = (self._rest + found).split(b"\n")
        new = [Receipt(*orjson.loads(line)) for line in whole]
        self.all += new
        return new


class _Connection(asyncio.Protocol):
    """One connection; a client sends the next call when the last was answered."""

    def __init__(self, endpoint: Endpoint, secret: WebhookSecret, output: IO[bytes]) -> None:
        self._endpoint, self._secret, self._output = endpoint, secret, output
        self._buffer = b""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's own, of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        headers = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            headers[name.decode("ascii").lower()] = value.strip().decode("latin-1")
        if len(body) >= int(headers["content-length"]):
            self._buffer = b""
            self._take(headers, body)

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        at, endpoint = time.time(), self._endpoint
        endpoint.running += 1
        self._busy = True
        behaviour = endpoint.behaviour
        try:
            alert = verify_call(body, headers, [self._secret])
        except NotVerifiedError:
            receipt = Receipt(at, endpoint.name, "unverified", endpoint.running, "", "", "", 0)
            self._answer(_REFUSED)
        else:
            told = alert["case_id"], alert["alert_id"], alert["delivery_sequence"]
            receipt = Receipt(at, endpoint.name, behaviour, endpoint.running, headers["webhook-id"], *told)
            self._behave(behaviour)
        self._output.write(orjson.dumps(tuple(receipt)) + b"\n")

    def _behave(self, behaviour: Behaviour) -> None:
        loop = asyncio.get_running_loop()
        match behaviour:
            case Behaviour.TAKES:
                loop.call_later(ANSWER_SECONDS, self._answer, _ACCEPTED)
            case Behaviour.DRIPS:
                self._drip(_ACCEPTED)
            case Behaviour.FAILS | Behaviour.BUSY:
                self._answer(_ANSWERS[behaviour])
            case Behaviour.HANGS:
                pass

    def _drip(self, rest: bytes) -> None:
        if rest and not self._transport.is_closing():
            self._transport.write(rest[:1])
            asyncio.get_running_loop().call_later(1.0, self._drip, rest[1:])

    def _answer(self, answer: bytes) -> None:
        self._done()
        if not self._transport.is_closing():
            self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()

    def _done(self) -> None:
        if self._busy:
            self._busy = False
            self._endpoint.running -= 1


def write_plan(path: Path, endpoints: list[Endpoint]) -> None:
    """Write the plan of a process of endpoints."""
    path.write_bytes(orjson.dumps([(one.name, one.port, one.behaviour, one.later) for one in endpoints]))


def read_plan(path: Path) -> list[Endpoint]:
    """Return the endpoints of a plan."""
    return [
        Endpoint(name, port, Behaviour(behaviour), Behaviour(later) if later else None)
        for name, port, behaviour, later in orjson.loads(path.read_bytes())
    ]


async def _serve(plan: Path, output: IO[bytes]) -> None:
    secret = WebhookSecret.parse(os.environ[SECRET_VARIABLE])
    endpoints = read_plan(plan)
    loop = asyncio.get_running_loop()
    for endpoint in endpoints:
        server = await loop.create_server(
            lambda one=endpoint: _Connection(one, secret, output), "127.0.0.1", endpoint.port, backlog=512
        )
        endpoint.port = server.sockets[0].getsockname()[1]
    write_plan(plan, endpoints)  # with the ports that they came to

    def change() -> None:
        for endpoint in endpoints:
            endpoint.behaviour = endpoint.later or endpoint.behaviour

    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, change)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    print(READY, flush=True)
    while not ended.is_set():
        output.flush()
        try:
            await asyncio.wait_for(ended.wait(), _FLUSH_SECONDS)
        except TimeoutError:
            continue


def main() -> None:
    """Serve until SIGTERM."""
    plan, output = (Path(argument) for argument in sys.argv[1:])
    with output.open("ab") as file, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(plan, file))


if __name__ == "__main__":
    main()
