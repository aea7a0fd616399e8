"""A whole installation on the real Kafka: worker and dispatch processes, events in, warnings out; and what the driver says."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from kafka import KafkaProducer

from models.alert import Alert
from models.decode import decode_event
from models.secrets import WebhookSecret
from models.times import parse_instant
from rules.driver import Driver
from rules.event import Event, by_time
from rules.intake import to_event
from streams.broker import EmbeddedKafka
from streams.lag import wait_until_idle
from streams.ticking import send_ticks
from streams.topics import TopicSet
from streams.topics_admin import create_topics
from tests.builders import KEYS, Run, engine, reader
from tests.directory_support import delivery_files, file_settings
from tests.kafka_support import Worker, eventually, read_all

OWN_RULES = frozenset({"P01", "P02", "P03", "P04", "P05", "P06", "P07", "P09", "P10", "P12"})
"""Those that judge one ticket by its own events alone."""
IDLE_SECONDS = 90.0
SECRET = WebhookSecret(bytes(range(32)))

Records = Iterable[dict[str, Any]]


@dataclass
class Live:
    """One installation: topics of its own on the shared broker, and the processes that were started over them."""

    kafka: EmbeddedKafka
    folder: Path
    topics: TopicSet
    settings: dict[str, str] = field(default_factory=dict)
    running: dict[str, Worker] = field(default_factory=dict)

    @property
    def servers(self) -> str:
        """Return the broker's address."""
        return self.kafka.bootstrap_servers

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings of one process, which keeps its data in a folder of its name."""
        common = {
            "BOOTSTRAP_SERVERS": self.servers,
            "TOPIC_PREFIX": self.topics.prefix,
            "PARTITIONS": str(self.topics.partitions),
            "CORE_TIME": "recorded",
            "COMMIT_INTERVAL_SECONDS": "0.2",
            "SESSION_TIMEOUT_SECONDS": "3",
            "RETRY_SCALE": "0.01",
            "DATA_DIR": str(self.data_dir(name)),
        }
        if "SUBSCRIBERS_FILE" in self.settings:
            common |= file_settings(delivery_files(Path(self.settings["SUBSCRIBERS_FILE"])))
        return {f"HOTLINE_WATCH_{key}": value for key, value in (common | self.settings).items()}

    def data_dir(self, name: str) -> Path:
        """Return where a process keeps its tables."""
        return self.folder / "data" / name

    def start(self, *names: str) -> None:
        """Start processes without waiting; their command is the name up to its first hyphen: worker-1, dispatch."""
        for name in names:
            log = self.folder / "logs" / f"{name}.log"
            log.unlink(missing_ok=True)
            self.running[name] = Worker(["-m", "cli.main", name.partition("-")[0]], log, env=self.environment(name))

    def wait_until_ready(self) -> None:
        """Return when every process that was started says that it is ready."""
        for worker in self.running.values():
            worker.wait_for("ready, http port", 90)

    def port(self, name: str) -> int:
        """Return the port on which a process tells of its health."""
        found = re.search(r"ready, http port (\d+)", self.running[name].log())
        assert found, self.running[name].log()[-2000:]
        return int(found[1])

    def get(self, name: str, path: str) -> httpx.Response:
        """Return what a process answers on its health port."""
        return httpx.get(f"http://127.0.0.1:{self.port(name)}{path}", timeout=5, trust_env=False)

    def metric(self, name: str) -> float:
        """Return the sum of a metric's series over all detection workers; `name` may carry labels."""
        bodies = [self.get(worker, "/metrics").text for worker in self.running if worker.startswith("worker")]
        pattern = re.compile(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", re.MULTILINE)
        return sum(float(number) for body in bodies for number in pattern.findall(body))

    def send(self, values: Iterable[bytes], chance: random.Random | None = None) -> None:
        """Send ticket events as bytes: each partition in the order given, keyed by ticket; with `chance` to any partition."""
        send(self.servers, self.topics, values, chance)

    def tick(self, instant: int | str) -> None:
        """Move recorded time in every partition."""
        send_ticks(self.servers, self.topics, instant if isinstance(instant, int) else parse_instant(instant))

    def idle(self) -> None:
        """Return when the workers have done all there is."""
        assert wait_until_idle(self.servers, self.topics, timeout_seconds=IDLE_SECONDS), self.logs()[-3000:]

    def logs(self) -> str:
        """Return everything the processes wrote."""
        return "\n".join(path.read_text(errors="replace") for path in sorted((self.folder / "logs").iterdir()))

    def issued(self) -> list[Alert]:
        """Return each version on `hw.alerts` once, every case in the order of its numbers."""
        found = [Alert.model_validate_json(one.value or b"") for one in read_all(self.servers, self.topics.alerts)]
        return sorted({one.alert_id: one for one in found}.values(), key=lambda one: (one.case_id, one.sequence))

    def in_force(self) -> dict[tuple[str, str], str]:
        """Return the level of each warning in force, by ticket and rule."""
        return Run(Driver(engine()), self.issued()).in_force

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the quarantine's records."""
        return [orjson.loads(one.value or b"") for one in read_all(self.servers, self.topics.quarantine)]


@contextmanager
def live(kafka: EmbeddedKafka, folder: Path, prefix: str, **settings: str) -> Iterator[Live]:
    """Yield an installation with its topics made; its processes end with it."""
    topics = TopicSet(prefix=prefix, partitions=4)
    create_topics(kafka.bootstrap_servers, topics)
    installation = Live(kafka, folder, topics, settings)
    try:
        yield installation
    finally:
        for worker in installation.running.values():
            if worker.alive():
                worker.kill()


def send(servers: str, topics: TopicSet, values: Iterable[bytes], chance: random.Random | None = None) -> None:
    """Send ticket events as bytes and wait for the broker; see `Live.send`."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5, max_request_size=8 * 1024 * 1024)
    try:
        sent = []
        for value in values:
            where = {"partition": chance.randrange(topics.partitions)} if chance else {"key": _ticket(value)}
            sent.append(producer.send(topics.ticket_events, value=value, **where))
        producer.flush(timeout=60)
        for future in sent:
            future.get(timeout=60)
    finally:
        producer.close(timeout=10)


def _ticket(value: bytes) -> bytes:
    ticket: str = json.loads(value)["ticket_id"]
    return ticket.encode()


def to_bytes(records: Records) -> list[bytes]:
    """Return the records as they are sent."""
    return [orjson.dumps(record) for record in records]


def renamed(records: Records, prefix: str) -> list[dict[str, Any]]:
    """Return the records with all tickets, events and citizens renamed: the same story once more, apart from the first."""
    found = []
    for record in records:
        copy = dict(record)
        for name in ("event_id", "ticket_id", "into", "to", "repeat_of"):
            if copy.get(name) is not None:
                copy[name] = prefix + copy[name]
        if "key" in (copy.get("citizen") or {}):
            copy["citizen"] = copy["citizen"] | {"key": prefix + copy["citizen"]["key"]}
        found.append(copy)
    return found


def as_events(records: Records) -> list[Event]:
    """Return what intake makes of the records."""
    return [to_event(decode_event(value), KEYS, reader()) for value in to_bytes(records)]


def driver_run(records: Records, until: str, ticks: Sequence[int] = ()) -> Run:
    """Return what the driver says of the records in the order of time, with ticks in between, and at `until`."""
    driver = Driver(engine())
    alerts: list[Alert] = []
    waiting = list(ticks)
    for event in sorted(as_events(records), key=by_time):
        while waiting and waiting[0] < event.at:
            alerts += driver.advance(waiting.pop(0))
        alerts += driver.feed(event)
    alerts += driver.advance(parse_instant(until))
    return Run(driver, alerts)


def own_ids(alerts: Iterable[Alert], rules: frozenset[str] = OWN_RULES) -> set[str]:
    """Return the ids of the versions of rules that judge one ticket by its own events."""
    return {one.alert_id for one in alerts if one.rule.id in rules}


def subscribers_file(folder: Path, url: str, **fields: Any) -> Path:
    """Write a subscribers file for one receiver that wants everything; JSON is YAML."""
    import base64

    (folder / "hook.secret").write_text("whsec_" + base64.b64encode(SECRET.key).decode())
    entry = {
        "name": "test",
        "url": url,
        "secret": {"file": "hook.secret"},
        "allow_http": True,
        "allow_networks": ["127.0.0.0/8"],
    }
    path = folder / "subscribers.yaml"
    path.write_bytes(orjson.dumps({"subscribers": [entry | fields]}))
    return path


def delivered(live_service: Live, receiver: Any, deadline_seconds: float = 60.0) -> None:
    """Return when the receiver has accepted every version that was issued to be pushed."""
    wanted = {one.alert_id for one in live_service.issued() if one.push}
    eventually(
        lambda: wanted == {one.alert["alert_id"] for one in receiver.accepted},
        deadline_seconds,
        "delivery of everything",
    )
