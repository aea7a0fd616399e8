"""Dashboards and alerts against a real Prometheus that scraped a real run: every query is answered with data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaProducer

from alerting.receiver import Receiver, serve
from cli.demo_stories import UNTIL, demo_events
from deploy.grafana.generate import FOLDER, dashboards
from models.reference import key_of
from models.times import DAY, HOUR, format_instant, instant_of
from streams.broker import EmbeddedKafka
from streams.metrics_keys import mark_of_key
from streams.supervisor import free_port
from tests.builders import Story, body
from tests.deploy_support import DEPLOY, Prometheus, alert_rules, alertmanager, prometheus, prometheus_folder, read
from tests.kafka_support import Worker, eventually
from tests.live_support import SECRET, Live, live, subscribers_file, to_bytes
from tests.reference_support import unit

TOKEN = "a-token-for-tests-0123456789"
NAMES = ("delivery.json", "service.json", "supervision.json")
SENDER_TOKEN = "a-sender-for-tests-0123456789"
PROCESSES = {"worker-1": "worker", "worker-2": "worker", "dispatch": "dispatch", "api": "api"}

#: Counted, and neither shown nor an alert: another metric says the same.
NOT_LOOKED_AT = {"hw_last_tick_timestamp_seconds"}

#: Only where Kafka is talked to with certificates, which this run does without; tests/test_metrics_flow.py has one with them.
NOT_HERE = {"hw_kafka_certificate_until_timestamp_seconds"}

#: Panels, or one series of a panel, that show 0 where all is well and nothing waits; all others must show more than 0 after the run.
ZERO_IS_WELL = {
    "Service": {
        "Processes with problems",
        "Waiting records",
        "Lag",
        "Ledger behind by",
        "Alarms",
        "Records of busy keys",
        "Reference data behind by",
        "Turned away: not listened to",
        "Expired",
    },
    "Supervision 监督": {"直送件"},
    "Delivery": {
        "Pending",
        "Pending by subscriber",
        "Oldest waits for",
        "Oldest by subscriber",
        "To the human pool",
        "To nobody",
        "Held: no registry",
        "Files not in force",
        "Endpoints spared",
        "Endpoints gone",
        "Refused by the guard",
        "Guard refusals",
        "Breaker",
        "Not taken yet",
        "Pulled: kept by the guard",
        "Pulled: no longer kept",
    },
}


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    expr: str
    legend: str

    @property
    def may_be_zero(self) -> bool:
        """Return whether 0 says that all is well."""
        return bool({self.panel, f"{self.panel}: {self.legend}"} & ZERO_IS_WELL[self.dashboard])

    @property
    def query(self) -> str:
        """Return it with Grafana's variables filled in, as for the last ten minutes."""
        text = self.expr.replace("$__rate_interval", "10m").replace("$__range", "10m").replace("$subscriber", ".*")
        assert "$" not in text, text
        return text


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found


def _panels(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in page["panels"] if panel["type"] != "row"]


QUERIES = [
    Asked(page["title"], panel["title"], target["expr"], target["legendFormat"])
    for page in map(_read, NAMES)
    for panel in _panels(page)
    for target in panel["targets"]
]


# --- the files ---


def test_the_dashboards_are_current() -> None:
    assert tuple(sorted(path.name for path in FOLDER.iterdir())) == NAMES
    for name, text in dashboards().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run: .venv/bin/python -m deploy.grafana.generate"


@pytest.mark.parametrize("name", NAMES)
def test_each_panel_says_what_it_shows_and_has_a_place_of_its_own(name: str) -> None:
    page = _read(name)
    ids = [panel["id"] for panel in page["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in page["panels"]:
        where = panel["gridPos"]
        cells = {(where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])}
        assert where["x"] + where["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in _panels(page):
        assert panel["description"].strip(), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
    titles = [panel["title"] for panel in _panels(page)]
    assert len(titles) == len(set(titles))
    named = {f"{one.panel}: {one.legend}" for one in QUERIES if one.dashboard == page["title"]}
    assert ZERO_IS_WELL[page["title"]] <= {*titles, *named}


def test_the_dashboards_cover_what_operators_and_analysts_ask() -> None:
    asked = {
        name: " ".join(panel_query.expr for panel_query in QUERIES if panel_query.dashboard == name)
        for name in ZERO_IS_WELL
    }
    service = (
        "by (stage)",
        "by (topic, partition)",
        "hw_watermark",
        "histogram_quantile",
        "hw_rejections",
        "resident_memory",
        "hw_recovery",
        "hw_calendar_until",
        "hw_drill_seconds",
    )
    supervision = ("by (level)", "by (rule)", "by (unit_kind)")
    delivery = (
        "hw_dispatch_pending",
        "by (outcome)",
        "breaker_open",
        "suppressed",
        "event_to_webhook",
        "guard_refusals",
        "oldest_pending",
        "human_pool",
    )
    for name, words in (("Service", service), ("Supervision 监督", supervision), ("Delivery", delivery)):
        assert [word for word in words if word not in asked[name]] == []


def test_grafana_finds_the_dashboards_and_their_prometheus_where_compose_puts_them() -> None:
    (provider,) = read("grafana/provisioning/dashboards/hotline-watch.yaml")["providers"]
    (source,) = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    services = read("compose.yaml")["services"]
    mounts = [mount.rpartition(":ro")[0].partition(":")[::2] for mount in services["grafana"]["volumes"][:2]]
    folders = {inside: (DEPLOY / outside).resolve() for outside, inside in mounts}
    assert folders[provider["options"]["path"]] == FOLDER
    assert folders["/etc/grafana/provisioning"] == DEPLOY / "grafana" / "provisioning"
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (FOLDER / Path(home).name).exists()
    host = re.fullmatch(r"http://([a-z]+):9090", source["url"])
    assert host
    assert host[1] in services
    assert source["isDefault"]


# --- a real run ---


def _feed(service: Live, port: int) -> None:
    """Let the run have something of everything: warnings of all levels, a retraction, refused input, findings, requests."""
    _refer(service)
    stories = [event for event in demo_events() if not event["ticket_id"].startswith("P-")]
    withdrawn = Story("W-1").complaint(0)(0.1, "dispatched", unit="A")
    for day in (1, 2, 3):
        withdrawn(day, "return_requested", unit="A")
    withdrawn(4, "return_denied", unit="A")
    withdrawn(5, "voided")
    # Large enough to be shown by its hash.
    fields = {"category": ["供" * 400, "水" * 400, "压" * 400]}
    large = [body("L-1", "amended", number / 100, event_id=f"L-1-{number}", fields=fields) for number in range(90)]
    service.send([*to_bytes([*stories, *withdrawn.records, *large]), b'{"ticket_id": "Q-1", "type": 7}'])
    posted = body("V-1", "registered", 0, event_id="V-1-1", nobody_reads_this="x")
    _called(port, SENDER_TOKEN, {"events": [posted]}, 202)
    _called(port, SENDER_TOKEN, {"events": [posted | {"occurred_at": "yesterday"}]}, 422)
    service.idle()
    service.tick(UNTIL)
    service.idle()
    _called(port, TOKEN, None, 200)
    _called(port, "another-token-0123456789abcdef", None, 401)


def _refer(service: Live) -> None:
    """Load a row of reference data, which every worker takes."""
    one = unit()
    producer = KafkaProducer(bootstrap_servers=service.servers, acks="all")
    producer.send(service.topics.reference, key=key_of(one).encode(), value=one.model_dump_json().encode()).get(30)
    producer.close(timeout=10)
    eventually(lambda: service.metric("hw_reference_rows") == 2, 15, "hw_reference_rows")


def _called(port: int, token: str, events: dict[str, Any] | None, status: int) -> None:
    """Pull alerts, or post events, and be answered so."""
    method, path = ("GET", "/v1/alerts") if events is None else ("POST", "/v1/events")
    answer = httpx.request(
        method,
        f"http://127.0.0.1:{port}{path}",
        headers={"Authorization": f"Bearer {token}"},
        json=events,
        timeout=10,
        trust_env=False,
    )
    assert answer.status_code == status, answer.text


def _drill(service: Live, port: int) -> None:
    """Start the process that makes drills; the first comes once Prometheus has seen that there was none."""
    environment = service.environment("drill") | {
        # Its events are of now: in this run, whose time is recorded, it comes last.
        "HOTLINE_WATCH_CORE_TIME": "wall",
        "HOTLINE_WATCH_HTTP_PORT": str(port),
        "HOTLINE_WATCH_DRILL_SUBSCRIBER": "test",
    }
    command = ["-m", "cli.main", "drill", "--every", "1", "--first-after", "3"]
    service.running["drill"] = Worker(command, service.folder / "logs" / "drill.log", env=environment)


def _failing_at_first() -> Callable[[str, int], int]:
    """Return a receiver's script: of the first delivery that comes, the first call fails."""
    failed: list[str] = []

    def status(webhook_id: str, call: int) -> int:
        if not failed:
            failed.append(webhook_id)
            return 503
        return 204

    return status


def _subscribers(folder: Path, url: str) -> str:
    """Return a file with one that wants everything, and one that wants red alone."""
    path = subscribers_file(folder, url)
    (everything,) = json.loads(path.read_text(encoding="utf-8"))["subscribers"]
    path.write_text(json.dumps({"subscribers": [everything, everything | {"name": "duty", "levels": ["red"]}]}))
    return str(path)


def _silences(folder: Path) -> str:
    """Return a file with a silence that is in force now, of one story's warnings."""
    now = instant_of(datetime.now(UTC))
    times = {"starts_at": now - HOUR, "created_at": now - HOUR, "ends_at": now + DAY}
    silence = {
        "id": "S-1",
        "matchers": {"tickets": ["YH-3"]},
        "author": "张某",
        "comment": "施工期间集中处理",
        **{name: format_instant(at) for name, at in times.items()},
    }
    path = folder / "silences.yaml"
    path.write_text(json.dumps({"silences": [silence]}, ensure_ascii=False), encoding="utf-8")
    return str(path)


def _api_clients(folder: Path) -> str:
    (folder / "token").write_text(TOKEN)
    (folder / "sender-token").write_text(SENDER_TOKEN)
    path = folder / "clients.yaml"
    path.write_text(
        "clients:\n"
        "  - {name: test, token: {file: token}, role: subscriber, subscriber: test}\n"
        "  - {name: platform, token: {file: sender-token}, role: sender}\n"
    )
    return str(path)


@pytest.fixture(scope="module")
def scraped(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, configured as it is deployed, that watched two workers, dispatch, the API and a drill from start to end of a run."""
    folder = tmp_path_factory.mktemp("deploy")
    receiver = Receiver([SECRET], script=_failing_at_first())
    with (
        alertmanager(folder) as alerts_to,
        serve(receiver) as url,
        live(
            kafka,
            folder,
            "deploy.",
            SUBSCRIBERS_FILE=_subscribers(folder, url),
            SILENCES_FILE=_silences(folder),
            API_CLIENTS_FILE=_api_clients(folder),
        ) as service,
    ):
        service.start(*PROCESSES)
        service.wait_until_ready()
        targets = [
            {"targets": [f"127.0.0.1:{service.port(name)}"], "labels": {"process": process}}
            for name, process in PROCESSES.items()
        ]
        targets.append({"targets": [f"127.0.0.1:{(drill_port := free_port())}"], "labels": {"process": "drill"}})
        with prometheus(prometheus_folder(folder / "prometheus", targets, alerts_to)) as watching:
            # Beside other tests a scrape may take longer than the second it has, again and again.
            watching.until(f'count(up{{job="hotline-watch"}} == 1) == {len(PROCESSES)}', 120)
            # What is counted before the first look is no increase.
            watching.until("sum(hw_events_total) == 0")
            watching.until("sum(hw_dispatch_attempts_total) == 0")
            _feed(service, service.port("api"))
            # A warning that another one overtakes is never sent: what counts is that nothing waits any longer.
            watching.until('sum(hw_dispatch_attempts_total{outcome="accepted"}) > 5 and sum(hw_lag_records) == 0', 60)
            watching.until("sum(hw_dispatch_pending) == 0", 60)
            watching.until("sum(hw_api_auth_failures_total) == 1")
            _drill(service, drill_port)
            watching.until("sum(hw_drills_total) == 0")
            watching.until('hw_drills_total{outcome="passed"} == 1', 60)
            yield watching


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("asked", QUERIES, ids=lambda one: f"{one.dashboard}: {one.panel}")
def test_a_panel_shows_what_happened(scraped: Prometheus, asked: Asked) -> None:
    def shown() -> bool:
        values = scraped.ask(asked.query)
        if not values or not all(math.isfinite(value) for value in values):
            return False
        return asked.may_be_zero or max(values) > 0

    eventually(shown, 15, asked.query)


@pytest.mark.kafka
@pytest.mark.slow
def test_the_choice_of_subscribers_is_answered(scraped: Prometheus) -> None:
    (variable,) = [one for one in _read("delivery.json")["templating"]["list"] if one["name"] == "subscriber"]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
    assert found
    values = scraped.get(f"label/{found[2]}/values", **{"match[]": found[1]})
    assert values == ["duty", "test"]


@pytest.mark.kafka
@pytest.mark.slow
def test_every_alert_is_evaluated_on_metrics_that_are_there(scraped: Prometheus) -> None:
    def evaluated() -> bool:
        groups = scraped.get("rules", type="alert")["groups"]
        health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert "err" not in health.values(), [rule.get("lastError") for group in groups for rule in group["rules"]]
        return set(health) == {rule["alert"] for rule in alert_rules()} and set(health.values()) == {"ok"}

    eventually(evaluated, 30)
    known = set(scraped.get("label/__name__/values"))
    for rule in alert_rules():
        names = set(re.findall(r"\b(?:hw|process)_[a-z_]+\b|\bup\b", rule["expr"]))
        assert names, rule["alert"]
        assert names <= known | NOT_HERE, rule["alert"]


@pytest.mark.kafka
@pytest.mark.slow
def test_nothing_is_counted_that_nobody_looks_at(scraped: Prometheus) -> None:
    counted = {
        re.sub(r"_(?:total|bucket|sum|count|created)$", "", name)
        for name in scraped.get("label/__name__/values")
        if name.startswith("hw_")
    }
    asked = " ".join([*(query.expr for query in QUERIES), *(rule["expr"] for rule in alert_rules())])
    looked_at = {re.sub(r"_(?:total|bucket)$", "", name) for name in re.findall(r"\bhw_[a-z_]+\b", asked)}
    assert counted - looked_at == NOT_LOOKED_AT


@pytest.mark.kafka
@pytest.mark.slow
def test_prometheus_sends_its_alerts_to_alertmanager(scraped: Prometheus) -> None:
    eventually(lambda: len(scraped.get("alertmanagers")["activeAlertmanagers"]) == 1, 15)


@pytest.mark.kafka
@pytest.mark.slow
def test_labels_are_closed_sets(scraped: Prometheus) -> None:
    series = scraped.get("series", **{"match[]": '{__name__=~"hw_.*"}'})
    labels = {name for one in series for name in one} - {"__name__", "job", "instance", "process", "le"}
    closed = {
        "category",
        "destination",
        "kind",
        "layer",
        "level",
        "method",
        "outcome",
        "partition",
        "reason",
        "route",
        "rule",
        "stage",
    }
    closed |= {"status", "subscriber", "table", "topic", "type", "unit_kind"}
    assert labels - closed == {"key"}, "a new label: never a ticket, a citizen, a unit or free text"
    assert {one["key"] for one in series if "key" in one} == {mark_of_key("L-1")}  # and of those at most five a table
    text = json.dumps(series)
    for word in ("JZ-1", "YH-3", "W-1", "L-1", "case:", "甲"):
        assert word not in text
