"""`POST /v1/events`: who may send, what is taken, and that a batch is taken whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from fastapi.openapi.utils import get_openapi

from console.api import serving
from console.api.app import create_app
from console.api.bodies import EVENTS_AT_ONCE_MAX
from console.api.openapi import PAGE, openapi_text
from console.api.problems import ProblemCode
from console.api.serving import gated
from models.api_client import ApiClient, Role
from models.event_batch import BATCH_BYTES_MAX, EVENTS_MAX, BatchEvent
from models.schemas import TICKET_EVENT, component_schemas
from models.times import DAY, format_instant
from streams.event_sender import EventsNotTakenError
from tests.api_support import NOW, Api, api_in
from tests.builders import body
from tests.test_api_auth import ADMIN_ROUTES, problem

PATH = "/v1/events"
JSON, LINES = "application/json", "application/x-ndjson"
MARK = "张某的原话"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_in(tmp_path) as found:
        yield found


def event(number: int, **fields: Any) -> dict[str, Any]:
    return body(f"T-{number % 7}", "registered", 0, event_id=f"e-{number}", title=MARK, **fields)


async def posted(api: Api, content: Any, who: str | None = "sender", media: str = JSON) -> httpx.Response:
    """Return the answer to a batch: bytes, or a list of events."""
    if isinstance(content, list):
        content = b"\n".join(map(orjson.dumps, content)) if media == LINES else orjson.dumps({"events": content})
    async with api.client(who) as client:
        return await client.post(PATH, content=content, headers={"content-type": media})


def refusal(answer: httpx.Response) -> tuple[int, str, list[dict[str, Any]]]:
    """Return status, code and the events at fault of a problem that names some."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert set(told) == {"type", "title", "status", "code", "detail", "errors"}
    assert all(set(one) == {"index", "reason", "field", "detail"} for one in told["errors"])
    return answer.status_code, told["code"], told["errors"]


# --- who ---


@pytest.mark.parametrize("who", ["sender", "admin"])
@pytest.mark.parametrize("media", [JSON, LINES, "application/json; charset=utf-8"])
async def test_a_batch_is_taken_as_it_was_written(api: Api, who: str, media: str) -> None:
    events = [event(number) for number in range(100)]
    answer = await posted(api, events, who, media)
    assert (answer.status_code, answer.json()) == (202, {"count": 100})
    assert api.events == [BatchEvent(one["ticket_id"], orjson.dumps(one)) for one in events]


@pytest.mark.parametrize("who", [None, "wrong"])
async def test_a_stranger_sends_nothing_and_nothing_of_it_is_read(api: Api, who: str | None) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    assert problem(await posted(api, never(), who)) == (401, "unauthorized")
    assert api.events == []


async def test_a_subscriber_sends_nothing_and_nothing_of_it_is_read(api: Api) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await posted(api, never(), "platform")
    assert problem(answer) == (403, "forbidden")
    assert "admin and sender" in answer.json()["detail"]
    assert api.events == []


@pytest.mark.parametrize(
    ("method", "path"), [*ADMIN_ROUTES, ("GET", "/v1/alerts"), ("GET", "/v1/alerts?subscriber=platform")]
)
async def test_a_sender_sees_nothing(api: Api, method: str, path: str) -> None:
    async with api.client("sender") as client:
        assert problem(await client.request(method, path, json={})) == (403, "forbidden")


async def test_a_route_beside_the_gate_is_not_open(api: Api) -> None:
    transport = httpx.ASGITransport(app=create_app(api.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        assert problem(await client.post(PATH, json={"events": [event(0)]})) == (401, "unauthorized")
    assert api.events == []


# --- what ---


async def test_one_bad_event_refuses_the_batch_and_every_bad_one_is_named(api: Api) -> None:
    events = [event(number) for number in range(100)]
    events[17]["seq"] = MARK
    del events[42]["ticket_id"]
    events[99]["occurred_at"] = format_instant(NOW + DAY)
    status, code, errors = refusal(await posted(api, events))
    assert (status, code) == (422, "events_refused")
    assert [(one["index"], one["reason"], one["field"]) for one in errors] == [
        (17, "invalid_field", "seq"),
        (42, "missing_field", "ticket_id"),
        (99, "in_the_future", "occurred_at"),
    ]
    assert api.events == []


@pytest.mark.parametrize(
    ("media", "expected"), [(JSON, (400, "not_json", [1, 2])), (LINES, (422, "events_refused", [1, 2, 3]))]
)
async def test_bad_json_in_the_middle_refuses_the_batch_and_is_named(
    api: Api, media: str, expected: tuple[int, str, list[int]]
) -> None:
    values = [orjson.dumps(event(0)), orjson.dumps(event(1, seq=True)), b'{"title": "' + MARK.encode(), b"[]"]
    content = b"\n".join(values) if media == LINES else b'{"events": [' + b",\n".join(values) + b"]}"
    status, code, errors = refusal(await posted(api, content, media=media))
    assert (status, code, [one["index"] for one in errors]) == expected
    assert api.events == []


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"events": []}', b"\xff", orjson.dumps(event(0)), b""])
async def test_what_is_no_batch_is_refused(api: Api, content: bytes) -> None:
    assert problem(await posted(api, content)) == (400, "not_json")


async def test_one_fault_is_told_as_one(api: Api) -> None:
    answers = [await posted(api, [event(0), *[{}] * count]) for count in (1, 2)]
    told = [answer.json()["detail"] for answer in answers]
    assert told == [f"Nothing was taken: {said} at fault; see errors." for said in ("1 event is", "2 events are")]


async def test_too_many_events_are_refused(api: Api) -> None:
    assert problem(await posted(api, [event(number) for number in range(EVENTS_MAX + 1)])) == (422, "too_many")
    assert api.events == []


@pytest.mark.parametrize("media", ["text/plain", "application/cloudevents+json", "text/csv", ""])
async def test_another_media_type_is_refused(api: Api, media: str) -> None:
    answer = await posted(api, orjson.dumps({"events": [event(0)]}), media=media)
    assert problem(answer) == (415, "media_type")
    assert LINES in answer.json()["detail"]


@pytest.mark.parametrize("coding", ["gzip", "br", "Identity, GZIP", "x-strange"])
async def test_a_compressed_body_is_refused_with_its_remedy(api: Api, coding: str) -> None:
    batch = gzip.compress(orjson.dumps({"events": [event(0)]}))
    for who, path, content in (("sender", PATH, batch), ("admin", "/v1/replays", gzip.compress(b"{}"))):
        async with api.client(who) as client:
            answer = await client.post(
                path, content=content, headers={"content-type": JSON, "content-encoding": coding}
            )
        assert problem(answer) == (415, "media_type")
        assert answer.headers["accept-encoding"] == "identity"
        assert "without Content-Encoding" in answer.json()["detail"]
    assert api.events == []


async def test_a_body_that_says_it_is_not_compressed_is_taken(api: Api) -> None:
    async with api.client("sender") as client:
        headers = {"content-type": JSON, "content-encoding": "identity"}
        assert (await client.post(PATH, json={"events": [event(0)]}, headers=headers)).status_code == 202


@pytest.mark.parametrize("media", [JSON, LINES])
async def test_a_byte_order_mark_is_named(api: Api, media: str) -> None:
    content = orjson.dumps(event(0)) if media == LINES else orjson.dumps({"events": [event(0)]})
    answer = await posted(api, b"\xef\xbb\xbf" + content, media=media)
    assert problem(answer) == (400, "not_json")
    assert "byte order mark: send UTF-8 without one" in answer.json()["detail"]


async def test_ten_megabytes_are_refused_declared_or_not(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"events": ['
        for _ in range(160):
            yield b" " * 65_536

    assert problem(await posted(api, b" " * 10_000_000)) == (413, "too_large")
    assert problem(await posted(api, chunks())) == (413, "too_large")
    assert api.events == []


async def test_a_batch_that_breaks_off_at_the_end_of_a_line_is_not_taken(api: Api) -> None:
    """Nobody is answered any more, and whoever sent it sends all of it again."""
    parts = iter(
        [
            {"type": "http.request", "body": orjson.dumps(event(0)) + b"\n", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    statuses: list[int] = []

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async with api.client("sender") as client:
        headers = [(b"authorization", client.headers["authorization"].encode()), (b"content-type", LINES.encode())]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers, "client": ("127.0.0.1", 1)}
    await api.app({**scope, "query_string": b"", "root_path": "", "scheme": "http"}, receive, send)
    assert statuses[0] == 408
    assert api.events == []


async def test_a_batch_may_be_larger_than_other_bodies(api: Api) -> None:
    events = [event(number, content="甲" * 60_000) for number in range(20)]
    assert 64 * 1024 < len(orjson.dumps({"events": events})) < BATCH_BYTES_MAX
    assert (await posted(api, events)).status_code == 202
    async with api.client("admin") as client:  # which stay small
        assert problem(await client.post("/v1/replays", content=b" " * 70_000)) == (413, "too_large")


async def test_a_batch_may_be_sent_again_and_is_passed_on_again(api: Api) -> None:
    events = [event(number) for number in range(3)]
    answers = [await posted(api, events) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert api.events[:3] == api.events[3:]  # intake and the tickets table know an event by its id


# --- what is told ---


async def test_nothing_that_was_sent_is_told_or_logged_or_counted(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "console"):
        bodies = [
            orjson.dumps({"events": [event(0, seq=MARK, urgency=MARK, limit={MARK: MARK})]}),
            b'{"events": [{"title": "' + MARK.encode() + b'", ' + MARK.encode(),
            orjson.dumps({"events": [event(0, occurred_at=MARK)]}),
            orjson.dumps({"events": [event(0, category={MARK: 1})]}),
            orjson.dumps({MARK: [event(0)]}),
            orjson.dumps({"events": [event(0)], MARK: 1}),
        ]
        for content in bodies:
            answer = await posted(api, content)
            assert answer.status_code in (400, 422)
            assert MARK not in answer.text
    text = (await api.get("/metrics", None)).text
    assert MARK not in caplog.text + text
    assert "a batch of events refused: 1 invalid_field" in caplog.text
    assert 'hw_api_refused_events_total{reason="invalid_field"} 2.0' in text


async def test_what_kafka_has_is_counted(api: Api) -> None:
    await posted(api, [event(number) for number in range(5)])
    await posted(api, [event(6), {}])
    text = (await api.get("/metrics", None)).text
    assert "hw_api_events_total 5.0" in text
    assert 'hw_api_refused_events_total{reason="missing_field"} 1.0' in text
    assert 'hw_api_refused_events_total{reason="poison"} 0.0' in text
    assert 'method="POST",route="/v1/events",status="2xx"' in text


def test_the_page_tells_every_code_and_every_metric(api: Api) -> None:
    page = (PAGE.parent / "api.md").read_text(encoding="utf-8")
    assert [code for code in ProblemCode if f"`{code}`" not in page] == []
    names = {
        f"{one.name}_total" if one.type == "counter" else one.name for one in api.services.metrics.registry.collect()
    }
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
    assert [role for role in Role if f"`{role}`" not in page] == []


def test_the_document_shows_the_ticket_event_and_gives_no_name_to_two_things() -> None:
    app = create_app()
    ours = get_openapi(title="t", version="1", routes=app.routes)["components"]["schemas"]
    components = orjson.loads(openapi_text())["components"]["schemas"]
    assert set(ours) & set(component_schemas({"TicketEvent": TICKET_EVENT})) == set()
    assert components["TicketEvent"]["oneOf"]
    assert {one.removeprefix("#/components/schemas/") for one in _references(app.openapi())} <= set(components)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        node = list(node.values())
    for one in node if isinstance(node, list) else []:
        yield from _references(one)


# --- Kafka away, and too many at once ---


async def test_what_kafka_does_not_take_is_to_be_sent_again(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def refused(_: object) -> None:
        raise EventsNotTakenError("hotline.ticket-events at 127.0.0.1:1: 3 of 5 events were acknowledged (Timeout)")

    app = _with(api, send_events=refused)
    answer = await posted(app, [event(number) for number in range(5)])
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "3 of 5" in caplog.text
    assert "hw_api_events_total 0.0" in (await app.get("/metrics", None)).text


async def test_so_many_are_answered_at_once_and_the_others_are_asked_to_come_again(api: Api) -> None:
    all_in, go_on = threading.Barrier(EVENTS_AT_ONCE_MAX + 1), threading.Event()

    def hold(_: object) -> None:
        if not go_on.is_set():
            all_in.wait(60)
            go_on.wait(60)

    app = _with(api, send_events=hold)
    waiting = [asyncio.create_task(posted(app, [event(number)])) for number in range(EVENTS_AT_ONCE_MAX)]
    try:
        await asyncio.to_thread(all_in.wait, 60)
        answer = await posted(app, [event(0)])
        assert problem(answer) == (503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert (await app.get("/healthz", None)).status_code == 200  # whatever Kafka does
    finally:
        go_on.set()
    assert {(await task).status_code for task in waiting} == {202}
    assert (await posted(app, [event(0)])).status_code == 202


def _with(api: Api, **services: Any) -> Api:
    """Return the API with some services in place of others; its clients are the same."""
    clients: list[ApiClient] = api.app._clients()
    changed = replace(api.services, **services)
    return replace(api, services=changed, app=gated(changed, lambda: clients))


def test_a_connection_is_kept_for_longer_than_proxies_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a sender, or a proxy, now and then sends a batch into a connection that is just being closed."""
    found: list[uvicorn.Config] = []

    class Server:
        def __init__(self, config: uvicorn.Config) -> None:
            found.append(config)

        def run(self, sockets: list[socket.socket]) -> None:
            """Serve nothing."""

    monkeypatch.setattr(serving.uvicorn, "Server", Server)
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving._serve(create_app(), listener)
    assert found[0].timeout_keep_alive > 60
    assert f"kept for {found[0].timeout_keep_alive} seconds" in (PAGE.parent / "api.md").read_text(encoding="utf-8")
