"""Who may call what, and what a stranger gets: the same every time, and little."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.api.auth import ADDRESSES_MAX, FAILURES_MAX, FailureLimiter, load_clients
from console.api.bodies import BODY_BYTES_MAX
from console.api.watched import Watched
from models.api_client import ApiClient, Role, client_of, token_digest
from models.strict_yaml import ConfigFileError
from tests.api_support import TOKENS, Api, api_in

EXAMPLE = Path(__file__).parent.parent / "deploy" / "api-clients.example.yaml"
ADMIN_ROUTES = [
    ("GET", "/v1/subscribers"),
    ("POST", "/v1/subscribers"),
    ("POST", "/v1/subscribers/platform/rotate"),
    ("POST", "/v1/subscribers/platform/disable"),
    ("POST", "/v1/subscribers/platform/enable"),
    ("POST", "/v1/subscribers/platform/revise"),
    ("POST", "/v1/subscribers/platform/test"),
    ("DELETE", "/v1/subscribers/platform"),
    ("GET", "/v1/alerts/a-1/why"),
    ("POST", "/v1/replays"),
    ("GET", "/v1/silences"),
    ("POST", "/v1/silences"),
    ("DELETE", "/v1/silences/s-1"),
]
ROUTES = [*ADMIN_ROUTES, ("GET", "/v1/alerts"), ("POST", "/v1/events"), ("GET", "/openapi.json")]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_in(tmp_path) as found:
        yield found


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "code", "detail"}
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


# --- strangers ---


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKENS['admin']}",
        f"Bearer {TOKENS['admin']}x",
        f"Bearer {TOKENS['admin'][:-1]}",
        f"Bearer {TOKENS['admin'].upper()}",
        f"Bearer {TOKENS['admin']} {TOKENS['admin']}",
        "Bearer " + "x" * 10_000,
        "Bearer é",
        TOKENS["admin"],
    ],
)
async def test_every_wrong_token_is_answered_alike(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode()}
    async with api.client(None) as client:
        answer = await client.get("/v1/subscribers", headers=headers)
        reference = await client.get("/v1/subscribers")
    assert problem(answer) == (401, "unauthorized")
    assert answer.content == reference.content
    assert answer.headers == reference.headers
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_two_authorization_headers_are_none(api: Api) -> None:
    async with api.client(None) as client:
        headers = [("authorization", f"Bearer {TOKENS['admin']}")] * 2
        assert (await client.get("/v1/subscribers", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [*ROUTES, ("GET", "/nowhere"), ("GET", "/docs"), ("OPTIONS", "/v1/alerts")]
)
async def test_nothing_is_told_without_a_token(api: Api, method: str, path: str) -> None:
    async with api.client(None) as client:
        assert problem(await client.request(method, path)) == (401, "unauthorized")


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/", "/v1", "/v1/alerts/", "/v1//alerts", "/v2/alerts", "/../etc", "/V1/alerts"]
)
async def test_what_is_not_there_is_not_found(api: Api, path: str) -> None:
    assert problem(await api.get(path)) == (404, "not_found")


async def test_health_and_metrics_are_open_and_the_document_is_not(api: Api) -> None:
    assert (await api.get("/healthz", None)).json()["problems"] == []
    assert (await api.get("/metrics", None)).status_code == 200
    assert (await api.get("/openapi.json", "platform")).json()["info"]["title"] == "hotline-watch"


# --- roles ---


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_a_subscriber_may_do_nothing_but_pull(api: Api, method: str, path: str) -> None:
    async with api.client("platform") as client:
        assert problem(await client.request(method, path, json={})) == (403, "forbidden")
        names = [one["name"] for one in (await api.get("/v1/subscribers")).json()["subscribers"]]
        assert names == ["platform", "other"]


@pytest.mark.parametrize("name", ["other", "nobody"])
async def test_a_foreign_subscriber_looks_like_one_that_is_not_there(api: Api, name: str) -> None:
    answer = await api.get("/v1/alerts", "platform", subscriber=name)
    assert problem(answer) == (404, "not_found")
    assert answer.content == (await api.get("/v1/alerts", "admin", subscriber="nobody")).content


async def test_a_wrong_method_is_told(api: Api) -> None:
    async with api.client() as client:
        assert problem(await client.put("/v1/alerts")) == (405, "method_not_allowed")


# --- too many tries ---


async def test_after_ten_failures_an_address_is_not_listened_to_for_a_minute(api: Api) -> None:
    async with api.client("wrong", "192.0.2.9") as client:
        for _ in range(FAILURES_MAX):
            assert (await client.get("/v1/alerts")).status_code == 401
        answer = await client.get("/v1/alerts", headers={"authorization": f"Bearer {TOKENS['admin']}"})
        assert problem(answer) == (429, "too_many_failures")
        assert answer.headers["retry-after"] == "60"
        assert (await client.get("/healthz")).status_code == 200
    async with api.client("admin", "192.0.2.10") as client:
        assert (await client.get("/v1/subscribers")).status_code == 200
    api.seconds[0] += 60
    async with api.client("admin", "192.0.2.9") as client:
        assert (await client.get("/v1/subscribers")).status_code == 200


def test_the_addresses_of_one_ipv6_network_count_together_and_memory_is_bounded() -> None:
    now = [0.0]
    limiter = FailureLimiter(lambda: now[0])
    for number in range(FAILURES_MAX):
        limiter.failed(f"2001:db8:0:1::{number + 1:x}")
    assert limiter.wait_seconds("2001:db8:0:1:ffff::1") == 60
    assert limiter.wait_seconds("2001:db8:0:2::1") == 0
    for number in range(FAILURES_MAX):
        limiter.failed("192.0.2.1" if number % 2 else "::ffff:192.0.2.1")
    assert limiter.wait_seconds("192.0.2.1") == 60
    for number in range(ADDRESSES_MAX + 10):
        limiter.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limiter._failures) == ADDRESSES_MAX
    limiter.failed("fe80::1%eth0")
    limiter.failed("")


# --- bodies ---


async def test_a_body_of_ten_megabytes_is_refused_declared_or_not(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * BODY_BYTES_MAX

    async with api.client() as client:
        whole = await client.post("/v1/replays", content=b"x" * 10_000_000)
        assert problem(whole) == (413, "too_large")
        assert problem(await client.post("/v1/replays", content=chunks())) == (413, "too_large")


async def test_of_a_strangers_body_nothing_is_read(api: Api) -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/replays", "headers": [], "client": ("192.0.2.1", 1)}
    await api.app(scope, never, send)
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"reason": NaN}',
        b'{"reason": 1e999}',
        b'{"reason": "a", "reason": "b"}',
        b'{"reason": "\\ud800"}',
        b'{"reason": "\\u0000"}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"a":' * 10_000,
        b"[" * 60_000,
    ],
)
async def test_a_body_that_is_not_plain_json_is_refused(api: Api, body: bytes) -> None:
    async with api.client() as client:
        answer = await client.post("/v1/replays", content=body, headers={"content-type": "application/json"})
        assert problem(answer) == (400, "not_json")


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_of_another_media_type_is_refused(api: Api, media: str) -> None:
    async with api.client() as client:
        answer = await client.post("/v1/replays", content=b"{}", headers={"content-type": media})
        assert problem(answer) == (415, "media_type")


async def test_what_was_sent_is_never_repeated(api: Api) -> None:
    marker = "citizen-words-of-a-test"
    body = {"subscriber": marker * 10, marker: marker, "reason": {marker: marker}, "from": marker, "alert_id": [marker]}
    answer = await api.post("/v1/replays", body)
    assert problem(answer) == (422, "invalid")
    assert marker not in answer.text
    for path in (f"/v1/alerts?{marker}={marker}", f"/v1/alerts?subscriber=platform&after={marker}", f"/{marker}"):
        assert marker not in (await api.get(path)).text


# --- answers ---


@pytest.mark.parametrize(
    ("path", "who"), [("/healthz", None), ("/v1/alerts", None), ("/v1/subscribers", "admin"), ("/x", "admin")]
)
async def test_every_answer_has_the_headers_that_keep_it_private(api: Api, path: str, who: str | None) -> None:
    async with api.client(who) as client:
        headers = (await client.get(path, headers={"origin": "https://elsewhere.example"})).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert [name for name in headers if name.startswith("access-control")] == []


async def test_a_websocket_is_closed(api: Api) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    await api.app({"type": "websocket", "path": "/v1/alerts", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_metrics_name_routes_as_they_are_written(api: Api) -> None:
    await api.get("/v1/alerts/a-secret-id/why")
    await api.get("/another-secret-path")
    await api.get("/v1/alerts", None)
    text = (await api.get("/metrics", None)).text
    assert 'route="/v1/alerts/{alert_id}/why",status="4xx"' in text
    assert 'route="other"' in text
    assert "secret" not in text
    assert "hw_api_auth_failures_total 1.0" in text


# --- the clients file ---


def clients_file(folder: Path, *clients: dict[str, Any], mode: int = 0o600) -> Path:
    path = folder / "clients.yaml"
    path.touch(mode)
    path.chmod(mode)
    path.write_bytes(orjson.dumps({"clients": list(clients)}))
    return path


TOKEN = "t" * 24
GOOD = {"name": "a", "token": {"inline": TOKEN}, "role": "admin"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token": {"inline": "t" * 23}}, "24 to 512 bytes"),
        ({"token": {"inline": "two words, long enough for a token"}}, "without spaces"),
        ({"token": {"inline": "密" * 30}}, "printable ASCII"),
        ({"token": {"file": "nowhere"}}, "cannot be read"),
        ({"token": {"env": "NOT_SET"}}, "the environment has no NOT_SET"),
        ({"token": {"env": "A", "file": "b"}}, "exactly one"),
        ({"role": "operator"}, "role"),
        ({"role": "subscriber"}, "subscriber"),
        ({"subscriber": "platform"}, "subscriber"),
        ({"name": "A B"}, "name"),
        ({"more": 1}, "more"),
    ],
)
def test_a_bad_client_refuses_the_file(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigFileError, match=said) as caught:
        load_clients(clients_file(tmp_path, GOOD | changes), {})
    assert TOKEN not in str(caught.value)


def test_names_and_tokens_stand_once_and_others_cannot_read_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="stands twice"):
        load_clients(clients_file(tmp_path, GOOD, GOOD | {"token": {"inline": TOKEN + "x"}}), {})
    with pytest.raises(ConfigFileError, match="another client has the same one"):
        load_clients(clients_file(tmp_path, GOOD, GOOD | {"name": "b"}), {})
    with pytest.raises(ConfigFileError, match="others can read"):
        load_clients(clients_file(tmp_path, GOOD, mode=0o644), {})
    assert TOKEN not in repr(load_clients(clients_file(tmp_path, GOOD), {}))


def test_the_example_is_taken(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("operations", "our-hotline"):
        (tmp_path / "secrets" / f"api-{name}").write_text(name.ljust(32, "-"))
    path = tmp_path / "clients.yaml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    admin, platform, hotline = load_clients(path, {"HOTLINE_WATCH_SECRET_API_PLATFORM": "p" * 32})
    assert (admin.role, platform.role, platform.subscriber) == (Role.ADMIN, Role.SUBSCRIBER, "platform")
    assert (hotline.role, hotline.subscriber) == (Role.SENDER, None)


@given(token=st.binary(max_size=60))
def test_a_token_belongs_to_its_client_alone(token: bytes) -> None:
    clients = _known()
    assert client_of(token, clients) is None
    assert client_of(b"t" * 24, clients) is clients[0]


def _known() -> list[ApiClient]:
    return [ApiClient("a", Role.ADMIN, token_digest("t" * 24)), ApiClient("b", Role.ADMIN, token_digest("u" * 24))]


def test_a_changed_clients_file_is_read_again_and_a_bad_one_is_not_taken(tmp_path: Path) -> None:
    path = clients_file(tmp_path, GOOD)
    watched = Watched(path, lambda one: load_clients(one, {}), keeps=True)
    assert [client.name for client in watched.get()] == ["a"]
    clients_file(tmp_path, GOOD | {"name": "renamed"})
    assert [client.name for client in watched.get()] == ["renamed"]
    path.write_text(json.dumps({"clients": []}))
    assert [client.name for client in watched.get()] == ["renamed"]
