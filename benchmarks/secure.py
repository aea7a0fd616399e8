"""The same pipeline over TLS with a SCRAM login and ACLs in force, against plaintext: one broker, one run, the same events.

The broker has both listeners. Each round takes both ways once, each over topics of its own, now the one first, now the
other: whoever comes later finds a warmer broker. The ratio is that of each round, the middle one of them counts.
"""

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.pipeline import Drained, broker_usage, cpu_of, drain, whole_tickets
from benchmarks.result import Result, Row
from benchmarks.support import BenchmarkError, Installation, scratch
from streams.access import allow
from streams.admin import connect
from streams.broker_certificates import Authority
from streams.broker_secured import Listener, Secured
from streams.roles import Role, grants_of, user_of

EVENTS, QUICK_EVENTS = 60_000, 5_000
ROUNDS, QUICK_ROUNDS = 5, 1
YEAR = 2025
TARGET_RATIO = 0.8
LISTENER, USER = "LOGIN", user_of(Role.WORKER)
HOSTS = ("localhost", "127.0.0.1")
PLAIN, SECURE = "plaintext", "TLS + SCRAM"


class Taken(NamedTuple):
    """How one way took the events."""

    pipeline: Drained
    broker_cpu_seconds: float


def run(quick: bool = False, events: int | None = None) -> Result:
    """Return the measured rates. Raises BenchmarkError where a process failed or an input was refused."""
    events = events or (QUICK_EVENTS if quick else EVENTS)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    authority = Authority("the benchmark's", datetime.datetime.now(datetime.UTC))
    password = os.urandom(24).hex()
    listener = Listener(LISTENER, authority.issue("broker", *HOSTS), login=True)
    lines = whole_tickets(events, YEAR, "T")
    taken: dict[str, list[Taken]] = {PLAIN: [], SECURE: []}
    with scratch(secured=Secured((listener,), {USER: password})) as installation:
        ways: dict[str, Mapping[str, str]] = {PLAIN: {}, SECURE: _login(installation, authority, password)}
        for number in range(rounds):
            for way in reversed(ways) if number % 2 else ways:
                taken[way].append(_take(installation, f"r{number}-{'s' if ways[way] else 'p'}.", ways[way], lines))
        partitions = installation.topics.partitions
    return Result(
        "secure",
        "Whole pipeline over TLS and SCRAM",
        _rows(taken[PLAIN], taken[SECURE]),
        {"events each time": len(lines), "rounds": rounds, "partitions": partitions, "login": "SCRAM-SHA-512"},
        quick=quick,
    )


def _login(installation: Installation, authority: Authority, password: str) -> dict[str, str]:
    """Return the settings of a worker that comes in by TLS and password."""
    ca_file = _written(installation.directory / "ca.crt", authority.certificate)
    password_file = _written(installation.directory / "password", password)
    return {
        "HOTLINE_WATCH_BOOTSTRAP_SERVERS": installation.kafka.address_of(LISTENER),
        "HOTLINE_WATCH_KAFKA_SECURITY": "sasl_tls",
        "HOTLINE_WATCH_KAFKA_CA_FILE": str(ca_file),
        "HOTLINE_WATCH_KAFKA_USERNAME": USER,
        "HOTLINE_WATCH_KAFKA_PASSWORD_FILE": str(password_file),
    }


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def _take(installation: Installation, prefix: str, settings: Mapping[str, str], lines: list[bytes]) -> Taken:
    own = installation.with_topics(prefix)
    topics = own.topics
    with connect(own.bootstrap_servers) as admin:
        allow(admin, f"User:{USER}", grants_of(topics, Role.WORKER))
    total = own.preload(lines)
    worker, _ = own.worker(f"worker-{prefix}", settings)
    worker.wait_for("worker ready")
    before = broker_usage(own).cpu_seconds
    watched = (topics.ticket_events, topics.tickets, topics.citizens)
    pipeline = drain(own, worker, topics.worker_app_id, watched, total)
    if refused := own.count(topics.quarantine):
        raise BenchmarkError(f"{refused} of {total} events were refused")
    return Taken(pipeline, broker_usage(own).cpu_seconds - before)


def _rows(plain: list[Taken], secure: list[Taken]) -> tuple[Row, ...]:
    ratios = [ours.pipeline.per_second / theirs.pipeline.per_second for ours, theirs in zip(secure, plain, strict=True)]
    return (
        Row(
            "TLS + SCRAM + ACLs ÷ plaintext, same events, the middle round", median(ratios), "×", at_least=TARGET_RATIO
        ),
        Row("the worst round", min(ratios), "×"),
        Row("pipeline over TLS + SCRAM", median(one.pipeline.per_second for one in secure), "events/s"),
        Row("pipeline in plaintext", median(one.pipeline.per_second for one in plain), "events/s"),
        Row("processor time of the worker, TLS + SCRAM", median(cpu_of(one.pipeline) for one in secure), "µs/event"),
        Row("processor time of the worker, plaintext", median(cpu_of(one.pipeline) for one in plain), "µs/event"),
        Row("processor time of the broker meanwhile, TLS + SCRAM", median(map(_broker_cpu, secure)), "µs/event"),
        Row("processor time of the broker meanwhile, plaintext", median(map(_broker_cpu, plain)), "µs/event"),
    )


def _broker_cpu(taken: Taken) -> float:
    return taken.broker_cpu_seconds / taken.pipeline.events * 1e6
