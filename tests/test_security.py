"""How Kafka is talked to, without a Kafka: settings, files, the roles' ACLs, what is said of a broker that keeps us out."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.doctor_findings import Severity
from cli.doctor_security import check_security
from cli.main import app
from docs.acl_table import BEGIN, DOCUMENT, END, rendered
from streams.admin import await_listener, connect
from streams.broker_certificates import Authority, Credentials
from streams.broker_layout import _escaped
from streams.cluster_errors import (
    AccessRefusedError,
    CertificateRefusedError,
    ClusterUnreachableError,
    SecurityFilesError,
    WrongProtocolError,
)
from streams.faust_app import _credentials
from streams.kafka_client import KafkaAdminClient, KafkaConsumer, KafkaProducer
from streams.kafka_settings import KafkaSettings
from streams.roles import BOTH, Grant, Operation, Resource, Role, commands_for, grants_of, uses
from streams.security import Cluster, Mechanism, Protocol, Security, client_arguments, security_of
from streams.settings import SettingsError, load_settings
from streams.topics import TopicSet
from tests.secure_support import HOSTS, now

ROOT = Path(__file__).parent.parent
PASSWORD = "never to be seen 口令"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HOTLINE_WATCH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def _login(password_file: Path, **changed: object) -> Security:
    told = {"protocol": Protocol.SASL_TLS, "username": "hw-worker", "password_file": password_file}
    return Security(**(told | changed))  # type: ignore[arg-type]


# --- settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KAFKA_USERNAME": "hw-worker"}, "kafka_username is set, but kafka_security is not"),
        ({"KAFKA_CA_FILE": "ca.crt"}, "kafka_ca_file is set, but kafka_security is not"),
        ({"KAFKA_SECURITY": "sasl_tls"}, "needs kafka_username and exactly one of kafka_password_file"),
        ({"KAFKA_SECURITY": "sasl_tls", "KAFKA_USERNAME": "u"}, "exactly one of kafka_password_file"),
        (
            {
                "KAFKA_SECURITY": "sasl_tls",
                "KAFKA_USERNAME": "u",
                "KAFKA_PASSWORD_FILE": "f",
                "KAFKA_PASSWORD_ENV": "HOTLINE_WATCH_SECRET_K",
            },
            "exactly one of kafka_password_file",
        ),
        ({"KAFKA_SECURITY": "tls", "KAFKA_CERT_FILE": "c.crt"}, "kafka_cert_file and kafka_key_file go together"),
        ({"KAFKA_SECURITY": "tls", "KAFKA_USERNAME": "u"}, "kafka_security = tls has no login: say sasl_tls"),
        ({"KAFKA_SECURITY": "ssl"}, "setting kafka_security"),
        ({"KAFKA_SECURITY": "sasl_tls", "KAFKA_SASL_MECHANISM": "GSSAPI"}, "setting kafka_sasl_mechanism"),
        ({"KAFKA_SECURITY": "sasl_tls", "KAFKA_USERNAME": "a,b"}, "setting kafka_username"),
        (
            {
                "BOOTSTRAP_SERVERS": "127.0.0.1:9092,kafka.example:9092",
                "KAFKA_SECURITY": "sasl_plaintext",
                "KAFKA_USERNAME": "u",
                "KAFKA_PASSWORD_FILE": "f",
            },
            "sasl_plaintext is for 127.0.0.1 alone",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"HOTLINE_WATCH_{name}", value)
    with pytest.raises(SettingsError, match=said):
        load_settings()
    result = CliRunner().invoke(app, ["topics", "check"])
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", "")


def test_the_address_in_the_settings_carries_how_it_is_talked_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        'bootstrap_servers = "a.example:9093,b.example:9093"\nkafka_security = "sasl_tls"\nkafka_username = "hw-api"\n'
        'kafka_password_env = "HOTLINE_WATCH_SECRET_KAFKA"\nkafka_sasl_mechanism = "SCRAM-SHA-256"\n'
    )
    monkeypatch.setenv("HOTLINE_WATCH_SECRET_KAFKA", PASSWORD)
    settings = load_settings(config)
    assert settings.bootstrap_servers == "a.example:9093,b.example:9093"
    for cluster in (settings.bootstrap_servers, settings.cluster_at("c.example:1")):
        security = security_of(cluster)
        assert (security.protocol, security.mechanism) == (Protocol.SASL_TLS, Mechanism.SCRAM_SHA_256)
        assert security.principal() == "User:hw-api"
    assert settings.cluster_at("c.example:1") == "c.example:1"
    assert PASSWORD not in repr(settings) + settings.model_dump_json() + repr(security)


def test_plaintext_that_is_said_leaves_the_rest_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_WATCH_KAFKA_SECURITY", "plaintext")
    monkeypatch.setenv("HOTLINE_WATCH_KAFKA_USERNAME", "hw-worker")
    assert client_arguments(load_settings().bootstrap_servers) == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("address", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092", "127.8.8.8:1,localhost:2"])
def test_a_login_in_the_clear_stays_on_this_machine(address: str, password_file: Path) -> None:
    security = _login(password_file, protocol=Protocol.SASL_PLAINTEXT)
    assert client_arguments(Cluster(address, security))["security_protocol"] == "SASL_PLAINTEXT"
    for elsewhere in (
        "10.0.0.1:9092",
        "kafka:9092",
        "0.0.0.0:9092",
        "localhost.example:1",
        f"{address},10.0.0.1:1",
        "",
    ):
        with pytest.raises(ValueError, match=r"127\.0\.0\.1 alone"):
            Cluster(elsewhere, security)


# --- clients


@pytest.mark.parametrize("mechanism", Mechanism)
def test_every_library_is_given_the_same_login(mechanism: Mechanism, password_file: Path) -> None:
    cluster = Cluster("kafka.example:9093", _login(password_file, mechanism=mechanism))
    arguments = client_arguments(cluster)
    context = arguments.pop("ssl_context")
    assert arguments == {
        "bootstrap_servers": ["kafka.example:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism.value,
        "sasl_plain_username": "hw-worker",
        "sasl_plain_password": PASSWORD,
    }
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    faust = _credentials(cluster.security)
    assert (faust.mechanism.value, faust.username, faust.password) == (mechanism.value, "hw-worker", PASSWORD)
    assert faust.ssl_context.check_hostname
    assert PASSWORD not in repr(faust)


def test_a_list_of_addresses_is_refused_for_it_has_left_its_security_behind() -> None:
    with pytest.raises(TypeError, match="as the settings have it"):
        KafkaConsumer(bootstrap_servers=["127.0.0.1:9"])  # type: ignore[arg-type]


CLIENTS = {
    "KafkaConsumer",
    "KafkaProducer",
    "KafkaAdminClient",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "AIOKafkaClient",
}
SECURED = {"client_arguments", "credentials_to_aiokafka_auth"}
PACKAGES = ("models", "rules", "alerting", "streams", "console", "cli")


@pytest.mark.parametrize("path", sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")), ids=str)
def test_no_client_is_made_without_its_security(path: Path) -> None:
    """kafka-python's come from kafka_client.py; aiokafka's are given `client_arguments`; no address is taken apart on the way."""
    if path.name == "kafka_client.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kafka":
            taken = {alias.name for alias in node.names} & CLIENTS
            assert not taken, f"{where}: take {taken} from streams.kafka_client"
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CLIENTS and name.startswith("AIO"):
            given = {ast.unparse(word.value).split("(")[0] for word in node.keywords if word.arg is None}
            assert given & SECURED, f"{where}: give it **client_arguments(…)"
        for word in node.keywords:
            if word.arg == "bootstrap_servers":
                assert ".split(" not in ast.unparse(word.value), f"{where}: give the cluster whole"


@pytest.mark.parametrize("path", sorted((ROOT / "cli").rglob("*.py")), ids=lambda path: path.name)
def test_an_address_from_the_command_line_gets_the_security_of_the_settings(path: Path) -> None:
    """An option `bootstrap_servers` goes on together with the settings file, to `cluster_of` in the end, and nowhere else."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef) or path.name == "configured.py":
            continue
        if "bootstrap_servers" not in {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}:
            continue
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        safe = {id(one) for call in calls for one in call.args if "config" in map(ast.unparse, call.args)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == "bootstrap_servers":
                assert id(node) in safe, f"{path.name}:{node.lineno}: cluster_of(config, …) knows its security"


# --- files


def _issue(folder: Path) -> tuple[Path, Path]:
    return Authority("ca", now()).issue("client").write(folder, "client")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_secret_that_others_may_write_is_refused(mode: int, password_file: Path, tmp_path: Path) -> None:
    certificate, key = _issue(tmp_path)
    password_file.chmod(mode)
    key.chmod(mode)
    with pytest.raises(SecurityFilesError, match=r"kafka_password_file: others may write .*: chmod go-w") as error:
        _login(password_file).client_arguments()
    assert PASSWORD not in str(error.value)
    with pytest.raises(SecurityFilesError, match="kafka_key_file: others may write"):
        Security(Protocol.TLS, cert_file=certificate, key_file=key).client_arguments()


def test_an_authority_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_text(Authority("ca", now()).certificate)
    path.chmod(0o664)
    Security(Protocol.TLS, ca_file=path).client_arguments()
    path.chmod(0o666)
    with pytest.raises(SecurityFilesError, match="kafka_ca_file: others may write"):
        Security(Protocol.TLS, ca_file=path).client_arguments()


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"a\x00b"])
def test_a_password_is_one_line_of_text(content: bytes, password_file: Path) -> None:
    password_file.write_bytes(content)
    with pytest.raises(SecurityFilesError, match="kafka_password_file") as error:
        _login(password_file).client_arguments()
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_password_in_the_environment_is_named_and_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    security = Security(Protocol.SASL_TLS, username="u", password_env="HOTLINE_WATCH_SECRET_K")
    with pytest.raises(SecurityFilesError, match="environment variable HOTLINE_WATCH_SECRET_K must hold the password"):
        security.client_arguments()
    for password in (PASSWORD, "another"):
        monkeypatch.setenv("HOTLINE_WATCH_SECRET_K", password)
        assert security.client_arguments()["sasl_plain_password"] == password


def test_files_that_cannot_be_used_are_named_with_their_setting(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    certificate, key = _issue(tmp_path)
    _, other = Authority("ca", now()).issue("other").write(tmp_path, "other")
    for security, said in (
        (Security(Protocol.TLS, ca_file=tmp_path / "none"), "kafka_ca_file: .*none cannot be read: No such file"),
        (Security(Protocol.TLS, ca_file=tmp_path / "empty"), "kafka_ca_file: .*empty has no certificate in PEM"),
        (Security(Protocol.TLS, cert_file=certificate, key_file=other), "is not the key of"),
        (Security(Protocol.TLS, cert_file=certificate, key_file=certificate), "are not a certificate and its key"),
        (Security(Protocol.TLS, cert_file=tmp_path / "none", key_file=key), "kafka_cert_file: .*none cannot be read"),
    ):
        with pytest.raises(SecurityFilesError, match=said):
            security.client_arguments()


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate, key = _issue(tmp_path)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    with pytest.raises(SecurityFilesError, match="the key not encrypted"):
        Security(Protocol.TLS, cert_file=certificate, key_file=key).client_arguments()


def test_a_client_certificate_names_the_principal(tmp_path: Path) -> None:
    certificate, key = _issue(tmp_path)
    assert Security(Protocol.TLS, cert_file=certificate, key_file=key).principal() == "User:CN=client"
    assert Security(Protocol.TLS).principal() == "User:ANONYMOUS"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\\")))
def test_properties_are_read_by_java_as_they_were_meant(value: str) -> None:
    written = _escaped(value)
    assert written.isascii()
    units = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), written)
    assert units.encode("utf-16-be", "surrogatepass").decode("utf-16-be") == value


# --- what keeps us out: brokers that are played by a socket

Play = Callable[[socket.socket], None]


@contextmanager
def _played(play: Play) -> Iterator[str]:
    """Yield the address of a listener that plays a broker, one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        play(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _tls(credentials: Credentials, folder: Path) -> Play:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*credentials.write(folder, "broker"))

    def play(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    return play


@pytest.mark.parametrize(
    ("trusted", "hosts", "expired", "said"),
    [
        (True, HOSTS, True, "has expired: have it renewed on the broker"),
        (False, HOSTS, False, "is not signed by an authority in .*ca.crt: have kafka_ca_file name"),
        (True, ("kafka.example",), False, "is for another host: write bootstrap_servers with a name that stands in it"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_refused_at_once_and_the_remedy_said(
    trusted: bool, hosts: tuple[str, ...], expired: bool, said: str, tmp_path: Path
) -> None:
    authority = Authority("ca", now())
    believed = authority if trusted else Authority("another", now())
    (tmp_path / "ca.crt").write_text(believed.certificate)
    security = Security(Protocol.TLS, ca_file=tmp_path / "ca.crt")
    with (
        _played(_tls(authority.issue("broker", *hosts, expired=expired), tmp_path)) as address,
        pytest.raises(CertificateRefusedError, match=said),
    ):
        await_listener(Cluster(address, security), timeout_seconds=30)


def test_a_port_that_speaks_another_protocol_is_said_to(tmp_path: Path) -> None:
    tls = Security(Protocol.TLS)

    def answering(text: bytes) -> Play:
        def play(connection: socket.socket) -> None:
            connection.recv(1)
            connection.sendall(text)

        return play

    def silent(connection: socket.socket) -> None:
        connection.recv(65_536)

    for play, security, said in (
        (answering(b"\x15\x03\x03\x00\x02\x02P"), Security(), "speaks TLS: say kafka_security = tls or sasl_tls"),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Security(), "is no Kafka broker"),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), tls, "does not speak TLS"),
        (silent, Security(), "is it a Kafka listener"),
        (silent, tls, "is it a TLS listener"),
    ):
        with _played(play) as address, pytest.raises(WrongProtocolError, match=said):
            await_listener(Cluster(address, security), timeout_seconds=0.3)


def _spoilt(password_file: Path) -> Iterator[tuple[str, str]]:
    """Spoil a password file in one way after the other; yield which, and what is said of it."""
    password_file.chmod(0o666)
    yield "of wrong mode", "others may write .*: chmod go-w"
    password_file.chmod(0o600)
    password_file.write_bytes(b"")
    yield "empty", "must hold the password, in one line"
    password_file.unlink()
    yield "missing", "cannot be read: No such file"
    password_file.mkdir()
    yield "a folder", "cannot be read: Is a directory"


def test_a_password_file_that_cannot_be_used_is_told_whatever_the_broker_would_say_first(
    password_file: Path, tmp_path: Path
) -> None:
    """By every client, by the look beforehand, and by Faust's app; and no broker is asked."""
    (tmp_path / "ca.crt").write_text(Authority("ca", now()).certificate)
    asked: list[None] = []

    def breaking_off(connection: socket.socket) -> None:
        asked.append(None)
        connection.recv(65_536)

    with _played(breaking_off) as address:
        cluster = Cluster(address, _login(password_file, ca_file=tmp_path / "ca.crt"))
        for how, said in _spoilt(password_file):
            for ask in (
                lambda: await_listener(cluster, timeout_seconds=2),
                lambda: connect(cluster, timeout_seconds=2).__enter__(),
                lambda: KafkaConsumer(bootstrap_servers=cluster),
                lambda: KafkaProducer(bootstrap_servers=cluster),
                lambda: KafkaAdminClient(bootstrap_servers=cluster),
                lambda: _credentials(cluster.security),
            ):
                with pytest.raises(SecurityFilesError, match=f"kafka_password_file: .*{said}"):
                    ask()
            (found,) = check_security(cluster, 0)
            assert (found.severity, "kafka_password_file" in found.what) == (Severity.PROBLEM, True), how
    assert asked == []


def test_where_nobody_listens_that_is_said_and_not_more() -> None:
    for address in ("127.0.0.1:1", "127.0.0.1:x", "127.0.0.1:99999"):
        with (
            pytest.raises(ClusterUnreachableError, match="no Kafka broker answers at") as error,
            connect(address, timeout_seconds=0.2),
        ):
            pass
        assert type(error.value) is ClusterUnreachableError


# --- roles


def test_every_declared_topic_says_who_uses_it() -> None:
    topics = TopicSet(prefix="city.")
    assert list(uses(topics)) == [spec.name for spec in topics.all()]


def test_nobody_is_granted_more_than_the_declaration_says() -> None:
    topics = TopicSet(prefix="city.")
    names = {spec.name for spec in topics.all()}
    for role in Role:
        grants = grants_of(topics, role)
        assert len(set(grants)) == len(grants)
        assert {grant.name for grant in grants if grant.resource is Resource.TOPIC} <= names
        assert all(grant.name.startswith("city.") for grant in grants)
        for name in names:
            may = {grant.operation for grant in grants if grant.name == name} & BOTH
            assert may == uses(topics)[name].get(role, frozenset())
    by_operation = {
        operation: {
            role
            for role in Role
            for grant in grants_of(topics, role)
            if "changelog" in grant.name and grant.operation is operation
        }
        for operation in BOTH
    }
    assert by_operation[Operation.WRITE] == {Role.WORKER, Role.DISPATCH}
    # Who has a citizen forgotten proves it there.
    assert by_operation[Operation.READ] == {Role.WORKER, Role.DISPATCH, Role.OPERATOR}


def test_whoever_sends_may_send_and_nothing_else() -> None:
    topics = TopicSet()
    assert grants_of(topics, Role.SENDER) == (Grant(Resource.TOPIC, topics.ticket_events, Operation.WRITE),)


def test_what_identifies_citizens_is_read_by_the_worker_and_for_replay_alone() -> None:
    topics = TopicSet()
    personal = {spec.name for spec in topics.all() if spec.personal}
    readers = {
        role
        for role in Role
        for grant in grants_of(topics, role)
        if grant.name in personal and grant.operation is Operation.READ
    }
    assert readers == {Role.WORKER, Role.OPERATOR}


def test_a_refusal_names_principal_operation_topic_and_the_command() -> None:
    grant = Grant(Resource.TOPIC, "hw.alerts", Operation.WRITE)
    told = str(AccessRefusedError("k:9093", "User:CN=w, O=x", [grant]))
    assert "refuses User:CN=w, O=x" in told
    assert "Write on topic hw.alerts" in told
    assert told.splitlines()[-1].strip() == (
        "kafka-acls --bootstrap-server k:9093 --command-config admin.properties --add --allow-principal 'User:CN=w, O=x' "
        "--operation Write --topic hw.alerts"
    )


def test_acls_are_printed_as_commands_and_as_json() -> None:
    arguments = ["topics", "acls", "--prefix", "city.", "--bootstrap-servers", "k:9093"]
    printed = CliRunner().invoke(app, [*arguments, "--role", "dispatch"]).stdout
    expected = commands_for(grants_of(TopicSet(prefix="city."), Role.DISPATCH), "User:hw-dispatch", "k:9093")
    assert [line for line in printed.splitlines() if line and not line.startswith("#")] == expected
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json", "--principal", "api=User:CN=api"]).stdout)
    assert [one["role"] for one in told["roles"]] == list(Role)
    assert {one["role"]: one["principal"] for one in told["roles"]}["api"] == "User:CN=api"
    for one in told["roles"]:
        grants = grants_of(TopicSet(prefix="city."), Role(one["role"]))
        found = [
            Grant(Resource(entry["resource"]), entry["name"], Operation(entry["operation"])) for entry in one["grants"]
        ]
        assert tuple(found) == grants


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--role", "admin"], "there are worker, dispatch"),
        (["--principal", "worker"], "write ROLE=User:NAME"),
        (["--principal", "worker=User:*"], "not User:*"),
        (["--principal", "nobody=User:x"], "with a role of"),
        (["--principal", "worker=Group:x"], "write ROLE=User:NAME"),
    ],
)
def test_options_that_say_nothing_are_refused(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["topics", "acls", *options])
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", "")


def test_the_table_in_the_documentation_is_the_declarations() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0].strip() == rendered(), "run `python -m docs.acl_table`"


def test_the_documentation_tells_every_setting_and_its_examples_are_taken(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in KafkaSettings.model_fields if f"`{name}`" not in text] == []
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        (tmp_path / "settings.toml").write_text(example, encoding="utf-8")
        assert security_of(load_settings(tmp_path / "settings.toml").bootstrap_servers).uses_tls
