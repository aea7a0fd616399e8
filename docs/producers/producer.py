"""Sends ticket events to hotline-watch over Kafka: none is lost, and one that is sent twice counts once.

    pip install "kafka-python>=3.0.7"
    KAFKA=kafka.example.org:9092 python producer.py events.jsonl

The file has one ticket event a line and may grow: each run goes on where the last one ended, by the number of lines in
`events.jsonl.sent`, which is written only after every replica has them. To send from a program or an outbox table,
copy TicketEvents.

From the environment: KAFKA (host:port, several separated by commas), TOPIC; for TLS KAFKA_CA (a PEM file), with a login also
KAFKA_USER and KAFKA_PASSWORD_FILE (SCRAM-SHA-512). Exit status: 0 all sent, 1 not all, 2 wrongly called.
"""

import json
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

REQUIRED = ("event_id", "ticket_id", "type", "occurred_at")
TOGETHER = 500
ACKNOWLEDGED_WITHIN_SECONDS = 120


class TicketEvents:
    """Sends events in order for each ticket. `send` some, then `flush`: only then they are safe."""

    def __init__(self, servers: str, topic: str = "hotline.ticket-events", **security: Any) -> None:
        self._topic = topic
        self._sent: list[Any] = []
        self._producer = KafkaProducer(
            bootstrap_servers=servers.split(","),
            acks="all",  # of every replica in sync
            enable_idempotence=True,  # what the client itself tries again comes once, and in order
            linger_ms=20,
            delivery_timeout_ms=ACKNOWLEDGED_WITHIN_SECONDS * 1000,
            allow_auto_create_topics=False,
            **security,
        )

    def send(self, event: Mapping[str, Any]) -> None:
        """Hand over one event. Raises ValueError where a field is missing that every event has."""
        missing = [name for name in REQUIRED if not event.get(name)]
        if missing:
            raise ValueError(f"without {', '.join(missing)}")
        value = json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
        # The ticket's id as the key: all events of a ticket lie in one partition, and so keep their order.
        self._sent.append(self._producer.send(self._topic, value, key=str(event["ticket_id"]).encode()))

    def flush(self) -> None:
        """Return when Kafka has everything. Raises KafkaError: send it all again, what is there already has no second effect."""
        sent, self._sent = self._sent, []
        self._producer.flush()
        for one in sent:
            one.get(timeout=ACKNOWLEDGED_WITHIN_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close(timeout=5)


def security(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return how the brokers are talked to, in kafka-python's words. Raises ValueError where a part of it is missing, OSError.

    Files are looked at here: of one that cannot be used the library says, half a minute later, that time ran out.
    """
    login = [name for name in ("KAFKA_USER", "KAFKA_PASSWORD_FILE") if name in environ]
    if "KAFKA_CA" not in environ:
        if login:
            # What was meant to be secure is not sent in the clear by oversight.
            raise ValueError(f"{login[0]} is set, and KAFKA_CA is not: a login goes within TLS")
        return {}
    try:
        ssl.create_default_context(cafile=environ["KAFKA_CA"])
    except OSError as error:
        told = "no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"KAFKA_CA: {environ['KAFKA_CA']}: {told}") from None
    tls = {"security_protocol": "SSL", "ssl_cafile": environ["KAFKA_CA"]}
    if not login:
        return tls
    if len(login) == 1:
        raise ValueError(f"{login[0]} is set: KAFKA_USER and KAFKA_PASSWORD_FILE go together")
    password = Path(environ["KAFKA_PASSWORD_FILE"]).read_text(encoding="utf-8").rstrip("\r\n")
    if not password.isprintable() or not password:
        raise ValueError("KAFKA_PASSWORD_FILE must hold the password, in one line")
    return tls | {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": environ["KAFKA_USER"],
        "sasl_plain_password": password,
    }


def lines_after(path: Path, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield each line after the first so many, with its number from 1; a last line that is not ended yet is left alone, and
    blank ones are passed over.
    """
    with path.open("rb") as file:
        for at, line in enumerate(file, 1):
            if at > number and line.endswith(b"\n") and line.strip():
                yield at, line


def remember(path: Path, number: int) -> None:
    """Write down how many lines are sent, so that a crash leaves the old number or the new one."""
    partial = path.with_name(f"{path.name}.part")
    with partial.open("w") as file:
        file.write(str(number))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def send_file(path: Path, events: TicketEvents) -> int:
    """Send what is new in a file; return the number of events. Raises ValueError (which line, never its text) and KafkaError."""
    position = path.with_name(f"{path.name}.sent")
    done = int(position.read_text()) if position.exists() else 0
    rest, count = lines_after(path, done), 0
    while some := list(islice(rest, TOGETHER)):
        for at, line in some:
            try:
                events.send(json.loads(line))
            except (ValueError, AttributeError, RecursionError) as error:
                raise ValueError(
                    f"line {at} is no ticket event: {error if type(error) is ValueError else 'no JSON object'}"
                ) from None
        events.flush()
        remember(position, some[-1][0])
        count += len(some)
    return count


def remedy(error: Exception) -> str:
    """Return what to do: the library says of a broker that keeps us out only that time ran out."""
    if isinstance(error, TopicAuthorizationFailedError):
        return "have the operators grant KAFKA_USER what `hotline-watch topics acls --role sender` prints, if TOPIC is right, and run again"
    if isinstance(error, KafkaTimeoutError | KafkaConnectionError):
        return (
            "no broker lets us in: check KAFKA (the port too), KAFKA_CA, KAFKA_USER and its password, TOPIC, that the "
            "broker's certificate has not expired, and the network; then run again"
        )
    return "mend it and run again"


def main() -> int:
    """Send a file; return the exit status."""
    if len(sys.argv) != 2 or "KAFKA" not in os.environ:
        sys.stderr.write("KAFKA=host:port python producer.py EVENTS.jsonl\n")
        return 2
    try:
        topic = os.environ.get("TOPIC", "hotline.ticket-events")
        with TicketEvents(os.environ["KAFKA"], topic, **security(os.environ)) as events:
            count = send_file(Path(sys.argv[1]), events)
    except (KafkaError, OSError, ValueError) as error:
        sys.stderr.write(f"not all was sent: {error or type(error).__name__}: {remedy(error)}\n")
        return 1
    sys.stdout.write(f"sent {count} events\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
