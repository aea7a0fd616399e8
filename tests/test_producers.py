"""The producers that senders copy, without a broker: what they do when the door is shut, refuses, or breaks in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAuthorizationFailedError

from docs.producers import http_producer, producer
from streams.broker_certificates import Authority
from tests.builders import body
from tests.secure_support import now

Answer = tuple[int, dict[str, str], Any]
TAKEN: Answer = (202, {}, {"count": 1})
AWAY: Answer = (503, {"retry-after": "7"}, {"code": "unavailable", "detail": "Kafka"})
TOKEN = "the-token-of-the-test"


class Server:
    """Answers what it is told to, in turn; an answer of status 0 is a connection that breaks."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        self.requests: list[Any] = []

    @contextmanager
    def door(self, **settings: Any) -> Iterator[http_producer.Door]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.requests.append((self.path, dict(self.headers)))
                server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                status, headers, answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                self.close_connection = status == 0
                if status:
                    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                    self.send_response(status)
                    for name, value in (headers | {"content-length": str(len(content))}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
            Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
            door = http_producer.Door(f"http://127.0.0.1:{listener.server_port}/hw/", TOKEN, **settings)
            try:
                yield door
            finally:
                door._connection.close()
                listener.shutdown()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(http_producer.time, "sleep", found.append)
    return found


def event(number: int, **fields: Any) -> dict[str, Any]:
    return body(f"T-{number % 3}", "urged", 0, event_id=f"e-{number}", **fields)


def written(path: Path, numbers: Sequence[int], mode: str = "wb") -> Path:
    with path.open(mode) as file:
        file.writelines(orjson.dumps(event(number)) + b"\n" for number in numbers)
    return path


def sent_ids(bodies: list[bytes]) -> list[str]:
    return [json.loads(line)["event_id"] for content in bodies for line in content.split(b"\n")]


def test_a_file_is_sent_in_batches_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    server, path = Server(TAKEN), written(tmp_path / "events.jsonl", range(250))
    with server.door() as door:
        assert http_producer.send_file(path, door) == 250
        assert [content.count(b"\n") + 1 for content in server.bodies] == [100, 100, 50]
        written(path, range(250, 253), "ab")
        assert http_producer.send_file(path, door) == 3
        assert http_producer.send_file(path, door) == 0
    assert sent_ids(server.bodies) == [f"e-{number}" for number in range(253)]
    where, headers = server.requests[0]
    assert (where, headers["authorization"]) == ("/hw/v1/events", f"Bearer {TOKEN}")


def test_a_batch_is_a_megabyte_at_most() -> None:
    lines = [(number, b"x" * 300_000) for number in range(1, 8)]
    assert [[at for at, _ in some] for some in http_producer.batches(iter(lines))] == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_line_that_is_not_ended_yet_waits(tmp_path: Path) -> None:
    path = written(tmp_path / "events.jsonl", range(2))
    with path.open("ab") as file:
        file.write(orjson.dumps(event(2))[:20])
    for module in (http_producer, producer):
        assert [at for at, _ in module.lines_after(path, 0)] == [1, 2]
        assert [at for at, _ in module.lines_after(path, 1)] == [2]


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path, client: Client) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([b"", orjson.dumps(event(0)), b" \r", orjson.dumps(event(1)), b"", b"", b""]))
    server = Server(TAKEN)
    with server.door() as door:
        assert http_producer.send_file(path, door) == 2
        assert http_producer.send_file(path, door) == 0
    assert sent_ids(server.bodies) == ["e-0", "e-1"]
    assert (tmp_path / "events.jsonl.sent").read_text() == "4"
    (tmp_path / "events.jsonl.sent").unlink()
    assert producer.send_file(path, producer.TicketEvents("a:1")) == 2
    assert (tmp_path / "events.jsonl.sent").read_text() == "4"


def test_while_the_service_is_away_the_same_batch_is_sent_again(tmp_path: Path, pauses: list[float]) -> None:
    server, path = Server(AWAY, (429, {}, b""), (0, {}, b""), TAKEN), written(tmp_path / "events.jsonl", range(2))
    with server.door() as door:
        assert http_producer.send_file(path, door) == 2
    assert len(server.bodies) == 4
    assert len(set(server.bodies)) == 1
    assert pauses == [7.0, 2.0, 4.0]


def test_it_gives_up_in_time_and_the_next_run_sends_it_all(tmp_path: Path, pauses: list[float]) -> None:
    server, path = Server(TAKEN, AWAY), written(tmp_path / "events.jsonl", range(150))
    with server.door(try_seconds=5) as door:
        with pytest.raises(OSError, match="503"):
            http_producer.send_file(path, door)
        assert (tmp_path / "events.jsonl.sent").read_text() == "100"
        server.answers = [TAKEN]
        assert http_producer.send_file(path, door) == 50
    assert pauses == []


def test_what_is_refused_is_told_by_line_and_nothing_after_it_is_sent(tmp_path: Path) -> None:
    fault = {"index": 17, "reason": "invalid_field", "field": "seq", "detail": "seq: Input should be a valid integer"}
    problem = {"code": "events_refused", "detail": "Nothing was taken", "errors": [fault]}
    server, path = Server(TAKEN, (422, {}, problem)), written(tmp_path / "events.jsonl", range(300))
    with server.door() as door, pytest.raises(http_producer.RefusedError, match="422 events_refused") as caught:
        http_producer.send_file(path, door)
    assert caught.value.lines == [(118, "invalid_field: seq: Input should be a valid integer")]
    assert len(server.bodies) == 2
    assert (tmp_path / "events.jsonl.sent").read_text() == "100"


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"code": 1}', b'{"code": "x", "detail": "y", "errors": [1]}'])
def test_an_answer_of_somebody_else_is_no_success(tmp_path: Path, answer: bytes) -> None:
    with Server((200, {}, answer)).door() as door, pytest.raises(http_producer.RefusedError, match="right URL"):
        door.send([b"{}"])


@pytest.mark.parametrize("url", ["ftp://a", "a.example", "https://", ""])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        http_producer.Door(url, TOKEN)


@pytest.mark.parametrize("token", ["", "a-token\nof-two-lines", "ä"])
def test_a_token_that_is_none_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    (tmp_path / "token").write_text(token, encoding="utf-8")
    written(tmp_path / "events.jsonl", range(1))
    monkeypatch.setenv("URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setattr("sys.argv", ["http_producer.py", str(tmp_path / "events.jsonl")])
    assert http_producer.main() == 1
    told = capsys.readouterr().err
    assert told.startswith("not all was sent: ")
    assert "a-token" not in told


# --- Kafka ---


class Client:
    """Stands for kafka-python's producer; `fails`: how many of its acknowledgements fail."""

    def __init__(self, fails: int = 0) -> None:
        self.taken: list[tuple[str, bytes, bytes]] = []
        self.fails = fails

    def send(self, topic: str, value: bytes, key: bytes) -> Client:
        self.taken.append((topic, value, key))
        return self

    def flush(self) -> None:
        """Do nothing: what counts is what each acknowledgement says."""

    def get(self, timeout: float) -> None:
        if self.fails:
            self.fails -= 1
            raise KafkaTimeoutError("no answer")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()
    monkeypatch.setattr(producer, "KafkaProducer", lambda **_: found)
    return found


def test_only_what_kafka_has_is_remembered(tmp_path: Path, client: Client) -> None:
    path, events = written(tmp_path / "events.jsonl", range(producer.TOGETHER + 20)), producer.TicketEvents("a:1")
    client.fails = 1
    with pytest.raises(KafkaTimeoutError):
        producer.send_file(path, events)
    assert not (tmp_path / "events.jsonl.sent").exists()
    assert producer.send_file(path, events) == producer.TOGETHER + 20
    assert {json.loads(value)["event_id"] for _, value, _ in client.taken} == {
        f"e-{number}" for number in range(producer.TOGETHER + 20)
    }
    assert {(topic, json.loads(value)["ticket_id"] == key.decode()) for topic, value, key in client.taken} == {
        ("hotline.ticket-events", True)
    }
    assert producer.send_file(path, events) == 0


@pytest.mark.parametrize("line", ["[]", "张某的原话", '{"event_id": "张某的原话"}', "1", "[" * 100_000])
def test_a_line_that_is_no_event_is_named_and_not_shown(tmp_path: Path, client: Client, line: str) -> None:
    path = written(tmp_path / "events.jsonl", range(2))
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match="line 3") as caught:
        producer.send_file(path, producer.TicketEvents("a:1"))
    assert "张某" not in str(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Return files of a sender's, by what they hold."""
    contents = {
        "CA": Authority("ca", now()).certificate,
        "PASSWORD": "secret \n",
        "EMPTY": "\n",
        "TWO": "secret\nmore\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    return {name: str(tmp_path / name) for name in (*contents, "NONE")}


def test_the_brokers_are_talked_to_as_the_environment_says(files: dict[str, str]) -> None:
    assert producer.security({}) == {}
    tls = {"security_protocol": "SSL", "ssl_cafile": files["CA"]}
    assert producer.security({"KAFKA_CA": files["CA"]}) == tls
    login = {"KAFKA_CA": files["CA"], "KAFKA_USER": "hw-sender", "KAFKA_PASSWORD_FILE": files["PASSWORD"]}
    assert producer.security(login) == tls | {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "hw-sender",
        "sasl_plain_password": "secret ",
    }


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"KAFKA_USER": "hw-sender", "KAFKA_PASSWORD_FILE": "PASSWORD"}, "KAFKA_USER is set, and KAFKA_CA is not"),
        ({"KAFKA_PASSWORD_FILE": "PASSWORD"}, "KAFKA_PASSWORD_FILE is set, and KAFKA_CA is not"),
        ({"KAFKA_CA": "CA", "KAFKA_USER": "hw-sender"}, "go together"),
        ({"KAFKA_CA": "CA", "KAFKA_PASSWORD_FILE": "PASSWORD"}, "go together"),
        ({"KAFKA_CA": "CA", "KAFKA_USER": "u", "KAFKA_PASSWORD_FILE": "NONE"}, "No such file"),
        ({"KAFKA_CA": "CA", "KAFKA_USER": "u", "KAFKA_PASSWORD_FILE": "EMPTY"}, "PASSWORD_FILE must hold the password"),
        ({"KAFKA_CA": "CA", "KAFKA_USER": "u", "KAFKA_PASSWORD_FILE": "TWO"}, "PASSWORD_FILE must hold the password"),
        ({"KAFKA_CA": "NONE"}, "KAFKA_CA: NONE: No such file or directory"),
        ({"KAFKA_CA": "EMPTY"}, "KAFKA_CA: EMPTY: no certificate in PEM"),
    ],
)
def test_half_a_security_is_none_and_nothing_is_sent_in_the_clear(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    environ: dict[str, str],
    said: str,
) -> None:
    for name in ("KAFKA_CA", "KAFKA_USER", "KAFKA_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environ | {"KAFKA": "127.0.0.1:1"}).items():
        monkeypatch.setenv(name, files.get(value, value))
    monkeypatch.setattr("sys.argv", ["producer.py", "events.jsonl"])
    assert producer.main() == 1
    told = capsys.readouterr().err
    assert said in told.replace(f"{Path(files['CA']).parent}/", "")
    assert "secret" not in told


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KafkaTimeoutError("Unable to bootstrap"), "check KAFKA (the port too), KAFKA_CA, KAFKA_USER and its password"),
        (KafkaConnectionError(), "check KAFKA (the port too)"),
        (TopicAuthorizationFailedError("a"), "`hotline-watch topics acls --role sender`"),
        (ValueError("line 3 is no ticket event"), "line 3 is no ticket event: mend it and run again"),
    ],
)
def test_whoever_is_not_let_in_is_told_what_to_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.delenv("KAFKA_CA", raising=False)
    monkeypatch.setenv("KAFKA", "127.0.0.1:1")
    monkeypatch.setattr("sys.argv", ["producer.py", "events.jsonl"])
    monkeypatch.setattr(producer, "TicketEvents", refused)
    assert producer.main() == 1
    assert said in capsys.readouterr().err
