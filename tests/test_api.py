"""The HTTP API's routes: pull since a cursor, why, subscribers, replays, silences."""

from __future__ import annotations

import logging
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from typer.testing import CliRunner

from cli.api import app as command
from console.api.cursor import encode_cursor
from console.api.openapi import PAGE, openapi_text
from console.ledger import Source
from console.ledger_feed import FeedState
from models.times import DAY, format_instant
from streams.broker import EmbeddedKafka
from streams.topics import TopicSet
from tests.alerting_support import TIME, make_alert
from tests.api_support import (
    NOW,
    PARTITIONS,
    TOKENS,
    Api,
    api_in,
    decision,
    delivered,
    delivery,
    entry,
    subscribers_yaml,
)
from tests.directory_support import write_registry
from tests.kafka_support import Worker, eventually
from tests.test_api_auth import problem


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_in(tmp_path) as found:
        yield found


def queued(api: Api, alert_id: str = "a-1", position: int = 1, **fields: Any) -> None:
    """Publish an alert and queue it."""
    alert_fields = fields.pop("alert", {})
    case_id = fields.get("case_id", "case-1")
    api.topics.put(make_alert(alert_id, case_id, **alert_fields))
    api.topics.put(delivery(alert_id, position, **fields))
    api.topics.open()


async def pulled(api: Api, who: str = "platform", **params: Any) -> dict[str, Any]:
    answer = await api.get("/v1/alerts", who, **params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(page: dict[str, Any]) -> list[str]:
    return [one["alert"]["alert_id"] for one in page["alerts"]]


# --- pull ---


async def test_what_is_queued_is_pulled_with_what_a_call_would_carry(api: Api) -> None:
    queued(api)
    page = await pulled(api)
    (one,) = page["alerts"]
    assert {key: one[key] for key in ("kind", "mark", "status_of_delivery", "delivery_sequence")} == {
        "kind": "alert",
        "mark": "",
        "status_of_delivery": "pending",
        "delivery_sequence": 1,
    }
    assert one["alert"]["headline"] == "疑似推诿:多次退单"
    assert one["alert"]["delivery_id"] == one["delivery_id"]
    assert page["more"] is False
    assert ids(await pulled(api, after=page["next"])) == []


async def test_a_puller_goes_on_page_by_page(api: Api) -> None:
    for number in range(1, 8):
        queued(api, f"a-{number}", number * 3, sequence=number)
    seen, after = [], {}
    for _ in range(4):
        page = await pulled(api, limit=2, **after)
        seen += ids(page)
        after = {"after": page["next"]}
    assert seen == [f"a-{number}" for number in range(1, 8)]
    assert page["more"] is False


async def test_an_admin_pulls_for_a_subscriber_that_it_names(api: Api) -> None:
    queued(api)
    assert ids(await pulled(api, "admin", subscriber="platform")) == ["a-1"]
    assert ids(await pulled(api, "admin", subscriber="other")) == []
    assert problem(await api.get("/v1/alerts")) == (422, "invalid")


async def test_replays_and_reminders_are_entries_of_their_own(api: Api) -> None:
    queued(api)
    api.topics.put(delivery(position=2, mark="replay-r", kind="replay", sequence=2))
    api.topics.put(delivery(position=3, mark="repeat-1", kind="repeat", sequence=3))
    api.topics.open()
    found = (await pulled(api))["alerts"]
    assert [(one["kind"], one["mark"], one["delivery_sequence"]) for one in found] == [
        ("alert", "", 1),
        ("replay", "replay-r", 2),
        ("repeat", "repeat-1", 3),
    ]
    assert len({one["delivery_id"] for one in found}) == 3


async def test_a_thin_subscriber_pulls_all_that_its_privacy_level_allows(tmp_path: Path) -> None:
    with api_in(
        tmp_path, [entry("platform", payload="thin", privacy="minimal"), entry("other", payload="thin")]
    ) as api:
        queued(api)
        api.topics.put(delivery(position=1, subscriber="other"))
        api.topics.open()
        minimal, full = [(await pulled(api, who))["alerts"][0]["alert"] for who in ("platform", "other")]
        assert "headline" not in minimal
        assert minimal["rule"]["title"] == "多次退单"
        assert full["facts"] == {"returns.count": 3}


async def test_whom_the_guard_refuses_now_is_not_shown_what_was_queued(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    queued(api)
    beneath = {"id": "U-A1", "name": "甲街道一科", "kind": "in_house", "level": "township", "parent": "U-A"}
    accused = {"id": "U-A", "name": "甲街道", "kind": "subdistrict", "level": "township"}
    write_registry(api.folder, ["other"], [accused, beneath | {"subscribers": ["platform"]}])
    with caplog.at_level(logging.WARNING):
        page = await pulled(api)
    assert page["alerts"] == []
    assert page["next"] == encode_cursor("platform", {0: 1})
    assert "subscriber platform, alert a-1, under_accused" in caplog.text
    assert "疑似" not in caplog.text
    assert "hw_api_refused_total 1.0" in (await api.get("/metrics", None)).text


async def test_what_dispatch_has_refused_is_not_shown(api: Api) -> None:
    queued(api, status="refused", outcome="conflict")
    queued(api, "a-2", 2, sequence=2)
    assert ids(await pulled(api)) == ["a-2"]


async def test_a_subscriber_that_the_registry_gives_to_nobody_is_shown_nothing(tmp_path: Path) -> None:
    with api_in(tmp_path, owned=["other"]) as api:
        queued(api)
        assert ids(await pulled(api)) == []


async def test_a_drill_is_shown_whoever_it_is_for(tmp_path: Path) -> None:
    with api_in(tmp_path, owned=["other"]) as api:
        answer = await api.post("/v1/subscribers/platform/test")
        (request,) = api.sent
        assert answer.status_code == 202
        assert answer.json()["case_id"] == request.alert.case_id
        api.topics.put(request)
        mark = f"drill-{request.request_id}"
        api.topics.put(delivery(request.alert.alert_id, 1, mark=mark, kind="drill"))
        api.topics.open()
        (one,) = (await pulled(api))["alerts"]
        assert (one["kind"], one["alert"]["drill"]) == ("drill", True)


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("units: []\n: bad")])
async def test_without_a_sound_registry_everything_is_held(api: Api, spoil: Any) -> None:
    queued(api)
    spoil(api.folder / "units.yaml")
    answer = await api.get("/v1/alerts", "platform")
    assert problem(answer) == (503, "held")
    assert answer.headers["retry-after"] == "30"
    write_registry(api.folder, ["platform", "other"])
    assert ids(await pulled(api)) == ["a-1"]


async def test_a_disabled_subscriber_is_shown_nothing(api: Api) -> None:
    queued(api)
    assert (await api.post("/v1/subscribers/platform/disable")).json()["enabled"] is False
    assert problem(await api.get("/v1/alerts", "platform")) == (403, "forbidden")
    await api.post("/v1/subscribers/platform/enable")
    assert ids(await pulled(api)) == ["a-1"]


async def test_a_delivery_whose_alert_is_not_kept_any_longer_is_left_out(api: Api) -> None:
    api.topics.put(delivery())
    queued(api, "a-2", 2, sequence=2)
    assert ids(await pulled(api)) == ["a-2"]
    assert "hw_api_missing_alerts_total 1.0" in (await api.get("/metrics", None)).text


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "",
        "AAAA",
        "W10",
        "../..",
        encode_cursor("other", {0: 1}),
        encode_cursor("platform", {PARTITIONS: 1}),
        "é" * 9,
    ],
)
async def test_a_bad_cursor_is_refused(api: Api, cursor: str) -> None:
    assert problem(await api.get("/v1/alerts", "platform", after=cursor)) == (400, "bad_cursor")


@pytest.mark.parametrize(
    "params", [{"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"aftr": "x"}, {"subscriber": "A B"}]
)
async def test_a_bad_question_is_refused(api: Api, params: dict[str, str]) -> None:
    assert problem(await api.get("/v1/alerts", "platform", **params)) == (422, "invalid")


async def test_while_the_ledger_is_behind_a_puller_is_asked_to_wait(api: Api) -> None:
    queued(api)
    ahead = await api.get("/v1/alerts", "platform", after=encode_cursor("platform", {0: 9}))
    assert problem(ahead) == (503, "cursor_ahead")
    assert ahead.headers["retry-after"] == "2"
    api.state[0] = FeedState(9, 0.1, is_open=False)
    assert problem(await api.get("/v1/alerts", "platform")) == (503, "catching_up")
    # What is opened once stays true: who has a cursor goes on.
    assert ids(await pulled(api, after=encode_cursor("platform", {0: 1}))) == []


# --- why ---


async def test_why_is_answered_from_decisions_and_deliveries(api: Api) -> None:
    queued(api)
    api.topics.put(decision(decisions=[{"subscriber": "other", "reason": "level"}], why=["主送:研判室"]))
    answer = (await api.get("/v1/alerts/a-1/why")).json()
    assert answer["routing"] == ["主送:研判室"]
    assert [(line["subscriber"], line["code"], line["reason"]) for line in answer["lines"]] == [
        ("other", "not_sent", "level"),
        ("platform", "queued", "queued"),
    ]
    assert problem(await api.get("/v1/alerts/a-9/why")) == (404, "not_found")


# --- subscribers ---


async def test_subscribers_are_listed_without_what_is_secret(api: Api) -> None:
    answer = await api.get("/v1/subscribers")
    assert [one["endpoint"] for one in answer.json()["subscribers"]] == [
        "https://platform.example:443",
        "https://other.example:443",
    ]
    assert "token-platform" not in answer.text
    assert "secrets" not in answer.text


async def test_a_subscriber_is_added_with_keys_of_its_own(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    order = {"name": "new", "url": "https://new.example/hooks/a-token", "levels": ["red"], "new_signing_key": True}
    with caplog.at_level(logging.INFO):
        answer = await api.post("/v1/subscribers", order)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["secret_file"] == "new.secret"
    assert body["subscriber"]["endpoint"] == "https://new.example:443"
    assert body["subscriber"]["levels"] == ["red"]
    assert body["subscriber"]["public_keys"][0].startswith("whpk_")
    secret = (api.folder / "secrets" / "new.secret").read_text().strip()
    assert secret not in answer.text
    assert "a-token" not in answer.text + caplog.text
    assert "client admin: add subscriber new" in caplog.text
    assert problem(await api.post("/v1/subscribers", order)) == (409, "conflict")


async def test_a_chat_robots_url_goes_into_a_file_of_its_own(api: Api) -> None:
    order = {"name": "chat", "url": "https://robot.example/send?access_token=t0ken", "format": "dingtalk"}
    answer = await api.post("/v1/subscribers", order | {"robot_secret": "SEC-of-the-robot"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["secret_file"] is None
    assert "t0ken" not in answer.text + (api.folder / "subscribers.yaml").read_text()
    for name, text in (("chat.url", order["url"]), ("chat.robot", "SEC-of-the-robot")):
        path = api.folder / "secrets" / name
        assert path.read_text().strip() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "SEC-of" not in (api.folder / "subscribers.yaml").read_text()


async def test_what_is_refused_leaves_no_file(api: Api) -> None:
    before = {
        path: path.read_bytes() for path in api.folder.rglob("*.*") if path.suffix in (".yaml", ".url", ".secret")
    }
    order = {"name": "platform", "url": "https://robot.example/send?access_token=t0ken", "format": "wecom"}
    assert problem(await api.post("/v1/subscribers", order)) == (409, "conflict")
    assert problem(await api.post("/v1/subscribers", order | {"name": "new", "url": "http://a.example"}))[0] == 422
    assert problem(await api.post("/v1/subscribers", {"name": "new", "url": "https://inside.example/x"}))[0] == 422
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in (api.folder / "secrets").iterdir()] == ["given"]


@pytest.mark.parametrize(
    "url",
    [
        "http://plain.example/",
        "https://user:password@plain.example/",
        "file:///etc/passwd",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127。0。0。1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://169.254.169.254/latest",
        "https://mixed.example/",
        "https://inside.example/",
        "https://plain.example:99999/",
        "https://plain.example/\r\nx: y",
        "https://10.0.0.1/",
        "https://localhost@127.0.0.1/",
    ],
)
async def test_an_endpoint_that_must_not_be_called_is_refused(api: Api, url: str) -> None:
    answer = await api.post("/v1/subscribers", {"name": "new", "url": url})
    assert answer.status_code == 422
    assert url not in answer.text
    assert [one["name"] for one in (await api.get("/v1/subscribers")).json()["subscribers"]] == ["platform", "other"]


async def test_a_private_endpoint_is_taken_where_its_network_is_listed(api: Api) -> None:
    order = {"name": "new", "url": "https://inside.example/x", "allow_networks": ["10.0.0.0/8"]}
    assert (await api.post("/v1/subscribers", order)).status_code == 201


@pytest.mark.parametrize(
    "more",
    [
        {"secret": {"file": "/etc/passwd"}},
        {"secret": {"inline": "x" * 32}},
        {"url": {"file": "/etc/passwd"}},
        {"url": {"env": "PATH"}},
        {"signing_key": {"env": "HOME"}},
        {"robot_secret": {"file": "../clients.yaml"}},
        {"previous_secrets": []},
        {"ca_file": "/etc/passwd"},
        {"client_certificate": {"cert_file": "a", "key_file": "b"}},
        {"revision": 3},
        {"name": "../x"},
        {"name": "A"},
        {"headers": {"X-A": "a\r\nb"}},
        {"headers": {"authorization": "x"}},
        {"allow_networks": ["0.0.0.0/0"]},
        {"levels": ["no"]},
        {"levels": []},
        {"timeout_seconds": -1},
        {"concurrency": True},
        {"quiet_hours": {"start": "22:00", "end": "22:00"}},
    ],
)
async def test_an_entry_that_points_into_the_server_or_is_wrong_is_refused(api: Api, more: dict[str, Any]) -> None:
    order = {"name": "new", "url": "https://new.example/x"} | more
    assert problem(await api.post("/v1/subscribers", order)) == (422, "invalid")
    assert [path.name for path in (api.folder / "secrets").iterdir()] == ["given"]


async def test_a_key_is_rotated(api: Api) -> None:
    answer = await api.post("/v1/subscribers/platform/rotate", {"overlap_hours": 2})
    assert answer.json() == {
        "subscriber": "platform",
        "which": "secret",
        "secret_file": "platform-2.secret",
        "until": "2025-06-20T14:00:00+08:00",
        "public_key": None,
    }
    async with api.client() as client:
        assert (await client.post("/v1/subscribers/other/rotate")).json()["until"] == "2025-06-21T12:00:00+08:00"
    signing = (await api.post("/v1/subscribers/platform/rotate", {"which": "signing_key"})).json()
    assert signing["public_key"].startswith("whpk_")
    assert problem(await api.post("/v1/subscribers/platform/rotate", {"overlap_hours": -1})) == (422, "invalid")


async def test_a_subscriber_is_revised_and_removed_for_ever(api: Api) -> None:
    assert (await api.post("/v1/subscribers/platform/revise")).json()["revision"] == 2
    assert (await api.delete("/v1/subscribers/platform")).json()["removed"] is True
    assert problem(await api.get("/v1/alerts", "platform")) == (404, "not_found")
    assert problem(await api.delete("/v1/subscribers/platform")) == (404, "not_found")
    again = {"name": "platform", "url": "https://elsewhere.example/x"}
    assert problem(await api.post("/v1/subscribers", again)) == (409, "conflict")
    assert problem(await api.post("/v1/subscribers/nobody/test")) == (404, "not_found")


async def test_who_is_disabled_gets_no_drill(api: Api) -> None:
    assert (await api.post("/v1/subscribers/platform/disable")).status_code == 200
    assert problem(await api.post("/v1/subscribers/platform/test")) == (409, "conflict")
    assert api.sent == []


async def test_a_file_that_people_have_broken_is_told_without_its_path(api: Api) -> None:
    (api.folder / "subscribers.yaml").write_text("subscribers: [oh")
    for answer in (
        await api.get("/v1/subscribers"),
        await api.post("/v1/subscribers/platform/revise"),
        await api.get("/v1/alerts", "platform"),
    ):
        assert problem(answer) == (503, "unavailable")
        assert str(api.folder) not in answer.text


# --- replays ---

ORDER = {"from": TIME, "reason": "接收方重装"}


async def test_what_was_delivered_is_asked_for_again(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for number in (2, 1):
        api.topics.put(make_alert(f"a-{number}", sequence=number))
        api.topics.put(delivered(f"a-{number}", number, sequence=number))
    api.topics.put(delivered("a-1", 1, subscriber="other"))
    api.topics.put(delivery("a-2", 2, subscriber="other"))
    with caplog.at_level(logging.INFO):
        answer = await api.post("/v1/replays", ORDER | {"subscriber": "platform"})
    assert answer.status_code == 202
    assert answer.json()["count"] == 2
    assert [(one.alert.alert_id, one.subscriber) for one in api.sent] == [("a-1", "platform"), ("a-2", "platform")]
    assert {one.request_id for one in api.sent} == {answer.json()["replay_id"]}
    assert {one.requested_by for one in api.sent} == {"admin"}
    assert "because: 接收方重装" in caplog.text
    assert (await api.post("/v1/replays", {"alert_id": "a-1", "reason": "核对一次"})).json()["count"] == 2


async def test_the_same_order_under_the_same_key_is_the_same_replay(api: Api) -> None:
    async def replay(key: str, **more: Any) -> str:
        answer = await api.post("/v1/replays", ORDER | more, idempotency_key=key)
        return str(answer.json()["replay_id"])

    first = await replay("key-1")
    assert await replay("key-1") == first
    assert await replay("key-1", reason="another reason") == first
    assert await replay("key-2") != first
    assert await replay("key-1", to="2025-06-19T09:00:00+08:00") != first
    assert (await api.post("/v1/replays", ORDER)).json()["replay_id"] != first
    assert problem(await api.post("/v1/replays", ORDER, idempotency_key="a b")) == (422, "invalid")


@pytest.mark.parametrize(
    "order",
    [
        {"reason": "everything"},
        {"from": "yesterday", "reason": "a reason"},
        {"from": TIME},
        {"from": TIME, "reason": " "},
        {"from": TIME, "reason": "a\nb is two lines"},
        {"since": TIME, "reason": "a reason"},
        {"alert_id": "", "reason": "a reason"},
        {"from": TIME, "reason": "请联系 19900001234"},
        {"from": TIME, "to": TIME, "reason": "a reason"},
    ],
)
async def test_an_order_that_says_too_little_is_refused(api: Api, order: dict[str, Any]) -> None:
    assert problem(await api.post("/v1/replays", order)) == (422, "invalid")
    assert api.sent == []


async def test_a_replay_has_a_limit_and_a_known_subscriber(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.api.replays.REPLAYS_MAX", 1)
    for number in (1, 2):
        api.topics.put(delivered(f"a-{number}", number))
    assert problem(await api.post("/v1/replays", ORDER)) == (422, "too_many")
    assert problem(await api.post("/v1/replays", ORDER | {"subscriber": "nobody"})) == (404, "not_found")


# --- silences ---


def silence_order(**more: Any) -> dict[str, Any]:
    return {"matchers": {"units": ["U-A"]}, "ends_at": format_instant(NOW + DAY), "comment": "系统升级期间"} | more


async def test_a_silence_is_added_listed_and_ended_by_who_calls(api: Api) -> None:
    added = await api.post("/v1/silences", silence_order())
    assert added.status_code == 201, added.text
    silence = added.json()["silence"]
    assert (silence["author"], added.json()["state"]) == ("admin", "active")
    assert [one["silence"]["id"] for one in (await api.get("/v1/silences")).json()["silences"]] == [silence["id"]]
    ended = (await api.delete(f"/v1/silences/{silence['id']}")).json()
    assert (ended["state"], ended["silence"]["expired_by"]) == ("over", "admin")
    assert (await api.get("/v1/silences")).json()["silences"] == []
    assert len((await api.get("/v1/silences", over="true")).json()["silences"]) == 1
    assert problem(await api.delete(f"/v1/silences/{silence['id']}")) == (409, "conflict")
    assert problem(await api.delete("/v1/silences/s-unknown")) == (404, "not_found")


@pytest.mark.parametrize(
    "more",
    [
        {"matchers": {}},
        {"matchers": {"levels": ["red"]}},
        {"matchers": {"everything": True}},
        {"ends_at": format_instant(NOW + 91 * DAY)},
        {"ends_at": format_instant(NOW - DAY)},
        {"starts_at": format_instant(NOW + 2 * DAY)},
        {"comment": "x"},
        {"comment": "请联系 19900001234"},
        {"matchers": {"rules": ["P99"]}},
        {"matchers": {"rules": ["P01"], "subscribers": ["nobody"]}},
        {"author": "somebody else"},
    ],
)
async def test_a_silence_that_is_too_wide_or_too_long_is_refused(api: Api, more: dict[str, Any]) -> None:
    assert problem(await api.post("/v1/silences", silence_order(**more))) == (422, "invalid")
    assert (await api.get("/v1/silences", over="true")).json()["silences"] == []


# --- operation ---


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (FeedState(None, None, is_open=False), "has not answered yet"),
        (FeedState(3, 61.0, is_open=True), "nothing was heard"),
        (FeedState(3, 1.0, is_open=True, problem="the disk is full"), "the disk is full"),
    ],
)
async def test_health_tells_what_is_wrong(api: Api, state: FeedState, said: str) -> None:
    api.state[0] = state
    answer = await api.get("/healthz", None)
    assert answer.status_code == 503
    assert said in answer.json()["problems"][0]


async def test_metrics_tell_lag_and_what_could_not_be_read(api: Api) -> None:
    api.state[0] = FeedState(7, 1.0, is_open=True)
    api.topics.put_raw(Source.ALERTS, b"no alert")
    text = (await api.get("/metrics", None)).text
    assert "hw_api_ledger_lag_records 7.0" in text
    assert 'hw_api_ledger_unreadable_records{topic="alerts"} 1.0' in text


def test_the_document_in_docs_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == openapi_text(), "run: .venv/bin/python -m console.api.openapi"


def test_the_document_names_every_route_and_how_to_call_it() -> None:
    document = orjson.loads(openapi_text())
    protected = {path for path in document["paths"] if path.startswith("/v1/")}
    assert len(protected) == 13
    for path in protected:
        for operation in document["paths"][path].values():
            assert operation["security"] == [{"HTTPBearer": []}]
            assert operation["description"]


def test_the_command_refuses_to_start_without_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 2
    assert "api_clients_file" in result.stderr
    monkeypatch.setenv("HOTLINE_WATCH_API_CLIENTS_FILE", "clients.yaml")
    result = CliRunner().invoke(command, [])
    assert "subscribers_file" in result.stderr


@pytest.mark.kafka
def test_the_command_serves_until_it_is_told_to_stop(kafka: EmbeddedKafka, topics: TopicSet, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("a secret of the tests, long enough")
    (tmp_path / "subscribers.yaml").write_text(subscribers_yaml(entry("platform", secret={"file": "given"})))
    clients = tmp_path / "clients.yaml"
    clients.touch(0o600)
    clients.write_bytes(
        orjson.dumps({"clients": [{"name": "a", "token": {"inline": TOKENS["admin"]}, "role": "admin"}]})
    )
    files = write_registry(tmp_path, ["platform"])
    environment = {
        "BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TOPIC_PREFIX": topics.prefix,
        "PARTITIONS": str(topics.partitions),
        "DATA_DIR": str(tmp_path / "data"),
        "SUBSCRIBERS_FILE": str(tmp_path / "subscribers.yaml"),
        "UNITS_FILE": str(files.units),
        "API_CLIENTS_FILE": str(clients),
    }
    env = {f"HOTLINE_WATCH_{name}": value for name, value in environment.items()}
    program = "from cli.api import app; app()"
    with Worker(["-c", program], tmp_path / "api.log", env=env) as worker:
        worker.wait_for("api ready, http port ")
        port = int(worker.log().rpartition("http port ")[2].split()[0])
        base = f"http://127.0.0.1:{port}"
        eventually(lambda: httpx.get(f"{base}/healthz").status_code == 200, what="health")
        headers = {"authorization": f"Bearer {TOKENS['admin']}"}
        answer = httpx.get(f"{base}/v1/alerts", params={"subscriber": "platform"}, headers=headers)
        assert answer.json()["alerts"] == []
        assert "server" not in answer.headers
        drill = httpx.post(f"{base}/v1/subscribers/platform/test", headers=headers)
        assert drill.status_code == 202
        with Worker(["-c", program], tmp_path / "second.log", env=env) as second:
            assert second.wait(60) == 2
            assert "another process keeps its ledger here" in second.log()
        worker.signal(signal.SIGTERM)
        assert worker.wait(30) == 0, worker.log()
        assert TOKENS["admin"] not in worker.log()
