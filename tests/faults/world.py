"""The world of one run: an installation with topics of its own on a shared broker, its processes, a receiver, a load.

A process that ends is started again by `mend`, as a service manager would; the waits of a world mend while they wait.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from kafka import KafkaProducer
from kafka.errors import KafkaError

from alerting.receiver import Accepted, Script, serve
from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.topics import TopicSet
from streams.topics_admin import create_topics
from tests.builders import KEYS
from tests.directory_support import OFFICE, write_registry
from tests.faults.forked import Forked
from tests.faults.lag import Lag
from tests.faults.load import ACCUSED, UNTIL, Load, registry_units
from tests.faults.receiving import NEW_SECRET, PatientReceiver
from tests.kafka_support import Worker, eventually
from tests.live_support import SECRET, Live, Records, subscribers_file, to_bytes

WAIT_SECONDS = 120.0
MENDS_MAX = 60
_PAUSE = threading.Event()


def _taken(_: str, __: int) -> int:
    return 204


@dataclass
class World(Live):
    """See the head of this module."""

    load: Load = field(default_factory=lambda: Load(1))
    receiver: PatientReceiver = field(init=False)
    answer: Script = _taken
    """what the receiver answers to a verified call"""
    url: str = ""
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    """settings of single processes"""
    under: dict[str, list[str]] = field(default_factory=dict)
    """programs under which single processes run"""
    clocked: dict[str, Path] = field(default_factory=dict)
    """files by which the clocks of single processes go"""
    down: set[str] = field(default_factory=set)
    """processes that are not to be started again"""
    expects_quarantine: int = 0
    expects_repeated_calls: bool = False
    expects_unverified: bool = False
    healed_at: float | None = None
    recovery_seconds: float = 0.0
    ended: list[tuple[str, int]] = field(default_factory=list)
    """processes that ended by themselves, with their status"""
    observed: dict[str, Any] = field(default_factory=dict)
    """what the fault saw of itself"""
    lag: Lag = field(init=False)
    sent_parts: int = 0
    patience_seconds: float = WAIT_SECONDS
    """for whatever is waited for"""
    at_end: list[Callable[[], None]] = field(default_factory=list)
    """checks of the fault's own, once all is done"""
    closing: list[Callable[[], object]] = field(default_factory=list)
    """what puts the machine in order again, whatever happened"""

    def __post_init__(self) -> None:
        watched = (self.topics.ticket_events, self.topics.tickets, self.topics.citizens)
        self.lag = Lag(self.servers, self.topics.worker_app_id, watched)
        self.closing.append(self.lag.close)
        self.receiver = PatientReceiver([SECRET, NEW_SECRET], script=lambda name, count: self.answer(name, count))

    def until_closed(self, made: AbstractContextManager[Any]) -> None:
        """Enter something that ends with the run."""
        made.__enter__()
        self.closing.append(lambda: made.__exit__(None, None, None))

    # -- processes

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings of one process, its own last."""
        files = {"SUBSCRIBERS_FILE": str(self.folder / "subscribers.yaml")}
        own = {f"HOTLINE_WATCH_{key}": value for key, value in (files | self.own.get(name, {})).items()}
        return super().environment(name) | own

    def start(self, *names: str) -> None:
        """Start processes; the logs of their former lives stay beside the new ones."""
        for name in names:
            log = self.folder / "logs" / f"{name}.log"
            if log.exists():
                lives = len(list(log.parent.glob(f"{name}.life*.log")))
                log.rename(log.with_name(f"{name}.life{lives + 1}.log"))
            self.down.discard(name)
            command = name.partition("-")[0]
            clock = self.clocked.get(name)
            arguments = ["cli.main"] if clock is None else ["tests.faults.clocked", str(clock)]
            if under := self.under.get(name, ()):
                made = Worker(["-m", *arguments, command], log, env=self.environment(name), under=under)
            else:
                made = Forked([*arguments, command], log, self.environment(name))
            self.running[name] = made

    def start_all(self, *names: str) -> None:
        """Start processes and return when they are ready."""
        self.start(*names)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when every process that is to run is ready; one that ends meanwhile is started again."""
        for name in [*self.running]:
            if name not in self.down:
                eventually(lambda name=name: self._is_ready(name), self.patience_seconds, f"{name} is ready")  # type: ignore[misc]

    def _is_ready(self, name: str) -> bool:
        self.mend()
        return "ready, http port" in self.running[name].log()

    def kill(self, *names: str) -> None:
        """SIGKILL processes."""
        for name in names:
            self.running[name].kill()
            self.down.add(name)

    def mend(self) -> None:
        """Start what has ended by itself."""
        for name, process in list(self.running.items()):
            if name not in self.down and not process.alive():
                self.ended.append((name, process.wait(0)))
                assert len(self.ended) <= MENDS_MAX, f"{name} ends again and again: {self.logs()[-3000:]}"
                _PAUSE.wait(0.2)  # a service manager waits, too
                self.start(name)

    def has_ended(self, name: str, status: int | None = None) -> bool:
        """Mend, and return whether a process ended by itself (with this status)."""
        self.mend()
        return any(one == name and status in (None, code) for one, code in self.ended)

    # -- the load

    def send_part(self, number: int) -> None:
        """Send a quarter of the load."""
        self.send(to_bytes(self.load.part(number)))
        self.sent_parts = max(self.sent_parts, number + 1)

    def send_records(self, records: Records) -> None:
        """Send some of the load."""
        self.send(to_bytes(records))

    def send_until_refused(self, number: int) -> None:
        """Send a quarter of the load to a broker that is going to refuse it."""
        producer = KafkaProducer(
            bootstrap_servers=self.servers, acks="all", retries=0, request_timeout_ms=2_000, delivery_timeout_ms=4_000
        )
        try:
            for value in to_bytes(self.load.part(number)):
                producer.send(self.topics.ticket_events, value=value, key=orjson.loads(value)["ticket_id"].encode())
            producer.flush(timeout=5)
        except KafkaError:
            pass  # which is what is waited for
        finally:
            producer.close(timeout=0)

    def flows(self) -> None:
        """Send the first quarter and return when warnings reach the receiver."""
        self.send_part(0)
        eventually(lambda: self.mend() or self.receiver.accepted, self.patience_seconds, "warnings flow")

    def waiting(self) -> int:
        """Return how many records the workers have not acknowledged."""
        return self.lag.now()

    # -- to the end

    def heal(self) -> None:
        """Say that the fault is over; recovery is counted from here."""
        self.healed_at = time.monotonic()

    def idle(self) -> None:
        """Return when the workers have done all there is."""
        quiet = 0

        def done() -> bool:
            nonlocal quiet
            self.mend()
            quiet = quiet + 1 if self.waiting() == 0 else 0
            _PAUSE.wait(0.1)
            return quiet >= 2

        eventually(done, self.patience_seconds, "the workers are idle")

    def accepted(self, lane: str = "office") -> list[Accepted]:
        """Return what one subscriber's endpoint took."""
        return [one for one in self.receiver.accepted if one.lane == lane]

    def all_delivered(self) -> None:
        """Return when the office's endpoint has taken every version that was issued to be pushed."""

        def done() -> bool:
            self.mend()
            wanted = {one.alert_id for one in self.issued() if one.push}
            return wanted == {one.alert["alert_id"] for one in self.accepted()}

        eventually(done, self.patience_seconds, "everything is delivered")

    def finish(self) -> None:
        """Wait until the installation has recovered; send the rest, move time to the end, and wait again."""
        self.wait_until_ready()
        self.idle()
        self.all_delivered()
        if self.healed_at is not None:
            self.recovery_seconds = time.monotonic() - self.healed_at
        for number in range(self.sent_parts, 4):
            self.send_part(number)
        self.idle()
        self.tick(UNTIL)
        self.idle()
        self.all_delivered()

    def own_by_office(self, *names: str) -> None:
        """Let the office own these subscribers."""
        path = self.folder / "units.yaml"
        units = orjson.loads(path.read_bytes())
        next(unit for unit in units["units"] if unit["id"] == OFFICE)["subscribers"] = list(names)
        path.write_bytes(orjson.dumps(units))

    def metrics(self, name: str) -> str:
        """Return a process's metrics; empty while it does not answer."""
        self.mend()
        try:
            return self.get(name, "/metrics").text
        except (AssertionError, httpx.HTTPError):
            return ""

    def scrape(self) -> str:
        """Return the metrics of every process that runs."""
        self.wait_until_ready()
        bodies = []
        for name, process in self.running.items():
            if process.alive() and name not in self.down:
                bodies.append(self.get(name, "/metrics").text)
        return "\n".join(bodies)


@contextmanager
def world(
    kafka: EmbeddedKafka,
    folder: Path,
    prefix: str,
    load: Load,
    *,
    replication: int = 1,
    **settings: str,
) -> Iterator[World]:
    """Yield a world with its topics made. Its processes end with it, and its topics are deleted."""
    topics = TopicSet(prefix=prefix, partitions=4, replication=replication)
    create_topics(kafka.bootstrap_servers, topics)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    made = World(kafka, folder, topics, {}, load=load)
    with serve(made.receiver) as url:
        made.url = url
        made.settings |= _settings(folder, url, replication) | settings
        try:
            yield made
        finally:
            _close(made)
    shutil.rmtree(folder / "data", ignore_errors=True)
    with connect(kafka.bootstrap_servers) as admin:
        admin.delete_topics([spec.name for spec in topics.all()])


def _close(made: World) -> None:
    for process in made.running.values():
        if process.alive():
            process.signal(signal.SIGCONT)
            process.kill()
    for undo in reversed(made.closing):
        undo()


def _settings(folder: Path, url: str, replication: int) -> dict[str, str]:
    """Write the files of delivery: an office that is told everything, and a unit that never is told of itself."""
    subscribers_file(folder, url)
    write_subscribers(folder, url)
    files = write_registry(folder, ["office"], registry_units())
    assert files.units is not None
    assert files.routing is not None
    units = orjson.loads(files.units.read_bytes())
    for unit in units["units"]:
        if unit["id"] == ACCUSED:
            unit["subscribers"] = ["accused"]
    files.units.write_bytes(orjson.dumps(units))
    routing = orjson.loads(files.routing.read_bytes())
    routing["routes"][0]["to"] = [{"unit": OFFICE}, {"unit": ACCUSED}]
    files.routing.write_bytes(orjson.dumps(routing))
    secret = folder / "pseudonym.secret"
    secret.write_bytes(KEYS[0].secret)
    return {
        "UNITS_FILE": str(files.units),
        "ROUTING_FILE": str(files.routing),
        "SUPPRESSION_FILE": str(files.suppression),
        "PSEUDONYM_KEYS": orjson.dumps([{"id": KEYS[0].id, "secret_file": str(secret)}]).decode(),
        "REPLICATION": str(replication),
    }


def write_subscribers(
    folder: Path,
    at: str,
    further: tuple[dict[str, Any], ...] = (),
    everybody: dict[str, Any] | None = None,
    **office: Any,
) -> None:
    """Write the subscribers file: the office, the unit that is accused, and further ones.

    `everybody`: fields of all entries; `office`: of the office's.
    """
    common = {"secret": {"file": "hook.secret"}, "allow_http": True, "allow_networks": ["127.0.0.0/8"]}
    common |= everybody or {}
    entries = [
        {"name": "office", "url": f"{at}/office", **common, **office},
        {"name": "accused", "url": f"{at}/accused", **common},
        *({**common, **one} for one in further),
    ]
    fresh = folder / "subscribers.new"
    fresh.write_bytes(orjson.dumps({"subscribers": entries}))
    fresh.replace(folder / "subscribers.yaml")
