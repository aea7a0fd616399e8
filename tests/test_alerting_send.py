"""One attempt against real servers on 127.0.0.1 that behave as badly as servers do."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import itertools
import logging
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from alerting.addresses import ResolutionFailedError, Resolver
from alerting.send import Answer, outcome_of_status, send
from alerting.transport import EndpointClient
from alerting.webhook import Call, Entry, build_call
from models.delivery import Outcome
from models.subscriber import Subscriber
from models.times import SECOND
from tests.alerting_support import LOOPBACK, Handler, make_alert, make_subscriber, raw_server, read_request

NOW = 1_750_208_400 * SECOND
LONG = 20.0


def local(port: int, **fields: object) -> Subscriber:
    return make_subscriber(url=f"http://127.0.0.1:{port}/hook", allow_http=True, allow_networks=LOOPBACK, **fields)


def answering(*parts: bytes) -> Handler:
    """Return a server that reads the request and answers with the parts."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()

    return handle


def call_to(subscriber: Subscriber) -> Call:
    """Return a signed call of one alert."""
    return build_call([Entry(make_alert().model_dump_json().encode(), "d-1", 1)], subscriber, NOW)


async def attempt(subscriber: Subscriber, timeout_seconds: float = LONG, resolve: Resolver | None = None) -> Answer:
    subscriber = dataclasses.replace(subscriber, timeout_seconds=timeout_seconds)
    client = EndpointClient(subscriber, resolve)
    try:
        return await send(client.http, call_to(subscriber), subscriber, lambda: NOW)
    finally:
        await client.aclose()


async def answer_to(handler: Handler, timeout_seconds: float = LONG) -> Answer:
    async with raw_server(handler) as port:
        return await attempt(local(port), timeout_seconds)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "accepted"),
        (204, "accepted"),
        (302, "redirect"),
        (308, "redirect"),
        (400, "http_4xx"),
        (401, "http_4xx"),
        (410, "gone"),
        (429, "too_many_requests"),
        (500, "http_5xx"),
        (503, "http_5xx"),
        (600, "unexpected_status"),
        (199, "unexpected_status"),
    ],
)
def test_what_a_status_means(status: int, outcome: str) -> None:
    assert outcome_of_status(status) is Outcome(outcome)


async def test_the_call_as_it_arrives() -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\nset-cookie: a=b\r\n\r\n")
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with raw_server(handle) as port:
        subscriber = local(port, headers={"X-Route": "county"})
        client = EndpointClient(subscriber)
        for _ in range(2):
            answer = await send(client.http, call_to(subscriber), subscriber, lambda: NOW)
            assert answer == Answer(Outcome.ACCEPTED, 204)
        await client.aclose()
    first, second = (request.lower() for request in seen)
    assert first.startswith(b"post /hook http/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in first
    assert b"x-route: county\r\n" in first
    assert b"webhook-id: d-1\r\n" in first
    assert first.endswith(b"\r\n\r\n" + call_to(subscriber).body.lower())
    assert b"cookie" not in second  # nothing the receiver says is kept


async def test_the_url_and_the_secret_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with raw_server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as port:
        subscriber = local(port)
        token = dataclasses.replace(subscriber, url=f"{subscriber.url}?key=robot-token")
        with caplog.at_level(logging.DEBUG):
            assert (await attempt(token)).outcome is Outcome.ACCEPTED
    assert "robot-token" not in caplog.text


async def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    followed = asyncio.Event()

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        followed.set()

    async with raw_server(elsewhere) as other:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{other}/\r\ncontent-length: 0\r\n\r\n"
        answer = await answer_to(answering(head.encode()))
    assert answer == Answer(Outcome.REDIRECT, 307)
    assert not followed.is_set()


async def test_retry_after_is_handed_on() -> None:
    answer = await answer_to(
        answering(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n")
    )
    assert answer == Answer(Outcome.TOO_MANY_REQUESTS, 429, 120 * SECOND)


async def test_a_server_that_says_nothing_times_out() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    assert await answer_to(hang, timeout_seconds=0.2) == Answer(Outcome.TIMEOUT)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_drip_fed_answer_ends_at_the_total_timeout(head: bytes) -> None:
    dripped = 0

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dripped
        await read_request(reader)
        writer.write(head or b"HTTP/1.1 200 OK\r\nx-slow: ")
        ticks = asyncio.get_running_loop()
        for _ in itertools.count():
            writer.write(b"a")
            await writer.drain()
            dripped += 1
            woken = ticks.create_future()
            ticks.call_later(0.02, woken.set_result, None)  # faster than any timeout between two reads
            await woken

    answer = await answer_to(drip, timeout_seconds=0.4)
    assert answer.outcome is Outcome.TIMEOUT
    assert dripped > 3


async def test_no_more_than_16_kb_of_an_answer_is_read() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    assert await answer_to(endless) == Answer(Outcome.RESPONSE_TOO_LARGE, 200)
    assert sent < 64 * 1024 * 1024  # the pipe between us, not an endless stream


async def test_a_large_refusal_is_still_a_refusal() -> None:
    body = b"x" * 100_000
    answer = await answer_to(answering(b"HTTP/1.1 410 Gone\r\ncontent-length: 100000\r\n\r\n", body))
    assert answer == Answer(Outcome.GONE, 410)


async def test_a_packed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert len(bomb) < 16 * 1024
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n"
    assert await answer_to(answering(head.encode(), bomb)) == Answer(Outcome.ACCEPTED, 200)


async def test_200_then_reset_is_not_taken_for_accepted() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        # SO_LINGER 0: closing sends RST instead of FIN
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    assert await answer_to(handle) == Answer(Outcome.CONNECTION_LOST, 200)


@pytest.mark.parametrize("answer", [b"", b"not http\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: nine\r\n\r\n"])
async def test_no_http_is_a_lost_connection(answer: bytes) -> None:
    assert (await answer_to(answering(answer))).outcome is Outcome.CONNECTION_LOST


async def test_headers_without_end_are_cut_off() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-more: " + b"x" * 8_000 + b"\r\n")
            await writer.drain()

    assert (await answer_to(handle)).outcome is Outcome.CONNECTION_LOST


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await attempt(local(port)) == Answer(Outcome.CONNECT_FAILED)


async def test_a_name_that_cannot_be_resolved() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise ResolutionFailedError("no such name")

    assert await attempt(make_subscriber(), resolve=resolve) == Answer(Outcome.DNS_FAILED)


async def test_a_name_server_that_hangs_is_part_of_the_total_timeout() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert await attempt(make_subscriber(), 0.1, resolve) == Answer(Outcome.TIMEOUT)


async def test_addresses_are_checked_again_at_every_call() -> None:
    """A name that was public at registration and answers 127.0.0.1 now (rebinding) is not called."""
    called = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()

    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with raw_server(handle) as port:
        subscriber = make_subscriber(url=f"http://receiver.example:{port}/hook", allow_http=True)
        assert await attempt(subscriber, resolve=rebound) == Answer(Outcome.REFUSED_ADDRESS)
    assert not called.is_set()


async def test_the_call_goes_to_the_checked_address_under_the_urls_name() -> None:
    """The name does not exist for the system: only the address that was checked can have been dialled."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    answers = iter([["127.0.0.1"]])  # resolved once: a second question would fail

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    async with raw_server(handle) as port:
        url = f"http://receiver.invalid:{port}/hook"
        subscriber = make_subscriber(url=url, allow_http=True, allow_networks=LOOPBACK)
        assert await attempt(subscriber, resolve=resolve) == Answer(Outcome.ACCEPTED, 204)
    assert f"host: receiver.invalid:{port}\r\n".encode() in seen[0].lower()


async def test_the_next_address_is_tried_where_one_refuses_the_connection() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.77", "127.0.0.1"]

    async with raw_server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as port:
        url = f"http://receiver.invalid:{port}/hook"
        subscriber = make_subscriber(url=url, allow_http=True, allow_networks=LOOPBACK)
        assert await attempt(subscriber, resolve=resolve) == Answer(Outcome.ACCEPTED, 204)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await answer_to(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) == Answer(Outcome.ACCEPTED, 204)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for receiver.example and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate to serve")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=receiver.example", "-addext", "subjectAltName=DNS:receiver.example"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize(
    ("host", "trusted", "outcome"),
    [
        ("receiver.example", True, Outcome.ACCEPTED),
        ("receiver.example", False, Outcome.TLS_FAILED),
        ("other.example", True, Outcome.TLS_FAILED),
    ],
)
async def test_tls_is_verified_by_the_urls_name(
    certificate: tuple[Path, Path], host: str, trusted: bool, outcome: Outcome
) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with raw_server(answering(b"HTTP/1.1 204 No Content\r\n\r\n"), context) as port:
        subscriber = make_subscriber(
            url=f"https://{host}:{port}/hook", allow_networks=LOOPBACK, ca_file=str(cert) if trusted else None
        )
        assert (await attempt(subscriber, resolve=resolve)).outcome is outcome
