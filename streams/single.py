"""The whole service on one machine: embedded Kafka, workers and dispatch below one data directory, supervised."""

import logging
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from streams.broker import EmbeddedKafka
from streams.hold import Running, hold_up, say_running, stillness_wanted
from streams.settings import Settings
from streams.supervisor import Service, free_port
from streams.topics import TopicSet
from streams.topics_admin import create_topics

log = logging.getLogger(__name__)

READY_SECONDS = 90.0
PSEUDONYM_SECRET = "pseudonym-k1"  # noqa: S105 - a file's name


class NotReadyError(RuntimeError):
    """A process did not get ready in time."""


@dataclass
class SingleMachine:
    """The service on one machine. `start`, then `watch` now and then, then `stop`; all state is below `data_dir`.

    While a backup wants it (hold.py), everything is stopped, and `watch` starts it again afterwards.
    """

    settings: Settings
    data_dir: Path
    config: Path | None = None
    workers: int = 2
    kafka: EmbeddedKafka = field(init=False)
    services: list[Service] = field(default_factory=list)
    held_still: bool = False
    _lock: IO[str] | None = None
    _address: str = ""

    def __post_init__(self) -> None:
        self.data_dir = self.data_dir.absolute()
        self.kafka = EmbeddedKafka(
            self.data_dir / "kafka", port=self.settings.broker_port, jars=self.settings.broker_jars
        )

    @property
    def topics(self) -> TopicSet:
        """Return the topics."""
        return self.settings.topics

    @property
    def bootstrap_servers(self) -> str:
        """Return the embedded broker's address."""
        return self.kafka.bootstrap_servers

    def start(self) -> None:
        """Start everything and return when it is ready. Raises BrokerError, MisconfiguredServiceError, NotReadyError."""
        # What the broker keeps of ticket events identifies citizens: it is nobody else's to read.
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = hold_up(self.data_dir)
        say_running(self.data_dir, None)  # what one that was killed left there is no longer true
        while stillness_wanted(self.data_dir):
            log.warning("a backup of %s is being made: the start waits for its end", self.data_dir)
            time.sleep(1.0)
        self._start()

    def watch(self) -> None:
        """Start again what has failed; hold still where a backup wants it. Raises as `start`."""
        wanted = stillness_wanted(self.data_dir)
        if wanted != self.held_still:
            log.warning("holding still for a backup" if wanted else "the backup is done: going on")
            if wanted:
                self.held_still = True
                say_running(self.data_dir, None)  # until all of it is ready again: who looks meanwhile finds no fault
                self._stop()
            else:
                self._start()
                self.held_still = False
        if not self.held_still:
            self._watch()

    def stop(self) -> None:
        """End everything gracefully: workers and dispatch first, the broker last."""
        self._stop()
        if self._lock is not None:
            say_running(self.data_dir, None)
            self._lock.close()
            self._lock = None

    def _start(self) -> None:
        self.kafka.start()
        create_topics(self.kafka.bootstrap_servers, self.topics)
        if self.kafka.bootstrap_servers != self._address:  # its port may have been taken meanwhile
            self._address = self.kafka.bootstrap_servers
            self.services = list(self._services())
        now = time.monotonic()
        for service in self.services:
            service.start(now)
        self._wait_until_ready()
        addresses = {service.name: service.address for service in self.services}
        prefix = self.settings.topic_prefix
        config = None if self.config is None else self.config.absolute()
        say_running(
            self.data_dir,
            Running(
                config=config,
                bootstrap_servers=self.kafka.bootstrap_servers,
                topic_prefix=prefix,
                services=addresses,
            ),
        )

    def _watch(self) -> None:
        if not self.kafka.pids:
            log.error("the broker ended; starting it again")
            self.kafka.restart(0)
        for service in self.services:
            service.keep_running(time.monotonic())

    def _stop(self) -> None:
        for service in self.services:
            service.ask_to_stop()
        for service in self.services:
            service.stop()
        self.kafka.stop()

    def _services(self) -> Iterator[Service]:
        settings = self.settings
        for number in range(1, self.workers + 1):
            yield self._worker(number)
        if settings.subscribers_file is not None:
            yield self._dispatch(settings.subscribers_file)
            if settings.api_clients_file is not None:
                yield self._api()
        if settings.drill_every_hours is not None:
            if settings.core_time == "wall":
                yield self._drill(settings.drill_every_hours)
            else:
                log.warning("no drills: time is recorded, and a drill's events would move it")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        waiting = list(self.services)
        while waiting:
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"{waiting[0].name} was not ready after {READY_SECONDS:g} s: see {waiting[0].log_path}"
                )
            self._watch()
            waiting = [service for service in waiting if not service.is_ready()]
            time.sleep(0.1)

    def _worker(self, number: int) -> Service:
        name = f"worker-{number}"
        environment = self._common(name, number - 1) | self.pseudonym_environment()
        return self._service(name, "worker", environment)

    def _dispatch(self, subscribers: Path) -> Service:
        environment = {
            **self._common("dispatch", self.workers),
            "HOTLINE_WATCH_SUBSCRIBERS_FILE": str(subscribers.absolute()),
            **self._paths("units_file", "routing_file", "suppression_file", "silences_file"),
        }
        return self._service("dispatch", "dispatch", environment)

    def _api(self) -> Service:
        settings = self.settings
        port = settings.api_port or free_port()
        environment = {
            **self._common("api", 0),
            **self._paths("subscribers_file", "units_file", "silences_file", "secrets_dir", "api_clients_file"),
            "HOTLINE_WATCH_API_PORT": str(port),
        }
        # What listens on every address answers on this one too.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api_host, settings.api_host)  # noqa: S104
        log_path = self.data_dir / "logs" / "api.log"
        return Service("api", ("api",), environment, log_path, port, host, ready_path="/healthz")

    def _drill(self, every_hours: float) -> Service:
        environment = {**self._common("drill", self.workers + 1), **self._paths("subscribers_file")}
        log_path = self.data_dir / "logs" / "drill.log"
        port = int(environment["HOTLINE_WATCH_HTTP_PORT"])
        return Service("drill", ("drill", "--every", f"{every_hours:g}"), environment, log_path, port)

    def _paths(self, *names: str) -> dict[str, str]:
        """Return the settings of files that are set, for a process that may run elsewhere."""
        found = ((name, getattr(self.settings, name)) for name in names)
        return {f"HOTLINE_WATCH_{name.upper()}": str(path.absolute()) for name, path in found if path is not None}

    def _service(self, name: str, command: str, environment: dict[str, str]) -> Service:
        log_path = self.data_dir / "logs" / f"{name}.log"
        return Service(name, (command,), environment, log_path, int(environment["HOTLINE_WATCH_HTTP_PORT"]))

    def _common(self, name: str, number: int) -> dict[str, str]:
        port = self.settings.http_port + number if self.settings.http_port else free_port()
        environment = {
            "HOTLINE_WATCH_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "HOTLINE_WATCH_KAFKA_SECURITY": "plaintext",  # the embedded broker's own, whatever else is set
            "HOTLINE_WATCH_DATA_DIR": str(self.data_dir / name),
            "HOTLINE_WATCH_HTTP_PORT": str(port),
            "HOTLINE_WATCH_CORE_TIME": self.settings.core_time,
            "HOTLINE_WATCH_PARTITIONS": str(self.settings.partitions),
            "HOTLINE_WATCH_RETRY_SCALE": str(self.settings.retry_scale),
        }
        return environment | ({"HOTLINE_WATCH_CONFIG": str(self.config.absolute())} if self.config else {})

    def pseudonym_environment(self) -> dict[str, str]:
        """Return the variable that names the secret of this data directory, made at the first start; nothing where keys are set.

        Keys that are set come from the environment or the settings file, and the workers read both.
        """
        if self.settings.pseudonym_keys:
            return {}
        path = self.data_dir / "secrets" / PSEUDONYM_SECRET
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        keys = [{"id": "k1", "secret_file": str(path)}]
        return {"HOTLINE_WATCH_PSEUDONYM_KEYS": orjson.dumps(keys).decode()}
