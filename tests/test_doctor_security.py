"""`doctor` between us and the brokers: certificates, logins and ACLs that are wrong are found, with their remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.doctor_cluster import check_cluster
from cli.doctor_findings import Area, Finding, Severity
from cli.doctor_security import check_security
from cli.main import app
from models.times import DAY, instant_of, parse_instant
from streams.broker_certificates import Authority
from streams.own_certificate import read_own
from streams.roles import Role, user_of
from streams.security import Cluster, Protocol, Security
from streams.topics import TopicSet
from streams.topics_admin import create_topics
from tests.secure_support import ADMIN, EXPIRED, NEWCOMER, SecureKafka, cluster_of, environment, now

NOW = parse_instant("2030-06-01T00:00:00+08:00")
TOPICS = TopicSet(prefix="city.", partitions=2)
OPERATOR = user_of(Role.OPERATOR)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority("the house", now())
    (folder / "ca.crt").write_text(authority.certificate)
    authority.issue("worker").write(folder, "worker")
    authority.issue("late", expired=True).write(folder, "late")
    return folder


def secured(folder: Path, name: str, **changed: Any) -> Cluster:
    told = {"ca_file": folder / "ca.crt", "cert_file": folder / f"{name}.crt", "key_file": folder / f"{name}.key"}
    return Cluster("kafka-1:9093", Security(Protocol.TLS, **(told | changed)))


def test_a_certificate_that_expired_is_a_problem_and_one_that_will_is_a_warning(certificates: Path) -> None:
    until = instant_of(read_own(certificates / "worker.crt").until)

    def told(name: str, at: int) -> list[tuple[Severity, str]]:
        found = list(check_security(secured(certificates, name), at))
        assert all(one.area is Area.SECURITY for one in found)
        return [(one.severity, one.what) for one in found]

    ((severity, _),) = told("worker", until - 31 * DAY)
    assert severity is Severity.OK
    warned = told("worker", until - 29 * DAY)
    assert [severity for severity, _ in warned] == [Severity.WARNING] * 2
    assert "worker.crt expires on" in warned[0][1]
    assert "ca.crt expires on" in warned[1][1]
    late = told("late", instant_of(now()))
    assert late[0][0] is Severity.PROBLEM
    assert "kafka_cert_file: " in late[0][1]
    assert "late.crt expired on" in late[0][1]


def test_a_password_that_cannot_be_read_is_told_with_its_setting_and_no_broker_is_asked(
    certificates: Path, tmp_path: Path
) -> None:
    security = Security(
        Protocol.SASL_TLS, certificates / "ca.crt", username="hw-worker", password_file=tmp_path / "gone"
    )
    found = list(check_cluster(Cluster("192.0.2.1:9093", security), TopicSet(), None, 20, lambda: NOW))
    assert [(one.area, one.severity) for one in found] == [(Area.SECURITY, Severity.PROBLEM)]
    assert found[0].what.startswith("kafka_password_file: ")
    assert "docs/security-kafka.md" in (found[0].remedy or "")


def test_plaintext_is_warned_of_where_it_leaves_the_machine() -> None:
    (away,) = check_security(Cluster("127.0.0.1:9092,kafka-1:9092"), NOW)
    assert (away.severity, "in the clear to kafka-1:9092" in away.what) == (Severity.WARNING, True)
    (here,) = check_security(Cluster("127.0.0.1:9092,localhost:9092"), NOW)
    assert here.severity is Severity.OK


# --- on a real broker that asks who is there


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker with the topics, whose administrator granted the operator what the generated list says, and nobody else."""
    from tests.conftest import _started

    made = SecureKafka(tmp_path_factory.mktemp("secure"))
    _started(made.kafka)
    made.grant(TOPICS, Role.OPERATOR, f"User:{OPERATOR}")
    create_topics(made.cluster(ADMIN), TOPICS)
    yield made
    made.kafka.stop()


def found_on(cluster: Cluster, role: Role | None = None) -> list[Finding]:
    return list(check_cluster(cluster, TOPICS, role, 20, lambda: instant_of(now())))


def wrong(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.severity is Severity.PROBLEM]


@pytest.mark.kafka
def test_the_operator_finds_all_well_and_somebody_without_grants_the_commands_that_grant(secure: SecureKafka) -> None:
    found = found_on(secure.cluster(OPERATOR), Role.OPERATOR)
    assert wrong(found) == []
    assert {one.area for one in found if one.severity is Severity.OK} == {Area.BROKER, Area.TOPICS, Area.CLOCK}
    (refused,) = wrong(found_on(secure.cluster(NEWCOMER), Role.WORKER))
    assert refused.area is Area.PERMISSIONS
    assert "refuses User:newcomer, for want of an ACL: Read on topic city.hotline.ticket-events" in refused.what
    assert "kafka-acls" in (refused.remedy or "")
    assert "--group city.hw-worker" in (refused.remedy or "")


@pytest.mark.kafka
def test_whoever_is_not_let_in_is_told_why_and_what_to_do(secure: SecureKafka) -> None:
    wrong_password = secure.path("wrong.password")
    wrong_password.write_text("not it")
    wrong_password.chmod(0o600)
    cases = {
        "correct it, or have it set with `kafka-configs": secure.login(
            OPERATOR, KAFKA_PASSWORD_FILE=str(wrong_password)
        ),
        "have it renewed on the broker": secure.login(OPERATOR, BOOTSTRAP_SERVERS=secure.kafka.address_of(EXPIRED)),
        "have kafka_ca_file name the certificate": secure.login(
            OPERATOR, KAFKA_CA_FILE=str(secure.path("other-ca.crt"))
        ),
        "set kafka_cert_file": secure.certificate(None),
        "say kafka_security = tls or sasl_tls": {"BOOTSTRAP_SERVERS": secure.kafka.address_of("LOGIN")},
    }
    for remedy, told in cases.items():
        (found,) = wrong(found_on(cluster_of(told)))
        assert (found.area, remedy in (found.remedy or "")) == (Area.SECURITY, True), found


@pytest.mark.kafka
def test_the_command_takes_the_cluster_from_the_settings_and_shows_no_password(
    secure: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)
    told = secure.login(OPERATOR) | {"TOPIC_PREFIX": TOPICS.prefix, "PARTITIONS": str(TOPICS.partitions)}
    for name, value in environment(told).items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["doctor", "--role", "operator", "--json"])
    found = json.loads(result.stdout)
    assert (result.exit_code, found["problems"]) == (0, 0), result.stdout
    assert "and operator may do what it has to" in result.stdout
    assert secure.passwords[OPERATOR] not in result.stdout
