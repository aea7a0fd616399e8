"""A Kafka that asks who is there: certificates and users made for one run, kept nowhere else."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streams.access import allow
from streams.admin import connect
from streams.broker import EmbeddedKafka
from streams.broker_certificates import Authority
from streams.broker_secured import Listener, Secured
from streams.kafka_settings import KafkaSettings
from streams.roles import Role, grants_of, user_of
from streams.security import Cluster
from streams.topics import TopicSet
from tests.live_support import Live

HOSTS = ("localhost", "127.0.0.1")
ADMIN, NEWCOMER = "admin", "newcomer"
LOGIN, CERTIFICATE, EXPIRED = "LOGIN", "CERTIFICATE", "EXPIRED"


def now() -> datetime.datetime:
    """Return the instant from which certificates count."""
    return datetime.datetime.now(datetime.UTC)


@dataclass
class SecureKafka:
    """A broker with three secured listeners, and the files of its clients below `folder`.

    LOGIN asks for user and password, CERTIFICATE for a client certificate, EXPIRED has a certificate that has expired.
    """

    folder: Path
    authority: Authority = field(init=False)
    stranger: Authority = field(init=False)
    passwords: dict[str, str] = field(init=False)
    kafka: EmbeddedKafka = field(init=False)

    def __post_init__(self) -> None:
        self.authority, self.stranger = Authority("the house", now()), Authority("a stranger", now())
        users = (ADMIN, NEWCOMER, *map(user_of, Role))
        # Not ASCII, and with what separates things elsewhere.
        self.passwords = {user: f"口令 {os.urandom(12).hex()},=]" for user in users}
        for name, authority in (("ca", self.authority), ("other-ca", self.stranger)):
            self.path(f"{name}.crt").write_text(authority.certificate)
        for user, password in self.passwords.items():
            self.path(f"{user}.password").write_text(password + "\n", encoding="utf-8")
            self.path(f"{user}.password").chmod(0o600)
            self.authority.issue(user).write(self.folder, user)
        self.stranger.issue("a stranger").write(self.folder, "stranger")
        self.authority.issue("late", expired=True).write(self.folder, "late")
        own, old = self.authority.issue("broker", *HOSTS), self.authority.issue("broker", *HOSTS, expired=True)
        listeners = (
            Listener(LOGIN, own, login=True),
            Listener(CERTIFICATE, own, trusted=(self.authority.certificate,)),
            Listener(EXPIRED, old, login=True),
        )
        secured = Secured(listeners, self.passwords, super_users=(f"User:{ADMIN}",))
        self.kafka = EmbeddedKafka(self.folder / "kafka", heap_mb=256, secured=secured)

    def path(self, name: str) -> Path:
        """Return where a file is."""
        return self.folder / name

    def login(self, user: str, mechanism: str = "SCRAM-SHA-512", **changed: str) -> dict[str, str]:
        """Return the settings of a client that logs in, without their prefix; `changed` ones win."""
        told = {
            "BOOTSTRAP_SERVERS": self.kafka.address_of(LOGIN),
            "KAFKA_SECURITY": "sasl_tls",
            "KAFKA_CA_FILE": str(self.path("ca.crt")),
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_USERNAME": user,
            "KAFKA_PASSWORD_FILE": str(self.path(f"{user}.password")),
        }
        return told | changed

    def certificate(self, name: str | None, **changed: str) -> dict[str, str]:
        """Return the settings of a client that shows a certificate, or none."""
        told = {
            "BOOTSTRAP_SERVERS": self.kafka.address_of(CERTIFICATE),
            "KAFKA_SECURITY": "tls",
            "KAFKA_CA_FILE": str(self.path("ca.crt")),
        }
        if name is not None:
            told |= {
                "KAFKA_CERT_FILE": str(self.path(f"{name}.crt")),
                "KAFKA_KEY_FILE": str(self.path(f"{name}.key")),
            }
        return told | changed

    def cluster(self, user: str) -> Cluster:
        """Return the cluster as a user that logs in sees it."""
        return cluster_of(self.login(user))

    def grant(self, topics: TopicSet, role: Role, principal: str) -> None:
        """Grant a principal what a role needs, as an administrator does."""
        with connect(self.cluster(ADMIN)) as admin:
            allow(admin, principal, grants_of(topics, role))


def environment(told: dict[str, str]) -> dict[str, str]:
    """Return settings as environment variables."""
    return {f"HOTLINE_WATCH_{name}": value for name, value in told.items()}


def cluster_of(told: dict[str, str]) -> Cluster:
    """Return the cluster that settings speak of."""
    return KafkaSettings.model_validate({name.lower(): value for name, value in told.items()}).cluster_at(None)


@dataclass
class SecureLive(Live):
    """An installation whose processes come in as `entrances` say, by the process's name."""

    entrances: dict[str, dict[str, str]] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings of one process."""
        return super().environment(name) | environment(self.entrances[name])


@contextmanager
def secure_live(
    secure: SecureKafka, folder: Path, topics: TopicSet, entrances: dict[str, dict[str, str]], **settings: str
) -> Iterator[SecureLive]:
    """Yield an installation over topics that are there; its processes end with it."""
    installation = SecureLive(secure.kafka, folder, topics, settings, entrances=entrances)
    try:
        yield installation
    finally:
        for process in installation.running.values():
            if process.alive():
                process.kill()
