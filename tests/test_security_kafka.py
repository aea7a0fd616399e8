"""A Kafka with TLS, logins and ACLs in force: with the generated ACLs everything runs, without one of them it is said which."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import KafkaError, TopicAuthorizationFailedError
from typer.testing import CliRunner

from alerting.receiver import Receiver, serve
from cli.doctor_cluster import check_cluster
from cli.doctor_findings import Area, Finding, Severity
from cli.main import app
from docs.producers import http_producer
from models.times import instant_of
from streams import broker_jars
from streams.access import CannotGrantError, allow, require
from streams.admin import connect
from streams.cluster_errors import (
    AccessRefusedError,
    CertificateRefusedError,
    ClusterUnreachableError,
    LoginRefusedError,
    SecurityFilesError,
    WrongProtocolError,
)
from streams.drilling import Course, run_drill
from streams.importing.faults import ImportFault
from streams.importing.kafka_sink import KafkaTopic
from streams.kafka_client import KafkaConsumer, KafkaProducer, TopicPartition
from streams.lag import lag_of
from streams.quarantine_log import read_quarantine
from streams.redelivering import send_requests
from streams.roles import BOTH, Grant, Operation, Resource, Role, grants_of, user_of
from streams.security import Cluster
from streams.supervisor import free_port
from streams.ticking import send_events
from streams.topic_log import read_values
from streams.topics import TopicSet
from streams.topics_admin import check_topics, create_topics, require_topics
from tests.api_support import TOKENS
from tests.builders import KEYS, Story
from tests.kafka_support import ROOT, Worker, eventually
from tests.live_support import SECRET, subscribers_file
from tests.secure_support import (
    ADMIN,
    EXPIRED,
    LOGIN,
    NEWCOMER,
    SecureKafka,
    cluster_of,
    environment,
    now,
    secure_live,
)
from tests.test_sending_kafka import clients_file

pytestmark = pytest.mark.kafka

TOPICS = TopicSet(prefix="city.", partitions=2)
WORKER, DISPATCH, OPERATOR, SENDER = (user_of(r) for r in (Role.WORKER, Role.DISPATCH, Role.OPERATOR, Role.SENDER))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker whose administrator granted each role what the generated list says, and whose operator made the topics."""
    from tests.conftest import _started

    made = SecureKafka(tmp_path_factory.mktemp("secure"))
    _started(made.kafka)
    for role in Role:
        made.grant(TOPICS, role, f"User:{user_of(role)}")
    made.grant(TOPICS, Role.WORKER, f"User:CN={WORKER}")  # the same role, by certificate
    made.grant(TOPICS, Role.OPERATOR, f"User:CN={OPERATOR}")
    create_topics(made.cluster(OPERATOR), TOPICS)
    yield made
    made.kafka.stop()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)


def _story() -> list[dict[str, object]]:
    """Return a ticket that was returned again and again."""
    story = Story("T-1").complaint(0)
    for turn in range(4):
        story(turn + 0.1, "dispatched", unit=f"U-{turn}")
        story(turn + 0.5, "return_requested", unit=f"U-{turn}", reason="不属于本单位职责", reason_code="R3")
    return story.records


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


# --- what is allowed


def test_events_come_in_by_each_door_and_a_warning_goes_out_with_the_generated_acls_alone(
    secure: SecureKafka, tmp_path: Path
) -> None:
    receiver = Receiver([SECRET])
    (tmp_path / "pseudonym.secret").write_bytes(KEYS[0].secret)
    keys = orjson.dumps([{"id": "k1", "secret_file": str(tmp_path / "pseudonym.secret")}]).decode()
    entrances = {
        "worker-1": secure.login(WORKER),
        "worker-2": secure.certificate(WORKER),
        "dispatch": secure.login(DISPATCH, "SCRAM-SHA-256"),
        "api": secure.login(user_of(Role.API)),
    }
    with serve(receiver) as url:
        settings = {"SUBSCRIBERS_FILE": str(subscribers_file(tmp_path, url)), "PSEUDONYM_KEYS": keys}
        settings |= {"API_CLIENTS_FILE": str(clients_file(tmp_path)), "API_PORT": str(free_port())}
        with secure_live(secure, tmp_path, TOPICS, entrances, **settings) as service:
            service.start(*entrances)
            service.wait_until_ready()
            _sent_by_three_doors(secure, f"http://127.0.0.1:{settings['API_PORT']}", tmp_path)
            service.idle()
            eventually(lambda: receiver.accepted, 60, "a warning at the receiver")
            assert {one.alert["alert_id"] for one in receiver.accepted} <= {one.alert_id for one in service.issued()}
            operator = secure.cluster(OPERATOR)
            assert lag_of(operator, TOPICS.worker_app_id, (TOPICS.ticket_events, TOPICS.tickets)) == 0
            assert len(list(read_values(operator, TOPICS.alerts))) >= len(receiver.accepted)
            assert send_requests(operator, TOPICS, ()) == 0
            drilled = run_drill(Course(operator, TOPICS, dispatched=False), "acl", lambda: time.time_ns() // 1000)
            assert drilled.passed, drilled.said
            assert read_quarantine(operator, TOPICS).entries == ()
            eventually(
                lambda: service.get("api", "/healthz").json()["ledger_lag_records"] == 0, 20, "the ledger's feed"
            )
            assert service.get("api", "/healthz").status_code == 200
            assert {name: process.stop() for name, process in service.running.items()} == dict.fromkeys(entrances, 0)
            logs = service.logs()
    assert not [password for password in secure.passwords.values() if password in logs]


def _sent_by_three_doors(secure: SecureKafka, api: str, folder: Path) -> None:
    """Send a story's events in turn by HTTP, by the producer that senders copy, and by the import's own."""
    records = _story()
    door = http_producer.Door(api, TOKENS["sender"], try_seconds=30)
    door.send([orjson.dumps(record) for record in records[0::3]])
    door._connection.close()
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records[1::3]))
    sender = {
        "KAFKA": secure.kafka.address_of(LOGIN),
        "TOPIC": TOPICS.ticket_events,
        "KAFKA_CA": str(secure.path("ca.crt")),
        "KAFKA_USER": SENDER,
        "KAFKA_PASSWORD_FILE": str(secure.path(f"{SENDER}.password")),
    }
    log = folder / "producer.log"
    with Worker([str(ROOT / "docs" / "producers" / "producer.py"), str(path)], log, env=sender) as process:
        assert process.wait(60) == 0, log.read_text()
    sink = KafkaTopic(cluster_of(secure.login(SENDER, "PLAIN")), TOPICS.ticket_events)
    for record in records[2::3]:
        sink.send(str(record["ticket_id"]), orjson.dumps(record))
    sink.close()


@pytest.mark.parametrize("role", Role)
def test_the_broker_allows_each_role_what_is_listed_and_refuses_the_rest(secure: SecureKafka, role: Role) -> None:
    with connect(secure.cluster(user_of(role))) as admin:
        require(admin, secure.cluster(user_of(role)), grants_of(TOPICS, role))
        told = {one["name"]: one for one in admin.describe_topics([spec.name for spec in TOPICS.all()])}
    for spec in TOPICS.all():
        allowed = set(told[spec.name]["authorized_operations"] or ())
        listed = {grant.operation.name for grant in grants_of(TOPICS, role) if grant.name == spec.name}
        implied = {"DESCRIBE"} if listed & {operation.name for operation in BOTH} else set()
        assert allowed == listed | implied, spec.name


def test_the_operator_checks_the_topics_and_reads_by_certificate(secure: SecureKafka) -> None:
    assert check_topics(cluster_of(secure.certificate(OPERATOR)), TOPICS) == []
    assert list(read_values(cluster_of(secure.certificate(OPERATOR)), TOPICS.sealed)) == []


# --- what is not allowed


def test_what_is_not_listed_is_refused_by_the_broker_itself(secure: SecureKafka) -> None:
    """Not by our own look beforehand: the libraries' clients are asked directly."""
    forging = KafkaProducer(bootstrap_servers=secure.cluster(SENDER), max_block_ms=5_000)
    with pytest.raises(KafkaError):
        forging.send(TOPICS.alerts, b"{}").get(timeout=10)
    forging.close()
    forging = KafkaProducer(bootstrap_servers=secure.cluster(WORKER), max_block_ms=5_000)
    with pytest.raises(TopicAuthorizationFailedError):  # which it may read, and so knows
        forging.send(TOPICS.ticket_events, b"{}").get(timeout=10)
    forging.close()
    api = secure.cluster(user_of(Role.API))  # which may send there
    prying = KafkaConsumer(bootstrap_servers=api, group_id=None, auto_offset_reset="earliest")
    assert not prying.partitions_for_topic(TOPICS.tickets_changelog)
    prying.assign([TopicPartition(TOPICS.ticket_events, 0)])
    with pytest.raises(TopicAuthorizationFailedError):
        eventually(lambda: prying.poll(timeout_ms=200), 10)
    prying.close()


def test_whoever_has_no_grant_is_told_all_that_is_missing(secure: SecureKafka) -> None:
    for role in Role:
        with (
            pytest.raises(AccessRefusedError) as error,
            connect(secure.cluster(NEWCOMER), needs=grants_of(TOPICS, role)),
        ):
            pass
        assert set(error.value.missing) == set(grants_of(TOPICS, role))
        assert "refuses User:newcomer" in str(error.value)


def test_a_command_names_the_acl_that_it_lacks(secure: SecureKafka) -> None:
    newcomer = secure.cluster(NEWCOMER)
    for ask, operation, topic in (
        (lambda: list(read_values(newcomer, TOPICS.deliveries)), Operation.READ, TOPICS.deliveries),
        (lambda: send_requests(newcomer, TOPICS, ()), Operation.WRITE, TOPICS.redeliveries),
        (lambda: send_events(newcomer, TOPICS, ()), Operation.WRITE, TOPICS.ticket_events),
        (lambda: create_topics(newcomer, TopicSet(prefix="new.")), Operation.CREATE, "new.hw.alerts"),
        (lambda: lag_of(newcomer, TOPICS.worker_app_id, ()), Operation.DESCRIBE, TOPICS.worker_app_id),
    ):
        with pytest.raises(AccessRefusedError) as error:
            ask()
        assert (topic, operation) in {(grant.name, grant.operation) for grant in error.value.missing}
    with pytest.raises(ImportFault, match=r"Write on topic city\.hotline\.ticket-events"):
        KafkaTopic(newcomer, TOPICS.ticket_events)


@pytest.mark.parametrize(
    ("role", "lacking"),
    [
        (Role.WORKER, Grant(Resource.TOPIC, TOPICS.alerts, Operation.WRITE)),
        (Role.DISPATCH, Grant(Resource.GROUP, TOPICS.dispatch_app_id, Operation.READ)),
    ],
)
def test_a_process_without_one_acl_does_not_start_and_says_which(
    secure: SecureKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role, lacking: Grant
) -> None:
    """Nothing is half done: it has not joined its group, nor written anything."""
    with connect(secure.cluster(ADMIN)) as admin:
        allow(admin, f"User:{NEWCOMER}", (grant for grant in grants_of(TOPICS, role) if grant != lacking))
    try:
        with pytest.raises(AccessRefusedError) as error:
            require_topics(secure.cluster(NEWCOMER), TOPICS, role=role)
        # Where even Describe is missing the broker tells nothing of the topic: what else is needed there is named too.
        assert lacking in error.value.missing
        assert {grant.name for grant in error.value.missing} == {lacking.name}
        status, said = _run(role, secure.login(NEWCOMER), tmp_path, monkeypatch)
        assert status == 2
        assert f"refuses User:newcomer, for want of an ACL: {lacking.operation} on {lacking.resource}" in said
        assert f"--allow-principal User:newcomer --operation {lacking.operation}" in said
        assert f"--{lacking.resource} {lacking.name}" in said
    finally:
        _withdraw(secure, f"User:{NEWCOMER}")


def _run(role: Role, entrance: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int | None, str]:
    """Run a process that does not start; return its exit status and what it said. A worker's is run here, which is cheaper."""
    settings = {"TOPIC_PREFIX": TOPICS.prefix, "PARTITIONS": str(TOPICS.partitions), "DATA_DIR": str(folder / "data")}
    if role is Role.DISPATCH:
        settings["SUBSCRIBERS_FILE"] = str(subscribers_file(folder, "http://127.0.0.1:9/"))
        with Worker(["-m", "cli.main", role], folder / "log", env=environment(settings | entrance)) as process:
            status = process.wait(60)
        return status, _in_one_line(process.log())
    for name, value in environment(settings | entrance).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("streams.logs.set_up_logs", lambda *_: None)
    result = CliRunner().invoke(app, [role])
    return result.exit_code, _in_one_line(result.output)


def _withdraw(secure: SecureKafka, principal: str) -> None:
    with connect(secure.cluster(ADMIN)) as admin:
        for kind in (ResourceType.TOPIC, ResourceType.GROUP):
            for name in {grant.name for role in Role for grant in grants_of(TOPICS, role)}:
                everything = ACLFilter(
                    principal, "*", ACLOperation.ANY, ACLPermissionType.ANY, ResourcePattern(kind, name)
                )
                admin.delete_acls([everything])


def test_only_a_super_user_grants(secure: SecureKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(secure.cluster(OPERATOR)) as admin, pytest.raises(CannotGrantError, match="only a super user"):
        allow(admin, "User:newcomer", grants_of(TOPICS, Role.SENDER))
    arguments = ["topics", "acls", "--apply", "--role", "sender", "--principal", "sender=User:newcomer"]
    for user, status in ((OPERATOR, 2), (ADMIN, 0)):
        for name, value in environment(secure.login(user) | {"TOPIC_PREFIX": TOPICS.prefix}).items():
            monkeypatch.setenv(name, value)
        assert CliRunner().invoke(app, arguments).exit_code == status
    KafkaTopic(secure.cluster(NEWCOMER), TOPICS.ticket_events).close()
    _withdraw(secure, "User:newcomer")


def test_a_user_is_made_as_the_page_says_with_kafkas_own_command(secure: SecureKafka, tmp_path: Path) -> None:
    """What the page writes for hw-worker is done for somebody who is not known yet, in another folder."""
    page = (ROOT / "docs" / "security-kafka.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(umask 077\nopenssl .*?)```", page, re.DOTALL)
    for said, meant in (
        ("kafka-1.hotline.example:9093", secure.kafka.address_of(LOGIN)),
        ("/etc/hotline-watch/", f"{tmp_path}/"),
        ("hw-worker", "late"),
    ):
        assert said in block
        block = block.replace(said, meant)
    (tmp_path / "admin.properties").write_text(
        f"security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={secure.path('ca.crt')}\n"
        "sasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{ADMIN}" password="{secure.passwords[ADMIN].encode("unicode_escape").decode()}";\n'
    )
    class_path = os.pathsep.join(map(str, broker_jars.class_path()))
    command = f'{broker_jars.java()} -XX:TieredStopAtLevel=1 -cp "{class_path}" kafka.admin.ConfigCommand "$@"'
    (tmp_path / "kafka-configs").write_text(f"#!/bin/sh\nexec {command}\n")
    (tmp_path / "kafka-configs").chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", "-ec", block], cwd=tmp_path, env=os.environ | path, check=True, capture_output=True)
    assert not (tmp_path / "worker.scram").exists()
    password_file = str(tmp_path / "kafka-worker.password")
    with connect(cluster_of(secure.login("late", KAFKA_PASSWORD_FILE=password_file))):
        pass


# --- who is not let in


Outsiders = dict[str, tuple[dict[str, str], type[ClusterUnreachableError], str]]
"""settings that do not get in, with the error and what it says"""


def _outsiders(secure: SecureKafka) -> Outsiders:
    return _by_login(secure) | _by_certificate(secure) | _by_protocol(secure)


def _by_login(secure: SecureKafka) -> Outsiders:
    wrong = secure.path("wrong.password")
    wrong.write_text("not it")
    wrong.chmod(0o600)
    return {
        "a wrong password": (
            secure.login(OPERATOR, KAFKA_PASSWORD_FILE=str(wrong)),
            LoginRefusedError,
            "refuses the login of hw-operator with SCRAM-SHA-512: the user is not known there, or the password "
            f"({wrong}) is another: correct it, or have it set with `kafka-configs",
        ),
        "a wrong password, PLAIN": (
            secure.login(OPERATOR, "PLAIN", KAFKA_PASSWORD_FILE=str(wrong)),
            LoginRefusedError,
            "refuses the login of hw-operator with PLAIN",
        ),
        "an unknown user": (
            secure.login("nobody", KAFKA_PASSWORD_FILE=str(wrong)),
            LoginRefusedError,
            "--entity-name nobody --add-config 'SCRAM-SHA-512=[password=…]'",
        ),
        "a password file that others may write": (
            secure.login(OPERATOR, KAFKA_PASSWORD_FILE=str(_writable(secure))),
            SecurityFilesError,
            "others may write",
        ),
    }


def _by_certificate(secure: SecureKafka) -> Outsiders:
    return {
        "an expired certificate": (
            secure.login(OPERATOR, BOOTSTRAP_SERVERS=secure.kafka.address_of(EXPIRED)),
            CertificateRefusedError,
            "has expired: have it renewed on the broker",
        ),
        "a wrong CA": (
            secure.login(OPERATOR, KAFKA_CA_FILE=str(secure.path("other-ca.crt"))),
            CertificateRefusedError,
            "is not signed by an authority in",
        ),
        "no client certificate": (
            secure.certificate(None),
            CertificateRefusedError,
            "asks for a certificate of ours, and there is none",
        ),
        "a stranger's client certificate": (
            secure.certificate("stranger"),
            CertificateRefusedError,
            "must be signed by an authority in the broker's truststore",
        ),
        "an expired client certificate": (
            secure.certificate("late"),
            CertificateRefusedError,
            "late.crt expired on",
        ),
    }


def _by_protocol(secure: SecureKafka) -> Outsiders:
    tls = {"KAFKA_SECURITY": "tls"}
    return {
        "plaintext to a TLS listener": (
            {"BOOTSTRAP_SERVERS": secure.kafka.address_of(LOGIN)},
            WrongProtocolError,
            "speaks TLS: say kafka_security = tls or sasl_tls",
        ),
        "no login where one is asked for": (
            secure.login(OPERATOR) | tls | {"KAFKA_USERNAME": ""},
            WrongProtocolError,
            "there was no login: kafka_security = sasl_tls may be wanted",
        ),
        "a login where none is asked for": (
            secure.login(OPERATOR) | secure.certificate(OPERATOR, KAFKA_SECURITY="sasl_tls"),
            WrongProtocolError,
            "takes no logins on this port",
        ),
        "TLS to a plaintext listener": (
            secure.login(OPERATOR, BOOTSTRAP_SERVERS=secure.kafka.bootstrap_servers),
            WrongProtocolError,
            "is it a TLS listener?",
        ),
    }


def _writable(secure: SecureKafka) -> Path:
    path = secure.path("open.password")
    path.write_text(secure.passwords[OPERATOR])
    path.chmod(0o666)
    return path


OUTSIDERS = (
    "a wrong password",
    "a wrong password, PLAIN",
    "an unknown user",
    "an expired certificate",
    "a wrong CA",
    "no client certificate",
    "a stranger's client certificate",
    "an expired client certificate",
    "plaintext to a TLS listener",
    "no login where one is asked for",
    "a login where none is asked for",
    "TLS to a plaintext listener",
    "a password file that others may write",
)


BROKEN_OFF = ("there was no login: kafka_security = sasl_tls may be wanted", "is it a TLS listener?")


@pytest.mark.parametrize("name", OUTSIDERS)
def test_whoever_is_not_let_in_ends_with_2_and_is_told_the_remedy(
    secure: SecureKafka, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    told, kind, said = _outsiders(secure)[name]
    told = {key: value for key, value in told.items() if value}
    # Where a broker just breaks off, another try is made until time is up; all else is said at once.
    timeout_seconds = 2 if said in BROKEN_OFF else 60
    began = time.monotonic()
    with pytest.raises(kind) as error, connect(cluster_of(told), timeout_seconds=timeout_seconds):
        pass
    assert said in BROKEN_OFF or time.monotonic() - began < 30
    assert said in str(error.value)
    assert not _passwords_in(secure, str(error.value))
    if said in BROKEN_OFF:
        return  # the command would wait as long again, to say the same
    for key, value in environment(told | {"TOPIC_PREFIX": TOPICS.prefix}).items():
        monkeypatch.setenv(key, value)
    result = CliRunner().invoke(app, ["topics", "check", "--timeout-seconds", str(timeout_seconds)])
    assert result.exit_code == 2
    assert said in _in_one_line(result.stderr)
    assert not _passwords_in(secure, result.output)


def _passwords_in(secure: SecureKafka, text: str) -> list[str]:
    return [one for one in (*secure.passwords.values(), "not it") if one in text]


@pytest.mark.parametrize("role", [Role.WORKER, Role.DISPATCH])
def test_a_process_with_a_wrong_password_ends_with_2_and_never_shows_it(
    secure: SecureKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    role: Role,
) -> None:
    caplog.set_level("DEBUG")
    path = tmp_path / "password"
    path.write_text("an-old-password")
    path.chmod(0o600)
    entrance = secure.login(user_of(role), KAFKA_PASSWORD_FILE=str(path), LOG_LEVEL="debug")
    status, said = _run(role, entrance, tmp_path, monkeypatch)
    assert status == 2
    assert f"refuses the login of {user_of(role)}" in said
    assert "an-old-password" not in said + caplog.text


# --- what `doctor` finds of all this


def found_on(cluster: Cluster, role: Role | None = None) -> list[Finding]:
    return list(check_cluster(cluster, TOPICS, role, 20, lambda: instant_of(now())))


def wrong(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.severity is Severity.PROBLEM]


def test_the_operator_finds_all_well_and_somebody_without_grants_the_commands_that_grant(secure: SecureKafka) -> None:
    found = found_on(secure.cluster(OPERATOR), Role.OPERATOR)
    assert wrong(found) == []
    assert {one.area for one in found if one.severity is Severity.OK} == {Area.BROKER, Area.TOPICS, Area.CLOCK}
    (refused,) = wrong(found_on(secure.cluster(NEWCOMER), Role.WORKER))
    assert refused.area is Area.PERMISSIONS
    assert "refuses User:newcomer, for want of an ACL: Read on topic city.hotline.ticket-events" in refused.what
    assert "kafka-acls" in (refused.remedy or "")
    assert "--group city.hw-worker" in (refused.remedy or "")


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


def test_the_command_takes_the_cluster_from_the_settings_and_shows_no_password(
    secure: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = secure.login(OPERATOR) | {"TOPIC_PREFIX": TOPICS.prefix, "PARTITIONS": str(TOPICS.partitions)}
    for name, value in environment(told).items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["doctor", "--role", "operator", "--json"])
    found = json.loads(result.stdout)
    assert (result.exit_code, found["problems"]) == (0, 0), result.stdout
    assert "and operator may do what it has to" in result.stdout
    assert secure.passwords[OPERATOR] not in result.stdout


# --- the broker


def test_the_broker_keeps_no_password_on_its_command_line_nor_open_to_others(secure: SecureKafka) -> None:
    (pid,) = secure.kafka.pids
    command = Path(f"/proc/{pid}/cmdline").read_text()
    assert not [password for password in secure.passwords.values() if password in command]
    properties = next(secure.path("kafka").glob("broker-*/server.properties"))
    assert properties.stat().st_mode & 0o077 == 0
