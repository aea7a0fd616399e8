"""One dispatch installation on the real Kafka, as an operator runs it: files, the `dispatch` command, receivers, and what
the topics say afterwards.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from alerting.receiver import Accepted, Receiver
from models.alert import Alert
from models.delivery import DeliveryRecord
from streams.broker import EmbeddedKafka
from streams.topics import TopicSet
from streams.topics_admin import create_topics
from tests.alerting_support import SECRET
from tests.kafka_support import Worker, produce, read_all

ACCUSED = {"id": "U-A", "name": "甲街道办事处", "kind": "subdistrict", "level": "township"}
OFFICE = "OFFICE"


def office(unit_id: str, name: str, *subscribers: str, **fields: Any) -> dict[str, Any]:
    """Return the registry's entry of an office whose people the subscribers are."""
    common = {"id": unit_id, "name": name, "kind": "discipline_office", "level": "county"}
    return {**common, "subscribers": list(subscribers), **fields}


def everything_to(unit_id: str) -> dict[str, Any]:
    """Return a routing file that leads every warning of the process family to one unit."""
    case = {"name": "任何预警", "family": "P", "accused": [{"kind": "subdistrict"}], "branch": "all"}
    return {
        "version": 1,
        "routes": [{"id": "all", "title": "全部", "to": [{"unit": unit_id}]}],
        "cases": [case],
    }


def by_rule(units: dict[str, str]) -> dict[str, Any]:
    """Return a routing file that leads each rule's warnings to one unit."""
    return {
        "version": 1,
        "routes": [
            {"id": f"of-{rule.lower()}", "title": rule, "when": {"rules": [rule]}, "to": [{"unit": unit_id}]}
            for rule, unit_id in units.items()
        ],
        "cases": [{"name": rule, "family": "P", "rule": rule, "branch": f"of-{rule.lower()}"} for rule in units],
    }


@dataclass
class Installation:
    """Topics of its own on the shared broker, the files of delivery in a folder, and the process that goes by them."""

    kafka: EmbeddedKafka
    topics: TopicSet
    folder: Path
    workers: list[Worker] = field(default_factory=list)

    @property
    def servers(self) -> str:
        """Return the broker's address."""
        return self.kafka.bootstrap_servers

    @property
    def where(self) -> list[str]:
        """Return the options by which a command finds the topics."""
        return ["--bootstrap-servers", self.servers, "--prefix", self.topics.prefix]

    def path(self, name: str) -> Path:
        """Return a file of delivery: subscribers, units, routing, silences."""
        return self.folder / f"{name}.yaml"

    def write(self, name: str, content: object) -> None:
        """Write a file of delivery, in one step; JSON is YAML."""
        fresh = self.folder / f".{name}.fresh"
        fresh.write_bytes(orjson.dumps(content))
        fresh.replace(self.path(name))

    def write_subscribers(self, *entries: dict[str, Any]) -> None:
        """Write the subscribers file; what they have in common need not be said."""
        (self.folder / "hook.secret").write_text("whsec_" + base64.b64encode(SECRET.key).decode())
        common = {"secret": {"file": "hook.secret"}, "allow_http": True, "allow_networks": ["127.0.0.0/8"]}
        self.write("subscribers", {"subscribers": [common | entry for entry in entries]})

    def start(self, failpoint: str = "", data: str = "data") -> Worker:
        """Start a dispatch worker, over the same data as before where no other folder is named; does not wait."""
        log = self.folder / "logs" / f"dispatch-{len(self.workers)}.log"
        settings = {
            "BOOTSTRAP_SERVERS": self.servers,
            "TOPIC_PREFIX": self.topics.prefix,
            "PARTITIONS": str(self.topics.partitions),
            "DATA_DIR": str(self.folder / data),
            "COMMIT_INTERVAL_SECONDS": "0.2",
            "SESSION_TIMEOUT_SECONDS": "3",
            "RETRY_SCALE": "0.01",
            "FAILPOINT": failpoint,
            **{
                f"{name.upper()}_FILE": str(self.path(name)) for name in ("subscribers", "units", "routing", "silences")
            },
        }
        environment = {f"HOTLINE_WATCH_{name}": value for name, value in settings.items()}
        worker = Worker(["-m", "cli.main", "dispatch"], log, env=environment)
        self.workers.append(worker)
        return worker

    def health(self) -> httpx.Response:
        """Return what the worker that was started last says of its health, once it is ready."""
        worker = self.workers[-1]
        worker.wait_for("ready, http port", 90)
        found = re.search(r"ready, http port (\d+)", worker.log())
        assert found
        return httpx.get(f"http://127.0.0.1:{found[1]}/healthz", timeout=5, trust_env=False)

    def publish(self, *alerts: Alert) -> None:
        """Send alerts as the detection workers do, each into the partition of its case."""
        records = [(alert.case_id.encode(), alert.model_dump_json().encode()) for alert in alerts]
        produce(self.servers, self.topics.alerts, records)

    def deliveries(self) -> list[tuple[int, DeliveryRecord]]:
        """Return the records of deliveries with their partitions, each partition's in its order."""
        found = read_all(self.servers, self.topics.deliveries)
        return [(one.partition, DeliveryRecord.model_validate_json(one.value or b"")) for one in found]

    def last_records(self) -> dict[bytes, DeliveryRecord]:
        """Return the last record of each delivery."""
        return {record.key: record for _, record in self.deliveries()}


@contextmanager
def installation(kafka: EmbeddedKafka, folder: Path, topics: TopicSet) -> Iterator[Installation]:
    """Yield an installation with its topics made; its processes end with it."""
    create_topics(kafka.bootstrap_servers, topics)
    made = Installation(kafka, topics, folder)
    try:
        yield made
    finally:
        for worker in made.workers:
            if worker.alive():
                worker.kill()


def lane(receiver: Receiver, name: str, case_id: str | None = None) -> list[Accepted]:
    """Return what one subscriber accepted, in its order; `case_id`: of one case."""
    return [one for one in receiver.accepted if one.lane == name and case_id in (None, one.alert["case_id"])]


def ids(accepted: Iterable[Accepted]) -> list[str]:
    """Return the ids of the alerts that were accepted."""
    return [one.alert["alert_id"] for one in accepted]


def numbers(accepted: Iterable[Accepted]) -> list[int]:
    """Return the numbers under which they came."""
    return [one.alert["delivery_sequence"] for one in accepted]


def first_positions(records: Sequence[tuple[int, DeliveryRecord]]) -> dict[tuple[int, str], list[int]]:
    """Return by partition and subscriber the positions in the order in which each came first: what a puller sees."""
    found: dict[tuple[int, str], dict[int, None]] = {}
    for partition, record in records:
        found.setdefault((partition, record.subscriber), {}).setdefault(record.position)
    return {whose: list(positions) for whose, positions in found.items()}
