"""`doctor` between us and the brokers: certificates, logins and ACLs that are wrong are found, with their remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.doctor_cluster import check_cluster
from cli.doctor_findings import Area, Severity
from cli.doctor_security import check_security
from models.times import DAY, instant_of, parse_instant
from streams.broker_certificates import Authority
from streams.own_certificate import read_own
from streams.security import Cluster, Protocol, Security
from streams.topics import TopicSet
from tests.secure_support import now

NOW = parse_instant("2030-06-01T00:00:00+08:00")


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
