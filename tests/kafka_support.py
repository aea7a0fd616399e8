"""What tests of the running system share: waiting on conditions, records in and out, worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streams import child_stub
from streams.admin import connect

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
_POLL_SECONDS = 0.02


def eventually(predicate: Callable[[], T], deadline_seconds: float = 30.0, what: str = "") -> T:
    """Return the first truthy value of `predicate`; fail, with its last value, when the deadline passes without one.

    A question that is dear is asked less often: the machine is for those who are to make it come true.
    """
    pause, deadline = threading.Event(), time.monotonic() + deadline_seconds
    while True:
        asked = time.monotonic()
        value = predicate()
        took = time.monotonic() - asked
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"{name} did not come true in {deadline_seconds:g} s; last value: {value!r}")
        pause.wait(min(max(_POLL_SECONDS, 3 * took), 1.0))


@dataclass(frozen=True, slots=True)
class Record:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


def produce(
    bootstrap_servers: str,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None]],
    *,
    partition: int | None = None,
    request_bytes_max: int = 8 * 1024 * 1024,
) -> list[tuple[int, int]]:
    """Send (key, value) pairs; return their (partition, offset) once every replica in sync has acknowledged all."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers.split(","),
        acks="all",
        linger_ms=5,
        max_request_size=request_bytes_max,
        allow_auto_create_topics=False,
    )
    try:
        futures = [producer.send(topic, key=key, value=value, partition=partition) for key, value in records]
        producer.flush(timeout=60)
        acknowledged = [future.get(timeout=60) for future in futures]
    finally:
        producer.close(timeout=10)
    return [(metadata.partition, metadata.offset) for metadata in acknowledged]


def read_all(bootstrap_servers: str, topic: str, *, deadline_seconds: float = 60.0) -> list[Record]:
    """Return every record that is in the topic now: by partition, each partition in its order."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
        allow_auto_create_topics=False,
        isolation_level="read_committed",
    )
    try:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise AssertionError(f"topic {topic} does not exist")
        parts = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        consumer.seek_to_beginning(*parts)
        found: list[Record] = []
        deadline = time.monotonic() + deadline_seconds
        while any(consumer.position(part) < ends[part] for part in parts):
            if time.monotonic() > deadline:
                raise AssertionError(f"topic {topic} could not be read to its end in {deadline_seconds:g} s")
            for part, batch in consumer.poll(timeout_ms=200).items():
                found += [
                    Record(part.partition, record.offset, record.key, record.value, record.timestamp)
                    for record in batch
                    if record.offset < ends[part]
                ]
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def end_offsets(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """Return the next offset of each partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","), group_id=None, allow_auto_create_topics=False
    )
    try:
        parts = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        return {part.partition: offset for part, offset in consumer.end_offsets(parts).items()}
    finally:
        consumer.close()


def committed(bootstrap_servers: str, group: str, topic: str) -> dict[int, int]:
    """Return the committed offset of each partition of the topic for which the group has one."""
    with connect(bootstrap_servers) as admin:
        offsets = admin.list_group_offsets(group).get(group, {})
    return {
        part.partition: entry.offset for part, entry in offsets.items() if part.topic == topic and entry.offset >= 0
    }


def lag(bootstrap_servers: str, group: str, topic: str) -> int:
    """Return how many records of the topic the group has not committed yet."""
    done = committed(bootstrap_servers, group, topic)
    return sum(end - done.get(partition, 0) for partition, end in end_offsets(bootstrap_servers, topic).items())


def process_exists(pid: int) -> bool:
    """Return whether the process runs; one that ended and only waits to be collected by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


class Worker:
    """A Python program as a process of its own, its output in a file. It dies with the test run."""

    def __init__(
        self,
        arguments: Sequence[str],
        log_path: Path,
        *,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        """`arguments` follow `python`, such as `["-m", "cli.main", "worker"]`; `env` is added to the environment.

        `under`: a program and its arguments that run it, such as strace.
        """
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        program = [shutil.which(under[0]) or under[0], *under[1:]] if under else []
        stub = [sys.executable, "-I", "-S", child_stub.__file__, str(os.getpid())]
        command = [*stub, *program, sys.executable, *arguments]
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def alive(self) -> bool:
        return self._popen.poll() is None

    def wait_for(self, text: str, deadline_seconds: float = 60.0) -> None:
        """Return when its output contains `text`; fail if it ends before, or the deadline passes."""
        eventually(lambda: text in self.log() or not self.alive(), deadline_seconds, f"{text!r} in {self.log_path}")
        assert text in self.log(), f"it ended with {self._popen.returncode}:\n{self.log()[-3000:]}"

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """SIGTERM; return its exit status. Fails, after killing it, if it takes longer."""
        self._popen.terminate()
        try:
            return self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it ignored SIGTERM for {timeout_seconds:g} s:\n{self.log()[-3000:]}") from None

    def wait(self, timeout_seconds: float) -> int:
        return self._popen.wait(timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.alive():
            self.kill()
